//! What the ledger hands out and takes in, besides exchange rows: plain data.

use crate::tokens::Tokens;

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
    /// The queue was full, or the row is not storable: counted, reported by `lost()`.
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
    Cooling {
        /// Unix epoch milliseconds.
        until: u64,
        reason: String,
    },
    Recovered,
    NeedsLogin {
        reason: String,
    },
    Plan {
        plan: String,
    },
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
