//! Sums over hours and days, from the tables the proxy keeps them in.

use std::ops::AddAssign;

use rusqlite::{Connection, Row};
use serde::Serialize;

use crate::format::{Cost, Count, Moment, Percent};

pub(crate) const HOUR: i64 = 3_600_000;
pub(crate) const DAY: i64 = 24 * HOUR;

/// What some exchanges add up to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Sums {
    pub(crate) requests: Count,
    /// Exchanges that failed or were refused.
    pub(crate) errors: Count,
    pub(crate) input_tokens: Count,
    /// Part of the input.
    pub(crate) cached_tokens: Count,
    pub(crate) output_tokens: Count,
    /// Part of the output.
    pub(crate) reasoning_tokens: Count,
    pub(crate) cost_micros: Cost,
}

/// The sums of one hour or one day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Slot {
    /// Its start, UTC.
    pub(crate) start: Moment,
    #[serde(flatten)]
    pub(crate) sums: Sums,
}

/// The columns `Sums::read` expects, from `first` on.
pub(super) const COLUMNS: &str =
    "coalesce(sum(requests), 0), coalesce(sum(errors), 0), coalesce(sum(input_tokens), 0),
    coalesce(sum(cached_tokens), 0), coalesce(sum(output_tokens), 0), coalesce(sum(reasoning_tokens), 0),
    coalesce(sum(cost_micros), 0)";

impl Sums {
    pub(super) fn read(row: &Row<'_>, first: usize) -> rusqlite::Result<Self> {
        Ok(Self {
            requests: Count(row.get(first)?),
            errors: Count(row.get(first + 1)?),
            input_tokens: Count(row.get(first + 2)?),
            cached_tokens: Count(row.get(first + 3)?),
            output_tokens: Count(row.get(first + 4)?),
            reasoning_tokens: Count(row.get(first + 5)?),
            cost_micros: Cost(row.get(first + 6)?),
        })
    }

    pub(crate) fn fresh_tokens(&self) -> Count {
        Count((self.input_tokens.0 - self.cached_tokens.0).max(0))
    }

    pub(crate) fn tokens(&self) -> Count {
        Count(self.input_tokens.0.saturating_add(self.output_tokens.0))
    }

    pub(crate) fn cached_share(&self) -> Option<Percent> {
        self.cached_tokens.share_of(self.input_tokens)
    }

    pub(crate) fn error_share(&self) -> Option<Percent> {
        self.errors.share_of(self.requests)
    }
}

impl AddAssign for Sums {
    fn add_assign(&mut self, other: Self) {
        for (sum, more) in [
            (&mut self.requests, other.requests),
            (&mut self.errors, other.errors),
            (&mut self.input_tokens, other.input_tokens),
            (&mut self.cached_tokens, other.cached_tokens),
            (&mut self.output_tokens, other.output_tokens),
            (&mut self.reasoning_tokens, other.reasoning_tokens),
        ] {
            sum.0 = sum.0.saturating_add(more.0);
        }
        self.cost_micros.0 = self.cost_micros.0.saturating_add(other.cost_micros.0);
    }
}

/// The last 24 hours by the clock: the one that runs, and 23 before it.
pub(super) fn hours(connection: &Connection, now: Moment) -> rusqlite::Result<Vec<Slot>> {
    slots(connection, "hourly", now, HOUR, 24)
}

/// The last 30 days by the calendar (UTC): today, and 29 before it.
pub(super) fn days(connection: &Connection, now: Moment) -> rusqlite::Result<Vec<Slot>> {
    slots(connection, "daily", now, DAY, 30)
}

/// Empty slots included, oldest first.
fn slots(
    connection: &Connection,
    table: &'static str,
    now: Moment,
    length: i64,
    count: i64,
) -> rusqlite::Result<Vec<Slot>> {
    let last = now.0.div_euclid(length) * length;
    let first = last - (count - 1) * length;
    let mut slots: Vec<Slot> = (0..count)
        .map(|index| Slot { start: Moment(first + index * length), sums: Sums::default() })
        .collect();
    let sql = format!("SELECT bucket, {COLUMNS} FROM {table} WHERE bucket BETWEEN ?1 AND ?2 GROUP BY bucket");
    let mut statement = connection.prepare(&sql)?;
    let mut rows = statement.query([first, last])?;
    while let Some(row) = rows.next()? {
        let bucket: i64 = row.get(0)?;
        let slot = usize::try_from((bucket - first) / length).ok().and_then(|index| slots.get_mut(index));
        if let Some(slot) = slot {
            slot.sums += Sums::read(row, 1)?;
        }
    }
    Ok(slots)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::{NOW, Seed};

    #[test]
    fn an_hour_without_requests_is_there_with_zeros() {
        let seed = Seed::empty();
        let hours = hours(&seed.connection, NOW).unwrap();
        assert_eq!(hours.len(), 24);
        assert!(hours.iter().all(|slot| slot.sums == Sums::default()));
        assert_eq!(hours.last().unwrap().start.0, NOW.0 / HOUR * HOUR);
    }

    #[test]
    fn sums_fall_into_their_slot_and_older_ones_out() {
        let seed = Seed::empty();
        let hour = NOW.0 / HOUR * HOUR;
        for (bucket, account) in [(hour, "a"), (hour, "b"), (hour - 23 * HOUR, "a"), (hour - 24 * HOUR, "a")]
        {
            seed.sums("hourly", bucket, account, "", "m", 10);
        }
        let hours = hours(&seed.connection, NOW).unwrap();
        let requests: Vec<i64> = hours.iter().map(|slot| slot.sums.requests.0).collect();
        assert_eq!((requests[0], requests[1], requests[23]), (10, 0, 20));
        assert_eq!(requests.iter().sum::<i64>(), 30);
    }
}
