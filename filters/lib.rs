//! The filters of codex-lb: one file, one concern. No I/O, no Pingora, no SQLite.
//!
//! A filter sees an exchange at four moments and knows it only as a [`Turn`], so that a test of a filter needs no
//! server. `README.md` beside this file lists the filters and says how to add one.

mod chain;
mod config;
mod event;
mod prices;
mod turn;

pub mod api_key;
pub mod body_size;
pub mod cost;
pub mod headers;
pub mod ip_allow;
pub mod model_alias;
pub mod usage;

pub use api_key::{ApiKeyMode, KeyTable};
pub use chain::{Chain, Surroundings};
pub use config::FilterConfig;
pub use event::{Event, Kind};
pub use prices::Prices;
pub use turn::{Answer, KeyRef, Turn, Usage};

/// One concern in the way of every exchange. All hooks are synchronous and do no I/O: they run on the request path.
pub trait Filter: Send + Sync {
    /// The name in the YAML's `filters:` list.
    fn kind(&self) -> &'static str;

    /// The head of the request is known, its body is still unread: the place to refuse cheaply.
    fn on_head(&self, _turn: &mut Turn) -> Verdict {
        Verdict::Continue
    }

    /// The body is decoded: model, effort and tier are known and may be changed.
    fn on_request(&self, _turn: &mut Turn) -> Verdict {
        Verdict::Continue
    }

    /// One event of the answer streams by. Called for every event: look at [`Event::kind`] first and parse only what
    /// is rare.
    fn on_event(&self, _answer: &mut Answer, _event: &Event) {}

    /// The exchange is over, whatever became of it. Called once.
    fn on_end(&self, _turn: &mut Turn) {}
}

/// What a filter says about a request.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum Verdict {
    Continue,
    /// The exchange ends here; nothing goes upstream.
    Refuse(Reply),
}

/// A refusal in the terms of the OpenAI error envelope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// The envelope's `type`: `invalid_request_error`, `authentication_error`, `permission_error`, …
    pub kind: &'static str,
    /// The envelope's `code`.
    pub code: &'static str,
    /// One or two sentences for a person: what was wrong, the limit, the remedy. Never a key or a prompt.
    pub message: String,
}
