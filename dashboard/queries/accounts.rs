//! Accounts: their state, their windows, and what went through them lately.

use std::collections::HashMap;

use rusqlite::{Connection, Row};
use serde::Serialize;

use super::sums::{COLUMNS, HOUR, Sums};
use crate::format::{Moment, Percent, length};

/// One account.
#[derive(Debug, Serialize)]
pub(crate) struct Account {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) plan: Option<String>,
    #[serde(flatten)]
    pub(crate) state: State,
    pub(crate) windows: Vec<Window>,
    /// The last 24 hours by the clock.
    pub(crate) hours_24: Sums,
}

/// Whether an account is used, and if not, why.
#[derive(Debug, PartialEq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub(crate) enum State {
    Active,
    Cooling { until: Moment, reason: Option<String> },
    Paused,
    NeedsLogin { reason: String },
}

/// One quota window as it was last observed.
#[derive(Debug, PartialEq, Serialize)]
pub(crate) struct Window {
    /// `codex`, or the name of an additional limit.
    pub(crate) limit_id: String,
    pub(crate) seconds: i64,
    pub(crate) used_percent: Percent,
    pub(crate) resets_at: Option<Moment>,
    pub(crate) observed_at: Moment,
}

impl Account {
    fn read(row: &Row<'_>, now: Moment) -> rusqlite::Result<Self> {
        let paused: bool = row.get("paused")?;
        let needs_login: Option<String> = row.get("needs_login")?;
        let until: Option<i64> = row.get("cooling_until")?;
        let state = match (needs_login, paused, until.map(Moment)) {
            (Some(reason), _, _) => State::NeedsLogin { reason },
            (None, true, _) => State::Paused,
            (None, false, Some(until)) if until > now => {
                State::Cooling { until, reason: row.get("cooling_reason")? }
            }
            (None, false, _) => State::Active,
        };
        Ok(Self {
            id: row.get("id")?,
            name: row.get("name")?,
            plan: row.get("plan")?,
            state,
            windows: Vec::new(),
            hours_24: Sums::default(),
        })
    }

    /// What to type to make it serve again; `None`: nothing to do.
    pub(crate) fn remedy(&self) -> Option<String> {
        match self.state {
            State::Active | State::Cooling { .. } => None,
            State::Paused => Some(format!("codex-lb account resume {}", quoted(&self.name))),
            State::NeedsLogin { .. } => Some("codex-lb account import ~/.codex/auth.json".to_owned()),
        }
    }
}

impl Window {
    /// `5 h`
    pub(crate) fn label(&self) -> String {
        length(self.seconds)
    }

    /// When it was reset since it was last observed: then the figure is of the past.
    pub(crate) fn outdated(&self, now: Moment) -> Option<Moment> {
        self.resets_at.filter(|at| *at <= now)
    }
}

/// A word as a shell must be given it.
fn quoted(word: &str) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "@._-+:".contains(letter);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// All accounts in the operator's order.
pub(super) fn accounts(connection: &Connection, now: Moment) -> rusqlite::Result<Vec<Account>> {
    let mut windows = windows(connection)?;
    let mut sums = sums(connection, now)?;
    let mut statement = connection.prepare(
        "SELECT id, name, plan, paused, needs_login, cooling_until, cooling_reason
         FROM accounts ORDER BY priority, name",
    )?;
    let accounts = statement.query_map([], |row| {
        let mut account = Account::read(row, now)?;
        account.windows = windows.remove(&account.id).unwrap_or_default();
        account.hours_24 = sums.remove(&account.id).unwrap_or_default();
        Ok(account)
    })?;
    accounts.collect()
}

/// By account: the general limit first, then shorter before longer.
fn windows(connection: &Connection) -> rusqlite::Result<HashMap<String, Vec<Window>>> {
    let mut statement = connection.prepare(
        "SELECT account_id, limit_id, seconds, used_percent, resets_at, observed_at
         FROM windows ORDER BY account_id, limit_id <> 'codex', limit_id, seconds",
    )?;
    let mut rows = statement.query([])?;
    let mut windows: HashMap<String, Vec<Window>> = HashMap::new();
    while let Some(row) = rows.next()? {
        let resets_at: Option<i64> = row.get("resets_at")?;
        windows.entry(row.get("account_id")?).or_default().push(Window {
            limit_id: row.get("limit_id")?,
            seconds: row.get("seconds")?,
            used_percent: Percent(row.get("used_percent")?),
            resets_at: resets_at.map(Moment),
            observed_at: Moment(row.get("observed_at")?),
        });
    }
    Ok(windows)
}

fn sums(connection: &Connection, now: Moment) -> rusqlite::Result<HashMap<String, Sums>> {
    let first = now.0.div_euclid(HOUR) * HOUR - 23 * HOUR;
    let sql = format!("SELECT account_id, {COLUMNS} FROM hourly WHERE bucket >= ?1 GROUP BY account_id");
    let mut statement = connection.prepare(&sql)?;
    let sums = statement.query_map([first], |row| Ok((row.get(0)?, Sums::read(row, 1)?)))?;
    sums.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::{NOW, Seed};

    #[test]
    fn the_state_is_the_one_a_person_must_know_first() {
        let seed = Seed::empty();
        let set = |name: &str, change: &str| {
            seed.account(name);
            let sql = format!("UPDATE accounts SET {change} WHERE name = ?1");
            seed.connection.execute(&sql, [name]).unwrap();
        };
        let (past, future) = (NOW.0 - 1, NOW.0 + 60_000);
        set("a", &format!("cooling_until = {past}, cooling_reason = 'over'"));
        set("b", &format!("cooling_until = {future}, cooling_reason = 'usage_limit_reached'"));
        set("c", &format!("paused = 1, cooling_until = {future}"));
        set("d", "paused = 1, needs_login = 'refresh_token_reused'");
        let accounts = accounts(&seed.connection, NOW).unwrap();
        let states: Vec<State> = accounts.into_iter().map(|account| account.state).collect();
        let cooling =
            State::Cooling { until: Moment(future), reason: Some("usage_limit_reached".to_owned()) };
        let login = State::NeedsLogin { reason: "refresh_token_reused".to_owned() };
        assert_eq!(states, [State::Active, cooling, State::Paused, login]);
    }

    #[test]
    fn a_name_in_a_command_is_quoted_when_it_must_be() {
        assert_eq!(quoted("ada@example.com"), "ada@example.com");
        assert_eq!(quoted("it's; me"), r"'it'\''s; me'");
    }

    #[test]
    fn windows_are_sorted_by_length_and_additional_limits_come_last() {
        let seed = Seed::empty();
        seed.account("a");
        for (limit, seconds) in [("a-model", 18_000), ("codex", 604_800), ("codex", 18_000)] {
            seed.window("a", limit, seconds, 50.0, Some(NOW.0 - 1));
        }
        let accounts = accounts(&seed.connection, NOW).unwrap();
        let windows = &accounts[0].windows;
        let order: Vec<(&str, String)> =
            windows.iter().map(|window| (window.limit_id.as_str(), window.label())).collect();
        let expected = [("codex", "5 h"), ("codex", "7 d"), ("a-model", "5 h")];
        assert_eq!(order, expected.map(|(limit, label)| (limit, label.to_owned())));
        assert_eq!(windows[0].outdated(NOW), Some(Moment(NOW.0 - 1)));
        assert_eq!(windows[0].outdated(Moment(NOW.0 - 2)), None);
    }
}
