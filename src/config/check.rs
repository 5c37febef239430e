//! Checks single values against their limits, and values against each other.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use codex_lb_filters::FilterConfig;

use super::units::{Size, Time};
use super::{ApiKeys, Config, Dashboard, Problem};

const DAY: Duration = Duration::from_secs(86_400);
const MIB: u64 = 1 << 20;

/// Headers that belong to the connection or to the account, whatever the operator wishes.
const OWN_HEADERS: [&str; 10] = [
    "authorization",
    "chatgpt-account-id",
    "connection",
    "content-encoding",
    "content-length",
    "host",
    "keep-alive",
    "te",
    "transfer-encoding",
    "upgrade",
];

/// Everything that can be told without touching a file.
pub(super) fn values(config: &Config) -> Result<(), Problem> {
    limits(config)?;
    url("upstream.base_url", &config.upstream.base_url)?;
    url("upstream.auth_url", &config.upstream.auth_url)?;
    headers(&config.upstream.headers)?;
    listeners(config)?;
    chain(config)
}

/// The files the configuration names can be read.
pub(super) fn files(config: &Config) -> Result<(), Problem> {
    let https = config.listen.https.iter();
    let https = https.flat_map(|https| {
        [("listen.https.certificate", &https.certificate), ("listen.https.key", &https.key)]
    });
    let ca_file = config.upstream.ca_file.iter().map(|file| ("upstream.ca_file", file));
    https.chain(ca_file).try_for_each(|(key, file)| readable(key, file))
}

fn readable(key: &str, file: &Path) -> Result<(), Problem> {
    let problem = |what: String| Problem::new(key, format!("{} {what}", file.display()));
    let text = std::fs::read(file).map_err(|error| problem(format!("cannot be read: {error}")))?;
    if text.windows(11).any(|window| window == b"-----BEGIN ") {
        Ok(())
    } else {
        Err(problem("is not a PEM file; expected one with a -----BEGIN … line".into()))
    }
}

fn limits(config: &Config) -> Result<(), Problem> {
    let timeouts = &config.upstream.timeouts;
    let instant = Duration::from_millis(1);
    within("upstream.timeouts.connect", timeouts.connect, instant, DAY)?;
    within("upstream.timeouts.head", timeouts.head, instant, DAY)?;
    within("upstream.timeouts.idle", timeouts.idle, instant, DAY)?;
    within("limits.body_idle", config.limits.body_idle, instant, DAY)?;
    within("retention.requests", config.retention.requests, DAY, DAY * 3650)?;
    size("limits.body", config.limits.body, MIB / 1024, 512 * MIB)?;
    size("chat.reasoning_memory", config.chat.reasoning_memory, MIB, 4096 * MIB)?;
    if (1..=10).contains(&config.routing.attempts) {
        return Ok(());
    }
    let attempts = config.routing.attempts;
    Err(Problem::new("routing.attempts", format!("{attempts} is out of range; expected 1 to 10")))
}

fn within(key: &str, value: Duration, least: Duration, most: Duration) -> Result<(), Problem> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    let (value, least, most) = (Time(value), Time(least), Time(most));
    Err(Problem::new(key, format!("{value} is out of range; expected {least} to {most}")))
}

fn size(key: &str, value: u64, least: u64, most: u64) -> Result<(), Problem> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    let (value, least, most) = (Size(value), Size(least), Size(most));
    Err(Problem::new(key, format!("{value} is out of range; expected {least} to {most}")))
}

/// Tokens travel to these addresses, so plain HTTP is for this machine only (a simulator, a test).
fn url(key: &str, written: &str) -> Result<(), Problem> {
    let problem =
        |what: &str| Err(Problem::new(key, format!("{what}; expected something like https://host/path")));
    let Ok(url) = written.parse::<http::Uri>() else { return problem("not a URL") };
    let (Some(scheme), Some(host), Some(authority)) = (url.scheme_str(), url.host(), url.authority()) else {
        return problem("not a URL with scheme and host");
    };
    if scheme != "https" && scheme != "http" {
        return problem("neither http nor https");
    }
    if host.is_empty() || authority.as_str().contains('@') {
        return problem("a name and password in a URL are not supported");
    }
    if written.ends_with('/') || written.contains(['?', '#']) {
        return problem("a trailing slash, query or fragment is not allowed");
    }
    if scheme == "http" && !loopback(host) {
        return problem("plain http would show your tokens to the network; it is for this machine only");
    }
    Ok(())
}

fn loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// Values stay out of the messages: they may be secret.
fn headers(headers: &[(String, String)]) -> Result<(), Problem> {
    let mut seen = HashSet::new();
    for (name, value) in headers {
        let problem = |what: &str| Err(Problem::new(format!("upstream.headers.{name}"), what));
        let Ok(parsed) = name.parse::<http::HeaderName>() else {
            return problem("not a header name");
        };
        if OWN_HEADERS.contains(&parsed.as_str()) {
            return problem("this header is set by codex-lb itself; leave it away");
        }
        if value.parse::<http::HeaderValue>().is_err() {
            return problem("the value cannot be sent; expected one line of text");
        }
        if !seen.insert(parsed) {
            return problem("the same header is given twice");
        }
    }
    Ok(())
}

fn listeners(config: &Config) -> Result<(), Problem> {
    let mut all = vec![("listen.http", config.listen.http)];
    all.extend(config.listen.https.iter().map(|https| ("listen.https.address", https.address)));
    open_to_all(config, &all)?;
    if let Dashboard::Here(address) = config.dashboard {
        if !address.ip().is_loopback() {
            let message = format!(
                "{address} can be reached from other machines, and the dashboard has no login; expected 127.0.0.1 \
                 or [::1], and for others a reverse proxy with a password in front"
            );
            return Err(Problem::new("dashboard.listen", message));
        }
        all.push(("dashboard.listen", address));
    }
    all.extend(config.metrics.map(|address| ("metrics.listen", address)));
    while let Some((key, address)) = all.pop() {
        if let Some((other, _)) = all.iter().find(|(_, other)| clash(address, *other)) {
            return Err(Problem::new(key, format!("{address} is taken by {other}; choose another port")));
        }
    }
    Ok(())
}

fn open_to_all(config: &Config, addresses: &[(&str, SocketAddr)]) -> Result<(), Problem> {
    let public = addresses.iter().find(|(_, address)| !address.ip().is_loopback());
    match (config.auth.api_keys, public) {
        (ApiKeys::Never, Some((key, address))) => Err(Problem::new(
            *key,
            format!(
                "{address} can be reached from other machines and auth.api_keys is never, so anybody could spend \
                 your quota; set auth.api_keys to remote, or listen on 127.0.0.1"
            ),
        )),
        (ApiKeys::Never | ApiKeys::Remote | ApiKeys::Always, _) => Ok(()),
    }
}

fn clash(one: SocketAddr, other: SocketAddr) -> bool {
    let any = one.ip().is_unspecified() || other.ip().is_unspecified();
    one.port() != 0 && one.port() == other.port() && (any || one.ip() == other.ip())
}

fn chain(config: &Config) -> Result<(), Problem> {
    let mut seen = HashSet::new();
    for (index, filter) in config.filters.iter().enumerate() {
        if !seen.insert(filter.kind()) {
            let message = format!("{:?} stands in the chain twice; keep one", filter.kind());
            return Err(Problem::new(format!("filters[{index}]"), message));
        }
    }
    let smallest = config.filters.iter().find_map(declared_limit).filter(|limit| *limit < config.limits.body);
    if let Some(limit) = smallest {
        let (body, limit) = (Size(config.limits.body), Size(limit));
        let message = format!(
            "{body} would never be reached, the filter body_size refuses more than {limit}; raise its max_mib, too"
        );
        return Err(Problem::new("limits.body", message));
    }
    if config.auth.api_keys == ApiKeys::Never || seen.contains("api_key") {
        return Ok(());
    }
    let message = "\"api_key\" is missing, so nobody would be asked for a key; add \"- api_key\", or set \
                   auth.api_keys to never";
    Err(Problem::new("filters", message))
}

/// What the filter `body_size` lets through, bytes.
fn declared_limit(filter: &FilterConfig) -> Option<u64> {
    if let FilterConfig::BodySize(options) = filter { Some(u64::from(options.max_mib) * MIB) } else { None }
}
