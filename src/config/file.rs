//! What may be written in the YAML file, key by key, with the default of each.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use codex_lb_filters::FilterConfig;
use serde::{Deserialize, Deserializer};

use super::units::{Address, AddressOrOff, Size, Time};
use super::{ApiKeys, LogFormat, Strategy};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct File {
    #[serde(deserialize_with = "section")]
    pub(super) listen: Listen,
    pub(super) data_dir: Option<String>,
    #[serde(deserialize_with = "section")]
    pub(super) upstream: Upstream,
    #[serde(deserialize_with = "section")]
    pub(super) routing: Routing,
    #[serde(deserialize_with = "section")]
    pub(super) auth: Auth,
    #[serde(deserialize_with = "section")]
    pub(super) limits: Limits,
    #[serde(deserialize_with = "section")]
    pub(super) chat: Chat,
    pub(super) filters: Vec<FilterConfig>,
    pub(super) prices_file: Option<String>,
    #[serde(deserialize_with = "section")]
    pub(super) dashboard: Dashboard,
    #[serde(deserialize_with = "section")]
    pub(super) metrics: Metrics,
    #[serde(deserialize_with = "section")]
    pub(super) retention: Retention,
    #[serde(deserialize_with = "section")]
    pub(super) log: Log,
}

impl Default for File {
    fn default() -> Self {
        Self {
            listen: Listen::default(),
            data_dir: None,
            upstream: Upstream::default(),
            routing: Routing::default(),
            auth: Auth::default(),
            limits: Limits::default(),
            chat: Chat::default(),
            filters: FilterConfig::default_chain(),
            prices_file: None,
            dashboard: Dashboard::default(),
            metrics: Metrics::default(),
            retention: Retention::default(),
            log: Log::default(),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Listen {
    pub(super) http: Address,
    pub(super) https: Option<Https>,
}

impl Default for Listen {
    fn default() -> Self {
        Self { http: Address(loopback(2455)), https: None }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Https {
    pub(super) address: Address,
    pub(super) certificate: String,
    pub(super) key: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Upstream {
    pub(super) base_url: String,
    pub(super) auth_url: String,
    #[serde(deserialize_with = "section")]
    pub(super) headers: BTreeMap<String, String>,
    pub(super) ca_file: Option<String>,
    #[serde(deserialize_with = "section")]
    pub(super) timeouts: Timeouts,
}

impl Default for Upstream {
    fn default() -> Self {
        Self {
            base_url: "https://chatgpt.com/backend-api".into(),
            auth_url: "https://auth.openai.com".into(),
            headers: BTreeMap::new(),
            ca_file: None,
            timeouts: Timeouts::default(),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Timeouts {
    pub(super) connect: Time,
    pub(super) head: Time,
    pub(super) idle: Time,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { connect: seconds(8), head: seconds(120), idle: seconds(600) }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Routing {
    pub(super) strategy: Strategy,
    pub(super) attempts: usize,
}

impl Default for Routing {
    fn default() -> Self {
        Self { strategy: Strategy::MostRemaining, attempts: 3 }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Auth {
    pub(super) api_keys: ApiKeys,
    pub(super) trusted_proxies: Vec<String>,
}

impl Default for Auth {
    fn default() -> Self {
        Self { api_keys: ApiKeys::Remote, trusted_proxies: Vec::new() }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Limits {
    pub(super) body: Size,
    pub(super) body_idle: Time,
}

impl Default for Limits {
    fn default() -> Self {
        Self { body: mebibytes(64), body_idle: seconds(30) }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Chat {
    pub(super) reasoning_summary: Summary,
    pub(super) reasoning_memory: Size,
}

impl Default for Chat {
    fn default() -> Self {
        Self { reasoning_summary: Summary::Auto, reasoning_memory: mebibytes(64) }
    }
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Summary {
    Auto,
    Concise,
    Detailed,
    Off,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Dashboard {
    pub(super) listen: AddressOrOff,
}

impl Default for Dashboard {
    fn default() -> Self {
        Self { listen: AddressOrOff(Some(loopback(2456))) }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Metrics {
    pub(super) listen: AddressOrOff,
}

impl Default for Metrics {
    fn default() -> Self {
        Self { listen: AddressOrOff(None) }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Retention {
    pub(super) requests: Time,
}

impl Default for Retention {
    fn default() -> Self {
        Self { requests: seconds(30 * 86_400) }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Log {
    pub(super) level: Level,
    pub(super) format: LogFormat,
}

impl Default for Log {
    fn default() -> Self {
        Self { level: Level::Info, format: LogFormat::Text }
    }
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Level {
    Off,
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

/// A section whose keys are all commented out is null in YAML; it means its defaults.
fn section<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(from: D) -> Result<T, D::Error> {
    Option::deserialize(from).map(Option::unwrap_or_default)
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

fn seconds(number: u64) -> Time {
    Time(Duration::from_secs(number))
}

fn mebibytes(number: u64) -> Size {
    Size(number << 20)
}
