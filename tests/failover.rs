//! Promise: whatever goes wrong upstream before any output, the client sees nothing of it as long as one account can
//! serve; and when none can, it is told the truth.
#![cfg(test)]

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use codex_lb_test_support::{
    Event, Events, Setup, Stack, chat_body, chat_text, eventually, response_body, response_text,
};
use serde_json::{Value, json};

/// Everything the simulator can do to a request before its answer has any output, and whether another account must
/// take over (rather than the same one answering in the end).
const FAULTS: [(&str, bool); 25] = [
    ("usage_limit_429", true),
    ("usage_limit_429:30", true),
    ("burst_429", true),
    ("burst_429:20:20", true),
    ("unauthorized", false),
    ("forbidden_html", true),
    ("status:500", true),
    ("status:502", true),
    ("status:503", true),
    ("status:529", true),
    ("hang_before_head", true),
    ("slow_head:300", false),
    ("close_before_head", true),
    ("stall_after:0", true),
    ("stall_after:1", true),
    ("die_after:0", true),
    ("die_after:1", true),
    ("end_after:0", true),
    ("end_after:1", true),
    ("failed_first:server_error", true),
    ("failed_first:usage_limit_reached", true),
    ("failed_first:rate_limit_exceeded", true),
    ("error_event_first:server_is_overloaded", true),
    ("at_capacity", true),
    ("deactivated", true),
];

/// Strange, but a whole answer.
const ODDITIES: [&str; 4] = ["split_frames", "crlf", "drip:5", "malformed_after:40"];

#[derive(Debug, Clone, Copy)]
enum Dialect {
    ChatStream,
    ChatWhole,
    ResponsesStream,
    ResponsesWhole,
}

const DIALECTS: [Dialect; 4] =
    [Dialect::ChatStream, Dialect::ChatWhole, Dialect::ResponsesStream, Dialect::ResponsesWhole];

/// Accounts in their order, and short patience with silent ones.
async fn impatient(accounts: usize) -> Stack {
    let config = json!({ "upstream": { "timeouts": { "head": "1s", "idle": "1s" } } });
    Stack::with(Setup { accounts, config, ordered: true, ..Setup::default() }).await
}

/// Asks once and returns the text of the answer, which must be whole and well formed.
async fn ask(stack: &Stack, dialect: Dialect, what: &str) -> String {
    let text = match dialect {
        Dialect::ChatStream => {
            let events = stack.chat_stream("hello").await.all().await;
            assert_eq!(events.last().map(|event| event.data.as_str()), Some("[DONE]"), "{what}: {events:?}");
            assert!(events.iter().all(|event| event.json().get("error").is_none()), "{what}: {events:?}");
            chat_text(&events)
        }
        Dialect::ChatWhole => {
            let (status, answer) = stack.chat("hello").await;
            assert_eq!(status, 200, "{what}: {answer}");
            answer["choices"][0]["message"]["content"].as_str().unwrap_or_default().to_owned()
        }
        Dialect::ResponsesStream => {
            let events = stack.response_stream("hello").await.all().await;
            let kinds: Vec<String> = events.iter().map(Event::kind).collect();
            assert_eq!(kinds.first().map(String::as_str), Some("response.created"), "{what}: {events:?}");
            assert_eq!(kinds.last().map(String::as_str), Some("response.completed"), "{what}: {events:?}");
            let created = kinds.iter().filter(|kind| *kind == "response.created").count();
            assert_eq!(created, 1, "{what}: traces of a failed attempt: {kinds:?}");
            response_text(&events)
        }
        Dialect::ResponsesWhole => {
            let answer = stack.post("/v1/responses", &json!({ "model": "gpt-5.4", "input": "hello" })).await;
            let status = answer.status();
            let answer = answer.json::<Value>().await.unwrap();
            assert_eq!(status, 200, "{what}: {answer}");
            let items = answer["output"].as_array().unwrap();
            let message = items.iter().rfind(|item| item["type"] == "message").unwrap();
            message["content"][0]["text"].as_str().unwrap_or_default().to_owned()
        }
    };
    assert!(!text.is_empty(), "{what}: an answer without text");
    text
}

async fn survives(fault: &str, moves: bool, dialect: Dialect) {
    let what = format!("{fault} {dialect:?}");
    let stack = impatient(2).await;
    stack.sim.fault("user1", fault).await;
    ask(&stack, dialect, &what).await;
    let requests = stack.sim.requests().await;
    assert_eq!(requests.first().unwrap().account.as_deref(), Some("user1"), "{what}: {requests:#?}");
    let served = if moves { "user2" } else { "user1" };
    assert_eq!(requests.last().unwrap().account.as_deref(), Some(served), "{what}: {requests:#?}");
    let rows = stack.rows_when(1).await;
    let row = &rows[0];
    assert_eq!(
        (row.outcome.as_str(), row.status, row.error_code.as_deref()),
        ("completed", 200, None),
        "{what}"
    );
    assert_eq!(row.attempts > 1, moves || fault == "unauthorized", "{what}: {row:?}");
    assert!(row.input_tokens > Some(0) && row.output_tokens > Some(0), "{what}: {row:?}");
}

/// Runs all faults against one dialect, a few stacks at a time.
async fn survives_all(dialect: Dialect) {
    let mut running = tokio::task::JoinSet::new();
    for (fault, moves) in FAULTS {
        running.spawn(survives(fault, moves, dialect));
        if running.len() >= 3 {
            running.join_next().await.unwrap().unwrap();
        }
    }
    while let Some(done) = running.join_next().await {
        done.unwrap();
    }
}

#[tokio::test]
async fn a_chat_stream_survives_every_fault_before_its_output() {
    survives_all(Dialect::ChatStream).await;
}

#[tokio::test]
async fn a_whole_chat_completion_survives_every_fault_before_its_output() {
    survives_all(Dialect::ChatWhole).await;
}

#[tokio::test]
async fn a_response_stream_survives_every_fault_before_its_output() {
    survives_all(Dialect::ResponsesStream).await;
}

#[tokio::test]
async fn a_whole_response_survives_every_fault_before_its_output() {
    survives_all(Dialect::ResponsesWhole).await;
}

#[tokio::test]
async fn an_odd_but_whole_answer_arrives_whole() {
    for oddity in ODDITIES {
        let stack = impatient(1).await;
        let plain: Vec<String> = asked_in_all_dialects(&stack, "nothing").await;
        stack.sim.fault("user1", oddity).await;
        assert_eq!(asked_in_all_dialects(&stack, oddity).await, plain, "{oddity}");
    }
}

#[tokio::test]
async fn garbage_before_the_output_does_not_reach_the_client() {
    for dialect in DIALECTS {
        let stack = impatient(2).await;
        stack.sim.fault("user1", "malformed_after:1").await;
        ask(&stack, dialect, "malformed_after:1").await;
    }
}

async fn asked_in_all_dialects(stack: &Stack, what: &str) -> Vec<String> {
    let mut texts = Vec::new();
    for dialect in DIALECTS {
        texts.push(ask(stack, dialect, what).await);
    }
    texts
}

#[tokio::test]
async fn a_model_that_one_account_lacks_is_served_by_the_other() {
    for dialect in DIALECTS {
        let stack = impatient(2).await;
        stack.sim.fault("user1", "model_unsupported").await;
        ask(&stack, dialect, "model_unsupported").await;
        assert_eq!(stack.query("SELECT count(*) FROM accounts WHERE cooling_until IS NOT NULL"), "0");
    }
}

#[tokio::test]
async fn a_fault_of_the_request_itself_is_told_at_once_and_charged_to_nobody() {
    for dialect in DIALECTS {
        let stack = impatient(2).await;
        stack.sim.fault("user1", "failed_first:context_length_exceeded").await;
        let stream = matches!(dialect, Dialect::ChatStream | Dialect::ResponsesStream);
        let (path, body) = match dialect {
            Dialect::ChatStream | Dialect::ChatWhole => ("/v1/chat/completions", chat_body("long", stream)),
            Dialect::ResponsesStream | Dialect::ResponsesWhole => {
                ("/v1/responses", response_body("long", stream))
            }
        };
        let answer = stack.post(path, &body).await;
        assert_eq!(answer.status(), 400, "{dialect:?}");
        let error = answer.json::<Value>().await.unwrap()["error"].clone();
        assert_eq!(error["code"], "context_length_exceeded", "{dialect:?}: {error}");
        assert!(error["message"].as_str().unwrap().contains("context window"), "{dialect:?}: {error}");
        assert_eq!(stack.sim.requests().await.len(), 1, "{dialect:?}: another account was asked");
        assert_eq!(stack.query("SELECT count(*) FROM accounts WHERE cooling_until IS NOT NULL"), "0");
    }
}

#[tokio::test]
async fn refreshes_that_fail_move_the_exchange_on() {
    for fault in ["refresh:reused", "refresh:invalid_grant", "refresh:500"] {
        let stack = impatient(2).await;
        stack.sim.fault("user1", fault).await;
        stack.sim.expire_tokens("user1").await;
        ask(&stack, Dialect::ChatStream, fault).await;
        let requests = stack.sim.requests().await;
        assert_eq!(requests.last().unwrap().account.as_deref(), Some("user2"), "{fault}");
        let dead = fault != "refresh:500";
        let count = stack.query("SELECT count(*) FROM accounts WHERE needs_login IS NOT NULL");
        assert_eq!(count == "1", dead, "{fault}: {count} accounts need a login");
    }
}

#[tokio::test]
async fn when_every_quota_is_spent_the_answer_is_429_with_the_true_earliest_reset() {
    let stack = impatient(3).await;
    for (account, seconds) in [("user1", 7200), ("user2", 900), ("user3", 3600)] {
        stack.sim.fault(account, &format!("usage_limit_429:{seconds}")).await;
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    // The first exchange finds it out, the second knows it beforehand.
    for _ in 0..2 {
        for (path, body) in [
            (
                "/v1/chat/completions",
                json!({ "model": "gpt-5.4", "stream": true, "messages": [{ "role": "user", "content": "hi" }] }),
            ),
            ("/v1/responses", json!({ "model": "gpt-5.4", "input": "hi" })),
        ] {
            let answer = stack.post(path, &body).await;
            assert_eq!(answer.status(), 429);
            let retry_after: u64 = answer.headers()["retry-after"].to_str().unwrap().parse().unwrap();
            assert!((880..=905).contains(&retry_after), "Retry-After: {retry_after}");
            let error = answer.json::<Value>().await.unwrap()["error"].clone();
            assert_eq!(error["type"], "usage_limit_reached", "{error}");
            assert_eq!(error["code"], "usage_limit_reached", "{error}");
            let resets_at = error["resets_at"].as_u64().unwrap();
            assert!((now + 895..=now + 910).contains(&resets_at), "{resets_at} is not in 900 s: {error}");
        }
    }
    assert_eq!(stack.sim.requests().await.len(), 3, "accounts known to be spent were asked again");
}

#[tokio::test]
async fn an_account_whose_quota_came_back_serves_again() {
    let stack = impatient(1).await;
    stack.sim.fault_once("user1", "usage_limit_429:3").await;
    // A reset so near may be waited for; if it is not, the client comes back.
    eventually("the account serves again", Duration::from_secs(10), || async {
        match stack.chat("hello").await {
            (200, _) => Some(()),
            (429, answer) => {
                assert_eq!(answer["error"]["type"], "usage_limit_reached", "{answer}");
                None
            }
            (status, answer) => panic!("{status} {answer}"),
        }
    })
    .await;
}

#[tokio::test]
async fn without_an_account_the_answer_is_503_and_says_what_to_do() {
    let none = Stack::start(0).await;
    let (status, answer) = none.chat("hello").await;
    assert_eq!((status, answer["error"]["code"].as_str()), (503, Some("no_accounts")), "{answer}");
    let message = answer["error"]["message"].as_str().unwrap();
    assert!(message.contains("codex-lb account"), "names no remedy: {message}");

    let paused = Stack::start(1).await;
    paused.succeeds(&["account", "pause", "user1@example.com"]);
    eventually("the account is paused", Duration::from_secs(5), || async {
        let (status, answer) = paused.chat("hello").await;
        let message = answer["error"]["message"].as_str().unwrap_or_default().to_owned();
        (status == 503).then(|| assert!(message.contains("resume"), "names no remedy: {message}"))
    })
    .await;
    paused.succeeds(&["account", "resume", "user1@example.com"]);
    eventually("the account is back", Duration::from_secs(5), || async {
        (paused.chat("hello").await.0 == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn five_mebibytes_reach_the_third_account_as_they_reached_the_first() {
    let filler: String = (0..5 << 20).map(|at| char::from(b'a' + u8::try_from(at % 26).unwrap())).collect();
    for (path, body) in [
        (
            "/v1/chat/completions",
            json!({ "model": "gpt-5.4", "stream": true, "messages": [{ "role": "user", "content": filler }] }),
        ),
        (
            "/v1/responses",
            json!({ "model": "gpt-5.4", "stream": true, "input": [{ "role": "user", "content": filler }] }),
        ),
        (
            "/backend-api/codex/responses",
            json!({ "model": "gpt-5.4", "stream": true, "store": false, "instructions": "x",
            "input": [{ "role": "user", "content": [{ "type": "input_text", "text": filler }] }] }),
        ),
    ] {
        let stack = impatient(3).await;
        for account in ["user1", "user2"] {
            stack.sim.fault(account, "close_before_head").await;
        }
        let answer = stack.post(path, &body).await;
        assert_eq!(answer.status(), 200, "{path}");
        let events = Events::of(answer).all().await;
        assert!(events.len() > 2, "{path}: {events:?}");
        let requests = stack.sim.requests().await;
        // The same account may be tried again before the next one is.
        let mut accounts: Vec<&str> =
            requests.iter().filter_map(|request| request.account.as_deref()).collect();
        accounts.dedup();
        assert_eq!(accounts, ["user1", "user2", "user3"], "{path}");
        for request in &requests {
            assert!(request.bytes > 5 << 20, "{path}: {} bytes", request.bytes);
            assert_eq!(request.sha256, requests[0].sha256, "{path}: the attempts differ");
            assert!(request.body.to_string().contains(&filler), "{path}: the text is not whole");
        }
    }
}
