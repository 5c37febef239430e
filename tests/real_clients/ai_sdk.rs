//! The AI SDK with @ai-sdk/openai-compatible, the pair that OpenCode bundles.

use codex_lb_test_support::Stack;
use serde_json::{Value, json};

use crate::install::clients;

async fn facts(stack: &Stack, cases: &[&str]) -> Value {
    clients().facts("ai_sdk.mjs", cases, &stack.v1(), None).await
}

#[tokio::test]
#[ignore = "installs real clients from npm and PyPI"]
async fn streamed_text_comes_with_reasoning_and_usage() {
    let stack = Stack::start(1).await;
    let facts = facts(&stack, &["stream_text", "image"]).await;
    let stream = &facts["stream_text"];
    assert_eq!(stream["finish"], "stop", "{stream}");
    assert!(!stream["text"].as_str().unwrap().is_empty(), "{stream}");
    assert!(!stream["reasoning"].as_str().unwrap().is_empty(), "{stream}");
    for count in ["input", "output", "reasoning"] {
        assert!(stream["usage"][count].as_u64() > Some(0), "{count}: {stream}");
    }
    assert!(!stream["kinds"].as_array().unwrap().contains(&json!("error")), "{stream}");
    assert!(!facts["image"]["text"].as_str().unwrap().is_empty());
}

#[tokio::test]
#[ignore = "installs real clients from npm and PyPI"]
async fn tools_run_over_several_steps_with_reasoning_in_each() {
    let stack = Stack::start(2).await;
    let facts = facts(&stack, &["stream_tools", "generate_tools"]).await;
    let stream = &facts["stream_tools"];
    let steps = stream["steps"].as_array().unwrap();
    assert_eq!(steps.len(), 3, "{stream}");
    assert_eq!(steps[0]["calls"], json!([["weather", { "city": "Oslo" }], ["weather", { "city": "Rome" }]]));
    assert_eq!(steps[0]["results"], json!(["sunny in Oslo", "sunny in Rome"]));
    assert_eq!(steps[1]["calls"], json!([["weather", { "city": "Kyiv" }]]));
    for step in steps {
        assert!(step["reasoning"].as_str().is_some_and(|text| !text.is_empty()), "no reasoning: {step}");
    }
    assert_eq!(stream["text"], "done");
    let whole = &facts["generate_tools"];
    assert_eq!(whole["calls"], json!([["Oslo", "Rome"], ["Kyiv"], []]));
    assert_eq!(whole["text"], "done");
}

#[tokio::test]
#[ignore = "installs real clients from npm and PyPI"]
async fn objects_fit_their_schema() {
    let stack = Stack::start(1).await;
    let facts = facts(&stack, &["generate_object"]).await;
    let object = &facts["generate_object"];
    assert!(object["name"].is_string() && object["age"].is_number(), "{object}");
}

#[tokio::test]
#[ignore = "installs real clients from npm and PyPI"]
async fn errors_keep_their_status_and_message() {
    let stack = Stack::start(1).await;
    stack.sim.fault("user1", "usage_limit_429").await;
    let facts = facts(&stack, &["any_error"]).await;
    let error = &facts["any_error"];
    assert_eq!((&error["status"], &error["retryable"]), (&json!(429), &json!(true)), "{error}");
    assert!(error["message"].as_str().unwrap().contains("usage limit"), "{error}");
}
