//! The ledger as a stranger reads it: plain SQL on the file.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

/// One row of `exchanges`.
#[derive(Debug, Clone)]
pub struct Row {
    pub id: String,
    pub started_at: i64,
    pub duration_ms: i64,
    pub first_event_ms: Option<i64>,
    pub route: String,
    pub client: Option<String>,
    pub key_id: Option<String>,
    pub account_id: Option<String>,
    pub model: Option<String>,
    pub effort: Option<String>,
    pub stream: bool,
    pub status: i64,
    pub outcome: String,
    pub error_code: Option<String>,
    pub attempts: i64,
    pub input_tokens: Option<i64>,
    pub cached_tokens: Option<i64>,
    pub output_tokens: Option<i64>,
    pub reasoning_tokens: Option<i64>,
    pub cost_micros: Option<i64>,
}

const COLUMNS: &str = "id, started_at, duration_ms, first_event_ms, route, client, key_id, account_id, model, effort, \
    stream, status, outcome, error_code, attempts, input_tokens, cached_tokens, output_tokens, reasoning_tokens, \
    cost_micros";

/// A read-only connection to the file.
pub(crate) fn open(file: &Path) -> Connection {
    let connection = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    connection.busy_timeout(Duration::from_secs(5)).unwrap();
    connection
}

/// All exchanges, oldest first.
pub(crate) fn rows(file: &Path) -> Vec<Row> {
    let connection = open(file);
    let mut statement = connection.prepare(&format!("SELECT {COLUMNS} FROM exchanges ORDER BY id")).unwrap();
    let rows = statement.query_map([], read).unwrap();
    rows.map(Result::unwrap).collect()
}

/// Writes the operator's order into the file: by name.
pub(crate) fn put_in_order(file: &Path) {
    let connection = Connection::open(file).unwrap();
    let order = "UPDATE accounts SET priority = (SELECT count(*) FROM accounts AS other WHERE other.name < accounts.name)";
    connection.execute_batch(order).unwrap();
}

fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Row> {
    Ok(Row {
        id: row.get("id")?,
        started_at: row.get("started_at")?,
        duration_ms: row.get("duration_ms")?,
        first_event_ms: row.get("first_event_ms")?,
        route: row.get("route")?,
        client: row.get("client")?,
        key_id: row.get("key_id")?,
        account_id: row.get("account_id")?,
        model: row.get("model")?,
        effort: row.get("effort")?,
        stream: row.get("stream")?,
        status: row.get("status")?,
        outcome: row.get("outcome")?,
        error_code: row.get("error_code")?,
        attempts: row.get("attempts")?,
        input_tokens: row.get("input_tokens")?,
        cached_tokens: row.get("cached_tokens")?,
        output_tokens: row.get("output_tokens")?,
        reasoning_tokens: row.get("reasoning_tokens")?,
        cost_micros: row.get("cost_micros")?,
    })
}
