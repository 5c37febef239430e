//! Which message leads to which answer.

use serde_json::json;

use super::*;

/// The plan for a user message after which `outputs` tools have answered; tools `bash`, `read` and custom `patch`.
fn plan_of(text: &str, outputs: usize, extra: &Value) -> Plan {
    let mut input = vec![json!({"role": "user", "content": [{"type": "input_text", "text": text}]})];
    for index in 0..outputs {
        input.push(
            json!({"type": "function_call", "call_id": index.to_string(), "name": "x", "arguments": "{}"}),
        );
        input.push(json!({"type": "function_call_output", "call_id": index.to_string(), "output": ""}));
    }
    let mut request = json!({"model": "gpt-5.4", "input": input, "tools": [
        {"type": "function", "name": "bash", "parameters":
            {"type": "object", "properties": {"command": {"type": "string"}}}},
        {"type": "function", "name": "read"}, {"type": "custom", "name": "patch"},
    ]});
    for (key, value) in extra.as_object().unwrap() {
        request[key] = value.clone();
    }
    plan(&Ask::read(request.as_object().unwrap()))
}

fn call(name: &str, arguments: &str) -> Item {
    Item::Call { name: name.into(), namespace: None, arguments: arguments.into() }
}

const STEPS: &str = r#""please sim:call bash {"command":"ls"} and read {"p": "a then b"} then patch "*** x" then say all done""#;

#[test]
fn the_step_is_chosen_by_counting_tool_outputs() {
    let first = [call("bash", r#"{"command":"ls"}"#), call("read", r#"{"p": "a then b"}"#)];
    assert_eq!(plan_of(STEPS, 0, &json!({})).items, first);
    let second = Item::Custom { name: "patch".into(), input: "*** x".into() };
    assert_eq!(plan_of(STEPS, 2, &json!({})).items, [second]);
    assert_eq!(plan_of(STEPS, 3, &json!({})).items, [Item::Text("all done".into())]);
}

#[test]
fn parallel_calls_come_one_by_one_when_they_are_switched_off() {
    let extra = json!({"parallel_tool_calls": false});
    assert_eq!(plan_of(STEPS, 1, &extra).items, [call("read", r#"{"p": "a then b"}"#)]);
}

#[test]
fn without_tools_or_with_tool_choice_none_there_is_only_text() {
    for extra in [json!({"tools": []}), json!({"tool_choice": "none"})] {
        assert_eq!(plan_of(STEPS, 0, &extra).items, [Item::Text("all done".into())]);
    }
}

#[test]
fn a_tool_can_be_forced() {
    let extra = json!({"tool_choice": {"type": "function", "name": "bash"}});
    assert_eq!(plan_of("hi", 0, &extra).items, [call("bash", r#"{"command":"text"}"#)]);
    assert_eq!(plan_of("hi", 0, &json!({"tool_choice": "required"})).items.len(), 1);
}

#[test]
fn a_number_of_steps_can_be_asked_for() {
    assert_eq!(plan_of("sim:tools=2", 1, &json!({})).items, [call("bash", r#"{"command":"text"}"#)]);
    assert_eq!(plan_of("sim:tools=2", 2, &json!({})).items, [Item::Text("Done.".into())]);
    assert!(matches!(plan_of("sim:custom_tool", 0, &json!({})).items[..], [Item::Custom { .. }]));
}

#[test]
fn text_can_be_long_cut_short_refused_or_searched_for() {
    let long = plan_of("sim:words=12 sim:incomplete", 0, &json!({}));
    assert_eq!(long.incomplete, Some("max_output_tokens"));
    assert!(matches!(&long.items[..], [Item::Text(text)] if text.split(' ').count() == 12));
    assert!(matches!(plan_of("sim:refusal", 0, &json!({})).items[..], [Item::Refusal(_)]));
    assert!(matches!(
        plan_of("sim:web_search", 0, &json!({})).items[..],
        [Item::WebSearch(_), Item::Cited(_)]
    ));
    assert_eq!(plan_of("hello", 0, &json!({})).items, [Item::Text(PLAIN.into())]);
}

#[test]
fn a_schema_in_the_request_is_met_without_a_directive() {
    let schema = json!({"type": "object", "properties": {"ok": {"type": "boolean"}}});
    let extra = json!({"text": {"format": {"type": "json_schema", "name": "n", "schema": schema}}});
    assert_eq!(plan_of("hi", 0, &extra).items, [Item::Text(r#"{"ok":true}"#.into())]);
}

#[test]
fn unknown_tools_and_broken_directives_do_no_harm() {
    let unknown = plan_of("sim:call gone {}", 0, &json!({}));
    assert_eq!(unknown.items, [Item::Text("The tool gone was not offered.".into())]);
    for text in ["sim:", "sim:call", "sim:call {", "sim:call bash {", "sim:words=x", "sim:tools=", "sim:ü"] {
        plan_of(text, 0, &json!({}));
    }
}
