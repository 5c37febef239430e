//! Promise: every exchange leaves one row with true facts, and the commands show them.
#![cfg(test)]

use codex_lb_test_support::{Events, Stack, chat_body, response_body};
use serde_json::{Value, json};

/// Input, cached, output and reasoning tokens from a `usage` object of either dialect.
fn tokens(usage: &Value) -> [Option<i64>; 4] {
    let first = |paths: [&str; 2]| paths.iter().find_map(|path| usage.pointer(path)).and_then(Value::as_i64);
    [
        first(["/prompt_tokens", "/input_tokens"]),
        first(["/prompt_tokens_details/cached_tokens", "/input_tokens_details/cached_tokens"]),
        first(["/completion_tokens", "/output_tokens"]),
        first(["/completion_tokens_details/reasoning_tokens", "/output_tokens_details/reasoning_tokens"]),
    ]
}

#[tokio::test]
async fn a_row_says_what_was_asked_who_served_and_what_it_took() {
    let stack = Stack::start(1).await;
    let account = stack.query("SELECT id FROM accounts");
    let mut body = chat_body("hello", true);
    body["reasoning_effort"] = json!("high");
    body["stream_options"] = json!({ "include_usage": true });
    let request = stack
        .client
        .post(stack.url("/v1/chat/completions"))
        .header("user-agent", "opencode/1.18.33 ai-sdk/1");
    let answer = request.json(&body).send().await.unwrap();
    let id = answer.headers()["x-request-id"].to_str().unwrap().to_owned();
    let events = Events::of(answer).all().await;
    let usage = events[events.len() - 2].json()["usage"].clone();

    let row = stack.rows_when(1).await.remove(0);
    assert_eq!(row.id, id);
    assert!(row.id.len() == 32 && row.id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
    assert_eq!(
        (row.route.as_str(), row.stream, row.status, row.outcome.as_str()),
        ("chat", true, 200, "completed")
    );
    assert_eq!(row.model.as_deref(), Some("gpt-5.4"));
    assert_eq!(row.effort.as_deref(), Some("high"));
    assert_eq!(row.client.as_deref(), Some("opencode/1.18.33"));
    assert_eq!(row.account_id.as_deref(), Some(account.as_str()));
    assert_eq!((row.key_id, row.error_code, row.attempts), (None, None, 1));
    let counted = [row.input_tokens, row.cached_tokens, row.output_tokens, row.reasoning_tokens];
    assert_eq!(counted, tokens(&usage), "{usage}");
    assert!(row.cost_micros > Some(0), "gpt-5.4 has a price: {:?}", row.cost_micros);
    let first = row.first_event_ms.unwrap();
    assert!((0..=row.duration_ms).contains(&first), "first event after {first} of {} ms", row.duration_ms);
    let digits = i64::from_str_radix(&row.id[..12], 16).unwrap();
    assert!(
        (digits - row.started_at).abs() < 1000,
        "the id's time is not the row's: {digits} {}",
        row.started_at
    );
}

#[tokio::test]
async fn every_route_and_form_is_counted_once() {
    let stack = Stack::start(2).await;
    let mut usages = Vec::new();
    let whole = stack.chat("one").await.1;
    usages.push(whole["usage"].clone());
    let events = stack.response_stream("two").await.all().await;
    usages.push(events.last().unwrap().json()["response"]["usage"].clone());
    let whole =
        stack.post("/v1/responses", &response_body("three", false)).await.json::<Value>().await.unwrap();
    usages.push(whole["usage"].clone());
    let native = json!({ "model": "gpt-5.4", "stream": true, "store": false, "instructions": "Be brief.",
        "input": [{ "type": "message", "role": "user", "content": [{ "type": "input_text", "text": "four" }] }] });
    let events = Events::of(stack.post("/backend-api/codex/responses", &native).await).all().await;
    let last = events.iter().rfind(|event| event.kind() == "response.completed").unwrap();
    usages.push(last.json()["response"]["usage"].clone());

    let rows = stack.rows_when(4).await;
    let routes: Vec<&str> = rows.iter().map(|row| row.route.as_str()).collect();
    assert_eq!(routes, ["chat", "responses", "responses", "codex_responses"]);
    let streams: Vec<bool> = rows.iter().map(|row| row.stream).collect();
    assert_eq!(streams, [false, true, false, true]);
    for (row, usage) in rows.iter().zip(&usages) {
        let counted = [row.input_tokens, row.cached_tokens, row.output_tokens, row.reasoning_tokens];
        assert_eq!(counted, tokens(usage), "{}: {usage}", row.route);
    }
    let total: i64 = rows.iter().map(|row| row.input_tokens.unwrap() + row.output_tokens.unwrap()).sum();
    for sums in ["hourly", "daily"] {
        assert_eq!(stack.query(&format!("SELECT sum(requests) FROM {sums}")), "4");
        assert_eq!(
            stack.query(&format!("SELECT sum(input_tokens + output_tokens) FROM {sums}")),
            total.to_string()
        );
    }
}

#[tokio::test]
async fn failures_are_rows_too_with_their_code() {
    let stack = Stack::start(1).await;
    stack.sim.fault("user1", "failed_first:context_length_exceeded").await;
    assert_eq!(stack.chat("too long").await.0, 400);
    let rows = stack.rows_when(1).await;
    assert_eq!((rows[0].outcome.as_str(), rows[0].status), ("failed", 400));
    assert_eq!(rows[0].error_code.as_deref(), Some("context_length_exceeded"));
    assert_eq!(rows[0].input_tokens, None);

    let refused = stack.post("/v1/chat/completions", &json!({ "model": "gpt-5.4", "messages": 7 })).await;
    assert_eq!(refused.status(), 400);
    let id = refused.headers()["x-request-id"].to_str().unwrap().to_owned();
    let rows = stack.rows_when(2).await;
    assert_eq!(rows[1].id, id, "a refusal cannot be looked up");
    assert_eq!((rows[1].outcome.as_str(), rows[1].status, rows[1].attempts), ("refused", 400, 0));
    assert_eq!(rows[1].account_id, None);
    assert_eq!(stack.query("SELECT sum(errors) FROM hourly"), "2");
}

#[tokio::test]
async fn the_usage_command_agrees_with_the_ledger() {
    let stack = Stack::start(1).await;
    for text in ["one", "two", "three"] {
        assert_eq!(stack.chat(text).await.0, 200);
    }
    let rows = stack.rows_when(3).await;
    let printed: Value =
        serde_json::from_str(&stack.succeeds(&["usage", "--json", "--requests", "2"])).unwrap();
    let text = printed.to_string();
    for row in &rows[1..] {
        assert!(text.contains(&row.id), "the newest two are missing: {printed}");
    }
    assert!(!text.contains(&rows[0].id), "more than two: {printed}");

    let input: i64 = rows.iter().map(|row| row.input_tokens.unwrap()).sum();
    for by in ["account", "key", "model"] {
        let printed = stack.succeeds(&["usage", "--json", "--by", by]);
        assert!(printed.contains(&input.to_string()), "--by {by}: no {input} in {printed}");
    }
    let people = stack.succeeds(&["usage"]);
    assert!(people.contains('3'), "{people}");
}
