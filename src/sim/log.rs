//! What was received and how it ended: bounded, and something tests can wait for.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::http::request::Parts;
use bytes::Bytes;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use tokio::sync::watch;

use super::{lock, since_epoch};

/// What is kept: the newest records, up to these bounds.
const MAX_RECORDS: usize = 4096;
const MAX_BYTES: usize = 64 << 20;
/// Of an `authorization` header, so much is kept.
const SHOWN_OF_TOKEN: usize = 24;

#[derive(Debug)]
pub(crate) struct Log {
    inner: Mutex<Inner>,
    changed: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct Inner {
    records: VecDeque<Record>,
    bytes: usize,
    /// Number of the next record; numbers below `since` were deleted.
    next: u64,
    since: u64,
    counts: Counts,
}

/// Requests for answers since the log was last deleted; `open` is of now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) received: u64,
    pub(crate) finished: u64,
    /// Streams whose head was sent and that have not ended.
    pub(crate) open: u64,
}

/// How an exchange ended, as seen from here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// All events were handed to the connection.
    Completed,
    /// A reply without a stream.
    Replied,
    /// A fault ended it.
    Faulted,
    /// The peer went away first.
    CutByPeer,
}

#[derive(Debug)]
struct Record {
    number: u64,
    at: Duration,
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    body: Bytes,
    account: Option<String>,
    status: Option<u16>,
    events: usize,
    end: Option<(Outcome, Duration)>,
}

/// One exchange under way. Dropping it writes down how it ended.
#[derive(Debug)]
pub(crate) struct Tracked {
    log: Arc<Log>,
    number: u64,
    pub(crate) account: Option<String>,
    pub(crate) status: Option<u16>,
    /// Events handed to the connection.
    pub(crate) events: usize,
    pub(crate) outcome: Option<Outcome>,
    counted: bool,
    streaming: bool,
}

impl Default for Log {
    fn default() -> Self {
        Self { inner: Mutex::default(), changed: watch::Sender::new(()) }
    }
}

impl Log {
    /// Begins an exchange. Without a body it is not kept; only requests for answers are counted.
    pub(crate) fn receive(self: &Arc<Self>, parts: &Parts, body: Option<&Bytes>, counted: bool) -> Tracked {
        let mut inner = lock(&self.inner);
        let number = inner.next;
        inner.next += 1;
        inner.counts.received += u64::from(counted);
        if let Some(body) = body {
            inner.keep(Record::new(number, parts, body.clone()));
        }
        drop(inner);
        self.changed.send_replace(());
        Tracked {
            log: self.clone(),
            number,
            account: None,
            status: None,
            events: 0,
            outcome: None,
            counted,
            streaming: false,
        }
    }

    pub(crate) fn clear(&self) {
        let mut inner = lock(&self.inner);
        inner.records.clear();
        inner.bytes = 0;
        inner.since = inner.next;
        inner.counts = Counts { open: inner.counts.open, ..Counts::default() };
        drop(inner);
        self.changed.send_replace(());
    }

    pub(crate) fn counts(&self) -> Counts {
        lock(&self.inner).counts
    }

    /// Waits until the counts are as wanted; `false`: they were not within `limit`.
    pub(crate) async fn wait(&self, limit: Duration, wanted: impl Fn(Counts) -> bool) -> bool {
        let mut changed = self.changed.subscribe();
        let reached = async {
            while !wanted(self.counts()) {
                if changed.changed().await.is_err() {
                    break;
                }
            }
        };
        tokio::time::timeout(limit, reached).await.is_ok()
    }

    /// What `GET /sim/requests` shows.
    pub(crate) fn report(&self) -> Value {
        let inner = lock(&self.inner);
        let requests: Vec<Value> = inner.records.iter().map(Record::report).collect();
        json!({
            "received": inner.counts.received, "finished": inner.counts.finished, "open": inner.counts.open,
            "requests": requests,
        })
    }

    fn change(&self, number: u64, change: impl FnOnce(&mut Counts, Option<&mut Record>)) {
        let mut inner = lock(&self.inner);
        let Inner { records, counts, .. } = &mut *inner;
        let found = records.binary_search_by_key(&number, |record| record.number).ok();
        change(counts, found.and_then(|index| records.get_mut(index)));
        drop(inner);
        self.changed.send_replace(());
    }
}

impl Inner {
    fn keep(&mut self, record: Record) {
        self.bytes = self.bytes.saturating_add(record.body.len());
        self.records.push_back(record);
        while self.records.len() > MAX_RECORDS || (self.bytes > MAX_BYTES && self.records.len() > 1) {
            let Some(oldest) = self.records.pop_front() else { break };
            self.bytes = self.bytes.saturating_sub(oldest.body.len());
        }
    }
}

impl Record {
    fn new(number: u64, parts: &Parts, body: Bytes) -> Self {
        let headers = parts.headers.iter().map(|(name, value)| {
            let mut value = String::from_utf8_lossy(value.as_bytes()).into_owned();
            if name == "authorization" && value.len() > SHOWN_OF_TOKEN {
                value = value.chars().take(SHOWN_OF_TOKEN).chain(['…']).collect();
            }
            (name.to_string(), value)
        });
        Self {
            number,
            at: since_epoch(),
            method: parts.method.to_string(),
            path: parts.uri.path_and_query().map_or_else(String::new, ToString::to_string),
            headers: headers.collect(),
            body,
            account: None,
            status: None,
            events: 0,
            end: None,
        }
    }

    fn report(&self) -> Value {
        let outcome = self.end.map_or("open", |(outcome, _)| outcome.name());
        let mut headers = Map::new();
        for (name, value) in &self.headers {
            headers.insert(name.clone(), json!(value));
        }
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let digest: String = Sha256::digest(&self.body).iter().map(|byte| format!("{byte:02x}")).collect();
        json!({
            "number": self.number, "at_ms": millis(self.at), "ended_ms": self.end.map(|(_, time)| millis(time)),
            "method": self.method, "path": self.path, "headers": headers, "account": self.account,
            "body": serde_json::from_slice::<Value>(&self.body).ok(), "body_bytes": self.body.len(),
            "body_sha256": digest, "status": self.status, "events": self.events, "outcome": outcome,
        })
    }
}

impl Outcome {
    fn name(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Replied => "replied",
            Self::Faulted => "faulted",
            Self::CutByPeer => "cut_by_peer",
        }
    }
}

impl Tracked {
    /// The head of a stream goes out.
    pub(crate) fn opened(&mut self) {
        self.streaming = true;
        self.status = Some(200);
        self.log.change(self.number, |counts, record| {
            counts.open += 1;
            if let Some(record) = record {
                record.account.clone_from(&self.account);
                record.status = self.status;
            }
        });
    }
}

impl Drop for Tracked {
    fn drop(&mut self) {
        let outcome = self.outcome.unwrap_or(Outcome::CutByPeer);
        let since = lock(&self.log.inner).since;
        self.log.change(self.number, |counts, record| {
            counts.open -= u64::from(self.streaming);
            counts.finished += u64::from(self.counted && self.number >= since);
            if let Some(record) = record {
                record.account = self.account.take();
                record.status = self.status;
                record.events = self.events;
                record.end = Some((outcome, since_epoch()));
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts() -> Parts {
        let request = axum::http::Request::post("/x?y=1")
            .header("authorization", "Bearer 0123456789012345678901234567");
        request.body(()).unwrap().into_parts().0
    }

    #[tokio::test]
    async fn a_wait_ends_when_the_exchange_does() {
        let log = Arc::new(Log::default());
        let mut tracked = log.receive(&parts(), Some(&Bytes::from_static(b"{\"a\":1}")), true);
        tracked.opened();
        assert_eq!(log.counts(), Counts { received: 1, finished: 0, open: 1 });
        let waiting = {
            let log = log.clone();
            tokio::spawn(async move { log.wait(Duration::from_secs(10), |counts| counts.open == 0).await })
        };
        drop(tracked);
        assert!(waiting.await.unwrap());
        let request = &log.report()["requests"][0];
        assert_eq!(request["outcome"], "cut_by_peer");
        assert_eq!(request["path"], "/x?y=1");
        assert_eq!(request["body"]["a"], 1);
        assert_eq!(request["headers"]["authorization"], "Bearer 01234567890123456…");
    }

    #[tokio::test]
    async fn an_exchange_from_before_the_log_was_cleared_is_not_counted_as_finished() {
        let log = Arc::new(Log::default());
        let tracked = log.receive(&parts(), None, true);
        log.clear();
        drop(tracked);
        assert_eq!(log.counts(), Counts::default());
        assert!(!log.wait(Duration::from_millis(1), |counts| counts.finished == 1).await);
    }

    #[test]
    fn the_log_is_bounded_in_count_and_bytes() {
        let log = Arc::new(Log::default());
        for _ in 0..3 {
            drop(log.receive(&parts(), Some(&Bytes::from(vec![0; MAX_BYTES / 2 + 1])), true));
        }
        assert_eq!(lock(&log.inner).records.len(), 1);
        for _ in 0..=MAX_RECORDS {
            drop(log.receive(&parts(), Some(&Bytes::new()), true));
        }
        assert_eq!(lock(&log.inner).records.len(), MAX_RECORDS);
        assert_eq!(log.counts().received, 3 + 1 + u64::try_from(MAX_RECORDS).unwrap());
    }
}
