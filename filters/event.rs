//! One server-sent event of an upstream answer.

use bytes::Bytes;
use memchr::{memchr, memchr2};
use serde::Deserialize;
use serde_json::value::RawValue;

/// One event: the bytes as they came, and the payload inside them.
#[derive(Debug, Clone)]
pub struct Event {
    pub kind: Kind,
    /// The whole block with its blank line, untouched, to be passed on byte for byte.
    pub raw: Bytes,
    /// The JSON of its `data:` lines, joined with `\n`; a slice of `raw` when there is one line. Empty for a comment.
    pub data: Bytes,
}

impl Event {
    /// Reads one block. Lines may end with LF, CR or CRLF. Costs one pass over the bytes, and no copy when there is
    /// a single `data:` line.
    pub fn new(raw: Bytes) -> Self {
        let data = payload(&raw);
        Self { kind: Kind::of(&data), raw, data }
    }
}

/// What an event is, told by the `type` inside its JSON (never by the `event:` line).
/// Names follow upstream's `response.*` events; legacy names are folded in (the bytes keep the legacy name).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Created,
    InProgress,
    Queued,
    ItemAdded,
    ItemDone,
    PartAdded,
    PartDone,
    TextDelta,
    TextDone,
    RefusalDelta,
    RefusalDone,
    ArgumentsDelta,
    ArgumentsDone,
    CustomInputDelta,
    CustomInputDone,
    SummaryPartAdded,
    SummaryPartDone,
    SummaryDelta,
    SummaryDone,
    ReasoningDelta,
    ReasoningDone,
    Completed,
    Incomplete,
    Failed,
    /// `type: error`, or no type and an `error` object.
    Error,
    /// `codex.rate_limits`
    RateLimits,
    /// Any other `codex.*`, `response.metadata` or `responsesapi.*`: for the proxy, not for OpenAI clients.
    Codex,
    /// `data: [DONE]`
    Done,
    /// No data at all: a comment or a lone `event:` line.
    Comment,
    /// A type this list does not name, or none; it is passed on.
    Other,
    /// Data that is not a JSON object. A payload that begins with a well-formed `type` is not looked at any further.
    Malformed,
}

impl Kind {
    /// The kind of a payload: the data of an event, or a WebSocket frame.
    pub fn of(data: &[u8]) -> Self {
        match data.trim_ascii() {
            b"" => Self::Comment,
            b"[DONE]" => Self::Done,
            data => leading_type(data).map_or_else(|| Self::parsed(data), Self::named),
        }
    }

    fn named(name: &[u8]) -> Self {
        match name {
            b"response.output_text.delta" | b"response.text.delta" => Self::TextDelta,
            b"response.function_call_arguments.delta" => Self::ArgumentsDelta,
            b"response.custom_tool_call_input.delta" => Self::CustomInputDelta,
            b"response.reasoning_summary_text.delta" => Self::SummaryDelta,
            b"response.reasoning_text.delta" => Self::ReasoningDelta,
            b"response.refusal.delta" => Self::RefusalDelta,
            b"response.created" => Self::Created,
            b"response.in_progress" => Self::InProgress,
            b"response.queued" => Self::Queued,
            b"response.output_item.added" => Self::ItemAdded,
            b"response.output_item.done" => Self::ItemDone,
            b"response.content_part.added" => Self::PartAdded,
            b"response.content_part.done" => Self::PartDone,
            b"response.output_text.done" => Self::TextDone,
            b"response.refusal.done" => Self::RefusalDone,
            b"response.function_call_arguments.done" => Self::ArgumentsDone,
            b"response.custom_tool_call_input.done" => Self::CustomInputDone,
            b"response.reasoning_summary_part.added" => Self::SummaryPartAdded,
            b"response.reasoning_summary_part.done" => Self::SummaryPartDone,
            b"response.reasoning_summary_text.done" => Self::SummaryDone,
            b"response.reasoning_text.done" => Self::ReasoningDone,
            b"response.completed" | b"response.done" => Self::Completed,
            b"response.incomplete" => Self::Incomplete,
            b"response.failed" => Self::Failed,
            b"error" => Self::Error,
            b"codex.rate_limits" => Self::RateLimits,
            b"response.metadata" => Self::Codex,
            _ if name.starts_with(b"codex.") || name.starts_with(b"responsesapi.") => Self::Codex,
            _ => Self::Other,
        }
    }

    /// The slow way, for payloads whose first key is not a plain `type`.
    fn parsed(data: &[u8]) -> Self {
        let Some(head) = data.starts_with(b"{").then(|| serde_json::from_slice::<Head>(data).ok()).flatten()
        else {
            return Self::Malformed;
        };
        match head.name.and_then(|name| serde_json::from_str::<String>(name.get()).ok()) {
            Some(name) => Self::named(name.as_bytes()),
            None if head.error.is_some_and(|error| error.get().starts_with('{')) => Self::Error,
            None => Self::Other,
        }
    }
}

#[derive(Deserialize)]
struct Head<'a> {
    #[serde(rename = "type", borrow)]
    name: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

/// The `type` when it is the first key, as it nearly always is.
fn leading_type(data: &[u8]) -> Option<&[u8]> {
    let key = data.strip_prefix(b"{")?.trim_ascii_start().strip_prefix(b"\"type\"")?;
    let value = key.trim_ascii_start().strip_prefix(b":")?.trim_ascii_start().strip_prefix(b"\"")?;
    let name = value.get(..memchr(b'"', value)?)?;
    (!name.contains(&b'\\')).then_some(name)
}

fn payload(raw: &Bytes) -> Bytes {
    let mut values = lines(raw).filter_map(data_value);
    let Some(first) = values.next() else { return Bytes::new() };
    let Some(second) = values.next() else { return raw.slice_ref(first) };
    let mut joined = Vec::with_capacity(raw.len());
    joined.extend_from_slice(first);
    for value in std::iter::once(second).chain(values) {
        joined.push(b'\n');
        joined.extend_from_slice(value);
    }
    Bytes::from(joined)
}

/// Lines without their ends. A CRLF counts as two ends, which adds an empty line: no harm, as it holds no field.
fn lines(mut rest: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (line, tail) = rest.split_at(memchr2(b'\n', b'\r', rest).unwrap_or(rest.len()));
        rest = tail.get(1..).unwrap_or_default();
        Some(line)
    })
}

fn data_value(line: &[u8]) -> Option<&[u8]> {
    let rest = line.strip_prefix(b"data")?;
    if rest.is_empty() {
        return Some(rest);
    }
    let value = rest.strip_prefix(b":")?;
    Some(value.strip_prefix(b" ").unwrap_or(value))
}

#[cfg(test)]
mod tests;
