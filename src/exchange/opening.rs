//! The beginning of an attempt's answer, up to the first event that decides what it is.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use codex_lb_filters::{Event, Kind};
use pingora::http::ResponseHeader;
use serde_json::Value;

use crate::attempt::{Running, Step};
use crate::client::{Client, Left, Waited};
use crate::config::Timeouts;
use crate::dialect;
use crate::judge::Evidence;

/// Routing token of the upstream: the client sends it back for the rest of its turn.
const TURN_STATE: &str = "x-codex-turn-state";

/// An error body is read up to this size.
const ERROR_BODY: usize = 64 * 1024;

/// The slowest upload that is waited for, bytes per second.
const SLOW_UPLOAD: u64 = 32 * 1024;

/// Events held back before the first decisive one; more than an honest upstream ever sends.
const HELD_MAX: usize = 1024;

/// What an attempt showed before any output.
pub(super) enum Opening {
    Output { held: Vec<Event> },
    Refusal { status: u16, body: Bytes, retry_after: Option<Duration> },
    Failure { event: Event },
    Broken { error: Box<pingora::Error>, reused: bool },
    Truncated,
    Silence { waited: Duration },
}

/// Reads an attempt up to its first decisive event. Leaves with `Left` when the client does.
pub(super) async fn open(
    client: &mut Client<'_>,
    running: &mut Running,
    limits: &Timeouts,
) -> Result<Opening, Left> {
    // The limit counts from the request's last byte: the upload gets the time that a slow line needs.
    let limit = limits.head + Duration::from_secs(running.body_length() / SLOW_UPLOAD);
    let Waited::Ready(step) = client.wait(limit, running.next()).await? else {
        return Ok(Opening::Silence { waited: limit });
    };
    let head = match step {
        Step::Head(head) => head,
        Step::Broken { error, reused } => return Ok(Opening::Broken { error, reused }),
        Step::Events(_) | Step::Bytes(_) | Step::End => return Ok(Opening::Truncated),
    };
    if !head.status.is_success() {
        return refusal(client, running, &head, limits.head).await;
    }
    let turn_state = head.headers.get(TURN_STATE).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let mut held = Vec::new();
    while held.len() < HELD_MAX {
        let Waited::Ready(step) = client.wait(limits.idle, running.next()).await? else {
            return Ok(Opening::Silence { waited: limits.idle });
        };
        let events = match step {
            Step::Events(events) => events,
            Step::Bytes(_) => continue,
            Step::Broken { error, reused } => return Ok(Opening::Broken { error, reused }),
            Step::Head(_) | Step::End => break,
        };
        let mut decided = false;
        for event in events {
            if !decided {
                if matches!(event.kind, Kind::Failed | Kind::Error) {
                    return Ok(Opening::Failure { event });
                }
                if matches!(event.kind, Kind::Malformed | Kind::Done) {
                    return Ok(Opening::Truncated);
                }
                decided = dialect::is_decisive(event.kind);
            }
            held.push(event);
        }
        if decided {
            if let Some(state) = turn_state {
                client.add_header(TURN_STATE, state);
            }
            return Ok(Opening::Output { held });
        }
    }
    Ok(Opening::Truncated)
}

async fn refusal(
    client: &mut Client<'_>,
    running: &mut Running,
    head: &ResponseHeader,
    limit: Duration,
) -> Result<Opening, Left> {
    let mut body = BytesMut::new();
    while body.len() < ERROR_BODY {
        match client.wait(limit, running.next()).await? {
            Waited::Ready(Step::Bytes(bytes)) => body.extend_from_slice(&bytes),
            Waited::Ready(_) | Waited::Silence => break,
        }
    }
    let retry_after = head
        .headers
        .get(http::header::RETRY_AFTER)
        .and_then(|value| value.to_str().ok()?.trim().parse().ok())
        .map(Duration::from_secs);
    Ok(Opening::Refusal { status: head.status.as_u16(), body: body.freeze(), retry_after })
}

impl Opening {
    pub(super) fn evidence(&self) -> Evidence<'_> {
        match self {
            Self::Output { .. } => Evidence::Output,
            Self::Refusal { status, body, retry_after } => {
                let error =
                    serde_json::from_slice::<Value>(body).ok().and_then(|body| dialect::error_object(&body));
                Evidence::Refusal { status: *status, error, retry_after: *retry_after }
            }
            Self::Failure { event } => match dialect::failure(event) {
                Some(error) => Evidence::Failure { error },
                None => Evidence::Truncated,
            },
            Self::Broken { error, reused } => Evidence::Broken { error, reused: *reused },
            Self::Truncated => Evidence::Truncated,
            Self::Silence { waited } => Evidence::Silence { waited: *waited },
        }
    }
}
