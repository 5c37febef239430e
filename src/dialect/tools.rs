//! `tools` and `tool_choice` of a Responses request: kept as written, but for a renamed type; strict schemas checked.

use serde_json::value::RawValue;

use super::fields::{Object, Path, list};
use super::schema::{self, Purpose};
use crate::error::Error;

/// The tools again when one must change; `None`: fine as they are.
pub(super) fn edit(raw: &RawValue) -> Result<Option<String>, Error> {
    let root = Path::Root;
    let path = root.key("tools");
    let tools = list(raw).ok_or_else(|| path.refuse("must be an array"))?;
    let mut kept = Vec::with_capacity(tools.len());
    let mut changed = false;
    for (index, tool) in tools.iter().enumerate() {
        let at = path.index(index);
        let object = Object::parse(tool, &at)?;
        check_function(&object, &at)?;
        let renamed = rename(&object);
        changed |= renamed.is_some();
        kept.push(renamed.unwrap_or_else(|| tool.get().to_owned()));
    }
    Ok(changed.then(|| format!("[{}]", kept.join(","))))
}

/// A strict function's parameters must be a strict schema.
pub(super) fn check_function(function: &Object<'_>, path: &Path<'_>) -> Result<(), Error> {
    if function.flag("strict", path)? != Some(true) {
        return Ok(());
    }
    let Some(parameters) = function.get("parameters") else { return Ok(()) };
    let name = function.text("name", path)?.unwrap_or_default();
    schema::check(parameters, Purpose::Function(&name), &path.key("parameters").to_string())
}

/// The tool or choice under the type's current name, when it has an old one.
pub(super) fn rename(object: &Object<'_>) -> Option<String> {
    let old = object.known_text("type")?.starts_with("web_search_preview");
    old.then(|| object.without(&["type"]).text("type", "web_search").finish())
}

/// The choice again when it must change; `None`: fine as it is.
pub(super) fn edit_choice(raw: &RawValue) -> Option<String> {
    rename(&Object::parse(raw, &Path::Root).ok()?)
}
