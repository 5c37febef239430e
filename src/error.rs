//! Every error a client can get: who is to blame, the status, and the OpenAI envelope, decided in one place.

use bytes::Bytes;
use serde_json::{Map, Value, json};

/// An error on its way to the client. Messages are ours or the upstream's own error text; never prompts or tokens.
#[derive(Debug, Clone, PartialEq)]
pub enum Error {
    /// The request itself is wrong. `param` is a dotted path.
    Invalid { code: &'static str, param: Option<String>, message: String },
    /// 413: the body is over `limit` bytes.
    TooLarge { limit: u64 },
    /// 408: the body did not arrive in time.
    SlowBody,
    /// 404: no such route.
    NoRoute { method: String, path: String },
    /// 405: the route exists for another method.
    WrongMethod { method: String, path: String, allow: &'static str },
    /// 426: WebSocket is not spoken here; Codex CLI falls back to HTTP at once.
    NoWebSocket,
    /// A filter refused.
    Refused { status: u16, kind: &'static str, code: &'static str, message: String },
    /// 503: nobody to send it to; the message says what to do.
    NoAccounts { message: String },
    /// 429: every account that could serve has used up its quota. Unix seconds.
    UsageLimit { resets_at: Option<u64>, now: u64 },
    /// 429: every account rests after errors or short limits.
    Resting { seconds: u64 },
    /// What the upstream said, relayed: its status and its error object.
    Upstream { status: u16, error: Map<String, Value>, retry_after: Option<u64> },
    /// 502: no answer could be had from the upstream.
    Unavailable { message: String },
    /// 504: the upstream stayed silent longer than allowed.
    Timeout { message: String },
    /// 502: the upstream's stream ended before its terminal event.
    Truncated,
    /// 503: this process is shutting down.
    Draining,
    /// 500: a defect of ours.
    Internal { message: String },
}

impl Error {
    /// A 400 with the general code.
    pub fn invalid(param: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Invalid { code: "invalid_request_error", param: Some(param.into()), message: message.into() }
    }

    /// The HTTP status, when nothing was sent yet.
    pub fn status(&self) -> u16 {
        match self {
            Self::Invalid { .. } => 400,
            Self::TooLarge { .. } => 413,
            Self::SlowBody => 408,
            Self::NoRoute { .. } => 404,
            Self::WrongMethod { .. } => 405,
            Self::NoWebSocket => 426,
            Self::Refused { status, .. } | Self::Upstream { status, .. } => *status,
            Self::NoAccounts { .. } | Self::Draining => 503,
            Self::UsageLimit { .. } | Self::Resting { .. } => 429,
            Self::Unavailable { .. } | Self::Truncated => 502,
            Self::Timeout { .. } => 504,
            Self::Internal { .. } => 500,
        }
    }

    /// The envelope's `code`; also the ledger's `error_code`.
    pub fn code(&self) -> &str {
        match self {
            Self::Invalid { code, .. } | Self::Refused { code, .. } => code,
            Self::TooLarge { .. } => "payload_too_large",
            Self::SlowBody => "request_timeout",
            Self::NoRoute { .. } => "not_found",
            Self::WrongMethod { .. } => "method_not_allowed",
            Self::NoWebSocket => "websocket_not_supported",
            Self::NoAccounts { .. } => "no_accounts",
            Self::UsageLimit { .. } => "usage_limit_reached",
            Self::Resting { .. } => "rate_limit_exceeded",
            Self::Upstream { error, .. } => {
                text(error, "code").or(text(error, "type")).unwrap_or("upstream_error")
            }
            Self::Unavailable { .. } => "upstream_unavailable",
            Self::Timeout { .. } => "upstream_request_timeout",
            Self::Truncated => "upstream_stream_truncated",
            Self::Draining => "service_unavailable",
            Self::Internal { .. } => "internal_error",
        }
    }

    /// The envelope's `type`.
    pub fn kind(&self) -> &str {
        match self {
            Self::Invalid { .. }
            | Self::TooLarge { .. }
            | Self::SlowBody
            | Self::NoRoute { .. }
            | Self::WrongMethod { .. }
            | Self::NoWebSocket => "invalid_request_error",
            Self::Refused { kind, .. } => kind,
            Self::UsageLimit { .. } => "usage_limit_reached",
            Self::Resting { .. } => "rate_limit_error",
            Self::Upstream { error, status, .. } => text(error, "type").unwrap_or(kind_of(*status)),
            Self::NoAccounts { .. }
            | Self::Unavailable { .. }
            | Self::Timeout { .. }
            | Self::Truncated
            | Self::Draining
            | Self::Internal { .. } => "server_error",
        }
    }

    /// One sentence for a person.
    pub fn message(&self) -> String {
        match self {
            Self::Invalid { message, .. }
            | Self::Refused { message, .. }
            | Self::NoAccounts { message }
            | Self::Unavailable { message }
            | Self::Timeout { message }
            | Self::Internal { message } => message.clone(),
            Self::TooLarge { limit } => format!(
                "The request body is larger than {limit} bytes. Send less, or raise limits.body in codex-lb.yaml."
            ),
            Self::SlowBody => "The request body did not arrive in time.".into(),
            Self::NoRoute { method, path } => format!("Unknown route: {method} {path}"),
            Self::WrongMethod { method, path, allow } => {
                format!("{method} is not allowed on {path}. Use {allow}.")
            }
            Self::NoWebSocket => "WebSocket is not supported here. Send the same request over HTTP.".into(),
            Self::UsageLimit { .. } => "The usage limit of every account has been reached.".into(),
            Self::Resting { seconds } => {
                format!("Every account rests after errors or short limits. Try again in {seconds}s.")
            }
            Self::Upstream { error, status, .. } => text(error, "message")
                .map_or_else(|| format!("The upstream answered HTTP {status}."), str::to_owned),
            Self::Truncated => "The upstream's stream ended before a terminal event.".into(),
            Self::Draining => "codex-lb is shutting down. Try again in a moment.".into(),
        }
    }

    /// The upstream broke off: another account may do better.
    pub fn is_fault(&self) -> bool {
        matches!(self, Self::Truncated | Self::Timeout { .. } | Self::Unavailable { .. })
    }

    /// `Retry-After`, whole seconds.
    pub fn retry_after(&self) -> Option<u64> {
        match self {
            Self::UsageLimit { resets_at: Some(at), now } => Some(at.saturating_sub(*now).max(1)),
            Self::Upstream { retry_after, .. } => *retry_after,
            Self::Resting { seconds } => Some(*seconds),
            Self::Draining => Some(2),
            Self::NoAccounts { .. } => Some(30),
            Self::Invalid { .. }
            | Self::TooLarge { .. }
            | Self::SlowBody
            | Self::NoRoute { .. }
            | Self::WrongMethod { .. }
            | Self::NoWebSocket
            | Self::Refused { .. }
            | Self::UsageLimit { resets_at: None, .. }
            | Self::Unavailable { .. }
            | Self::Timeout { .. }
            | Self::Truncated
            | Self::Internal { .. } => None,
        }
    }

    /// The `error` object: `message`, `type`, `code`, `param`, and what the upstream or the limit adds.
    pub fn object(&self) -> Map<String, Value> {
        let mut object = Map::new();
        let mut param = Value::Null;
        if let Self::Upstream { error, .. } = self {
            object.clone_from(error);
            param = object.get("param").cloned().unwrap_or_default();
        } else if let Self::UsageLimit { resets_at: Some(at), now } = self {
            object.insert("resets_at".into(), json!(at));
            object.insert("resets_in_seconds".into(), json!(at.saturating_sub(*now)));
        } else if let Self::Invalid { param: Some(path), .. } = self {
            param = json!(path);
        }
        object.insert("message".into(), json!(self.message()));
        object.insert("type".into(), json!(self.kind()));
        object.insert("code".into(), json!(self.code()));
        object.insert("param".into(), param);
        object
    }

    /// The JSON body `{"error": …}`.
    pub fn body(&self) -> Bytes {
        Bytes::from(json!({ "error": self.object() }).to_string())
    }
}

fn text<'a>(object: &'a Map<String, Value>, key: &str) -> Option<&'a str> {
    object.get(key).and_then(Value::as_str).filter(|text| !text.is_empty())
}

fn kind_of(status: u16) -> &'static str {
    match status {
        401 => "authentication_error",
        403 => "permission_error",
        429 => "rate_limit_error",
        400..=499 => "invalid_request_error",
        _ => "server_error",
    }
}
