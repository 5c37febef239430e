//! Reads the ledger: never writes, a few queries at once, each with a time limit.

pub(crate) mod changes;

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode, OpenFlags};
use tokio::sync::Semaphore;

/// The `user_version` this dashboard's queries are written for.
pub(crate) const SCHEMA: i64 = 1;
/// Queries running at the same time.
const SLOTS: usize = 4;
/// Longest wait for one of them.
const QUEUE: Duration = Duration::from_secs(2);
/// Longest time a query may take.
const QUERY: Duration = Duration::from_secs(3);
/// Longest wait for somebody else's lock on the file.
const LOCK: Duration = Duration::from_millis(500);

/// The ledger's file, as a reader sees it. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Db {
    path: Arc<Path>,
    slots: Arc<Semaphore>,
}

/// Why there is nothing to show.
#[derive(Debug)]
pub(crate) enum DbError {
    /// The file is not there yet, or has no tables yet.
    Waiting,
    /// Written by another version of the proxy: its `user_version`.
    UnknownVersion(i64),
    /// Too many queries at once, or the file is locked.
    Busy,
    /// The query ran into its time limit.
    TooSlow,
    /// Anything else; the text is for the log only.
    Unreadable(String),
}

impl Db {
    pub(crate) fn new(path: &Path) -> Self {
        Self { path: path.into(), slots: Arc::new(Semaphore::new(SLOTS)) }
    }

    /// Runs `query` on a connection of its own, on a thread that may block. A caller that goes away does not
    /// free the slot before the query has ended.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, DbError> {
        let slot = tokio::time::timeout(QUEUE, Arc::clone(&self.slots).acquire_owned()).await;
        let Ok(Ok(slot)) = slot else { return Err(DbError::Busy) };
        let path = Arc::clone(&self.path);
        let task = tokio::task::spawn_blocking(move || {
            let _slot = slot;
            let connection = open(&path, QUERY)?;
            query(&connection).map_err(DbError::from)
        });
        task.await.map_err(|panic| DbError::Unreadable(panic.to_string()))?
    }
}

/// Opens the file for reading; whatever is asked of it is cut off after `limit`, counted from now.
fn open(path: &Path, limit: Duration) -> Result<Connection, DbError> {
    let connection = connect(path)?;
    let end = Instant::now() + limit;
    connection.progress_handler(10_000, Some(move || Instant::now() >= end));
    match connection.pragma_query_value(None, "user_version", |row| row.get(0))? {
        SCHEMA => Ok(connection),
        0 => Err(DbError::Waiting),
        other => Err(DbError::UnknownVersion(other)),
    }
}

fn connect(path: &Path) -> Result<Connection, DbError> {
    match std::fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Err(DbError::Waiting),
        Err(error) => return Err(DbError::Unreadable(error.to_string())),
        Ok(_) => {}
    }
    // The flag is `mode=ro`, for paths that need no escaping.
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(LOCK)?;
    connection.pragma_update(None, "query_only", true)?;
    Ok(connection)
}

impl From<rusqlite::Error> for DbError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Busy,
            Some(ErrorCode::OperationInterrupted) => Self::TooSlow,
            _ => Self::Unreadable(error.to_string()),
        }
    }
}

impl fmt::Display for DbError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Waiting => f.write_str("the ledger does not exist yet"),
            Self::UnknownVersion(found) => write!(
                f,
                "the ledger has version {found} and this dashboard reads version {SCHEMA}; \
                 install the dashboard of the same release as the proxy"
            ),
            Self::Busy => f.write_str("the ledger is busy"),
            Self::TooSlow => write!(f, "the query took longer than {} s", QUERY.as_secs()),
            Self::Unreadable(why) => write!(f, "the ledger cannot be read: {why}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Seed;

    fn outcome<T>(opened: Result<T, DbError>) -> String {
        opened.err().map_or_else(|| "open".to_owned(), |error| error.to_string())
    }

    #[test]
    fn a_file_that_is_not_there_or_empty_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.db");
        assert!(matches!(open(&path, QUERY), Err(DbError::Waiting)));
        std::fs::write(&path, "").unwrap();
        assert!(matches!(open(&path, QUERY), Err(DbError::Waiting)));
        assert_eq!(std::fs::metadata(&path).unwrap().len(), 0, "a reader must not create anything");
    }

    #[test]
    fn an_unknown_version_is_refused_with_a_sentence() {
        let seed = Seed::empty();
        seed.connection.pragma_update(None, "user_version", 7).unwrap();
        assert!(
            outcome(open(&seed.path, QUERY)).contains("has version 7 and this dashboard reads version 1")
        );
    }

    #[test]
    fn a_file_that_is_no_database_is_unreadable() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.db");
        std::fs::write(&path, [b'x'; 8192]).unwrap();
        assert!(matches!(open(&path, QUERY), Err(DbError::Unreadable(_))));
    }

    #[test]
    fn the_connection_cannot_write() {
        let seed = Seed::empty();
        let connection = open(&seed.path, QUERY).unwrap();
        assert!(connection.execute("DELETE FROM keys", []).is_err());
        assert!(connection.execute("CREATE TEMP TABLE t (x)", []).is_err());
    }

    #[test]
    fn a_long_query_is_cut_off() {
        let seed = Seed::empty();
        let connection = open(&seed.path, Duration::from_millis(20)).unwrap();
        let long = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 100000000)
                    SELECT max(x) FROM n";
        let error = connection.query_row(long, [], |row| row.get::<_, i64>(0)).unwrap_err();
        assert!(matches!(DbError::from(error), DbError::TooSlow));
    }

    #[tokio::test(start_paused = true)]
    async fn more_queries_than_slots_are_refused_after_a_wait() {
        let seed = Seed::empty();
        let db = Db::new(&seed.path);
        let taken: Vec<_> = (0..SLOTS).map(|_| Arc::clone(&db.slots).try_acquire_owned().unwrap()).collect();
        assert!(matches!(db.read(|_| Ok(())).await, Err(DbError::Busy)));
        drop(taken);
    }
}
