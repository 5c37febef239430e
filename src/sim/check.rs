//! What the backend refuses in a request for an answer, worded as it does.

mod items;

use serde_json::{Map, Value};

use super::account::Account;
use super::fault::unsupported_model;
use super::models::{self, Model};
use super::refusal::Refusal;
use super::signer::Signer;

/// Every key a request may have. The backend knows no sampling parameters, limits or storage.
const KEYS: &[&str] = &[
    "model",
    "instructions",
    "input",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "reasoning",
    "store",
    "stream",
    "stream_options",
    "include",
    "service_tier",
    "prompt_cache_key",
    "text",
    "client_metadata",
];

const INCLUDES: &[&str] = &[
    "code_interpreter_call.outputs",
    "computer_call_output.output.image_url",
    "file_search_call.results",
    "message.input_image.image_url",
    "message.output_text.logprobs",
    "reasoning.encrypted_content",
    "web_search_call.action.sources",
];

/// Ids and cache keys are this long at most.
const MAX_ID: usize = 64;

/// Who asks, and how to recognise what was given to them before.
pub(crate) struct Asker<'a> {
    pub(crate) account: &'a Account,
    pub(crate) signer: &'a Signer,
    /// Sealed reasoning is refused even if it is theirs (a fault).
    pub(crate) distrusts: bool,
}

/// `Ok` when the backend would answer.
pub(crate) fn check(body: &Value, asker: &Asker<'_>) -> Result<(), Refusal> {
    let Some(request) = body.as_object() else {
        return Err(Refusal::detail(400, "Invalid JSON body"));
    };
    if let Some(unknown) = request.keys().find(|key| !KEYS.contains(&key.as_str())) {
        return Err(Refusal::detail(400, format!("Unsupported parameter: {unknown}")));
    }
    let model = model(request, &asker.account.plan)?;
    let Some(input) = request.get("input").and_then(Value::as_array) else {
        return Err(Refusal::detail(400, "Input must be a list"));
    };
    instructions(request, input)?;
    if request.get("store") != Some(&Value::Bool(false)) {
        return Err(Refusal::detail(400, "Store must be set to false"));
    }
    if request.get("stream") != Some(&Value::Bool(true)) {
        return Err(Refusal::detail(400, "Stream must be set to true"));
    }
    service_tier(request)?;
    options(request, model)?;
    text(request)?;
    tools(request)?;
    items::check(input, asker)
}

fn model(request: &Map<String, Value>, plan: &str) -> Result<&'static Model, Refusal> {
    match request.get("model").and_then(Value::as_str).filter(|slug| !slug.is_empty()) {
        None => Err(Refusal::detail(400, "Model is required")),
        Some(slug) => models::find(slug, plan).ok_or_else(|| Refusal::detail(400, unsupported_model(slug))),
    }
}

/// Only a request whose tools travel in an input item may leave `instructions` out.
fn instructions(request: &Map<String, Value>, input: &[Value]) -> Result<(), Refusal> {
    let lite = || input.iter().any(|item| item.get("type").is_some_and(|kind| kind == "additional_tools"));
    match request.get("instructions") {
        Some(Value::String(_)) => Ok(()),
        None if lite() => Ok(()),
        None => Err(Refusal::detail(400, "Instructions are required")),
        Some(_) => Err(Refusal::detail(400, "Instructions must be a string")),
    }
}

fn service_tier(request: &Map<String, Value>) -> Result<(), Refusal> {
    match request.get("service_tier") {
        None | Some(Value::Null) => Ok(()),
        Some(Value::String(tier)) if tier == "priority" || tier == "flex" => Ok(()),
        Some(tier) => {
            let tier = tier.as_str().map_or_else(|| tier.to_string(), str::to_owned);
            Err(Refusal::detail(400, format!("Unsupported service_tier: {tier}")))
        }
    }
}

fn options(request: &Map<String, Value>, model: &Model) -> Result<(), Refusal> {
    let object = |key: &str| match request.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Object(object)) => Ok(Some(object)),
        Some(_) => Err(wrong_type(key, "an object")),
    };
    if let Some(options) = object("stream_options")? {
        only(options, &["include_obfuscation"], "stream_options")?;
    }
    object("client_metadata")?;
    if request.get("client_metadata").is_some_and(Value::is_null) {
        return Err(wrong_type("client_metadata", "an object"));
    }
    if let Some(reasoning) = object("reasoning")? {
        only(reasoning, &["effort", "summary", "context"], "reasoning")?;
        one_of(reasoning, "summary", "reasoning.summary", &["auto", "concise", "detailed", "none"])?;
        let efforts: Vec<&str> = model.efforts.iter().copied().chain(["none"]).collect();
        one_of(reasoning, "effort", "reasoning.effort", &efforts)?;
    }
    if request.get("parallel_tool_calls").is_some_and(|value| !value.is_boolean()) {
        return Err(wrong_type("parallel_tool_calls", "a boolean"));
    }
    if let Some(key) = request.get("prompt_cache_key").filter(|key| !key.is_null()) {
        short(key, "prompt_cache_key")?;
    }
    let include = request.get("include").and_then(Value::as_array);
    let unknown = include
        .into_iter()
        .flatten()
        .position(|value| value.as_str().is_none_or(|value| !INCLUDES.contains(&value)));
    match (unknown, request.get("include")) {
        (Some(index), _) => Err(invalid_value(&format!("include[{index}]"), INCLUDES)),
        (None, Some(value)) if !value.is_array() => Err(wrong_type("include", "an array")),
        (None, _) => Ok(()),
    }
}

fn text(request: &Map<String, Value>) -> Result<(), Refusal> {
    let Some(text) = request.get("text").filter(|text| !text.is_null()) else { return Ok(()) };
    let text = text.as_object().ok_or_else(|| wrong_type("text", "an object"))?;
    only(text, &["verbosity", "format"], "text")?;
    one_of(text, "verbosity", "text.verbosity", &["low", "medium", "high"])?;
    let Some(format) = text.get("format").filter(|format| !format.is_null()) else { return Ok(()) };
    let format = format.as_object().ok_or_else(|| wrong_type("text.format", "an object"))?;
    one_of(format, "type", "text.format.type", &["text", "json_object", "json_schema"])?;
    match format.get("type").and_then(Value::as_str) {
        None => Err(missing("text.format.type")),
        Some("json_schema") => {
            only(format, &["type", "name", "description", "schema", "strict"], "text.format")?;
            let name = format.get("name").and_then(Value::as_str);
            name.ok_or_else(|| missing("text.format.name"))?;
            let schema = format.get("schema").and_then(Value::as_object);
            schema.map(|_| ()).ok_or_else(|| missing("text.format.schema"))
        }
        Some(_) => only(format, &["type"], "text.format"),
    }
}

fn tools(request: &Map<String, Value>) -> Result<(), Refusal> {
    let tools = match request.get("tools") {
        None | Some(Value::Null) => &[],
        Some(Value::Array(tools)) => tools.as_slice(),
        Some(_) => return Err(wrong_type("tools", "an array")),
    };
    for (index, tool) in tools.iter().enumerate() {
        let path = format!("tools[{index}]");
        let kind =
            tool.get("type").and_then(Value::as_str).ok_or_else(|| missing(&format!("{path}.type")))?;
        if matches!(kind, "function" | "custom" | "namespace") {
            let name = tool.get("name").and_then(Value::as_str).filter(|name| !name.is_empty());
            name.ok_or_else(|| missing(&format!("{path}.name")))?;
        }
        if kind == "function" {
            let keys =
                ["type", "name", "description", "parameters", "strict", "output_schema", "defer_loading"];
            only(tool.as_object().unwrap_or(&Map::new()), &keys, &path)?;
        }
    }
    let named = |choice: &Value| {
        let name = choice.get("name");
        name.is_none() || tools.iter().any(|tool| tool.get("name") == name)
    };
    match request.get("tool_choice") {
        None | Some(Value::Null) => Ok(()),
        Some(Value::String(choice)) if matches!(choice.as_str(), "auto" | "none" | "required") => Ok(()),
        Some(choice @ Value::Object(object)) if object.contains_key("type") && named(choice) => Ok(()),
        Some(Value::Object(object)) if object.contains_key("type") => Err(Refusal::invalid(
            "invalid_request_error",
            "tool_choice",
            "Tool choice not found in 'tools' parameter.",
        )),
        Some(_) => Err(invalid_value("tool_choice", &["none", "auto", "required"])),
    }
}

fn only(object: &Map<String, Value>, keys: &[&str], path: &str) -> Result<(), Refusal> {
    match object.keys().find(|key| !keys.contains(&key.as_str())) {
        None => Ok(()),
        Some(key) => {
            let param = format!("{path}.{key}");
            Err(Refusal::invalid("unknown_parameter", &param, format!("Unknown parameter: '{param}'.")))
        }
    }
}

fn one_of(object: &Map<String, Value>, key: &str, path: &str, values: &[&str]) -> Result<(), Refusal> {
    match object.get(key) {
        None | Some(Value::Null) => Ok(()),
        Some(value) if value.as_str().is_some_and(|value| values.contains(&value)) => Ok(()),
        Some(_) => Err(invalid_value(path, values)),
    }
}

fn short(value: &Value, path: &str) -> Result<(), Refusal> {
    let length = value.as_str().ok_or_else(|| wrong_type(path, "a string"))?.chars().count();
    if length <= MAX_ID {
        return Ok(());
    }
    let message = format!(
        "Invalid '{path}': string too long. Expected a string with maximum length {MAX_ID}, but got a string \
         with length {length} instead."
    );
    Err(Refusal::invalid("string_above_max_length", path, message))
}

fn missing(path: &str) -> Refusal {
    Refusal::invalid("missing_required_parameter", path, format!("Missing required parameter: '{path}'."))
}

fn wrong_type(path: &str, expected: &str) -> Refusal {
    Refusal::invalid("invalid_type", path, format!("Invalid type for '{path}': expected {expected}."))
}

fn invalid_value(path: &str, values: &[&str]) -> Refusal {
    let values: Vec<String> = values.iter().map(|value| format!("'{value}'")).collect();
    let message = format!("Invalid value for '{path}'. Supported values are: {}.", values.join(", "));
    Refusal::invalid("invalid_value", path, message)
}

#[cfg(test)]
mod tests;
