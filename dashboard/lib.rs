//! The read-only dashboard of codex-lb: pages made from the proxy's SQLite file, which it opens without the right
//! to write. Start at `app.rs`; a page is a query (`queries/`) and a template (`pages/`, `templates/`).

mod app;
mod assets;
mod chart;
mod db;
mod format;
mod pages;
mod queries;
#[cfg(test)]
mod seed;

use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;

/// How long answers may still take when the service is told to end; a page takes milliseconds.
const DRAIN: Duration = Duration::from_secs(5);

/// What the service must know.
#[derive(Debug, Clone)]
pub struct Options {
    /// The proxy's SQLite file. It need not exist yet.
    pub ledger: PathBuf,
    /// The proxy's `/v1` base URL as clients should enter it; `None`: its default address on this machine.
    pub address_shown: Option<String>,
}

/// Serves the dashboard until `shutdown` is done: answers in work are finished (5 s at most), event streams end.
///
/// # Errors
/// If the listener fails for good. A missing or unreadable ledger is no error: the page says so and recovers.
pub async fn serve(
    listener: TcpListener,
    options: Options,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let (changes, changed) = watch::channel(0);
    let (stop, mut stopped) = watch::channel(());
    let ending = async move {
        shutdown.await;
        drop(stop);
    };
    let watching = db::changes::watch(options.ledger.clone(), changes);
    let router = app::router(options, changed);
    let server = axum::serve(listener, router).with_graceful_shutdown(ending);
    let drained = async move {
        // Whichever is first, `watching` is dropped, and with it the sender whose end ends the event streams.
        tokio::select! {
            () = watching => {}
            _ = stopped.changed() => {}
        }
        tokio::time::sleep(DRAIN).await;
    };
    tokio::select! {
        result = server => result,
        () = drained => Ok(()),
    }
}
