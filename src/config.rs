//! The checked configuration: what the YAML means. `config/file.rs` holds what may be written.

mod check;
mod complaint;
mod file;
mod meaning;
mod outline;
#[cfg(test)]
mod tests;
mod units;

use std::fmt;
use std::io::Read;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

pub use codex_lb_filters::ApiKeyMode as ApiKeys;
use codex_lb_filters::{FilterConfig, Prices};
use serde::Deserialize;

pub(crate) use units::{Size, Time};

/// Where the file is looked for when neither `--config` nor `$CODEX_LB_CONFIG` names one.
pub const SYSTEM_FILE: &str = "/etc/codex-lb/codex-lb.yaml";

/// Nobody writes more configuration than this by hand; bytes.
const MAX_FILE: u64 = 1 << 20;

/// Everything the operator can decide, defaults filled in.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The file it was read from; `None`: built-in defaults.
    pub source: Option<PathBuf>,
    pub listen: Listen,
    pub data_dir: PathBuf,
    pub upstream: Upstream,
    pub routing: Routing,
    pub auth: Auth,
    pub limits: Limits,
    pub chat: Chat,
    pub filters: Vec<FilterConfig>,
    /// The file the prices are from; `None`: those this program was built with.
    pub prices_file: Option<PathBuf>,
    pub prices: Arc<Prices>,
    pub dashboard: Dashboard,
    /// Where Prometheus may read `/metrics`; `None`: nowhere.
    pub metrics: Option<SocketAddr>,
    pub retention: Retention,
    pub log: Log,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Listen {
    pub http: SocketAddr,
    pub https: Option<Https>,
}

/// TLS listener with a certificate from files (PEM).
#[derive(Debug, Clone, PartialEq)]
pub struct Https {
    pub address: SocketAddr,
    pub certificate: PathBuf,
    pub key: PathBuf,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Upstream {
    /// Base of every data-plane path, without a trailing slash: `https://chatgpt.com/backend-api`.
    pub base_url: String,
    /// The OAuth issuer: `https://auth.openai.com`.
    pub auth_url: String,
    /// Headers set on every upstream request; the operator's own business.
    pub headers: Vec<(String, String)>,
    /// A CA bundle (PEM) trusted instead of the system's roots.
    pub ca_file: Option<PathBuf>,
    pub timeouts: Timeouts,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Timeouts {
    pub connect: Duration,
    /// From the request's last byte to the answer's head.
    pub head: Duration,
    /// Longest silence inside a stream.
    pub idle: Duration,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Routing {
    pub strategy: Strategy,
    /// Accounts tried for one exchange, at most.
    pub attempts: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    MostRemaining,
    Priority,
    RoundRobin,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Auth {
    pub api_keys: ApiKeys,
    /// Networks whose forwarding headers are believed (CIDR).
    pub trusted_proxies: Vec<ipnet::IpNet>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Limits {
    /// Request body after decompression, bytes.
    pub body: u64,
    /// Longest wait for the next piece of a request body.
    pub body_idle: Duration,
}

#[derive(Debug, Clone, PartialEq)]
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

#[derive(Debug, Clone, PartialEq)]
pub struct Retention {
    /// Age at which exchange rows are deleted; sums stay.
    pub requests: Duration,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Log {
    pub level: log::LevelFilter,
    pub format: LogFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    Text,
    Json,
}

/// What the process's environment decides.
#[derive(Debug, Clone, Default)]
pub struct Surroundings {
    /// `$STATE_DIRECTORY`, as systemd sets it.
    pub state_directory: Option<PathBuf>,
    /// `$HOME`; what `~` stands for.
    pub home: Option<PathBuf>,
}

/// What is wrong with the configuration: file, line, column, key, what was expected. One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError(String);

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ConfigError {}

/// A value that is well-formed but cannot be meant.
#[derive(Debug)]
struct Problem {
    /// Dotted path, as in `auth.trusted_proxies[0]`.
    path: String,
    message: String,
}

impl Problem {
    fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { path: path.into(), message: message.into() }
    }
}

impl Config {
    /// Reads the file `explicit` names, else `$CODEX_LB_CONFIG`, else [`SYSTEM_FILE`] if there is one, else nothing.
    /// Also makes sure that the files it names can be read.
    pub fn load(explicit: Option<&Path>) -> Result<Self, ConfigError> {
        let around = Surroundings::of_process();
        let source = explicit.map(Path::to_path_buf).or_else(|| variable("CODEX_LB_CONFIG")).or_else(|| {
            let file = PathBuf::from(SYSTEM_FILE);
            file.exists().then_some(file)
        });
        let Some(source) = source else {
            return Self::parse("", "built-in defaults", &around);
        };
        let name = source.display().to_string();
        let text = read(&source).map_err(|reason| ConfigError(format!("{name}: {reason}")))?;
        let mut config = Self { source: Some(source), ..Self::parse(&text, &name, &around)? };
        check::files(&config).map_err(|problem| complaint::of_problem(&problem, &text, &name))?;
        if let Some(file) = &config.prices_file {
            config.prices = Arc::new(prices(file)?);
        }
        Ok(config)
    }

    /// What `text` means; touches no file. `name` is what errors call it.
    pub fn parse(text: &str, name: &str, around: &Surroundings) -> Result<Self, ConfigError> {
        let file = serde_yaml::from_str_with_options::<Option<file::File>>(text, options())
            .map_err(|error| complaint::of_yaml(&error, text, name))?
            .unwrap_or_default();
        meaning::of(file, around)
            .and_then(|config| check::values(&config).map(|()| config))
            .map_err(|problem| complaint::of_problem(&problem, text, name))
    }

    /// The built-in defaults with this data directory.
    pub fn default_in(data_dir: &Path) -> Self {
        meaning::defaults(data_dir.to_path_buf())
    }
}

impl Surroundings {
    /// Those of this process.
    pub fn of_process() -> Self {
        // systemd separates several directories by colons; the first one is ours.
        let state = std::env::var("STATE_DIRECTORY").unwrap_or_default();
        let state = state.split(':').next().filter(|first| !first.is_empty());
        Self { state_directory: state.map(PathBuf::from), home: variable("HOME") }
    }
}

fn variable(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}

fn read(file: &Path) -> Result<String, String> {
    let mut text = String::new();
    let handle = std::fs::File::open(file).map_err(|error| format!("cannot be opened: {error}"))?;
    let length = handle
        .take(MAX_FILE + 1)
        .read_to_string(&mut text)
        .map_err(|error| format!("cannot be read: {error}"))?;
    if u64::try_from(length).is_ok_and(|length| length <= MAX_FILE) {
        Ok(text)
    } else {
        Err("is larger than 1 MiB; that cannot be a configuration".into())
    }
}

fn prices(file: &Path) -> Result<Prices, ConfigError> {
    let name = file.display().to_string();
    let text = read(file).map_err(|reason| ConfigError(format!("{name}: {reason}")))?;
    serde_yaml::from_str_with_options(&text, options())
        .map_err(|error| complaint::of_yaml(&error, &text, &name))
}

/// Plain YAML: one document, no anchors, no merges, nothing that makes a short file mean a long one.
fn options() -> serde_yaml::Options {
    serde_yaml::options! {
        budget: serde_yaml::budget! {
            max_events: 20_000,
            max_depth: 16,
            max_aliases: 0,
            max_anchors: 0,
            max_documents: 1,
        },
        merge_keys: serde_yaml::MergeKeyPolicy::Error,
        strict_booleans: true,
        reject_unsupported_tags: true,
        with_snippet: false,
    }
}
