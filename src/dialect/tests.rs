//! What no single golden file shows: conversations over several turns, and promises that hold for any input.

use serde_json::{Value, json};

use super::*;
use crate::sse::Splitter;

fn turn() -> Turn {
    Turn { id: "0123456789abcdef0123456789abcdef".into(), started_at: 1_000, ..Turn::default() }
}

fn memory() -> ReasoningMemory {
    ReasoningMemory::new(1 << 20, None)
}

fn decoded(route: Route, body: &str, memory: &ReasoningMemory) -> (Call, Turn) {
    let mut turn = turn();
    let body = Bytes::copy_from_slice(body.as_bytes());
    let call = decode(route, &body, &mut turn, &Settings::default(), memory).unwrap();
    (call, turn)
}

fn rendered(route: Route, body: &str, memory: &ReasoningMemory) -> Value {
    let (call, turn) = decoded(route, body, memory);
    serde_json::from_slice(&call.render(&turn)).unwrap()
}

fn sse(events: &[Value]) -> Bytes {
    Bytes::from(events.iter().map(|event| format!("data: {event}\n\n")).collect::<String>())
}

fn reasoning(id: &str) -> Value {
    json!({"type":"reasoning","id":id,"status":"completed","summary":[],"encrypted_content":format!("sealed-{id}")})
}

fn call_item(id: &str) -> Value {
    json!({"type":"function_call","id":format!("fc_{id}"),"call_id":id,"name":"f","arguments":"{}","status":"completed"})
}

fn message_item(text: &str) -> Value {
    json!({"type":"message","id":"msg_1","role":"assistant","content":[{"type":"output_text","text":text}]})
}

/// Answers the request with these items and remembers their reasoning for the account.
fn answer(body: &Value, items: &[Value], account: &str, memory: &ReasoningMemory) {
    let (call, turn) = decoded(Route::Chat, &body.to_string(), memory);
    let mut encoder = call.encoder(&turn);
    let mut events = vec![json!({"type":"response.created","response":{"id":"resp_1"}})];
    events.extend((0..).zip(items).map(|(index, item): (u64, _)| {
        json!({"type":"response.output_item.done","output_index":index,"item":item})
    }));
    events.push(json!({"type":"response.completed","response":{"id":"resp_1","output":[]}}));
    for event in Splitter::new().push(sse(&events)).unwrap() {
        encoder.push(&event, &mut Vec::new());
    }
    if let Some(remembered) = encoder.remember() {
        memory.put(&remembered.anchors, account, remembered.items, turn.started_at);
    }
}

fn chat(messages: Value) -> Value {
    json!({"model":"gpt-5.4","stream":true,"messages":messages})
}

fn tool_call(id: &str) -> Value {
    json!({"id":id,"type":"function","function":{"name":"f","arguments":"{}"}})
}

/// The input in short: ids of reasoning and calls, roles of messages.
fn outline(body: &Value) -> Vec<String> {
    let name = |item: &Value| {
        let text = ["role", "id", "call_id"].iter().find_map(|key| item[*key].as_str()).unwrap();
        if item["type"] == "function_call_output" { format!("={text}") } else { text.to_owned() }
    };
    body["input"].as_array().unwrap().iter().map(name).collect()
}

#[test]
fn reasoning_comes_back_in_its_place_over_several_tool_calls() {
    let memory = memory();
    let mut messages = vec![json!({"role":"user","content":"go"})];
    let items = [reasoning("rs_1"), call_item("a"), reasoning("rs_2"), call_item("b")];
    answer(&chat(json!(messages)), &items, "acct", &memory);
    messages.push(json!({"role":"assistant","content":"","reasoning_details":"I think","tool_calls":[tool_call("a"),tool_call("b")]}));
    messages.push(json!({"role":"tool","tool_call_id":"a","content":"1"}));
    messages.push(json!({"role":"tool","tool_call_id":"b","content":"2"}));
    answer(&chat(json!(messages)), &[reasoning("rs_3"), message_item("Done.")], "acct", &memory);
    messages.push(json!({"role":"assistant","content":"Done.","reasoning_content":"thought"}));
    messages.push(json!({"role":"user","content":"more"}));
    let body = rendered(Route::Chat, &chat(json!(messages)).to_string(), &memory);
    let expected = ["user", "rs_1", "a", "rs_2", "b", "=a", "=b", "rs_3", "assistant", "user"];
    assert_eq!(outline(&body), expected);
    assert_eq!(
        body["input"][1],
        json!({"type":"reasoning","id":"rs_1","summary":[],"encrypted_content":"sealed-rs_1"})
    );
    assert!(!body.to_string().contains("I think") && !body.to_string().contains("thought"));
}

#[test]
fn the_prefix_of_a_conversation_stays_the_same_from_turn_to_turn() {
    let memory = memory();
    let first = chat(json!([{"role":"system","content":"S"},{"role":"user","content":"go"}]));
    answer(&first, &[reasoning("rs_1"), call_item("a")], "acct", &memory);
    let second = chat(json!([{"role":"system","content":"S"},{"role":"user","content":"go"},
        {"role":"assistant","content":null,"tool_calls":[tool_call("a")]},{"role":"tool","tool_call_id":"a","content":"1"}]));
    answer(&second, &[reasoning("rs_2"), call_item("b")], "acct", &memory);
    let mut third = second.clone();
    third["messages"].as_array_mut().unwrap().extend([
        json!({"role":"assistant","content":null,"tool_calls":[tool_call("b")]}),
        json!({"role":"tool","tool_call_id":"b","content":"2"}),
    ]);
    let bodies = [&first, &second, &third].map(|body| rendered(Route::Chat, &body.to_string(), &memory));
    for pair in bodies.windows(2) {
        let (shorter, longer) = (pair[0]["input"].as_array().unwrap(), pair[1]["input"].as_array().unwrap());
        assert!(longer.starts_with(shorter));
        assert_eq!(pair[0]["prompt_cache_key"], pair[1]["prompt_cache_key"]);
        assert_eq!(pair[0]["instructions"], pair[1]["instructions"]);
    }
    assert_eq!(outline(&bodies[2]), ["user", "rs_1", "a", "=a", "rs_2", "b", "=b"]);
}

#[test]
fn only_the_reasoning_of_the_account_that_answered_last_goes_back() {
    let memory = memory();
    let first = json!({"role":"user","content":"one"});
    answer(&chat(json!([first])), &[reasoning("rs_1"), call_item("a")], "old", &memory);
    let so_far = json!([first, {"role":"assistant","content":null,"tool_calls":[tool_call("a")]}, {"role":"tool","tool_call_id":"a","content":"1"}]);
    answer(&chat(so_far.clone()), &[reasoning("rs_2"), message_item("ok")], "new", &memory);
    let mut messages = so_far;
    messages.as_array_mut().unwrap().push(json!({"role":"assistant","content":"ok"}));
    let (call, turn) = decoded(Route::Chat, &chat(messages).to_string(), &memory);
    let body: Value = serde_json::from_slice(&call.render(&turn)).unwrap();
    assert_eq!(outline(&body), ["user", "a", "=a", "rs_2", "assistant"]);
    assert_eq!(call.reasoning_owner.as_deref(), Some("new"));
}

#[test]
fn another_key_s_reasoning_is_never_found() {
    let memory = memory();
    answer(
        &chat(json!([{"role":"user","content":"hi"}])),
        &[reasoning("rs_1"), message_item("ok")],
        "acct",
        &memory,
    );
    let body = chat(json!([{"role":"user","content":"hi"},{"role":"assistant","content":"ok"}])).to_string();
    let mut turn = turn();
    turn.key = Some(codex_lb_filters::KeyRef { id: "other".into(), name: "other".into() });
    let call = decode(Route::Chat, &Bytes::from(body), &mut turn, &Settings::default(), &memory).unwrap();
    assert_eq!(call.reasoning_owner, None);
}

#[test]
fn refused_reasoning_can_be_left_out() {
    let memory = memory();
    answer(
        &chat(json!([{"role":"user","content":"hi"}])),
        &[reasoning("rs_1"), message_item("ok")],
        "acct",
        &memory,
    );
    let body = chat(json!([{"role":"user","content":"hi"},{"role":"assistant","content":"ok"}])).to_string();
    let native =
        json!({"model":"m","input":[{"role":"user","content":"hi"}, reasoning("rs_1"), message_item("ok")]})
            .to_string();
    for (route, body) in [(Route::Chat, body), (Route::Responses, native)] {
        let (call, turn) = decoded(route, &body, &memory);
        assert!(String::from_utf8_lossy(&call.render(&turn)).contains("sealed"));
        let without: Value = serde_json::from_slice(&call.render_without_reasoning(&turn).unwrap()).unwrap();
        assert_eq!(outline(&without), ["user", "assistant"]);
    }
    let (call, turn) =
        decoded(Route::Chat, &chat(json!([{"role":"user","content":"hi"}])).to_string(), &memory);
    assert_eq!(call.render_without_reasoning(&turn), None);
}

#[test]
fn what_filters_change_is_what_is_sent() {
    let body = chat(json!([{"role":"user","content":"hi"}])).to_string();
    let (call, mut turn) = decoded(Route::Chat, &body, &memory());
    turn.model = "other".into();
    turn.effort = Some("ultra".into());
    turn.service_tier = Some("fast".into());
    let body: Value = serde_json::from_slice(&call.render(&turn)).unwrap();
    assert_eq!(
        (&body["model"], &body["reasoning"]["effort"], &body["service_tier"]),
        (&json!("other"), &json!("max"), &json!("priority"))
    );
}

#[test]
fn schemas_inputs_and_tools_keep_their_order_and_spelling() {
    let schema = r#"{"type":"object","properties":{"z":{"type":"string"},"a":{"type":"string"}}}"#;
    let body = format!(
        r#"{{"model":"m","messages":[{{"role":"user","content":"hi"}}],"response_format":{{"type":"json_schema","json_schema":{{"name":"n","schema":{schema}}}}},"tools":[{{"type":"function","function":{{"name":"f","parameters":{schema}}}}}]}}"#
    );
    let (call, turn) = decoded(Route::Chat, &body, &memory());
    assert_eq!(String::from_utf8_lossy(&call.render(&turn)).matches(schema).count(), 2);
    let input = r#"[ {"role" : "user", "content":"caf\u00e9"} , {"type":"function_call","call_id":"c","name":"f","arguments":"{}"}]"#;
    let native = format!(r#"{{"model":"m","instructions":"x","input":{input},"tools":[ {schema} ]}}"#);
    let (call, turn) = decoded(Route::CodexResponses, &native, &memory());
    let sent = call.render(&turn);
    let sent = String::from_utf8_lossy(&sent);
    assert!(sent.contains(input) && sent.contains(&format!("[ {schema} ]")), "{sent}");
}

#[test]
fn large_values_are_passed_on_without_a_copy() {
    let image = "A".repeat(1 << 20);
    let body = Bytes::from(format!(r#"{{"model":"m","input":[{{"role":"user","content":"{image}"}}]}}"#));
    let mut turn = turn();
    let call = decode(Route::CodexResponses, &body, &mut turn, &Settings::default(), &memory()).unwrap();
    let parts = call.render_parts(&turn);
    let range = body.as_ptr() as usize..body.as_ptr() as usize + body.len();
    assert!(parts.iter().any(|part| part.len() > 1 << 20 && range.contains(&(part.as_ptr() as usize))));
    assert_eq!(parts.concat(), call.render(&turn));
}

#[test]
fn the_openai_sdks_get_their_dialect_on_the_codex_route_too() {
    let body = Bytes::from_static(br#"{"model":"m","input":"hi"}"#);
    let mut turn = turn();
    let mut dialect = |name: &'static str, value: &'static str| {
        turn.headers.clear();
        turn.headers.insert(name, value.parse().unwrap());
        decode(Route::CodexResponses, &body, &mut turn, &Settings::default(), &memory()).unwrap().dialect
    };
    assert_eq!(dialect("user-agent", "codex_cli_rs/0.169.0"), Dialect::Codex);
    assert_eq!(dialect("user-agent", "OpenAI/Python 3.54.0"), Dialect::Responses);
    assert_eq!(dialect("x-stainless-lang", "js"), Dialect::Responses);
}

#[test]
fn unchanged_events_are_passed_on_as_the_bytes_they_came_in() {
    let (call, turn) = decoded(Route::Responses, r#"{"model":"m","input":"hi","stream":true}"#, &memory());
    let stream = sse(&[
        json!({"type":"response.created","response":{"id":"resp_1"}}),
        json!({"type":"response.output_text.delta","delta":"x","output_index":0}),
    ]);
    let mut encoder = call.encoder(&turn);
    let mut out = Vec::new();
    for event in Splitter::new().push(stream.clone()).unwrap() {
        encoder.push(&event, &mut out);
    }
    assert_eq!(out.concat(), stream);
    assert_eq!(out[0].as_ptr(), stream.as_ptr());
}

#[test]
fn no_body_however_broken_does_more_than_be_refused() {
    let good = include_str!("../../tests/golden/chat_request/weather_with_tool_result/request.json");
    let native = include_str!("../../tests/golden/codex_request/codex_cli_without_instructions/request.json");
    let memory = memory();
    let mut seed = 11_u64;
    for (route, text) in [(Route::Chat, good), (Route::Responses, native), (Route::CodexResponses, native)] {
        for _ in 0..3_000 {
            let mut bytes = text.as_bytes().to_vec();
            for _ in 0..3 {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let at = usize::try_from(seed >> 33).unwrap() % bytes.len();
                bytes[at] = b"{}[]\",:07nt\\ \xff"[usize::try_from(seed >> 20).unwrap() % 14];
            }
            let refused =
                decode(route, &Bytes::from(bytes), &mut turn(), &Settings::default(), &memory).err();
            assert!(refused.is_none_or(|error| error.status() == 400));
        }
    }
}

#[test]
fn wrong_types_are_refused_by_name() {
    for (field, value) in [
        ("stream", json!("yes")),
        ("tools", json!({})),
        ("messages", json!("hi")),
        ("reasoning", json!("high")),
        ("reasoning_effort", json!(3)),
        ("include", json!("x")),
        ("stream_options", json!([])),
        ("service_tier", json!(1)),
        ("text", json!("x")),
        ("verbosity", json!(1)),
        ("prompt_cache_key", json!(1)),
        ("parallel_tool_calls", json!("no")),
        ("instructions", json!(1)),
    ] {
        let mut body = chat(json!([{"role":"user","content":"hi"}]));
        body[field] = value;
        let body = Bytes::from(body.to_string());
        let error = decode(Route::Chat, &body, &mut turn(), &Settings::default(), &memory()).unwrap_err();
        assert_eq!((error.status(), &error.object()["param"]), (400, &json!(field)));
    }
}

#[test]
fn no_event_however_broken_stops_an_encoder() {
    let whole = include_bytes!("../../tests/golden/chat_stream/reasoning_between_tool_calls/upstream.sse");
    let mut seed = 5_u64;
    for route in [Route::Chat, Route::Responses, Route::CodexResponses] {
        for stream in [true, false] {
            let body = format!(r#"{{"model":"m","input":"hi","stream":{stream}}}"#);
            let (call, turn) = decoded(route, &body, &memory());
            for _ in 0..300 {
                let mut bytes = whole.to_vec();
                for _ in 0..20 {
                    seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    let at = usize::try_from(seed >> 33).unwrap() % bytes.len();
                    bytes[at] = b"{}[]\",:07nt\\ \n"[usize::try_from(seed >> 20).unwrap() % 14];
                }
                let mut splitter = Splitter::new();
                let mut events = splitter.push(Bytes::from(bytes)).unwrap();
                events.extend(splitter.finish());
                let mut encoder = call.encoder(&turn);
                let mut out = Vec::new();
                let ended = events.iter().any(|event| encoder.push(event, &mut out).is_some());
                if !ended {
                    encoder.break_off(&Error::Truncated, &mut out);
                }
                encoder.whole();
                encoder.remember();
            }
        }
    }
}
