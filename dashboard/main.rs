//! `codex-lb-dashboard`: the dashboard as a service of its own.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use codex_lb_dashboard::Options;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

/// Shows what codex-lb's ledger holds. Opens the file read-only; has no login, so keep it on loopback.
#[derive(Debug, Parser)]
#[command(name = "codex-lb-dashboard", version)]
struct Cli {
    /// The proxy's SQLite file (default: $STATE_DIRECTORY/ledger.db, then ~/.codex-lb/ledger.db).
    #[arg(long, value_name = "FILE")]
    ledger: Option<PathBuf>,
    /// Address to serve on.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:2456")]
    listen: SocketAddr,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("info")).init();
    let Some(ledger) = cli.ledger.or_else(default_ledger) else {
        log::error!("neither $STATE_DIRECTORY nor a home directory is known; name the file with --ledger");
        return ExitCode::from(2);
    };
    match run(ledger, cli.listen) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log::error!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(ledger: PathBuf, listen: SocketAddr) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind(listen)
            .await
            .map_err(|error| io::Error::new(error.kind(), format!("cannot listen on {listen}: {error}")))?;
        log::info!("dashboard on http://{}, ledger {}", listener.local_addr()?, ledger.display());
        let (mut terminate, mut interrupt) =
            (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let shutdown = async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        };
        codex_lb_dashboard::serve(listener, Options { ledger, address_shown: None }, shutdown).await
    })
}

/// systemd may list several state directories, separated by colons; the first is the proxy's.
fn default_ledger() -> Option<PathBuf> {
    let state = std::env::var_os("STATE_DIRECTORY").and_then(|list| std::env::split_paths(&list).next());
    let folder = state
        .filter(|folder| !folder.as_os_str().is_empty())
        .or_else(|| std::env::home_dir().map(|home| home.join(".codex-lb")))?;
    Some(folder.join("ledger.db"))
}
