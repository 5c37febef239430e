//! Promise: tokens, keys, prompts and answers appear in no log, no ledger column, no metric, no error and no command's
//! output.
#![cfg(test)]

use std::time::Duration;

use codex_lb_test_support::{Events, Setup, Stack, eventually, free_port};
use serde_json::{Value, json};

const PROMPT: &str = "canary-prompt-5d1c";
const SYSTEM: &str = "canary-system-77ab";
const TOOL: &str = "canary-argument-19fe";
const ANSWER: &str = "canary-answer-c0de";

/// A conversation over several steps, with everything in it that must stay secret.
fn conversation() -> Value {
    let order = format!("{PROMPT} sim:call look {{\"at\":\"{TOOL}\"}} then say {ANSWER}");
    json!({
        "model": "gpt-5.4", "stream": true, "reasoning_effort": "high",
        "messages": [{ "role": "system", "content": SYSTEM }, { "role": "user", "content": order }],
        "tools": [{ "type": "function", "function": { "name": "look", "parameters": { "type": "object", "properties": {} } } }],
    })
}

async fn converse(stack: &Stack, key: &str) {
    let mut body = conversation();
    for _ in 0..2 {
        let request = stack.client.post(stack.url("/v1/chat/completions")).bearer_auth(key).json(&body);
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 200, "{:?}", answer.text().await);
        let events = Events::of(answer).all().await;
        let call =
            events.iter().map(|event| event.json()["choices"][0]["delta"]["tool_calls"][0]["id"].clone());
        let Some(id) = call.into_iter().find(Value::is_string) else { continue };
        let messages = body["messages"].as_array_mut().unwrap();
        let function = json!({ "name": "look", "arguments": format!("{{\"at\":\"{TOOL}\"}}") });
        messages.push(json!({ "role": "assistant", "content": null,
            "tool_calls": [{ "id": id, "type": "function", "function": function }] }));
        messages.push(json!({ "role": "tool", "tool_call_id": id, "content": format!("seen {TOOL}") }));
    }
}

/// Requests that fail in different places; the texts of their answers.
async fn failures(stack: &Stack, key: &str) -> Vec<String> {
    let mut texts = Vec::new();
    let bodies = [
        format!("{{\"model\":\"gpt-5.4\",\"messages\":\"{PROMPT}\"}}"),
        format!("{{\"model\":\"gpt-5.4\",\"messages\":[{{\"role\":\"robot\",\"content\":\"{SYSTEM}\"}}]}}"),
        format!("{{ not json {PROMPT}"),
    ];
    for body in bodies {
        let request = stack.client.post(stack.url("/v1/chat/completions")).bearer_auth(key).body(body);
        texts.push(request.send().await.unwrap().text().await.unwrap());
    }
    let wrong = format!("{key}x");
    let request =
        stack.client.post(stack.url("/v1/chat/completions")).bearer_auth(&wrong).json(&conversation());
    texts.push(request.send().await.unwrap().text().await.unwrap());
    for fault in ["status:500", "forbidden_html", "close_before_head", "refresh:500"] {
        for account in &stack.accounts {
            stack.sim.fault(account, fault).await;
            stack.sim.expire_tokens(account).await;
        }
        let request =
            stack.client.post(stack.url("/v1/chat/completions")).bearer_auth(key).json(&conversation());
        texts.push(request.send().await.unwrap().text().await.unwrap());
        for account in &stack.accounts {
            stack.sim.heal(account).await;
        }
    }
    texts
}

/// Tokens as the simulator gives them out now: whole, and the signatures of those that are JWTs.
async fn tokens(stack: &Stack) -> Vec<String> {
    let mut tokens = Vec::new();
    for account in &stack.accounts {
        let auth = stack.sim.auth_json(account).await;
        for name in ["access_token", "refresh_token", "id_token"] {
            let token = auth["tokens"][name].as_str().unwrap();
            tokens.push(token.to_owned());
            tokens.extend(token.rsplit('.').next().filter(|part| part.len() > 16).map(str::to_owned));
        }
    }
    tokens
}

fn contains(bytes: &[u8], needle: &str) -> bool {
    bytes.windows(needle.len()).any(|window| window == needle.as_bytes())
}

#[tokio::test]
async fn canaries_are_in_no_log_no_file_no_metric_no_error_and_no_output() {
    let metrics = format!("127.0.0.1:{}", free_port());
    let config = json!({
        "auth": { "api_keys": "always" }, "log": { "level": "trace" }, "metrics": { "listen": metrics },
    });
    let stack = Stack::with(Setup { accounts: 2, config, ..Setup::default() }).await;
    let mut secrets = tokens(&stack).await;
    let key = stack.succeeds(&["key", "create", "canary"]).trim().to_owned();
    eventually("the key is known", Duration::from_secs(5), || async {
        let answer = stack.client.get(stack.url("/v1/models")).bearer_auth(&key).send().await.unwrap();
        (answer.status() == 200).then_some(())
    })
    .await;

    converse(&stack, &key).await;
    for account in &stack.accounts {
        stack.sim.expire_tokens(account).await;
    }
    converse(&stack, &key).await;
    let errors = failures(&stack, &key).await;
    secrets.extend(tokens(&stack).await);
    secrets.extend([PROMPT, SYSTEM, TOOL, ANSWER].map(str::to_owned));
    secrets.push(key);
    let upstream = stack.sim.requests().await;
    let sealed = upstream.iter().flat_map(|request| request.body["input"].as_array().into_iter().flatten());
    let sealed: Vec<&str> = sealed.filter_map(|item| item["encrypted_content"].as_str()).collect();
    assert!(!sealed.is_empty(), "the conversation had no encrypted reasoning");
    secrets.extend(sealed.into_iter().map(str::to_owned));

    let mut places: Vec<(String, Vec<u8>)> = Vec::new();
    places.push(("the log".into(), stack.proxy.log().into_bytes()));
    for entry in std::fs::read_dir(stack.data_dir()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            places.push((path.display().to_string(), std::fs::read(path).unwrap()));
        }
    }
    let page =
        stack.client.get(format!("http://{metrics}/metrics")).send().await.unwrap().text().await.unwrap();
    places.push(("the metrics".into(), page.into_bytes()));
    for (number, error) in errors.into_iter().enumerate() {
        places.push((format!("error {number}: {error}"), error.into_bytes()));
    }
    for args in [
        &["usage", "--json", "--requests", "50"][..],
        &["account", "list", "--json"],
        &["key", "list", "--json"],
    ] {
        places.push((format!("{args:?}"), stack.command(args).stdout));
    }
    for (place, bytes) in &places {
        for secret in &secrets {
            assert!(!contains(bytes, secret), "{secret:?} is in {place}");
        }
    }
}

#[cfg(unix)]
#[tokio::test]
async fn the_key_file_and_the_ledger_are_for_their_owner_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let stack = Stack::start(1).await;
    for name in ["vault.key", "ledger.db"] {
        let mode = std::fs::metadata(stack.data_dir().join(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{name}: {mode:o}");
    }
}
