//! The SQL on exchange rows and the sums over them.

use std::collections::HashMap;

use rusqlite::{Connection, params};
use serde::Serialize;

use super::{Entry, Outcome};

const HOUR: u64 = 3_600_000;
const DAY: u64 = 24 * HOUR;

/// One exchange of the past, as people see it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PastExchange {
    pub id: String,
    /// Unix epoch milliseconds.
    pub started_at: u64,
    pub duration_ms: u64,
    pub first_event_ms: Option<u64>,
    pub route: String,
    pub client: Option<String>,
    pub key_id: Option<String>,
    /// Name of the key; its id once it is gone.
    pub key: Option<String>,
    pub account_id: Option<String>,
    /// Name of the account; its id once it is removed.
    pub account: Option<String>,
    pub model: Option<String>,
    pub effort: Option<String>,
    pub service_tier: Option<String>,
    pub stream: bool,
    pub status: u16,
    pub outcome: String,
    pub error_code: Option<String>,
    pub attempts: u32,
    pub input_tokens: Option<u64>,
    pub cached_tokens: Option<u64>,
    pub output_tokens: Option<u64>,
    pub reasoning_tokens: Option<u64>,
    /// Millionths of a US dollar.
    pub cost_micros: Option<u64>,
}

/// Writes the row; `false`: a row of that id is there already.
pub(super) fn insert(connection: &Connection, entry: &Entry) -> Result<bool, rusqlite::Error> {
    let usage = entry.usage;
    connection
        .prepare_cached(
            "INSERT INTO exchanges (id, started_at, duration_ms, first_event_ms, route, client, key_id, account_id,
               model, effort, service_tier, stream, status, outcome, error_code, attempts, input_tokens,
               cached_tokens, output_tokens, reasoning_tokens, cost_micros)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21)
             ON CONFLICT (id) DO NOTHING",
        )?
        .execute(params![
            entry.id,
            entry.started_at,
            entry.duration_ms,
            entry.first_event_ms,
            entry.route,
            entry.client,
            entry.key_id,
            entry.account_id,
            entry.model,
            entry.effort,
            entry.service_tier,
            entry.stream,
            entry.status,
            entry.outcome.as_str(),
            entry.error_code,
            entry.attempts,
            usage.map(|usage| usage.input),
            usage.map(|usage| usage.cached),
            usage.map(|usage| usage.output),
            usage.map(|usage| usage.reasoning),
            entry.cost_micros,
        ])
        .map(|changed| changed == 1)
}

/// The newest first.
pub(super) fn newest(connection: &Connection, count: u32) -> Result<Vec<PastExchange>, rusqlite::Error> {
    connection
        .prepare_cached(
            "SELECT e.*, coalesce(a.name, e.account_id) AS account, coalesce(k.name, e.key_id) AS key
             FROM exchanges e LEFT JOIN accounts a ON a.id = e.account_id LEFT JOIN keys k ON k.id = e.key_id
             ORDER BY e.started_at DESC, e.id DESC LIMIT ?1",
        )?
        .query_map([count], |row| {
            Ok(PastExchange {
                id: row.get("id")?,
                started_at: row.get("started_at")?,
                duration_ms: row.get("duration_ms")?,
                first_event_ms: row.get("first_event_ms")?,
                route: row.get("route")?,
                client: row.get("client")?,
                key_id: row.get("key_id")?,
                key: row.get("key")?,
                account_id: row.get("account_id")?,
                account: row.get("account")?,
                model: row.get("model")?,
                effort: row.get("effort")?,
                service_tier: row.get("service_tier")?,
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
        })?
        .collect()
}

/// What a transaction adds to `hourly` and `daily`: one upsert for many rows of a kind.
#[derive(Debug, Default)]
pub(super) struct Sums<'a>(HashMap<Group<'a>, Totals>);

#[derive(Debug, PartialEq, Eq, Hash)]
struct Group<'a> {
    hour: u64,
    account: &'a str,
    key: &'a str,
    model: &'a str,
}

#[derive(Debug, Default)]
struct Totals {
    requests: u64,
    errors: u64,
    input: u64,
    cached: u64,
    output: u64,
    reasoning: u64,
    cost_micros: u64,
}

impl<'a> Sums<'a> {
    pub(super) fn add(&mut self, entry: &'a Entry) {
        let group = Group {
            hour: entry.started_at - entry.started_at % HOUR,
            account: entry.account_id.as_deref().unwrap_or(""),
            key: entry.key_id.as_deref().unwrap_or(""),
            model: entry.model.as_deref().unwrap_or(""),
        };
        let usage = entry.usage.unwrap_or_default();
        let totals = self.0.entry(group).or_default();
        totals.requests += 1;
        totals.errors += match entry.outcome {
            Outcome::Failed | Outcome::Refused => 1,
            Outcome::Completed | Outcome::Incomplete | Outcome::ClientLeft => 0,
        };
        totals.input = totals.input.saturating_add(usage.input);
        totals.cached = totals.cached.saturating_add(usage.cached);
        totals.output = totals.output.saturating_add(usage.output);
        totals.reasoning = totals.reasoning.saturating_add(usage.reasoning);
        totals.cost_micros = totals.cost_micros.saturating_add(entry.cost_micros.unwrap_or(0));
    }

    pub(super) fn write(&self, connection: &Connection) -> Result<(), rusqlite::Error> {
        for (group, totals) in &self.0 {
            for (sql, bucket) in [(HOURLY, group.hour), (DAILY, group.hour - group.hour % DAY)] {
                connection.prepare_cached(sql)?.execute(params![
                    bucket,
                    group.account,
                    group.key,
                    group.model,
                    totals.requests,
                    totals.errors,
                    totals.input,
                    totals.cached,
                    totals.output,
                    totals.reasoning,
                    totals.cost_micros,
                ])?;
            }
        }
        Ok(())
    }
}

macro_rules! add_to {
    ($table:literal) => {
        concat!(
            "INSERT INTO ",
            $table,
            " (bucket, account_id, key_id, model, requests, errors, input_tokens, cached_tokens, output_tokens,
               reasoning_tokens, cost_micros)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
             ON CONFLICT DO UPDATE SET
               requests = requests + excluded.requests,
               errors = errors + excluded.errors,
               input_tokens = input_tokens + excluded.input_tokens,
               cached_tokens = cached_tokens + excluded.cached_tokens,
               output_tokens = output_tokens + excluded.output_tokens,
               reasoning_tokens = reasoning_tokens + excluded.reasoning_tokens,
               cost_micros = cost_micros + excluded.cost_micros"
        )
    };
}
const HOURLY: &str = add_to!("hourly");
const DAILY: &str = add_to!("daily");
