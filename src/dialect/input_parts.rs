//! The content parts of input items.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::fields::{Object, Path, Writer, is_text, list, text};
use super::input_items::ECHOED_KEYS;
use crate::error::Error;

/// The content again when something in it must change; `None`: fine as it is. Anything that is neither string nor
/// array is left to the upstream.
pub(super) fn edit(raw: &RawValue, role: &str, path: &Path<'_>) -> Result<Option<String>, Error> {
    if is_text(raw) {
        let answer = (role == "assistant").then(|| text(raw)).flatten();
        return Ok(answer.map(|answer| format!("[{}]", output_text(&answer))));
    }
    let Some(parts) = list(raw) else { return Ok(None) };
    let mut kept: Vec<Cow<'_, str>> = Vec::with_capacity(parts.len());
    let mut changed = false;
    for (index, part) in parts.iter().enumerate() {
        if !part.get().starts_with('{') {
            return Err(path.index(index).refuse("must be an object"));
        }
        let object = Object::parse(part, &path.index(index))?;
        match edit_part(&object, role, &path.index(index))? {
            Part::Same => kept.push(Cow::Borrowed(part.get())),
            Part::Built(json) => {
                changed = true;
                kept.push(Cow::Owned(json));
            }
            Part::Dropped => changed = true,
        }
    }
    Ok(changed.then(|| format!("[{}]", kept.join(","))))
}

enum Part {
    Same,
    Built(String),
    Dropped,
}

fn edit_part(object: &Object<'_>, role: &str, path: &Path<'_>) -> Result<Part, Error> {
    let kind = object.known_text("type").unwrap_or_default();
    match kind.as_ref() {
        "reasoning" | "reasoning_content" | "reasoning_details" => return Ok(Part::Dropped),
        "input_image" => check_image(object, path)?,
        _ => {}
    }
    if role == "assistant" && kind != "output_text" {
        let said = if kind == "refusal" { object.known_text("refusal") } else { part_text(object) };
        if let Some(said) = said {
            return Ok(Part::Built(output_text(&said)));
        }
    }
    let refused = |key: &str| {
        ECHOED_KEYS.contains(&key) || (key == "prompt_cache_breakpoint" && kind.starts_with("input_"))
    };
    if !object.entries.iter().any(|(key, _)| refused(key)) {
        return Ok(Part::Same);
    }
    let mut writer = Writer::default();
    for (key, raw) in object.entries.iter().filter(|(key, _)| !refused(key)) {
        writer.raw(key, raw.get());
    }
    Ok(Part::Built(writer.finish()))
}

fn check_image(object: &Object<'_>, path: &Path<'_>) -> Result<(), Error> {
    let stored = object.get("file_id").is_some()
        || object.known_text("image_url").is_some_and(|url| url.starts_with("sediment://"));
    if !stored {
        return Ok(());
    }
    Err(Error::Invalid {
        code: "unsupported_input_image_format",
        param: Some(path.to_string()),
        message: format!("{path} refers to a stored image. Send an https or data URL in image_url."),
    })
}

fn output_text(text: &str) -> String {
    Writer::default().text("type", "output_text").text("text", text).finish()
}

/// The text of a text part, whatever its writer called it.
pub(super) fn part_text<'a>(object: &Object<'a>) -> Option<Cow<'a, str>> {
    match object.known_text("type").as_deref() {
        None | Some("text" | "input_text" | "output_text") => object.known_text("text"),
        Some(_) => None,
    }
}

/// All text of a content, string or parts.
pub(super) fn text_of(raw: &RawValue, between: &str) -> String {
    if let Some(whole) = text(raw) {
        return whole.into_owned();
    }
    let parts = list(raw).unwrap_or_default();
    let texts = parts.iter().filter_map(|part| {
        if is_text(part) {
            return text(part);
        }
        part_text(&Object::parse(part, &Path::Root).ok()?)
    });
    texts.collect::<Vec<_>>().join(between)
}
