//! Promise: a key is needed where the configuration says so, and a created or revoked key counts at once.
#![cfg(test)]

use std::time::Duration;

use codex_lb_test_support::{Setup, Stack, chat_body, eventually};
use serde_json::{Value, json};

async fn ask(stack: &Stack, headers: &[(&str, &str)]) -> reqwest::Response {
    let mut request = stack.client.post(stack.url("/v1/chat/completions")).json(&chat_body("hello", false));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.send().await.unwrap()
}

async fn status(stack: &Stack, headers: &[(&str, &str)]) -> u16 {
    ask(stack, headers).await.status().as_u16()
}

async fn with_keys(mode: &str) -> Stack {
    Stack::with(Setup { config: json!({ "auth": { "api_keys": mode } }), ..Setup::default() }).await
}

/// Creates a key with the command, which prints the key alone.
fn create(stack: &Stack, name: &str) -> String {
    let printed = stack.succeeds(&["key", "create", name]);
    let key = printed.trim().to_owned();
    assert!(key.starts_with("sk-clb-") && !key.contains(char::is_whitespace), "{printed:?}");
    key
}

async fn becomes(stack: &Stack, key: &str, wanted: u16) {
    let authorization = format!("Bearer {key}");
    eventually(&format!("the key is answered {wanted}"), Duration::from_secs(5), || async {
        (status(stack, &[("authorization", &authorization)]).await == wanted).then_some(())
    })
    .await;
}

#[tokio::test]
async fn by_default_a_loopback_client_needs_no_key_but_a_forwarded_one_does() {
    let stack = Stack::start(1).await;
    assert_eq!(status(&stack, &[]).await, 200);
    // Clients send placeholders where no key is needed.
    assert_eq!(status(&stack, &[("authorization", "Bearer sk-anything")]).await, 200);
    for (name, value) in [
        ("x-forwarded-for", "203.0.113.7"),
        ("x-forwarded-for", "127.0.0.1"),
        ("forwarded", "for=203.0.113.7"),
        ("x-real-ip", "203.0.113.7"),
        ("x-forwarded-host", "example.org"),
        ("via", "1.1 tunnel"),
        // A page in a browser that had its own name resolve to this machine.
        ("host", "rebinding.example.org"),
    ] {
        let answer = ask(&stack, &[(name, value)]).await;
        assert_eq!(answer.status(), 401, "{name}: {value}");
        let error = answer.json::<Value>().await.unwrap()["error"].clone();
        assert_eq!(error["type"], "authentication_error", "{error}");
        assert_eq!(error["code"], "invalid_api_key", "{error}");
    }
    let key = create(&stack, "laptop");
    let authorization = format!("Bearer {key}");
    eventually("the new key opens the door", Duration::from_secs(5), || async {
        let headers = [("x-forwarded-for", "203.0.113.7"), ("authorization", authorization.as_str())];
        (status(&stack, &headers).await == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_key_works_from_its_creation_to_its_revocation_while_the_proxy_runs() {
    let stack = with_keys("always").await;
    let refused = ask(&stack, &[]).await;
    assert_eq!(refused.status(), 401);
    assert_eq!(refused.json::<Value>().await.unwrap()["error"]["code"], "invalid_api_key");

    let first = create(&stack, "first");
    let second = create(&stack, "second");
    becomes(&stack, &first, 200).await;
    becomes(&stack, &second, 200).await;
    for wrong in [&first[..first.len() - 1], &format!("{first}x"), &first.to_uppercase(), "sk-clb-", ""] {
        let authorization = format!("Bearer {wrong}");
        assert_eq!(status(&stack, &[("authorization", &authorization)]).await, 401, "a wrong key was taken");
    }
    stack.succeeds(&["key", "revoke", "first"]);
    becomes(&stack, &first, 401).await;
    becomes(&stack, &second, 200).await;

    let rows = stack.rows();
    let id = stack.query("SELECT id FROM keys WHERE name = 'second'");
    assert!(rows.iter().any(|row| row.status == 200 && row.key_id.as_deref() == Some(&id)), "{rows:#?}");
    assert!(rows.iter().all(|row| row.status != 401), "a stranger at the door fills the ledger: {rows:#?}");
}

#[tokio::test]
async fn neither_a_key_nor_its_like_goes_upstream() {
    let stack = with_keys("always").await;
    let key = create(&stack, "only");
    becomes(&stack, &key, 200).await;
    for request in stack.sim.requests().await {
        assert!(!format!("{request:?}").contains(&key), "the client's key was sent upstream");
    }
}

#[tokio::test]
async fn models_need_a_key_too_and_health_never_does() {
    let stack = with_keys("always").await;
    assert_eq!(stack.get("/v1/models").await.status(), 401);
    assert_eq!(stack.get("/health/live").await.status(), 200);
    assert_eq!(stack.get("/health/ready").await.status(), 200);
}

#[tokio::test]
async fn never_means_that_nobody_needs_a_key() {
    let stack = with_keys("never").await;
    assert_eq!(status(&stack, &[("x-forwarded-for", "203.0.113.7")]).await, 200);
}

#[tokio::test]
async fn the_address_a_trusted_proxy_states_decides() {
    let config = json!({ "auth": { "trusted_proxies": ["127.0.0.0/8"] } });
    let stack = Stack::with(Setup { config, ..Setup::default() }).await;
    assert_eq!(status(&stack, &[("x-forwarded-for", "203.0.113.7")]).await, 401);
}
