//! `POST /codex/responses`: who asks, what goes wrong, what is refused, what is answered.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::{Extension, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use serde_json::{Value, json};

use super::account::Account;
use super::answer::{self, Setting};
use super::ask::Ask;
use super::check::{Asker, check};
use super::fault::{Fault, at_capacity, failure};
use super::log::{Outcome, Tracked};
use super::quota::usage_limit;
use super::refusal::Refusal;
use super::server::{Line, Sim, hang_up};
use super::stream::{Events, Shape};
use super::{lock, now, script};

/// Bytes of a request body.
const MAX_BODY: usize = 128 << 20;
/// What an answer of the fast mode costs.
const FAST_TOKENS: u64 = 1000;
/// Headers that name a conversation when the body has no `prompt_cache_key`.
const SESSION_HEADERS: &[&str] = &["session-id", "session_id", "conversation_id", "thread-id"];

pub(crate) async fn respond(
    State(sim): State<Arc<Sim>>,
    Extension(line): Extension<Line>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, MAX_BODY).await else {
        return Refusal::detail(413, "Request body too large").into_response();
    };
    let kept = sim.fast.is_none().then_some(&body);
    let mut tracked = sim.world.log.receive(&parts, kept, true);
    let account = match sim.world.authenticate(&parts.headers) {
        Ok(account) => account,
        Err(refusal) => return reply(tracked, refusal),
    };
    tracked.account = Some(account.id.clone());
    let faults = account.take_faults();
    if !reaches_head(&faults).await {
        tracked.outcome = Some(Outcome::Faulted);
        return hang_up();
    }
    let exchange = Exchange { sim: &sim, account: &account, parts: &parts, body: &body, faults: &faults };
    let mut response = match exchange.events() {
        Err(refusal) => reply(tracked, refusal),
        Ok(events) => {
            if exchange.is_cut_short() {
                tracked.outcome = Some(Outcome::Faulted);
            }
            tracked.opened();
            let shape = Shape::new(sim.event_delay, &faults);
            let body = Body::new(Events::new(events, shape, line.reset, tracked));
            stream_head(Response::new(body), sim.world.serial())
        }
    };
    lock(&account.state).quota.write_headers(response.headers_mut(), now());
    response
}

/// WebSocket is not spoken here; clients fall back to HTTP on this status.
pub(crate) async fn no_websocket() -> Refusal {
    Refusal::detail(426, "Upgrade Required")
}

struct Exchange<'a> {
    sim: &'a Sim,
    account: &'a Account,
    parts: &'a Parts,
    body: &'a Bytes,
    faults: &'a [Fault],
}

impl Exchange<'_> {
    fn events(&self) -> Result<Arc<[Bytes]>, Refusal> {
        let parsed = || serde_json::from_slice::<Value>(self.body).unwrap_or_default();
        if let Some(refusal) = self.faults.iter().find_map(|fault| {
            let model = parsed().get("model").and_then(Value::as_str).unwrap_or_default().to_owned();
            fault.refusal(&self.account.plan, &model, now())
        }) {
            return Err(refusal);
        }
        if let Some(rendered) = &self.sim.fast {
            self.charge(FAST_TOKENS)?;
            return Ok(rendered.clone());
        }
        content_headers(&self.parts.headers)?;
        let body = parsed();
        let distrusts = self.faults.contains(&Fault::InvalidEncryptedContent);
        check(&body, &Asker { account: self.account, signer: &self.sim.world.signer, distrusts })?;
        let Some(request) = body.as_object() else { return Err(Refusal::detail(400, "Invalid JSON body")) };
        let ask = Ask::read(request);
        Ok(self.answer(&body, &ask)?.into())
    }

    /// 429 when a window is full.
    fn charge(&self, tokens: u64) -> Result<(), Refusal> {
        let charged = lock(&self.account.state).quota.charge(tokens, now());
        charged.map_err(|resets_at| usage_limit(&self.account.plan, resets_at, now()))
    }

    fn answer(&self, body: &Value, ask: &Ask<'_>) -> Result<Vec<Bytes>, Refusal> {
        let world = &self.sim.world;
        let input = lock(&self.account.state).cache.visit(&self.conversation(body), body);
        let serial = world.serial();
        let setting = Setting {
            ask,
            input,
            nonce: format!("{:016x}{serial:08x}", world.signer.nonce),
            sealed: (ask.sealed || ask.compaction).then(|| world.signer.seal(&self.account.id, serial)),
            created_at: now(),
            full_output: self.sim.full_output,
        };
        let answer = answer::render(&script::plan(ask), &setting);
        self.charge(answer.tokens)?;
        let limits = answer::event("codex.rate_limits", &lock(&self.account.state).quota.event(now()));
        let events = std::iter::once(limits).chain(answer.events).collect();
        Ok(self.spoil(events, &setting.nonce, ask.model))
    }

    fn conversation(&self, body: &Value) -> String {
        let key = body.get("prompt_cache_key").and_then(Value::as_str);
        let header = |name: &&str| self.parts.headers.get(*name)?.to_str().ok();
        key.or_else(|| SESSION_HEADERS.iter().find_map(header)).unwrap_or_default().to_owned()
    }

    /// Faults that change what the events say.
    fn spoil(&self, mut events: Vec<Bytes>, nonce: &str, model: &str) -> Vec<Bytes> {
        let failed = |error: &Value| answer::failed(error, nonce, model, now());
        for fault in self.faults {
            if let Fault::Failed(after, code) = fault {
                events.truncate(*after);
                events.push(failed(&failure(code, &self.account.plan, model, now())));
            } else if let Fault::ErrorEvent(code) = fault {
                let error = failure(code, &self.account.plan, model, now());
                events = vec![answer::event("error", &json!({"sequence_number": 0, "error": error}))];
            } else if let Fault::Malformed(after) = fault {
                let garbage =
                    Bytes::from_static(b"event: response.output_text.delta\ndata: {\"type\":\"resp\n\n");
                events.insert((*after).min(events.len()), garbage);
            } else if *fault == Fault::AtCapacity {
                events = vec![failed(&at_capacity())];
            } else if *fault == Fault::Crlf {
                for event in &mut events {
                    *event = Bytes::from(String::from_utf8_lossy(event).replace('\n', "\r\n"));
                }
            }
        }
        events
    }

    /// Whether the events end in a failure that was ordered.
    fn is_cut_short(&self) -> bool {
        self.faults
            .iter()
            .any(|fault| matches!(fault, Fault::Failed(..) | Fault::AtCapacity | Fault::ErrorEvent(_)))
    }
}

/// Plays the faults before the head; `false`: the connection is to be closed.
async fn reaches_head(faults: &[Fault]) -> bool {
    for fault in faults {
        if let Fault::SlowHead(millis) = fault {
            tokio::time::sleep(Duration::from_millis(*millis)).await;
        }
    }
    if faults.contains(&Fault::HangBeforeHead) {
        std::future::pending::<()>().await;
    }
    !faults.contains(&Fault::CloseBeforeHead)
}

fn content_headers(headers: &HeaderMap) -> Result<(), Refusal> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if text("content-encoding").is_some_and(|encoding| encoding != "identity") {
        return Err(Refusal::detail(415, "Unsupported content encoding"));
    }
    let kind = text("content-type").and_then(|kind| kind.split(';').next()).map(str::trim);
    match kind {
        Some("application/json") => Ok(()),
        Some(_) | None => Err(Refusal::detail(415, "Unsupported content type")),
    }
}

fn reply(mut tracked: Tracked, refusal: Refusal) -> Response {
    tracked.status = Some(refusal.status);
    tracked.outcome = Some(Outcome::Replied);
    refusal.into_response()
}

fn stream_head(mut response: Response, serial: u64) -> Response {
    let headers = response.headers_mut();
    headers.insert("content-type", HeaderValue::from_static("text/event-stream"));
    headers.insert("cache-control", HeaderValue::from_static("no-cache"));
    for (name, prefix) in [("x-request-id", "req"), ("x-codex-turn-state", "turn")] {
        if let Ok(value) = HeaderValue::try_from(format!("{prefix}_sim{serial:08x}")) {
            headers.insert(name, value);
        }
    }
    response
}
