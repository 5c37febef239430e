//! What the client speaks ↔ what the Codex backend speaks. Pure: bytes in, bytes out.
//!
//! `decode` makes a `Call` of the client's body; `Call::render` writes the body for the upstream; an `Encoder` turns
//! the upstream's events into what the client reads.

// Requests.
mod cache_key;
mod chat_messages;
mod chat_parts;
mod chat_tools;
mod decode;
pub(crate) mod fields;
mod input_items;
mod input_parts;
mod params;
mod recall;
mod request;
mod schema;
mod tools;

// Answers.
mod chat_reader;
mod chat_stream;
mod chat_whole;
mod encoder;
mod failure;
mod output_items;
mod responses_stream;
mod terminal;
mod tool_calls;

pub mod models;

use bytes::Bytes;
use codex_lb_filters::Turn;

pub use encoder::{Encoder, Ending, is_decisive};
pub use failure::{error_object, failure, failure_status};

use crate::error::Error;
pub use crate::reasoning::skeleton::Remembered;

use crate::reasoning::ReasoningMemory;
use crate::reasoning::anchor::Scope;
use crate::route::Route;

/// How requests and answers of a client look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// Chat completions.
    Chat,
    /// The Responses API, as the OpenAI SDKs expect it.
    Responses,
    /// The Responses API, as the Codex backend speaks it.
    Codex,
}

/// What the operator decides about translation.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `reasoning.summary` asked for on chat calls when the client names none; `None`: not asked for.
    pub reasoning_summary: Option<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { reasoning_summary: Some("auto".into()) }
    }
}

/// A client's request, understood.
#[derive(Debug)]
pub struct Call {
    pub dialect: Dialect,
    pub stream: bool,
    /// A chat stream ends with a usage chunk.
    pub include_usage: bool,
    /// What tells the conversation when no header does: the `prompt_cache_key`, the client's or a derived one.
    pub affinity_hint: Option<String>,
    /// The account whose remembered reasoning was put into the input.
    pub reasoning_owner: Option<String>,
    /// The upstream wants the header `x-openai-internal-codex-responses-lite: true`.
    pub responses_lite: bool,
    scope: Scope,
    old_functions: bool,
    request: request::Request,
}

/// Reads the client's body and sets `turn.model`, `turn.effort`, `turn.service_tier` and `turn.stream`. A bad body is
/// an `Error::Invalid` that names the field.
pub fn decode(
    route: Route,
    body: &Bytes,
    turn: &mut Turn,
    settings: &Settings,
    memory: &ReasoningMemory,
) -> Result<Call, Error> {
    let dialect = match route {
        Route::Chat => Dialect::Chat,
        Route::CodexResponses if !is_openai_sdk(turn) => Dialect::Codex,
        Route::CodexResponses
        | Route::Responses
        | Route::Models
        | Route::CodexModels
        | Route::Live
        | Route::Ready
        | Route::Dashboard => Dialect::Responses,
    };
    decode::decode(dialect, body, turn, settings, memory)
}

/// The OpenAI SDKs get their dialect on the Codex route too.
fn is_openai_sdk(turn: &Turn) -> bool {
    let agent = turn.headers.get(http::header::USER_AGENT).and_then(|agent| agent.to_str().ok());
    turn.headers.contains_key("x-stainless-lang") || agent.is_some_and(|agent| agent.starts_with("OpenAI/"))
}

impl Call {
    /// The body for the upstream, with model, effort and tier as the turn has them now. Attempts share it.
    pub fn render(&self, turn: &Turn) -> Bytes {
        request::join(&self.request.parts(turn))
    }

    /// The same in pieces: large values are slices of the client's body, not copies.
    pub fn render_parts(&self, turn: &Turn) -> Vec<Bytes> {
        self.request.parts(turn)
    }

    /// The body without encrypted reasoning, for a retry after `invalid_encrypted_content`; `None`: there is none.
    pub fn render_without_reasoning(&self, turn: &Turn) -> Option<Bytes> {
        self.request.parts_without_reasoning(turn).map(|parts| request::join(&parts))
    }

    /// The `prompt_cache_key` that is sent.
    pub fn prompt_cache_key(&self) -> Option<&str> {
        self.affinity_hint.as_deref()
    }

    /// Lets go of the client's body; nothing can be rendered afterwards.
    pub fn forget_body(&mut self) {
        self.request = request::Request::default();
    }

    /// A fresh encoder for one attempt's answer.
    pub fn encoder(&self, turn: &Turn) -> Encoder {
        let facts = encoder::Facts {
            include_usage: self.include_usage,
            old_functions: self.old_functions,
            scope: self.scope.clone(),
            ..encoder::Facts::default()
        };
        Encoder::new(self.dialect, self.stream, turn, facts)
    }
}

#[cfg(test)]
mod tests;
