//! openai-python, over chat completions and over Responses.

use codex_lb_test_support::{Setup, Stack};
use serde_json::{Value, json};

use crate::install::clients;

const SCRIPT: &str = "openai_sdk.py";

async fn facts(stack: &Stack, cases: &[&str]) -> Value {
    clients().facts(SCRIPT, cases, &stack.v1(), None).await
}

#[tokio::test]
#[ignore = "installs real clients from npm and PyPI"]
async fn chat_completions_work_whole_and_streamed_with_reasoning_and_usage() {
    let stack = Stack::start(2).await;
    let facts = facts(&stack, &["chat_plain", "chat_stream", "models"]).await;
    let plain = &facts["chat_plain"];
    assert_eq!((&plain["role"], &plain["finish"]), (&json!("assistant"), &json!("stop")), "{plain}");
    assert_eq!(plain["object"], "chat.completion");
    assert!(plain["usage"]["prompt_tokens"].as_u64() > Some(0), "{plain}");
    let stream = &facts["chat_stream"];
    assert_eq!(stream["content"], plain["content"]);
    assert!(!stream["reasoning"].as_str().unwrap().is_empty(), "no reasoning: {stream}");
    assert_eq!(
        (&stream["first_role"], &stream["finishes"]),
        (&json!("assistant"), &json!(["stop"])),
        "{stream}"
    );
    assert_eq!((&stream["ids"], &stream["models"]), (&json!(1), &json!(1)), "{stream}");
    assert_eq!(stream["usage_choices"], 0);
    assert!(stream["usage"]["completion_tokens_details"]["reasoning_tokens"].as_u64() > Some(0), "{stream}");
    assert!(facts["models"].as_array().unwrap().contains(&json!("gpt-5.4")), "{}", facts["models"]);
    // What the backend refuses must not reach it; the simulator would have refused it too.
    for request in stack.sim.requests().await {
        for field in
            ["seed", "stop", "presence_penalty", "temperature", "user", "max_tokens", "max_output_tokens"]
        {
            assert_eq!(request.body.get(field), None, "{field} reached the upstream");
        }
    }
}

#[tokio::test]
#[ignore = "installs real clients from npm and PyPI"]
async fn tools_work_over_several_steps_whole_and_streamed() {
    let stack = Stack::start(2).await;
    let facts = facts(&stack, &["chat_tools", "chat_tools_stream"]).await;
    for case in ["chat_tools", "chat_tools_stream"] {
        let steps = facts[case].as_array().unwrap();
        let calls: Vec<&Value> = steps.iter().map(|step| &step["calls"]).collect();
        let wanted = [
            json!([["weather", { "city": "Oslo" }], ["weather", { "city": "Rome" }]]),
            json!([["weather", { "city": "Kyiv" }]]),
            json!([]),
        ];
        assert_eq!(calls, wanted.iter().collect::<Vec<_>>(), "{case}");
        let finishes: Vec<&Value> = steps.iter().map(|step| &step["finish"]).collect();
        assert_eq!(finishes, ["tool_calls", "tool_calls", "stop"], "{case}");
        assert_eq!(steps[2]["content"], "done", "{case}");
    }
}

#[tokio::test]
#[ignore = "installs real clients from npm and PyPI"]
async fn structured_outputs_are_parsed() {
    let stack = Stack::start(1).await;
    let facts = facts(&stack, &["chat_structured", "responses_structured"]).await;
    for case in ["chat_structured", "responses_structured"] {
        assert!(facts[case]["name"].is_string() && facts[case]["age"].is_i64(), "{case}: {facts}");
    }
    for request in stack.sim.requests().await {
        assert_eq!(request.body["text"]["format"]["type"], "json_schema", "{}", request.body["text"]);
        assert_eq!(request.body["text"]["format"]["name"], "Person", "{}", request.body["text"]);
    }
}

#[tokio::test]
#[ignore = "installs real clients from npm and PyPI"]
async fn responses_work_whole_streamed_and_with_tools() {
    let stack = Stack::start(2).await;
    let facts = facts(&stack, &["responses_plain", "responses_stream", "responses_tools"]).await;
    let plain = &facts["responses_plain"];
    assert_eq!((&plain["object"], &plain["status"]), (&json!("response"), &json!("completed")), "{plain}");
    assert!(
        !plain["text"].as_str().unwrap().is_empty() && plain["usage"]["total_tokens"].as_u64() > Some(0),
        "{plain}"
    );
    let stream = &facts["responses_stream"];
    assert_eq!(
        (&stream["first"], &stream["last"]),
        (&json!("response.created"), &json!("response.completed"))
    );
    assert_eq!(stream["text"], plain["text"]);
    assert!(stream["output"].as_array().unwrap().contains(&json!("message")), "{stream}");
    let tools = &facts["responses_tools"];
    let steps: Vec<&Value> = tools["steps"].as_array().unwrap().iter().collect();
    let wanted = [
        json!(["reasoning", "function_call", "function_call"]),
        json!(["reasoning", "function_call"]),
        json!(["reasoning", "message"]),
    ];
    assert_eq!(steps, wanted.iter().collect::<Vec<_>>());
    assert_eq!(tools["text"], "done");
}

#[tokio::test]
#[ignore = "installs real clients from npm and PyPI"]
async fn errors_are_of_the_class_a_caller_expects() {
    let stack = Stack::start(2).await;
    let facts = facts(&stack, &["bad_request"]).await;
    let bad = &facts["bad_request"];
    assert_eq!(
        (&bad["class"], &bad["type"]),
        (&json!("BadRequestError"), &json!("invalid_request_error")),
        "{bad}"
    );
    assert!(bad["code"].is_string() && bad["param"].as_str().unwrap().starts_with("messages"), "{bad}");

    for account in &stack.accounts {
        stack.sim.fault(account, "usage_limit_429:1800").await;
    }
    let facts = self::facts(&stack, &["any_error", "any_stream_error"]).await;
    for case in ["any_error", "any_stream_error"] {
        let limit = &facts[case];
        assert_eq!(limit["class"], "RateLimitError", "{limit}");
        assert_eq!(
            (&limit["type"], &limit["code"]),
            (&json!("usage_limit_reached"), &json!("usage_limit_reached"))
        );
        let retry_after: u64 = limit["retry_after"].as_str().unwrap().parse().unwrap();
        assert!((1700..=1800).contains(&retry_after), "{limit}");
    }
}

#[tokio::test]
#[ignore = "installs real clients from npm and PyPI"]
async fn a_wrong_key_is_an_authentication_error_and_a_right_one_works() {
    let config = json!({ "auth": { "api_keys": "always" } });
    let stack = Stack::with(Setup { config, ..Setup::default() }).await;
    let facts = clients().facts(SCRIPT, &["any_error"], &stack.v1(), Some("sk-clb-wrong")).await;
    assert_eq!(facts["any_error"]["class"], "AuthenticationError", "{facts}");
    assert_eq!(facts["any_error"]["code"], "invalid_api_key", "{facts}");
    let key = stack.succeeds(&["key", "create", "python"]).trim().to_owned();
    codex_lb_test_support::eventually("the key is known", std::time::Duration::from_secs(5), || async {
        let request = stack.client.get(stack.url("/v1/models")).bearer_auth(&key).send();
        (request.await.unwrap().status() == 200).then_some(())
    })
    .await;
    let facts = clients().facts(SCRIPT, &["chat_plain"], &stack.v1(), Some(&key)).await;
    assert_eq!(facts["chat_plain"]["finish"], "stop");
}
