//! Chat messages → instructions and input items.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use serde_json::value::RawValue;

use super::chat_parts;
use super::fields::{Object, Path, Writer, is_list, is_text, list, text};
use super::input_items::call_id;
use super::input_parts::text_of;
use crate::error::Error;
use crate::reasoning::anchor;
use crate::reasoning::skeleton::{Item, Said};

/// A conversation, read.
#[derive(Default)]
pub(super) struct Conversation {
    pub(super) instructions: Vec<String>,
    pub(super) entries: Vec<Entry>,
    pub(super) first_user: Option<String>,
    /// Digest of the user message read last.
    pub(super) question: String,
    /// Ids of custom tool calls; their results have another type.
    custom_calls: HashSet<String>,
    /// Name → id of calls in the old form, which had no ids.
    old_calls: HashMap<String, String>,
}

/// One message, or an assistant's whole turn, on its way into the input.
pub(super) enum Entry {
    Item(Item),
    Assistant(Assistant),
}

/// What an assistant said, and what its reasoning can be found by.
pub(super) struct Assistant {
    pub(super) said: Said,
    pub(super) text: String,
    /// Digest of the user message before it.
    pub(super) question: String,
    /// Reasoning items the client sent back itself.
    pub(super) echoed: Vec<Item>,
}

pub(super) fn read(messages: &RawValue) -> Result<Conversation, Error> {
    let root = Path::Root;
    let path = root.key("messages");
    let messages = list(messages).ok_or_else(|| path.refuse("must be an array"))?;
    let mut conversation = Conversation::default();
    for (index, raw) in messages.iter().enumerate() {
        let at = path.index(index);
        conversation.message(&Object::parse(raw, &at)?, &at)?;
    }
    Ok(conversation)
}

impl Conversation {
    fn message(&mut self, message: &Object<'_>, path: &Path<'_>) -> Result<(), Error> {
        let role = message.text("role", path)?.ok_or_else(|| path.key("role").refuse("is missing"))?;
        match role.as_ref() {
            "system" | "developer" => self.system(message, path),
            "user" => self.user(message, path),
            "assistant" => self.assistant(message, path),
            "tool" => {
                let id = call_id(message, path)?;
                self.result(&id, message, path)
            }
            "function" => {
                let name = message.text("name", path)?.unwrap_or_default();
                let id = self.old_calls.get(name.as_ref()).cloned();
                let id = id.ok_or_else(|| path.key("name").refuse("must name a function called before"))?;
                self.result(&id, message, path)
            }
            _ => Err(path.key("role").refuse("must be system, developer, user, assistant or tool")),
        }
    }

    fn system(&mut self, message: &Object<'_>, path: &Path<'_>) -> Result<(), Error> {
        let Some(content) = message.get("content") else { return Ok(()) };
        let path = path.key("content");
        if !is_text(content) {
            let parts = list(content).ok_or_else(|| path.refuse("must be a string or array"))?;
            for (index, part) in parts.iter().enumerate() {
                chat_parts::only_text(part, &path.index(index))?;
            }
        }
        self.instructions.push(text_of(content, "\n"));
        Ok(())
    }

    fn user(&mut self, message: &Object<'_>, path: &Path<'_>) -> Result<(), Error> {
        let path = path.key("content");
        let content = message.get("content").ok_or_else(|| path.refuse("is missing"))?;
        let said = text_of(content, "\n");
        self.question = anchor::question(&said);
        self.first_user.get_or_insert(said);
        let parts = chat_parts::user(content, &path)?;
        let json = Writer::default().text("role", "user").raw("content", &parts).finish();
        self.entries.push(Entry::Item(Item::plain(json)));
        Ok(())
    }

    fn assistant(&mut self, message: &Object<'_>, path: &Path<'_>) -> Result<(), Error> {
        let said_text = message.get("content").map(|content| text_of(content, "")).unwrap_or_default();
        let mut said = Said {
            message: chat_parts::assistant(message, path)?.map(|parts| {
                Item::plain(Writer::default().text("role", "assistant").raw("content", &parts).finish())
            }),
            calls: Vec::new(),
        };
        let calls_path = path.key("tool_calls");
        for (index, raw) in message.list("tool_calls", path)?.unwrap_or_default().iter().enumerate() {
            let at = calls_path.index(index);
            said.calls.push(self.call(&Object::parse(raw, &at)?, &at)?);
        }
        if let Some(call) = message.object("function_call", path)? {
            said.calls.push(self.old_call(&call, &path.key("function_call"))?);
        }
        self.entries.push(Entry::Assistant(Assistant {
            said,
            text: said_text,
            question: self.question.clone(),
            echoed: echoed_reasoning(message),
        }));
        Ok(())
    }

    fn call(&mut self, call: &Object<'_>, path: &Path<'_>) -> Result<(String, Item), Error> {
        let id = required(call, "id", path)?;
        if let Some(custom) = call.object("custom", path)? {
            let at = path.key("custom");
            let name = required(&custom, "name", &at)?;
            let input = custom.text("input", &at)?.unwrap_or_default();
            self.custom_calls.insert(id.clone().into_owned());
            let mut writer = Writer::default();
            writer.text("type", "custom_tool_call").text("call_id", &id).text("name", &name);
            return Ok((id.into_owned(), Item::plain(writer.text("input", &input).finish())));
        }
        let at = path.key("function");
        let function = call.object("function", path)?.ok_or_else(|| at.refuse("is missing"))?;
        function_call(&id, &function, &at)
    }

    fn old_call(&mut self, call: &Object<'_>, path: &Path<'_>) -> Result<(String, Item), Error> {
        let id = format!("call_{}", self.entries.len());
        let name = required(call, "name", path)?;
        self.old_calls.insert(name.into_owned(), id.clone());
        function_call(&id, call, path)
    }

    fn result(&mut self, id: &str, message: &Object<'_>, path: &Path<'_>) -> Result<(), Error> {
        let custom = self.custom_calls.contains(id);
        let kind = if custom { "custom_tool_call_output" } else { "function_call_output" };
        let output = chat_parts::tool_output(message.get("content"), &path.key("content"))?;
        let mut writer = Writer::default();
        writer.text("type", kind).text("call_id", id).raw("output", &output);
        self.entries.push(Entry::Item(Item::plain(writer.finish())));
        Ok(())
    }
}

fn function_call(id: &str, function: &Object<'_>, path: &Path<'_>) -> Result<(String, Item), Error> {
    let name = required(function, "name", path)?;
    let arguments =
        function.text("arguments", path)?.ok_or_else(|| path.key("arguments").refuse("is missing"))?;
    let mut writer = Writer::default();
    writer.text("type", "function_call").text("call_id", id).text("name", &name);
    Ok((id.to_owned(), Item::plain(writer.text("arguments", &arguments).finish())))
}

fn required<'a>(object: &Object<'a>, key: &str, path: &Path<'_>) -> Result<Cow<'a, str>, Error> {
    let found = object.text(key, path)?.filter(|text| !text.is_empty());
    found.ok_or_else(|| path.key(key).refuse("is missing"))
}

/// Encrypted entries of `reasoning_details`, kept by clients that keep structure. Text and strings are only echoes.
fn echoed_reasoning(message: &Object<'_>) -> Vec<Item> {
    let Some(details) = message.get("reasoning_details").filter(|raw| is_list(raw)) else {
        return Vec::new();
    };
    let entries = list(details).unwrap_or_default();
    let item = |raw: &RawValue| {
        let entry = Object::parse(raw, &Path::Root).ok()?;
        let data =
            (text(entry.get("type")?)? == "reasoning.encrypted").then(|| entry.known_text("data"))??;
        let id = entry.known_text("id").filter(|id| id.starts_with("rs_"))?;
        let mut writer = Writer::default();
        writer.text("type", "reasoning").text("id", &id).raw("summary", "[]");
        Some(Item { json: writer.text("encrypted_content", &data).finish().into(), encrypted: true })
    };
    entries.into_iter().filter_map(item).collect()
}
