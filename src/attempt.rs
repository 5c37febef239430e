//! One try of an exchange on one account = one Pingora subrequest.
//!
//! An `Attempt` travels into the subrequest as its context, and Pingora's phases call it there. A `Running` stays
//! with the exchange: it feeds the body in and takes the answer out. Between them stands `Seen`: the events are cut
//! out of the bytes once, where the bytes pass, and picked up on the other side.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use codex_lb_filters::{Answer, Chain, Event, Kind};
use http::{HeaderMap, HeaderValue, Method, Version, header};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::http::HttpTask;
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorType, OrErr, Result};
use pingora_proxy::Session;
use pingora_proxy::subrequest::{BodyMode, Ctx as SubrequestCtx};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::pool::{Lease, Pool, quota};
use crate::sse::Splitter;
use crate::upstream::Endpoint;

/// The body goes upstream in slices of this size, so that an early answer is noticed while it is being sent.
const BODY_SLICE: usize = 256 * 1024;

/// After its terminal event an answer gets this long to end, so that its connection can be used again.
const TAIL: Duration = Duration::from_secs(5);

/// What is the same for every attempt of an exchange.
pub struct Plan {
    pub endpoint: Arc<Endpoint>,
    pub pool: Arc<Pool>,
    pub chain: Arc<Chain>,
    /// The head that goes upstream, but for the account's credentials.
    pub headers: HeaderMap,
    /// Path below the base URL, e.g. `/codex/responses`.
    pub path: &'static str,
}

/// One attempt, as the subrequest's phases see it.
pub struct Attempt {
    plan: Arc<Plan>,
    lease: Lease,
    seen: Arc<Seen>,
    splitter: Splitter,
    streaming: bool,
    body_length: usize,
}

/// What the phases have seen of the answer.
#[derive(Default)]
struct Seen(Mutex<Sight>);

#[derive(Default)]
struct Sight {
    answer: Answer,
    events: VecDeque<Event>,
    streaming: bool,
    reused: bool,
}

impl Seen {
    fn with<T>(&self, look: impl FnOnce(&mut Sight) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

// === impl Attempt: the phases of the subrequest ===

impl Attempt {
    /// Takes the attempt out of a session, if the session is a subrequest of ours.
    pub fn of(session: &mut Session) -> Option<Box<Self>> {
        let ctx = session.subrequest_ctx.as_mut()?.user_ctx_mut()?;
        ctx.downcast_mut::<Option<Box<Self>>>()?.take()
    }

    /// `request_filter`: the head becomes the upstream's, with the chosen account's credentials.
    pub fn inject(&self, session: &mut Session) -> Result<()> {
        let path = self.plan.endpoint.path(self.plan.path);
        let mut head =
            RequestHeader::build(Method::POST, path.as_bytes(), Some(self.plan.headers.len() + 4))?;
        head.set_version(Version::HTTP_11);
        for (name, value) in &self.plan.headers {
            head.append_header(name, value)?;
        }
        let credentials = self.lease.account.credentials();
        let mut bearer = HeaderValue::try_from(format!("Bearer {}", credentials.access.expose()))
            .or_err(ErrorType::InternalError, "the access token is not a header value")?;
        bearer.set_sensitive(true);
        head.insert_header(header::AUTHORIZATION, bearer)?;
        if let Some(id) = &credentials.chatgpt_account_id {
            head.insert_header("chatgpt-account-id", id.as_str())?;
        }
        head.insert_header(header::HOST, self.plan.endpoint.authority())?;
        head.insert_header(header::CONTENT_LENGTH, self.body_length)?;
        *session.req_header_mut() = head;
        Ok(())
    }

    /// `upstream_peer`.
    pub async fn peer(&self) -> Result<Box<HttpPeer>> {
        self.plan.endpoint.peer().await
    }

    /// `connected_to_upstream`: was the connection a used one?
    pub fn on_connection(&self, reused: bool) {
        self.seen.with(|sight| sight.reused = reused);
    }

    /// `upstream_response_filter`: the account's quota is in the head, whatever the status.
    pub fn on_head(&mut self, head: &ResponseHeader) {
        self.streaming = head.status.is_success();
        self.seen.with(|sight| sight.streaming = self.streaming);
        self.plan.pool.learn(&self.lease.account, quota::from_headers(&head.headers, crate::now_ms()));
    }

    /// `response_body_filter`: cuts the bytes into events, records what they tell.
    pub fn on_body(&mut self, body: Option<&Bytes>, end: bool) -> Result<()> {
        if !self.streaming {
            return Ok(());
        }
        let mut events = match body {
            Some(bytes) => self
                .splitter
                .push(bytes.clone())
                .map_err(|_| Error::explain(ErrorType::InvalidHTTPHeader, "an event is larger than 16 MiB"))?
                .into_iter()
                .collect(),
            None => VecDeque::new(),
        };
        if end {
            events.extend(self.splitter.finish());
        }
        for event in events.iter().filter(|event| event.kind == Kind::RateLimits) {
            self.plan.pool.learn(&self.lease.account, quota::from_event(&event.data, crate::now_ms()));
        }
        self.seen.with(|sight| {
            for event in &events {
                self.plan.chain.on_event(&mut sight.answer, event);
            }
            sight.events.append(&mut events);
        });
        Ok(())
    }
}

/// One attempt, as the exchange sees it. Dropping it ends the subrequest and its upstream request at once.
pub struct Running {
    rx: mpsc::Receiver<HttpTask>,
    error: Option<oneshot::Receiver<Box<Error>>>,
    seen: Arc<Seen>,
    body_length: u64,
    task: Option<JoinHandle<()>>,
}

/// What comes out of an attempt, in order.
#[derive(Debug)]
pub enum Step {
    Head(Box<ResponseHeader>),
    /// Events of a 2xx answer.
    Events(VecDeque<Event>),
    /// Bytes of any other answer.
    Bytes(Bytes),
    /// The answer ended as HTTP says it should.
    End,
    /// The connection failed. `reused`: it was a kept-alive one.
    Broken {
        error: Box<Error>,
        reused: bool,
    },
}

// === impl Running ===

impl Running {
    /// Starts the subrequest.
    pub fn start(session: &Session, plan: &Arc<Plan>, lease: Lease, body: Vec<Bytes>) -> Result<Self> {
        let spawner = session.subrequest_spawner.as_ref().ok_or_else(|| {
            Error::explain(ErrorType::InternalError, "this session cannot spawn subrequests")
        })?;
        let seen = Arc::new(Seen::default());
        let body_length = body.iter().map(Bytes::len).sum();
        let attempt = Box::new(Attempt {
            plan: plan.clone(),
            lease,
            seen: seen.clone(),
            splitter: Splitter::new(),
            streaming: false,
            body_length,
        });
        let ctx = SubrequestCtx::builder()
            .body_mode(BodyMode::ExpectBody)
            .user_ctx(Box::new(Some(attempt)))
            .build();
        let (subrequest, handle) = spawner.create_subrequest(session.as_downstream(), ctx);
        let feed = feed(handle.tx, handle.subreq_wants_body, body);
        let task = tokio::spawn(async move {
            tokio::join!(subrequest.run(), feed);
        });
        let error = Some(handle.subreq_proxy_error);
        Ok(Self { rx: handle.rx, error, seen, body_length: body_length as u64, task: Some(task) })
    }

    /// Bytes of the request's body.
    pub fn body_length(&self) -> u64 {
        self.body_length
    }

    /// The next step. Cancel-safe.
    pub async fn next(&mut self) -> Step {
        while let Some(task) = self.rx.recv().await {
            if let Some(step) = self.step(task) {
                return step;
            }
        }
        let Some(error) = &mut self.error else { return Step::End };
        let error = error.await;
        self.error = None;
        error.map_or(Step::End, |error| self.broken(error))
    }

    /// The next step, if it is there already.
    pub fn ready(&mut self) -> Option<Step> {
        while let Ok(task) = self.rx.try_recv() {
            if let Some(step) = self.step(task) {
                return Some(step);
            }
        }
        None
    }

    fn step(&self, task: HttpTask) -> Option<Step> {
        match task {
            HttpTask::Header(head, _) => (!head.status.is_informational()).then_some(Step::Head(head)),
            HttpTask::Body(bytes, _) | HttpTask::UpgradedBody(bytes, _) => {
                let (streaming, events) =
                    self.seen.with(|sight| (sight.streaming, std::mem::take(&mut sight.events)));
                if !events.is_empty() {
                    return Some(Step::Events(events));
                }
                bytes.filter(|bytes| !streaming && !bytes.is_empty()).map(Step::Bytes)
            }
            HttpTask::Failed(error) => Some(self.broken(error)),
            HttpTask::Done => {
                // The request may still be going up; what matters has been said.
                let left = self.seen.with(|sight| std::mem::take(&mut sight.events));
                Some(if left.is_empty() { Step::End } else { Step::Events(left) })
            }
            HttpTask::Trailer(_) => None,
        }
    }

    fn broken(&self, error: Box<Error>) -> Step {
        Step::Broken { error, reused: self.seen.with(|sight| sight.reused) }
    }

    /// What the answer has told the filters.
    pub fn answer(&self) -> Answer {
        self.seen.with(|sight| sight.answer.clone())
    }

    /// The answer is complete: lets the subrequest end by itself, so that the connection goes back to its pool.
    pub fn let_go(mut self) {
        let Some(mut task) = self.task.take() else { return };
        let (_, idle) = mpsc::channel(1);
        let mut rx = std::mem::replace(&mut self.rx, idle);
        tokio::spawn(async move {
            let tail = async {
                while rx.recv().await.is_some() {}
                (&mut task).await
            };
            if tokio::time::timeout(TAIL, tail).await.is_err() {
                task.abort();
            }
        });
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

/// Gives the body to the subrequest once it asks. That it stops listening is its own business.
async fn feed(tx: mpsc::Sender<HttpTask>, wanted: oneshot::Receiver<()>, body: Vec<Bytes>) {
    if wanted.await.is_err() {
        return;
    }
    let mut parts = body.into_iter().filter(|part| !part.is_empty()).peekable();
    while let Some(mut part) = parts.next() {
        while !part.is_empty() {
            let slice = part.split_to(part.len().min(BODY_SLICE));
            let end = part.is_empty() && parts.peek().is_none();
            if tx.send(HttpTask::Body(Some(slice), end)).await.is_err() {
                return;
            }
        }
    }
    // The subrequest takes a closed channel for a client that left: keep it open as long as it runs.
    tx.closed().await;
}
