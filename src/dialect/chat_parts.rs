//! Content parts of chat messages → parts of input items.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::fields::{Object, Path, Writer, is_text, list, literal, text};
use super::input_parts::part_text;
use crate::error::Error;

/// A user's content: string or parts.
pub(super) fn user(content: &RawValue, path: &Path<'_>) -> Result<String, Error> {
    if let Some(whole) = text(content) {
        return Ok(format!("[{}]", text_part("input_text", &whole)));
    }
    let parts = list(content).ok_or_else(|| path.refuse("must be a string or array"))?;
    let flat = parts.iter().enumerate().map(|(index, raw)| user_part(raw, &path.index(index)));
    Ok(format!("[{}]", flat.collect::<Result<Vec<_>, _>>()?.join(",")))
}

fn user_part(raw: &RawValue, path: &Path<'_>) -> Result<String, Error> {
    if let Some(whole) = text(raw) {
        return Ok(text_part("input_text", &whole));
    }
    let part = Object::parse(raw, path)?;
    let kind = part.text("type", path)?.unwrap_or(Cow::Borrowed("text"));
    match kind.as_ref() {
        "text" | "input_text" | "output_text" => {
            let said = part.text("text", path)?.ok_or_else(|| path.key("text").refuse("is missing"))?;
            Ok(text_part("input_text", &said))
        }
        "image_url" => image(&part, path),
        "input_audio" => Err(path.key("type").refuse("is input_audio: audio input is not supported")),
        "file" => {
            let at = path.key("file");
            let nested = part.object("file", path)?.ok_or_else(|| at.refuse("is missing"))?;
            file(&nested, &at)
        }
        _ => Err(path.key("type").refuse(&format!("is an unsupported user content part type: {kind}"))),
    }
}

fn image(part: &Object<'_>, path: &Path<'_>) -> Result<String, Error> {
    let at = path.key("image_url");
    let raw = part.get("image_url").ok_or_else(|| at.refuse("is missing"))?;
    let (url, detail) = if is_text(raw) {
        (text(raw), None)
    } else {
        let nested = Object::parse(raw, &at)?;
        (nested.text("url", &at)?, nested.text("detail", &at)?)
    };
    let url = url.ok_or_else(|| at.key("url").refuse("is missing"))?;
    let mut writer = Writer::default();
    writer.text("type", "input_image").text("image_url", &url);
    if let Some(detail) = detail {
        writer.text("detail", &detail);
    }
    Ok(writer.finish())
}

fn file(file: &Object<'_>, path: &Path<'_>) -> Result<String, Error> {
    if file.get("file_id").is_some() {
        return Err(path.key("file_id").refuse("is not supported: send the file in file_data"));
    }
    if let Some(url) = file.text("file_url", path)? {
        return Ok(file_part(&url));
    }
    let data = match file.text("file_data", path)? {
        Some(data) => data,
        None => file.text("data", path)?.ok_or_else(|| path.key("file_data").refuse("is missing"))?,
    };
    if data.starts_with("data:") {
        return Ok(file_part(&data));
    }
    let mime = match file.text("mime_type", path)? {
        Some(mime) => Some(mime),
        None => file.text("content_type", path)?,
    };
    let mime = mime.as_deref().unwrap_or("application/octet-stream");
    Ok(file_part(&format!("data:{mime};base64,{data}")))
}

fn file_part(url: &str) -> String {
    Writer::default().text("type", "input_file").text("file_url", url).finish()
}

fn text_part(kind: &str, said: &str) -> String {
    Writer::default().text("type", kind).text("text", said).finish()
}

/// An assistant's content and refusal; `None` when it said nothing.
pub(super) fn assistant(message: &Object<'_>, path: &Path<'_>) -> Result<Option<String>, Error> {
    let mut parts = Vec::new();
    let at = path.key("content");
    match message.get("content") {
        None => {}
        Some(content) if is_text(content) => parts.extend(text(content).as_deref().and_then(output_text)),
        Some(content) => {
            let raws = list(content).ok_or_else(|| at.refuse("must be a string or array"))?;
            for (index, raw) in raws.iter().enumerate() {
                parts.extend(assistant_part(&Object::parse(raw, &at.index(index))?, &at.index(index))?);
            }
        }
    }
    if let Some(refusal) = message.text("refusal", path)?.filter(|refusal| !refusal.is_empty()) {
        parts.push(refusal_part(&refusal));
    }
    Ok((!parts.is_empty()).then(|| format!("[{}]", parts.join(","))))
}

fn assistant_part(part: &Object<'_>, path: &Path<'_>) -> Result<Option<String>, Error> {
    if let Some(said) = part_text(part) {
        return Ok(output_text(&said));
    }
    match part.text("type", path)?.as_deref() {
        Some("refusal") => Ok(part.text("refusal", path)?.as_deref().map(refusal_part)),
        // Echoes of reasoning never go upstream as content.
        Some("reasoning" | "reasoning_content" | "reasoning_details" | "thinking" | "redacted_thinking") => {
            Ok(None)
        }
        _ => Err(path.key("type").refuse("must be text or refusal")),
    }
}

fn output_text(said: &str) -> Option<String> {
    (!said.is_empty()).then(|| text_part("output_text", said))
}

fn refusal_part(said: &str) -> String {
    Writer::default().text("type", "refusal").text("refusal", said).finish()
}

/// A tool's result: one string, or parts when there is an image among them.
pub(super) fn tool_output(content: Option<&RawValue>, path: &Path<'_>) -> Result<String, Error> {
    let Some(content) = content else { return Ok(literal("")) };
    if is_text(content) {
        return Ok(content.get().to_owned());
    }
    let Some(raws) = list(content) else { return Err(path.refuse("must be a string or array")) };
    let mut said = String::new();
    for (index, raw) in raws.iter().enumerate() {
        let part = Object::parse(raw, &path.index(index))?;
        match part_text(&part) {
            Some(piece) => said.push_str(&piece),
            None if part.known_text("type").as_deref() == Some("image_url") => return user(content, path),
            None => {}
        }
    }
    Ok(literal(&said))
}

/// System messages hold nothing but text.
pub(super) fn only_text(raw: &RawValue, path: &Path<'_>) -> Result<(), Error> {
    if is_text(raw) || part_text(&Object::parse(raw, path)?).is_some() {
        return Ok(());
    }
    Err(path.refuse("is not text: system messages must be text-only"))
}
