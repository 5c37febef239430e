//! Promise: `kill -9` at any moment loses no completed exchange, counts none twice and costs no login.
#![cfg(test)]

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use codex_lb_test_support::{Events, Setup, Stack, chat_body, client, response_body};
use rand::Rng as _;
use serde_json::json;
use sha2::{Digest as _, Sha256};

const ROUNDS: usize = 20;
const CLIENTS: usize = 8;

/// Ids of the exchanges whose terminal event reached a client.
type Completed = Arc<Mutex<Vec<String>>>;

/// Asks until the proxy is gone.
async fn keep_asking(url: String, number: usize, completed: Completed) {
    let client = client();
    for turn in 0_usize.. {
        let text = format!("client {number}, turn {turn}");
        let (path, body, last) = match turn % 2 {
            0 => ("/v1/chat/completions", chat_body(&text, true), "[DONE]"),
            _ => ("/v1/responses", response_body(&text, true), "response.completed"),
        };
        let Ok(answer) = client.post(format!("{url}{path}")).json(&body).send().await else { return };
        assert_eq!(answer.status(), 200, "{:?}", answer.text().await);
        let id = answer.headers()["x-request-id"].to_str().unwrap().to_owned();
        let mut events = Events::of(answer);
        let mut done = false;
        while let Some(event) = events.next().await {
            done |= event.data == last || event.kind() == last;
        }
        if !done {
            return;
        }
        completed.lock().unwrap().push(id);
    }
}

#[tokio::test]
async fn a_proxy_that_is_killed_twenty_times_has_counted_every_completed_exchange_exactly_once() {
    let config = json!({ "routing": { "strategy": "round_robin" }, "log": { "level": "info" } });
    let mut stack = Stack::with(Setup { accounts: 3, config, ..Setup::default() }).await;
    let completed = Completed::default();
    for round in 0..ROUNDS {
        let mut clients = tokio::task::JoinSet::new();
        for number in 0..CLIENTS {
            clients.spawn(keep_asking(stack.url(""), round * CLIENTS + number, Arc::clone(&completed)));
        }
        let pause = rand::rng().random_range(50..400);
        tokio::time::sleep(Duration::from_millis(pause)).await;
        stack.proxy.kill();
        clients.join_all().await;
        stack.restart().await;
    }
    let completed = completed.lock().unwrap().clone();
    assert!(completed.len() > ROUNDS, "only {} exchanges were completed", completed.len());
    assert_eq!(completed.iter().collect::<HashSet<_>>().len(), completed.len(), "ids are not unique");

    let rows = stack.rows();
    let recorded: HashSet<&str> =
        rows.iter().filter(|row| row.outcome == "completed").map(|row| row.id.as_str()).collect();
    let lost: Vec<&String> = completed.iter().filter(|id| !recorded.contains(id.as_str())).collect();
    assert_eq!(
        lost,
        Vec::<&String>::new(),
        "{} of {} completed exchanges are lost",
        lost.len(),
        completed.len()
    );
    for sums in ["hourly", "daily"] {
        let counted = stack.query(&format!("SELECT sum(requests) FROM {sums}"));
        assert_eq!(counted, rows.len().to_string(), "{sums} does not agree with the rows");
    }
    assert_eq!(stack.query("SELECT integrity_check FROM pragma_integrity_check"), "ok");
}

/// The simulator refuses expired access tokens, so an account that served in a round did so with tokens it got in
/// that round: those must have been in the file before. A login whose new tokens nobody has used may be lost between
/// the token endpoint and us, which no client can prevent; such an account logs in again and the test goes on.
#[tokio::test]
async fn a_proxy_that_is_killed_while_it_refreshes_tokens_has_stored_every_token_it_used() {
    let config = json!({ "routing": { "strategy": "round_robin" }, "log": { "level": "info" } });
    let mut stack = Stack::with(Setup { accounts: 3, config, ..Setup::default() }).await;
    let mut stored = 0;
    for round in 0..ROUNDS {
        for account in &stack.accounts {
            stack.sim.expire_tokens(account).await;
        }
        stack.sim.forget().await;
        let mut clients = tokio::task::JoinSet::new();
        for number in 0..CLIENTS {
            clients.spawn(keep_asking(stack.url(""), round * CLIENTS + number, Completed::default()));
        }
        let pause = rand::rng().random_range(1..150);
        tokio::time::sleep(Duration::from_millis(pause)).await;
        stack.proxy.kill();
        clients.join_all().await;
        let requests = stack.sim.requests().await;
        for account in stack.accounts.clone() {
            let used = requests
                .iter()
                .any(|request| request.status == 200 && request.account.as_ref() == Some(&account));
            let current =
                stack.sim.auth_json(&account).await["tokens"]["refresh_token"].as_str().unwrap().to_owned();
            let kept = stack
                .query(&format!("SELECT refresh_hash FROM accounts WHERE name = '{account}@example.com'"));
            if kept == hash(&current) {
                stored += 1;
            } else {
                assert!(!used, "round {round}: {account} served with tokens that were not in the file");
                stack.log_in(&account).await;
            }
        }
        stack.restart().await;
    }
    assert!(stored > ROUNDS, "most logins should survive: {stored} of {}", ROUNDS * 3);
    stack.sim.forget().await;
    for turn in 0..6 {
        let (status, answer) = stack.chat(&format!("after all that, turn {turn}")).await;
        assert_eq!(status, 200, "{answer}");
    }
    let requests = stack.sim.requests().await;
    let served: HashSet<String> = requests
        .into_iter()
        .filter(|request| request.status == 200)
        .filter_map(|request| request.account)
        .collect();
    assert_eq!(served.len(), 3, "only {served:?} still serve");
    assert_eq!(stack.query("SELECT count(*) FROM accounts WHERE needs_login IS NOT NULL"), "0");
    assert_eq!(stack.query("SELECT integrity_check FROM pragma_integrity_check"), "ok");
}

fn hash(token: &str) -> String {
    Sha256::digest(token).iter().map(|byte| format!("{byte:02x}")).collect()
}
