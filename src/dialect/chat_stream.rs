//! Upstream events → chat completion chunks.

use bytes::Bytes;
use codex_lb_filters::{Event, Kind};

use super::chat_reader::{Delta, Reader};
use super::encoder::{Ending, Facts};
use super::failure;
use super::fields::{Writer, literal};
use super::terminal::{chat_usage, incomplete_reason, response};
use super::tool_calls::Piece;
use crate::error::Error;
use crate::reasoning::skeleton::Remembered;
use crate::sse;

/// The form of reasoning entries, as OpenRouter names it.
pub(super) const REASONING_FORMAT: &str = "openai-responses-v1";

pub(super) struct ChatStream {
    reader: Reader,
    chunks: Chunks,
}

/// Writes chunks. Id, time and model are the same in all of them.
struct Chunks {
    facts: Facts,
    /// Everything before the delta's fields; empty until the first chunk.
    head: String,
    role_sent: bool,
}

impl ChatStream {
    pub(super) fn new(facts: Facts) -> Self {
        let chunks = Chunks { facts, head: String::new(), role_sent: false };
        Self { reader: Reader::default(), chunks }
    }

    pub(super) fn push(&mut self, event: &Event, out: &mut Vec<Bytes>) -> Option<Ending> {
        if event.kind == Kind::TextDelta {
            let text = self.reader.text(event)?;
            self.chunks.begin(&self.reader);
            self.chunks.write("\"content\":", text, None, out);
            return None;
        }
        if let Some(error) = failure::failure(event) {
            let error = failure::error(error);
            self.break_off(&error, out);
            return Some(Ending::Failed(error));
        }
        let mut deltas = Vec::new();
        self.reader.push(event, &mut |delta| deltas.push(delta));
        if !deltas.is_empty() {
            self.chunks.begin(&self.reader);
        }
        for delta in &deltas {
            self.chunks.delta(delta, out);
        }
        if !matches!(event.kind, Kind::Completed | Kind::Incomplete) {
            return None;
        }
        self.chunks.begin(&self.reader);
        self.finish(event, out);
        Some(if event.kind == Kind::Completed { Ending::Completed } else { Ending::Incomplete })
    }

    pub(super) fn break_off(&mut self, error: &Error, out: &mut Vec<Bytes>) {
        let body = error.body();
        out.push(sse::frame(None, &String::from_utf8_lossy(&body)));
        out.push(Bytes::from_static(sse::DONE));
    }

    pub(super) fn remember(&mut self) -> Option<Remembered> {
        self.reader.remember(&self.chunks.facts.scope)
    }

    fn finish(&mut self, event: &Event, out: &mut Vec<Bytes>) {
        let response = response(&event.data);
        if !self.chunks.role_sent {
            self.chunks.write("\"content\":", "\"\"", None, out);
        }
        let reason = if self.reader.tools.any() {
            if self.chunks.facts.old_functions { "function_call" } else { "tool_calls" }
        } else if event.kind == Kind::Incomplete {
            response.as_ref().map_or("stop", incomplete_reason)
        } else {
            "stop"
        };
        self.chunks.write("", "", Some(reason), out);
        if self.chunks.facts.include_usage {
            let usage = response.as_ref().and_then(chat_usage);
            self.chunks.usage(usage.as_deref().unwrap_or("null"), out);
        }
        out.push(Bytes::from_static(sse::DONE));
    }
}

impl Chunks {
    fn begin(&mut self, reader: &Reader) {
        if !self.head.is_empty() {
            return;
        }
        let id = chat_id(reader.response_id.as_deref(), &self.facts);
        let created = reader.created_at.unwrap_or(self.facts.started_at / 1000);
        self.head = format!(
            "data: {{\"id\":{},\"object\":\"chat.completion.chunk\",\"created\":{created},\"model\":{},\"choices\":[",
            literal(&id),
            literal(&self.facts.model)
        );
    }

    fn delta(&mut self, delta: &Delta<'_>, out: &mut Vec<Bytes>) {
        match delta {
            Delta::Text(text) => self.write("\"content\":", text, None, out),
            Delta::Refusal(text) => self.write("\"refusal\":", text, None, out),
            Delta::Reasoning { text, gap, id, index } => {
                let entry = reasoning_entry("summary", &gap.within(text), id, *index);
                let value = format!("{},\"reasoning_details\":[{entry}]", gap.before(text));
                self.write("\"reasoning_content\":", &value, None, out);
            }
            Delta::Encrypted { data, id, index } => {
                let entry = reasoning_entry("encrypted", data, id, *index);
                self.write("\"reasoning_details\":", &format!("[{entry}]"), None, out);
            }
            Delta::Tool(piece) if self.facts.old_functions => {
                self.write("\"function_call\":", &old_function(piece), None, out);
            }
            Delta::Tool(piece) => self.write("\"tool_calls\":", &format!("[{}]", tool(piece)), None, out),
        }
    }

    /// A delta of `key` (with its colon; empty: none) and `value`, JSON.
    fn write(&mut self, key: &str, value: &str, finish_reason: Option<&str>, out: &mut Vec<Bytes>) {
        let mut chunk = String::with_capacity(self.head.len() + key.len() + value.len() + 112);
        chunk.push_str(&self.head);
        chunk.push_str("{\"index\":0,\"delta\":{");
        if !self.role_sent {
            self.role_sent = true;
            chunk.push_str("\"role\":\"assistant\"");
            if !key.is_empty() {
                chunk.push(',');
            }
        }
        chunk.push_str(key);
        chunk.push_str(value);
        chunk.push_str("},\"finish_reason\":");
        match finish_reason {
            None => chunk.push_str("null"),
            Some(reason) => chunk.push_str(&literal(reason)),
        }
        chunk.push_str("}]");
        if self.facts.include_usage {
            chunk.push_str(",\"usage\":null");
        }
        chunk.push_str("}\n\n");
        out.push(Bytes::from(chunk));
    }

    fn usage(&self, usage: &str, out: &mut Vec<Bytes>) {
        out.push(Bytes::from(format!("{}],\"usage\":{usage}}}\n\n", self.head)));
    }
}

pub(super) fn chat_id(response_id: Option<&str>, facts: &Facts) -> String {
    format!("chatcmpl-{}", response_id.unwrap_or(&facts.id))
}

/// One entry of `reasoning_details`; `value` is a JSON literal.
pub(super) fn reasoning_entry(kind: &str, value: &str, id: &str, index: usize) -> String {
    let mut writer = Writer::default();
    writer
        .text("type", &format!("reasoning.{kind}"))
        .raw(if kind == "summary" { "summary" } else { "data" }, value)
        .text("id", id)
        .text("format", REASONING_FORMAT)
        .raw("index", &index.to_string());
    writer.finish()
}

fn tool(piece: &Piece) -> String {
    let (kind, text) = if piece.custom { ("custom", "input") } else { ("function", "arguments") };
    let mut writer = Writer::default();
    writer.raw("index", &piece.index.to_string());
    let mut inner = Writer::default();
    if let Some((id, name)) = &piece.head {
        writer.text("id", id).text("type", kind);
        inner.text("name", name);
    }
    inner.text(text, &piece.arguments);
    writer.raw(kind, &inner.finish()).finish()
}

fn old_function(piece: &Piece) -> String {
    let mut writer = Writer::default();
    if let Some((_, name)) = &piece.head {
        writer.text("name", name);
    }
    writer.text("arguments", &piece.arguments).finish()
}
