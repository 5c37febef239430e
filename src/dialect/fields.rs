//! JSON objects read as borrowed fields, each kept as its writer wrote it, and the paths that errors name.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::error::Category;
use serde_json::value::RawValue;

use crate::error::Error;

/// Most keys of one object that is read. The largest known request has about thirty.
const MAX_KEYS: usize = 256;

/// The fields of one object, in order.
#[derive(Debug)]
pub(crate) struct Object<'a> {
    pub(crate) entries: Vec<(Cow<'a, str>, &'a RawValue)>,
    fault: Option<Fault>,
}

#[derive(Debug)]
enum Fault {
    Duplicate(String),
    TooMany,
}

/// Where a value stands in the request: `messages[3].content`.
#[derive(Clone, Copy)]
pub(crate) enum Path<'p> {
    Root,
    Key(&'p Path<'p>, &'p str),
    Index(&'p Path<'p>, usize),
}

impl<'p> Path<'p> {
    pub(crate) fn key(&'p self, key: &'p str) -> Self {
        Self::Key(self, key)
    }

    pub(crate) fn index(&'p self, index: usize) -> Self {
        Self::Index(self, index)
    }

    /// A 400 that names this place: `<path> <complaint>.`
    pub(crate) fn refuse(&self, complaint: &str) -> Error {
        match self {
            Self::Root => Error::Invalid {
                code: "invalid_request_error",
                param: None,
                message: format!("The request body {complaint}."),
            },
            Self::Key(..) | Self::Index(..) => {
                Error::invalid(self.to_string(), format!("{self} {complaint}."))
            }
        }
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => Ok(()),
            Self::Key(Self::Root, key) => f.write_str(key),
            Self::Key(parent, key) => write!(f, "{parent}.{key}"),
            Self::Index(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}

impl<'a> Object<'a> {
    /// The request body. Its content never gets into the error.
    pub(crate) fn of_body(body: &'a [u8]) -> Result<Self, Error> {
        let object: Self = serde_json::from_slice(body).map_err(|error| match error.classify() {
            Category::Data => Path::Root.refuse("must be a JSON object"),
            Category::Syntax | Category::Eof | Category::Io => Error::Invalid {
                code: "invalid_json",
                param: None,
                message: format!(
                    "The request body is not valid JSON (line {}, column {}).",
                    error.line(),
                    error.column()
                ),
            },
        })?;
        object.checked(&Path::Root)
    }

    /// A value that must be an object.
    pub(crate) fn parse(raw: &'a RawValue, path: &Path<'_>) -> Result<Self, Error> {
        let object: Self =
            serde_json::from_str(raw.get()).map_err(|_not_one| path.refuse("must be an object"))?;
        object.checked(path)
    }

    fn checked(self, path: &Path<'_>) -> Result<Self, Error> {
        match &self.fault {
            None => Ok(self),
            Some(Fault::Duplicate(key)) => Err(path.key(key).refuse("is given twice")),
            Some(Fault::TooMany) => Err(path.refuse(&format!("has more than {MAX_KEYS} fields"))),
        }
    }

    /// A field's value; `null` counts as absent.
    pub(crate) fn get(&self, key: &str) -> Option<&'a RawValue> {
        let raw = self.entries.iter().find(|(name, _)| name == key)?.1;
        (raw.get() != "null").then_some(raw)
    }

    pub(crate) fn text(&self, key: &str, path: &Path<'_>) -> Result<Option<Cow<'a, str>>, Error> {
        let Some(raw) = self.get(key) else { return Ok(None) };
        text(raw).map(Some).ok_or_else(|| path.key(key).refuse("must be a string"))
    }

    pub(crate) fn flag(&self, key: &str, path: &Path<'_>) -> Result<Option<bool>, Error> {
        match self.get(key).map(RawValue::get) {
            None => Ok(None),
            Some("true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            Some(_) => Err(path.key(key).refuse("must be true or false")),
        }
    }

    pub(crate) fn list(&self, key: &str, path: &Path<'_>) -> Result<Option<Vec<&'a RawValue>>, Error> {
        let Some(raw) = self.get(key) else { return Ok(None) };
        list(raw).map(Some).ok_or_else(|| path.key(key).refuse("must be an array"))
    }

    pub(crate) fn object(&self, key: &str, path: &Path<'_>) -> Result<Option<Self>, Error> {
        self.get(key).map(|raw| Self::parse(raw, &path.key(key))).transpose()
    }

    /// A string field, or `None` for anything else: for reading the upstream, where nothing is refused.
    pub(crate) fn known_text(&self, key: &str) -> Option<Cow<'a, str>> {
        self.get(key).and_then(text)
    }

    /// The object again, without some fields.
    pub(crate) fn without(&self, dropped: &[&str]) -> Writer {
        let mut writer = Writer::default();
        for (key, raw) in &self.entries {
            if !dropped.contains(&key.as_ref()) {
                writer.raw(key, raw.get());
            }
        }
        writer
    }
}

impl<'de> Deserialize<'de> for Object<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = Object<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
                let mut object = Object { entries: Vec::new(), fault: None };
                while let Some(Text(key)) = map.next_key()? {
                    if object.fault.is_some() {
                        map.next_value::<IgnoredAny>()?;
                        continue;
                    }
                    let value = map.next_value()?;
                    if object.entries.iter().any(|(name, _)| *name == key) {
                        object.fault = Some(Fault::Duplicate(key.chars().take(64).collect()));
                    } else if object.entries.len() == MAX_KEYS {
                        object.fault = Some(Fault::TooMany);
                    } else {
                        object.entries.push((key, value));
                    }
                }
                Ok(object)
            }
        }
        deserializer.deserialize_map(Fields)
    }
}

/// A string, borrowed when it holds no escape.
#[derive(serde::Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// The string a JSON literal means; `None` when it is no string.
pub(crate) fn text(raw: &RawValue) -> Option<Cow<'_, str>> {
    serde_json::from_str::<Text<'_>>(raw.get()).ok().map(|text| text.0)
}

/// The elements of an array; `None` when it is none.
pub(crate) fn list(raw: &RawValue) -> Option<Vec<&RawValue>> {
    serde_json::from_str(raw.get()).ok()
}

/// Whether the value is an array, told by its first byte.
pub(crate) fn is_list(raw: &RawValue) -> bool {
    raw.get().starts_with('[')
}

/// Whether the value is a string, told by its first byte.
pub(crate) fn is_text(raw: &RawValue) -> bool {
    raw.get().starts_with('"')
}

/// Writes one object field by field.
#[derive(Debug, Default, Clone)]
pub(crate) struct Writer(String);

impl Writer {
    /// A field whose value is JSON already.
    pub(crate) fn raw(&mut self, key: &str, json: &str) -> &mut Self {
        self.0.push(if self.0.is_empty() { '{' } else { ',' });
        push_literal(&mut self.0, key);
        self.0.push(':');
        self.0.push_str(json);
        self
    }

    pub(crate) fn text(&mut self, key: &str, value: &str) -> &mut Self {
        self.raw(key, "");
        push_literal(&mut self.0, value);
        self
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn finish(&mut self) -> String {
        if self.0.is_empty() {
            self.0.push('{');
        }
        self.0.push('}');
        std::mem::take(&mut self.0)
    }
}

/// Appends `value` as a JSON string.
pub(crate) fn push_literal(json: &mut String, value: &str) {
    // Serialising a string into memory cannot fail.
    json.push_str(&serde_json::to_string(value).unwrap_or_default());
}

/// `value` as a JSON string.
pub(crate) fn literal(value: &str) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(body: &[u8]) -> Error {
        Object::of_body(body).expect_err("the body must be refused")
    }

    #[test]
    fn broken_json_is_refused_by_place_and_without_its_content() {
        let error = refusal(b"{\"secret\": \"hunter2\",\n \"b\": }");
        assert_eq!(error.code(), "invalid_json");
        assert_eq!(error.message(), "The request body is not valid JSON (line 2, column 7).");
        for body in [&b""[..], b"{", b"{\"a\":\"\xff\"}", b"{\"a\":1}x"] {
            assert_eq!(refusal(body).code(), "invalid_json", "{body:?}");
        }
    }

    #[test]
    fn a_body_that_is_no_object_is_refused() {
        let deep = "[".repeat(1_000_000);
        for body in ["[]", "null", "\"x\"", "7", &deep] {
            assert_eq!(refusal(body.as_bytes()).status(), 400);
        }
    }

    #[test]
    fn a_field_given_twice_is_named() {
        let error = refusal(br#"{"model":"a","model":"b"}"#);
        assert_eq!(error.object()["param"], "model");
    }

    #[test]
    fn an_object_with_very_many_fields_is_refused() {
        let fields: Vec<_> = (0..100_000).map(|number| format!("\"k{number}\":0")).collect();
        assert_eq!(refusal(format!("{{{}}}", fields.join(",")).as_bytes()).status(), 400);
    }

    #[test]
    fn deep_nesting_inside_a_field_is_kept_as_it_is() {
        let body = format!("{{\"x\":{}{}}}", "[".repeat(200_000), "]".repeat(200_000));
        assert_eq!(Object::of_body(body.as_bytes()).unwrap().entries.len(), 1);
    }

    #[test]
    fn paths_are_written_as_clients_know_them() {
        let messages = Path::Root.key("messages");
        let third = messages.index(3);
        assert_eq!(third.key("content").to_string(), "messages[3].content");
    }

    #[test]
    fn a_writer_escapes_keys_and_text() {
        let mut writer = Writer::default();
        writer.text("a\"b", "c\nd").raw("n", "[1]");
        assert_eq!(writer.finish(), r#"{"a\"b":"c\nd","n":[1]}"#);
        assert_eq!(Writer::default().finish(), "{}");
    }
}
