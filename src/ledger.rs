//! The ledger: one SQLite file and the one thread that writes it. Domain operations only; no rusqlite type leaves.

mod entry;

use std::path::Path;
use std::sync::Arc;

pub use entry::{Entry, Outcome};

use crate::tokens::Tokens;
use crate::vault::Vault;

/// A handle to the writer thread; cheap to clone.
#[derive(Clone)]
pub struct Ledger {}

/// An account as the ledger knows it.
#[derive(Debug, Clone)]
pub struct AccountRow {
    pub id: String,
    pub name: String,
    pub email: Option<String>,
    pub chatgpt_account_id: Option<String>,
    pub plan: Option<String>,
    pub priority: i64,
    pub paused: bool,
    pub needs_login: Option<String>,
    /// Unix epoch milliseconds, and why.
    pub cooling: Option<(u64, String)>,
    pub tokens: Tokens,
    /// SHA-256 hex of the refresh token.
    pub refresh_hash: String,
    /// Unix epoch milliseconds.
    pub refreshed_at: u64,
    pub windows: Vec<WindowRow>,
}

/// One quota window of an account.
#[derive(Debug, Clone, PartialEq)]
pub struct WindowRow {
    pub limit_id: String,
    pub seconds: u64,
    pub used_percent: f64,
    /// Unix epoch milliseconds.
    pub resets_at: Option<u64>,
    pub observed_at: u64,
}

/// A client's key as the ledger knows it (revoked ones are not loaded).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRow {
    pub id: String,
    pub name: String,
    /// SHA-256 of the key.
    pub hash: [u8; 32],
}

/// What the proxy starts from, and reloads when another process changed the file.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    pub accounts: Vec<AccountRow>,
    pub keys: Vec<KeyRow>,
}

/// What became of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recorded {
    Committed,
    /// Not within the wait; it stays queued and will be committed.
    Queued,
    /// The queue was full: counted, reported by `lost()`.
    Lost,
}

/// What became of a compare-and-set on tokens.
#[derive(Debug, Clone)]
pub enum Swap {
    Done,
    /// Somebody else rotated them first: here are the newer ones.
    Outdated(Box<AccountRow>),
    /// The account was removed.
    Gone,
}

/// A change of state the proxy noticed; written lazily, never waited for.
#[derive(Debug, Clone)]
pub enum AccountChange {
    Cooling { until: u64, reason: String },
    Recovered,
    NeedsLogin { reason: String },
    Plan { plan: String },
    Windows(Vec<WindowRow>),
}

/// The ledger could not be opened, read or written.
#[derive(Debug)]
pub struct LedgerError(pub String);

impl std::fmt::Display for LedgerError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for LedgerError {}

impl Ledger {
    /// Opens (creating and migrating as needed) `data_dir/ledger.db` and starts the writer thread.
    pub fn open(_data_dir: &Path, _vault: Arc<Vault>) -> Result<Self, LedgerError> {
        Ok(Self {})
    }

    /// Accounts and keys as they are now; blocking, for start-up and reload.
    pub fn load(&self) -> Result<Snapshot, LedgerError> {
        Ok(Snapshot::default())
    }

    /// Changes whenever *another* process committed to the file.
    pub fn changed(&self) -> tokio::sync::watch::Receiver<u64> {
        tokio::sync::watch::channel(0).1
    }

    /// Queues the row and waits for its commit, 250 ms at most.
    pub async fn record(&self, _entry: Entry) -> Recorded {
        Recorded::Committed
    }

    /// Queues the row and returns at once.
    pub fn record_later(&self, _entry: Entry) -> Recorded {
        Recorded::Queued
    }

    /// Replaces the tokens of `account` if its refresh token still hashes to `from_hash`; durable (fsync) on return.
    pub async fn swap_tokens(
        &self,
        _account: &str,
        _from_hash: &str,
        _to: &Tokens,
        _now_ms: u64,
    ) -> Result<Swap, LedgerError> {
        Ok(Swap::Done)
    }

    /// Notes a change of state.
    pub fn note(&self, _account: &str, _change: AccountChange) {}

    /// Keeps a conversation's reasoning items (opaque bytes, sealed at rest); lazy, never waited for.
    pub fn save_reasoning(&self, _anchor: &str, _account: &str, _items: bytes::Bytes, _now_ms: u64) {}

    /// The newest saved reasoning, `max_bytes` of it at most; blocking, for start-up. (anchor, account id, items)
    pub fn load_reasoning(
        &self,
        _max_bytes: u64,
    ) -> Result<Vec<(String, String, bytes::Bytes)>, LedgerError> {
        Ok(Vec::new())
    }

    /// The writer has not got stuck: its last transaction finished, or began less than a few seconds ago.
    pub fn healthy(&self) -> bool {
        true
    }

    /// Rows dropped because the queue was full, since start.
    pub fn lost(&self) -> u64 {
        0
    }
}
