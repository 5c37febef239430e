//! Chat tools, tool choices and response formats → their flat Responses forms.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::fields::{Object, Path, Writer, is_text, text};
use super::schema::{self, Purpose};
use super::tools;
use crate::error::Error;

/// Tools that only the Responses API has.
const UNSUPPORTED: [&str; 5] =
    ["file_search", "code_interpreter", "computer_use", "computer_use_preview", "image_generation"];

const NO_PARAMETERS: &str = r#"{"type":"object","properties":{}}"#;

/// `tools`, or the older `functions`; `None` when the client gave none.
pub(super) fn tools(body: &Object<'_>) -> Result<Option<String>, Error> {
    let root = Path::Root;
    let mut flat = Vec::new();
    if let Some(tools) = body.list("tools", &root)? {
        let path = root.key("tools");
        for (index, raw) in tools.iter().enumerate() {
            let at = path.index(index);
            flat.extend(tool(&Object::parse(raw, &at)?, raw, &at)?);
        }
    } else if let Some(functions) = body.list("functions", &root)? {
        let path = root.key("functions");
        for (index, raw) in functions.iter().enumerate() {
            let at = path.index(index);
            flat.extend(function(&Object::parse(raw, &at)?, &at)?);
        }
    } else {
        return Ok(None);
    }
    Ok(Some(format!("[{}]", flat.join(","))))
}

fn tool(object: &Object<'_>, raw: &RawValue, path: &Path<'_>) -> Result<Option<String>, Error> {
    let kind = object.text("type", path)?.unwrap_or(Cow::Borrowed("function"));
    if UNSUPPORTED.contains(&kind.as_ref()) {
        return Err(path.key("type").refuse(&format!("is an unsupported tool type: {kind}")));
    }
    match kind.as_ref() {
        "function" => match object.object("function", path)? {
            Some(nested) => function(&nested, &path.key("function")),
            None => function(object, path),
        },
        "custom" => match object.object("custom", path)? {
            Some(nested) => custom(&nested, &path.key("custom")),
            None => Ok(Some(raw.get().to_owned())),
        },
        _ => Ok(Some(tools::rename(object).unwrap_or_else(|| raw.get().to_owned()))),
    }
}

/// Nameless functions are left out. Chat functions are not strict unless they say so; upstream's default is another.
fn function(object: &Object<'_>, path: &Path<'_>) -> Result<Option<String>, Error> {
    let Some(name) = object.text("name", path)?.filter(|name| !name.is_empty()) else { return Ok(None) };
    tools::check_function(object, path)?;
    let strict = object.flag("strict", path)?.unwrap_or(false);
    let mut writer = Writer::default();
    writer.text("type", "function").text("name", &name);
    if let Some(description) = object.text("description", path)? {
        writer.text("description", &description);
    }
    writer.raw("parameters", object.get("parameters").map_or(NO_PARAMETERS, RawValue::get));
    writer.raw("strict", if strict { "true" } else { "false" });
    Ok(Some(writer.finish()))
}

fn custom(object: &Object<'_>, path: &Path<'_>) -> Result<Option<String>, Error> {
    let mut writer = Writer::default();
    writer.text("type", "custom");
    for (key, raw) in object.entries.iter().filter(|(key, _)| key != "format") {
        writer.raw(key, raw.get());
    }
    if let Some(format) = object.object("format", path)? {
        match format.object("grammar", &path.key("format"))? {
            Some(grammar) => {
                let mut flat = grammar.without(&["type"]);
                writer.raw("format", &flat.text("type", "grammar").finish());
            }
            None => {
                writer.raw("format", &format.without(&[]).finish());
            }
        }
    }
    Ok(Some(writer.finish()))
}

/// `tool_choice`, or the older `function_call`.
pub(super) fn tool_choice(body: &Object<'_>) -> Result<Option<String>, Error> {
    let root = Path::Root;
    if let Some(raw) = body.get("tool_choice") {
        return choice(raw, &root.key("tool_choice")).map(Some);
    }
    let Some(raw) = body.get("function_call") else { return Ok(None) };
    if is_text(raw) {
        return Ok(Some(raw.get().to_owned()));
    }
    let path = root.key("function_call");
    named("function", &Object::parse(raw, &path)?, &path).map(Some)
}

fn choice(raw: &RawValue, path: &Path<'_>) -> Result<String, Error> {
    if is_text(raw) {
        return Ok(raw.get().to_owned());
    }
    let object = Object::parse(raw, path)?;
    let kind = object.text("type", path)?.unwrap_or_default();
    if let Some(nested) = object.object(&kind, path).ok().flatten() {
        let at = path.key(&kind);
        return match kind.as_ref() {
            "function" | "custom" => named(&kind, &nested, &at),
            _ => allowed(&kind, &nested, &at),
        };
    }
    Ok(tools::rename(&object).unwrap_or_else(|| raw.get().to_owned()))
}

fn named(kind: &str, object: &Object<'_>, path: &Path<'_>) -> Result<String, Error> {
    let name = object.text("name", path)?.ok_or_else(|| path.key("name").refuse("must name a tool"))?;
    Ok(Writer::default().text("type", kind).text("name", &name).finish())
}

/// `allowed_tools`, whose entries are choices themselves.
fn allowed(kind: &str, object: &Object<'_>, path: &Path<'_>) -> Result<String, Error> {
    let mut writer = Writer::default();
    writer.text("type", kind);
    for (key, raw) in object.entries.iter().filter(|(key, _)| key != "tools") {
        writer.raw(key, raw.get());
    }
    if let Some(tools) = object.list("tools", path)? {
        let at = path.key("tools");
        let flat = tools.iter().enumerate().map(|(index, raw)| choice(raw, &at.index(index)));
        writer.raw("tools", &format!("[{}]", flat.collect::<Result<Vec<_>, _>>()?.join(",")));
    }
    Ok(writer.finish())
}

/// `response_format` → the JSON of `text.format`.
pub(super) fn response_format(body: &Object<'_>) -> Result<Option<String>, Error> {
    let root = Path::Root;
    let path = root.key("response_format");
    let Some(raw) = body.get("response_format") else { return Ok(None) };
    let own = body.object("text", &root)?;
    if own.is_some_and(|own| own.get("format").is_some()) {
        return Err(path.refuse("and text.format cannot both be given"));
    }
    if let Some(kind) = is_text(raw).then(|| text(raw)).flatten() {
        return Ok(Some(Writer::default().text("type", &kind).finish()));
    }
    let object = Object::parse(raw, &path)?;
    let kind = object.text("type", &path)?.ok_or_else(|| path.key("type").refuse("is missing"))?;
    if kind != "json_schema" {
        return Ok(Some(Writer::default().text("type", &kind).finish()));
    }
    let at = path.key("json_schema");
    let nested = object.object("json_schema", &path)?.ok_or_else(|| at.refuse("is missing"))?;
    let name = nested.text("name", &at)?.unwrap_or_default();
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    if name.is_empty() || name.len() > 64 || !name.bytes().all(fits) {
        return Err(at.key("name").refuse("must be 1 to 64 letters, digits, underscores or hyphens"));
    }
    let mut writer = nested.without(&["type"]);
    Ok(Some(writer.text("type", "json_schema").finish()))
}

/// A strict `text.format` must hold a strict schema.
pub(super) fn check_format(text_field: &str) -> Result<(), Error> {
    let root = Path::Root;
    let path = root.key("text");
    let Ok(raw) = serde_json::from_str::<&RawValue>(text_field) else { return Ok(()) };
    let Some(format) = Object::parse(raw, &path)?.object("format", &path)? else { return Ok(()) };
    let at = path.key("format");
    if format.flag("strict", &at)? != Some(true) {
        return Ok(());
    }
    let Some(schema) = format.get("schema") else { return Ok(()) };
    let name = format.text("name", &at)?.unwrap_or_default();
    schema::check(schema, Purpose::ResponseFormat(&name), "text.format.schema")
}
