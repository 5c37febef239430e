//! Upstream events → one chat completion.

use bytes::Bytes;
use codex_lb_filters::{Event, Kind};
use serde_json::value::RawValue;

use super::chat_reader::{Delta, Reader};
use super::chat_stream::{chat_id, reasoning_entry};
use super::encoder::{Ending, Facts};
use super::failure;
use super::fields::{Writer, literal, text};
use super::terminal::{chat_usage, incomplete_reason, response};
use super::tool_calls::ToolCall;
use crate::reasoning::skeleton::Remembered;

pub(super) struct ChatWhole {
    facts: Facts,
    reader: Reader,
    content: String,
    refusal: String,
    thoughts: String,
    details: Vec<Detail>,
    usage: Option<String>,
    /// The finish reason when no tool was called.
    reason: &'static str,
}

/// An entry of `reasoning_details`.
struct Detail {
    kind: &'static str,
    value: String,
    id: String,
    index: usize,
}

impl ChatWhole {
    pub(super) fn new(facts: Facts) -> Self {
        Self {
            facts,
            reader: Reader::default(),
            content: String::new(),
            refusal: String::new(),
            thoughts: String::new(),
            details: Vec::new(),
            usage: None,
            reason: "stop",
        }
    }

    pub(super) fn push(&mut self, event: &Event) -> Option<Ending> {
        if let Some(error) = failure::failure(event) {
            return Some(Ending::Failed(failure::error(error)));
        }
        let mut deltas = Vec::new();
        self.reader.push(event, &mut |delta| deltas.push(delta));
        deltas.into_iter().for_each(|delta| self.add(delta));
        if !matches!(event.kind, Kind::Completed | Kind::Incomplete) {
            return None;
        }
        let response = response(&event.data);
        self.usage = response.as_ref().and_then(chat_usage);
        if event.kind == Kind::Completed {
            return Some(Ending::Completed);
        }
        self.reason = response.as_ref().map_or("stop", incomplete_reason);
        Some(Ending::Incomplete)
    }

    fn add(&mut self, delta: Delta<'_>) {
        match delta {
            Delta::Text(text) => self.content.push_str(&meaning(&text)),
            Delta::Refusal(text) => self.refusal.push_str(&meaning(&text)),
            Delta::Reasoning { text, gap, id, index } => {
                self.thoughts.push_str(&meaning(&gap.before(&text)));
                let piece = meaning(&gap.within(&text));
                match self.details.last_mut().filter(|last| last.index == index) {
                    Some(last) => last.value.push_str(&piece),
                    None => self.details.push(Detail { kind: "summary", value: piece, id, index }),
                }
            }
            Delta::Encrypted { data, id, index } => {
                self.details.push(Detail { kind: "encrypted", value: meaning(&data), id, index });
            }
            // The reader keeps the calls.
            Delta::Tool(_) => {}
        }
    }

    pub(super) fn whole(&self) -> Bytes {
        let id = chat_id(self.reader.response_id.as_deref(), &self.facts);
        let created = self.reader.created_at.unwrap_or(self.facts.started_at / 1000);
        let reason = match (self.reader.tools.any(), self.facts.old_functions) {
            (true, false) => "tool_calls",
            (true, true) => "function_call",
            (false, _) => self.reason,
        };
        let choice = Writer::default()
            .raw("index", "0")
            .raw("message", &self.message())
            .text("finish_reason", reason)
            .finish();
        let mut writer = Writer::default();
        writer
            .text("id", &id)
            .text("object", "chat.completion")
            .raw("created", &created.to_string())
            .text("model", &self.facts.model)
            .raw("choices", &format!("[{choice}]"));
        if let Some(usage) = &self.usage {
            writer.raw("usage", usage);
        }
        Bytes::from(writer.finish())
    }

    fn message(&self) -> String {
        let called = self.reader.tools.any();
        let mut writer = Writer::default();
        writer.text("role", "assistant");
        if self.content.is_empty() && (called || !self.refusal.is_empty()) {
            writer.raw("content", "null");
        } else {
            writer.text("content", &self.content);
        }
        if self.refusal.is_empty() {
            writer.raw("refusal", "null");
        } else {
            writer.text("refusal", &self.refusal);
        }
        if !self.thoughts.is_empty() {
            writer.text("reasoning_content", &self.thoughts);
        }
        if !self.details.is_empty() {
            let entries = self.details.iter().map(|detail| {
                reasoning_entry(detail.kind, &literal(&detail.value), &detail.id, detail.index)
            });
            writer.raw("reasoning_details", &format!("[{}]", entries.collect::<Vec<_>>().join(",")));
        }
        if called && self.facts.old_functions {
            let call = self.reader.tools.known().next().map(inner);
            writer.raw("function_call", call.as_deref().unwrap_or("null"));
        } else if called {
            let calls: Vec<_> = self.reader.tools.known().map(tool).collect();
            writer.raw("tool_calls", &format!("[{}]", calls.join(",")));
        }
        writer.finish()
    }

    pub(super) fn remember(&mut self) -> Option<Remembered> {
        self.reader.remember(&self.facts.scope)
    }
}

fn tool(call: &ToolCall) -> String {
    let kind = if call.custom { "custom" } else { "function" };
    Writer::default().text("id", &call.id).text("type", kind).raw(kind, &inner(call)).finish()
}

fn inner(call: &ToolCall) -> String {
    let text = if call.custom { "input" } else { "arguments" };
    Writer::default().text("name", &call.name).text(text, &call.arguments).finish()
}

/// The string a literal means.
fn meaning(literal: &str) -> String {
    let raw = serde_json::from_str::<&RawValue>(literal).ok();
    raw.and_then(text).unwrap_or_default().into_owned()
}
