//! Deletes rows that have outlived their retention, a slice at a time, and gives the space back.

use std::time::{Duration, Instant};

use rusqlite::{Connection, TransactionBehavior, params};

use super::{now_ms, reasoning};

const EVERY: Duration = Duration::from_secs(3600);
/// Rows in one transaction: a few milliseconds, so that nobody waits long behind it.
const SLICE: u32 = 500;
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

    pub(super) fn is_due(&self) -> bool {
        Instant::now() >= self.next
    }

    /// One short transaction; due again at once while there is more to do.
    pub(super) fn run_slice(&mut self, connection: &mut Connection) {
        let keep = u64::try_from(self.keep.as_millis()).unwrap_or(u64::MAX);
        let pause = match slice(connection, now_ms(), keep) {
            Ok(true) => Duration::ZERO,
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
