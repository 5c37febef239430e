//! The head that goes upstream, but for the account's credentials, and the conversation's key.

use codex_lb_filters::Turn;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use sha2::{Digest, Sha256};

use crate::dialect::Call;

/// Headers of the client that are about its connection to us, its credentials, or its network; none goes upstream.
/// Source: the hop-by-hop list of RFC 9110 7.6.1 and the drop list of the Codex protocol notes.
const DROPPED: &[&str] = &[
    "accept",
    "accept-encoding",
    "authorization",
    "cdn-loop",
    "chatgpt-account-id",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "cookie",
    "expect",
    "forwarded",
    "host",
    "http2-settings",
    "keep-alive",
    "origin",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "referer",
    "te",
    "trailer",
    "transfer-encoding",
    "true-client-ip",
    "upgrade",
    "via",
    "x-api-key",
    "x-client-ip",
    "x-codex-installation-id",
    "x-openai-internal-codex-responses-lite",
    "x-original-forwarded-for",
    "x-real-ip",
];
const DROPPED_PREFIXES: &[&str] = &["x-forwarded-", "cf-", "sec-", "proxy-"];

/// Headers that name a conversation, the most exact first.
const SESSION: &[&str] = &[
    "session_id",
    "session-id",
    "thread-id",
    "x-codex-session-id",
    "x-codex-conversation-id",
    "conversation_id",
    "x-session-id",
    "x-session-affinity",
];

/// What the client's headers become. `own` are the operator's `upstream.headers`; they win.
pub fn upstream(turn: &Turn, call: &Call, own: &[(String, String)]) -> HeaderMap {
    let hop: Vec<String> = turn
        .headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|token| token.trim().to_ascii_lowercase())
        .collect();
    let mut headers = HeaderMap::with_capacity(turn.headers.len() + 8);
    for (name, value) in &turn.headers {
        let text = name.as_str();
        let dropped = DROPPED.contains(&text)
            || DROPPED_PREFIXES.iter().any(|prefix| text.starts_with(prefix))
            || hop.iter().any(|token| token == text);
        if !dropped {
            headers.append(name.clone(), value.clone());
        }
    }
    headers.insert(header::ACCEPT, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let default = |headers: &mut HeaderMap, name: &'static str, value: &str| {
        if !headers.contains_key(name)
            && let Ok(value) = HeaderValue::from_str(value)
        {
            headers.insert(name, value);
        }
    };
    default(&mut headers, "user-agent", concat!("codex-lb/", env!("CARGO_PKG_VERSION")));
    default(&mut headers, "x-request-id", &turn.id);
    if !headers.contains_key("session-id") {
        // Pins the upstream's prompt cache better than the body's key alone.
        let session = session(turn).map(str::to_owned).or_else(|| call.prompt_cache_key().map(Into::into));
        if let Some(session) = session {
            default(&mut headers, "session_id", &session);
        }
    }
    if call.responses_lite {
        headers.insert("x-openai-internal-codex-responses-lite", HeaderValue::from_static("true"));
    }
    for (name, value) in own {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            headers.insert(name, value);
        }
    }
    headers
}

/// Key of the conversation, in a namespace of the caller's API key: session header, else the body's hint.
pub fn affinity(turn: &Turn, call: &Call) -> Option<String> {
    let (source, value) = match session(turn) {
        Some(value) => ("session", value),
        None => ("body", call.affinity_hint.as_deref()?),
    };
    let mut hash = Sha256::new();
    for part in [turn.key.as_ref().map_or("", |key| key.id.as_str()), source, value] {
        hash.update(part.len().to_le_bytes());
        hash.update(part);
    }
    Some(hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect())
}

fn session(turn: &Turn) -> Option<&str> {
    SESSION.iter().find_map(|name| {
        let value = turn.headers.get(*name)?.to_str().ok()?.trim();
        (!value.is_empty() && value.len() <= 512).then_some(value)
    })
}
