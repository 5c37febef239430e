//! The filters of codex-lb: one file, one concern. No I/O, no Pingora, no SQLite.

mod config;
mod event;
mod turn;

pub use config::FilterConfig;
pub use event::{Event, Kind};
pub use turn::{Answer, KeyRef, Turn, Usage};
