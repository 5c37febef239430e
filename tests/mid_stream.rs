//! Promise: what breaks after output ends in one well-formed error event; nothing hangs, nothing is replayed, and
//! everything held for the exchange is released.
#![cfg(test)]

use std::time::Duration;

use codex_lb_test_support::{
    Event, Events, Setup, Stack, chat_body, chat_text, response_body, response_text,
};
use serde_json::{Value, json};

/// How a stream can break after so many events that there was output.
const BREAKS: [&str; 4] = ["die_after:60", "end_after:60", "stall_after:60", "failed_after:60:server_error"];

/// A message whose answer has far more events than pass before the break.
const LONG: &str = "sim:words=400";

async fn breaking(fault: &str) -> Stack {
    let config = json!({ "upstream": { "timeouts": { "idle": "1s" } } });
    let stack = Stack::with(Setup { accounts: 2, config, ordered: true, ..Setup::default() }).await;
    stack.sim.fault("user1", fault).await;
    stack
}

fn check_error(error: &Value, what: &str) {
    for field in ["message", "code"] {
        assert!(error[field].as_str().is_some_and(|text| !text.is_empty()), "{what}: no {field}: {error}");
    }
}

/// Everything is released: upstream streams, the account's lease, and the row says what happened.
async fn released(stack: &Stack, what: &str) {
    stack.sim.wait_open(0, Duration::from_secs(5)).await;
    let rows = stack.rows_when(1).await;
    let row = &rows[0];
    assert_eq!((row.outcome.as_str(), row.status), ("failed", 200), "{what}: {row:?}");
    assert!(row.error_code.is_some(), "{what}: {row:?}");
    assert_eq!(row.attempts, 1, "{what}: replayed after output: {row:?}");
    assert_eq!(stack.sim.requests().await.len(), 1, "{what}: replayed after output");
    stack.sim.heal("user1").await;
    assert_eq!(stack.chat("and again").await.0, 200, "{what}");
}

#[tokio::test]
async fn a_chat_stream_that_breaks_ends_with_an_error_chunk_and_done() {
    for fault in BREAKS {
        let stack = breaking(fault).await;
        let events = stack.chat_stream(LONG).await.all().await;
        assert!(!chat_text(&events).is_empty(), "{fault}: no output before the break: {events:?}");
        let [.., error, done] = events.as_slice() else { panic!("{fault}: {events:?}") };
        assert_eq!(done.data, "[DONE]", "{fault}: {events:?}");
        let error = error.json()["error"].clone();
        check_error(&error, fault);
        assert!(error["type"].is_string(), "{fault}: {error}");
        let finished = events.iter().any(|event| event.json()["choices"][0]["finish_reason"].is_string());
        assert!(!finished, "{fault}: a broken answer has a finish_reason");
        released(&stack, fault).await;
    }
}

#[tokio::test]
async fn a_response_stream_that_breaks_ends_with_response_failed() {
    for fault in BREAKS {
        for path in ["/v1/responses", "/backend-api/codex/responses"] {
            let what = format!("{fault} on {path}");
            let stack = breaking(fault).await;
            let answer = stack.post(path, &response_body_for(path)).await;
            assert_eq!(answer.status(), 200, "{what}");
            let mut events = Events::of(answer);
            let mut all = Vec::new();
            while let Some(event) = events.next().await {
                all.push(event);
            }
            assert_eq!(events.end, Some(Ok(())), "{what}: the connection broke");
            assert!(!response_text(&all).is_empty(), "{what}: no output before the break: {all:?}");
            let terminal: Vec<&Event> = all.iter().filter(|event| is_terminal(&event.kind())).collect();
            let [terminal] = terminal.as_slice() else {
                panic!("{what}: {} terminal events", terminal.len())
            };
            assert_eq!(terminal.kind(), "response.failed", "{what}");
            assert_eq!(terminal.json()["response"]["status"], "failed", "{what}: {}", terminal.data);
            check_error(&terminal.json()["response"]["error"], &what);
            released(&stack, &what).await;
        }
    }
}

#[tokio::test]
async fn a_whole_answer_whose_stream_breaks_is_an_error_or_another_accounts_answer() {
    for fault in BREAKS {
        for (path, body) in
            [("/v1/chat/completions", chat_body(LONG, false)), ("/v1/responses", response_body(LONG, false))]
        {
            let what = format!("{fault} on {path}");
            let stack = breaking(fault).await;
            let answer = stack.post(path, &body).await;
            let status = answer.status().as_u16();
            let answer = answer.json::<Value>().await.unwrap();
            // The client has seen nothing of a whole answer yet, so both are right; half an answer is not.
            match status {
                200 => assert!(answer.to_string().contains("juliett"), "{what}: {answer}"),
                500..=504 => check_error(&answer["error"], &what),
                _ => panic!("{what}: {status} {answer}"),
            }
            stack.sim.wait_open(0, Duration::from_secs(5)).await;
        }
    }
}

#[tokio::test]
async fn an_answer_cut_short_by_the_model_says_so() {
    let stack = Stack::start(1).await;
    let events = stack.chat_stream("sim:incomplete").await.all().await;
    let reasons: Vec<Value> =
        events.iter().map(|event| event.json()["choices"][0]["finish_reason"].clone()).collect();
    assert!(reasons.contains(&json!("length")), "{reasons:?}");
    let events = stack.response_stream("sim:incomplete").await.all().await;
    assert_eq!(events.last().unwrap().kind(), "response.incomplete");
    let rows = stack.rows_when(2).await;
    assert!(rows.iter().all(|row| row.outcome == "incomplete" && row.output_tokens > Some(0)), "{rows:#?}");
}

#[tokio::test]
async fn a_silent_upstream_does_not_silence_the_proxy() {
    let config = json!({ "upstream": { "timeouts": { "idle": "13s" } } });
    let stack = Stack::with(Setup { config, ..Setup::default() }).await;
    stack.sim.fault("user1", "stall_after:60").await;
    let mut events = stack.chat_stream(LONG).await;
    while events.next().await.is_some() {}
    assert!(events.comments() > 0, "no keep-alive in 13 s of silence");
}

fn is_terminal(kind: &str) -> bool {
    ["response.completed", "response.incomplete", "response.failed", "error"].contains(&kind)
}

fn response_body_for(path: &str) -> Value {
    let mut body = response_body(LONG, true);
    if path.starts_with("/backend-api") {
        body["input"] = json!([{ "type": "message", "role": "user", "content": [{ "type": "input_text", "text": LONG }] }]);
        body["store"] = json!(false);
        body["instructions"] = json!("Be brief.");
    }
    body
}
