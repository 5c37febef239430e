//! The named facts of one exchange, filled in as it goes along.

use std::net::IpAddr;

use http::{HeaderMap, Method};

/// What is known about one client request. Filters read and set fields; the ledger row is made of it at the end.
#[derive(Debug, Default)]
pub struct Turn {
    /// 32 hex digits, time-ordered; the `id` of the ledger row.
    pub id: String,
    /// Unix epoch milliseconds of the request's head.
    pub started_at: u64,
    pub method: Method,
    pub path: String,
    /// The client's headers. What the `headers` filter changes here is what goes upstream.
    pub headers: HeaderMap,
    /// The client's address; behind a trusted proxy, the address that proxy states.
    pub client_ip: Option<IpAddr>,
    /// The peer is a loopback address and no forwarding header is present.
    pub local: bool,
    /// Declared `Content-Length`, bytes.
    pub declared_length: Option<u64>,
    /// Stable route name, as in the ledger: `chat`, `responses`, `codex_responses`, `models`, …
    pub route: &'static str,
    /// Who is calling, once `api_key` has found out.
    pub key: Option<KeyRef>,
    /// The model asked for; `model_alias` may change it. Empty until the body is decoded.
    pub model: String,
    /// Reasoning effort asked for, as the client wrote it.
    pub effort: Option<String>,
    pub service_tier: Option<String>,
    /// The client wants a stream.
    pub stream: bool,
    /// What the answer has told so far.
    pub answer: Answer,
    /// Price of the exchange in millionths of a US dollar; `None` when the model has no price.
    pub cost_micros: Option<u64>,
}

/// The API key of the caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRef {
    pub id: String,
    pub name: String,
}

/// What one upstream answer has told so far. Fresh for every attempt; filters fill it event by event.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Answer {
    pub response_id: Option<String>,
    /// The model that really answered, when the upstream says so.
    pub model: Option<String>,
    /// The tier that was really used.
    pub service_tier: Option<String>,
    pub usage: Option<Usage>,
}

/// Token counts of one answer. `cached` is part of `input`, `reasoning` part of `output`.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    pub input: u64,
    pub cached: u64,
    pub output: u64,
    pub reasoning: u64,
}
