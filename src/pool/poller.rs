//! Keeps figures, catalog and tokens fresh in the background: two jobs at a time, spread out, patient with failures.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use reqwest::Client;
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::fetch::{FetchError, get};
use super::{Account, Pool, Standing, quota};
use crate::config::Upstream;
use crate::now_ms;
use crate::tokens::refresh::{RefreshError, Refresher};

const SECOND: u64 = 1000;
const MINUTE: u64 = 60 * SECOND;
/// Jobs under way at once.
const PARALLEL: usize = 2;
/// Pause when there is nothing to do.
const PAUSE: Duration = Duration::from_secs(1);
/// Figures older than this are fetched anew.
const FIGURES_AGE: u64 = MINUTE;
/// Busy accounts tell their figures with every answer; from this used percent on they are asked all the same.
const NEAR_LIMIT: f64 = 80.0;
/// Pause after the upstream refused the account itself.
const REFUSED_PAUSE: u64 = 5 * MINUTE;
const CATALOG_AGE: u64 = 5 * MINUTE;
/// Tokens are looked at this often, and renewed this long before their end: earlier than any request would.
const TOKENS_AGE: u64 = MINUTE;
const TOKENS_MARGIN: u64 = 10 * MINUTE;
/// Newest form of the catalog this program has been tried with; the upstream hides newer models from older clients.
const CATALOG_VERSION: &str = "0.144.0";

/// Runs until shutdown.
pub struct Poller {
    shared: Arc<Shared>,
    agenda: HashMap<(String, Job), Turn>,
}

struct Shared {
    client: Client,
    base_url: String,
    headers: Vec<(String, String)>,
    pool: Arc<Pool>,
    refresher: Refresher,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Job {
    Tokens,
    Catalog,
    Usage,
}

/// When a job is due next (Unix ms), and how often it has failed in a row.
#[derive(Debug, Default)]
struct Turn {
    due: u64,
    failures: u32,
}

/// What became of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Done {
    /// Again after this many milliseconds.
    Well(u64),
    /// Again after this many milliseconds, doubled with each failure in a row up to the second number.
    Failed(u64, u64),
}

impl Poller {
    /// `client` must not follow redirects: they would carry tokens to another address.
    pub fn new(client: Client, upstream: &Upstream, pool: Arc<Pool>, refresher: Refresher) -> Self {
        let shared = Shared {
            client,
            base_url: upstream.base_url.trim_end_matches('/').to_owned(),
            headers: upstream.headers.clone(),
            pool,
            refresher,
        };
        Self { shared: Arc::new(shared), agenda: HashMap::new() }
    }

    /// Ends when `shutdown` turns true or its sender is gone. A token refresh under way is finished all the same.
    pub async fn run(mut self, mut shutdown: watch::Receiver<bool>) {
        let work = async {
            loop {
                if self.round(now_ms()).await == 0 {
                    tokio::time::sleep(PAUSE).await;
                }
            }
        };
        tokio::select! {
            () = work => {}
            _ = shutdown.wait_for(|stop| *stop) => {}
        }
    }

    /// Does the jobs that are due longest; says how many.
    async fn round(&mut self, now_ms: u64) -> usize {
        let mut running = JoinSet::new();
        for (account, job) in self.due(now_ms) {
            let shared = Arc::clone(&self.shared);
            running.spawn(async move { (account.id.clone(), job, shared.work(&account, job, now_ms).await) });
        }
        let count = running.len();
        while let Some(ended) = running.join_next().await {
            if let Ok((account, job, done)) = ended {
                self.agenda.entry((account, job)).or_default().after(done, now_ms);
            }
        }
        count
    }

    /// What is due, and due again soon even if the work on it should break off.
    fn due(&mut self, now_ms: u64) -> Vec<(Arc<Account>, Job)> {
        let accounts = self.shared.pool.accounts();
        self.agenda.retain(|(id, _), _| accounts.iter().any(|account| account.id == *id));
        let mut due: Vec<_> = accounts
            .iter()
            .flat_map(|account| [Job::Tokens, Job::Catalog, Job::Usage].map(|job| (account, job)))
            .filter(|(account, job)| wants(account, *job, now_ms))
            .filter_map(|(account, job)| {
                let turn = self.agenda.entry((account.id.clone(), job)).or_default();
                (turn.due <= now_ms).then_some((turn.due, job, account))
            })
            .collect();
        due.sort_by_key(|(due, job, _)| (*due, *job));
        due.truncate(PARALLEL);
        for (_, job, account) in &due {
            self.agenda.entry((account.id.clone(), *job)).or_default().due = now_ms + MINUTE;
        }
        due.into_iter().map(|(_, job, account)| (Arc::clone(account), job)).collect()
    }
}

impl Turn {
    fn after(&mut self, done: Done, now_ms: u64) {
        let wait = match done {
            Done::Well(wait) => {
                self.failures = 0;
                wait
            }
            Done::Failed(first, longest) => {
                self.failures = self.failures.saturating_add(1);
                first.saturating_mul(1 << (self.failures - 1).min(16)).min(longest)
            }
        };
        // Up to a quarter later, so that accounts do not march in step.
        self.due = now_ms + wait + rand::random_range(0..=wait / 4);
    }
}

/// Whether the job makes sense for the account as it stands.
fn wants(account: &Account, job: Job, now_ms: u64) -> bool {
    match (account.standing(now_ms), job) {
        (Standing::NeedsLogin { .. }, _) | (Standing::Paused, Job::Catalog | Job::Usage) => false,
        (Standing::Active | Standing::Cooling { .. }, Job::Usage) => wants_figures(account, now_ms),
        (Standing::Active | Standing::Cooling { .. }, Job::Tokens | Job::Catalog)
        | (Standing::Paused, Job::Tokens) => true,
    }
}

fn wants_figures(account: &Account, now_ms: u64) -> bool {
    let state = account.state();
    let newest = state.windows.iter().map(|window| window.observed_at).max().unwrap_or_default();
    let old = now_ms.saturating_sub(newest) >= FIGURES_AGE;
    old && (state.in_flight == 0 || state.used(now_ms) >= NEAR_LIMIT)
}

impl Shared {
    async fn work(&self, account: &Arc<Account>, job: Job, now_ms: u64) -> Done {
        match job {
            Job::Tokens => self.renew_tokens(account, now_ms).await,
            Job::Catalog => self.fetch_catalog(account, now_ms).await,
            Job::Usage => self.fetch_usage(account, now_ms).await,
        }
    }

    async fn renew_tokens(&self, account: &Arc<Account>, now_ms: u64) -> Done {
        self.refresher.store_again(account).await;
        match self.refresher.fresh_for(account, now_ms, TOKENS_MARGIN).await {
            Ok(()) => Done::Well(TOKENS_AGE),
            Err(RefreshError::Permanent { .. } | RefreshError::Transient { .. } | RefreshError::Gone) => {
                Done::Failed(5 * MINUTE, 60 * MINUTE)
            }
        }
    }

    async fn fetch_catalog(&self, account: &Arc<Account>, now_ms: u64) -> Done {
        let path = format!("/codex/models?client_version={CATALOG_VERSION}");
        match self.get(account, &path).await {
            Ok(Value::Object(mut page)) => {
                if let Some(Value::Array(models)) = page.remove("models") {
                    self.pool.take_catalog(&account.id, models, now_ms);
                }
                Done::Well(CATALOG_AGE)
            }
            Ok(_) => Done::Failed(MINUTE, CATALOG_AGE),
            Err(error) => failed(account, "models", error),
        }
    }

    async fn fetch_usage(&self, account: &Arc<Account>, now_ms: u64) -> Done {
        match self.get(account, "/wham/usage").await {
            Ok(page) => {
                self.pool.learn(account, quota::from_usage(&page, now_ms));
                Done::Well(FIGURES_AGE)
            }
            Err(error) => failed(account, "usage", error),
        }
    }

    /// A 401 is answered by one refresh and one more try.
    async fn get(&self, account: &Arc<Account>, path: &str) -> Result<Value, FetchError> {
        let url = format!("{}{path}", self.base_url);
        let credentials = account.credentials();
        let first = get(&self.client, &url, &credentials, &self.headers).await;
        if first != Err(FetchError::Status(401)) {
            return first;
        }
        match self.refresher.after_401(account, &credentials.refresh_hash).await {
            Ok(()) => get(&self.client, &url, &account.credentials(), &self.headers).await,
            Err(RefreshError::Permanent { .. } | RefreshError::Transient { .. } | RefreshError::Gone) => {
                first
            }
        }
    }
}

/// A refusal here says nothing about the account's fitness to serve: it only pauses the asking.
fn failed(account: &Account, what: &str, error: FetchError) -> Done {
    log::debug!("{what} of account {} not fetched: {error:?}", account.name);
    match error {
        FetchError::Status(401 | 403) => Done::Failed(REFUSED_PAUSE, REFUSED_PAUSE),
        FetchError::Status(_) | FetchError::Transport | FetchError::NotJson => {
            Done::Failed(MINUTE, 10 * MINUTE)
        }
    }
}

#[cfg(test)]
mod tests;
