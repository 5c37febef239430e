//! Promise: whatever a client sends, it gets an error of OpenAI's shape, and the server lives.
#![cfg(test)]

use std::io::Write;

use codex_lb_test_support::{RawAnswer, Setup, Stack, raw};
use serde_json::{Value, json};

const CHAT: &str = "/v1/chat/completions";
const RESPONSES: &str = "/v1/responses";

/// The envelope every OpenAI SDK reads: message, type and code as text, param as text or null.
fn check_envelope(error: &Value, what: &str) {
    for field in ["message", "type", "code"] {
        assert!(error[field].as_str().is_some_and(|text| !text.is_empty()), "{what}: no {field} in {error}");
    }
    let param = error.get("param").unwrap_or_else(|| panic!("{what}: no param in {error}"));
    assert!(param.is_null() || param.is_string(), "{what}: {error}");
}

/// Status, and the error inside an answer that must be an error.
async fn error_of(answer: reqwest::Response, what: &str) -> (u16, Value) {
    let status = answer.status().as_u16();
    let kind = answer.headers().get("content-type").map(|kind| kind.to_str().unwrap().to_owned());
    let text = answer.text().await.unwrap();
    assert!(
        kind.is_some_and(|kind| kind.starts_with("application/json")),
        "{what}: not JSON: {status} {text}"
    );
    let error = serde_json::from_str::<Value>(&text).unwrap()["error"].clone();
    check_envelope(&error, what);
    (status, error)
}

fn raw_error(answer: &RawAnswer, what: &str) -> Value {
    let error = answer.json()["error"].clone();
    check_envelope(&error, &format!("{what}: {}", answer.head));
    error
}

async fn still_serves(stack: &Stack) {
    let (status, answer) = stack.chat("are you alive?").await;
    assert_eq!(status, 200, "{answer}");
}

/// A raw POST with the body as it is.
fn post(path: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let mut request = format!(
        "POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n{headers}\r\n",
        body.len()
    )
    .into_bytes();
    request.extend_from_slice(body);
    request
}

#[tokio::test]
async fn what_is_not_json_is_a_400() {
    let stack = Stack::start(1).await;
    for path in [CHAT, RESPONSES, "/backend-api/codex/responses"] {
        for body in [
            "",
            "{",
            "[]",
            "null",
            "\"text\"",
            "{\"model\": \"gpt-5.4\",}",
            "\u{0}",
            "{\"model\": \"\\ud800\"}",
        ] {
            let what = format!("{path} {body:?}");
            let answer = stack.client.post(stack.url(path)).header("content-type", "application/json");
            let (status, error) = error_of(answer.body(body).send().await.unwrap(), &what).await;
            assert_eq!(
                (status, error["type"].as_str()),
                (400, Some("invalid_request_error")),
                "{what}: {error}"
            );
        }
    }
    still_serves(&stack).await;
}

#[tokio::test]
async fn a_wrong_type_is_a_400_that_names_the_field() {
    let stack = Stack::start(1).await;
    let user = json!([{ "role": "user", "content": "hello" }]);
    let cases = [
        (CHAT, "model", json!({ "model": 5, "messages": user })),
        (CHAT, "model", json!({ "messages": user })),
        (CHAT, "messages", json!({ "model": "gpt-5.4", "messages": "hello" })),
        (CHAT, "messages", json!({ "model": "gpt-5.4" })),
        (CHAT, "messages", json!({ "model": "gpt-5.4", "messages": [7] })),
        (CHAT, "messages", json!({ "model": "gpt-5.4", "messages": [{ "role": "robot", "content": "hi" }] })),
        (CHAT, "messages", json!({ "model": "gpt-5.4", "messages": [{ "role": "user", "content": 5 }] })),
        (CHAT, "n", json!({ "model": "gpt-5.4", "messages": user, "n": 2 })),
        (CHAT, "stream", json!({ "model": "gpt-5.4", "messages": user, "stream": "yes" })),
        (CHAT, "tools", json!({ "model": "gpt-5.4", "messages": user, "tools": "none" })),
        (
            CHAT,
            "response_format",
            json!({ "model": "gpt-5.4", "messages": user, "response_format": { "type": "json_schema" } }),
        ),
        (RESPONSES, "model", json!({ "model": null, "input": "hello" })),
        (RESPONSES, "input", json!({ "model": "gpt-5.4", "input": 5 })),
        (RESPONSES, "stream", json!({ "model": "gpt-5.4", "input": "hello", "stream": 1 })),
    ];
    for (path, field, body) in cases {
        let what = format!("{path} {body}");
        let (status, error) = error_of(stack.post(path, &body).await, &what).await;
        assert_eq!((status, error["type"].as_str()), (400, Some("invalid_request_error")), "{what}: {error}");
        let param = error["param"].as_str().unwrap_or_default();
        assert!(param.starts_with(field), "{what}: param {param:?} does not name {field}: {error}");
    }
    assert_eq!(stack.sim.requests().await.len(), 0, "a refused request reached the upstream");
    still_serves(&stack).await;
}

#[tokio::test]
async fn routes_and_methods_that_do_not_exist_are_404_and_405() {
    let stack = Stack::start(1).await;
    for path in [
        "/v1/nothing",
        "/v1",
        "/v1/chat",
        "/backend-api/unknown",
        "/v1/chat/completions/x",
        "/v1/%00",
        "/v1/../x",
    ] {
        let (status, error) = error_of(stack.post(path, &json!({})).await, path).await;
        assert_eq!((status, error["code"].as_str()), (404, Some("not_found")), "{path}: {error}");
    }
    let cases =
        [("GET", CHAT), ("DELETE", RESPONSES), ("PUT", CHAT), ("POST", "/v1/models"), ("PATCH", RESPONSES)];
    for (method, path) in cases {
        let what = format!("{method} {path}");
        let answer = stack.client.request(method.parse().unwrap(), stack.url(path)).send().await.unwrap();
        assert!(answer.headers().contains_key("allow"), "{what}: no Allow header");
        let (status, error) = error_of(answer, &what).await;
        assert_eq!((status, error["code"].as_str()), (405, Some("method_not_allowed")), "{what}: {error}");
    }
    still_serves(&stack).await;
}

#[tokio::test]
async fn a_body_over_the_limit_is_a_413_declared_or_not_packed_or_not() {
    let config = json!({ "limits": { "body": "100KiB" } });
    let stack = Stack::with(Setup { config, ..Setup::default() }).await;
    let large =
        json!({ "model": "gpt-5.4", "messages": [{ "role": "user", "content": "x".repeat(200_000) }] })
            .to_string();

    let declared = raw(stack.address(), &post(CHAT, "", large.as_bytes())).await;
    assert_eq!(declared.status, 413, "{}", declared.head);
    assert_eq!(raw_error(&declared, "declared")["code"], "payload_too_large");

    let mut chunked = format!(
        "POST {CHAT} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    .into_bytes();
    for piece in large.as_bytes().chunks(10_000) {
        chunked.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
        chunked.extend_from_slice(piece);
        chunked.extend_from_slice(b"\r\n");
    }
    chunked.extend_from_slice(b"0\r\n\r\n");
    let answer = raw(stack.address(), &chunked).await;
    assert_eq!(answer.status, 413, "{}", answer.head);

    // A few hundred bytes that unpack to far more than the limit.
    let packed = gzip(large.as_bytes());
    assert!(packed.len() < 2_000);
    let answer = raw(stack.address(), &post(CHAT, "Content-Encoding: gzip\r\n", &packed)).await;
    assert_eq!(answer.status, 413, "{}", answer.head);
    let packed = zstd::encode_all(large.as_bytes(), 3).unwrap();
    let answer = raw(stack.address(), &post(CHAT, "Content-Encoding: zstd\r\n", &packed)).await;
    assert_eq!(answer.status, 413, "{}", answer.head);

    assert_eq!(stack.sim.requests().await.len(), 0);
    still_serves(&stack).await;
}

#[tokio::test]
async fn a_body_that_does_not_unpack_is_a_400() {
    let stack = Stack::start(1).await;
    let body =
        json!({ "model": "gpt-5.4", "messages": [{ "role": "user", "content": "hello" }] }).to_string();
    let whole = gzip(body.as_bytes());
    let cases: [(&str, &[u8]); 5] = [
        ("gzip", &whole[..whole.len() / 2]),
        ("gzip", b"not gzip at all"),
        ("zstd", b"not zstd at all"),
        ("zstd", &zstd::encode_all(body.as_bytes(), 3).unwrap()[..20]),
        ("br, x-unknown", body.as_bytes()),
    ];
    for (encoding, bytes) in cases {
        let headers = format!("Content-Encoding: {encoding}\r\n");
        let answer = raw(stack.address(), &post(CHAT, &headers, bytes)).await;
        assert!([400, 415].contains(&answer.status), "{encoding}: {}", answer.head);
        raw_error(&answer, encoding);
    }
    still_serves(&stack).await;
}

#[tokio::test]
async fn deep_nesting_is_a_400() {
    let stack = Stack::start(1).await;
    let deep = |open: &str, close: &str| format!("{}{}", open.repeat(200_000), close.repeat(200_000));
    for body in [
        deep("[", "]"),
        deep("{\"a\":", "}"),
        format!("{{\"model\":\"gpt-5.4\",\"messages\":{}}}", deep("[", "]")),
        format!("{{\"model\":\"gpt-5.4\",\"input\":{}}}", deep("[", "]")),
        format!(
            "{{\"model\":\"gpt-5.4\",\"tools\":{},\"messages\":[{{\"role\":\"user\",\"content\":\"x\"}}]}}",
            deep("[", "]")
        ),
    ] {
        for path in [CHAT, RESPONSES] {
            let answer = stack.client.post(stack.url(path)).header("content-type", "application/json");
            let what = format!("{path} {}…", &body[..40]);
            let (status, _) = error_of(answer.body(body.clone()).send().await.unwrap(), &what).await;
            assert_eq!(status, 400, "{what}");
        }
    }
    still_serves(&stack).await;
}

#[tokio::test]
async fn absurd_heads_are_refused_or_served_but_never_fatal() {
    let stack = Stack::start(1).await;
    let body =
        json!({ "model": "gpt-5.4", "messages": [{ "role": "user", "content": "hello" }] }).to_string();
    let long = "x".repeat(500_000);
    let many: String = (0..2_000).map(|number| format!("X-Filler-{number}: {number}\r\n")).collect();
    let heads = [
        format!("Authorization: Bearer {long}\r\n"),
        many,
        "X-Forwarded-For: not, an, address\r\n".to_owned(),
        "Authorization: \u{fffd}\u{fffd}\r\n".to_owned(),
        "Content-Length: 3\r\n".to_owned(),
        "Transfer-Encoding: chunked, chunked\r\n".to_owned(),
        "Expect: 200-never\r\n".to_owned(),
        "Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n"
            .to_owned(),
        "Host: another\r\n".to_owned(),
    ];
    for head in heads {
        let answer = raw(stack.address(), &post(CHAT, &head, body.as_bytes())).await;
        assert_ne!(answer.status, 500, "{}: {}", &head[..30.min(head.len())], answer.head);
    }
    for garbage in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
        b"GET\r\n\r\n",
        b"\r\n\r\n\r\n",
        b"POST / HTTP/9.9\r\n\r\n",
    ] {
        let answer = raw_and_close(stack.address(), garbage).await;
        assert_ne!(answer, 200);
    }
    still_serves(&stack).await;
}

/// Sends garbage, says goodbye, and returns the status of whatever comes back (0: nothing).
async fn raw_and_close(address: &str, bytes: &[u8]) -> u16 {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = Vec::new();
    drop(stream.read_to_end(&mut answer).await);
    String::from_utf8_lossy(&answer)
        .split_whitespace()
        .nth(1)
        .and_then(|status| status.parse().ok())
        .unwrap_or(0)
}

#[tokio::test]
async fn a_model_that_nobody_offers_is_the_upstreams_error_relayed() {
    let stack = Stack::start(2).await;
    for (path, body) in [
        (CHAT, json!({ "model": "gpt-none", "messages": [{ "role": "user", "content": "hello" }] })),
        (RESPONSES, json!({ "model": "gpt-none", "input": "hello" })),
    ] {
        let (status, error) = error_of(stack.post(path, &body).await, path).await;
        assert_eq!((status, error["type"].as_str()), (400, Some("invalid_request_error")), "{path}: {error}");
    }
    still_serves(&stack).await;
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    packer.write_all(bytes).unwrap();
    packer.finish().unwrap()
}
