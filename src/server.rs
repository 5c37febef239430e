//! Puts it all together: configuration → ledger → pool → chain → Pingora server. The only file that knows everyone.

mod background; // what runs beside the proxy
mod bound; // listeners that are bound at start and used later
mod shutdown; // the end, told in order

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use bound::Bound;
use codex_lb_filters::{Chain, Surroundings};
use pingora::apps::HttpServerOptions;
use pingora::listeners::tls::TlsSettings;
use pingora::listeners::{L4BufferSettings, ListenerConfig};
use pingora::server::configuration::{Opt, ServerConf};
use pingora::server::{RunArgs, Server};
use pingora::services::background::background_service;
use pingora_proxy::http_proxy_service;

use crate::config::{Config, Dashboard};
use crate::ledger::{KeyHashes, Ledger};
use crate::pool::Pool;
use crate::proxy::{App, Policy, Proxy};
use crate::reasoning::ReasoningMemory;
use crate::telemetry::EXCHANGES_OPEN;
use crate::tokens::refresh::Refresher;
use crate::upstream::Endpoint;
use crate::vault::Vault;
use crate::{dialect, now_ms};

/// Listener buffers. Measured: an idle stream takes a third of the memory it takes with Pingora's 64 KiB.
const LISTENER_BUFFER: usize = 4096;

/// Upstream connections kept open while idle.
const UPSTREAM_KEEPALIVE: usize = 512;

/// How to run, beside the configuration.
#[derive(Debug, Default)]
pub struct Options {
    /// Take the listeners over from a running process (which gets SIGQUIT).
    pub upgrade: bool,
    /// The file a SIGHUP reads again.
    pub config_file: Option<std::path::PathBuf>,
}

/// Runs until a signal ends it. Errors are sentences for the operator.
pub fn run(config: Config, options: Options) -> Result<(), String> {
    let vault = Vault::open(&config.data_dir).map_err(|error| error.to_string())?;
    let ledger = Ledger::open(&config.data_dir, Arc::new(vault), config.retention.requests)
        .map_err(|error| error.to_string())?;
    let start = ledger.load().map_err(|error| error.to_string())?;
    let dashboard = match config.dashboard {
        Dashboard::Here(address) => Some(Bound::new(address, options.upgrade)?),
        Dashboard::Off => None,
    };
    if !options.upgrade {
        // Pingora ends the process without a sentence when it cannot bind: look first.
        drop(bound::bind(config.listen.http)?);
        if let Some(https) = &config.listen.https {
            drop(bound::bind(https.address)?);
        }
    }
    let metrics = config.metrics.map(|address| Bound::new(address, options.upgrade)).transpose()?;

    let keys = Arc::new(KeyHashes::new(&start.keys));
    let client = background::http_client(&config)?;
    let pool = Arc::new(Pool::new(config.routing.strategy, ledger.clone(), &start, now_ms()));
    let refresher =
        Refresher::new(client.clone(), &config.upstream.auth_url, pool.clone(), Arc::new(ledger.clone()));
    let app = Arc::new(App {
        policy: ArcSwap::from_pointee(policy(config.clone(), keys.clone())),
        endpoint: Arc::new(Endpoint::new(&config.upstream.base_url, &config.upstream.timeouts)?),
        memory: Arc::new(ReasoningMemory::new(config.chat.reasoning_memory, Some(ledger.clone()))),
        dashboard: dashboard.as_ref().map(|listener| listener.address),
        pool: pool.clone(),
        refresher: refresher.clone(),
        ledger: ledger.clone(),
        draining: AtomicBool::new(false),
    });

    let mut server = Server::new_with_opt_and_conf(
        Opt { upgrade: options.upgrade, ..Opt::default() },
        server_conf(&config),
    );
    server.bootstrap();
    let mut service = http_proxy_service(&server.configuration, Proxy { app: app.clone() });
    listen(&mut service, &config)?;
    server.add_service(service);
    server.add_service(background_service("poller", background::Polling::new(&config, client, &app)));
    server.add_service(background_service(
        "watch",
        background::Watching { app: app.clone(), keys: keys.clone() },
    ));
    if let Some(listener) = dashboard {
        server.add_service(background_service("dashboard", background::Pages::new(listener, &config)));
    }
    if let Some(listener) = metrics {
        server.add_service(background_service("metrics", background::Metrics::new(listener, &app)));
    }
    server.add_service(background_service("ready", background::Ready::new(config.listen.http)));

    let signals = shutdown::Signals { app, keys, config_file: options.config_file };
    server.run(RunArgs { shutdown_signal: Box::new(signals) });
    // Exchanges that were cut off leave their rows as their tasks are dropped.
    let until = Instant::now() + Duration::from_secs(1);
    while EXCHANGES_OPEN.get() > 0 && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(5));
    }
    ledger.close(Duration::from_secs(5));
    Ok(())
}

/// What the configuration means for the request path.
fn policy(config: Config, keys: Arc<KeyHashes>) -> Policy {
    let surroundings = Surroundings { keys, api_keys: config.auth.api_keys, prices: config.prices.clone() };
    Policy {
        chain: Arc::new(Chain::build(&config.filters, surroundings)),
        dialect: dialect::Settings { reasoning_summary: config.chat.reasoning_summary.clone() },
        config,
    }
}

fn server_conf(config: &Config) -> ServerConf {
    ServerConf {
        threads: std::thread::available_parallelism().map_or(2, usize::from),
        upgrade_sock: config.data_dir.join("upgrade.sock").display().to_string(),
        ca_file: config.upstream.ca_file.as_ref().map(|path| path.display().to_string()),
        upstream_keepalive_pool_size: UPSTREAM_KEEPALIVE,
        grace_period_seconds: Some(shutdown::DRAIN.as_secs()),
        graceful_shutdown_timeout_seconds: Some(5),
        // The exchange judges and repeats; Pingora's own retry would send a POST's body in part.
        max_retries: 1,
        ..ServerConf::default()
    }
}

fn listen(
    service: &mut pingora::services::listening::Service<pingora_proxy::HttpProxy<Proxy>>,
    config: &Config,
) -> Result<(), String> {
    if let Some(logic) = service.app_logic_mut() {
        let mut options = HttpServerOptions::default();
        options.h2c = true;
        logic.server_options = Some(options);
    }
    let small = L4BufferSettings::new(LISTENER_BUFFER, LISTENER_BUFFER);
    service.add_listener(ListenerConfig::tcp(config.listen.http.to_string()).l4_buffer(small));
    if let Some(https) = &config.listen.https {
        let mut tls = TlsSettings::intermediate(&text(&https.certificate), &text(&https.key))
            .map_err(|error| format!("listen.https: {error}"))?;
        tls.enable_h2();
        service.add_listener(ListenerConfig::tcp(https.address.to_string()).tls(tls).l4_buffer(small));
    }
    Ok(())
}

fn text(path: &Path) -> String {
    path.display().to_string()
}
