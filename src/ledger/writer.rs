//! The one thread that writes the ledger: takes what is queued, commits it together, then answers.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::watch;

use super::exchanges::Sums;
use super::queue::{Job, Queue, Taken};
use super::retention::Retention;
use super::schema::is_about_the_data;
use super::{LedgerError, Swap, accounts, exchanges, reasoning};
use crate::vault::Vault;

/// Jobs in one transaction, at most.
const BATCH: usize = 512;
/// How often the writer looks whether another process has committed.
const LOOK: Duration = Duration::from_millis(500);
/// A transaction under way for longer than this means that writes stall.
const STUCK: Duration = Duration::from_secs(5);
const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// What the writer shows of itself to the handle.
#[derive(Debug)]
pub(super) struct Pulse {
    started: Instant,
    /// Milliseconds after `started` (plus one) at which the transaction under way began; 0: none.
    since: AtomicU64,
    pub(super) lost: AtomicU64,
    /// Jobs committed since the start.
    pub(super) committed: AtomicU64,
}

impl Pulse {
    pub(super) fn new() -> Self {
        Self {
            started: Instant::now(),
            since: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            committed: AtomicU64::new(0),
        }
    }

    pub(super) fn is_stuck(&self) -> bool {
        let since = self.since.load(Ordering::Relaxed);
        since > 0 && self.now().saturating_sub(since) > millis(STUCK)
    }

    fn now(&self) -> u64 {
        millis(self.started.elapsed()) + 1
    }

    fn begin(&self) {
        self.since.store(self.now(), Ordering::Relaxed);
    }

    fn end(&self) {
        self.since.store(0, Ordering::Relaxed);
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// What the thread owns.
pub(super) struct Writer {
    pub(super) connection: Connection,
    pub(super) path: PathBuf,
    pub(super) vault: Arc<Vault>,
    pub(super) queue: Arc<Queue>,
    pub(super) pulse: Arc<Pulse>,
    pub(super) changed: watch::Sender<u64>,
    pub(super) retention: Retention,
    /// `PRAGMA data_version` as last seen.
    pub(super) version: i64,
    pub(super) looked: Instant,
}

/// What a job came to, kept back until the commit.
enum Reply {
    Written,
    Swapped(Swap),
}

impl Drop for Writer {
    /// However the thread ends, nobody waits for it for ever.
    fn drop(&mut self) {
        let left = self.queue.end();
        if left > 0 {
            self.pulse.lost.fetch_add(u64::try_from(left).unwrap_or(u64::MAX), Ordering::Relaxed);
            log::error!("{left} rows could not be written to {} before the end", self.path.display());
        }
    }
}

/// `PRAGMA data_version`: changes when another connection commits, never by our own commits.
pub(super) fn data_version(connection: &Connection) -> Result<i64, rusqlite::Error> {
    connection.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))
}

impl Writer {
    pub(super) fn run(mut self) {
        loop {
            match self.queue.take(BATCH, LOOK.min(self.retention.due_in())) {
                Taken::Jobs(jobs) => self.write(jobs),
                Taken::Nothing => {}
                Taken::Closed => return,
            }
            if self.queue.is_hopeless() {
                return;
            }
            self.look_for_changes();
            if self.retention.due_in().is_zero() {
                self.retention.run_slice(&mut self.connection);
            }
        }
    }

    /// Commits the jobs together; if one of them cannot be stored, each by itself.
    fn write(&mut self, jobs: Vec<Job>) {
        self.pulse.begin();
        let outcome = self.commit_patiently(&jobs);
        self.pulse.end();
        match outcome {
            Ok(replies) => {
                let count = u64::try_from(jobs.len()).unwrap_or(0);
                self.pulse.committed.fetch_add(count, Ordering::Relaxed);
                jobs.into_iter().zip(replies).for_each(|(job, reply)| answer(job, Ok(reply)));
            }
            Err(error) if jobs.len() == 1 || !is_about_the_data(&error) => {
                jobs.into_iter().for_each(|job| self.give_up(job, &error));
            }
            Err(_) => jobs.into_iter().for_each(|job| self.write(vec![job])),
        }
    }

    /// Locked by somebody else, disk full, and the like: the same jobs again, for as long as it takes.
    fn commit_patiently(&mut self, jobs: &[Job]) -> Result<Vec<Reply>, rusqlite::Error> {
        let mut pause = FIRST_PAUSE;
        let began = Instant::now();
        let mut told = false;
        loop {
            let error = match commit(&mut self.connection, &self.vault, jobs) {
                Ok(replies) => {
                    if told {
                        log::info!("the ledger can be written again after {:?}", began.elapsed());
                    }
                    return Ok(replies);
                }
                Err(error) => error,
            };
            if is_about_the_data(&error) || self.queue.is_hopeless() {
                return Err(error);
            }
            if !told && began.elapsed() > STUCK {
                told = true;
                log::error!("{} cannot be written for now: {error}; trying on", self.path.display());
            }
            std::thread::sleep(pause);
            pause = LONGEST_PAUSE.min(pause * 2);
        }
    }

    fn give_up(&self, job: Job, error: &rusqlite::Error) {
        match &job {
            Job::Row { entry, .. } => {
                self.pulse.lost.fetch_add(1, Ordering::Relaxed);
                log::error!("the row of exchange {} could not be written: {error}", entry.id);
            }
            Job::Rotate { to, .. } => {
                log::error!("new tokens of account {} could not be written: {error}", to.account);
            }
            Job::Change { account, .. } => {
                log::error!("a change of account {account} could not be written: {error}");
            }
            Job::Remember(memory) => {
                log::warn!("reasoning items {} could not be saved: {error}", memory.anchor);
            }
            Job::Barrier(_) => {}
        }
        answer(job, Err(LedgerError(format!("cannot write the ledger: {error}"))));
    }

    fn look_for_changes(&mut self) {
        if self.looked.elapsed() < LOOK {
            return;
        }
        self.looked = Instant::now();
        match data_version(&self.connection) {
            Ok(version) if version != self.version => {
                self.version = version;
                self.changed.send_modify(|count| *count += 1);
            }
            Ok(_) => {}
            Err(error) => log::debug!("data_version: {error}"),
        }
    }
}

/// One transaction. Rotated tokens must survive a power cut, so a transaction with any waits for the disk.
fn commit(connection: &mut Connection, vault: &Vault, jobs: &[Job]) -> Result<Vec<Reply>, rusqlite::Error> {
    let durable = jobs.iter().any(|job| matches!(job, Job::Rotate { .. }));
    if durable {
        connection.pragma_update(None, "synchronous", "FULL")?;
    }
    let outcome = commit_all(connection, vault, jobs);
    if durable && let Err(error) = connection.pragma_update(None, "synchronous", "NORMAL") {
        log::warn!("the ledger stays with synchronous=FULL: {error}");
    }
    outcome
}

fn commit_all(
    connection: &mut Connection,
    vault: &Vault,
    jobs: &[Job],
) -> Result<Vec<Reply>, rusqlite::Error> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut sums = Sums::default();
    let mut replies = Vec::with_capacity(jobs.len());
    for job in jobs {
        let mut reply = Reply::Written;
        match job {
            Job::Row { entry, .. } => {
                if exchanges::insert(&transaction, entry)? {
                    sums.add(entry);
                }
            }
            Job::Rotate { to, .. } => reply = Reply::Swapped(accounts::rotate(&transaction, vault, to)?),
            Job::Change { account, change } => accounts::change(&transaction, account, change)?,
            Job::Remember(memory) => reasoning::save(&transaction, vault, memory)?,
            Job::Barrier(_) => {}
        }
        replies.push(reply);
    }
    sums.write(&transaction)?;
    transaction.commit()?;
    Ok(replies)
}

/// Whoever waited may have left meanwhile; that is fine.
fn answer(job: Job, reply: Result<Reply, LedgerError>) {
    match (job, reply) {
        (Job::Row { ack: Some(ack), .. }, Ok(_)) => drop(ack.send(())),
        (Job::Rotate { ack, .. }, Ok(Reply::Swapped(swap))) => drop(ack.send(Ok(swap))),
        (Job::Rotate { ack, .. }, Err(error)) => drop(ack.send(Err(error))),
        (Job::Barrier(done), Ok(_)) => drop(done.send(())),
        (
            Job::Row { .. } | Job::Rotate { .. } | Job::Change { .. } | Job::Remember(_) | Job::Barrier(_),
            _,
        ) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transaction_under_way_for_more_than_five_seconds_is_stuck() {
        let pulse = Pulse { started: Instant::now() - Duration::from_secs(60), ..Pulse::new() };
        assert!(!pulse.is_stuck(), "idle");
        pulse.begin();
        assert!(!pulse.is_stuck(), "just begun");
        pulse.since.store(pulse.now() - millis(STUCK) - 1, Ordering::Relaxed);
        assert!(pulse.is_stuck());
        pulse.end();
        assert!(!pulse.is_stuck());
    }
}
