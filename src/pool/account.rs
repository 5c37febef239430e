//! One account: identity fixed, tokens swapped whole, state behind a short lock.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;

use super::select::{Candidate, Fitness};
use super::state::{Standing, State};
use crate::ledger::AccountRow;
use crate::tokens::Tokens;
use crate::tokens::claims::Claims;
use crate::tokens::refresh::LastRefresh;
use crate::vault::Secret;

/// Refresh tokens remembered as spent, so that a late echo from the ledger is not taken for news.
const SPENT_REMEMBERED: usize = 16;

/// One account as the request path sees it: identity fixed, state live (atomics and short locks, never a wait).
#[derive(Debug)]
pub struct Account {
    pub id: String,
    pub name: String,
    slot: u32,
    login: ArcSwap<Login>,
    state: Mutex<State>,
    /// Held during a refresh; the latest failure is kept in it.
    pub(crate) refreshing: tokio::sync::Mutex<LastRefresh>,
}

/// What an attempt needs to speak for an account.
#[derive(Debug, Clone)]
pub struct Credentials {
    pub access: Secret,
    /// Value of `chatgpt-account-id`; `None`: the header is omitted.
    pub chatgpt_account_id: Option<String>,
    /// Which tokens these are (SHA-256 hex of the refresh token): given back to the `Refresher` after a 401.
    pub refresh_hash: String,
}

/// The right to send one attempt through an account. Counts as in flight until dropped.
#[derive(Debug)]
pub struct Lease {
    pub account: Arc<Account>,
    /// This attempt finds out whether the account serves again.
    probe: bool,
}

/// The tokens of this moment.
#[derive(Debug, Clone)]
pub(crate) struct Login {
    pub tokens: Tokens,
    /// SHA-256 hex of the refresh token.
    pub refresh_hash: String,
    /// The hash the ledger holds. Differs from `refresh_hash` only while new tokens could not be written down.
    pub stored_hash: String,
    /// Unix epoch milliseconds.
    pub refreshed_at: u64,
    /// End of the access token, Unix seconds, if it states one.
    pub expires_at: Option<u64>,
    chatgpt_account_id: Option<String>,
    /// Hashes of earlier refresh tokens, newest last.
    spent: Vec<String>,
}

impl Account {
    pub(super) fn new(row: &AccountRow, slot: u32, now_ms: u64) -> Self {
        Self {
            id: row.id.clone(),
            name: row.name.clone(),
            slot,
            login: ArcSwap::from_pointee(Login::new(row)),
            state: Mutex::new(State::new(row, now_ms)),
            refreshing: tokio::sync::Mutex::default(),
        }
    }

    /// The credentials of this moment.
    pub fn credentials(&self) -> Credentials {
        let login = self.login.load();
        Credentials {
            access: login.tokens.access.clone(),
            chatgpt_account_id: login.chatgpt_account_id.clone(),
            refresh_hash: login.refresh_hash.clone(),
        }
    }

    /// How it stands, as people see it.
    pub fn standing(&self, now_ms: u64) -> Standing {
        let standing = self.state().standing(now_ms);
        if self.login.load().has_token() {
            return standing;
        }
        Standing::NeedsLogin { reason: "no_token".to_owned() }
    }

    pub(crate) fn login(&self) -> Arc<Login> {
        self.login.load_full()
    }

    /// Takes new tokens into use; what the ledger holds by then is `stored_hash`.
    pub(crate) fn rotate(
        &self,
        tokens: Tokens,
        refresh_hash: String,
        stored_hash: String,
        refreshed_at: u64,
    ) {
        let _guard = self.state(); // one writer at a time
        let old = self.login.load();
        let chatgpt_account_id = old.chatgpt_account_id.clone();
        let spent = old.spent_after(&refresh_hash);
        let expires_at = Claims::read(tokens.access.expose()).expires_at;
        let login =
            Login { tokens, refresh_hash, stored_hash, refreshed_at, expires_at, chatgpt_account_id, spent };
        self.login.store(Arc::new(login));
    }

    /// Takes over what the ledger knows better or newer. True: the tokens are new.
    pub(crate) fn merge(&self, row: &AccountRow, now_ms: u64) -> bool {
        let mut state = self.state();
        let old = self.login.load();
        let echo = old.spent.contains(&row.refresh_hash); // read before our own rotation was written
        let new_tokens = !echo && row.refresh_hash != old.refresh_hash;
        if new_tokens {
            state.start_over();
        }
        state.merge(row, now_ms);
        if echo {
            return false;
        }
        if new_tokens || row.refreshed_at > old.refreshed_at {
            state.needs_login.clone_from(&row.needs_login);
            let spent = old.spent_after(&row.refresh_hash);
            self.login.store(Arc::new(Login { spent, ..Login::new(row) }));
        } else if state.needs_login.is_none() {
            state.needs_login.clone_from(&row.needs_login);
        }
        new_tokens
    }

    pub(super) fn slot(&self) -> u32 {
        self.slot
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn candidate(&self, now_ms: u64) -> Candidate<'_> {
        let state = self.state();
        Candidate {
            slot: self.slot,
            name: &self.name,
            priority: state.priority,
            used: state.used(now_ms),
            in_flight: state.in_flight,
            selected: state.selected,
            fitness: state.fitness(now_ms),
        }
    }

    /// Why it may not serve at all, coolings aside.
    pub(super) fn unusable(&self) -> Option<&'static str> {
        let state = self.state();
        if state.needs_login.is_some() {
            Some("it needs a new login")
        } else if state.paused {
            Some("it is paused")
        } else if !self.login.load().has_token() {
            Some("it has no token")
        } else {
            None
        }
    }

    /// Begins an attempt, if the account may still serve. `selection` numbers the choices of the pool.
    pub(super) fn enter(self: &Arc<Self>, now_ms: u64, selection: u64) -> Option<Lease> {
        let mut state = self.state();
        if state.fitness(now_ms) == Fitness::Unfit {
            return None;
        }
        let probe = state.recovering(now_ms) && !state.probed;
        state.probed |= probe;
        state.in_flight = state.in_flight.saturating_add(1);
        state.selected = selection;
        Some(Lease { account: Arc::clone(self), probe })
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut state = self.account.state();
        state.in_flight = state.in_flight.saturating_sub(1);
        if self.probe {
            state.probed = false;
        }
    }
}

impl Login {
    pub(crate) fn new(row: &AccountRow) -> Self {
        Self {
            tokens: row.tokens.clone(),
            refresh_hash: row.refresh_hash.clone(),
            stored_hash: row.refresh_hash.clone(),
            refreshed_at: row.refreshed_at,
            expires_at: Claims::read(row.tokens.access.expose()).expires_at,
            // Ids made up locally mean nothing to the upstream.
            chatgpt_account_id: row
                .chatgpt_account_id
                .clone()
                .filter(|id| !id.is_empty() && !id.starts_with("email_") && !id.starts_with("local_")),
            spent: Vec::new(),
        }
    }

    /// The ledger does not have these tokens yet.
    pub(crate) fn unstored(&self) -> bool {
        self.stored_hash != self.refresh_hash
    }

    fn has_token(&self) -> bool {
        [&self.tokens.access, &self.tokens.refresh].iter().any(|token| !token.expose().is_empty())
    }

    /// What is spent once the token with `new_hash` is in use.
    fn spent_after(&self, new_hash: &str) -> Vec<String> {
        let mut spent = self.spent.clone();
        if new_hash != self.refresh_hash {
            spent.push(self.refresh_hash.clone());
        }
        spent.retain(|hash| hash != new_hash);
        spent.drain(..spent.len().saturating_sub(SPENT_REMEMBERED));
        spent
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::Note;
    use crate::pool::tests::{NOW, row};

    fn tokens(refresh: &str) -> Tokens {
        Tokens { id: None, access: Secret::new("access"), refresh: Secret::new(refresh) }
    }

    fn row_with(refresh_hash: &str, refreshed_at: u64) -> AccountRow {
        AccountRow { refresh_hash: refresh_hash.into(), refreshed_at, ..row("a") }
    }

    #[test]
    fn a_late_echo_of_spent_tokens_is_not_taken_over() {
        let account = Account::new(&row_with("h1", 1), 0, NOW);
        account.rotate(tokens("rt_2"), "h2".into(), "h2".into(), 2);
        assert!(!account.merge(&row_with("h1", 1), NOW));
        assert_eq!(account.login().refresh_hash, "h2");
        assert!(account.merge(&row_with("h3", 0), NOW), "an import may carry an older date");
        assert_eq!(account.login().refresh_hash, "h3");
    }

    #[test]
    fn a_new_login_ends_the_need_for_one_and_an_old_row_does_not() {
        let account = Account::new(&row_with("h1", 1), 0, NOW);
        account.state().note(&Note::NeedsLogin { code: "invalid_grant".into() }, NOW, 0);
        account.merge(&row_with("h1", 1), NOW);
        assert_eq!(account.unusable(), Some("it needs a new login"));
        account.merge(&row_with("h2", 2), NOW);
        assert_eq!(account.unusable(), None);
    }

    #[test]
    fn a_new_login_ends_a_cooling_unless_the_ledger_knows_of_it() {
        let account = Account::new(&row_with("h1", 1), 0, NOW);
        account.state().note(&Note::Transient { code: "server_error".into() }, NOW, 0);
        for (hash, cooling) in [("h2", Some((NOW + 9000, "usage_limit_reached".into()))), ("h3", None)] {
            let cools = cooling.is_some();
            account.merge(&AccountRow { cooling, ..row_with(hash, 1) }, NOW);
            assert_eq!(matches!(account.standing(NOW), Standing::Cooling { .. }), cools, "{hash}");
        }
    }

    #[test]
    fn one_attempt_at_a_time_probes_a_recovering_account() {
        let account = Arc::new(Account::new(&row("a"), 0, NOW));
        let code = "rate_limit_exceeded".into();
        let retry_after = Some(std::time::Duration::from_secs(1));
        account.state().note(&Note::Limited { quota: false, code, resets_at: None, retry_after }, NOW, 0);
        assert!(account.enter(NOW, 1).is_none());

        let later = NOW + 1000;
        let probe = account.enter(later, 2).unwrap();
        assert_eq!(account.candidate(later).fitness, Fitness::Probed);
        let other = account.enter(later, 3).unwrap();
        drop(other);
        assert_eq!(account.candidate(later).fitness, Fitness::Probed, "the probe is still under way");
        drop(probe);
        assert_eq!(account.candidate(later).fitness, Fitness::Fit);
        assert_eq!(account.candidate(later).in_flight, 0);
    }

    #[test]
    fn an_id_made_up_locally_is_not_sent_upstream() {
        for id in ["email_123", "local_123", ""] {
            let row = AccountRow { chatgpt_account_id: Some(id.into()), ..row("a") };
            assert_eq!(Account::new(&row, 0, NOW).credentials().chatgpt_account_id, None);
        }
    }
}
