//! The check of strict JSON schemas that the upstream would answer with a closed connection.

use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::error::Error;

/// What the schema is for; decides code and wording.
#[derive(Clone, Copy)]
pub(super) enum Purpose<'a> {
    ResponseFormat(&'a str),
    Function(&'a str),
}

/// What makes a node valid without a `type`.
const COMBINATORS: [&str; 6] = ["anyOf", "oneOf", "allOf", "$ref", "enum", "const"];

/// Refuses the first violation: a node without `type`, an object that allows other properties or leaves some optional.
pub(super) fn check(schema: &RawValue, purpose: Purpose<'_>, param: &str) -> Result<(), Error> {
    // More than 128 levels end here: the parser refuses them.
    let violation = match serde_json::from_str::<Value>(schema.get()) {
        Ok(Value::Object(root)) => walk(&root, &mut Vec::new()).err(),
        Ok(_) => Some("In context=(), the schema must be an object.".to_owned()),
        Err(_) => Some("In context=(), the schema is nested too deeply.".to_owned()),
    };
    let Some(violation) = violation else { return Ok(()) };
    let (code, what, name) = match purpose {
        Purpose::ResponseFormat(name) => ("invalid_json_schema", "response_format", name),
        Purpose::Function(name) => ("invalid_function_parameters", "function", name),
    };
    Err(Error::Invalid {
        code,
        param: Some(param.to_owned()),
        message: format!("Invalid schema for {what} '{name}': {violation}"),
    })
}

fn walk(node: &Map<String, Value>, context: &mut Vec<String>) -> Result<(), String> {
    let types = node.get("type");
    if types.is_none() && !COMBINATORS.iter().any(|key| node.contains_key(*key)) {
        return Err(complaint(context, "schema must have a 'type' key."));
    }
    let is_object = match types {
        Some(Value::String(one)) => one == "object",
        Some(Value::Array(several)) => several.iter().any(|one| one == "object"),
        _ => false,
    };
    if is_object {
        check_object(node, context)?;
    }
    for key in ["properties", "$defs", "definitions"] {
        if let Some(Value::Object(children)) = node.get(key) {
            for (name, child) in children {
                descend(child, context, &[key, name])?;
            }
        }
    }
    for key in ["anyOf", "oneOf", "allOf", "prefixItems"] {
        if let Some(Value::Array(children)) = node.get(key) {
            for (index, child) in children.iter().enumerate() {
                descend(child, context, &[key, &index.to_string()])?;
            }
        }
    }
    node.get("items").map_or(Ok(()), |child| descend(child, context, &["items"]))
}

fn check_object(node: &Map<String, Value>, context: &[String]) -> Result<(), String> {
    if node.get("additionalProperties") != Some(&Value::Bool(false)) {
        return Err(complaint(context, "'additionalProperties' is required to be supplied and to be false."));
    }
    let Some(Value::Object(properties)) = node.get("properties") else { return Ok(()) };
    let required = node.get("required").and_then(Value::as_array);
    for name in properties.keys() {
        if !required.is_some_and(|names| names.iter().any(|one| one == name)) {
            let reason = format!(
                "'required' is required to be supplied and to be an array including every key in properties. Missing '{name}'."
            );
            return Err(complaint(context, &reason));
        }
    }
    Ok(())
}

fn descend(child: &Value, context: &mut Vec<String>, steps: &[&str]) -> Result<(), String> {
    let Value::Object(node) = child else { return Ok(()) };
    let depth = context.len();
    context.extend(steps.iter().map(|step| (*step).to_owned()));
    walk(node, context)?;
    context.truncate(depth);
    Ok(())
}

fn complaint(context: &[String], reason: &str) -> String {
    let steps: Vec<_> = context.iter().map(|step| format!("'{step}'")).collect();
    format!("In context=({}), {reason}", steps.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn violation(schema: &str) -> Option<String> {
        let raw: &RawValue = serde_json::from_str(schema).unwrap();
        check(raw, Purpose::ResponseFormat("out"), "text.format.schema").err().map(|error| error.message())
    }

    #[test]
    fn a_strict_schema_passes() {
        let schema = r##"{"type":"object","additionalProperties":false,"required":["a","b"],"properties":{
            "a":{"type":["string","null"]},"b":{"anyOf":[{"$ref":"#/$defs/c"},{"type":"null"}]}},
            "$defs":{"c":{"type":"array","items":{"enum":[1,2]}}}}"##;
        assert_eq!(violation(schema), None);
    }

    #[test]
    fn the_first_violation_is_named_with_its_place() {
        assert_eq!(
            violation(
                r#"{"type":"object","additionalProperties":false,"required":["a"],"properties":{"a":{}}}"#
            )
            .unwrap(),
            "Invalid schema for response_format 'out': In context=('properties', 'a'), schema must have a 'type' key."
        );
        assert!(violation(r#"{"type":"object"}"#).unwrap().contains("'additionalProperties' is required"));
        let optional =
            r#"{"type":"object","additionalProperties":false,"properties":{"a":{"type":"string"}}}"#;
        assert!(violation(optional).unwrap().ends_with("Missing 'a'."));
        let nested = r#"{"type":"array","items":{"anyOf":[{"type":"object"}]}}"#;
        assert!(violation(nested).unwrap().contains("('items', 'anyOf', '0')"));
    }

    #[test]
    fn a_schema_of_any_depth_is_answered() {
        let deep = format!(
            "{}{{\"type\":\"string\"}}{}",
            "{\"type\":\"array\",\"items\":".repeat(100_000),
            "}".repeat(100_000)
        );
        assert!(violation(&deep).unwrap().contains("nested too deeply"));
    }
}
