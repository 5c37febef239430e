//! A JSON value that fits a JSON schema, always the same one.

use serde_json::{Map, Value, json};

/// Deeper schemas (or references in a circle) end in `null`.
const MAX_DEPTH: usize = 24;
/// Items made for an array at most, whatever `minItems` says.
const MAX_ITEMS: u64 = 16;

/// The value; every property is filled in, also optional ones.
pub(crate) fn fit(schema: &Value) -> Value {
    Fitter { root: schema }.fit(schema, MAX_DEPTH)
}

struct Fitter<'a> {
    root: &'a Value,
}

impl Fitter<'_> {
    fn fit(&self, schema: &Value, depth: usize) -> Value {
        let Some(depth) = depth.checked_sub(1) else { return Value::Null };
        if let Some(target) = schema.get("$ref").and_then(Value::as_str) {
            let found = target.strip_prefix('#').and_then(|pointer| self.root.pointer(pointer));
            return found.map_or(Value::Null, |found| self.fit(found, depth));
        }
        if let Some(value) = schema.get("const").or_else(|| schema.get("enum")?.get(0)) {
            return value.clone();
        }
        for combinator in ["anyOf", "oneOf", "allOf"] {
            let choices = schema.get(combinator).and_then(Value::as_array);
            let is_null = |choice: &&Value| choice.get("type").is_some_and(|kind| kind == "null");
            if let Some(choice) = choices.and_then(|choices| choices.iter().find(|choice| !is_null(choice))) {
                return self.fit(choice, depth);
            }
        }
        let kind = match schema.get("type") {
            Some(Value::String(kind)) => kind.as_str(),
            Some(Value::Array(kinds)) => {
                kinds.iter().filter_map(Value::as_str).find(|kind| *kind != "null").unwrap_or("null")
            }
            Some(_) | None if schema.get("properties").is_some() => "object",
            Some(_) | None => "string",
        };
        match kind {
            "object" => self.object(schema, depth),
            "array" => self.array(schema, depth),
            "integer" | "number" => number(schema, kind == "integer"),
            "boolean" => json!(true),
            "null" => Value::Null,
            _ => text(schema),
        }
    }

    fn object(&self, schema: &Value, depth: usize) -> Value {
        let properties = schema.get("properties").and_then(Value::as_object);
        let filled =
            properties.into_iter().flatten().map(|(name, schema)| (name.clone(), self.fit(schema, depth)));
        Value::Object(filled.collect::<Map<_, _>>())
    }

    fn array(&self, schema: &Value, depth: usize) -> Value {
        let count = schema.get("minItems").and_then(Value::as_u64).unwrap_or(1).clamp(1, MAX_ITEMS);
        let Some(items) = schema.get("items") else { return json!([]) };
        (0..count).map(|_| self.fit(items, depth)).collect()
    }
}

fn number(schema: &Value, whole: bool) -> Value {
    let least = schema.get("minimum").cloned();
    let above =
        schema.get("exclusiveMinimum").and_then(Value::as_i64).map(|least| json!(least.saturating_add(1)));
    let most = schema.get("maximum").filter(|most| most.as_f64().is_some_and(|most| most < 1.0)).cloned();
    least.or(above).or(most).unwrap_or_else(|| if whole { json!(1) } else { json!(1.5) })
}

fn text(schema: &Value) -> Value {
    let sample = match schema.get("format").and_then(Value::as_str) {
        Some("date") => "2026-08-20",
        Some("date-time") => "2026-08-20T09:12:33Z",
        Some("email") => "me@example.com",
        Some("uri") => "https://example.com/",
        Some("uuid") => "3f1c0000-0000-4000-8000-000000000001",
        Some(_) | None => "text",
    };
    let length =
        |key: &str| schema.get(key).and_then(Value::as_u64).and_then(|length| usize::try_from(length).ok());
    let least = length("minLength").unwrap_or(0).min(4096);
    let most = length("maxLength").unwrap_or(usize::MAX).max(least);
    let padded = sample.chars().chain(std::iter::repeat('x'));
    json!(padded.take(sample.len().max(least).min(most)).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_value_is_made() {
        let schema = json!({
            "type": "object",
            "properties": {
                "name": {"type": "string", "minLength": 6}, "age": {"type": "integer", "minimum": 18},
                "kind": {"enum": ["b", "c"]}, "tags": {"type": "array", "items": {"$ref": "#/$defs/tag"}},
                "maybe": {"type": ["null", "boolean"]}, "any": {"anyOf": [{"type": "null"}, {"const": 7}]},
            },
            "$defs": {"tag": {"type": "object", "properties": {"at": {"type": "string", "format": "date"}}}},
        });
        let expected = json!({
            "name": "textxx", "age": 18, "kind": "b", "tags": [{"at": "2026-08-20"}], "maybe": true, "any": 7,
        });
        assert_eq!(fit(&schema), expected);
    }

    #[test]
    fn a_schema_that_refers_to_itself_ends() {
        let schema = json!({"type": "object", "properties": {"next": {"$ref": "#"}}});
        assert!(fit(&schema).to_string().ends_with("null}}}}}}}}}}}}"));
    }
}
