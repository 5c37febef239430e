//! The `input` of a Responses request: kept as written, but for the items the upstream would refuse.

use std::borrow::Cow;

use bytes::Bytes;
use serde_json::value::RawValue;

use super::fields::{Object, Path, Writer, is_list, is_text, list, text};
use super::input_parts;
use crate::error::Error;
use crate::reasoning::skeleton::Item;

/// Keys of other vendors' chat formats, echoed by clients; the upstream refuses them.
pub(super) const ECHOED_KEYS: [&str; 4] =
    ["reasoning_content", "reasoning_details", "tool_calls", "function_call"];

/// Longest item id the upstream takes, bytes.
const MAX_ID: usize = 64;

/// What the input says and how it goes upstream.
#[derive(Default)]
pub(super) struct Input {
    /// `None`: as the client wrote it.
    pub(super) items: Option<Vec<Item>>,
    /// Texts that belong into `instructions`.
    pub(super) hoisted: Vec<String>,
    pub(super) facts: Facts,
    /// There is an `additional_tools` item: the input is in a form of its own and left untouched.
    pub(super) lite: bool,
}

/// What is noted on the way.
#[derive(Default)]
pub(super) struct Facts {
    /// Text of the first user message.
    pub(super) first_user: Option<String>,
}

/// What becomes of one item.
enum Change {
    Same,
    Dropped,
    Built(String),
    /// Its text goes to the instructions; other parts stay, as a user message.
    Hoisted(String, Option<String>),
}

pub(super) fn read(raw: &RawValue, body: &Bytes) -> Result<Input, Error> {
    let root = Path::Root;
    let path = root.key("input");
    if let Some(question) = is_text(raw).then(|| text(raw)).flatten() {
        let item = user_message(&question);
        let facts = Facts { first_user: Some(question.into_owned()) };
        return Ok(Input { items: Some(vec![Item::plain(item)]), facts, ..Input::default() });
    }
    let raws = list(raw).ok_or_else(|| path.refuse("must be a string or array"))?;
    let objects = raws
        .iter()
        .enumerate()
        .map(|(index, raw)| Object::parse(raw, &path.index(index)))
        .collect::<Result<Vec<_>, _>>()?;
    if objects.iter().any(|object| object.known_text("type").as_deref() == Some("additional_tools")) {
        return lite(&objects, &path);
    }
    let mut input = Input::default();
    let mut items = Vec::with_capacity(raws.len());
    let mut changed = false;
    for (index, (raw, object)) in raws.iter().zip(&objects).enumerate() {
        let at = path.index(index);
        let last = index + 1 == raws.len();
        let encrypted = is_encrypted_reasoning(object);
        let change = change(object, &at, last, &mut input.facts)?;
        changed |= !matches!(change, Change::Same);
        match change {
            Change::Same => items.push(Item { json: body.slice_ref(raw.get().as_bytes()), encrypted }),
            Change::Built(json) => items.push(Item { json: json.into(), encrypted }),
            Change::Dropped => {}
            Change::Hoisted(text, rest) => {
                input.hoisted.push(text);
                items.extend(rest.map(Item::plain));
            }
        }
    }
    input.items = changed.then_some(items);
    Ok(input)
}

/// An input that is left untouched: it is only checked, and its facts are read.
fn lite(objects: &[Object<'_>], path: &Path<'_>) -> Result<Input, Error> {
    let mut facts = Facts::default();
    for (index, object) in objects.iter().enumerate() {
        let at = path.index(index);
        let role = object.text("role", &at)?.unwrap_or_default();
        let Some(content) = object.get("content") else { continue };
        facts.note_user(&role, content);
        input_parts::edit(content, &role, &at.key("content"))?;
    }
    Ok(Input { facts, lite: true, ..Input::default() })
}

impl Facts {
    fn note_user(&mut self, role: &str, content: &RawValue) {
        if role == "user" && self.first_user.is_none() {
            self.first_user = Some(input_parts::text_of(content, "\n"));
        }
    }
}

/// The items of an input that goes upstream unchanged.
pub(super) fn split(raw: &Bytes) -> Vec<Item> {
    let Ok(raws) = serde_json::from_slice::<Vec<&RawValue>>(raw) else { return Vec::new() };
    let item = |item: &RawValue| Item {
        json: raw.slice_ref(item.get().as_bytes()),
        encrypted: Object::parse(item, &Path::Root).is_ok_and(|object| is_encrypted_reasoning(&object)),
    };
    raws.into_iter().map(item).collect()
}

pub(super) fn user_message(text: &str) -> String {
    let part = Writer::default().text("type", "input_text").text("text", text).finish();
    Writer::default().text("role", "user").raw("content", &format!("[{part}]")).finish()
}

fn is_encrypted_reasoning(object: &Object<'_>) -> bool {
    object.known_text("type").as_deref() == Some("reasoning")
        && object.known_text("encrypted_content").is_some_and(|content| !content.is_empty())
}

fn change(object: &Object<'_>, path: &Path<'_>, last: bool, facts: &mut Facts) -> Result<Change, Error> {
    let kind = object.text("type", path)?.unwrap_or(Cow::Borrowed("message"));
    let role = object.text("role", path)?.unwrap_or_default();
    match (kind.as_ref(), role.as_ref()) {
        ("message", "system" | "developer") => hoist(object, path),
        ("message", "tool") => tool_output(object, path).map(Change::Built),
        ("compaction_trigger", _) if !last => {
            Err(path.refuse("must be the last item: it is a compaction_trigger"))
        }
        (kind, role) => edit(object, kind, role, path, facts),
    }
}

/// Drops keys and parts the upstream refuses.
fn edit(
    object: &Object<'_>,
    kind: &str,
    role: &str,
    path: &Path<'_>,
    facts: &mut Facts,
) -> Result<Change, Error> {
    let mut dropped: Vec<&str> = ECHOED_KEYS.to_vec();
    if matches!(kind, "function_call" | "custom_tool_call" | "apply_patch_call") {
        dropped.push("namespace");
    }
    if let Some(id) = object.known_text("id").filter(|_| kind != "item_reference")
        && !takes_id(kind, &id)
    {
        if kind == "reasoning" && id.len() > MAX_ID {
            return Ok(Change::Dropped);
        }
        dropped.push("id");
    }
    if let Some(content) = object.get("content") {
        facts.note_user(role, content);
    }
    let mut rebuilt = Vec::new();
    for key in ["content", "output"] {
        let Some(raw) = object.get(key) else { continue };
        if let Some(json) = input_parts::edit(raw, role, &path.key(key))? {
            dropped.push(key);
            rebuilt.push((key, json));
        }
    }
    if !object.entries.iter().any(|(key, _)| dropped.contains(&key.as_ref())) {
        return Ok(Change::Same);
    }
    let mut writer = object.without(&dropped);
    for (key, json) in rebuilt {
        writer.raw(key, &json);
    }
    Ok(Change::Built(writer.finish()))
}

/// Whether the upstream takes this id on an item of this type.
fn takes_id(kind: &str, id: &str) -> bool {
    let prefix = match kind {
        "message" => "msg_",
        "reasoning" => "rs_",
        "function_call" => "fc_",
        "custom_tool_call" => "ctc_",
        _ => "",
    };
    id.len() <= MAX_ID && id.starts_with(prefix)
}

fn hoist(object: &Object<'_>, path: &Path<'_>) -> Result<Change, Error> {
    let Some(content) = object.get("content") else { return Ok(Change::Dropped) };
    let path = path.key("content");
    if is_text(content) {
        return Ok(Change::Hoisted(input_parts::text_of(content, "\n"), None));
    }
    let parts = list(content).ok_or_else(|| path.refuse("must be a string or array"))?;
    let mut rest = Vec::new();
    for (index, part) in parts.iter().enumerate() {
        let at = path.index(index);
        if input_parts::part_text(&Object::parse(part, &at)?).is_none() {
            rest.push(part.get());
        }
    }
    let text = input_parts::text_of(content, "\n");
    if rest.is_empty() {
        return Ok(Change::Hoisted(text, None));
    }
    let rest = format!("[{}]", rest.join(","));
    let raw: &RawValue = serde_json::from_str(&rest).map_err(|_broken| path.refuse("is malformed"))?;
    let edited = input_parts::edit(raw, "user", &path)?;
    let rest = edited.as_deref().unwrap_or(&rest);
    Ok(Change::Hoisted(text, Some(Writer::default().text("role", "user").raw("content", rest).finish())))
}

/// A chat tool message among the items.
fn tool_output(object: &Object<'_>, path: &Path<'_>) -> Result<String, Error> {
    let call_id = call_id(object, path)?;
    let output = match object.get("content").or_else(|| object.get("output")) {
        None => String::new(),
        Some(raw) if is_text(raw) => text(raw).unwrap_or_default().into_owned(),
        Some(raw) if is_list(raw) => match input_parts::text_of(raw, "") {
            joined if joined.is_empty() => raw.get().to_owned(),
            joined => joined,
        },
        Some(raw) => {
            let own = Object::parse(raw, &path.key("content")).ok();
            let own = own.and_then(|object| object.known_text("text").map(Cow::into_owned));
            own.unwrap_or_else(|| raw.get().to_owned())
        }
    };
    Ok(Writer::default()
        .text("type", "function_call_output")
        .text("call_id", &call_id)
        .text("output", &output)
        .finish())
}

/// Which call a tool message answers.
pub(super) fn call_id<'a>(object: &Object<'a>, path: &Path<'_>) -> Result<Cow<'a, str>, Error> {
    for key in ["tool_call_id", "toolCallId", "call_id"] {
        if let Some(id) = object.text(key, path)?.filter(|id| !id.is_empty()) {
            return Ok(id);
        }
    }
    Err(path.key("tool_call_id").refuse("is missing: it says which call the tool message answers"))
}
