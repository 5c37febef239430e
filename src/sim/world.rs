//! What a simulator knows: its accounts, the tokens it gave out, and the log of what it received.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use axum::http::HeaderMap;

use super::account::{Account, Spec, Tokens};
use super::log::Log;
use super::refusal::Refusal;
use super::signer::Signer;
use super::{lock, now};

/// Access tokens of one account that are valid at a time; older ones are forgotten.
const MAX_ACCESS_TOKENS: usize = 16;

/// The state of a simulator; whoever starts one may share it.
#[derive(Debug, Default)]
pub struct World {
    accounts: Mutex<Vec<Arc<Account>>>,
    access: Mutex<HashMap<String, Access>>,
    created: AtomicU64,
    serial: AtomicU64,
    pub(crate) signer: Signer,
    pub(crate) log: Arc<Log>,
}

#[derive(Debug)]
struct Access {
    account: Arc<Account>,
    expires_at: u64,
}

impl World {
    /// Creates an account and returns the `auth.json` of a fresh login to it.
    pub fn add_account(&self, spec: Spec) -> String {
        let account = self.create(spec);
        self.auth_json(&account)
    }

    pub(crate) fn create(&self, spec: Spec) -> Arc<Account> {
        let number = self.created.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        let account = Arc::new(Account::new(spec, number, now()));
        let mut accounts = lock(&self.accounts);
        accounts.retain(|known| known.id != account.id);
        accounts.push(account.clone());
        drop(accounts);
        lock(&self.access).retain(|_, access| access.account.id != account.id);
        account
    }

    /// The `auth.json` of an account as it would be written now. The refresh token in it is the valid one.
    pub(crate) fn auth_json(&self, account: &Arc<Account>) -> String {
        account.auth_json(&self.mint(account), now())
    }

    pub(crate) fn accounts(&self) -> Vec<Arc<Account>> {
        lock(&self.accounts).clone()
    }

    pub(crate) fn account(&self, id: &str) -> Option<Arc<Account>> {
        lock(&self.accounts).iter().find(|account| account.id == id).cloned()
    }

    /// Makes tokens of the present generation; earlier access tokens stay valid.
    pub(crate) fn mint(&self, account: &Arc<Account>) -> Tokens {
        let tokens = account.tokens(&self.signer, self.serial(), now());
        let mut state = lock(&account.state);
        let mut access = lock(&self.access);
        state.access.push_back(tokens.access.clone());
        if state.access.len() > MAX_ACCESS_TOKENS
            && let Some(oldest) = state.access.pop_front()
        {
            access.remove(&oldest);
        }
        let entry = Access { account: account.clone(), expires_at: tokens.expires_at };
        access.insert(tokens.access.clone(), entry);
        tokens
    }

    /// Ends the validity of an account's access tokens.
    pub(crate) fn expire(&self, account: &Account) {
        let mut state = lock(&account.state);
        let mut access = lock(&self.access);
        for token in state.access.drain(..) {
            access.remove(&token);
        }
    }

    /// Who asks: a valid bearer token and the account id that belongs to it.
    pub(crate) fn authenticate(&self, headers: &HeaderMap) -> Result<Arc<Account>, Refusal> {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let token = text("authorization").and_then(|value| value.strip_prefix("Bearer "));
        let account = token.and_then(|token| self.owner(token));
        let (Some(account), Some(claimed)) = (account, text("chatgpt-account-id")) else {
            return Err(Refusal::detail(401, "Unauthorized"));
        };
        if claimed != account.account_id {
            return Err(Refusal::detail(403, "Forbidden"));
        }
        Ok(account)
    }

    /// A number that no other id of this world has.
    pub(crate) fn serial(&self) -> u64 {
        self.serial.fetch_add(1, Ordering::Relaxed)
    }

    fn owner(&self, token: &str) -> Option<Arc<Account>> {
        let access = lock(&self.access);
        access.get(token).filter(|access| access.expires_at > now()).map(|access| access.account.clone())
    }
}
