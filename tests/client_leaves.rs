//! Promise: a client that leaves stops what was done for it, at once.
#![cfg(test)]

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use codex_lb_test_support::{Events, Setup, Stack, chat_body, client, eventually, free_port, response_body};
use serde_json::{Value, json};

/// From the client's departure to the end of the upstream's stream.
const AT_ONCE_MS: u64 = 1000;

fn now_ms() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

fn ways() -> [(&'static str, Value); 4] {
    let text = "sim:words=2000";
    [
        ("/v1/chat/completions", chat_body(text, true)),
        ("/v1/chat/completions", chat_body(text, false)),
        ("/v1/responses", response_body(text, true)),
        ("/v1/responses", response_body(text, false)),
    ]
}

/// The one request that reached the upstream was cut at once, and the row says so.
async fn left(stack: &Stack, what: &str, since_ms: u64) {
    let request = eventually("the upstream is rid of it", Duration::from_secs(10), || async {
        let requests = stack.sim.requests().await;
        assert_eq!(requests.len(), 1, "{what}: {requests:#?}");
        requests.into_iter().find(|request| request.outcome != "open")
    })
    .await;
    assert_eq!(request.outcome, "cut_by_peer", "{what}");
    let went_on = request.ended_ms.unwrap().saturating_sub(since_ms);
    assert!(went_on < AT_ONCE_MS, "{what}: the upstream went on for {went_on} ms");
    let rows = stack.rows_when(1).await;
    assert_eq!(rows[0].outcome, "client_left", "{what}: {rows:#?}");
    assert_eq!(stack.query("SELECT count(*) FROM accounts WHERE cooling_until IS NOT NULL"), "0", "{what}");
}

#[tokio::test]
async fn a_client_that_leaves_in_mid_stream_stops_the_upstream_within_a_second() {
    for (path, body) in ways() {
        let what = format!("{path} stream={}", body["stream"]);
        let stack = Stack::start(1).await;
        stack.sim.fault("user1", "drip:50").await;
        let request = client().post(stack.url(path)).json(&body).send();
        if body["stream"] == json!(true) {
            let mut events = Events::of(request.await.unwrap());
            for _ in 0..3 {
                events.next().await.unwrap();
            }
            let since = now_ms();
            drop(events);
            left(&stack, &what, since).await;
        } else {
            let request = tokio::spawn(request);
            stack.sim.wait_open(1, Duration::from_secs(10)).await;
            let since = now_ms();
            request.abort();
            left(&stack, &what, since).await;
        }
    }
}

#[tokio::test]
async fn a_client_that_leaves_while_the_upstream_is_silent_stops_it_too() {
    for fault in ["stall_after:12", "stall_after:0"] {
        let stack = Stack::start(1).await;
        stack.sim.fault("user1", fault).await;
        let request = client().post(stack.url("/v1/chat/completions")).json(&ways()[0].1).send();
        // Holds on to the answer, if there is one, and reads on for ever.
        let reading = tokio::spawn(async move { Events::of(request.await.unwrap()).all().await });
        stack.sim.wait_open(1, Duration::from_secs(10)).await;
        let since = now_ms();
        reading.abort();
        left(&stack, fault, since).await;
    }
}

#[tokio::test]
async fn a_client_that_leaves_before_the_upstreams_head_is_noticed() {
    let stack = Stack::start(2).await;
    stack.sim.fault("user1", "hang_before_head").await;
    stack.sim.fault("user2", "hang_before_head").await;
    let request =
        tokio::spawn(client().post(stack.url("/v1/chat/completions")).json(&chat_body("x", true)).send());
    eventually("the request is at the upstream", Duration::from_secs(10), || async {
        (stack.sim.requests().await.len() == 1).then_some(())
    })
    .await;
    let since = now_ms();
    request.abort();
    left(&stack, "before the head", since).await;
    assert_eq!(stack.rows()[0].status, 499);
    assert_eq!(stack.sim.requests().await.len(), 1, "it was tried again for nobody");
}

#[tokio::test]
async fn many_clients_that_leave_leave_nothing_open() {
    let metrics = format!("127.0.0.1:{}", free_port());
    let config = json!({ "metrics": { "listen": metrics } });
    let stack = Stack::with(Setup { accounts: 3, config, ..Setup::default() }).await;
    for account in &stack.accounts {
        stack.sim.fault(account, "drip:20").await;
    }
    let before = stack.proxy.open_files();
    let mut clients = tokio::task::JoinSet::new();
    for number in 0..60_usize {
        let request = client().post(stack.url("/v1/chat/completions")).json(&ways()[0].1).send();
        clients.spawn(async move {
            let mut events = Events::of(request.await.unwrap());
            for _ in 0..number % 7 {
                events.next().await;
            }
        });
    }
    clients.join_all().await;
    stack.sim.wait_open(0, Duration::from_secs(10)).await;
    let rows = stack.rows_when(60).await;
    assert!(rows.iter().all(|row| row.outcome == "client_left"), "{rows:#?}");
    let page =
        stack.client.get(format!("http://{metrics}/metrics")).send().await.unwrap().text().await.unwrap();
    assert!(
        page.lines().any(|line| line == "codexlb_exchanges_open 0"),
        "something is still under way:\n{page}"
    );
    eventually("the proxy has closed what it opened", Duration::from_secs(10), || async {
        (stack.proxy.open_files() <= before + 16).then_some(())
    })
    .await;
}
