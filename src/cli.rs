//! The commands.

pub mod account; // import, list, pause, resume, remove
pub mod check; // reads the configuration and says what it means
pub mod demo; // simulator, proxy and dashboard in a temporary directory
pub mod key; // create, list, revoke
pub mod serve; // the service itself
pub mod upstream_sim; // the simulator alone
pub mod usage; // sums from the ledger

use std::path::PathBuf;

use clap::{Parser, Subcommand};

/// One OpenAI-compatible address in front of a pool of your own ChatGPT/Codex accounts.
#[derive(Debug, Parser)]
#[command(name = "codex-lb", version)]
pub struct Cli {
    /// Configuration file (default: $CODEX_LB_CONFIG, then /etc/codex-lb/codex-lb.yaml, then built-in defaults).
    #[arg(short, long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Try it: simulator, proxy and dashboard in a temporary directory.
    Demo(demo::Args),
    /// Run the proxy (and the dashboard, unless it is its own service).
    Serve(serve::Args),
    /// Check the configuration file.
    Check(check::Args),
    /// Accounts: import, list, pause, resume, remove.
    Account(account::Args),
    /// API keys of your clients: create, list, revoke.
    Key(key::Args),
    /// What was used, from the ledger.
    Usage(usage::Args),
    /// A stand-in for the Codex backend, for demos and tests.
    UpstreamSim(upstream_sim::Args),
}

/// Why a command did not succeed, by exit code.
#[derive(Debug)]
pub enum Failure {
    /// 1
    Failed(String),
    /// 2
    Usage(String),
    /// 78
    Config(String),
}
