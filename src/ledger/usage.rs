//! Sums over a stretch of time, for people.

use rusqlite::Connection;
use serde::Serialize;

/// What the sums are grouped by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    Account,
    Key,
    Model,
}

/// The sums of one account, key or model.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct UsageRow {
    /// Account id, key id or model; empty: exchanges without one.
    pub id: String,
    /// Its name today; the id once it is gone.
    pub name: String,
    pub requests: u64,
    pub errors: u64,
    pub input_tokens: u64,
    pub cached_tokens: u64,
    pub output_tokens: u64,
    pub reasoning_tokens: u64,
    /// Millionths of a US dollar.
    pub cost_micros: u64,
}

macro_rules! sum_by {
    ($column:literal, $join:literal, $name:literal) => {
        concat!(
            "SELECT h.",
            $column,
            ", coalesce(",
            $name,
            ", h.",
            $column,
            "), sum(h.requests), sum(h.errors), sum(h.input_tokens), sum(h.cached_tokens), sum(h.output_tokens),
               sum(h.reasoning_tokens), sum(h.cost_micros)
             FROM hourly h ",
            $join,
            " WHERE h.bucket >= ?1 GROUP BY h.",
            $column,
            " ORDER BY sum(h.cost_micros) DESC, sum(h.requests) DESC, 1"
        )
    };
}

/// From the hour of `since` (Unix epoch milliseconds) on; the dearest and busiest first.
pub(super) fn sums(connection: &Connection, by: By, since: u64) -> Result<Vec<UsageRow>, rusqlite::Error> {
    let sql = match by {
        By::Account => sum_by!("account_id", "LEFT JOIN accounts n ON n.id = h.account_id", "n.name"),
        By::Key => sum_by!("key_id", "LEFT JOIN keys n ON n.id = h.key_id", "n.name"),
        By::Model => sum_by!("model", "", "h.model"),
    };
    connection
        .prepare_cached(sql)?
        .query_map([since - since % 3_600_000], |row| {
            Ok(UsageRow {
                id: row.get(0)?,
                name: row.get(1)?,
                requests: row.get(2)?,
                errors: row.get(3)?,
                input_tokens: row.get(4)?,
                cached_tokens: row.get(5)?,
                output_tokens: row.get(6)?,
                reasoning_tokens: row.get(7)?,
                cost_micros: row.get(8)?,
            })
        })?
        .collect()
}
