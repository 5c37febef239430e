//! Moves the write-ahead log into the file, on a thread of its own: no commit waits for the disk meanwhile.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::queue::Queue;
use super::writer::Pulse;

const LOOK: Duration = Duration::from_secs(1);
/// Jobs committed since the last checkpoint that make another one worth its two fsyncs: some MiB of log.
const WORTH: u64 = 500;
/// Less than that is moved after this time.
const LATEST: Duration = Duration::from_secs(60);
/// Log size at which the writer, should this thread not keep up, checkpoints by itself: pages of 4 KiB.
const WRITER_AT_PAGES: u32 = 16 * 1024;
/// A log that has grown beyond this is cut back to it when it starts anew, bytes.
const KEPT_LOG: u32 = 16 << 20;

/// What the writer's connection must be told, so that checkpoints are made here.
pub(super) fn leave_to_thread(writer: &Connection) -> Result<(), rusqlite::Error> {
    writer.pragma_update_and_check(None, "wal_autocheckpoint", WRITER_AT_PAGES, |_| Ok(()))?;
    writer.pragma_update_and_check(None, "journal_size_limit", KEPT_LOG, |_| Ok(()))
}

/// Runs until the writer has ended.
pub(super) fn run(connection: &Connection, queue: &Queue, pulse: &Pulse) {
    let (mut done, mut last) = (0, Instant::now());
    while !queue.wait_for_end(LOOK) {
        let committed = pulse.committed.load(Ordering::Relaxed);
        let new = committed - done;
        if new < WORTH && (new == 0 || last.elapsed() < LATEST) {
            continue;
        }
        match checkpoint(connection) {
            Ok(_) => (done, last) = (committed, Instant::now()),
            Err(error) => log::debug!("checkpoint: {error}"),
        }
    }
}

/// Passive: waits for nobody, stops nobody, and moves what it can. Pages in the log, and how many of them were moved.
fn checkpoint(connection: &Connection) -> Result<(u32, u32), rusqlite::Error> {
    connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| Ok((row.get(1)?, row.get(2)?)))
}

#[cfg(test)]
mod tests {
    use super::super::schema;
    use super::*;

    #[test]
    fn the_second_connection_moves_what_the_first_has_committed() {
        let dir = tempfile::tempdir().unwrap();
        let writer = schema::open(dir.path()).unwrap();
        leave_to_thread(&writer).unwrap();
        let beside = schema::open_beside(&schema::path(dir.path())).unwrap();
        checkpoint(&beside).unwrap();
        let fill = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000)
                    INSERT INTO hourly SELECT i, '', '', '', 1, 0, 0, 0, 0, 0, 0 FROM n";
        writer.execute_batch(fill).unwrap();
        let (pages, moved) = checkpoint(&beside).unwrap();
        assert!(pages > 5, "{pages}");
        assert_eq!(pages, moved);
    }
}
