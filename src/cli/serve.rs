//! `codex-lb serve`: the proxy, and the dashboard unless it is its own service.

use super::Failure;
use crate::config::Config;
use crate::{server, telemetry};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Take the listeners over from a running process; send that one SIGQUIT.
    #[arg(long)]
    pub upgrade: bool,
}

/// Serves until a signal ends it.
pub fn run(args: Args, config: Config) -> Result<(), Failure> {
    telemetry::start(&config.log);
    let options = server::Options { upgrade: args.upgrade, config_file: config.source.clone() };
    server::run(config, options).map_err(Failure::Failed)
}
