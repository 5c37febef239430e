//! `/events`: tells browsers that the ledger changed, never what changed.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::response::Sse;
use axum::response::sse::{Event, KeepAlive};
use futures_util::Stream;
use futures_util::stream;
use tokio::sync::{Semaphore, watch};

/// Browsers listening at the same time.
pub(super) const MOST: usize = 64;
/// A comment after so much silence keeps proxies in front from closing the stream.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Where event streams come from.
#[derive(Clone)]
pub(super) struct Subscribers {
    changed: watch::Receiver<u64>,
    places: Arc<Semaphore>,
}

impl Subscribers {
    pub(super) fn new(changed: watch::Receiver<u64>) -> Self {
        Self { changed, places: Arc::new(Semaphore::new(MOST)) }
    }

    /// A stream that ends with the service; `None`: there are too many already.
    pub(super) fn subscribe(&self) -> Option<Sse<impl Stream<Item = Result<Event, Infallible>> + use<>>> {
        let place = Arc::clone(&self.places).try_acquire_owned().ok()?;
        let mut changed = self.changed.clone();
        changed.mark_unchanged();
        let events = stream::unfold((changed, place), |(mut changed, place)| async {
            changed.changed().await.ok()?;
            let number = *changed.borrow_and_update();
            Some((Ok(Event::default().event("changed").data(number.to_string())), (changed, place)))
        });
        Some(Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)))
    }
}
