//! What the backend refuses in the items of `input`.

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::{Asker, invalid_value, missing, only, short, wrong_type};
use crate::sim::refusal::Refusal;

/// Item type, how its id begins (empty: not looked at), and the keys it may have.
type Kind = (&'static str, &'static str, &'static [&'static str]);

const KINDS: &[Kind] = &[
    ("message", "msg", &["type", "id", "role", "content", "status", "phase"]),
    ("reasoning", "rs", &["type", "id", "summary", "content", "encrypted_content", "status"]),
    ("function_call", "fc", &["type", "id", "call_id", "name", "arguments", "status", "namespace"]),
    ("function_call_output", "", &["type", "id", "call_id", "output", "status"]),
    ("custom_tool_call", "ctc", &["type", "id", "call_id", "name", "input", "status", "namespace"]),
    ("custom_tool_call_output", "", &["type", "id", "call_id", "name", "output", "status"]),
    ("local_shell_call", "lsh", &["type", "id", "call_id", "action", "status"]),
    ("local_shell_call_output", "", &["type", "id", "call_id", "output", "status"]),
    ("web_search_call", "ws", &["type", "id", "action", "status"]),
    ("tool_search_call", "", &["type", "id", "call_id", "arguments", "execution", "status"]),
    ("tool_search_output", "", &["type", "id", "call_id", "tools", "execution", "status"]),
    ("image_generation_call", "ig", &["type", "id", "result", "revised_prompt", "status"]),
    ("compaction", "cmp", &["type", "id", "encrypted_content"]),
    ("compaction_trigger", "", &["type"]),
    ("additional_tools", "", &["type", "id", "role", "tools"]),
];

/// `Ok` when every item is one the backend takes, and calls and outputs belong together.
pub(crate) fn check(input: &[Value], asker: &Asker<'_>) -> Result<(), Refusal> {
    let mut open_calls = HashSet::new();
    for (index, item) in input.iter().enumerate() {
        let path = format!("input[{index}]");
        let object = item.as_object().ok_or_else(|| wrong_type(&path, "an object"))?;
        let kind = kind(object, &path)?;
        if kind == "compaction_trigger" && index + 1 != input.len() {
            return Err(Refusal::invalid(
                "invalid_value",
                &path,
                "'compaction_trigger' must be the last item.",
            ));
        }
        match kind {
            "message" => message(object, &path)?,
            "reasoning" | "compaction" => sealed(object, &path, asker)?,
            "function_call" | "custom_tool_call" | "local_shell_call" => {
                open_calls.insert(call(object, kind, &path)?);
            }
            "function_call_output" | "custom_tool_call_output" | "local_shell_call_output" => {
                let id = output(object, &path)?;
                if !open_calls.remove(id) {
                    let message = format!("No tool call found for function call output with call_id {id}.");
                    return Err(Refusal::invalid("invalid_request_error", "input", message));
                }
            }
            _ => {}
        }
    }
    match open_calls.into_iter().next() {
        None => Ok(()),
        Some(id) => {
            let message = format!("No tool output found for function call {id}.");
            Err(Refusal::invalid("invalid_request_error", "input", message))
        }
    }
}

fn kind(object: &Map<String, Value>, path: &str) -> Result<&'static str, Refusal> {
    let named = match object.get("type") {
        Some(kind) => kind.as_str(),
        None if object.contains_key("role") => Some("message"),
        None => return Err(missing(&format!("{path}.type"))),
    };
    let Some((kind, prefix, keys)) = KINDS.iter().find(|known| Some(known.0) == named) else {
        let known: Vec<&str> = KINDS.iter().map(|known| known.0).collect();
        return Err(invalid_value(&format!("{path}.type"), &known));
    };
    only(object, keys, path)?;
    for key in ["id", "call_id"] {
        if let Some(id) = object.get(key).filter(|id| !id.is_null()) {
            short(id, &format!("{path}.{key}"))?;
        }
    }
    if let Some(id) = object.get("id").and_then(Value::as_str).filter(|id| !id.starts_with(prefix)) {
        let param = format!("{path}.id");
        let message = format!("Invalid '{param}': '{id}'. Expected an ID that begins with '{prefix}'.");
        return Err(Refusal::invalid("invalid_value", &param, message));
    }
    Ok(kind)
}

fn message(object: &Map<String, Value>, path: &str) -> Result<(), Refusal> {
    let parts: &[&str] = match object.get("role").and_then(Value::as_str) {
        Some("user") => &["input_text", "input_image", "input_file"],
        Some("developer") => &["input_text"],
        Some("assistant") => &["output_text", "refusal"],
        Some("system") => return Err(Refusal::detail(400, "System messages are not allowed")),
        Some(_) | None => {
            return Err(invalid_value(&format!("{path}.role"), &["assistant", "developer", "user"]));
        }
    };
    let content = match object.get("content") {
        Some(Value::String(_)) => return Ok(()),
        Some(Value::Array(content)) => content,
        Some(_) => return Err(wrong_type(&format!("{path}.content"), "an array or a string")),
        None => return Err(missing(&format!("{path}.content"))),
    };
    for (index, part) in content.iter().enumerate() {
        content_part(part, parts, &format!("{path}.content[{index}]"))?;
    }
    Ok(())
}

fn content_part(part: &Value, allowed: &[&str], path: &str) -> Result<(), Refusal> {
    let object = part.as_object().ok_or_else(|| wrong_type(path, "an object"))?;
    let kind = object.get("type").and_then(Value::as_str).filter(|kind| allowed.contains(kind));
    let keys: &[&str] = match kind {
        Some("input_text") => &["type", "text"],
        Some("input_image") => &["type", "image_url", "detail", "file_id"],
        Some("input_file") => &["type", "file_id", "file_data", "file_url", "filename"],
        Some("output_text") => &["type", "text", "annotations", "logprobs"],
        Some("refusal") => &["type", "refusal"],
        Some(_) | None => return Err(invalid_value(&format!("{path}.type"), allowed)),
    };
    only(object, keys, path)?;
    let text = match kind {
        Some("input_text" | "output_text") => "text",
        Some("refusal") => "refusal",
        Some(_) | None => return Ok(()),
    };
    match object.get(text) {
        Some(Value::String(_)) => Ok(()),
        Some(_) => Err(wrong_type(&format!("{path}.{text}"), "a string")),
        None => Err(missing(&format!("{path}.{text}"))),
    }
}

/// Reasoning is not stored: it comes back sealed, and only to the account that got it.
fn sealed(object: &Map<String, Value>, path: &str, asker: &Asker<'_>) -> Result<(), Refusal> {
    let id = object.get("id").and_then(Value::as_str).unwrap_or_default();
    if object.get("type").is_some_and(|kind| kind == "reasoning")
        && !object.get("summary").is_some_and(Value::is_array)
    {
        return Err(missing(&format!("{path}.summary")));
    }
    let Some(content) = object.get("encrypted_content").and_then(Value::as_str) else {
        let message = format!(
            "Item with id '{id}' not found. Items are not persisted when `store` is set to false. Try again with \
             `store` set to true, or remove this item from your input."
        );
        return Err(Refusal::invalid("invalid_request_error", "input", message));
    };
    if !asker.distrusts && asker.signer.opens(content, &asker.account.id) {
        return Ok(());
    }
    let message = format!(
        "The encrypted content for item {id} could not be verified. Reason: Encrypted content could not be \
         decrypted or parsed."
    );
    Err(Refusal::invalid("invalid_encrypted_content", path, message))
}

fn call<'a>(object: &'a Map<String, Value>, kind: &str, path: &str) -> Result<&'a str, Refusal> {
    let required: &[&str] = match kind {
        "function_call" => &["name", "arguments"],
        "custom_tool_call" => &["name", "input"],
        _ => &[],
    };
    for key in required {
        match object.get(*key) {
            Some(Value::String(_)) => {}
            Some(_) => return Err(wrong_type(&format!("{path}.{key}"), "a string")),
            None => return Err(missing(&format!("{path}.{key}"))),
        }
    }
    call_id(object, path)
}

fn output<'a>(object: &'a Map<String, Value>, path: &str) -> Result<&'a str, Refusal> {
    match object.get("output") {
        Some(Value::String(_)) => {}
        Some(Value::Array(parts)) => {
            for (index, part) in parts.iter().enumerate() {
                let path = format!("{path}.output[{index}]");
                content_part(part, &["input_text", "input_image", "input_file"], &path)?;
            }
        }
        Some(_) => return Err(wrong_type(&format!("{path}.output"), "a string or an array")),
        None => return Err(missing(&format!("{path}.output"))),
    }
    call_id(object, path)
}

fn call_id<'a>(object: &'a Map<String, Value>, path: &str) -> Result<&'a str, Refusal> {
    let id = object.get("call_id").and_then(Value::as_str).filter(|id| !id.is_empty());
    id.ok_or_else(|| missing(&format!("{path}.call_id")))
}
