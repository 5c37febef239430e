//! `codex-lb check`: says what the configuration means.

use std::fmt;

use serde_json::{Value, json};

use super::{Failure, print};
use crate::config::{ApiKeys, Config, Dashboard, LogFormat, Size, Strategy, Time};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Prints what `config` means. That it was read without an error is the check.
pub fn run(args: Args, config: Config) -> Result<(), Failure> {
    let Args { json } = args;
    if json { print(&format!("{:#}\n", as_json(&config))) } else { print(&Summary(&config).to_string()) }
}

struct Summary<'a>(&'a Config);

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let config = self.0;
        let source = config.source.as_ref().map(|file| file.display().to_string());
        line(f, "configuration", source.as_deref().unwrap_or("no file; built-in defaults"))?;
        line(f, "clients", format_args!("http://{}/v1", config.listen.http))?;
        if let Some(https) = &config.listen.https {
            line(f, "", format_args!("https://{}/v1 with {}", https.address, https.certificate.display()))?;
        }
        line(f, "api keys", who_needs_a_key(config))?;
        line(f, "chain", chain(config).join(" → "))?;
        if let Some(file) = &config.prices_file {
            line(f, "prices", file.display())?;
        }
        line(f, "body", format_args!("{} at most", Size(config.limits.body)))?;
        let attempts = config.routing.attempts;
        line(f, "routing", format_args!("{}, up to {attempts} accounts per request", strategy(config)))?;
        line(f, "upstream", &config.upstream.base_url)?;
        line(f, "sign-in", &config.upstream.auth_url)?;
        if !config.upstream.headers.is_empty() {
            line(f, "", format_args!("headers set: {}", header_names(config).join(", ")))?;
        }
        line(f, "data", config.data_dir.display())?;
        line(f, "retention", format_args!("requests {}", Time(config.retention.requests)))?;
        line(f, "dashboard", dashboard(config).as_deref().unwrap_or("off, or its own service"))?;
        let metrics = config.metrics.map(|address| format!("http://{address}/metrics"));
        line(f, "metrics", metrics.as_deref().unwrap_or("off"))?;
        line(f, "log", format_args!("{}, {}", level(config), format(config)))
    }
}

fn line(f: &mut fmt::Formatter<'_>, name: &str, value: impl fmt::Display) -> fmt::Result {
    writeln!(f, "{name:<15}{value}")
}

fn as_json(config: &Config) -> Value {
    json!({
        "source": config.source,
        "listen": {
            "http": config.listen.http,
            "https": config.listen.https.as_ref().map(|https| https.address),
        },
        "data_dir": config.data_dir,
        "upstream": {
            "base_url": config.upstream.base_url,
            "auth_url": config.upstream.auth_url,
            "headers": header_names(config),
        },
        "routing": { "strategy": strategy(config), "attempts": config.routing.attempts },
        "auth": {
            "api_keys": api_keys(config),
            "trusted_proxies": config.auth.trusted_proxies.iter().map(ToString::to_string).collect::<Vec<_>>(),
        },
        "limits": { "body_bytes": config.limits.body },
        "filters": chain(config),
        "prices_file": config.prices_file,
        "dashboard": dashboard(config),
        "metrics": config.metrics,
        "retention": { "requests_seconds": config.retention.requests.as_secs() },
        "log": { "level": level(config), "format": format(config) },
    })
}

fn strategy(config: &Config) -> &'static str {
    match config.routing.strategy {
        Strategy::MostRemaining => "most_remaining",
        Strategy::Priority => "priority",
        Strategy::RoundRobin => "round_robin",
    }
}

fn api_keys(config: &Config) -> &'static str {
    match config.auth.api_keys {
        ApiKeys::Remote => "remote",
        ApiKeys::Always => "always",
        ApiKeys::Never => "never",
    }
}

fn who_needs_a_key(config: &Config) -> &'static str {
    match config.auth.api_keys {
        ApiKeys::Remote => "needed by everybody but clients on this machine",
        ApiKeys::Always => "needed by everybody",
        ApiKeys::Never => "needed by nobody",
    }
}

fn chain(config: &Config) -> Vec<&'static str> {
    config.filters.iter().map(codex_lb_filters::FilterConfig::kind).collect()
}

/// Names only: values may be secret.
fn header_names(config: &Config) -> Vec<&str> {
    config.upstream.headers.iter().map(|(name, _)| name.as_str()).collect()
}

fn dashboard(config: &Config) -> Option<String> {
    match config.dashboard {
        Dashboard::Here(address) => Some(format!("http://{address}")),
        Dashboard::Off => None,
    }
}

fn level(config: &Config) -> String {
    config.log.level.to_string().to_lowercase()
}

fn format(config: &Config) -> &'static str {
    match config.log.format {
        LogFormat::Text => "text",
        LogFormat::Json => "json",
    }
}
