//! `codex-lb account`.

use super::Failure;
use crate::config::Config;

#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs the command.
pub fn run(_args: Args, _config: Config) -> Result<(), Failure> {
    Err(Failure::Failed("not written yet".into()))
}
