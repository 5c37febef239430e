//! The small fields that every dialect has, under all the names clients give them.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::fields::{Object, Path, is_text, literal, text};
use crate::error::Error;

/// Values the upstream knows for `include`.
const INCLUDABLE: [&str; 7] = [
    "code_interpreter_call.outputs",
    "computer_call_output.output.image_url",
    "file_search_call.results",
    "message.input_image.image_url",
    "message.output_text.logprobs",
    "reasoning.encrypted_content",
    "web_search_call.action.sources",
];

/// Without it the answer holds no reasoning that could be sent back: nothing is stored upstream.
pub(super) const ENCRYPTED_REASONING: &str = "reasoning.encrypted_content";

/// Parameters whose other names are folded into them, or that are handled on their own, by every dialect.
pub(super) const FOLDED: [&str; 23] = [
    "model",
    "stream",
    "store",
    "include",
    "reasoning",
    "reasoning_effort",
    "reasoningEffort",
    "reasoning_summary",
    "reasoningSummary",
    "thinking",
    "enable_thinking",
    "text",
    "verbosity",
    "textVerbosity",
    "service_tier",
    "prompt_cache_key",
    "promptCacheKey",
    "stream_options",
    "previous_response_id",
    "conversation",
    "response_format",
    "messages",
    "input",
];

/// Parameters the upstream refuses: dropped, since clients send them as a matter of course.
pub(super) const REFUSED_UPSTREAM: [&str; 20] = [
    "max_output_tokens",
    "max_tokens",
    "max_completion_tokens",
    "temperature",
    "top_p",
    "truncation",
    "user",
    "metadata",
    "safety_identifier",
    "prompt_cache_retention",
    "prompt_cache_options",
    "stop",
    "seed",
    "n",
    "logprobs",
    "top_logprobs",
    "presence_penalty",
    "frequency_penalty",
    "logit_bias",
    "functions",
];

/// The small fields, read and checked.
pub(super) struct Params<'a> {
    pub(super) model: String,
    pub(super) effort: Option<String>,
    pub(super) tier: Option<String>,
    pub(super) stream: bool,
    /// The JSON of `reasoning.summary`.
    pub(super) summary: Option<Cow<'a, str>>,
    /// The client's `reasoning` object, for its other keys.
    pub(super) reasoning: Option<Object<'a>>,
    pub(super) verbosity: Option<Cow<'a, str>>,
    pub(super) cache_key: Option<String>,
    pub(super) include: Vec<String>,
    pub(super) include_usage: bool,
    /// The JSON of `stream_options.include_obfuscation`.
    pub(super) obfuscation: Option<&'a str>,
}

pub(super) fn read<'a>(body: &Object<'a>) -> Result<Params<'a>, Error> {
    let root = Path::Root;
    refuse_stored_state(body)?;
    if let Some(truncation) = body.text("truncation", &root)?
        && !matches!(truncation.as_ref(), "auto" | "disabled")
    {
        return Err(root.key("truncation").refuse("must be auto or disabled"));
    }
    let asked = body.text("model", &root)?.unwrap_or_default();
    let asked = asked.trim();
    if asked.is_empty() {
        return Err(root.key("model").refuse("must name a model"));
    }
    let reasoning = body.object("reasoning", &root)?;
    let effort = effort(body, reasoning.as_ref())?;
    let tier = body.text("service_tier", &root)?.map(Cow::into_owned);
    let stream_options = body.object("stream_options", &root)?;
    let options_path = root.key("stream_options");
    let include_usage = match &stream_options {
        Some(options) => options.flag("include_usage", &options_path)?.unwrap_or(false),
        None => false,
    };
    let obfuscation = match &stream_options {
        Some(options) => {
            options.flag("include_obfuscation", &options_path)?.map(|on| if on { "true" } else { "false" })
        }
        None => None,
    };
    Ok(Params {
        model: asked.to_owned(),
        effort,
        tier,
        stream: body.flag("stream", &root)?.unwrap_or(false),
        summary: summary(body, reasoning.as_ref())?,
        reasoning,
        verbosity: first_text(body, &["verbosity", "textVerbosity"])?,
        cache_key: first_text(body, &["prompt_cache_key", "promptCacheKey"])?.map(Cow::into_owned),
        include: include(body)?,
        include_usage,
        obfuscation,
    })
}

/// The upstream stores nothing over HTTP, and the input of such a request is only what is new.
fn refuse_stored_state(body: &Object<'_>) -> Result<(), Error> {
    let previous = body.text("previous_response_id", &Path::Root)?;
    if previous.is_some_and(|id| !id.trim().is_empty()) {
        return Err(Error::Invalid {
            code: "previous_response_not_found",
            param: Some("previous_response_id".into()),
            message: "Responses are not stored, so previous_response_id cannot be continued over HTTP. Send the whole conversation in input.".into(),
        });
    }
    if body.get("conversation").is_some() {
        return Err(Error::Invalid {
            code: "conversation_not_supported",
            param: Some("conversation".into()),
            message:
                "Conversations are not stored. Leave conversation out and send the whole conversation in input."
                    .into(),
        });
    }
    Ok(())
}

fn effort(body: &Object<'_>, reasoning: Option<&Object<'_>>) -> Result<Option<String>, Error> {
    let root = Path::Root;
    if let Some(reasoning) = reasoning
        && let Some(effort) = reasoning.text("effort", &root.key("reasoning"))?
    {
        return Ok(Some(effort.into_owned()));
    }
    if let Some(effort) = first_text(body, &["reasoning_effort", "reasoningEffort"])? {
        return Ok(Some(effort.into_owned()));
    }
    if let Some(effort) = body.get("thinking").and_then(thinking) {
        return Ok(Some(effort));
    }
    Ok(body.flag("enable_thinking", &root)?.filter(|on| *on).map(|_| "medium".to_owned()))
}

/// The effort other vendors' `thinking` asks for; its disabled forms ask for nothing.
fn thinking(raw: &RawValue) -> Option<String> {
    let medium = || Some("medium".to_owned());
    if raw.get() == "true" {
        return medium();
    }
    if is_text(raw) {
        let value = text(raw)?;
        return match value.as_ref() {
            "enabled" | "true" | "on" => medium(),
            "minimal" | "low" | "medium" | "high" | "xhigh" | "max" | "ultra" => Some(value.into_owned()),
            _ => None,
        };
    }
    let object = Object::parse(raw, &Path::Root).ok()?;
    if let Some(effort) = object.known_text("effort") {
        return Some(effort.into_owned());
    }
    let enabled = object.known_text("type").as_deref() == Some("enabled")
        || object.get("enabled").is_some_and(|flag| flag.get() == "true");
    if enabled { medium() } else { None }
}

fn summary<'a>(body: &Object<'a>, reasoning: Option<&Object<'a>>) -> Result<Option<Cow<'a, str>>, Error> {
    if let Some(summary) = reasoning.and_then(|reasoning| reasoning.get("summary")) {
        return Ok(Some(Cow::Borrowed(summary.get())));
    }
    let alias = first_text(body, &["reasoningSummary", "reasoning_summary"])?;
    Ok(alias.map(|summary| Cow::Owned(literal(&summary))))
}

fn first_text<'a>(body: &Object<'a>, keys: &[&str]) -> Result<Option<Cow<'a, str>>, Error> {
    for key in keys {
        if let Some(found) = body.text(key, &Path::Root)? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

fn include(body: &Object<'_>) -> Result<Vec<String>, Error> {
    let path = Path::Root;
    let path = path.key("include");
    let mut values = Vec::new();
    for raw in body.list("include", &Path::Root)?.unwrap_or_default() {
        let value = text(raw).ok_or_else(|| path.refuse("must hold strings"))?;
        if !INCLUDABLE.contains(&value.as_ref()) {
            return Err(path.refuse(&format!("may only hold {}", INCLUDABLE.join(", "))));
        }
        if !values.iter().any(|known| *known == value) {
            values.push(value.into_owned());
        }
    }
    Ok(values)
}

/// The effort as the upstream takes it. It never answers on `minimal`.
pub(super) fn wire_effort(effort: &str) -> &str {
    match effort {
        "minimal" => "low",
        "ultra" => "max",
        other => other,
    }
}

/// The tier as the upstream takes it; `None`: no field.
pub(super) fn wire_tier(tier: &str) -> Option<&str> {
    match tier {
        "" | "auto" | "default" => None,
        "fast" => Some("priority"),
        other => Some(other),
    }
}

/// The `text` object: the client's own, with verbosity and format folded in.
pub(super) fn text_field(
    body: &Object<'_>,
    verbosity: Option<&str>,
    format: Option<&str>,
) -> Result<Option<String>, Error> {
    let own = body.object("text", &Path::Root)?;
    let has = |key| own.as_ref().is_some_and(|own| own.get(key).is_some());
    let verbosity = verbosity.filter(|_| !has("verbosity"));
    let replaced = [verbosity.map(|_| "verbosity"), format.map(|_| "format")];
    let replaced: Vec<_> = replaced.into_iter().flatten().collect();
    let mut writer = own.as_ref().map(|own| own.without(&replaced)).unwrap_or_default();
    if let Some(verbosity) = verbosity {
        writer.text("verbosity", verbosity);
    }
    if let Some(format) = format {
        writer.raw("format", format);
    }
    Ok((!writer.is_empty()).then(|| writer.finish()))
}
