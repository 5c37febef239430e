//! The order and content of events.

use super::*;

fn render_for(request: &Value, items: Vec<Item>, full_output: bool) -> Vec<Value> {
    let ask = Ask::read(request.as_object().unwrap());
    let sealed = ask.sealed.then(|| "gAAAAABx".to_owned());
    let input = Input { tokens: 300, cached: 256 };
    let setting = Setting { ask: &ask, input, nonce: "0a".into(), sealed, created_at: 7, full_output };
    let answer = render(&Plan { items, incomplete: None }, &setting);
    answer.events.iter().map(|event| parse(event)).collect()
}

fn parse(event: &[u8]) -> Value {
    let text = std::str::from_utf8(event).unwrap();
    let (kind, data) = text.strip_prefix("event: ").unwrap().split_once("\ndata: ").unwrap();
    let data: Value = serde_json::from_str(data.strip_suffix("\n\n").unwrap()).unwrap();
    assert_eq!(data["type"], kind);
    data
}

fn kinds(events: &[Value]) -> Vec<&str> {
    let mut kinds: Vec<&str> = events.iter().map(|event| event["type"].as_str().unwrap()).collect();
    kinds.dedup();
    kinds
}

#[test]
fn events_come_in_the_order_of_the_backend() {
    let request = json!({
        "model": "gpt-5.4", "reasoning": {"summary": "auto"}, "include": ["reasoning.encrypted_content"],
    });
    let events = render_for(&request, vec![Item::Text("one two".into())], false);
    let expected = "created in_progress output_item.added reasoning_summary_part.added \
        reasoning_summary_text.delta reasoning_summary_text.done reasoning_summary_part.done output_item.done \
        output_item.added content_part.added output_text.delta output_text.done content_part.done \
        output_item.done completed";
    let expected: Vec<String> = expected.split_whitespace().map(|kind| format!("response.{kind}")).collect();
    assert_eq!(kinds(&events), expected);
    for (number, event) in events.iter().enumerate() {
        assert_eq!(event["sequence_number"], number);
    }
    let done: Vec<&Value> =
        events.iter().filter(|event| event["type"] == "response.output_item.done").collect();
    assert_eq!(done[0]["item"]["encrypted_content"], "gAAAAABx");
    assert_eq!(done[1]["item"]["content"][0]["text"], "one two");
    let usage = &events.last().unwrap()["response"]["usage"];
    assert_eq!(usage["input_tokens_details"]["cached_tokens"], 256);
    assert_eq!(usage["output_tokens_details"]["reasoning_tokens"], 192);
}

#[test]
fn reasoning_is_bare_when_nothing_of_it_is_asked_for() {
    let events = render_for(&json!({"model": "gpt-5.4"}), vec![Item::Text("x".into())], false);
    let reasoning = events.iter().find(|event| event["type"] == "response.output_item.done").unwrap();
    assert_eq!(reasoning["item"]["summary"], json!([]));
    assert!(reasoning["item"].get("encrypted_content").is_none());
}

#[test]
fn arguments_come_in_pieces_and_whole() {
    let arguments = r#"{"command":"ls -la /tmp"}"#;
    let call = Item::Call { name: "bash".into(), namespace: None, arguments: arguments.into() };
    let events = render_for(&json!({"reasoning": {"effort": "none"}}), vec![call.clone(), call], true);
    let deltas = events.iter().filter(|event| event["type"] == "response.function_call_arguments.delta");
    let first: String = deltas
        .filter(|event| event["output_index"] == 0)
        .map(|event| event["delta"].as_str().unwrap())
        .collect();
    assert_eq!(first, arguments);
    let output = &events.last().unwrap()["response"]["output"];
    assert_eq!(output[0]["arguments"], arguments);
    assert_ne!(output[0]["call_id"], output[1]["call_id"]);
}

#[test]
fn the_terminal_event_holds_no_output_unless_told_to() {
    let events = render_for(&json!({}), vec![Item::Text("x".into())], false);
    assert_eq!(events.last().unwrap()["response"]["output"], json!([]));
}
