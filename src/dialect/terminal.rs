//! What the events of an answer hold: deltas, items, and the terminal event with its usage.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::fields::{Object, Path, Writer};

/// A piece of text, kept as the JSON literal it is.
#[derive(Deserialize)]
pub(super) struct Piece<'a> {
    #[serde(borrow)]
    pub(super) delta: &'a RawValue,
    #[serde(default)]
    pub(super) output_index: Option<u64>,
}

/// A delta or its end, with all the names it can be found by.
#[derive(Deserialize)]
pub(super) struct Part<'a> {
    #[serde(borrow, default)]
    pub(super) delta: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) arguments: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) input: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) item_id: Option<Cow<'a, str>>,
    #[serde(default)]
    pub(super) output_index: Option<u64>,
    #[serde(default)]
    pub(super) summary_index: Option<u64>,
}

/// An item begun or done.
#[derive(Deserialize)]
pub(super) struct ItemEvent<'a> {
    #[serde(borrow)]
    pub(super) item: &'a RawValue,
    #[serde(default)]
    pub(super) output_index: Option<u64>,
}

/// An event with the `response` it carries.
#[derive(Deserialize)]
pub(super) struct ResponseEvent<'a> {
    #[serde(borrow)]
    pub(super) response: &'a RawValue,
}

/// The `response` object inside an event.
pub(super) fn response(data: &[u8]) -> Option<Object<'_>> {
    let event: ResponseEvent<'_> = serde_json::from_slice(data).ok()?;
    Object::parse(event.response, &Path::Root).ok()
}

/// Why an answer is incomplete, as a chat finish reason.
pub(super) fn incomplete_reason(response: &Object<'_>) -> &'static str {
    let details = response.object("incomplete_details", &Path::Root).ok().flatten();
    match details.and_then(|details| details.known_text("reason")).as_deref() {
        Some("max_output_tokens" | "max_tokens") => "length",
        Some("content_filter") => "content_filter",
        _ => "stop",
    }
}

#[derive(Deserialize)]
struct Usage {
    #[serde(default)]
    input_tokens: u64,
    #[serde(default)]
    output_tokens: u64,
    total_tokens: Option<u64>,
    input_tokens_details: Option<InputDetails>,
    output_tokens_details: Option<OutputDetails>,
}

#[derive(Deserialize)]
struct InputDetails {
    cached_tokens: Option<u64>,
}

#[derive(Deserialize)]
struct OutputDetails {
    reasoning_tokens: Option<u64>,
}

/// `response.usage` under its chat names.
pub(super) fn chat_usage(response: &Object<'_>) -> Option<String> {
    let usage: Usage = serde_json::from_str(response.get("usage")?.get()).ok()?;
    let mut writer = Writer::default();
    writer
        .raw("prompt_tokens", &usage.input_tokens.to_string())
        .raw("completion_tokens", &usage.output_tokens.to_string())
        .raw(
            "total_tokens",
            &usage.total_tokens.unwrap_or(usage.input_tokens + usage.output_tokens).to_string(),
        );
    if let Some(cached) = usage.input_tokens_details.and_then(|details| details.cached_tokens) {
        writer.raw("prompt_tokens_details", &format!("{{\"cached_tokens\":{cached}}}"));
    }
    if let Some(reasoning) = usage.output_tokens_details.and_then(|details| details.reasoning_tokens) {
        writer.raw("completion_tokens_details", &format!("{{\"reasoning_tokens\":{reasoning}}}"));
    }
    Some(writer.finish())
}
