//! Ledgers for tests and screenshots, built from the proxy's own schema.

use std::cell::Cell;
use std::path::PathBuf;

use rusqlite::{Connection, params};

use crate::format::Moment;

/// 2025-11-22 18:09:27 UTC
pub(crate) const NOW: Moment = Moment(1_763_834_967_000);

const SCHEMA: &str = include_str!("../src/ledger/schema/0001_init.sql");
const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;

/// A ledger in a folder of its own, and a connection that may write.
pub(crate) struct Seed {
    pub(crate) path: PathBuf,
    pub(crate) connection: Connection,
    exchanges: Cell<u64>,
    _folder: tempfile::TempDir,
}

impl Seed {
    /// All tables, no rows.
    pub(crate) fn empty() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.db");
        let connection = Connection::open(&path).unwrap();
        connection.pragma_update(None, "journal_mode", "wal").unwrap();
        connection.execute_batch(SCHEMA).unwrap();
        connection.pragma_update(None, "user_version", 1).unwrap();
        Self { path, connection, exchanges: Cell::new(0), _folder: folder }
    }

    /// A month of a small team: five accounts in all states, three keys, four models.
    pub(crate) fn full(now: Moment) -> Self {
        let seed = Self::empty();
        seed.connection.execute_batch("BEGIN").unwrap();
        seed.team(now);
        seed.month(now);
        seed.newest(now);
        seed.connection.execute_batch("COMMIT").unwrap();
        seed
    }

    /// The same accounts and keys, and nothing sent yet.
    pub(crate) fn unused(now: Moment) -> Self {
        let seed = Self::empty();
        seed.team(now);
        seed
    }

    /// A million more exchanges over the month before `now`, and sums of 200 combinations an hour.
    pub(crate) fn million(&self, now: Moment) {
        let of_every = "WITH RECURSIVE n(x) AS (SELECT 0 UNION ALL SELECT x + 1 FROM n WHERE x + 1 < ?1)";
        let exchanges = format!(
            "{of_every} INSERT INTO exchanges SELECT printf('%012x%020x', ?2 - x * 2592, x + 1000000), ?2 - x * 2592,
             2000, 400, 'chat', 'opencode/1.18', NULL, 'id-ada@example.com', 'gpt-5.2', NULL, NULL, 1, 200,
             'completed', NULL, 1, 1000, 800, 100, 40, 4213 FROM n"
        );
        self.connection.execute(&exchanges, params![1_000_000, now.0 - DAY]).unwrap();
        for (table, length, count) in [("hourly", HOUR, 720 * 200), ("daily", DAY, 30 * 200)] {
            let sums = format!(
                "{of_every} INSERT OR IGNORE INTO {table} SELECT (?2 - x / 200 * ?3) / ?3 * ?3, 'id-' || x % 5,
                 'id-' || x / 5 % 10, 'm-' || x / 50 % 4, 5, 1, 5000, 4000, 500, 200, 20000 FROM n"
            );
            self.connection.execute(&sums, params![count, now.0, length]).unwrap();
        }
    }

    /// The id that goes with a name.
    pub(crate) fn id(name: &str) -> String {
        if name.is_empty() { String::new() } else { format!("id-{name}") }
    }

    pub(crate) fn account(&self, name: &str) {
        let sql =
            "INSERT INTO accounts (id, name, plan, priority, tokens, refresh_hash, refreshed_at, created_at)
                   VALUES (?1, ?2, 'pro', (SELECT count(*) FROM accounts), x'00', '', 0, 0)";
        self.connection.execute(sql, [Self::id(name), name.to_owned()]).unwrap();
    }

    pub(crate) fn window(&self, account: &str, limit: &str, seconds: i64, used: f64, resets_at: Option<i64>) {
        self.observed(account, limit, seconds, used, resets_at, NOW.0);
    }

    pub(crate) fn key(&self, name: &str) {
        let sql = "INSERT INTO keys (id, name, hint, hash, created_at) VALUES (?1, ?2, '', ?3, 0)";
        self.connection.execute(sql, params![Self::id(name), name, name.as_bytes()]).unwrap();
    }

    /// An exchange of 1,000 tokens in and 100 out.
    pub(crate) fn exchange(
        &self,
        started_at: i64,
        account: &str,
        key: Option<&str>,
        model: &str,
        outcome: &str,
    ) {
        self.exchanges.set(self.exchanges.get() + 1);
        let sql =
            "INSERT INTO exchanges VALUES (?1, ?2, 2000, 400, 'chat', 'opencode/1.18', ?3, ?4, ?5, 'medium',
                   NULL, 1, 200, ?6, NULL, 1, 1000, 800, 100, 40, 4213)";
        let id = format!("{started_at:012x}{:020x}", self.exchanges.get());
        let (key, account) = (key.map(Self::id), Self::id(account));
        self.connection.execute(sql, params![id, started_at, key, account, model, outcome]).unwrap();
    }

    /// A row of `hourly` or `daily`: so many exchanges of 1,000 tokens in and 100 out.
    pub(crate) fn sums(
        &self,
        table: &str,
        bucket: i64,
        account: &str,
        key: &str,
        model: &str,
        requests: i64,
    ) {
        self.weighed(table, bucket, [account, key, model], requests, 1_000);
    }

    fn weighed(&self, table: &str, bucket: i64, of: [&str; 3], requests: i64, input: i64) {
        let [account, key, model] = of;
        let tokens = requests * input;
        let sql = format!(
            "INSERT INTO {table} VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11) ON CONFLICT DO UPDATE SET
             requests = requests + excluded.requests, input_tokens = input_tokens + excluded.input_tokens"
        );
        let row = params![
            bucket,
            Self::id(account),
            Self::id(key),
            model,
            requests,
            requests / 60,
            tokens,
            tokens * (70 + requests % 20) / 100,
            tokens / 10,
            tokens / 25,
            tokens * 3 / 5,
        ];
        self.connection.execute(&sql, row).unwrap();
    }

    fn observed(&self, account: &str, limit: &str, seconds: i64, used: f64, resets_at: Option<i64>, at: i64) {
        let sql = "INSERT INTO windows VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        self.connection
            .execute(sql, params![Self::id(account), limit, seconds, used, resets_at, at])
            .unwrap();
    }

    fn team(&self, now: Moment) {
        let accounts = [
            ("ada@example.com", 34.0, 41.0, "plan = 'pro'"),
            ("grace@example.com", 81.5, 58.2, "plan = 'plus'"),
            (
                "team seat 3",
                100.0,
                76.0,
                "plan = 'team', cooling_until = NOW, cooling_reason = 'usage_limit_reached'",
            ),
            ("linus@example.com", 12.0, 93.4, "plan = 'plus', paused = 1"),
            ("old@example.com", 98.0, 22.0, "plan = 'plus', needs_login = 'refresh_token_reused'"),
        ];
        for (index, (name, five_hours, week, state)) in (1..).zip(accounts) {
            self.account(name);
            let state = state.replace("NOW", &(now.0 + 47 * 60_000).to_string());
            let sql = format!("UPDATE accounts SET {state} WHERE name = ?1");
            self.connection.execute(&sql, [name]).unwrap();
            // The last account has not been seen for a day, so its shorter window was reset since.
            let (seen, resets) = if index == 5 {
                (now.0 - DAY, now.0 - 20 * HOUR)
            } else {
                (now.0 - index * 40_000, now.0 + index * HOUR)
            };
            self.observed(name, "codex", 18_000, five_hours, Some(resets), seen);
            self.observed(name, "codex", 604_800, week, Some(now.0 + index * DAY + 5 * HOUR), seen);
        }
        self.observed(
            "ada@example.com",
            "gpt-5.3-codex-spark",
            604_800,
            7.0,
            Some(now.0 + 2 * DAY),
            now.0 - 9_000,
        );
        for key in ["laptop", "ci", "build server"] {
            self.key(key);
        }
    }

    fn month(&self, now: Moment) {
        let models = ["gpt-5.3-codex", "gpt-5.3-codex-spark", "gpt-5.2", "gpt-5.1-codex-mini"];
        let accounts = ["ada@example.com", "grace@example.com", "team seat 3", "linus@example.com"];
        for hour in 0..30 * 24 {
            let bucket = now.0 / HOUR * HOUR - hour * HOUR;
            let (of_day, weekday) = (bucket / HOUR % 24, bucket / DAY % 7);
            let busy = [1, 0, 0, 0, 0, 0, 1, 4, 9, 14, 17, 16, 10, 13, 18, 20, 17, 12, 9, 7, 5, 4, 3, 2];
            let noise = (hour * 2_654_435_761_i64 >> 7) % 7;
            let requests = busy[of_day as usize] * (3 + noise) / if weekday > 4 { 4 } else { 1 };
            for (index, model) in models.iter().enumerate() {
                let part = requests / (1 + 2 * index as i64);
                if part > 0 {
                    let account = accounts[(hour as usize + index) % 4];
                    let of =
                        [account, ["laptop", "ci", "build server", ""][(hour as usize + index) % 4], model];
                    self.weighed("hourly", bucket, of, part, 21_000);
                    self.weighed("daily", bucket / DAY * DAY, of, part, 21_000);
                }
            }
        }
    }

    fn newest(&self, now: Moment) {
        let (ada, grace, team) = ("ada@example.com", "grace@example.com", "team seat 3");
        for (index, age) in
            (0_i64..).zip([4, 19, 44, 70, 95, 131, 180, 240, 300, 420, 500, 610, 900, 1_300, 1_800])
        {
            let account = [ada, grace, ada, team][index as usize % 4];
            let model = ["gpt-5.3-codex", "gpt-5.3-codex-spark", "gpt-5.2"][index as usize % 3];
            let key = [Some("laptop"), Some("ci"), None][index as usize % 3];
            let outcome = match index {
                3 => "client_left",
                6 | 11 => "failed",
                8 => "incomplete",
                _ => "completed",
            };
            self.exchange(now.0 - age * 1_000, account, key, model, outcome);
            let sql = "UPDATE exchanges SET duration_ms = ?2, first_event_ms = ?3, input_tokens = ?4,
                       cached_tokens = ?5, output_tokens = ?6, cost_micros = ?7 WHERE started_at = ?1";
            let input = 8_000 + index * index * 911;
            self.connection
                .execute(
                    sql,
                    params![
                        now.0 - age * 1_000,
                        1_900 + index * 7_350,
                        380 + index * 91,
                        input,
                        input * (95 - index * 4) / 100,
                        210 + index * 137,
                        input * 13 / 10
                    ],
                )
                .unwrap();
        }
        let updates = [
            (
                "error_code = 'usage_limit_reached', status = 429, attempts = 3, first_event_ms = NULL,
              input_tokens = NULL, cached_tokens = NULL, output_tokens = NULL, cost_micros = NULL",
                180,
            ),
            ("error_code = 'upstream_stream_truncated'", 610),
            ("client = 'codex_cli_rs/0.63', route = 'codex_responses', effort = 'high'", 44),
            ("client = 'openai-python/2.8', effort = NULL, cost_micros = NULL", 131),
        ];
        for (change, age) in updates {
            let sql = format!("UPDATE exchanges SET {change} WHERE started_at = ?1");
            self.connection.execute(&sql, [now.0 - age * 1_000]).unwrap();
        }
    }
}
