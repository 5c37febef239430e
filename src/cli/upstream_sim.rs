//! `codex-lb upstream-sim`: the simulator alone.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;

use super::Failure;
use crate::config::Config;
use crate::sim::{self, Budget, Options, Spec, Tls, World};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where to listen; port 0 takes a free one. The address is the first line printed.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:2460")]
    pub listen: SocketAddr,
    /// Accounts to create: a1, a2, …
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub accounts: usize,
    /// Write the accounts' auth.json files here, as a1.json, a2.json, …
    #[arg(long, value_name = "DIR", requires = "accounts")]
    pub accounts_dir: Option<PathBuf>,
    /// Plan of these accounts.
    #[arg(long, default_value = "plus")]
    pub plan: String,
    /// Requests that fill the 5-hour window of each; without it the windows stay empty.
    #[arg(long, value_name = "REQUESTS")]
    pub budget: Option<u64>,
    /// Pause before every event of an answer, milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 0)]
    pub event_delay_ms: u64,
    /// Repeat the output items in the terminal event.
    #[arg(long)]
    pub full_output: bool,
    /// For load tests: one pre-rendered answer of this many text deltas for all; bodies are neither checked nor kept.
    #[arg(long, value_name = "DELTAS", num_args = 0..=1, default_missing_value = "20")]
    pub fast: Option<usize>,
    /// Certificate chain (PEM): speak TLS.
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// Private key (PEM).
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
}

/// Runs the command.
pub fn run(args: Args, _config: Config) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::Failed(format!("cannot start the runtime: {error}")))?;
    runtime.block_on(serve(args))
}

async fn serve(args: Args) -> Result<(), Failure> {
    let world = Arc::new(World::default());
    for number in 1..=args.accounts {
        let budget = args.budget.map(Budget::Requests);
        let auth = world.add_account(Spec { plan: Some(args.plan.clone()), budget, ..Spec::default() });
        if let Some(dir) = &args.accounts_dir {
            write(dir, &format!("a{number}.json"), &auth)?;
        }
    }
    let listener = TcpListener::bind(args.listen).await;
    let listener = listener.map_err(|error| Failure::Failed(format!("--listen {}: {error}", args.listen)))?;
    let address = listener.local_addr().map_err(|error| Failure::Failed(error.to_string()))?;
    let tls = args.tls_cert.zip(args.tls_key).map(|(certificate, key)| Tls { certificate, key });
    let scheme = if tls.is_some() { "https" } else { "http" };
    writeln!(std::io::stdout().lock(), "{scheme}://{address}")
        .map_err(|error| Failure::Failed(format!("cannot write to stdout: {error}")))?;
    let event_delay = Duration::from_millis(args.event_delay_ms);
    let options = Options { world, event_delay, full_output: args.full_output, fast: args.fast, tls };
    sim::serve(listener, options).await.map_err(|error| Failure::Failed(error.to_string()))
}

fn write(dir: &Path, name: &str, text: &str) -> Result<(), Failure> {
    let path = dir.join(name);
    let written = std::fs::create_dir_all(dir).and_then(|()| std::fs::write(&path, text));
    written.map_err(|error| Failure::Failed(format!("--accounts-dir: {}: {error}", path.display())))
}
