//! What a checked request asks for.

use serde_json::{Map, Value};

/// A request, read as far as the answer depends on it.
#[derive(Debug)]
pub(crate) struct Ask<'a> {
    pub(crate) request: &'a Map<String, Value>,
    pub(crate) model: &'a str,
    /// Text of the last user message.
    pub(crate) text: String,
    /// Tool outputs after the last user message.
    pub(crate) outputs: usize,
    pub(crate) tools: Vec<Tool<'a>>,
    pub(crate) choice: Choice<'a>,
    pub(crate) parallel: bool,
    pub(crate) format: Format<'a>,
    /// Reasoning is wanted back sealed (`include`).
    pub(crate) sealed: bool,
    /// Reasoning summaries are wanted.
    pub(crate) summary: bool,
    pub(crate) effort: &'a str,
    /// The conversation is to be compacted, not answered.
    pub(crate) compaction: bool,
}

#[derive(Debug)]
pub(crate) struct Tool<'a> {
    pub(crate) name: &'a str,
    pub(crate) namespace: Option<&'a str>,
    /// Takes free text instead of JSON arguments.
    pub(crate) custom: bool,
    pub(crate) parameters: Option<&'a Value>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Choice<'a> {
    Auto,
    None,
    Required,
    Named(&'a str),
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Format<'a> {
    Text,
    JsonObject,
    Schema(&'a Value),
}

impl<'a> Ask<'a> {
    pub(crate) fn read(request: &'a Map<String, Value>) -> Self {
        let input = request.get("input").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let last_user = input.iter().rposition(|item| item.get("role").is_some_and(|role| role == "user"));
        let after = input.get(last_user.map_or(0, |index| index + 1)..).unwrap_or_default();
        let reasoning = |key: &str| request.get("reasoning")?.get(key)?.as_str();
        let includes = |name: &str| {
            let include = request.get("include").and_then(Value::as_array);
            include.is_some_and(|include| include.iter().any(|value| value == name))
        };
        Self {
            request,
            model: request.get("model").and_then(Value::as_str).unwrap_or_default(),
            text: last_user.and_then(|index| input.get(index)).map(message_text).unwrap_or_default(),
            outputs: after.iter().filter(|item| kind(item).ends_with("_output")).count(),
            tools: tools(request, input),
            choice: choice(request),
            parallel: request.get("parallel_tool_calls").and_then(Value::as_bool).unwrap_or(true),
            format: format(request),
            sealed: includes("reasoning.encrypted_content"),
            summary: reasoning("summary").is_some_and(|summary| summary != "none"),
            effort: reasoning("effort").unwrap_or("medium"),
            compaction: input.last().is_some_and(|item| kind(item) == "compaction_trigger"),
        }
    }
}

fn kind(item: &Value) -> &str {
    item.get("type").and_then(Value::as_str).unwrap_or("message")
}

fn message_text(item: &Value) -> String {
    match item.get("content") {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(parts)) => {
            let texts: Vec<&str> = parts.iter().filter_map(|part| part.get("text")?.as_str()).collect();
            texts.join("\n")
        }
        Some(_) | None => String::new(),
    }
}

/// The tools of the request and of `additional_tools` items; those of a namespace stand for themselves.
fn tools<'a>(request: &'a Map<String, Value>, input: &'a [Value]) -> Vec<Tool<'a>> {
    let list = |value: &'a Value| value.as_array().into_iter().flatten();
    let additional = input.iter().filter(|item| kind(item) == "additional_tools");
    let offered = request.get("tools").into_iter().chain(additional.filter_map(|item| item.get("tools")));
    let mut tools = Vec::new();
    for tool in offered.flat_map(list) {
        let namespace = tool.get("name").and_then(Value::as_str);
        match tool.get("tools") {
            Some(nested) => tools.extend(list(nested).filter_map(|tool| Tool::read(tool, namespace))),
            None => tools.extend(Tool::read(tool, None)),
        }
    }
    tools
}

impl<'a> Tool<'a> {
    /// `None` for the backend's own tools.
    fn read(tool: &'a Value, namespace: Option<&'a str>) -> Option<Self> {
        let custom = match tool.get("type")?.as_str()? {
            "function" => false,
            "custom" => true,
            _ => return None,
        };
        Some(Self {
            name: tool.get("name")?.as_str()?,
            namespace,
            custom,
            parameters: tool.get("parameters"),
        })
    }
}

fn choice(request: &Map<String, Value>) -> Choice<'_> {
    match request.get("tool_choice") {
        Some(Value::String(choice)) if choice == "none" => Choice::None,
        Some(Value::String(choice)) if choice == "required" => Choice::Required,
        Some(Value::Object(choice)) => {
            choice.get("name").and_then(Value::as_str).map_or(Choice::Auto, Choice::Named)
        }
        Some(_) | None => Choice::Auto,
    }
}

fn format(request: &Map<String, Value>) -> Format<'_> {
    let format = request.get("text").and_then(|text| text.get("format"));
    match format.and_then(|format| format.get("type")).and_then(Value::as_str) {
        Some("json_object") => Format::JsonObject,
        Some("json_schema") => {
            format.and_then(|format| format.get("schema")).map_or(Format::JsonObject, Format::Schema)
        }
        Some(_) | None => Format::Text,
    }
}
