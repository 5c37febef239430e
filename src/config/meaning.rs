//! From what is written to what it means. Every structure is taken apart in full, so that no key can be forgotten.

use std::path::PathBuf;
use std::sync::Arc;

use codex_lb_filters::Prices;
use ipnet::IpNet;

use super::file::{self, File, Level, Summary};
use super::{
    Auth, Chat, Config, Dashboard, Https, Limits, Listen, Log, Problem, Retention, Routing, Surroundings,
    Timeouts, Upstream,
};

/// The meaning of `file`. Only single values are looked at here; `check` compares them.
pub(super) fn of(file: File, around: &Surroundings) -> Result<Config, Problem> {
    let data_dir = match &file.data_dir {
        Some(written) => path("data_dir", written, around)?,
        None => default_data_dir(around)?,
    };
    let https = file.listen.https.as_ref().map(|https| of_https(https, around)).transpose()?;
    let ca_file = file.upstream.ca_file.as_ref();
    let ca_file = ca_file.map(|written| path("upstream.ca_file", written, around)).transpose()?;
    let prices_file = file.prices_file.as_ref();
    let prices_file = prices_file.map(|written| path("prices_file", written, around)).transpose()?;
    let trusted_proxies = networks(&file.auth.trusted_proxies)?;
    Ok(assemble(file, Resolved { data_dir, https, ca_file, prices_file, trusted_proxies }))
}

/// The built-in defaults.
pub(super) fn defaults(data_dir: PathBuf) -> Config {
    let resolved =
        Resolved { data_dir, https: None, ca_file: None, prices_file: None, trusted_proxies: Vec::new() };
    assemble(File::default(), resolved)
}

/// The values whose meaning can be wrong or depends on the surroundings.
struct Resolved {
    data_dir: PathBuf,
    https: Option<Https>,
    ca_file: Option<PathBuf>,
    prices_file: Option<PathBuf>,
    trusted_proxies: Vec<IpNet>,
}

fn assemble(file: File, resolved: Resolved) -> Config {
    let File {
        listen,
        data_dir: _,
        upstream,
        routing,
        auth,
        limits,
        chat,
        filters,
        prices_file: _,
        dashboard,
        metrics,
        retention,
        log,
    } = file;
    let Resolved { data_dir, https, ca_file, prices_file, trusted_proxies } = resolved;
    let file::Listen { http, https: _ } = listen;
    let file::Routing { strategy, attempts } = routing;
    let file::Auth { api_keys, trusted_proxies: _ } = auth;
    let file::Limits { body, body_idle } = limits;
    let file::Chat { reasoning_summary, reasoning_memory } = chat;
    let file::Dashboard { listen: dashboard } = dashboard;
    let file::Metrics { listen: metrics } = metrics;
    let file::Retention { requests } = retention;
    let file::Log { level, format } = log;
    Config {
        source: None,
        listen: Listen { http: http.0, https },
        data_dir,
        upstream: of_upstream(upstream, ca_file),
        routing: Routing { strategy, attempts },
        auth: Auth { api_keys, trusted_proxies },
        limits: Limits { body: body.0, body_idle: body_idle.0 },
        chat: Chat { reasoning_summary: of_summary(reasoning_summary), reasoning_memory: reasoning_memory.0 },
        filters,
        prices_file,
        prices: Arc::new(built_in_prices()),
        dashboard: dashboard.0.map_or(Dashboard::Off, Dashboard::Here),
        metrics: metrics.0,
        retention: Retention { requests: requests.0 },
        log: Log { level: of_level(level), format },
    }
}

/// A test holds that the text can be read.
fn built_in_prices() -> Prices {
    serde_yaml::from_str(Prices::BUILT_IN).unwrap_or_default()
}

fn of_upstream(upstream: file::Upstream, ca_file: Option<PathBuf>) -> Upstream {
    let file::Upstream { base_url, auth_url, headers, ca_file: _, timeouts } = upstream;
    let file::Timeouts { connect, head, idle } = timeouts;
    Upstream {
        base_url,
        auth_url,
        headers: headers.into_iter().collect(),
        ca_file,
        timeouts: Timeouts { connect: connect.0, head: head.0, idle: idle.0 },
    }
}

fn of_https(https: &file::Https, around: &Surroundings) -> Result<Https, Problem> {
    let file::Https { address, certificate, key } = https;
    Ok(Https {
        address: address.0,
        certificate: path("listen.https.certificate", certificate, around)?,
        key: path("listen.https.key", key, around)?,
    })
}

fn of_summary(summary: Summary) -> Option<String> {
    match summary {
        Summary::Auto => Some("auto".into()),
        Summary::Concise => Some("concise".into()),
        Summary::Detailed => Some("detailed".into()),
        Summary::Off => None,
    }
}

fn of_level(level: Level) -> log::LevelFilter {
    match level {
        Level::Off => log::LevelFilter::Off,
        Level::Error => log::LevelFilter::Error,
        Level::Warn => log::LevelFilter::Warn,
        Level::Info => log::LevelFilter::Info,
        Level::Debug => log::LevelFilter::Debug,
        Level::Trace => log::LevelFilter::Trace,
    }
}

/// Absolute, or below `~`: a service is started from anywhere.
fn path(key: &str, written: &str, around: &Surroundings) -> Result<PathBuf, Problem> {
    if let Some(rest) = written.strip_prefix('~')
        && (rest.is_empty() || rest.starts_with('/'))
    {
        let home = around.home.as_ref().ok_or_else(|| {
            Problem::new(key, "~ has no meaning here, $HOME is not set; expected an absolute path")
        })?;
        return Ok(home.join(rest.trim_start_matches('/')));
    }
    let path = PathBuf::from(written);
    if path.is_absolute() {
        Ok(path)
    } else {
        Err(Problem::new(key, format!("{written:?} is not an absolute path; expected /… or ~/…")))
    }
}

fn default_data_dir(around: &Surroundings) -> Result<PathBuf, Problem> {
    let below_home = || around.home.as_ref().map(|home| home.join(".codex-lb"));
    around.state_directory.clone().or_else(below_home).ok_or_else(|| {
        Problem::new("data_dir", "neither $STATE_DIRECTORY nor $HOME is set; name an absolute path here")
    })
}

fn networks(written: &[String]) -> Result<Vec<IpNet>, Problem> {
    let network = |(index, text): (usize, &String)| {
        let address = text.parse::<std::net::IpAddr>().map(IpNet::from);
        let network = text.parse::<IpNet>().or(address).ok().filter(|network| network.prefix_len() > 0);
        network.ok_or_else(|| {
            let expected = "expected an address or a network, such as 127.0.0.1 or 10.0.0.0/8, not everybody";
            Problem::new(
                format!("auth.trusted_proxies[{index}]"),
                format!("{text:?} cannot be used; {expected}"),
            )
        })
    };
    written.iter().enumerate().map(network).collect()
}
