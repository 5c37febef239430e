//! One server-sent event of an upstream answer.

use bytes::Bytes;

/// One event: the bytes as they came, and the payload inside them.
#[derive(Debug, Clone)]
pub struct Event {
    pub kind: Kind,
    /// The whole block with its blank line, untouched, to be passed on byte for byte.
    pub raw: Bytes,
    /// The JSON of its `data:` lines, joined with `\n`; a slice of `raw` when there is one line. Empty for a comment.
    pub data: Bytes,
}

/// What an event is, told by the `type` inside its JSON (never by the `event:` line).
/// Names follow upstream's `response.*` events; legacy names are folded in.
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
    /// Any other `codex.*` or `response.metadata`: for the proxy, not for OpenAI clients.
    Codex,
    /// `data: [DONE]`
    Done,
    /// No data at all: a comment or a lone `event:` line.
    Comment,
    /// A type this list does not name; it is passed on.
    Other,
    /// Data that is not a JSON object.
    Malformed,
}

impl Event {
    /// Reads the kind and finds the payload.
    pub fn new(raw: Bytes) -> Self {
        let mut pieces: Vec<&[u8]> = Vec::new();
        for line in raw.split(|byte| matches!(byte, b'\n' | b'\r')) {
            if let Some(rest) = line.strip_prefix(b"data:") {
                pieces.push(rest.strip_prefix(b" ").unwrap_or(rest));
            }
        }
        let data = match pieces.as_slice() {
            [] => Bytes::new(),
            [one] => raw.slice_ref(one),
            many => Bytes::from(many.join(&b'\n')),
        };
        Self { kind: kind(&data), raw, data }
    }
}

fn kind(data: &[u8]) -> Kind {
    if data.is_empty() {
        return Kind::Comment;
    }
    if data == b"[DONE]" {
        return Kind::Done;
    }
    let Ok(serde_json::Value::Object(object)) = serde_json::from_slice(data) else { return Kind::Malformed };
    match object.get("type").and_then(serde_json::Value::as_str) {
        Some("response.created") => Kind::Created,
        Some("response.in_progress") => Kind::InProgress,
        Some("response.queued") => Kind::Queued,
        Some("response.output_item.added") => Kind::ItemAdded,
        Some("response.output_item.done") => Kind::ItemDone,
        Some("response.content_part.added") => Kind::PartAdded,
        Some("response.content_part.done") => Kind::PartDone,
        Some("response.output_text.delta" | "response.text.delta") => Kind::TextDelta,
        Some("response.output_text.done") => Kind::TextDone,
        Some("response.refusal.delta") => Kind::RefusalDelta,
        Some("response.refusal.done") => Kind::RefusalDone,
        Some("response.function_call_arguments.delta") => Kind::ArgumentsDelta,
        Some("response.function_call_arguments.done") => Kind::ArgumentsDone,
        Some("response.custom_tool_call_input.delta") => Kind::CustomInputDelta,
        Some("response.custom_tool_call_input.done") => Kind::CustomInputDone,
        Some("response.reasoning_summary_part.added") => Kind::SummaryPartAdded,
        Some("response.reasoning_summary_part.done") => Kind::SummaryPartDone,
        Some("response.reasoning_summary_text.delta") => Kind::SummaryDelta,
        Some("response.reasoning_summary_text.done") => Kind::SummaryDone,
        Some("response.reasoning_text.delta") => Kind::ReasoningDelta,
        Some("response.reasoning_text.done") => Kind::ReasoningDone,
        Some("response.completed" | "response.done") => Kind::Completed,
        Some("response.incomplete") => Kind::Incomplete,
        Some("response.failed") => Kind::Failed,
        Some("error") => Kind::Error,
        Some("codex.rate_limits") => Kind::RateLimits,
        Some("response.metadata") => Kind::Codex,
        Some(name) if name.starts_with("codex.") => Kind::Codex,
        Some(_) => Kind::Other,
        None if object.get("error").is_some_and(serde_json::Value::is_object) => Kind::Error,
        None => Kind::Other,
    }
}
