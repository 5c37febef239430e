//! `codex-lb demo`: simulator, proxy and dashboard in a temporary directory, with three simulated accounts.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::mpsc;

use super::Failure;
use crate::config::{Config, Dashboard};
use crate::ledger::{Book, NewLogin};
use crate::sim::{self, Budget, Spec, World};
use crate::tokens::auth_file::AuthFile;
use crate::vault::Vault;
use crate::{server, telemetry};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Port of the proxy (default: 2455, or any free one if that is taken).
    #[arg(long)]
    port: Option<u16>,
}

/// The demo's accounts: name, plan, and what a 5-hour window holds.
const ACCOUNTS: [(&str, &str, u64); 3] =
    [("anna", "plus", 200_000), ("ben", "pro", 2_000_000), ("carla", "plus", 6_000)];

/// Runs the demo until Ctrl-C, then removes what it made.
pub fn run(args: Args, mut config: Config) -> Result<(), Failure> {
    let home = Home::new().map_err(|error| Failure::Failed(format!("no temporary directory: {error}")))?;
    let upstream = simulate(&home.0)?;
    let port = free_port(args.port)?;
    config.listen.http = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    config.listen.https = None;
    config.metrics = None;
    config.data_dir = home.0.join("data");
    config.upstream.base_url = format!("http://{upstream}/backend-api");
    config.upstream.auth_url = format!("http://{upstream}");
    config.dashboard = Dashboard::Here(SocketAddr::from((Ipv4Addr::LOCALHOST, free_port(Some(0))?)));
    config.log.level = log::LevelFilter::Warn;
    telemetry::start(&config.log);
    import(&config.data_dir, &home.0)?;
    let opencode = home.0.join("opencode.json");
    std::fs::write(&opencode, opencode_json(port)).map_err(failed)?;
    tell(port, &opencode).map_err(failed)?;
    server::run(config, server::Options::default()).map_err(Failure::Failed)
}

fn failed(error: std::io::Error) -> Failure {
    Failure::Failed(error.to_string())
}

/// Starts the simulator on a thread of its own and leaves one `auth.json` per account in `home`.
fn simulate(home: &Path) -> Result<SocketAddr, Failure> {
    let options =
        sim::Options { event_delay: std::time::Duration::from_millis(15), ..sim::Options::default() };
    for (name, plan, tokens) in ACCOUNTS {
        let spec = Spec {
            id: Some(name.to_owned()),
            email: Some(format!("{name}@example.com")),
            plan: Some(plan.to_owned()),
            budget: Some(Budget::Tokens(tokens)),
            ..Spec::default()
        };
        std::fs::write(auth_file(home, name), World::add_account(&options.world, spec)).map_err(failed)?;
    }
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
            if sender.send(listener.local_addr()?).is_err() {
                return Ok(());
            }
            sim::serve(listener, options).await
        })
    });
    receiver.recv().map_err(|_| Failure::Failed("the simulator did not start".into()))
}

fn auth_file(home: &Path, name: &str) -> PathBuf {
    home.join(format!("{name}.auth.json"))
}

fn import(data_dir: &Path, home: &Path) -> Result<(), Failure> {
    let failed = |error: &dyn std::fmt::Display| Failure::Failed(error.to_string());
    let vault = Vault::open(data_dir).map_err(|error| failed(&error))?;
    let mut book = Book::open(data_dir).map_err(|error| failed(&error))?;
    for (name, ..) in ACCOUNTS {
        let file = AuthFile::read(&auth_file(home, name)).map_err(|error| failed(&error))?;
        let login = NewLogin {
            tokens: &file.tokens,
            claims: &file.claims,
            name: Some(name),
            refreshed_at: file.refreshed_at,
        };
        book.import(&vault, &login).map_err(|error| failed(&error))?;
    }
    Ok(())
}

/// The port asked for, else 2455, else any that is free.
fn free_port(wanted: Option<u16>) -> Result<u16, Failure> {
    let try_port = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).and_then(|bound| bound.local_addr());
    let bound = match wanted {
        Some(port) => try_port(port),
        None => try_port(2455).or_else(|_| try_port(0)),
    };
    bound.map(|address| address.port()).map_err(failed)
}

fn opencode_json(port: u16) -> String {
    let model = serde_json::json!({
        "name": "GPT-5.3 Codex",
        "reasoning": true,
        "interleaved": { "field": "reasoning_details" },
        "options": { "reasoningEffort": "medium" }
    });
    let config = serde_json::json!({
        "$schema": "https://opencode.ai/config.json",
        "provider": { "codex-lb": {
            "npm": "@ai-sdk/openai-compatible",
            "name": "codex-lb",
            "options": { "baseURL": format!("http://127.0.0.1:{port}/v1") },
            "models": { "gpt-5.3-codex": model }
        }},
        "model": "codex-lb/gpt-5.3-codex"
    });
    format!("{config:#}\n")
}

fn tell(port: u16, opencode: &Path) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "http://127.0.0.1:{port}/v1

Three simulated accounts share this address; carla's is nearly empty. Try it:

  curl -N http://127.0.0.1:{port}/v1/chat/completions -H 'content-type: application/json' \\
    -d '{{\"model\":\"gpt-5.3-codex\",\"stream\":true,\"messages\":[{{\"role\":\"user\",\"content\":\"Hello!\"}}]}}'

  OpenCode:   OPENCODE_CONFIG={} opencode
  Dashboard:  http://127.0.0.1:{port}/

Ctrl-C ends it and leaves nothing behind.",
        opencode.display()
    )?;
    out.flush()
}

/// A directory of our own, removed when dropped.
struct Home(PathBuf);

impl Home {
    fn new() -> std::io::Result<Self> {
        use std::os::unix::fs::DirBuilderExt;
        let path = std::env::temp_dir().join(format!("codex-lb-demo-{:016x}", rand::random::<u64>()));
        std::fs::DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            log::warn!("{} could not be removed: {error}", self.0.display());
        }
    }
}
