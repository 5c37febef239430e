//! codex-lb: one OpenAI-compatible address in front of a pool of your own ChatGPT/Codex accounts.
//!
//! The modules in reading order. `proxy` is where to start: its spine names the steps of an exchange, and each
//! step is the file of that name.

// The way of a request.
pub mod attempt; // one try on one account = one Pingora subrequest
pub mod body; // the request body, once, into Bytes
pub mod client; // the client's side of an exchange
pub mod dialect; // what the client speaks ↔ what the Codex backend speaks
pub mod exchange; // select → attempt → judge, again
pub mod judge; // pure: what an upstream outcome means
pub mod pages; // answers that are not exchanges: health, models, the way to the dashboard
pub mod peer; // who is calling
pub mod proxy; // impl ProxyHttp: main sessions, attempts, pass-through
pub mod reasoning;
pub mod relay; // events to the client
pub mod route; // method and path → Route
pub mod sse; // pure: bytes ↔ events // the reasoning memory

// What it draws on.
pub mod ledger;
pub mod pool; // accounts as Pingora backends: discovery, health, selection
pub mod tokens; // token refresh, one at a time per account
pub mod upstream; // where the Codex backend is, and how to reach it
pub mod vault; // secrets at rest // the SQLite file and the one thread that writes it

// Around it.
pub mod cli;
pub mod config; // YAML → checked Config
pub mod error; // every error a client can get
pub mod server; // puts it all together
pub mod sim; // the simulator of the Codex backend
pub mod telemetry; // log lines and metrics // the commands

/// Unix epoch milliseconds, by the system clock.
pub fn now_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
