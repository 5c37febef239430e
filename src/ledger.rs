//! The ledger: one SQLite file and the one thread that writes it. Domain operations only; no rusqlite type leaves.

mod accounts; // SQL on accounts and windows
mod book; // the commands' way in
mod checkpoint; // the log into the file, beside the writer
mod entry;
mod exchanges; // SQL on rows and their sums
pub mod keys;
mod queue;
mod reasoning; // SQL on saved reasoning items
mod retention;
mod rows;
mod schema; // opening, pragmas, migrations
mod usage;
mod writer; // the thread

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use tokio::sync::{oneshot, watch};

use crate::tokens::Tokens;
use crate::vault::Vault;
use queue::{Job, Queue};
use retention::Retention;
use writer::{Pulse, Writer};

pub use book::{Book, Imported, NewLogin};
pub use entry::{Entry, Outcome};
pub use exchanges::PastExchange;
pub use keys::{KeyHashes, KeyInfo};
pub use rows::{AccountChange, AccountRow, KeyRow, LedgerError, Recorded, Snapshot, Swap, WindowRow};
pub(crate) use schema::holds_accounts;
pub use usage::{By, UsageRow};

/// The longest an answer is held back for its row.
const ACK_WAIT: Duration = Duration::from_millis(250);
/// How long a writer nobody holds any more tries to write what is left.
const LAST_EFFORT: Duration = Duration::from_secs(5);

/// A handle to the writer thread; cheap to clone.
#[derive(Clone)]
pub struct Ledger {
    inner: Arc<Inner>,
}

struct Inner {
    path: PathBuf,
    vault: Arc<Vault>,
    queue: Arc<Queue>,
    pulse: Arc<Pulse>,
    changed: watch::Sender<u64>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.queue.close(Instant::now() + LAST_EFFORT);
    }
}

impl Ledger {
    /// Opens (creating and migrating as needed) `data_dir/ledger.db` and starts the writer thread, which deletes
    /// exchange rows older than `keep`. Reads no big table, so the size of the file does not matter.
    pub fn open(data_dir: &Path, vault: Arc<Vault>, keep: Duration) -> Result<Self, LedgerError> {
        let connection = schema::open(data_dir)?;
        schema::check_key(&connection, &vault)?;
        let inner = Inner {
            path: schema::path(data_dir),
            vault,
            queue: Arc::default(),
            pulse: Arc::new(Pulse::new()),
            changed: watch::channel(0).0,
        };
        checkpoint::leave_to_thread(&connection).map_err(because("set up the ledger"))?;
        let beside = schema::open_beside(&inner.path).map_err(because("open the ledger twice"))?;
        let (queue, pulse) = (inner.queue.clone(), inner.pulse.clone());
        let writer = Writer {
            version: writer::data_version(&connection).map_err(because("read the ledger's version"))?,
            connection,
            path: inner.path.clone(),
            vault: inner.vault.clone(),
            queue: inner.queue.clone(),
            pulse: inner.pulse.clone(),
            changed: inner.changed.clone(),
            retention: Retention::new(keep),
            looked: Instant::now(),
        };
        start("ledger", move || writer.run())?;
        start("ledger-checkpoint", move || checkpoint::run(&beside, &queue, &pulse))?;
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Accounts and keys as they are now; blocking, for start-up and reload.
    ///
    /// An account whose tokens do not open comes back as one that needs a login.
    pub fn load(&self) -> Result<Snapshot, LedgerError> {
        let load = || {
            let connection = schema::open_beside(&self.inner.path)?;
            let accounts = accounts::all(&connection, &self.inner.vault)?;
            Ok(Snapshot { accounts, keys: keys::valid(&connection)? })
        };
        load().map_err(because("read accounts and keys"))
    }

    /// Changes whenever *another* process committed to the file.
    pub fn changed(&self) -> watch::Receiver<u64> {
        self.inner.changed.subscribe()
    }

    /// Queues the row and waits for its commit, 250 ms at most.
    pub async fn record(&self, entry: Entry) -> Recorded {
        let (ack, committed) = oneshot::channel();
        if !self.push(Job::Row { entry: Box::new(entry), ack: Some(ack) }) {
            return Recorded::Lost;
        }
        match tokio::time::timeout(ACK_WAIT, committed).await {
            Ok(Ok(())) => Recorded::Committed,
            Ok(Err(_)) => Recorded::Lost,
            Err(_) => Recorded::Queued,
        }
    }

    /// Queues the row and returns at once.
    pub fn record_later(&self, entry: Entry) -> Recorded {
        if self.push(Job::Row { entry: Box::new(entry), ack: None }) {
            Recorded::Queued
        } else {
            Recorded::Lost
        }
    }

    /// Replaces the tokens of `account` if its refresh token still hashes to `from_hash`; durable (fsync) on return.
    ///
    /// Waits as long as the file cannot be written. Once polled it happens even if the caller leaves.
    pub async fn swap_tokens(
        &self,
        account: &str,
        from_hash: &str,
        to: &Tokens,
        now_ms: u64,
    ) -> Result<Swap, LedgerError> {
        let sealed = self
            .inner
            .vault
            .seal(account, &to.to_plain())
            .map_err(|error| LedgerError(format!("cannot seal new tokens: {error}")))?;
        let rotation = accounts::Rotation {
            account: account.to_owned(),
            from_hash: from_hash.to_owned(),
            to_hash: to.refresh_hash(),
            sealed,
            now: now_ms,
        };
        let (ack, done) = oneshot::channel();
        let closed = || LedgerError("the ledger is closed".into());
        if !self.inner.queue.push(Job::Rotate { to: Box::new(rotation), ack }) {
            return Err(closed());
        }
        done.await.map_err(|_| closed())?
    }

    /// Notes a change of state.
    pub fn note(&self, account: &str, change: AccountChange) {
        if !self.push(Job::Change { account: account.to_owned(), change }) {
            log::debug!("a change of account {account} was not noted: the ledger's queue is full");
        }
    }

    /// Keeps a conversation's reasoning items (opaque bytes, sealed at rest); lazy, never waited for.
    pub fn save_reasoning(&self, anchor: &str, account: &str, items: bytes::Bytes, now_ms: u64) {
        if items.len() > reasoning::MAX_ITEM {
            return;
        }
        let memory =
            reasoning::Memory { anchor: anchor.to_owned(), account: account.to_owned(), items, now: now_ms };
        // Only a cache: what finds no room is not counted as lost.
        if !self.inner.queue.push(Job::Remember(memory)) {
            log::debug!("reasoning items {anchor} were not saved: no room in the ledger's queue");
        }
    }

    /// The newest saved reasoning, `max_bytes` of it at most; blocking, for start-up. (anchor, account id, items)
    pub fn load_reasoning(&self, max_bytes: u64) -> Result<Vec<(String, String, bytes::Bytes)>, LedgerError> {
        schema::open_beside(&self.inner.path)
            .and_then(|connection| reasoning::newest(&connection, &self.inner.vault, max_bytes))
            .map_err(because("read saved reasoning"))
    }

    /// The writer has not got stuck: its last transaction finished, or began less than a few seconds ago.
    pub fn healthy(&self) -> bool {
        !self.inner.pulse.is_stuck() && !self.inner.queue.has_ended()
    }

    /// Rows and changes dropped because the queue was full, or because they are not storable, since start.
    pub fn lost(&self) -> u64 {
        self.inner.pulse.lost.load(Ordering::Relaxed)
    }

    /// Blocks until everything queued so far is written; `false`: not within `wait`.
    pub fn flush(&self, wait: Duration) -> bool {
        let (done, written) = mpsc::sync_channel(1);
        self.inner.queue.push(Job::Barrier(done)) && written.recv_timeout(wait).is_ok()
    }

    /// Takes nothing in any more and blocks until the rest is written; `false`: not within `wait`.
    pub fn close(&self, wait: Duration) -> bool {
        self.inner.queue.close(Instant::now() + wait);
        self.inner.queue.wait_for_end(wait)
    }

    fn push(&self, job: Job) -> bool {
        let room = self.inner.queue.push(job);
        if !room {
            self.inner.pulse.lost.fetch_add(1, Ordering::Relaxed);
        }
        room
    }
}

fn start(name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), LedgerError> {
    let started = std::thread::Builder::new().name(name.into()).spawn(work);
    started.map(drop).map_err(|error| LedgerError(format!("cannot start the thread {name}: {error}")))
}

fn because(doing: &'static str) -> impl FnOnce(rusqlite::Error) -> LedgerError {
    move |error| LedgerError(format!("cannot {doing}: {error}"))
}

#[cfg(test)]
mod tests;
