//! Opening the file: permissions, pragmas, migrations, and whether the vault's key fits.

use std::fs::DirBuilder;
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension};
use rusqlite_migration::{M, Migrations};

use super::{LedgerError, because};
use crate::vault::{Vault, give_to_owner_of, private};

const MIGRATIONS: &[M<'_>] = &[M::up(include_str!("schema/0001_init.sql"))];

/// How long SQLite itself waits for somebody else's lock before it says "busy".
const BUSY: Duration = Duration::from_millis(250);
/// Longest wait for another process that is creating or migrating the same file.
const SETUP: Duration = Duration::from_secs(10);

const KEY_CHECK_AAD: &str = "key_check";
const KEY_CHECK_TEXT: &[u8] = b"codex-lb";

pub(super) fn path(data_dir: &Path) -> PathBuf {
    data_dir.join("ledger.db")
}

/// Opens the ledger for writing; creates directory (0700) and file (0600) and migrates as needed. Reads no table.
pub(super) fn open(data_dir: &Path) -> Result<Connection, LedgerError> {
    let path = path(data_dir);
    let failed =
        |error: &dyn std::fmt::Display| LedgerError(format!("cannot open {}: {error}", path.display()));
    create(data_dir, &path).map_err(|error| failed(&error))?;
    let mut connection = connect(&path).map_err(|error| failed(&error))?;
    let deadline = Instant::now() + SETUP;
    loop {
        match set_up(&mut connection) {
            Ok(()) => return Ok(connection),
            Err(Refusal::Newer { found }) => {
                return Err(failed(&format!(
                    "its schema is version {found}, but this codex-lb knows only up to {}. It was written by a newer \
                     codex-lb: run that one, or restore a backup from before the upgrade.",
                    MIGRATIONS.len()
                )));
            }
            // Another process is at it this moment, or was when we looked: look again.
            Err(Refusal::Overtaken) if Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(20))
            }
            Err(Refusal::Overtaken) => return Err(failed(&"another process keeps it locked")),
            Err(Refusal::Failed(error)) => return Err(failed(&error)),
        }
    }
}

/// A second connection to an existing ledger, for reading beside the writer.
pub(super) fn open_beside(path: &Path) -> Result<Connection, rusqlite::Error> {
    let connection = connect(path)?;
    connection.pragma_update(None, "query_only", true)?;
    Ok(connection)
}

/// There is a ledger, and it has accounts, whose tokens are sealed.
pub(crate) fn holds_accounts(data_dir: &Path) -> Result<bool, LedgerError> {
    let path = path(data_dir);
    let look = || -> Result<bool, rusqlite::Error> {
        let connection = connect(&path)?;
        let tables = "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'accounts')";
        if !connection.query_row(tables, [], |row| row.get(0))? {
            return Ok(false);
        }
        connection.query_row("SELECT EXISTS (SELECT 1 FROM accounts)", [], |row| row.get(0))
    };
    match std::fs::metadata(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(LedgerError(format!("cannot read {}: {error}", path.display()))),
        Ok(meta) if meta.len() == 0 => Ok(false),
        Ok(_) => look().map_err(|error| LedgerError(format!("cannot read {}: {error}", path.display()))),
    }
}

/// Refuses a vault whose key is not the one the ledger's secrets were sealed with.
pub(super) fn check_key(connection: &Connection, vault: &Vault) -> Result<(), LedgerError> {
    let look = "SELECT sealed FROM key_check WHERE id = 1";
    let sealed: Option<Vec<u8>> =
        connection.query_row(look, [], |row| row.get(0)).optional().map_err(because("read the key check"))?;
    let fits =
        |sealed: Vec<u8>| vault.unseal(KEY_CHECK_AAD, &sealed).is_ok_and(|text| *text == KEY_CHECK_TEXT);
    match sealed.map(fits) {
        Some(true) => Ok(()),
        None => adopt_key(connection, vault),
        Some(false) => {
            let accounts: bool = connection
                .query_row("SELECT EXISTS (SELECT 1 FROM accounts)", [], |row| row.get(0))
                .map_err(because("count the accounts"))?;
            if !accounts {
                return adopt_key(connection, vault);
            }
            Err(LedgerError(format!(
                "{} is not the key that ledger.db was sealed with. Put the right vault.key back from your backup; if it \
                 is lost for good, move ledger.db away and import the accounts again.",
                vault.key_path().display()
            )))
        }
    }
}

/// Nothing of value is sealed yet. Reasoning items are a cache: what another key sealed is thrown away.
fn adopt_key(connection: &Connection, vault: &Vault) -> Result<(), LedgerError> {
    let sealed = vault.seal(KEY_CHECK_AAD, KEY_CHECK_TEXT).map_err(|error| LedgerError(error.to_string()))?;
    let adopt = || {
        connection.execute("DELETE FROM reasoning", [])?;
        connection.execute("INSERT OR REPLACE INTO key_check (id, sealed) VALUES (1, ?1)", [sealed])
    };
    adopt().map(|_| ()).map_err(because("write the key check"))
}

fn create(data_dir: &Path, path: &Path) -> std::io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(data_dir)?;
    // SQLite gives its -wal and -shm files the mode and owner of this one.
    match private().write(true).create_new(true).open(path) {
        Ok(_) => give_to_owner_of(data_dir, path),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error),
    }
    Ok(())
}

fn connect(path: &Path) -> Result<Connection, rusqlite::Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY)?;
    connection.set_prepared_statement_cache_capacity(64);
    connection.pragma_update(None, "foreign_keys", true)?;
    Ok(connection)
}

enum Refusal {
    Newer { found: usize },
    Overtaken,
    Failed(String),
}

impl From<rusqlite::Error> for Refusal {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Overtaken,
            _ => Self::Failed(error.to_string()),
        }
    }
}

fn set_up(connection: &mut Connection) -> Result<(), Refusal> {
    let found = version(connection)?;
    if found > MIGRATIONS.len() {
        return Err(Refusal::Newer { found });
    }
    if found == 0 {
        // Only an empty file can still choose this.
        connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    }
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    if found < MIGRATIONS.len()
        && let Err(error) = Migrations::from_slice(MIGRATIONS).to_latest(connection)
    {
        let overtaken = version(connection)? != found;
        return Err(if overtaken { Refusal::Overtaken } else { refusal(error) });
    }
    Ok(())
}

fn version(connection: &Connection) -> Result<usize, rusqlite::Error> {
    connection.query_row("PRAGMA user_version", [], |row| row.get(0))
}

fn refusal(error: rusqlite_migration::Error) -> Refusal {
    if let rusqlite_migration::Error::RusqliteError { err, .. } = error {
        return err.into();
    }
    Refusal::Failed(error.to_string())
}

/// The error lies in what was to be written: trying again cannot help. All others (locked, disk full, …) may pass.
pub(super) fn is_about_the_data(error: &rusqlite::Error) -> bool {
    match error.sqlite_error_code() {
        Some(code) => matches!(
            code,
            ErrorCode::ConstraintViolation
                | ErrorCode::TypeMismatch
                | ErrorCode::TooBig
                | ErrorCode::ApiMisuse
        ),
        // Not from SQLite but from the conversion of a value.
        None => true,
    }
}
