//! The pool: accounts as Pingora backends, with own discovery, health and selection. Start with `pool/README.md`.

pub mod account; // one account: tokens, state, leases
pub mod catalog; // which models there are, and who offers them
pub mod poller; // keeps figures, catalog and tokens fresh in the background
pub mod quota; // pure: what headers, events and pages say about windows

mod affinity; // which account keeps which conversation
mod discovery; // accounts → backends
mod fetch; // one GET on an account's behalf
mod health; // may it serve at all?
mod refusal; // pure: why nobody can serve
mod select; // pure: the order of accounts for one exchange
mod selector; // the order, in Pingora's terms
mod state; // pure: what notes and time make of an account

use std::cell::Cell;
use std::future::Future;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use arc_swap::ArcSwap;
use pingora_load_balancing::{Backends, LoadBalancer};

pub use account::{Account, Credentials, Lease};
pub use catalog::Catalog;
pub(crate) use fetch::{USER_AGENT, read};
pub use poller::Poller;
pub use quota::Quota;
pub(crate) use state::plain;
pub use state::{Cause, Standing};

use crate::config::Strategy;
use crate::ledger::{AccountChange, AccountRow, Ledger, Snapshot, WindowRow};
use affinity::Affinity;
use discovery::{Discovery, Roster};
use health::AccountHealth;
use refusal::{Seat, owner_refusal, refusal};
use select::Query;
use selector::Selector;

/// A conversation stays bound to a cooling account that returns within this time; until then it is served elsewhere.
const KEEPS_CONVERSATIONS_MS: u64 = 600_000;

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
    /// Accounts rest for a moment after errors or short limits; try again then. Unix milliseconds.
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

/// An account as metrics and health show it.
#[derive(Debug, Clone, PartialEq)]
pub struct AccountView {
    pub id: String,
    pub name: String,
    pub plan: Option<String>,
    pub standing: Standing,
    pub in_flight: u32,
    /// The largest used percent over its live windows.
    pub used_percent: f64,
    pub windows: Vec<WindowRow>,
}

/// The pool itself.
pub struct Pool {
    balancer: LoadBalancer<Selector>,
    roster: Arc<Roster>,
    affinity: Mutex<Affinity>,
    catalog: ArcSwap<Catalog>,
    strategy: ArcSwap<Strategy>,
    selections: AtomicU64,
    next_slot: AtomicU32,
    /// Held while the membership changes.
    reloading: Mutex<()>,
    ledger: Ledger,
}

impl Pool {
    pub fn new(strategy: Strategy, ledger: Ledger, snapshot: &Snapshot, now_ms: u64) -> Self {
        let roster = Arc::new(Roster::default());
        let mut balancer =
            LoadBalancer::from_backends(Backends::new(Box::new(Discovery(Arc::clone(&roster)))));
        balancer.set_health_check(Box::new(AccountHealth));
        let pool = Self {
            balancer,
            roster,
            affinity: Mutex::default(),
            catalog: ArcSwap::default(),
            strategy: ArcSwap::from_pointee(strategy),
            selections: AtomicU64::new(0),
            next_slot: AtomicU32::new(0),
            reloading: Mutex::new(()),
            ledger,
        };
        pool.reload(snapshot, now_ms);
        pool
    }

    /// Takes over the accounts of the snapshot. Known ones keep their live state; removed ones get no new attempts,
    /// those under way finish.
    pub fn reload(&self, snapshot: &Snapshot, now_ms: u64) {
        let _guard = self.reloading.lock().unwrap_or_else(PoisonError::into_inner);
        let known = self.roster.load();
        let accounts = snapshot.accounts.iter().map(|row| {
            let same = |account: &&Arc<Account>| account.id == row.id && account.name == row.name;
            if let Some(account) = known.iter().find(same) {
                account.merge(row, now_ms);
                return Arc::clone(account);
            }
            Arc::new(Account::new(row, self.next_slot.fetch_add(1, Ordering::Relaxed), now_ms))
        });
        self.roster.store(Arc::new(accounts.collect()));
        if let Some(Err(error)) = at_once(self.balancer.update()) {
            log::error!("the pool could not be updated: {error}");
        }
        self.check_health();
    }

    pub fn set_strategy(&self, strategy: Strategy) {
        self.strategy.store(Arc::new(strategy));
    }

    /// Chooses an account not in `tried`, or says why there is none. Pure but for the in-flight count; no waiting.
    pub fn lease(&self, wish: &Wish, tried: &[String], now_ms: u64) -> Result<Lease, NoAccount> {
        // The conversation's own draw: while its account cannot serve, it meets the same other one each time.
        let draw = wish.affinity.as_deref().map_or_else(rand::random, hash);
        let accounts = self.roster.load();
        let catalog = self.catalog.load();
        let skipped = |account: &&Arc<Account>| {
            tried.contains(&account.id) || !catalog.may_offer(&wish.model, &account.id)
        };
        let slot_of = |id: &str| accounts.iter().find(|account| account.id == id).map(|a| a.slot());
        let owner = wish.owner.as_deref().map(slot_of);
        if owner == Some(None) {
            return Err(owner_refusal(None));
        }
        let pinned = wish.affinity.as_deref().and_then(|key| slot_of(&self.affinity().account(key, now_ms)?));
        let query = Query {
            strategy: **self.strategy.load(),
            draw,
            pinned,
            owner: owner.flatten(),
            skip: accounts.iter().filter(skipped).map(|account| account.slot()).collect(),
        };
        let selection = self.selections.fetch_add(1, Ordering::Relaxed) + 1;
        let lease = Cell::new(None);
        self.balancer.select_with(&query.key(now_ms), usize::MAX, |backend, ready| {
            let account = selector::account(backend).filter(|_| ready);
            lease.set(account.and_then(|account| account.enter(now_ms, selection)));
            let leased = lease.take();
            let accepted = leased.is_some();
            lease.set(leased);
            accepted
        });
        lease.into_inner().ok_or_else(|| self.refusal(wish, tried, now_ms))
    }

    /// Takes over one account as the ledger holds it now. True: its tokens are new.
    pub(crate) fn adopt(&self, account: &Arc<Account>, row: &AccountRow, now_ms: u64) -> bool {
        let new_tokens = account.merge(row, now_ms);
        self.check_health();
        new_tokens
    }

    /// Takes in the account's own list of models.
    pub(crate) fn take_catalog(&self, account: &str, entries: Vec<serde_json::Value>, now_ms: u64) {
        let known = |id: &str| self.account(id).is_some();
        self.catalog.rcu(|catalog| catalog.with(account, entries.clone(), known, now_ms));
    }

    /// Takes note of an outcome.
    pub fn note(&self, account: &Arc<Account>, note: Note, now_ms: u64) {
        let Some(change) = account.state().note(&note, now_ms, rand::random()) else { return };
        match &change {
            AccountChange::Cooling { until, reason } => {
                let seconds = until.saturating_sub(now_ms).div_ceil(1000);
                log::warn!("account {} cools for {seconds} s: {reason}", account.name);
            }
            AccountChange::NeedsLogin { .. } => self.check_health(),
            AccountChange::Recovered => log::info!("account {} serves again", account.name),
            AccountChange::Plan { .. } | AccountChange::Windows(_) => {}
        }
        self.ledger.note(&account.id, change);
    }

    /// Takes in what headers, events, error bodies or the usage page said about windows.
    pub fn observe(&self, account: &Arc<Account>, windows: Vec<WindowRow>) {
        let (changed, lifted) = account.state().observe(windows);
        if !changed.is_empty() {
            self.ledger.note(&account.id, AccountChange::Windows(changed));
        }
        if lifted {
            log::info!("account {} has room again", account.name);
            self.ledger.note(&account.id, AccountChange::Recovered);
        }
    }

    /// Takes in windows and plan.
    pub fn learn(&self, account: &Arc<Account>, quota: Quota) {
        if let Some(plan) = quota.plan {
            let mut state = account.state();
            if state.plan.as_ref() != Some(&plan) {
                state.plan = Some(plan.clone());
                drop(state);
                self.ledger.note(&account.id, AccountChange::Plan { plan });
            }
        }
        self.observe(account, quota.windows);
    }

    /// Binds the conversation to the account that now serves it, unless its own account will be back soon.
    pub fn bind(&self, affinity: &str, account: &Arc<Account>, now_ms: u64) {
        let mut rows = self.affinity();
        let holder = rows.peek(affinity, now_ms).and_then(|id| self.account(id));
        let keeps = holder.filter(|holder| match holder.standing(now_ms) {
            Standing::Active => true,
            Standing::Cooling { until_ms, .. } => until_ms - now_ms < KEEPS_CONVERSATIONS_MS,
            Standing::Paused | Standing::NeedsLogin { .. } => false,
        });
        let id = keeps.map_or_else(|| account.id.clone(), |holder| holder.id.clone());
        rows.set(affinity, &id, now_ms);
    }

    pub fn account(&self, id: &str) -> Option<Arc<Account>> {
        self.roster.load().iter().find(|account| account.id == id).cloned()
    }

    pub fn accounts(&self) -> Arc<Vec<Arc<Account>>> {
        self.roster.load_full()
    }

    /// The models the accounts offer, as last fetched.
    pub fn catalog(&self) -> Arc<Catalog> {
        self.catalog.load_full()
    }

    pub fn view(&self, now_ms: u64) -> Vec<AccountView> {
        let view = |account: &Arc<Account>| {
            let standing = account.standing(now_ms);
            let state = account.state();
            AccountView {
                id: account.id.clone(),
                name: account.name.clone(),
                plan: state.plan.clone(),
                standing,
                in_flight: state.in_flight,
                used_percent: state.used(now_ms),
                windows: state.windows.clone(),
            }
        };
        self.roster.load().iter().map(view).collect()
    }

    /// Accounts that could serve now.
    pub fn usable(&self, now_ms: u64) -> usize {
        let active = |account: &&Arc<Account>| account.standing(now_ms) == Standing::Active;
        self.roster.load().iter().filter(active).count()
    }

    fn refusal(&self, wish: &Wish, tried: &[String], now_ms: u64) -> NoAccount {
        let accounts = self.roster.load();
        let catalog = self.catalog.load();
        let seats: Vec<Seat<'_>> = accounts
            .iter()
            .map(|account| Seat {
                id: &account.id,
                name: &account.name,
                standing: account.standing(now_ms),
                tried: tried.contains(&account.id),
                offers: catalog.may_offer(&wish.model, &account.id),
            })
            .collect();
        match &wish.owner {
            Some(owner) => owner_refusal(seats.iter().find(|seat| seat.id == owner)),
            None => refusal(&seats, &wish.model),
        }
    }

    fn check_health(&self) {
        at_once(self.balancer.backends().run_health_check(false));
    }

    fn affinity(&self) -> MutexGuard<'_, Affinity> {
        self.affinity.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The result of a future that has nothing to wait for: our discovery and health check only read memory.
fn at_once<T>(future: impl Future<Output = T>) -> Option<T> {
    match std::pin::pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

fn hash(key: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
pub(crate) mod tests;
