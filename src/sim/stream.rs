//! The body of an answer: events at their pace, in their pieces, up to the point where a fault ends them.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame};
use tokio::time::{Sleep, sleep};

use super::fault::Fault;
use super::log::{Outcome, Tracked};

/// Sizes of the pieces of split frames, in bytes.
const PIECES: &[usize] = &[1, 2, 3, 4, 5, 6, 7];

/// What becomes of a finished list of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) delay: Duration,
    /// Every event is written in pieces of 1 to 7 bytes.
    pub(crate) split: bool,
    /// After how many events what happens.
    pub(crate) cut: Option<(usize, Cut)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    /// The stream ends as if all was said.
    End,
    /// The connection is reset.
    Die,
    /// Silence, until the peer leaves.
    Stall,
}

impl Shape {
    pub(crate) fn new(delay: Duration, faults: &[Fault]) -> Self {
        let split = faults.contains(&Fault::SplitFrames);
        let mut shape = Self { delay, split, cut: None };
        for fault in faults {
            if let Fault::Drip(millis) = fault {
                shape.delay = Duration::from_millis(*millis);
            } else if let Fault::End(events) = fault {
                shape.cut = Some((*events, Cut::End));
            } else if let Fault::Die(events) = fault {
                shape.cut = Some((*events, Cut::Die));
            } else if let Fault::Stall(events) = fault {
                shape.cut = Some((*events, Cut::Stall));
            }
        }
        shape
    }
}

/// The connection was cut on purpose.
#[derive(Debug)]
pub(crate) struct Broken;

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("cut by a fault")
    }
}

impl std::error::Error for Broken {}

pub(crate) struct Events {
    events: Arc<[Bytes]>,
    shape: Shape,
    /// Told to reset the connection when it closes.
    reset: Arc<AtomicBool>,
    tracked: Tracked,
    /// Rest of the event that is being written in pieces.
    rest: Bytes,
    piece: usize,
    pause: Option<Pin<Box<Sleep>>>,
    /// What is written already was given time to leave.
    flushed: bool,
}

impl Events {
    pub(crate) fn new(events: Arc<[Bytes]>, shape: Shape, reset: Arc<AtomicBool>, tracked: Tracked) -> Self {
        let mut events =
            Self { events, shape, reset, tracked, rest: Bytes::new(), piece: 0, pause: None, flushed: false };
        events.schedule();
        events
    }

    fn schedule(&mut self) {
        self.pause = (!self.shape.delay.is_zero()).then(|| Box::pin(sleep(self.shape.delay)));
    }

    /// Lets the connection write out what it has before going on.
    fn flush(&mut self, context: &Context<'_>) -> bool {
        self.flushed = !self.flushed;
        if self.flushed {
            context.waker().wake_by_ref();
        }
        self.flushed
    }

    fn cut(&mut self, cut: Cut, context: &Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        match cut {
            Cut::Stall => Poll::Pending,
            Cut::End => {
                self.tracked.outcome = Some(Outcome::Faulted);
                Poll::Ready(None)
            }
            Cut::Die if self.flush(context) => Poll::Pending,
            Cut::Die => {
                self.tracked.outcome = Some(Outcome::Faulted);
                self.reset.store(true, Ordering::Release);
                Poll::Ready(Some(Err(Broken)))
            }
        }
    }

    fn next_piece(&mut self) -> Bytes {
        let size = PIECES.get(self.piece % PIECES.len()).copied().unwrap_or(1);
        self.piece = self.piece.wrapping_add(1);
        self.rest.split_to(size.min(self.rest.len()))
    }
}

impl Body for Events {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let this = &mut *self;
        if !this.rest.is_empty() {
            if this.flush(context) {
                return Poll::Pending;
            }
            return Poll::Ready(Some(Ok(Frame::data(this.next_piece()))));
        }
        if let Some((_, cut)) = this.shape.cut.filter(|(after, _)| this.tracked.events >= *after) {
            return this.cut(cut, context);
        }
        let Some(event) = this.events.get(this.tracked.events) else {
            return Poll::Ready(None);
        };
        if this.pause.as_mut().is_some_and(|pause| pause.as_mut().poll(context).is_pending()) {
            return Poll::Pending;
        }
        let event = event.clone();
        this.tracked.events += 1;
        if this.tracked.events == this.events.len() {
            // A fault that has spoken already keeps its word.
            this.tracked.outcome.get_or_insert(Outcome::Completed);
        }
        this.schedule();
        if this.shape.split {
            this.rest = event;
            return Poll::Ready(Some(Ok(Frame::data(this.next_piece()))));
        }
        Poll::Ready(Some(Ok(Frame::data(event))))
    }
}
