//! Upstream events → what they mean for a chat client, stream or whole alike.

use std::borrow::Cow;
use std::collections::BTreeMap;

use codex_lb_filters::{Event, Kind};
use serde_json::value::RawValue;

use super::fields::{Object, Path, Writer, list, literal, text};
use super::input_parts::part_text;
use super::terminal::{ItemEvent, Part, Piece, response};
use super::tool_calls::{self, Names, ToolCalls};
use crate::reasoning::anchor::Scope;
use crate::reasoning::skeleton::{Builder, Remembered};

/// Something new for the client. Texts are JSON literals.
pub(super) enum Delta<'a> {
    Text(Cow<'a, str>),
    Refusal(Cow<'a, str>),
    /// A piece of reasoning summary, and the entry of `reasoning_details` it belongs to.
    Reasoning {
        text: Cow<'a, str>,
        gap: Gap,
        id: String,
        index: usize,
    },
    /// The upstream's own form of a reasoning item, for clients that can carry it.
    Encrypted {
        data: Cow<'a, str>,
        id: String,
        index: usize,
    },
    Tool(tool_calls::Piece),
}

/// What lies between this piece of reasoning and the one before; shown as an empty line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gap {
    None,
    /// A new part of the same item.
    Part,
    /// A new item.
    Item,
}

impl Gap {
    /// `text`, a JSON literal, with the empty line before it.
    pub(super) fn before(self, text: &str) -> Cow<'_, str> {
        match (self, text.strip_prefix('"')) {
            (Self::Part | Self::Item, Some(rest)) => Cow::Owned(format!("\"\\n\\n{rest}")),
            (Self::None, _) | (_, None) => Cow::Borrowed(text),
        }
    }

    /// The same inside one item.
    pub(super) fn within(self, text: &str) -> Cow<'_, str> {
        if self == Self::Part { self.before(text) } else { Cow::Borrowed(text) }
    }
}

/// Reads one answer.
#[derive(Default)]
pub(super) struct Reader {
    pub(super) response_id: Option<String>,
    /// Unix seconds.
    pub(super) created_at: Option<u64>,
    pub(super) tools: ToolCalls,
    /// Items whose text was told piece by piece, by output index.
    streamed: Vec<u64>,
    thoughts: Thoughts,
    /// Items done, by output index.
    done: BTreeMap<u64, Done>,
}

/// Where the reasoning stands.
#[derive(Default)]
struct Thoughts {
    /// Item and summary part of the last piece.
    last: Option<(String, u64)>,
    /// The entry of `reasoning_details` that the last piece belongs to.
    index: usize,
    /// Entries begun so far.
    entries: usize,
}

enum Done {
    Reasoning(Box<RawValue>),
    Call(String),
    Message(String),
    Other,
}

impl Reader {
    pub(super) fn push<'a>(&mut self, event: &'a Event, tell: &mut dyn FnMut(Delta<'a>)) {
        match event.kind {
            Kind::TextDelta => {
                if let Some(text) = self.text(event) {
                    tell(Delta::Text(Cow::Borrowed(text)));
                }
            }
            Kind::RefusalDelta => {
                if let Ok(piece) = serde_json::from_slice::<Piece<'a>>(&event.data) {
                    self.note_streamed(piece.output_index);
                    tell(Delta::Refusal(Cow::Borrowed(piece.delta.get())));
                }
            }
            Kind::SummaryDelta | Kind::ReasoningDelta => self.thought(&event.data, tell),
            Kind::ArgumentsDelta | Kind::ArgumentsDone | Kind::CustomInputDelta | Kind::CustomInputDone => {
                self.arguments(&event.data, tell);
            }
            Kind::ItemAdded | Kind::ItemDone => {
                if let Ok(it) = serde_json::from_slice::<ItemEvent<'a>>(&event.data) {
                    self.item(it.item, it.output_index, event.kind == Kind::ItemDone, tell);
                }
            }
            Kind::Created | Kind::InProgress | Kind::Queued => self.open(&event.data),
            Kind::Completed | Kind::Incomplete => {
                self.open(&event.data);
                self.rest(&event.data, tell);
            }
            Kind::PartAdded
            | Kind::PartDone
            | Kind::TextDone
            | Kind::RefusalDone
            | Kind::SummaryPartAdded
            | Kind::SummaryPartDone
            | Kind::SummaryDone
            | Kind::ReasoningDone
            | Kind::Failed
            | Kind::Error
            | Kind::RateLimits
            | Kind::Codex
            | Kind::Done
            | Kind::Comment
            | Kind::Other
            | Kind::Malformed => {}
        }
    }

    /// The JSON literal of a text delta: the one event that comes by the thousand.
    pub(super) fn text<'a>(&mut self, event: &'a Event) -> Option<&'a str> {
        let piece: Piece<'a> = serde_json::from_slice(&event.data).ok()?;
        self.note_streamed(piece.output_index);
        Some(piece.delta.get())
    }

    /// What is worth remembering, after a completed answer.
    pub(super) fn remember(&mut self, scope: &Scope) -> Option<Remembered> {
        let mut builder = Builder::default();
        for done in std::mem::take(&mut self.done).into_values() {
            match done {
                Done::Reasoning(item) => builder.reasoning(&item),
                Done::Call(id) => builder.call(&id),
                Done::Message(text) => builder.message(&text),
                Done::Other => {}
            }
        }
        builder.finish(scope)
    }

    fn open(&mut self, data: &[u8]) {
        if self.response_id.is_some() {
            return;
        }
        let Some(response) = response(data) else { return };
        self.response_id = response.known_text("id").map(Cow::into_owned);
        // Some upstreams write fractions.
        let seconds = response.get("created_at").and_then(|raw| raw.get().split('.').next());
        self.created_at = seconds.and_then(|seconds| seconds.parse().ok());
    }

    fn note_streamed(&mut self, output_index: Option<u64>) {
        let index = output_index.unwrap_or_default();
        if self.streamed.last() != Some(&index) && !self.streamed.contains(&index) {
            self.streamed.push(index);
        }
    }

    fn thought<'a>(&mut self, data: &'a [u8], tell: &mut dyn FnMut(Delta<'a>)) {
        let Ok(part) = serde_json::from_slice::<Part<'a>>(data) else { return };
        let Some(delta) = part.delta else { return };
        self.note_streamed(part.output_index);
        let id = part.item_id.unwrap_or_default().into_owned();
        self.think(Cow::Borrowed(delta.get()), id, part.summary_index.unwrap_or_default(), tell);
    }

    fn think<'a>(
        &mut self,
        text: Cow<'a, str>,
        id: String,
        summary_index: u64,
        tell: &mut dyn FnMut(Delta<'a>),
    ) {
        let thoughts = &mut self.thoughts;
        let here = (id, summary_index);
        let gap = match &thoughts.last {
            Some(last) if last.0 != here.0 => Gap::Item,
            Some(last) if last.1 != here.1 => Gap::Part,
            Some(_) | None => Gap::None,
        };
        if gap == Gap::Item || thoughts.last.is_none() {
            thoughts.index = thoughts.entries;
            thoughts.entries += 1;
        }
        let id = here.0.clone();
        thoughts.last = Some(here);
        tell(Delta::Reasoning { text, gap, id, index: thoughts.index });
    }

    fn arguments<'a>(&mut self, data: &'a [u8], tell: &mut dyn FnMut(Delta<'a>)) {
        let Ok(part) = serde_json::from_slice::<Part<'a>>(data) else { return };
        let names = Names { output_index: part.output_index, item_id: part.item_id.as_deref() };
        let piece = match part.delta.and_then(text) {
            Some(delta) => self.tools.append(names, &delta),
            None => {
                let Some(whole) = part.arguments.or(part.input).and_then(text) else { return };
                self.tools.replace(names, &whole)
            }
        };
        piece.map(Delta::Tool).into_iter().for_each(tell);
    }

    fn item<'a>(
        &mut self,
        raw: &'a RawValue,
        output_index: Option<u64>,
        done: bool,
        tell: &mut dyn FnMut(Delta<'a>),
    ) {
        let Ok(item) = Object::parse(raw, &Path::Root) else { return };
        let kind = item.known_text("type").unwrap_or_default();
        let next = self.done.last_key_value().map_or(0, |(last, _)| last + 1);
        let position = output_index.unwrap_or(next);
        if matches!(kind.as_ref(), "function_call" | "custom_tool_call") {
            let piece = self.tools.item(output_index, &item, kind == "custom_tool_call");
            piece.map(Delta::Tool).into_iter().for_each(tell);
            if done && let Some(id) = item.known_text("call_id") {
                self.done.insert(position, Done::Call(id.into_owned()));
            }
            return;
        }
        if !done {
            return;
        }
        let kept = match kind.as_ref() {
            "message" => self.message(&item, position, tell),
            "reasoning" => self.reasoning(&item, position, tell),
            _ => Done::Other,
        };
        self.done.insert(position, kept);
    }

    /// A message that is done; text that was never streamed is told now.
    fn message<'a>(&self, item: &Object<'a>, position: u64, tell: &mut dyn FnMut(Delta<'a>)) -> Done {
        let mut said = String::new();
        for raw in item.get("content").and_then(list).unwrap_or_default() {
            let Ok(part) = Object::parse(raw, &Path::Root) else { continue };
            let (text, refusal) = (part_text(&part), part.known_text("refusal"));
            said.push_str(text.as_deref().unwrap_or_default());
            if self.streamed.contains(&position) {
                continue;
            }
            if let Some(text) = text.filter(|text| !text.is_empty()) {
                tell(Delta::Text(Cow::Owned(literal(&text))));
            }
            if let Some(refusal) = refusal.filter(|refusal| !refusal.is_empty()) {
                tell(Delta::Refusal(Cow::Owned(literal(&refusal))));
            }
        }
        if said.is_empty() { Done::Other } else { Done::Message(said) }
    }

    /// A reasoning item that is done, without what the upstream does not take back.
    fn reasoning<'a>(&mut self, item: &Object<'a>, position: u64, tell: &mut dyn FnMut(Delta<'a>)) -> Done {
        let id = item.known_text("id").unwrap_or_default();
        let summary = item.get("summary").map_or("[]", RawValue::get);
        if !self.streamed.contains(&position) {
            let parts = item.get("summary").and_then(list).unwrap_or_default();
            for (number, raw) in (0..).zip(parts) {
                let Ok(part) = Object::parse(raw, &Path::Root) else { continue };
                if let Some(text) = part.known_text("text").filter(|text| !text.is_empty()) {
                    self.think(Cow::Owned(literal(&text)), id.clone().into_owned(), number, tell);
                }
            }
        }
        let Some(data) = item.get("encrypted_content").filter(|raw| raw.get() != "\"\"") else {
            return Done::Other;
        };
        let index = self.thoughts.entries;
        self.thoughts.entries += 1;
        tell(Delta::Encrypted { data: Cow::Borrowed(data.get()), id: id.clone().into_owned(), index });
        let mut writer = Writer::default();
        writer.text("type", "reasoning");
        if !id.is_empty() {
            writer.text("id", &id);
        }
        let json = writer.raw("summary", summary).raw("encrypted_content", data.get()).finish();
        RawValue::from_string(json).map_or(Done::Other, Done::Reasoning)
    }

    /// Items that only the terminal event tells.
    fn rest<'a>(&mut self, data: &'a [u8], tell: &mut dyn FnMut(Delta<'a>)) {
        let Some(output) = response(data).and_then(|response| response.get("output")) else { return };
        for (position, raw) in (0..).zip(list(output).unwrap_or_default()) {
            if !self.done.contains_key(&position) {
                self.item(raw, Some(position), true, tell);
            }
        }
    }
}
