//! Upstream events → events of the Responses API: passed on byte for byte wherever a client can take them.

use bytes::Bytes;
use codex_lb_filters::{Event, Kind};
use serde_json::{Map, Value, json};

use super::encoder::{Ending, Facts};
use super::failure;
use super::fields::{Object, Path, Writer, literal};
use super::output_items::{OutputItems, untold_text};
use super::terminal::response;
use crate::error::Error;
use crate::sse;

/// `/v1/responses`: what the OpenAI SDKs accept.
pub(super) struct ResponsesStream {
    facts: Facts,
    items: OutputItems,
    /// A `response.created` went out.
    opened: bool,
    /// Text was told since the last item began.
    told: bool,
    /// The response id the client knows.
    response_id: Option<String>,
    /// Data of the last event that went out, for its sequence number.
    last: Bytes,
}

impl ResponsesStream {
    pub(super) fn new(facts: Facts) -> Self {
        Self {
            facts,
            items: OutputItems::default(),
            opened: false,
            told: false,
            response_id: None,
            last: Bytes::new(),
        }
    }

    pub(super) fn push(&mut self, event: &Event, out: &mut Vec<Bytes>) -> Option<Ending> {
        match event.kind {
            Kind::Codex | Kind::RateLimits | Kind::Done | Kind::Malformed => None,
            Kind::Comment => {
                out.push(event.raw.clone());
                None
            }
            Kind::Failed | Kind::Error => Some(self.fail(event, out)),
            Kind::Completed => {
                self.end(event, "response.completed", out);
                Some(Ending::Completed)
            }
            Kind::Incomplete => {
                self.end(event, "response.incomplete", out);
                Some(Ending::Incomplete)
            }
            Kind::ItemAdded => {
                self.items.note(event);
                self.told = false;
                self.pass(event, out)
            }
            Kind::TextDone | Kind::ItemDone => {
                self.items.note(event);
                self.tell_late(event, out);
                self.pass(event, out)
            }
            Kind::TextDelta => {
                self.told = true;
                self.pass(event, out)
            }
            Kind::Created
            | Kind::InProgress
            | Kind::Queued
            | Kind::PartAdded
            | Kind::PartDone
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
            | Kind::Other => self.pass(event, out),
        }
    }

    /// The end of a stream that has none of its own: `response.failed` with the next sequence number.
    pub(super) fn break_off(&mut self, error: &Error, out: &mut Vec<Bytes>) {
        self.open(None, out);
        out.push(failed(&self.facts, self.response_id.as_deref(), error, sequence_number(&self.last) + 1));
    }

    fn pass(&mut self, event: &Event, out: &mut Vec<Bytes>) -> Option<Ending> {
        self.open(Some(event), out);
        self.last = event.data.clone();
        out.push(event.raw.clone());
        None
    }

    /// The SDKs demand `response.created` first; it is made of the event's own response, if there is one.
    fn open(&mut self, event: Option<&Event>, out: &mut Vec<Bytes>) {
        if self.opened {
            return;
        }
        self.opened = true;
        let known = event.and_then(|event| response(&event.data));
        self.response_id = known.as_ref().and_then(|response| Some(response.known_text("id")?.into_owned()));
        if event.is_some_and(|event| event.kind == Kind::Created) {
            return;
        }
        let created = match &known {
            Some(known) => known.without(&["status", "output", "error", "usage", "incomplete_details"]),
            None => envelope(&self.facts, None),
        };
        let mut created = created;
        created.text("status", "in_progress").raw("output", "[]");
        let json = Writer::default()
            .text("type", "response.created")
            .raw("sequence_number", "0")
            .raw("response", &created.finish())
            .finish();
        self.response_id.get_or_insert_with(|| self.facts.response_id());
        out.push(sse::frame(Some("response.created"), &json));
    }

    /// Text that stands in an item but was never streamed.
    fn tell_late(&mut self, event: &Event, out: &mut Vec<Bytes>) {
        if self.told {
            return;
        }
        let Some(text) = untold_text(event).filter(|text| !text.is_empty()) else { return };
        self.told = true;
        self.open(Some(event), out);
        let index = number(&event.data, "output_index").unwrap_or_default();
        let item_id = item_id(&event.data).unwrap_or_default();
        let json = Writer::default()
            .text("type", "response.output_text.delta")
            .raw("sequence_number", &sequence_number(&event.data).to_string())
            .text("item_id", &item_id)
            .raw("output_index", &index.to_string())
            .raw("content_index", "0")
            .raw("delta", &literal(&text))
            .raw("logprobs", "[]")
            .finish();
        out.push(sse::frame(Some("response.output_text.delta"), &json));
    }

    /// The terminal event, its output filled in.
    fn end(&mut self, event: &Event, name: &str, out: &mut Vec<Bytes>) {
        self.open(Some(event), out);
        let Some(response) = response(&event.data) else { return out.push(event.raw.clone()) };
        let Ok(whole) = serde_json::from_slice::<Object<'_>>(&event.data) else { return };
        let filled = self.items.fill(&response);
        if filled.is_none() && whole.known_text("type").as_deref() == Some(name) {
            return out.push(event.raw.clone());
        }
        let filled = filled.unwrap_or_else(|| response.without(&[]).finish());
        let mut writer = Writer::default();
        writer.text("type", name);
        for (key, raw) in whole.entries.iter().filter(|(key, _)| key != "type" && key != "response") {
            writer.raw(key, raw.get());
        }
        out.push(sse::frame(Some(name), &writer.raw("response", &filled).finish()));
    }

    /// `response.failed` goes out as it is; an `error` event becomes one.
    fn fail(&mut self, event: &Event, out: &mut Vec<Bytes>) -> Ending {
        let error = failure::error(failure::failure(event).unwrap_or_default());
        self.open(Some(event), out);
        if event.kind == Kind::Failed {
            out.push(event.raw.clone());
        } else {
            self.break_off(&error, out);
        }
        Ending::Failed(error)
    }
}

/// `/backend-api/codex/responses`: the upstream's own sequence, and `[DONE]` after it.
pub(super) struct CodexStream {
    facts: Facts,
    last: Bytes,
}

impl CodexStream {
    pub(super) fn new(facts: Facts) -> Self {
        Self { facts, last: Bytes::new() }
    }

    pub(super) fn push(&mut self, event: &Event, out: &mut Vec<Bytes>) -> Option<Ending> {
        if event.kind == Kind::Done {
            return None;
        }
        out.push(event.raw.clone());
        self.last = event.data.clone();
        let ending = ending(event)?;
        out.push(Bytes::from_static(sse::DONE));
        Some(ending)
    }

    pub(super) fn break_off(&mut self, error: &Error, out: &mut Vec<Bytes>) {
        out.push(failed(&self.facts, None, error, sequence_number(&self.last) + 1));
        out.push(Bytes::from_static(sse::DONE));
    }
}

/// How the answer ended, if this event ends it.
pub(super) fn ending(event: &Event) -> Option<Ending> {
    match failure::failure(event) {
        Some(error) => Some(Ending::Failed(failure::error(error))),
        None if event.kind == Kind::Completed => Some(Ending::Completed),
        None if event.kind == Kind::Incomplete => Some(Ending::Incomplete),
        None => None,
    }
}

fn failed(facts: &Facts, response_id: Option<&str>, error: &Error, sequence_number: u64) -> Bytes {
    let error: Map<String, Value> =
        error.object().into_iter().filter(|(_, value)| !value.is_null()).collect();
    let mut response = envelope(facts, response_id);
    response
        .text("status", "failed")
        .raw("output", "[]")
        .raw("error", &json!(error).to_string())
        .raw("incomplete_details", "null");
    let json = Writer::default()
        .text("type", "response.failed")
        .raw("sequence_number", &sequence_number.to_string())
        .raw("response", &response.finish())
        .finish();
    sse::frame(Some("response.failed"), &json)
}

/// A response object of our own, without status and output.
fn envelope(facts: &Facts, response_id: Option<&str>) -> Writer {
    let id = response_id.map_or_else(|| facts.response_id(), str::to_owned);
    let mut writer = Writer::default();
    writer
        .text("id", &id)
        .text("object", "response")
        .raw("created_at", &(facts.started_at / 1000).to_string())
        .text("model", &facts.model)
        .raw("parallel_tool_calls", "true")
        .text("tool_choice", "auto")
        .raw("tools", "[]");
    writer
}

fn sequence_number(data: &[u8]) -> u64 {
    number(data, "sequence_number").unwrap_or_default()
}

fn number(data: &[u8], key: &str) -> Option<u64> {
    let object: Object<'_> = serde_json::from_slice(data).ok()?;
    object.get(key)?.get().parse().ok()
}

fn item_id(data: &[u8]) -> Option<String> {
    let object: Object<'_> = serde_json::from_slice(data).ok()?;
    let item = object.object("item", &Path::Root).ok().flatten();
    let id = item.and_then(|item| item.known_text("id")).or_else(|| object.known_text("item_id"))?;
    Some(id.into_owned())
}
