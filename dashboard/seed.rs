//! Ledgers for tests and screenshots, built from the proxy's own schema.

use std::cell::Cell;
use std::path::PathBuf;

use rusqlite::{Connection, params};

use crate::format::Moment;

/// 2025-11-22 18:09:27 UTC
pub(crate) const NOW: Moment = Moment(1_763_834_967_000);

const SCHEMA: &str = include_str!("../src/ledger/schema/0001_init.sql");
const TEAM: &str = include_str!("seed/team.sql");
const TRAFFIC: &str = include_str!("seed/traffic.sql");
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
        let seed = Self::unused(now);
        seed.run(TRAFFIC, now);
        seed
    }

    /// The same accounts and keys, and nothing sent yet.
    pub(crate) fn unused(now: Moment) -> Self {
        let seed = Self::empty();
        seed.run(TEAM, now);
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
        let sql = "INSERT INTO windows VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        let row = params![Self::id(account), limit, seconds, used, resets_at, NOW.0];
        self.connection.execute(sql, row).unwrap();
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
        let sql = format!(
            "INSERT INTO {table} VALUES (?1, ?2, ?3, ?4, ?5, 0, 1000 * ?5, 800 * ?5, 100 * ?5, 40 * ?5, 4213 * ?5)"
        );
        let row = params![bucket, Self::id(account), Self::id(key), model, requests];
        self.connection.execute(&sql, row).unwrap();
    }

    fn run(&self, sql: &str, now: Moment) {
        let sql = sql.replace(":now", &now.0.to_string());
        self.connection.execute_batch(&format!("BEGIN; {sql} COMMIT;")).unwrap();
    }
}
