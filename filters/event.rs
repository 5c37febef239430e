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
