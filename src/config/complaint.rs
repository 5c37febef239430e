//! Words for what is wrong: file, line, column, dotted path, what was expected, the nearest valid name.

use serde_yaml::Error;

use super::outline::{Outline, Place, parent};
use super::{ConfigError, Problem};

/// Characters.
const MAX_MESSAGE: usize = 400;

/// What `check` and `meaning` found.
pub(super) fn of_problem(problem: &Problem, text: &str, name: &str) -> ConfigError {
    let Problem { path, message } = problem;
    let place = Outline::of(text).place(path);
    located(name, place, &format!("{path}: {message}"))
}

/// What the YAML reader refused.
pub(super) fn of_yaml(error: &Error, text: &str, name: &str) -> ConfigError {
    let outline = Outline::of(text);
    let place = error.location().and_then(Place::of);
    located(name, place, &words(error, &outline, place))
}

/// One line, not longer than anybody reads, whatever the file says.
fn located(name: &str, place: Option<Place>, message: &str) -> ConfigError {
    let message = message.split_whitespace().collect::<Vec<_>>().join(" ");
    let message: String = message.chars().take(MAX_MESSAGE).collect();
    match place {
        Some(Place { line, column }) => ConfigError(format!("{name}:{line}:{column}: {message}")),
        None => ConfigError(format!("{name}: {message}")),
    }
}

fn words(error: &Error, outline: &Outline, place: Option<Place>) -> String {
    if let Error::SerdeUnknownField { field, expected, .. } = error {
        let key = place.and_then(|place| outline.key_at(place));
        let section = key.and_then(parent).map(|section| format!(" in {section}")).unwrap_or_default();
        return format!("unknown key {field:?}{section}{}", choices(field, expected));
    }
    if let Error::DuplicateMappingKey { key: Some(key), .. } = error {
        return format!("the key {key:?} is given twice; keep one");
    }
    let value = place.and_then(|place| outline.value_at(place));
    let path = if let Error::SerdeMissingField { .. } = error {
        place.and_then(|place| outline.key_at(place)).and_then(parent).or(value)
    } else {
        value
    };
    match path {
        Some(path) => format!("{path}: {}", reason(error, path)),
        None => reason(error, ""),
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the reader's own words are good enough for the rest")]
fn reason(error: &Error, path: &str) -> String {
    match error {
        Error::SerdeUnknownVariant { variant, expected, .. } => {
            let noun = if path.starts_with("filters[") { "filter" } else { "value" };
            format!("unknown {noun} {variant:?}{}", choices(variant, expected))
        }
        Error::SerdeMissingField { field, .. } => format!("{field:?} is missing"),
        Error::Message { msg, .. } => bare(msg).to_owned(),
        Error::InvalidScalar { ty, .. } => format!("expected {}", plain(ty)),
        Error::Unexpected { expected, .. } => format!("expected {}", plain(expected)),
        Error::NullIntoString { .. } => "has no value; write one, or remove the key".into(),
        Error::UnexpectedValueForUnitEnumVariant { .. } => "takes no options; write its name alone".into(),
        Error::ExpectedMappingEndAfterEnumVariantValue { .. } => {
            "one name per list entry; begin a new line with \"- \"".into()
        }
        Error::MergeKeyNotAllowed { .. } => "merge keys (<<) are not supported; write the keys out".into(),
        Error::Budget { .. } => {
            "anchors, several documents and very deep or long files are not supported; write plain YAML"
                .into()
        }
        other => bare(&other.render()).to_owned(),
    }
}

/// The place is stated in front already.
fn bare(message: &str) -> &str {
    message.rsplit_once(" at line ").map_or(message, |(bare, _)| bare)
}

/// The reader's names for shapes, in everyday words.
fn plain(shape: &str) -> &str {
    match shape {
        "string scalar" => "a single value",
        "mapping start" => "keys with values, such as \"key: value\"",
        "sequence start" => "a list, such as [a, b]",
        "bool" => "true or false",
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number, 0 or more",
        "i8" | "i16" | "i32" | "i64" => "a whole number",
        "f32" | "f64" => "a number",
        other => other,
    }
}

/// `; did you mean "x"? (known: …)`
fn choices(word: &str, known: &[&str]) -> String {
    let mut known = known.to_vec();
    known.sort_unstable();
    let nearest = known
        .iter()
        .map(|name| (strsim::jaro_winkler(word, name), name))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|(one, _), (other, _)| one.total_cmp(other))
        .map(|(_, name)| format!("; did you mean {name:?}?"));
    format!("{} (known: {})", nearest.unwrap_or_default(), known.join(", "))
}
