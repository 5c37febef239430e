//! The checked configuration: what the YAML means. `config/file.rs` holds what may be written.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use codex_lb_filters::FilterConfig;

/// Everything the operator can decide, defaults filled in.
#[derive(Debug, Clone)]
pub struct Config {
    pub listen: Listen,
    pub data_dir: PathBuf,
    pub upstream: Upstream,
    pub routing: Routing,
    pub auth: Auth,
    pub limits: Limits,
    pub chat: Chat,
    pub filters: Vec<FilterConfig>,
    /// `None`: the dashboard is off or runs as its own service.
    pub dashboard: Dashboard,
    pub metrics: Option<SocketAddr>,
    pub retention: Retention,
    pub log: Log,
}

#[derive(Debug, Clone)]
pub struct Listen {
    pub http: SocketAddr,
    pub https: Option<Https>,
}

/// TLS listener with a certificate from files (PEM).
#[derive(Debug, Clone)]
pub struct Https {
    pub address: SocketAddr,
    pub certificate: PathBuf,
    pub key: PathBuf,
}

#[derive(Debug, Clone)]
pub struct Upstream {
    /// Base of every data-plane path, without a trailing slash: `https://chatgpt.com/backend-api`.
    pub base_url: String,
    /// The OAuth issuer: `https://auth.openai.com`.
    pub auth_url: String,
    /// Headers set on every upstream request; the operator's own business.
    pub headers: Vec<(String, String)>,
    /// A CA bundle (PEM) trusted beside the system's roots.
    pub ca_file: Option<PathBuf>,
    pub timeouts: Timeouts,
}

#[derive(Debug, Clone)]
pub struct Timeouts {
    pub connect: Duration,
    /// From the request's last byte to the answer's head.
    pub head: Duration,
    /// Longest silence inside a stream.
    pub idle: Duration,
}

#[derive(Debug, Clone)]
pub struct Routing {
    pub strategy: Strategy,
    /// Accounts tried for one exchange, at most.
    pub attempts: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strategy {
    MostRemaining,
    Priority,
    RoundRobin,
}

#[derive(Debug, Clone)]
pub struct Auth {
    pub api_keys: ApiKeys,
    /// Networks whose forwarding headers are believed (CIDR).
    pub trusted_proxies: Vec<ipnet::IpNet>,
}

/// Who needs an API key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ApiKeys {
    /// Everybody but loopback peers without forwarding headers.
    Remote,
    Always,
    Never,
}

#[derive(Debug, Clone)]
pub struct Limits {
    /// Request body after decompression, bytes.
    pub body: u64,
    /// Longest wait for the next piece of a request body.
    pub body_idle: Duration,
}

#[derive(Debug, Clone)]
pub struct Chat {
    /// `reasoning.summary` asked for on chat completions when the client names none; `None`: not asked for.
    pub reasoning_summary: Option<String>,
    /// Memory for reasoning items, bytes.
    pub reasoning_memory: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Dashboard {
    /// `serve` runs it at this address.
    Here(SocketAddr),
    /// It runs as its own service at its default address, or not at all.
    Off,
}

#[derive(Debug, Clone)]
pub struct Retention {
    /// Age at which exchange rows are deleted; sums stay.
    pub requests: Duration,
}

#[derive(Debug, Clone)]
pub struct Log {
    pub level: log::LevelFilter,
    pub format: LogFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}
