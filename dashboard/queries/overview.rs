//! Everything the overview shows, read in one transaction so that its figures agree.

use rusqlite::Connection;
use serde::Serialize;

use super::{Account, Exchange, Slot, State, Sums, Top, accounts, exchanges, sums, top};
use crate::format::Moment;

/// The overview; also what `/api/overview` answers, field by field.
#[derive(Debug, Serialize)]
pub(crate) struct Overview {
    /// When it was read.
    pub(crate) now: Moment,
    pub(crate) periods: Periods,
    /// The last 24 hours by the clock, oldest first.
    pub(crate) hours: Vec<Slot>,
    /// The last 30 days by the calendar (UTC), oldest first.
    pub(crate) days: Vec<Slot>,
    pub(crate) accounts: Vec<Account>,
    pub(crate) exchanges: Vec<Exchange>,
    /// Over seven days, as the next one.
    pub(crate) top_models: Vec<Top>,
    pub(crate) top_keys: Vec<Top>,
}

/// Sums of the slots of `hours` and `days`, each with the start of its first.
#[derive(Debug, Serialize)]
pub(crate) struct Periods {
    pub(crate) today: Slot,
    pub(crate) hours_24: Slot,
    pub(crate) days_7: Slot,
    pub(crate) days_30: Slot,
}

impl Overview {
    /// Reads it all as of `now`.
    pub(crate) fn read(connection: &Connection, now: Moment) -> rusqlite::Result<Self> {
        let snapshot = connection.unchecked_transaction()?;
        let hours = sums::hours(&snapshot, now)?;
        let days = sums::days(&snapshot, now)?;
        let last = |count: usize| sum(days.get(days.len().saturating_sub(count)..).unwrap_or(&days));
        Ok(Self {
            now,
            periods: Periods { today: last(1), hours_24: sum(&hours), days_7: last(7), days_30: last(30) },
            accounts: accounts::accounts(&snapshot, now)?,
            exchanges: exchanges::newest(&snapshot)?,
            top_models: top::models(&snapshot, now)?,
            top_keys: top::keys(&snapshot, now)?,
            hours,
            days,
        })
    }

    /// `2 active, 1 paused`
    pub(crate) fn account_states(&self) -> String {
        let mut counts = [("active", 0), ("cooling", 0), ("paused", 0), ("needs login", 0)];
        for account in &self.accounts {
            let name = match account.state {
                State::Active => "active",
                State::Cooling { .. } => "cooling",
                State::Paused => "paused",
                State::NeedsLogin { .. } => "needs login",
            };
            counts.iter_mut().filter(|(state, _)| *state == name).for_each(|(_, count)| *count += 1);
        }
        let parts: Vec<String> = counts
            .iter()
            .filter(|(_, count)| *count > 0)
            .map(|(state, count)| format!("{count} {state}"))
            .collect();
        parts.join(", ")
    }
}

fn sum(slots: &[Slot]) -> Slot {
    let mut sums = Sums::default();
    slots.iter().for_each(|slot| sums += slot.sums);
    Slot { start: slots.first().map(|slot| slot.start).unwrap_or_default(), sums }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::{NOW, Seed};

    #[test]
    fn the_periods_are_the_sums_of_their_slots() {
        let seed = Seed::full(NOW);
        let overview = Overview::read(&seed.connection, NOW).unwrap();
        let requests = |slots: &[Slot]| slots.iter().map(|slot| slot.sums.requests.0).sum::<i64>();
        let periods = &overview.periods;
        assert_eq!(periods.hours_24.sums.requests.0, requests(&overview.hours));
        assert_eq!(periods.days_7.sums.requests.0, requests(&overview.days[23..]));
        assert_eq!(periods.days_30.sums.requests.0, requests(&overview.days));
        assert_eq!(periods.today, overview.days[29]);
        assert!(periods.today.sums.requests.0 > 0);
        assert_eq!(overview.account_states(), "2 active, 1 cooling, 1 paused, 1 needs login");
    }

    #[test]
    fn an_empty_ledger_is_an_overview_of_zeros() {
        let seed = Seed::empty();
        let overview = Overview::read(&seed.connection, NOW).unwrap();
        assert_eq!(overview.periods.days_30.sums, Sums::default());
        assert!(overview.accounts.is_empty() && overview.exchanges.is_empty());
        assert_eq!(overview.account_states(), "");
    }
}
