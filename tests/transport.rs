//! Promise: bodies and streams cross the proxy whole, whatever the framing, the packing and the HTTP version.
#![cfg(test)]

use std::io::Write;
use std::time::Duration;

use codex_lb_test_support::{
    Certificate, Event, Events, Setup, Stack, chat_body, chat_text, eventually, free_port, raw,
    response_body, trusting, within,
};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const PATH: &str = "/v1/responses";

/// A request of that size; its text does not pack to nothing.
fn large(bytes: usize) -> Vec<u8> {
    let mut text = String::new();
    let mut number = 7_u64;
    while text.len() < bytes {
        number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        text.push_str(&number.to_string());
    }
    response_body(&text, true).to_string().into_bytes()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packer.write_all(bytes).unwrap();
    packer.finish().unwrap()
}

/// One HTTP/1.1 request by hand; `chunk`: chunked with pieces of that size.
fn request(encoding: &str, body: &[u8], chunk: Option<usize>) -> Vec<u8> {
    let mut head = format!(
        "POST {PATH} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nContent-Type: application/json\r\n"
    );
    if encoding != "identity" {
        head.push_str(&format!("Content-Encoding: {encoding}\r\n"));
    }
    let Some(size) = chunk else {
        let head = format!("{head}Content-Length: {}\r\n\r\n", body.len());
        return [head.as_bytes(), body].concat();
    };
    let mut bytes = format!("{head}Transfer-Encoding: chunked\r\n\r\n").into_bytes();
    for piece in body.chunks(size) {
        bytes.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
        bytes.extend_from_slice(piece);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"0\r\n\r\n");
    bytes
}

#[tokio::test]
async fn a_body_arrives_whole_for_every_framing_and_packing() {
    let stack = Stack::start(1).await;
    for size in [100, 70_000, 1_300_000] {
        let body = large(size);
        stack.sim.forget().await;
        let zstd = zstd::encode_all(&body[..], 3).unwrap();
        for (encoding, packed) in [("identity", body.clone()), ("gzip", gzip(&body)), ("zstd", zstd)] {
            for chunk in [None, Some(packed.len()), Some(packed.len() / 7 + 1)] {
                let answer = raw(stack.address(), &request(encoding, &packed, chunk)).await;
                assert_eq!(answer.status, 200, "{size} {encoding} {chunk:?}: {}", answer.head);
            }
        }
        let requests = stack.sim.requests().await;
        assert_eq!(requests.len(), 9);
        for request in requests {
            assert!(request.bytes >= size as u64, "{size}: {} bytes arrived", request.bytes);
            let sent: Value = serde_json::from_slice(&body).unwrap();
            assert!(
                request.body["input"].to_string().contains(sent["input"].as_str().unwrap()),
                "{size}: not whole"
            );
            assert_eq!(request.headers.get("content-encoding"), None, "{size}");
        }
    }
}

#[tokio::test]
async fn a_slow_sender_with_tiny_pieces_is_served() {
    let stack = Stack::start(1).await;
    let bytes = request("identity", &large(300), Some(10));
    let mut stream = TcpStream::connect(stack.address()).await.unwrap();
    stream.set_nodelay(true).unwrap();
    for piece in bytes.chunks(3) {
        stream.write_all(piece).await.unwrap();
        tokio::task::yield_now().await;
    }
    let mut answer = Vec::new();
    within("an answer", Duration::from_secs(10), stream.read_to_end(&mut answer)).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer[..100]));
}

#[tokio::test]
async fn a_client_that_waits_for_100_continue_gets_it_at_once() {
    let stack = Stack::start(1).await;
    let body = large(70_000);
    let mut stream = TcpStream::connect(stack.address()).await.unwrap();
    let head = format!(
        "POST {PATH} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nExpect: 100-continue\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut go = [0; 25];
    within("100 Continue", Duration::from_secs(5), stream.read_exact(&mut go)).await.unwrap();
    assert!(go.starts_with(b"HTTP/1.1 100 "), "{}", String::from_utf8_lossy(&go));
    stream.write_all(&body).await.unwrap();
    let mut answer = Vec::new();
    within("an answer", Duration::from_secs(10), stream.read_to_end(&mut answer)).await.unwrap();
    assert!(
        String::from_utf8_lossy(&answer).contains("HTTP/1.1 200"),
        "{}",
        String::from_utf8_lossy(&answer)
    );
}

#[tokio::test]
async fn one_connection_serves_many_requests() {
    let stack = Stack::start(1).await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    for turn in 0..5 {
        for (path, wanted) in [("/v1/chat/completions", 200), ("/v1/nothing", 404)] {
            let body = chat_body(&format!("turn {turn}"), turn % 2 == 0);
            let answer = client.post(stack.url(path)).json(&body).send().await.unwrap();
            assert_eq!(answer.status(), wanted, "turn {turn} {path}");
            answer.bytes().await.unwrap();
        }
    }
}

#[tokio::test]
async fn events_arrive_one_by_one_as_the_upstream_sends_them() {
    let stack = Stack::start(1).await;
    stack.sim.fault("user1", "stall_after:30").await;
    for (path, body) in [
        ("/v1/chat/completions", chat_body("sim:words=100", true)),
        (PATH, response_body("sim:words=100", true)),
    ] {
        let mut events = Events::of(stack.post(path, &body).await);
        // The upstream is silent after 30 events; what came before must not wait in a buffer.
        let mut seen = 0;
        while seen < 12 {
            events.next().await.unwrap_or_else(|| panic!("{path}: only {seen} events"));
            seen += 1;
        }
    }
}

#[tokio::test]
async fn http_2_clients_without_tls_are_served_and_fail_over_too() {
    let config = json!({});
    let stack = Stack::with(Setup { accounts: 2, config, ordered: true, ..Setup::default() }).await;
    stack.sim.fault("user1", "usage_limit_429").await;
    let client = reqwest::Client::builder().http2_prior_knowledge().no_proxy().build().unwrap();
    for body in [chat_body("hello", true), chat_body(&"x".repeat(1_200_000), true)] {
        let answer = client.post(stack.url("/v1/chat/completions")).json(&body).send().await.unwrap();
        assert_eq!((answer.status().as_u16(), answer.version()), (200, reqwest::Version::HTTP_2));
        let events = Events::of(answer).all().await;
        assert_eq!(events.last().unwrap().data, "[DONE]");
        assert!(!chat_text(&events).is_empty());
    }
    let mut running = tokio::task::JoinSet::new();
    for number in 0..20 {
        let body = response_body(&format!("stream {number} of one connection"), true);
        let request = client.post(stack.url(PATH)).json(&body).send();
        running.spawn(async move { Events::of(request.await.unwrap()).all().await });
    }
    for events in running.join_all().await {
        assert_eq!(events.last().map(Event::kind).as_deref(), Some("response.completed"), "{events:?}");
    }
    let error = client.post(stack.url("/v1/chat/completions")).body("{").send().await.unwrap();
    assert_eq!(error.status(), 400);
    assert_eq!(error.json::<Value>().await.unwrap()["error"]["type"], "invalid_request_error");
}

#[tokio::test]
async fn the_upstream_is_reached_over_tls_and_http_2_with_a_ca_of_ones_own() {
    let stack = Stack::with(Setup { upstream_tls: true, ..Setup::default() }).await;
    stack.sim.expire_tokens("user1").await;
    let (status, answer) = stack.chat("hello").await;
    assert_eq!(status, 200, "{answer}");
    let events = stack.chat_stream(&"x".repeat(1_200_000)).await.all().await;
    assert_eq!(events.last().unwrap().data, "[DONE]");
    for request in stack.sim.requests().await {
        // HTTP/2 has `:authority` instead of a Host header.
        assert_eq!(request.headers.get("host"), None, "not HTTP/2: {}", request.headers);
    }
}

#[tokio::test]
async fn a_certificate_that_is_not_trusted_is_refused_with_502_and_blamed_on_no_account() {
    let other = tempfile::tempdir().unwrap();
    let wrong = Certificate::create(other.path(), "other");
    let config = json!({ "upstream": { "ca_file": wrong.authority } });
    let stack = Stack::with(Setup { accounts: 2, config, upstream_tls: true, ..Setup::default() }).await;
    for (path, body) in
        [("/v1/chat/completions", chat_body("hello", true)), (PATH, response_body("hello", true))]
    {
        let answer = stack.post(path, &body).await;
        assert_eq!(answer.status(), 502, "{path}");
        let error = answer.json::<Value>().await.unwrap()["error"].clone();
        assert_eq!(error["code"], "upstream_unavailable", "{path}: {error}");
    }
    assert_eq!(stack.sim.requests().await.len(), 0);
    let charged = "SELECT count(*) FROM accounts WHERE cooling_until IS NOT NULL OR needs_login IS NOT NULL";
    assert_eq!(stack.query(charged), "0");
}

#[tokio::test]
async fn the_proxy_itself_speaks_tls_with_http_2_and_http_1() {
    let dir = tempfile::tempdir().unwrap();
    let own = Certificate::create(dir.path(), "own");
    let address = format!("127.0.0.1:{}", free_port());
    let https = json!({ "address": address, "certificate": own.chain, "key": own.key });
    let stack =
        Stack::with(Setup { config: json!({ "listen": { "https": https } }), ..Setup::default() }).await;
    let url = format!("https://{address}/v1/chat/completions");
    let client = trusting(&own.authority);
    let answer = eventually("TLS is up", Duration::from_secs(5), || async {
        client.post(&url).json(&chat_body("hello", true)).send().await.ok()
    })
    .await;
    assert_eq!((answer.status().as_u16(), answer.version()), (200, reqwest::Version::HTTP_2));
    assert_eq!(Events::of(answer).all().await.last().unwrap().data, "[DONE]");
    stack.rows_when(1).await;
}
