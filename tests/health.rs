//! Promise: health and metrics tell the truth, and SIGTERM ends the process with its exchanges finished.
#![cfg(test)]

use std::time::Duration;

use codex_lb_test_support::{Setup, Stack, eventually, free_port};
use serde_json::json;

#[tokio::test]
async fn a_running_proxy_is_live_and_ready() {
    let stack = Stack::start(1).await;
    for path in ["/health/live", "/health/ready"] {
        let answer = stack.get(path).await;
        assert_eq!(answer.status(), 200, "{path}");
    }
}

#[tokio::test]
async fn models_are_listed_as_openai_clients_expect() {
    let stack = Stack::start(1).await;
    let models = eventually("the accounts' models are known", Duration::from_secs(5), || async {
        let answer = stack.get("/v1/models").await;
        assert_eq!(answer.status(), 200);
        let models = answer.json::<serde_json::Value>().await.unwrap();
        (models["data"] != json!([])).then_some(models)
    })
    .await;
    assert_eq!(models["object"], "list");
    for model in models["data"].as_array().unwrap() {
        assert!(model["id"].is_string() && model["object"] == "model", "{model}");
        assert!(model["created"].is_u64() && model["owned_by"].is_string(), "{model}");
    }
}

#[tokio::test]
async fn metrics_count_what_was_served() {
    let metrics = format!("127.0.0.1:{}", free_port());
    let config = json!({ "metrics": { "listen": metrics } });
    let stack = Stack::with(Setup { config, ..Setup::default() }).await;
    for _ in 0..3 {
        assert_eq!(stack.chat("hello").await.0, 200);
    }
    let page = eventually("the metrics page counts three requests", Duration::from_secs(5), || async {
        let page =
            stack.client.get(format!("http://{metrics}/metrics")).send().await.ok()?.text().await.ok()?;
        page.lines()
            .any(|line| line.starts_with("codexlb_exchanges_total{") && line.ends_with(" 3"))
            .then_some(page)
    })
    .await;
    for line in page.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let value = line.rsplit(' ').next().unwrap();
        assert!(value.parse::<f64>().is_ok(), "not a sample: {line}");
    }
}

#[tokio::test]
async fn sigterm_lets_a_stream_finish_and_then_the_process_ends_well() {
    let mut stack = Stack::start(1).await;
    stack.sim.fault("user1", "drip:100").await;
    let mut events = stack.chat_stream("goodbye").await;
    assert!(events.next().await.is_some());
    stack.proxy.signal("TERM");
    let rest = events.all().await;
    assert_eq!(rest.last().map(|event| event.data.as_str()), Some("[DONE]"), "the stream was cut: {rest:?}");
    let status = stack.proxy.wait(Duration::from_secs(20));
    assert!(status.success(), "{status}");
    let rows = stack.rows();
    assert_eq!(rows.len(), 1, "{rows:#?}");
    assert_eq!(rows[0].outcome, "completed");
}

#[tokio::test]
async fn a_proxy_that_ended_starts_again_on_the_same_ledger() {
    let mut stack = Stack::start(1).await;
    assert_eq!(stack.chat("first").await.0, 200);
    stack.proxy.signal("TERM");
    stack.proxy.wait(Duration::from_secs(20));
    stack.restart().await;
    assert_eq!(stack.chat("second").await.0, 200);
    stack.rows_when(2).await;
}
