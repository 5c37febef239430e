//! The signals, and the end, told in order: no new exchange begins, those under way get their time, the ledger is
//! flushed (by `server`), the process ends.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;
use log::{error, info};
use pingora::server::{ShutdownSignal, ShutdownSignalWatch};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::config::Config;
use crate::ledger::KeyHashes;
use crate::proxy::App;
use crate::telemetry::EXCHANGES_OPEN;

/// Exchanges under way get this long to end.
pub(super) const DRAIN: Duration = Duration::from_secs(30);

/// Waits for signals. SIGTERM and SIGINT drain and end, SIGQUIT hands the listeners over, SIGHUP reads the YAML again.
pub(super) struct Signals {
    pub(super) app: Arc<App>,
    pub(super) keys: Arc<KeyHashes>,
    pub(super) config_file: Option<PathBuf>,
}

#[async_trait]
impl ShutdownSignalWatch for Signals {
    async fn recv(&self) -> ShutdownSignal {
        let Ok([mut term, mut int, mut quit, mut hangup]) = signals() else {
            error!("signals cannot be caught: ending");
            return ShutdownSignal::FastShutdown;
        };
        loop {
            tokio::select! {
                _ = term.recv() => break,
                _ = int.recv() => break,
                _ = quit.recv() => {
                    info!("handing the listeners to a new process");
                    return ShutdownSignal::GracefulUpgrade;
                }
                _ = hangup.recv() => self.reload(),
            }
        }
        info!("ending: exchanges under way get {} s", DRAIN.as_secs());
        self.app.draining.store(true, Ordering::Relaxed);
        tokio::select! {
            () = drained() => info!("all exchanges have ended"),
            () = tokio::time::sleep(DRAIN) => info!("{} exchanges are cut off", EXCHANGES_OPEN.get()),
            _ = int.recv() => info!("told twice: ending at once"),
        }
        ShutdownSignal::FastShutdown
    }
}

impl Signals {
    /// What can change while running does; a bad file changes nothing.
    fn reload(&self) {
        match Config::load(self.config_file.as_deref()) {
            Ok(config) => {
                let old = self.app.policy.load();
                let same = Config {
                    filters: old.config.filters.clone(),
                    auth: old.config.auth.clone(),
                    routing: old.config.routing.clone(),
                    limits: old.config.limits.clone(),
                    prices: old.config.prices.clone(),
                    prices_file: old.config.prices_file.clone(),
                    ..config.clone()
                };
                if same != old.config {
                    info!(
                        "filters, auth, routing, limits and prices take effect now; the rest after a restart"
                    );
                }
                self.app.pool.set_strategy(config.routing.strategy);
                self.app.policy.store(Arc::new(super::policy(config, self.keys.clone())));
                info!("configuration read again");
            }
            Err(error) => error!("configuration not read again: {error}"),
        }
    }
}

fn signals() -> std::io::Result<[Signal; 4]> {
    Ok([
        signal(SignalKind::terminate())?,
        signal(SignalKind::interrupt())?,
        signal(SignalKind::quit())?,
        signal(SignalKind::hangup())?,
    ])
}

async fn drained() {
    let mut look = tokio::time::interval(Duration::from_millis(20));
    while EXCHANGES_OPEN.get() > 0 {
        look.tick().await;
    }
    // What was written to an HTTP/2 connection may still be on its way out of the process.
    tokio::time::sleep(Duration::from_millis(100)).await;
}
