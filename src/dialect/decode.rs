//! A client's body → a `Call`: what both request forms have in common.

use std::borrow::Cow;

use bytes::Bytes;
use codex_lb_filters::Turn;
use serde_json::value::RawValue;

use super::chat_messages::Conversation;
use super::fields::{Object, Path, Writer, list, literal};
use super::params::{self, ENCRYPTED_REASONING, FOLDED, Params, REFUSED_UPSTREAM};
use super::recall::{Recalled, recall};
use super::request::{Input, Reasoning, Request};
use super::{Call, Dialect, Settings, cache_key, chat_messages, chat_tools, input_items, tools};
use crate::error::Error;
use crate::reasoning::ReasoningMemory;
use crate::reasoning::anchor::Scope;

/// What the two request forms come to.
struct Content {
    instructions: String,
    /// Further fields and their JSON.
    fields: Vec<(Cow<'static, str>, Bytes)>,
    input: Input,
    first_user: Option<String>,
    /// Digest of the last user message.
    question: String,
    owner: Option<String>,
    lite: bool,
}

/// What decoding draws on.
struct Source<'a> {
    body: &'a Bytes,
    object: Object<'a>,
    key: String,
    now_ms: u64,
    memory: &'a ReasoningMemory,
}

pub(super) fn decode(
    dialect: Dialect,
    body: &Bytes,
    turn: &mut Turn,
    settings: &Settings,
    memory: &ReasoningMemory,
) -> Result<Call, Error> {
    let source = Source {
        body,
        object: Object::of_body(body)?,
        key: turn.key.as_ref().map(|key| key.id.clone()).unwrap_or_default(),
        now_ms: turn.started_at,
        memory,
    };
    let params = params::read(&source.object)?;
    let content = match messages(&source.object, dialect)? {
        Some(raw) => source.conversation(raw, dialect)?,
        None => source.responses(dialect)?,
    };
    turn.model.clone_from(&params.model);
    turn.effort.clone_from(&params.effort);
    turn.service_tier.clone_from(&params.tier);
    turn.stream = params.stream;
    let cache_key = params.cache_key.clone().unwrap_or_else(|| {
        let key = turn.key.as_ref().map(|key| key.id.as_str());
        let first_user = content.first_user.as_deref();
        cache_key::derive(&params.model, key, &content.instructions, first_user, &turn.id)
    });
    let old_functions = dialect == Dialect::Chat && source.old_functions();
    let fields = fields(&source.object, &params, dialect, &content, &cache_key)?;
    Ok(Call {
        dialect,
        stream: params.stream,
        include_usage: params.include_usage,
        affinity_hint: Some(cache_key),
        reasoning_owner: content.owner,
        responses_lite: content.lite && source.object.get("tools").is_none(),
        scope: Scope { key: source.key, question: content.question },
        old_functions,
        request: Request {
            fields: fields.into_iter().chain(content.fields).collect(),
            input: content.input,
            reasoning: reasoning(&params, dialect, settings, content.lite),
        },
    })
}

/// The conversation in chat form, when that is what the client sent.
fn messages<'a>(object: &Object<'a>, dialect: Dialect) -> Result<Option<&'a RawValue>, Error> {
    let root = Path::Root;
    let messages = object.get("messages");
    let input = object.get("input");
    let empty = |raw: &RawValue| list(raw).is_some_and(|elements| elements.is_empty());
    match (dialect, messages, input) {
        (Dialect::Chat, Some(raw), None) => Ok(Some(raw)),
        (Dialect::Chat, Some(raw), Some(_)) => Ok((!empty(raw)).then_some(raw)),
        (Dialect::Chat, None, None) => {
            Err(Error::invalid("messages", "Provide either 'messages' or 'input'."))
        }
        (Dialect::Responses, Some(raw), input) if input.is_none_or(empty) => Ok(Some(raw)),
        (Dialect::Responses, Some(_), Some(_)) => {
            Err(root.key("messages").refuse("and input cannot both be given"))
        }
        (Dialect::Responses | Dialect::Codex, _, None) => Err(root.key("input").refuse("is missing")),
        (Dialect::Chat | Dialect::Responses | Dialect::Codex, _, Some(_)) => Ok(None),
    }
}

impl Source<'_> {
    /// A conversation in chat form.
    fn conversation(&self, raw: &RawValue, dialect: Dialect) -> Result<Content, Error> {
        let Conversation { instructions, entries, first_user, question, .. } = chat_messages::read(raw)?;
        if entries.is_empty() && instructions.is_empty() {
            return Err(Error::invalid("messages", "messages must hold at least one message."));
        }
        let Recalled { items, owner } = recall(entries, &self.key, self.memory, self.now_ms);
        let own = self.object.text("instructions", &Path::Root)?.filter(|own| !own.is_empty());
        let instructions: Vec<_> = own.map(Cow::into_owned).into_iter().chain(instructions).collect();
        let fields = match dialect {
            Dialect::Chat => self.chat_fields()?,
            Dialect::Responses | Dialect::Codex => self.open_fields()?,
        };
        Ok(Content {
            instructions: instructions.join("\n"),
            fields,
            input: Input::Items(items),
            first_user,
            question,
            owner,
            lite: false,
        })
    }

    /// A conversation in Responses form.
    fn responses(&self, dialect: Dialect) -> Result<Content, Error> {
        let Some(raw) = self.object.get("input") else { return Err(Path::Root.refuse("has no input")) };
        let input = input_items::read(raw, self.body)?;
        let own = self.object.text("instructions", &Path::Root)?.filter(|own| !own.is_empty());
        let instructions: Vec<_> = own.map(Cow::into_owned).into_iter().chain(input.hoisted).collect();
        let mut fields = self.open_fields()?;
        if dialect == Dialect::Chat {
            fields.retain(|(key, _)| !matches!(key.as_ref(), "function_call" | "audio" | "modalities"));
        }
        Ok(Content {
            instructions: instructions.join("\n"),
            fields,
            input: match input.items {
                Some(items) => Input::Items(items),
                None => Input::Same(self.slice(raw)),
            },
            first_user: input.facts.first_user,
            question: String::new(),
            owner: None,
            lite: input.lite,
        })
    }

    /// The fields of a Responses body that are passed on: all that are not refused or folded into others.
    fn open_fields(&self) -> Result<Vec<(Cow<'static, str>, Bytes)>, Error> {
        let mut fields = Vec::new();
        for (key, raw) in &self.object.entries {
            let handled = |list: &[&str]| list.contains(&key.as_ref());
            if handled(&FOLDED) || handled(&REFUSED_UPSTREAM) || key == "instructions" || raw.get() == "null"
            {
                continue;
            }
            let edited = match key.as_ref() {
                "tools" => tools::edit(raw)?,
                "tool_choice" => tools::edit_choice(raw),
                _ => None,
            };
            let value = edited.map_or_else(|| self.slice(raw), Bytes::from);
            fields.push((Cow::Owned(key.clone().into_owned()), value));
        }
        Ok(fields)
    }

    /// The fields of a chat body that have a meaning upstream; no others are passed on.
    fn chat_fields(&self) -> Result<Vec<(Cow<'static, str>, Bytes)>, Error> {
        let root = Path::Root;
        if self.object.get("n").is_some_and(|count| count.get() != "1") {
            return Err(root.key("n").refuse("must be 1: the upstream gives one answer"));
        }
        let parallel = self.object.flag("parallel_tool_calls", &root)?;
        // The old form has room for one call.
        let parallel = if self.old_functions() { Some(false) } else { parallel };
        let fields = [
            ("tools", chat_tools::tools(&self.object)?),
            ("tool_choice", chat_tools::tool_choice(&self.object)?),
            ("parallel_tool_calls", parallel.map(|parallel| parallel.to_string())),
            ("client_metadata", self.object.get("client_metadata").map(|raw| raw.get().to_owned())),
        ];
        let given =
            fields.into_iter().filter_map(|(key, json)| Some((Cow::Borrowed(key), Bytes::from(json?))));
        Ok(given.collect())
    }

    /// The client knows tools only as `functions`.
    fn old_functions(&self) -> bool {
        self.object.get("tools").is_none() && self.object.get("functions").is_some()
    }

    fn slice(&self, raw: &RawValue) -> Bytes {
        self.body.slice_ref(raw.get().as_bytes())
    }
}

/// The fields that every request has in the same form.
fn fields(
    object: &Object<'_>,
    params: &Params<'_>,
    dialect: Dialect,
    content: &Content,
    cache_key: &str,
) -> Result<Vec<(Cow<'static, str>, Bytes)>, Error> {
    let format = chat_tools::response_format(object)?;
    let text = params::text_field(object, params.verbosity.as_deref(), format.as_deref())?;
    text.as_deref().map_or(Ok(()), chat_tools::check_format)?;
    let mut include = params.include.clone();
    let reasons = params.effort.as_deref() != Some("none");
    if dialect != Dialect::Codex && reasons && !include.iter().any(|value| value == ENCRYPTED_REASONING) {
        include.push(ENCRYPTED_REASONING.to_owned());
    }
    let include: Vec<_> = include.iter().map(|value| literal(value)).collect();
    let options = params.obfuscation.map(|on| format!("{{\"include_obfuscation\":{on}}}"));
    let fields = [
        ("instructions", Some(literal(&content.instructions))),
        ("text", text),
        ("include", Some(format!("[{}]", include.join(",")))),
        ("stream_options", options),
        ("prompt_cache_key", Some(literal(cache_key))),
    ];
    Ok(fields.into_iter().filter_map(|(key, json)| Some((Cow::Borrowed(key), Bytes::from(json?)))).collect())
}

fn reasoning(params: &Params<'_>, dialect: Dialect, settings: &Settings, lite: bool) -> Reasoning {
    let mut rest = Writer::default();
    let folded = ["effort", "summary"];
    // A chat client's `reasoning` has other vendors' keys, which the upstream refuses.
    let own = params.reasoning.as_ref().filter(|_| dialect != Dialect::Chat);
    if let Some(own) = own {
        let dropped: &[&str] = if lite { &["effort", "summary", "context"] } else { &folded };
        rest = own.without(dropped);
    }
    if let Some(summary) = &params.summary {
        rest.raw("summary", summary);
    }
    if lite {
        rest.text("context", "all_turns");
    }
    let ask = dialect == Dialect::Chat && params.summary.is_none();
    Reasoning { rest, default_summary: settings.reasoning_summary.clone().filter(|_| ask) }
}
