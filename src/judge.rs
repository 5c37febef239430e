//! What an upstream outcome means: a pure function from evidence to a verdict.
//!
//! Errors of the request itself or of the local network never count against an account. A 403 that is not JSON is
//! nobody's fault. Everything here happens before output: after output nothing is tried again.

use std::time::Duration;

use pingora::ErrorType;
use serde_json::{Map, Value};

use crate::dialect::failure_status;
use crate::error::Error;
use crate::pool::{Note, quota};

/// What an attempt showed before any output.
#[derive(Debug)]
pub enum Evidence<'a> {
    /// The first event that is output or a regular end.
    Output,
    /// An answer that is not 2xx. `error` is its error object; `None`: the body was not JSON.
    Refusal { status: u16, error: Option<Map<String, Value>>, retry_after: Option<Duration> },
    /// A failure event inside a 200 stream.
    Failure { error: Map<String, Value> },
    /// The connection failed. `reused`: it was a kept-alive one, which may have been closed meanwhile.
    Broken { error: &'a pingora::Error, reused: bool },
    /// A 200 stream that ended, or became unreadable, with no output and no terminal event.
    Truncated,
    /// Silence for longer than allowed.
    Silence { waited: Duration },
}

/// What was already done for this exchange on this account.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tries {
    /// Repetitions on the same account.
    pub repeated: u32,
    /// Its tokens were refreshed because of a 401.
    pub refreshed: bool,
    /// The remembered reasoning was left out.
    pub bare: bool,
    /// Some account said that it does not have the model.
    pub model_refused: bool,
}

/// What to do next.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    Relay,
    NextAccount,
    /// This account lacks the model; another one may have it.
    OtherModelList,
    RefreshThenRetry,
    RetrySame(Duration),
    RetryWithoutReasoning,
    GiveUp,
}

/// The judgement: what to do, what to note on the account, and what the client is told if this was the last try.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    pub action: Action,
    pub note: Note,
    pub error: Option<Error>,
}

/// Pause before the same account is asked again: upstream-made hiccups are over in this time or not at all.
const PAUSE: Duration = Duration::from_millis(200);

/// Judges one outcome. `now_ms`: Unix epoch milliseconds, for resets that are given as a distance.
pub fn judge(evidence: Evidence<'_>, tries: Tries, now_ms: u64) -> Verdict {
    match evidence {
        Evidence::Output => Verdict { action: Action::Relay, note: Note::Neutral, error: None },
        Evidence::Refusal { status, error: Some(error), retry_after } => {
            said(status, error, retry_after, tries, now_ms)
        }
        Evidence::Refusal { status, error: None, retry_after } => unreadable(status, retry_after, tries),
        Evidence::Failure { error } => said(failure_status(&error), error, None, tries, now_ms),
        Evidence::Broken { error, reused } => broken(error, reused, tries),
        Evidence::Truncated => transient("stream_incomplete", Error::Truncated, tries),
        Evidence::Silence { waited } => Verdict {
            action: Action::NextAccount,
            note: Note::Transient { code: "upstream_request_timeout".into() },
            error: Some(Error::Timeout {
                message: format!("The upstream stayed silent for {} s.", waited.as_secs()),
            }),
        },
    }
}

/// The codes of `upstream-protocol` that say which kind of trouble this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Limit,
    Quota,
    NeedsLogin,
    Unauthorized,
    Encrypted,
    Model,
    Transient,
    Request,
}

fn classify(status: u16, code: &str, message: &str) -> Class {
    match code {
        "rate_limit_exceeded" => Class::Limit,
        "usage_limit_reached" | "insufficient_quota" | "usage_not_included" | "quota_exceeded" => {
            Class::Quota
        }
        "account_deactivated" | "account_suspended" | "account_deleted" => Class::NeedsLogin,
        "invalid_encrypted_content" => Class::Encrypted,
        "server_error"
        | "upstream_error"
        | "stream_incomplete"
        | "overloaded_error"
        | "server_is_overloaded"
        | "slow_down" => Class::Transient,
        _ if message.contains("selected model is at capacity") => Class::Transient,
        _ if message.contains("model is not supported when using Codex") => Class::Model,
        _ => match status {
            401 => Class::Unauthorized,
            402 => Class::Quota,
            429 => Class::Limit,
            408 | 500.. => Class::Transient,
            _ => Class::Request,
        },
    }
}

/// A refusal that says why.
fn said(
    status: u16,
    error: Map<String, Value>,
    retry_after: Option<Duration>,
    tries: Tries,
    now_ms: u64,
) -> Verdict {
    let code = code_of(&error).unwrap_or_default();
    let message = error.get("message").and_then(Value::as_str).unwrap_or_default().to_owned();
    let time = quota::from_error(&Value::Object(error.clone()), now_ms);
    let resets_at = time.resets_at;
    let wait = retry_after.or(time.retry_after);
    let class = classify(status, &code, &message);
    let told = Error::Upstream { status, error, retry_after: wait.map(|wait| wait.as_secs().max(1)) };
    let limited = |quota| Note::Limited { quota, code: code.clone(), resets_at, retry_after: wait };
    let (action, note) = match class {
        Class::Limit => (Action::NextAccount, limited(false)),
        Class::Quota => (Action::NextAccount, limited(true)),
        Class::NeedsLogin => (Action::NextAccount, Note::NeedsLogin { code: code.clone() }),
        Class::Unauthorized if tries.refreshed => {
            (Action::NextAccount, Note::Transient { code: "unauthorized".into() })
        }
        Class::Unauthorized => (Action::RefreshThenRetry, Note::Neutral),
        Class::Encrypted if !tries.bare => (Action::RetryWithoutReasoning, Note::Neutral),
        Class::Model if !tries.model_refused => (Action::OtherModelList, Note::Neutral),
        Class::Encrypted | Class::Model | Class::Request => (Action::GiveUp, Note::Neutral),
        Class::Transient => return transient(&code, told, tries),
    };
    Verdict { action, note, error: Some(told) }
}

/// A refusal that is not JSON: a proxy or firewall on the way said it, so nobody is to blame below 500.
fn unreadable(status: u16, retry_after: Option<Duration>, tries: Tries) -> Verdict {
    let error = Error::Unavailable {
        message: format!("The upstream answered HTTP {status} without an explanation."),
    };
    match status {
        401 if !tries.refreshed => {
            Verdict { action: Action::RefreshThenRetry, note: Note::Neutral, error: Some(error) }
        }
        429 => Verdict {
            action: Action::NextAccount,
            note: Note::Limited {
                quota: false,
                code: "rate_limit_exceeded".into(),
                resets_at: None,
                retry_after,
            },
            error: Some(error),
        },
        500.. => transient("upstream_error", error, tries),
        _ => Verdict { action: Action::NextAccount, note: Note::Neutral, error: Some(error) },
    }
}

fn transient(code: &str, error: Error, tries: Tries) -> Verdict {
    let code = if code.is_empty() { "upstream_error" } else { code };
    let (action, note) = match tries.repeated {
        0 => (Action::RetrySame(PAUSE), Note::Neutral),
        _ => (Action::NextAccount, Note::Transient { code: code.to_owned() }),
    };
    Verdict { action, note, error: Some(error) }
}

fn broken(error: &pingora::Error, reused: bool, tries: Tries) -> Verdict {
    let kind = error.etype();
    let told = |message: &str| Error::Unavailable { message: message.to_owned() };
    let verdict = |action, error| Verdict { action, note: Note::Neutral, error: Some(error) };
    if matches!(kind, ErrorType::InvalidCert | ErrorType::TLSHandshakeFailure) {
        return verdict(Action::GiveUp, told("The upstream's TLS certificate could not be verified."));
    }
    let unreachable = matches!(
        kind,
        ErrorType::ConnectTimedout
            | ErrorType::ConnectRefused
            | ErrorType::ConnectNoRoute
            | ErrorType::ConnectError
            | ErrorType::BindError
            | ErrorType::SocketError
            | ErrorType::TLSHandshakeTimedout
    );
    if unreachable {
        // Every account has the same upstream: another one would not help, a moment may.
        let again = Action::RetrySame(PAUSE * 2_u32.saturating_pow(tries.repeated));
        return verdict(
            if tries.repeated < 3 { again } else { Action::GiveUp },
            told("The upstream could not be reached."),
        );
    }
    let closed = told("The upstream closed the connection before it answered.");
    if reused && tries.repeated == 0 {
        return verdict(Action::RetrySame(Duration::ZERO), closed);
    }
    transient("upstream_unavailable", closed, tries)
}

/// Lower-cased `code`, else `type`: most ChatGPT limits carry the meaning in `type`, with no `code`.
pub fn code_of(error: &Map<String, Value>) -> Option<String> {
    let text = |key| error.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
    text("code").or_else(|| text("type")).map(str::to_ascii_lowercase)
}

#[cfg(test)]
mod tests;
