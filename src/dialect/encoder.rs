//! Upstream events → what the client reads, by dialect.

use bytes::Bytes;
use codex_lb_filters::{Event, Kind, Turn};

use super::Dialect;
use super::chat_stream::ChatStream;
use super::chat_whole::ChatWhole;
use super::output_items::OutputItems;
use super::responses_stream::{CodexStream, ResponsesStream, ending};
use super::terminal::{ResponseEvent, response};
use crate::error::Error;
use crate::reasoning::anchor::Scope;
use crate::reasoning::skeleton::Remembered;

/// Most bytes of events of one answer: what is collected of it stays bounded.
const MAX_ANSWER: usize = 256 * 1024 * 1024;

/// How an answer ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Ending {
    Completed,
    /// Cut short by the upstream: token limit or content filter.
    Incomplete,
    Failed(Error),
}

/// Translates one attempt's answer.
pub struct Encoder {
    form: Form,
    /// Bytes of events so far.
    read: usize,
}

enum Form {
    ChatStream(ChatStream),
    ChatWhole(ChatWhole),
    Responses(ResponsesStream),
    Codex(CodexStream),
    Whole(ResponsesWhole),
}

/// What an encoder knows of its exchange.
#[derive(Debug, Clone, Default)]
pub(super) struct Facts {
    /// The exchange's id.
    pub(super) id: String,
    /// Unix epoch milliseconds.
    pub(super) started_at: u64,
    pub(super) model: String,
    pub(super) include_usage: bool,
    /// The client knows tools only as `functions`.
    pub(super) old_functions: bool,
    pub(super) scope: Scope,
}

impl Facts {
    /// Stands for the response id when the upstream named none.
    pub(super) fn response_id(&self) -> String {
        format!("resp_{}", self.id)
    }
}

impl Encoder {
    pub(super) fn new(dialect: Dialect, stream: bool, turn: &Turn, facts: Facts) -> Self {
        let facts =
            Facts { id: turn.id.clone(), started_at: turn.started_at, model: turn.model.clone(), ..facts };
        let form = match (dialect, stream) {
            (Dialect::Chat, true) => Form::ChatStream(ChatStream::new(facts)),
            (Dialect::Chat, false) => Form::ChatWhole(ChatWhole::new(facts)),
            (Dialect::Responses, true) => Form::Responses(ResponsesStream::new(facts)),
            (Dialect::Codex, true) => Form::Codex(CodexStream::new(facts)),
            (Dialect::Responses | Dialect::Codex, false) => Form::Whole(ResponsesWhole::default()),
        };
        Self { form, read: 0 }
    }

    /// Feeds one event and appends what the client reads; nothing for an answer that is not streamed. Tells how the
    /// answer ended, if this event ends it; feed no more then.
    pub fn push(&mut self, event: &Event, out: &mut Vec<Bytes>) -> Option<Ending> {
        self.read += event.raw.len();
        if self.read > MAX_ANSWER {
            let message = format!("The answer is larger than {MAX_ANSWER} bytes.");
            let error = Error::Unavailable { message };
            self.break_off(&error, out);
            return Some(Ending::Failed(error));
        }
        match &mut self.form {
            Form::ChatStream(form) => form.push(event, out),
            Form::ChatWhole(form) => form.push(event),
            Form::Responses(form) => form.push(event, out),
            Form::Codex(form) => form.push(event, out),
            Form::Whole(form) => form.push(event),
        }
    }

    /// Ends a stream that has no end of its own with a well-formed error. Nothing for an answer that is not streamed.
    pub fn break_off(&mut self, error: &Error, out: &mut Vec<Bytes>) {
        match &mut self.form {
            Form::ChatStream(form) => form.break_off(error, out),
            Form::Responses(form) => form.break_off(error, out),
            Form::Codex(form) => form.break_off(error, out),
            Form::ChatWhole(_) | Form::Whole(_) => {}
        }
    }

    /// The JSON body of an answer that is not streamed, after it completed or stayed incomplete; empty for a stream.
    pub fn whole(&mut self) -> Bytes {
        match &mut self.form {
            Form::ChatWhole(form) => form.whole(),
            Form::Whole(form) => std::mem::take(&mut form.result),
            Form::ChatStream(_) | Form::Responses(_) | Form::Codex(_) => Bytes::new(),
        }
    }

    /// Reasoning worth remembering, after a completed answer to a chat call.
    pub fn remember(&mut self) -> Option<Remembered> {
        match &mut self.form {
            Form::ChatStream(form) => form.remember(),
            Form::ChatWhole(form) => form.remember(),
            Form::Responses(_) | Form::Codex(_) | Form::Whole(_) => None,
        }
    }
}

/// A Responses answer that is not streamed: the terminal event's response.
#[derive(Default)]
struct ResponsesWhole {
    items: OutputItems,
    result: Bytes,
}

impl ResponsesWhole {
    fn push(&mut self, event: &Event) -> Option<Ending> {
        self.items.note(event);
        let ending = ending(event)?;
        if let Some(response) = response(&event.data) {
            self.result = match self.items.fill(&response) {
                Some(filled) => Bytes::from(filled),
                None => whole_response(&event.data),
            };
        }
        Some(ending)
    }
}

fn whole_response(data: &Bytes) -> Bytes {
    serde_json::from_slice::<ResponseEvent<'_>>(data)
        .map_or_else(|_none| Bytes::new(), |event| data.slice_ref(event.response.get().as_bytes()))
}

/// Whether an event is output or an end: after it nothing may be replayed.
pub fn is_decisive(kind: Kind) -> bool {
    match kind {
        Kind::Created
        | Kind::InProgress
        | Kind::Queued
        | Kind::RateLimits
        | Kind::Codex
        | Kind::Comment
        | Kind::Malformed => false,
        Kind::ItemAdded
        | Kind::ItemDone
        | Kind::PartAdded
        | Kind::PartDone
        | Kind::TextDelta
        | Kind::TextDone
        | Kind::RefusalDelta
        | Kind::RefusalDone
        | Kind::ArgumentsDelta
        | Kind::ArgumentsDone
        | Kind::CustomInputDelta
        | Kind::CustomInputDone
        | Kind::SummaryPartAdded
        | Kind::SummaryPartDone
        | Kind::SummaryDelta
        | Kind::SummaryDone
        | Kind::ReasoningDelta
        | Kind::ReasoningDone
        | Kind::Completed
        | Kind::Incomplete
        | Kind::Failed
        | Kind::Error
        | Kind::Done
        | Kind::Other => true,
    }
}
