//! What runs beside the proxy, each as a Pingora background service: polling, reloading, pages, metrics, readiness.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use log::{error, info, warn};
use pingora::server::ShutdownWatch;
use pingora::services::background::BackgroundService;

use super::bound::Bound;
use crate::config::Config;
use crate::ledger::KeyHashes;
use crate::pool::poller::Poller;
use crate::proxy::App;
use crate::{now_ms, telemetry};

/// The client for token refresh and polling, with the same trust as the data plane.
pub(super) fn http_client(config: &Config) -> Result<reqwest::Client, String> {
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("codex-lb/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(config.upstream.timeouts.connect)
        .redirect(reqwest::redirect::Policy::none());
    if let Some(path) = &config.upstream.ca_file {
        let wrong = |error: &dyn std::fmt::Display| format!("upstream.ca_file {}: {error}", path.display());
        let pem = std::fs::read(path).map_err(|error| wrong(&error))?;
        let roots = reqwest::Certificate::from_pem_bundle(&pem).map_err(|error| wrong(&error))?;
        builder = builder.tls_certs_only(roots);
    }
    builder.build().map_err(|error| format!("no HTTP client: {error}"))
}

/// Polls usage and models, refreshes tokens ahead of time.
pub(super) struct Polling(Mutex<Option<Poller>>);

impl Polling {
    pub(super) fn new(config: &Config, client: reqwest::Client, app: &App) -> Self {
        let poller = Poller::new(client, &config.upstream, app.pool.clone(), app.refresher.clone());
        Self(Mutex::new(Some(poller)))
    }
}

#[async_trait]
impl BackgroundService for Polling {
    async fn start(&self, shutdown: ShutdownWatch) {
        let poller = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(poller) = poller {
            poller.run(shutdown).await;
        }
    }
}

/// Reloads accounts and keys when another process changed the ledger.
pub(super) struct Watching {
    pub(super) app: Arc<App>,
    pub(super) keys: Arc<KeyHashes>,
}

#[async_trait]
impl BackgroundService for Watching {
    async fn start(&self, mut shutdown: ShutdownWatch) {
        let mut changed = self.app.ledger.changed();
        loop {
            tokio::select! {
                _ = shutdown.changed() => return,
                change = changed.changed() => if change.is_err() { return },
            }
            let ledger = self.app.ledger.clone();
            match tokio::task::spawn_blocking(move || ledger.load()).await {
                Ok(Ok(snapshot)) => {
                    self.keys.replace(&snapshot.keys);
                    self.app.pool.reload(&snapshot, now_ms());
                    info!("accounts and keys read again");
                }
                Ok(Err(error)) => warn!("accounts and keys not read again: {error}"),
                Err(error) => error!("reading the ledger ended unexpectedly: {error}"),
            }
        }
    }
}

/// The dashboard inside this process.
pub(super) struct Pages {
    listener: Bound,
    ledger: PathBuf,
    address_shown: String,
}

impl Pages {
    pub(super) fn new(listener: Bound, config: &Config) -> Self {
        Self {
            listener,
            ledger: config.data_dir.join("ledger.db"),
            address_shown: format!("http://{}/v1", config.listen.http),
        }
    }
}

#[async_trait]
impl BackgroundService for Pages {
    async fn start(&self, mut shutdown: ShutdownWatch) {
        let Some(listener) = self.listener.listen().await else { return };
        let options = codex_lb_dashboard::Options {
            ledger: self.ledger.clone(),
            address_shown: Some(self.address_shown.clone()),
        };
        let end = async move {
            // An error means that the sender is gone, which is an end as well.
            if shutdown.changed().await.is_err() {}
        };
        if let Err(error) = codex_lb_dashboard::serve(listener, options, end).await {
            error!("the dashboard ended: {error}");
        }
    }
}

/// `/metrics`, Prometheus text format, at an address of its own.
pub(super) struct Metrics {
    listener: Bound,
    app: Arc<App>,
}

impl Metrics {
    pub(super) fn new(listener: Bound, app: &Arc<App>) -> Self {
        Self { listener, app: app.clone() }
    }
}

#[async_trait]
impl BackgroundService for Metrics {
    async fn start(&self, _shutdown: ShutdownWatch) {
        let Some(listener) = self.listener.listen().await else { return };
        let app = self.app.clone();
        let page = move || {
            let usable = app.pool.usable(now_ms());
            telemetry::ACCOUNTS_USABLE.set(i64::try_from(usable).unwrap_or(i64::MAX));
            telemetry::LEDGER_LOST.set(i64::try_from(app.ledger.lost()).unwrap_or(i64::MAX));
            std::future::ready(([("content-type", "text/plain; version=0.0.4")], telemetry::page()))
        };
        let routes = axum::Router::new().route("/metrics", axum::routing::get(page));
        if let Err(error) = axum::serve(listener, routes).await {
            error!("the metrics page ended: {error}");
        }
    }
}

/// Tells systemd once the proxy answers.
pub(super) struct Ready(SocketAddr);

impl Ready {
    pub(super) fn new(address: SocketAddr) -> Self {
        Self(address)
    }
}

#[async_trait]
impl BackgroundService for Ready {
    async fn start(&self, mut shutdown: ShutdownWatch) {
        let answered = async {
            while tokio::net::TcpStream::connect(self.0).await.is_err() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::select! {
            () = answered => {}
            _ = shutdown.changed() => return,
        }
        info!("serving at http://{}/v1", self.0);
        if let Err(error) = sd_notify::notify(false, &[sd_notify::NotifyState::Ready]) {
            warn!("systemd was not told: {error}");
        }
    }
}
