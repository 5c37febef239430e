//! Each refusal, one by one, against a request that is otherwise fine.

use serde_json::json;

use super::*;
use crate::sim::Spec;

fn verdict(change: impl FnOnce(&mut Value, &Signer)) -> Result<(), String> {
    let signer = Signer::default();
    let account = Account::new(Spec::default(), 1, 0);
    let mut request = json!({
        "model": "gpt-5.4", "instructions": "", "store": false, "stream": true,
        "input": [{"role": "user", "content": [{"type": "input_text", "text": "hi"}]}],
    });
    change(&mut request, &signer);
    let asker = Asker { account: &account, signer: &signer, distrusts: false };
    check(&request, &asker).map_err(|refusal| refusal.body)
}

/// What is said about a request whose `key` is `value`.
fn about(key: &str, value: Value) -> String {
    verdict(|request, _| request[key] = value).unwrap_err()
}

/// What is said about a request with this item at the end.
fn about_item(item: Value) -> String {
    verdict(|request, _| request["input"].as_array_mut().unwrap().push(item)).unwrap_err()
}

#[test]
fn a_request_as_codex_cli_sends_it_is_answered() {
    let verdict = verdict(|request, signer| {
        request["tools"] = json!([
            {"type": "function", "name": "shell", "parameters": {}, "strict": false, "description": "d"},
            {"type": "custom", "name": "apply_patch", "format": {"type": "grammar"}}, {"type": "web_search"},
        ]);
        request["include"] = json!(["reasoning.encrypted_content"]);
        request["reasoning"] = json!({"effort": "xhigh", "summary": "auto"});
        request["client_metadata"] = json!({"x-codex-installation-id": "i"});
        request["input"] = json!([
            {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "d"}]},
            {"type": "message", "role": "user", "content": "hi"},
            {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": signer.seal("a1", 1)},
            {"type": "function_call", "call_id": "c1", "name": "shell", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c1", "output": "ok"},
        ]);
    });
    assert_eq!(verdict, Ok(()));
}

#[test]
fn what_the_backend_insists_on_is_refused_otherwise() {
    assert_eq!(about("store", json!(true)), r#"{"detail":"Store must be set to false"}"#);
    assert_eq!(about("stream", json!(false)), r#"{"detail":"Stream must be set to true"}"#);
    assert_eq!(about("input", json!("hi")), r#"{"detail":"Input must be a list"}"#);
    assert_eq!(about("instructions", json!(null)), r#"{"detail":"Instructions must be a string"}"#);
    assert_eq!(about("model", json!("")), r#"{"detail":"Model is required"}"#);
    assert!(about("model", json!("gpt-4o")).contains("The 'gpt-4o' model is not supported when using Codex"));
    assert_eq!(about("service_tier", json!("auto")), r#"{"detail":"Unsupported service_tier: auto"}"#);
    assert!(about("client_metadata", json!("x")).contains("client_metadata"));
}

#[test]
fn parameters_the_backend_does_not_have_are_named() {
    let parameters = "max_output_tokens temperature top_p truncation user metadata safety_identifier \
        prompt_cache_retention stop seed presence_penalty frequency_penalty logprobs top_logprobs n messages \
        max_tokens max_completion_tokens previous_response_id background conversation reasoning_effort";
    for parameter in parameters.split_whitespace() {
        let expected = format!("{{\"detail\":\"Unsupported parameter: {parameter}\"}}");
        assert_eq!(about(parameter, json!(1)), expected);
    }
    let options = about("stream_options", json!({"include_usage": true}));
    assert!(options.contains("Unknown parameter: 'stream_options.include_usage'."), "{options}");
}

#[test]
fn messages_are_refused_when_role_and_parts_do_not_fit() {
    let part =
        |role: &str, kind: &str| about_item(json!({"role": role, "content": [{"type": kind, "text": "t"}]}));
    assert!(part("assistant", "input_text").contains("'output_text', 'refusal'"));
    assert!(part("user", "output_text").contains("'input_text', 'input_image', 'input_file'"));
    assert!(part("user", "text").contains("input[1].content[0].type"));
    assert!(part("tool", "text").contains("input[1].role"));
    assert_eq!(part("system", "input_text"), r#"{"detail":"System messages are not allowed"}"#);
    let echo = about_item(json!({"role": "assistant", "content": "x", "reasoning_content": "y"}));
    assert!(echo.contains("Unknown parameter: 'input[1].reasoning_content'."), "{echo}");
}

#[test]
fn calls_and_outputs_must_belong_together() {
    let output = json!({"type": "function_call_output", "call_id": "c9", "output": ""});
    assert!(about_item(output).contains("No tool call found for function call output with call_id c9."));
    let call = json!({"type": "function_call", "call_id": "c9", "name": "f", "arguments": "{}"});
    assert!(about_item(call).contains("No tool output found for function call c9."));
    let parsed = json!({"type": "function_call", "call_id": "c9", "name": "f", "arguments": {}});
    assert!(about_item(parsed).contains("input[1].arguments"));
}

#[test]
fn ids_must_be_short_and_begin_as_their_item_does() {
    let item = |id: String| json!({"type": "message", "role": "user", "content": "x", "id": id});
    assert!(about_item(item(format!("msg_{}", "x".repeat(61)))).contains("string_above_max_length"));
    assert!(about_item(item("item_1".into())).contains("begins with 'msg'"));
}

#[test]
fn reasoning_is_accepted_only_from_the_account_that_got_it() {
    let item = |content: Value| json!({"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": content});
    let stolen = verdict(|request, signer| request["input"] = json!([item(json!(signer.seal("a2", 1)))]));
    assert!(stolen.unwrap_err().contains("invalid_encrypted_content"));
    assert!(about_item(item(json!("gAAAAA-from-elsewhere"))).contains("invalid_encrypted_content"));
    assert!(about_item(item(json!(null))).contains("Items are not persisted"));
}

#[test]
fn efforts_a_model_lacks_are_refused() {
    assert!(about("reasoning", json!({"effort": "minimal"})).contains("reasoning.effort"));
    assert!(about("reasoning", json!({"effort": "max"})).contains("reasoning.effort"));
}

#[test]
fn tools_in_the_form_of_chat_completions_are_refused() {
    let tools = json!([{"type": "function", "function": {"name": "f"}}]);
    assert!(about("tools", tools).contains("Missing required parameter: 'tools[0].name'."));
    let choice = json!({"type": "function", "name": "gone"});
    assert!(about("tool_choice", choice).contains("not found in 'tools'"));
}
