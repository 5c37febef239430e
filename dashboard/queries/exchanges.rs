//! The newest exchanges.

use rusqlite::{Connection, Row};
use serde::Serialize;

use crate::format::{Cost, Count, Moment, Percent, Span};

/// How many the overview shows.
const NEWEST: i64 = 20;

/// One exchange.
#[derive(Debug, Serialize)]
pub(crate) struct Exchange {
    pub(crate) id: String,
    pub(crate) started_at: Moment,
    pub(crate) duration_ms: Span,
    pub(crate) first_event_ms: Option<Span>,
    pub(crate) route: String,
    pub(crate) client: Option<String>,
    /// The key's name, or its id if it is gone.
    pub(crate) key: Option<String>,
    /// The account's name, or its id if it is gone.
    pub(crate) account: Option<String>,
    pub(crate) model: Option<String>,
    pub(crate) effort: Option<String>,
    /// HTTP status the client got; 499: it left before one was sent.
    pub(crate) status: i64,
    /// `completed`, `incomplete`, `failed`, `client_left` or `refused`.
    pub(crate) outcome: String,
    pub(crate) error_code: Option<String>,
    pub(crate) attempts: i64,
    pub(crate) input_tokens: Option<Count>,
    pub(crate) cached_tokens: Option<Count>,
    pub(crate) output_tokens: Option<Count>,
    pub(crate) reasoning_tokens: Option<Count>,
    /// `None`: the model has no price.
    pub(crate) cost_micros: Option<Cost>,
}

/// Text that a client may have chosen is cut to 120 characters.
const SQL: &str = "SELECT e.id, e.started_at, e.duration_ms, e.first_event_ms, e.route,
    substr(e.client, 1, 120) AS client, coalesce(k.name, e.key_id) AS key,
    coalesce(a.name, e.account_id) AS account, substr(e.model, 1, 120) AS model,
    substr(e.effort, 1, 120) AS effort, e.status, e.outcome, substr(e.error_code, 1, 120) AS error_code,
    e.attempts, e.input_tokens, e.cached_tokens, e.output_tokens, e.reasoning_tokens, e.cost_micros
  FROM exchanges e LEFT JOIN keys k ON k.id = e.key_id LEFT JOIN accounts a ON a.id = e.account_id
  ORDER BY e.id DESC LIMIT ?1";

/// The newest first.
pub(super) fn newest(connection: &Connection) -> rusqlite::Result<Vec<Exchange>> {
    let mut statement = connection.prepare(SQL)?;
    let exchanges = statement.query_map([NEWEST], Exchange::read)?;
    exchanges.collect()
}

impl Exchange {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        let count = |column| row.get::<_, Option<i64>>(column).map(|value| value.map(Count));
        Ok(Self {
            id: row.get("id")?,
            started_at: Moment(row.get("started_at")?),
            duration_ms: Span(row.get("duration_ms")?),
            first_event_ms: row.get::<_, Option<i64>>("first_event_ms")?.map(Span),
            route: row.get("route")?,
            client: row.get("client")?,
            key: row.get("key")?,
            account: row.get("account")?,
            model: row.get("model")?,
            effort: row.get("effort")?,
            status: row.get("status")?,
            outcome: row.get("outcome")?,
            error_code: row.get("error_code")?,
            attempts: row.get("attempts")?,
            input_tokens: count("input_tokens")?,
            cached_tokens: count("cached_tokens")?,
            output_tokens: count("output_tokens")?,
            reasoning_tokens: count("reasoning_tokens")?,
            cost_micros: row.get::<_, Option<i64>>("cost_micros")?.map(Cost),
        })
    }

    /// A class for the colour of the outcome.
    pub(crate) fn level(&self) -> &'static str {
        match self.outcome.as_str() {
            "completed" => "good",
            "incomplete" => "warn",
            "client_left" => "mute",
            _ => "bad",
        }
    }

    /// The outcome in words.
    pub(crate) fn outcome_text(&self) -> String {
        self.outcome.replace('_', " ")
    }

    pub(crate) fn cached_share(&self) -> Option<Percent> {
        self.cached_tokens?.share_of(self.input_tokens?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::{NOW, Seed};

    #[test]
    fn the_newest_come_first_and_only_twenty() {
        let seed = Seed::empty();
        for age in 0..30 {
            seed.exchange(NOW.0 - age * 1_000, "a", None, "m", "completed");
        }
        let ages: Vec<i64> = newest(&seed.connection)
            .unwrap()
            .into_iter()
            .map(|exchange| (NOW.0 - exchange.started_at.0) / 1_000)
            .collect();
        assert_eq!(ages, (0..20).collect::<Vec<i64>>());
    }

    #[test]
    fn names_replace_ids_while_they_exist_and_long_text_is_cut() {
        let seed = Seed::empty();
        seed.account("work");
        seed.key("laptop");
        seed.exchange(NOW.0, "work", Some("laptop"), &"m".repeat(5_000), "completed");
        seed.exchange(NOW.0 - 1, "gone", Some("gone"), "m", "completed");
        let exchanges = newest(&seed.connection).unwrap();
        assert_eq!(
            (exchanges[0].account.as_deref(), exchanges[0].key.as_deref()),
            (Some("work"), Some("laptop"))
        );
        assert_eq!(exchanges[1].account.as_deref(), Some(Seed::id("gone").as_str()));
        assert_eq!(exchanges[0].model.as_ref().unwrap().len(), 120);
    }

    #[test]
    fn no_row_but_the_newest_is_touched() {
        let seed = Seed::empty();
        let mut statement = seed.connection.prepare(&format!("EXPLAIN QUERY PLAN {SQL}")).unwrap();
        let steps: Vec<String> =
            statement.query_map([NEWEST], |row| row.get(3)).unwrap().map(Result::unwrap).collect();
        assert!(!steps.iter().any(|step| step.contains("TEMP B-TREE")), "{steps:?}");
    }
}
