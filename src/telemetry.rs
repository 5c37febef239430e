//! Log lines and metrics. Neither ever holds a token, a key, a prompt or a body.

use std::io::Write;

use log::LevelFilter;
use once_cell::sync::Lazy;
use prometheus::{
    Encoder, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry, TextEncoder,
};

use crate::config::{Log, LogFormat};
use crate::ledger::Entry;

static REGISTRY: Lazy<Registry> = Lazy::new(Registry::new);

/// Exchanges under way.
pub static EXCHANGES_OPEN: Lazy<IntGauge> =
    Lazy::new(|| gauge("codexlb_exchanges_open", "Exchanges under way"));

/// Accounts that may serve now.
pub static ACCOUNTS_USABLE: Lazy<IntGauge> =
    Lazy::new(|| gauge("codexlb_accounts_usable", "Accounts that may serve now"));

/// Ledger rows lost because the queue was full.
pub static LEDGER_LOST: Lazy<IntGauge> =
    Lazy::new(|| gauge("codexlb_ledger_lost_rows", "Ledger rows lost because the queue was full"));

/// One exchange under way, from its head to the last byte of its answer.
pub struct Open(());

impl Open {
    pub fn begin() -> Self {
        EXCHANGES_OPEN.inc();
        Self(())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        EXCHANGES_OPEN.dec();
    }
}

static EXCHANGES: Lazy<IntCounterVec> = Lazy::new(|| {
    counters("codexlb_exchanges_total", "Exchanges ended, by route and outcome", &["route", "outcome"])
});
static TOKENS: Lazy<IntCounterVec> =
    Lazy::new(|| counters("codexlb_tokens_total", "Tokens, by kind (cached is part of input)", &["kind"]));
static ATTEMPTS: Lazy<IntCounter> = Lazy::new(|| {
    let counter = IntCounter::new("codexlb_attempts_total", "Attempts made on accounts");
    registered(counter)
});
static FIRST_EVENT: Lazy<Histogram> = Lazy::new(|| {
    let buckets = vec![0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];
    let options =
        HistogramOpts::new("codexlb_first_event_seconds", "From the request's head to the first output");
    registered(Histogram::with_opts(options.buckets(buckets)))
});

/// Counts an exchange that ended.
pub fn count(entry: &Entry) {
    EXCHANGES.with_label_values(&[entry.route, entry.outcome.as_str()]).inc();
    ATTEMPTS.inc_by(u64::from(entry.attempts));
    if let Some(millis) = entry.first_event_ms {
        FIRST_EVENT.observe(std::time::Duration::from_millis(millis).as_secs_f64());
    }
    if let Some(usage) = entry.usage {
        for (kind, tokens) in [
            ("input", usage.input),
            ("cached", usage.cached),
            ("output", usage.output),
            ("reasoning", usage.reasoning),
        ] {
            TOKENS.with_label_values(&[kind]).inc_by(tokens);
        }
    }
}

/// The metrics page, Prometheus text format.
pub fn page() -> Vec<u8> {
    let mut text = Vec::new();
    if let Err(error) = TextEncoder::new().encode(&REGISTRY.gather(), &mut text) {
        log::error!("metrics could not be encoded: {error}");
    }
    text
}

/// Starts logging to stderr. `RUST_LOG` wins over the configuration's level.
pub fn start(log: &Log) {
    let mut builder = env_logger::Builder::new();
    // Pingora tells of each failed attempt at warning level; the exchange's own line says more.
    builder.filter_level(log.level.min(LevelFilter::Warn)).filter_module("codex_lb", log.level);
    for noisy in ["pingora_proxy", "pingora_core"] {
        builder.filter_module(noisy, LevelFilter::Error.min(log.level));
    }
    // A kept-alive connection that the upstream closed is replaced, not an error.
    builder.filter_module("pingora_core::connectors", LevelFilter::Off);
    if let Ok(directives) = std::env::var("RUST_LOG") {
        builder.parse_filters(&directives);
    }
    match log.format {
        LogFormat::Text => builder.format(|out, record| {
            writeln!(out, "{} {:5} {}", out.timestamp_millis(), record.level(), record.args())
        }),
        LogFormat::Json => builder.format(|out, record| {
            let line = serde_json::json!({
                "time": out.timestamp_millis().to_string(),
                "level": record.level().as_str(),
                "target": record.target(),
                "message": record.args().to_string(),
            });
            writeln!(out, "{line}")
        }),
    };
    if builder.try_init().is_err() {
        log::debug!("logging was already started");
    }
}

fn gauge(name: &str, help: &str) -> IntGauge {
    registered(IntGauge::new(name, help))
}

fn counters(name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
    registered(IntCounterVec::new(Opts::new(name, help), labels))
}

#[expect(
    clippy::expect_used,
    reason = "names are constants: a wrong one fails the first test that touches it"
)]
fn registered<M: prometheus::core::Collector + Clone + 'static>(metric: prometheus::Result<M>) -> M {
    let metric = metric.expect("metric names are valid");
    REGISTRY.register(Box::new(metric.clone())).expect("metric names are unique");
    metric
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_metrics_page_names_every_metric() {
        for metric in [&EXCHANGES_OPEN, &ACCOUNTS_USABLE, &LEDGER_LOST] {
            metric.set(1);
        }
        EXCHANGES.with_label_values(&["chat", "completed"]).inc();
        TOKENS.with_label_values(&["input"]).inc_by(3);
        ATTEMPTS.inc();
        FIRST_EVENT.observe(0.2);
        let page = String::from_utf8(page()).unwrap();
        for name in [
            "codexlb_exchanges_open 1",
            "codexlb_accounts_usable 1",
            "codexlb_ledger_lost_rows 1",
            "codexlb_exchanges_total{outcome=\"completed\",route=\"chat\"} 1",
            "codexlb_tokens_total{kind=\"input\"} 3",
            "codexlb_attempts_total 1",
            "codexlb_first_event_seconds_bucket",
        ] {
            assert!(page.contains(name), "{name} is missing in\n{page}");
        }
    }
}
