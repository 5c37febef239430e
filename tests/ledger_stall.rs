//! Promise: a ledger that somebody else has locked fails no request; the rows come later.
#![cfg(test)]

use std::time::{Duration, Instant};

use codex_lb_test_support::{Stack, eventually};
use rusqlite::Connection;

/// Waits until `/health/ready` answers so: whoever watches the proxy is told that rows are not written.
async fn ready(stack: &Stack, wanted: u16) {
    eventually(&format!("/health/ready is {wanted}"), Duration::from_secs(10), || async {
        (stack.get("/health/ready").await.status() == wanted).then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_exclusive_lock_on_the_ledger_fails_no_request_and_loses_no_row() {
    let stack = Stack::start(2).await;
    assert_eq!(stack.chat("before").await.0, 200);
    stack.rows_when(1).await;

    let blocker = Connection::open(stack.ledger_file()).unwrap();
    blocker.busy_timeout(Duration::from_secs(10)).unwrap();
    blocker.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let start = Instant::now();
    let mut served = 0;
    while start.elapsed() < Duration::from_secs(8) {
        let asked = Instant::now();
        let (status, answer) = stack.chat("while it is locked").await;
        assert_eq!(status, 200, "{answer}");
        let events = stack.chat_stream("while it is locked").await.all().await;
        assert_eq!(events.last().unwrap().data, "[DONE]");
        // Twice the 250 ms that a terminal event may wait for its row, and time for the rest.
        assert!(asked.elapsed() < Duration::from_secs(3), "took {:?}", asked.elapsed());
        served += 2;
    }
    assert!(served >= 4, "only {served} requests in {:?}", start.elapsed());
    ready(&stack, 503).await;
    blocker.execute_batch("COMMIT").unwrap();
    drop(blocker);
    ready(&stack, 200).await;

    let rows = stack.rows_when(1 + served).await;
    assert!(rows.iter().all(|row| row.outcome == "completed"), "{rows:#?}");
    assert_eq!(stack.query("SELECT sum(requests) FROM hourly"), (1 + served).to_string());
}
