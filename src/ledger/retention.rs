//! Deletes rows that have outlived their retention, a slice at a time, and gives the space back.

use std::time::{Duration, Instant};

use rusqlite::{Connection, TransactionBehavior, params};

use super::reasoning;
use crate::now_ms;

const EVERY: Duration = Duration::from_secs(3600);
/// Rows in one transaction: a few milliseconds, so that nobody waits long behind it.
const SLICE: u32 = 500;
/// Between two slices, for everybody else.
const BREATH: Duration = Duration::from_millis(20);
/// Free pages (of 4 KiB) that new rows may use up again, before any are given back to the file system.
const SPARE_PAGES: u32 = 2048;
const VACUUM_PAGES: u32 = 512;

/// When the next slice is due, and what it deletes.
#[derive(Debug)]
pub(super) struct Retention {
    keep: Duration,
    next: Instant,
}

impl Retention {
    /// Keeps exchange rows for `keep`. The first look is a minute after the start, which has better things to do.
    pub(super) fn new(keep: Duration) -> Self {
        Self { keep, next: Instant::now() + Duration::from_secs(60) }
    }

    /// How long until the next slice; zero: now.
    pub(super) fn due_in(&self) -> Duration {
        self.next.saturating_duration_since(Instant::now())
    }

    /// One short transaction; due again soon while there is more to do.
    pub(super) fn run_slice(&mut self, connection: &mut Connection) {
        let keep = u64::try_from(self.keep.as_millis()).unwrap_or(u64::MAX);
        let pause = match slice(connection, now_ms(), keep) {
            Ok(true) => BREATH,
            Ok(false) => EVERY,
            Err(error) => {
                log::warn!("old rows could not be deleted, trying again in a minute: {error}");
                Duration::from_secs(60)
            }
        };
        self.next = Instant::now() + pause;
    }
}

/// `true`: there is more. `now` and `keep` in milliseconds.
fn slice(connection: &mut Connection, now: u64, keep: u64) -> Result<bool, rusqlite::Error> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let deleted = transaction
        .prepare_cached(
            "DELETE FROM exchanges WHERE id IN
               (SELECT id FROM exchanges WHERE started_at < ?1 ORDER BY started_at LIMIT ?2)",
        )?
        .execute(params![now.saturating_sub(keep), SLICE])?;
    let more = u32::try_from(deleted).is_ok_and(|deleted| deleted == SLICE);
    let more = reasoning::purge(&transaction, now)? || more;
    transaction.commit()?;
    Ok(give_back(connection)? || more)
}

/// `true`: there are still more free pages than needed.
fn give_back(connection: &Connection) -> Result<bool, rusqlite::Error> {
    let free = || connection.query_row("PRAGMA freelist_count", [], |row| row.get::<_, u32>(0));
    let before = free()?;
    if before <= SPARE_PAGES {
        return Ok(false);
    }
    // The pragma frees a page a step, so it has to be stepped to its end.
    let mut vacuum = connection.prepare(&format!("PRAGMA incremental_vacuum({VACUUM_PAGES})"))?;
    let mut steps = vacuum.query([])?;
    while steps.next()?.is_some() {}
    let after = free()?;
    Ok(after > SPARE_PAGES && after < before)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_rows_go_in_slices_their_sums_stay_and_the_file_shrinks() {
        let dir = tempfile::tempdir().unwrap();
        let mut connection = super::super::schema::open(dir.path()).unwrap();
        let fill = format!(
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)
             INSERT INTO exchanges (id, started_at, duration_ms, route, client, status, outcome)
             SELECT printf('%032x', i), i, 1, 'chat', '{}', 200, 'completed' FROM n",
            "x".repeat(500)
        );
        connection.execute_batch(&fill).unwrap();
        connection
            .execute_batch("INSERT INTO hourly VALUES (0, '', '', '', 20000, 0, 0, 0, 0, 0, 0)")
            .unwrap();
        let count = |connection: &Connection, sql: &str| -> u32 {
            connection.query_row(sql, [], |row| row.get(0)).unwrap()
        };
        let pages = count(&connection, "PRAGMA page_count");
        assert!(slice(&mut connection, 20_001, 1000).unwrap());
        assert_eq!(count(&connection, "SELECT count(*) FROM exchanges"), 20_000 - SLICE);
        while slice(&mut connection, 20_001, 1000).unwrap() {}
        assert_eq!(count(&connection, "SELECT count(*) FROM exchanges"), 1000);
        assert_eq!(count(&connection, "SELECT min(started_at) FROM exchanges"), 19_001);
        assert_eq!(count(&connection, "SELECT sum(requests) FROM hourly"), 20_000);
        assert!(count(&connection, "PRAGMA page_count") < pages);
        assert!(count(&connection, "PRAGMA freelist_count") <= SPARE_PAGES);
    }
}
