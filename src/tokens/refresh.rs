//! Token refresh: one at a time per account, durable before use, and never repeated with a token that may be spent.
//!
//! Refresh tokens are single-use. Every refresh runs in a task of its own, so that a client that leaves does not
//! take the new tokens with it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use reqwest::Client;
use serde_json::{Value, json};

use super::Tokens;
use crate::ledger::{AccountRow, Ledger, LedgerError, Swap};
use crate::now_ms;
use crate::pool::account::Login;
use crate::pool::{Account, Note, Pool, plain};
use crate::vault::Secret;

const CLIENT_ID: &str = "app_EMoamEEZ73f0CkXaXp7hrann";
const SCOPE: &str = "openid profile email";
const TIMEOUT: Duration = Duration::from_secs(8);
/// A failure is answered from memory for this long, so that a burst does not hammer the issuer.
const FAILURE_KEPT: Duration = Duration::from_secs(5);
/// Access tokens are renewed this long before they end.
const MARGIN_MS: u64 = 5 * 60 * 1000;
/// Access tokens that do not say when they end are renewed at this age.
const OLDEST_MS: u64 = 8 * 86_400 * 1000;
/// Tokens younger than this are not renewed ahead of their end, however short they live.
const YOUNGEST_MS: u64 = 60 * 1000;
/// A process that won the race for the token has written its new ones down within this time.
const RACE: Duration = Duration::from_millis(500);
/// Pauses between attempts to write new tokens down: without them the account is lost at the next start.
const WRITE_PAUSES: [Duration; 3] = [Duration::ZERO, Duration::from_millis(250), Duration::from_millis(1000)];
/// The longest a request waits for the ledger.
const STORE_WAIT: Duration = Duration::from_secs(2);
const LONGEST_ANSWER: usize = 256 << 10;

/// Codes after which only a new login helps.
const PERMANENT: [&str; 10] = [
    "refresh_token_expired",
    "refresh_token_reused",
    "refresh_token_invalidated",
    "invalid_grant",
    "token_invalidated",
    "token_expired",
    "app_session_terminated",
    "account_deactivated",
    "account_suspended",
    "account_deleted",
];

/// Why there are no new tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RefreshError {
    /// Only a new login helps; the pool knows already.
    Permanent { code: String },
    /// It may work later; the account is unchanged.
    Transient { code: String },
    /// The account was removed meanwhile.
    Gone,
}

/// Where tokens are kept.
#[async_trait]
pub trait TokenStore: Send + Sync + 'static {
    /// See `Ledger::swap_tokens`.
    async fn swap(&self, account: &str, from: &str, to: &Tokens, now_ms: u64) -> Result<Swap, LedgerError>;

    /// The account as stored now, perhaps by another process; `None`: it cannot be said.
    async fn stored(&self, account: &str) -> Option<AccountRow>;
}

/// Renews tokens. Cheap to clone.
#[derive(Clone)]
pub struct Refresher(Arc<Inner>);

struct Inner {
    client: Client,
    url: String,
    pool: Arc<Pool>,
    store: Arc<dyn TokenStore>,
}

/// How the latest refresh of an account failed, if it did.
#[derive(Debug, Default)]
pub(crate) struct LastRefresh(Option<Failure>);

#[derive(Debug)]
struct Failure {
    refresh_hash: String,
    at: Instant,
    error: RefreshError,
}

impl Refresher {
    /// `client` must not follow redirects: they would carry a refresh token to another address. `auth_url` is the
    /// issuer, without a trailing slash.
    pub fn new(client: Client, auth_url: &str, pool: Arc<Pool>, store: Arc<dyn TokenStore>) -> Self {
        let url = format!("{}/oauth/token", auth_url.trim_end_matches('/'));
        Self(Arc::new(Inner { client, url, pool, store }))
    }

    /// Renews the tokens if their end is near. An error means that the present ones are of no use.
    pub async fn fresh(&self, account: &Arc<Account>, now_ms: u64) -> Result<(), RefreshError> {
        self.fresh_for(account, now_ms, MARGIN_MS).await
    }

    /// Like `fresh`, for tokens that end within `margin_ms`.
    pub(crate) async fn fresh_for(
        &self,
        account: &Arc<Account>,
        now_ms: u64,
        margin_ms: u64,
    ) -> Result<(), RefreshError> {
        let login = account.login();
        let need = need(&login, now_ms, margin_ms);
        if need == Need::None {
            return Ok(());
        }
        match self.after_401(account, &login.refresh_hash).await {
            Err(RefreshError::Transient { .. }) if need == Need::Soon => Ok(()),
            result => result,
        }
    }

    /// Makes sure that the tokens the upstream refused, known by their `Credentials::refresh_hash`, are replaced.
    /// Callers that come together cause one refresh and share its result.
    pub async fn after_401(&self, account: &Arc<Account>, refused_hash: &str) -> Result<(), RefreshError> {
        let (inner, account, refused) = (Arc::clone(&self.0), Arc::clone(account), refused_hash.to_owned());
        let seen = account.login();
        let task = tokio::spawn(async move { inner.replace(&account, &seen, &refused).await });
        task.await.unwrap_or_else(|_| Err(transient("refresh_aborted")))
    }

    /// Writes down tokens that could not be written when they came. Nothing to do in all but the worst of times.
    pub(crate) async fn store_again(&self, account: &Arc<Account>) {
        if account.login().unstored() {
            let _lock = account.refreshing.lock().await;
            let login = account.login();
            if login.unstored() && self.0.store_and_use(account, login.tokens.clone()).await.is_ok() {
                log::info!("the tokens of account {} are written down at last", account.name);
            }
        }
    }
}

impl Inner {
    /// `seen` is what was in use when the caller asked: it may have been replaced while this waited for its turn,
    /// and not every refresh brings a new refresh token.
    async fn replace(
        &self,
        account: &Arc<Account>,
        seen: &Arc<Login>,
        refused: &str,
    ) -> Result<(), RefreshError> {
        let mut last = account.refreshing.lock().await;
        let login = account.login();
        if login.refresh_hash != refused || !Arc::ptr_eq(&login, seen) {
            return Ok(());
        }
        if let Some(failure) = last.0.as_ref().filter(|failure| failure.still_holds(refused)) {
            return Err(failure.error.clone());
        }
        if self.adopt_stored(account).await {
            return Ok(());
        }
        let result = match self.ask(&login.tokens).await {
            Ok(tokens) => self.store_and_use(account, tokens).await,
            Err(error @ RefreshError::Permanent { .. }) => self.give_up(account, error).await,
            Err(error) => Err(error),
        };
        if let Err(error) = &result {
            log::warn!("the tokens of account {} could not be refreshed: {error}", account.name);
        }
        last.0 = result.clone().err().map(|error| Failure {
            refresh_hash: refused.to_owned(),
            at: Instant::now(),
            error,
        });
        result
    }

    /// Another process may have rotated the tokens or imported a new login. True: newer ones are in use now.
    async fn adopt_stored(&self, account: &Arc<Account>) -> bool {
        match tokio::time::timeout(STORE_WAIT, self.store.stored(&account.id)).await {
            Ok(Some(row)) => self.pool.adopt(account, &row, now_ms()),
            Ok(None) | Err(_) => false,
        }
    }

    /// One request. It is never repeated here: the token may be spent even if no answer came.
    async fn ask(&self, old: &Tokens) -> Result<Tokens, RefreshError> {
        if old.refresh.expose().is_empty() {
            return Err(RefreshError::Permanent { code: "refresh_token_missing".to_owned() });
        }
        let body = json!({
            "grant_type": "refresh_token",
            "client_id": CLIENT_ID,
            "refresh_token": old.refresh.expose(),
            "scope": SCOPE,
        });
        let request = self
            .client
            .post(&self.url)
            .timeout(TIMEOUT)
            .header(http::header::USER_AGENT, crate::pool::USER_AGENT)
            .json(&body);
        let response = request.send().await.map_err(|_| transient("transport_error"))?;
        let status = response.status();
        let answer = crate::pool::read(response, LONGEST_ANSWER).await;
        let answer = answer.ok_or_else(|| transient("transport_error"))?;
        let answer: Value = serde_json::from_slice(&answer).unwrap_or_default();
        if !status.is_success() {
            return Err(classify(&answer, status.as_u16()));
        }
        renewed(old, &answer).ok_or_else(|| transient("invalid_response"))
    }

    /// The new tokens are made durable first. If the ledger cannot do that now, they are used all the same, since
    /// the old ones are spent and requests must not wait; the poller writes them again.
    async fn store_and_use(&self, account: &Arc<Account>, tokens: Tokens) -> Result<(), RefreshError> {
        let stored = account.login().stored_hash.clone();
        let hash = tokens.refresh_hash();
        let now = now_ms();
        for pause in WRITE_PAUSES {
            tokio::time::sleep(pause).await;
            let swap = self.store.swap(&account.id, &stored, &tokens, now);
            match tokio::time::timeout(STORE_WAIT, swap).await {
                Ok(Ok(Swap::Done)) => {
                    account.rotate(tokens, hash.clone(), hash, now);
                    return Ok(());
                }
                Ok(Ok(Swap::Outdated(row))) => {
                    self.pool.adopt(account, &row, now);
                    return Ok(());
                }
                Ok(Ok(Swap::Gone)) => return Err(RefreshError::Gone),
                Ok(Err(error)) => log::error!("new tokens of account {} not written: {error}", account.name),
                Err(_) => {
                    log::error!("new tokens of account {} not written yet: the ledger is busy", account.name);
                    break;
                }
            }
        }
        account.rotate(tokens, hash, stored, now);
        Ok(())
    }

    /// A permanent refusal counts only if no other process has just rotated the same tokens.
    async fn give_up(&self, account: &Arc<Account>, error: RefreshError) -> Result<(), RefreshError> {
        tokio::time::sleep(RACE).await;
        if self.adopt_stored(account).await {
            return Ok(());
        }
        if let RefreshError::Permanent { code } = &error {
            self.pool.note(account, Note::NeedsLogin { code: code.clone() }, now_ms());
        }
        Err(error)
    }
}

impl Failure {
    fn still_holds(&self, refused: &str) -> bool {
        let lasting = match self.error {
            RefreshError::Permanent { .. } | RefreshError::Gone => true,
            RefreshError::Transient { .. } => self.at.elapsed() < FAILURE_KEPT,
        };
        lasting && self.refresh_hash == refused
    }
}

impl std::fmt::Display for RefreshError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Permanent { code } => write!(f, "a new login is needed ({code})"),
            Self::Transient { code } => write!(f, "{code}"),
            Self::Gone => f.write_str("the account was removed"),
        }
    }
}

impl std::error::Error for RefreshError {}

#[async_trait]
impl TokenStore for Ledger {
    async fn swap(&self, account: &str, from: &str, to: &Tokens, now_ms: u64) -> Result<Swap, LedgerError> {
        self.swap_tokens(account, from, to, now_ms).await
    }

    async fn stored(&self, account: &str) -> Option<AccountRow> {
        let ledger = self.clone();
        let snapshot = tokio::task::spawn_blocking(move || ledger.load()).await.ok()?.ok()?;
        snapshot.accounts.into_iter().find(|row| row.id == account)
    }
}

/// How badly new tokens are needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Need {
    None,
    /// The present ones still work.
    Soon,
    Now,
}

fn need(login: &Login, now_ms: u64, margin_ms: u64) -> Need {
    let age = now_ms.saturating_sub(login.refreshed_at);
    match login.expires_at.map(|end| end.saturating_mul(1000)) {
        _ if login.tokens.access.expose().is_empty() => Need::Now,
        Some(end) if end <= now_ms => Need::Now,
        Some(end) if end - now_ms <= margin_ms && age >= YOUNGEST_MS => Need::Soon,
        None if age > OLDEST_MS => Need::Soon,
        Some(_) | None => Need::None,
    }
}

/// What the answer gives, and the old where it gives nothing. `None`: it gives no access token.
fn renewed(old: &Tokens, answer: &Value) -> Option<Tokens> {
    let token =
        |key: &str| answer.get(key).and_then(Value::as_str).filter(|t| !t.is_empty()).map(Secret::new);
    Some(Tokens {
        id: token("id_token").or_else(|| old.id.clone()),
        access: token("access_token")?,
        refresh: token("refresh_token").unwrap_or_else(|| old.refresh.clone()),
    })
}

/// The code is looked for in all the places where it has been seen.
fn classify(answer: &Value, status: u16) -> RefreshError {
    let error = answer.get("error");
    let code = [
        error.and_then(|error| error.get("code")),
        error.and_then(|error| error.get("error")),
        error,
        answer.get("error_code"),
        answer.get("code"),
    ]
    .into_iter()
    .find_map(|code| code.and_then(Value::as_str).filter(|code| !code.is_empty()))
    .map_or_else(|| format!("http_{status}"), plain);
    if PERMANENT.contains(&code.as_str()) { RefreshError::Permanent { code } } else { transient(&code) }
}

fn transient(code: &str) -> RefreshError {
    RefreshError::Transient { code: code.to_owned() }
}

#[cfg(test)]
pub(crate) mod tests;
