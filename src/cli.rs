//! The commands.

pub mod account; // import, list, pause, resume, remove
pub mod check; // reads the configuration and says what it means
mod choice; // which account or key is meant
pub mod demo; // simulator, proxy and dashboard in a temporary directory
pub mod key; // create, list, revoke
pub mod serve; // the service itself
mod table; // columns that line up
pub mod upstream_sim; // the simulator alone
pub mod usage; // sums from the ledger
mod when; // times as people read them

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Parser, Subcommand};

use crate::config::{Config, ConfigError};

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

impl Failure {
    /// The process's exit code.
    pub fn code(&self) -> u8 {
        match self {
            Self::Failed(_) => 1,
            Self::Usage(_) => 2,
            Self::Config(_) => 78,
        }
    }

    /// What to tell the person.
    pub fn message(&self) -> &str {
        match self {
            Self::Failed(message) | Self::Usage(message) | Self::Config(message) => message,
        }
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::Config(error.to_string())
    }
}

/// Runs the command line of this process. A failure is one line on stderr.
pub fn main() -> ExitCode {
    let outcome = match Cli::try_parse() {
        Ok(cli) => dispatch(cli),
        Err(error) => help_or_failure(&error),
    };
    let Err(failure) = outcome else { return ExitCode::SUCCESS };
    let line = failure.message().split_whitespace().collect::<Vec<_>>().join(" ");
    // With stderr gone there is nobody left to tell; the exit code still does.
    writeln!(std::io::stderr().lock(), "codex-lb: {line}").ok();
    ExitCode::from(failure.code())
}

fn dispatch(cli: Cli) -> Result<(), Failure> {
    let Cli { config, command } = cli;
    let load = || Config::load(config.as_deref());
    match command {
        // These two bring everything along and must work whatever is written in a file.
        Command::Demo(args) => demo::run(args, unread()),
        Command::UpstreamSim(args) => upstream_sim::run(args, unread()),
        Command::Serve(args) => serve::run(args, load()?),
        Command::Check(args) => check::run(args, load()?),
        Command::Account(args) => account::run(args, load()?),
        Command::Key(args) => key::run(args, load()?),
        Command::Usage(args) => usage::run(args, load()?),
    }
}

/// The defaults; nothing is ever put into this directory.
fn unread() -> Config {
    Config::default_in(Path::new("/nonexistent/codex-lb"))
}

/// Prints an answer. A reader that has seen enough (`| head`) is no failure.
pub(crate) fn print(answer: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(answer.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::Failed(format!("cannot write to stdout: {error}")))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// JSON as the commands print it.
fn to_json(value: &impl serde::Serialize) -> Result<String, Failure> {
    serde_json::to_string_pretty(value)
        .map_err(|error| Failure::Failed(format!("cannot print JSON: {error}")))
}

/// Help and version are answers; everything else becomes one line.
fn help_or_failure(error: &clap::Error) -> Result<(), Failure> {
    let text = error.render().to_string();
    let kind = error.kind();
    if matches!(kind, ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        return print(&text);
    }
    if kind == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return Err(Failure::Usage("a command is missing; see codex-lb --help".into()));
    }
    let said = text.split("\n\nUsage:").next().unwrap_or_default();
    let said = said.split("\n\nFor more").next().unwrap_or_default();
    Err(Failure::Usage(said.strip_prefix("error: ").unwrap_or(said).to_owned()))
}
