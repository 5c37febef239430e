//! The client's side of an exchange: the head, bytes and keep-alives that go to it, and whether it is still there.

use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use http::header;
use pingora::http::ResponseHeader;
use pingora::protocols::http::HttpTask;
use pingora_proxy::Session;
use tokio::time::{Instant, Sleep};

use crate::error::Error;
use crate::sse;

/// Proxies in front cut a silent stream after 60 to 125 s; a comment each 10 s keeps it.
const KEEPALIVE: Duration = Duration::from_secs(10);

/// A client that takes nothing for this long is given up.
const WRITE: Duration = Duration::from_secs(60);

/// The client has gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Left;

/// How a wait ended.
pub enum Waited<T> {
    Ready(T),
    /// Longer than allowed.
    Silence,
}

/// One client, for the time of one exchange.
pub struct Client<'s> {
    session: &'s mut Session,
    id: String,
    streaming: bool,
    /// Status of the head, once it is out.
    sent: Option<u16>,
    /// Headers of the answer that come from the upstream, set before the head goes out.
    extra: Vec<(&'static str, String)>,
    last_write: Instant,
    alarm: Pin<Box<Sleep>>,
}

impl<'s> Client<'s> {
    /// `id` is the exchange's, given back as `x-request-id`.
    pub fn new(session: &'s mut Session, id: &str) -> Self {
        session.set_write_timeout(Some(WRITE));
        let now = Instant::now();
        Self {
            session,
            id: id.to_owned(),
            streaming: false,
            sent: None,
            extra: Vec::new(),
            last_write: now,
            alarm: Box::pin(tokio::time::sleep_until(now + KEEPALIVE)),
        }
    }

    pub fn session(&mut self) -> &mut Session {
        self.session
    }

    /// The client wants events: keep-alives may be sent.
    pub fn set_streaming(&mut self, streaming: bool) {
        self.streaming = streaming;
    }

    /// Adds a header to the answer's head.
    pub fn add_header(&mut self, name: &'static str, value: String) {
        self.extra.push((name, value));
    }

    /// Status of the head that was sent, if one was.
    pub fn status(&self) -> Option<u16> {
        self.sent
    }

    /// Waits for `what`, `limit` at most; meanwhile keeps the connection alive and notices that the client left.
    pub async fn wait<T>(
        &mut self,
        limit: Duration,
        what: impl Future<Output = T>,
    ) -> Result<Waited<T>, Left> {
        tokio::pin!(what);
        let deadline = Instant::now() + limit;
        if deadline < self.alarm.deadline() {
            self.alarm.as_mut().reset(deadline);
        }
        loop {
            tokio::select! {
                biased;
                ready = &mut what => return Ok(Waited::Ready(ready)),
                // Nothing is expected from the client: whatever this returns, the request is over.
                _ = self.session.as_downstream_mut().read_body_or_idle(true) => return Err(Left),
                () = &mut self.alarm => {}
            }
            let now = Instant::now();
            if now >= deadline {
                self.alarm.as_mut().reset(now + KEEPALIVE);
                return Ok(Waited::Silence);
            }
            if self.streaming && now >= self.last_write + KEEPALIVE {
                self.send(vec![Bytes::from_static(sse::KEEPALIVE)], false).await?;
            }
            let next = if self.streaming { self.last_write + KEEPALIVE } else { now + KEEPALIVE };
            self.alarm.as_mut().reset(deadline.min(next));
        }
    }

    /// Sends pieces of a stream in one write, the head with the first if it is not out yet.
    pub async fn send(&mut self, pieces: Vec<Bytes>, end: bool) -> Result<(), Left> {
        let mut tasks = Vec::with_capacity(pieces.len() + 2);
        if self.sent.is_none() {
            tasks.push(HttpTask::Header(self.stream_head()?, false));
            self.sent = Some(200);
        }
        tasks.extend(pieces.into_iter().map(|piece| HttpTask::Body(Some(piece), false)));
        if end {
            tasks.push(HttpTask::Body(None, true));
        }
        self.last_write = Instant::now();
        self.session.write_response_tasks(tasks).await.map(drop).map_err(|_| Left)
    }

    fn stream_head(&self) -> Result<Box<ResponseHeader>, Left> {
        let mut head = self.head(200, "text/event-stream; charset=utf-8")?;
        // nginx would hold events back otherwise.
        head.insert_header("x-accel-buffering", "no").map_err(|_| Left)?;
        let http_1_1 = self.session.req_header().version == http::Version::HTTP_11;
        if http_1_1 && !self.session.is_http2() {
            // Else the end of the connection would be the end of the stream.
            head.insert_header(header::TRANSFER_ENCODING, "chunked").map_err(|_| Left)?;
        }
        Ok(head)
    }

    /// Sends a whole JSON answer.
    pub async fn reply(&mut self, status: u16, body: Bytes, retry_after: Option<u64>) -> Result<(), Left> {
        let mut head = self.head(status, "application/json")?;
        head.insert_header(header::CONTENT_LENGTH, body.len()).map_err(|_| Left)?;
        if let Some(seconds) = retry_after {
            head.insert_header(header::RETRY_AFTER, seconds).map_err(|_| Left)?;
        }
        self.sent = Some(status);
        let no_body = self.session.req_header().method == http::Method::HEAD;
        self.session.write_response_header(head, no_body).await.map_err(|_| Left)?;
        if no_body {
            return Ok(());
        }
        self.session.write_response_body(Some(body), true).await.map_err(|_| Left)
    }

    /// Sends an error with its status; only while nothing was sent.
    pub async fn reply_error(&mut self, error: &Error) -> Result<(), Left> {
        self.reply(error.status(), error.body(), error.retry_after()).await
    }

    fn head(&self, status: u16, content_type: &'static str) -> Result<Box<ResponseHeader>, Left> {
        let build = || -> pingora::Result<ResponseHeader> {
            let mut head = ResponseHeader::build(status, Some(6 + self.extra.len()))?;
            head.insert_header(header::CONTENT_TYPE, content_type)?;
            head.insert_header(header::CACHE_CONTROL, "no-cache")?;
            head.insert_header("x-request-id", self.id.as_str())?;
            for (name, value) in &self.extra {
                head.insert_header(*name, value.as_str())?;
            }
            Ok(head)
        };
        build().map(Box::new).map_err(|_| Left)
    }
}
