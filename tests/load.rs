//! Promise: hundreds of streams at once, for long, without an error and without anything left over.
#![cfg(test)]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use codex_lb_test_support::{Events, Setup, Stack, chat_body, eventually, response_body};
use serde_json::json;
use tokio::task::JoinSet;

const STREAMS: usize = 500;
const WARM_UP: Duration = Duration::from_secs(8);
const LOAD: Duration = Duration::from_secs(60);

/// What may remain in the end beyond what the warm-up left: allocators keep some pages, pools some connections.
const SPARE_MEMORY: u64 = 24 << 20;
const SPARE_FILES: usize = 40;

/// Keeps that many streams running for `time`; returns how many there were in all.
async fn run(stack: &Stack, time: Duration) -> usize {
    let end = Instant::now() + time;
    let served = std::sync::Arc::new(AtomicUsize::new(0));
    let mut clients = JoinSet::new();
    for number in 0..STREAMS {
        let (client, served) = (stack.client.clone(), std::sync::Arc::clone(&served));
        let chat = number % 2 == 0;
        let url = stack.url(if chat { "/v1/chat/completions" } else { "/v1/responses" });
        clients.spawn(async move {
            while Instant::now() < end {
                let text = format!("sim:words=10 stream {number} {}", served.load(Ordering::Relaxed));
                let body = if chat { chat_body(&text, true) } else { response_body(&text, true) };
                let answer = client.post(&url).json(&body).send().await.unwrap();
                assert_eq!(answer.status(), 200, "{:?}", answer.text().await);
                let events = Events::of(answer).all().await;
                let last = events.last().unwrap();
                assert!(last.data == "[DONE]" || last.kind() == "response.completed", "{last:?}");
                assert!(events.iter().all(|event| event.json().get("error").is_none()), "{events:?}");
                served.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    clients.join_all().await;
    served.load(Ordering::Relaxed)
}

#[tokio::test]
async fn five_hundred_streams_for_a_minute_fail_never_and_leave_nothing() {
    let config = json!({ "log": { "level": "warn" } });
    let stack = Stack::with(Setup { accounts: 4, config, ..Setup::default() }).await;
    for account in &stack.accounts {
        stack.sim.fault(account, "drip:150").await;
    }
    let mut served = run(&stack, WARM_UP).await;
    stack.sim.wait_open(0, Duration::from_secs(10)).await;
    let (memory, files) = (stack.proxy.resident(), stack.proxy.open_files());

    served += run(&stack, LOAD).await;
    stack.sim.wait_open(0, Duration::from_secs(10)).await;
    eventually("files and memory are released", Duration::from_secs(20), || async {
        let released = stack.proxy.open_files() <= files + SPARE_FILES;
        (released && stack.proxy.resident() <= memory + memory / 4 + SPARE_MEMORY).then_some(())
    })
    .await;
    let rows = stack.query("SELECT count(*) FROM exchanges WHERE outcome = 'completed' AND attempts = 1");
    assert_eq!(rows, served.to_string(), "rows and streams differ");
}
