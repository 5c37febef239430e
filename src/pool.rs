//! The pool: accounts as Pingora backends, with own discovery, health and selection.

use std::sync::Arc;
use std::time::Duration;

use crate::ledger::WindowRow;
use crate::vault::Secret;

/// One account as the request path sees it: identity fixed, state live (atomics and short locks, never a wait).
#[derive(Debug)]
pub struct Account {
    pub id: String,
    pub name: String,
}

/// What an attempt needs to speak for an account.
#[derive(Debug, Clone)]
pub struct Credentials {
    pub access: Secret,
    /// Value of `chatgpt-account-id`; `None`: the header is omitted.
    pub chatgpt_account_id: Option<String>,
    /// Which tokens these are (SHA-256 hex of the refresh token): given back to `Tokens` after a 401.
    pub refresh_hash: String,
}

/// The right to send one attempt through an account. Counts as in flight until dropped.
#[derive(Debug)]
pub struct Lease {
    pub account: Arc<Account>,
}

/// What an exchange would like.
#[derive(Debug, Clone, Default)]
pub struct Wish {
    /// Key of the conversation; hashed and namespaced by the caller.
    pub affinity: Option<String>,
    /// The account that must serve (a hard owner), by id.
    pub owner: Option<String>,
    pub model: String,
}

/// Why nobody can serve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoAccount {
    /// No accounts at all, or all paused / in need of login; the sentence says what to do.
    Unusable { message: String },
    /// Everybody who could serve has run out. Unix seconds of the true earliest reset.
    Exhausted { resets_at: Option<u64> },
    /// Accounts rest for a moment after errors; try again then. Unix milliseconds.
    Resting { until_ms: u64 },
    /// All candidates were tried in this exchange.
    Tried,
}

/// What an attempt has shown about its account.
#[derive(Debug, Clone, PartialEq)]
pub enum Note {
    /// Nothing: the request's or the network's fault, or nobody's.
    Neutral,
    /// It answered: earlier errors are forgotten.
    Served,
    /// A short limit (`rate_limit_exceeded`) or a used-up window (`usage_limit_reached`, quota codes).
    Limited { quota: bool, code: String, resets_at: Option<u64>, retry_after: Option<Duration> },
    /// A fault that may pass.
    Transient { code: String },
    /// Only a person can help.
    NeedsLogin { code: String },
}

/// The pool itself.
pub struct Pool {}

impl Pool {
    /// Chooses an account not in `tried`, or says why there is none. Pure but for the in-flight count; no waiting.
    pub fn lease(&self, _wish: &Wish, _tried: &[String], _now_ms: u64) -> Result<Lease, NoAccount> {
        Err(NoAccount::Tried)
    }

    /// Takes note of an outcome.
    pub fn note(&self, _account: &Arc<Account>, _note: Note, _now_ms: u64) {}

    /// Takes in what headers, events, error bodies or the usage page said about windows.
    pub fn observe(&self, _account: &Arc<Account>, _windows: Vec<WindowRow>) {}

    /// Binds the conversation to the account that now serves it.
    pub fn bind(&self, _affinity: &str, _account: &Arc<Account>, _now_ms: u64) {}
}

impl Account {
    /// The credentials of this moment.
    pub fn credentials(&self) -> Credentials {
        Credentials { access: Secret::new(""), chatgpt_account_id: None, refresh_hash: String::new() }
    }
}
