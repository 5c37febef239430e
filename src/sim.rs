//! The simulator: an honest stand-in for the Codex backend and its token endpoint, for demos, tests and benches.
//!
//! `src/sim/README.md` describes what it refuses, what it answers, which faults it can play and the control API.

mod account; // one seat: tokens, windows, faults
mod answer; // a plan → the events of an answer
mod ask; // what a checked request asks for
mod cache; // the prompt cache
mod check; // honest refusals
mod control; // the API under /sim
mod fault; // what can go wrong, on demand
mod log; // what was received, and how it ended
mod models; // GET /codex/models
mod oauth; // POST /oauth/token
mod quota; // windows, in their three wire forms
mod refusal; // an error reply
mod responses; // POST /codex/responses
mod schema; // a JSON value that fits a JSON schema
mod script; // directives in the last user message → a plan
mod server; // sockets, TLS, routes
mod signer; // tokens and sealed reasoning
mod stream; // the body of an answer, which may stall or break
mod world; // the state shared by all of it

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub use account::{Budget, Spec};
pub use server::serve;
pub use world::World;

/// How a simulator behaves.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// State shared with whoever started the simulator.
    pub world: Arc<World>,
    /// Pause before every event of an answer.
    pub event_delay: Duration,
    /// The terminal event repeats the output items; without it `output` is `[]`, as the real backend often sends.
    pub full_output: bool,
    /// Answers every request with one pre-rendered stream of this many text deltas; bodies are neither checked
    /// nor kept.
    pub fast: Option<usize>,
    /// Speaks TLS (ALPN `h2`, `http/1.1`) instead of clear text.
    pub tls: Option<Tls>,
}

/// Certificate chain and private key, PEM files.
#[derive(Debug, Clone)]
pub struct Tls {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

/// Unix time in seconds.
fn now() -> u64 {
    since_epoch().as_secs()
}

fn since_epoch() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// A lock that a panicking test does not poison for the others.
fn lock<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
