//! The output items of an answer, collected from its events: the terminal event often leaves them out.

use std::collections::BTreeMap;

use bytes::Bytes;
use codex_lb_filters::{Event, Kind};
use serde_json::value::RawValue;

use super::fields::{Object, Path, list, text};
use super::input_parts::part_text;
use super::terminal::ItemEvent;

/// Items by output index; of two with the same index the later one wins.
#[derive(Debug, Default)]
pub(super) struct OutputItems {
    by_index: BTreeMap<u64, Bytes>,
}

impl OutputItems {
    /// Keeps the item of an `output_item` event.
    pub(super) fn note(&mut self, event: &Event) {
        if !matches!(event.kind, Kind::ItemAdded | Kind::ItemDone) {
            return;
        }
        let Ok(it) = serde_json::from_slice::<ItemEvent<'_>>(&event.data) else { return };
        let next = self.by_index.last_key_value().map_or(0, |(last, _)| last + 1);
        // A copy: a slice would keep the whole chunk it came in.
        let item = Bytes::copy_from_slice(it.item.get().as_bytes());
        self.by_index.insert(it.output_index.unwrap_or(next), item);
    }

    /// The response with its items, when it came without; `None`: it is complete as it is.
    pub(super) fn fill(&self, response: &Object<'_>) -> Option<String> {
        let given = response.get("output").and_then(list).is_some_and(|items| !items.is_empty());
        if given || (self.by_index.is_empty() && response.get("output").is_some()) {
            return None;
        }
        let items: Vec<_> = self.by_index.values().map(|item| String::from_utf8_lossy(item)).collect();
        let mut writer = response.without(&["output"]);
        Some(writer.raw("output", &format!("[{}]", items.join(","))).finish())
    }
}

/// The text of a message that is done, with its ids, to be told as a delta when it never was.
pub(super) fn untold_text(event: &Event) -> Option<String> {
    let raw: &RawValue = serde_json::from_slice(&event.data).ok()?;
    let whole = Object::parse(raw, &Path::Root).ok()?;
    if event.kind == Kind::TextDone {
        return whole.get("text").and_then(text).map(std::borrow::Cow::into_owned);
    }
    let item = whole.object("item", &Path::Root).ok()??;
    if item.known_text("type").as_deref() != Some("message") {
        return None;
    }
    let parts = item.get("content").and_then(list).unwrap_or_default();
    let texts = parts.into_iter().filter_map(|part| part_text(&Object::parse(part, &Path::Root).ok()?));
    Some(texts.collect())
}
