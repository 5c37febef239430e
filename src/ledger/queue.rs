//! The bounded queue in front of the writer thread. Pushing never waits.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::accounts::Rotation;
use super::reasoning::Memory;
use super::{AccountChange, Entry, LedgerError, Swap};

/// Jobs that may wait: at 200 exchanges a second a minute's worth, and about 10 MiB.
pub(super) const MAX_JOBS: usize = 16 * 1024;
/// Bytes of reasoning items that may wait; they are only a cache.
const MAX_MEMORY: usize = 32 << 20;

/// One thing to write.
#[derive(Debug)]
pub(super) enum Job {
    Row {
        entry: Box<Entry>,
        ack: Option<oneshot::Sender<()>>,
    },
    Rotate {
        to: Box<Rotation>,
        ack: oneshot::Sender<Result<Swap, LedgerError>>,
    },
    Change {
        account: String,
        change: AccountChange,
    },
    Remember(Memory),
    /// Answered when everything queued before it is written.
    Barrier(mpsc::SyncSender<()>),
}

/// What `take` found.
#[derive(Debug)]
pub(super) enum Taken {
    Jobs(Vec<Job>),
    /// Nothing within the wait.
    Nothing,
    /// Closed, and everything was taken.
    Closed,
}

#[derive(Debug, Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    jobs: VecDeque<Job>,
    memory: usize,
    /// When the writer gives up on what it cannot write; set: nothing is taken in any more.
    closed: Option<Instant>,
    ended: bool,
}

impl Queue {
    /// `false`: no room, or closed. Rotated tokens and barriers always find room: there are few, and each has
    /// somebody waiting.
    pub(super) fn push(&self, job: Job) -> bool {
        let mut state = self.lock();
        let memory = memory_of(&job);
        let room = match job {
            Job::Rotate { .. } | Job::Barrier(_) => true,
            Job::Row { .. } | Job::Change { .. } => state.jobs.len() < MAX_JOBS,
            Job::Remember(_) => state.jobs.len() < MAX_JOBS / 2 && state.memory + memory <= MAX_MEMORY,
        };
        if !room || state.closed.is_some() || state.ended {
            return false;
        }
        state.memory += memory;
        state.jobs.push_back(job);
        drop(state);
        self.changed.notify_all();
        true
    }

    /// Waits for jobs and takes up to `max` of them.
    pub(super) fn take(&self, max: usize, wait: Duration) -> Taken {
        let (mut state, _) = self
            .changed
            .wait_timeout_while(self.lock(), wait, |state| state.jobs.is_empty() && state.closed.is_none())
            .unwrap_or_else(PoisonError::into_inner);
        if state.jobs.is_empty() {
            return if state.closed.is_some() { Taken::Closed } else { Taken::Nothing };
        }
        let count = state.jobs.len().min(max);
        let jobs: Vec<Job> = state.jobs.drain(..count).collect();
        state.memory -= jobs.iter().map(memory_of).sum::<usize>();
        Taken::Jobs(jobs)
    }

    /// Takes nothing in any more; what is queued may be written until `give_up`.
    pub(super) fn close(&self, give_up: Instant) {
        self.lock().closed.get_or_insert(give_up);
        self.changed.notify_all();
    }

    /// Waits until the writer has ended; `false`: not in time.
    pub(super) fn wait_for_end(&self, wait: Duration) -> bool {
        let (state, _) = self
            .changed
            .wait_timeout_while(self.lock(), wait, |state| !state.ended)
            .unwrap_or_else(PoisonError::into_inner);
        state.ended
    }

    /// The time given at closing is over.
    pub(super) fn is_hopeless(&self) -> bool {
        self.lock().closed.is_some_and(|give_up| Instant::now() >= give_up)
    }

    pub(super) fn has_ended(&self) -> bool {
        self.lock().ended
    }

    /// Called by the writer as its last act. How many rows and rotations were left over.
    pub(super) fn end(&self) -> usize {
        let mut state = self.lock();
        state.ended = true;
        let left = std::mem::take(&mut state.jobs);
        drop(state);
        self.changed.notify_all();
        left.iter().filter(|job| matches!(job, Job::Row { .. } | Job::Rotate { .. })).count()
    }

    /// No code under this lock can leave the state half changed.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn memory_of(job: &Job) -> usize {
    match job {
        Job::Remember(memory) => memory.items.len(),
        Job::Row { .. } | Job::Rotate { .. } | Job::Change { .. } | Job::Barrier(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change() -> Job {
        Job::Change { account: "a".into(), change: AccountChange::Recovered }
    }

    fn memory(bytes: usize) -> Job {
        let items = vec![0; bytes].into();
        Job::Remember(Memory { anchor: String::new(), account: String::new(), items, now: 0 })
    }

    #[test]
    fn a_full_queue_says_so_but_has_room_for_rotated_tokens() {
        let queue = Queue::default();
        assert!((0..MAX_JOBS).all(|_| queue.push(change())));
        assert!(!queue.push(change()));
        let to = Rotation {
            account: "a".into(),
            from_hash: String::new(),
            to_hash: String::new(),
            sealed: Vec::new(),
            now: 0,
        };
        assert!(queue.push(Job::Rotate { to: Box::new(to), ack: oneshot::channel().0 }));
    }

    #[test]
    fn reasoning_items_are_bounded_by_their_bytes() {
        let queue = Queue::default();
        assert!(queue.push(memory(MAX_MEMORY)));
        assert!(!queue.push(memory(1)));
        assert!(matches!(queue.take(9, Duration::ZERO), Taken::Jobs(jobs) if jobs.len() == 1));
        assert!(queue.push(memory(1)));
    }

    #[test]
    fn a_closed_queue_gives_out_the_rest_and_takes_nothing_in() {
        let queue = Queue::default();
        assert!(queue.push(change()));
        queue.close(Instant::now());
        assert!(!queue.push(change()));
        assert!(matches!(queue.take(9, Duration::from_secs(9)), Taken::Jobs(_)));
        assert!(matches!(queue.take(9, Duration::from_secs(9)), Taken::Closed));
        assert!(queue.is_hopeless());
        assert_eq!(queue.end(), 0);
        assert!(queue.wait_for_end(Duration::from_secs(9)));
    }
}
