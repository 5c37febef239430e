//! Promise: `codex-lb demo` works with one command and leaves nothing behind.
#![cfg(test)]

use std::path::PathBuf;
use std::time::Duration;

use codex_lb_test_support::{Process, chat_body, client, eventually};

fn files(dir: &std::path::Path) -> Vec<PathBuf> {
    let mut names: Vec<PathBuf> =
        std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn the_demo_serves_at_the_address_it_prints_first_and_ctrl_c_leaves_nothing_behind() {
    let home = tempfile::tempdir().unwrap();
    let logs = tempfile::tempdir().unwrap();
    let log = logs.path().join("demo.log");
    let (mut demo, address) = Process::start_announced("demo", &["demo"], home.path(), &log);
    let address = address.trim().to_owned();
    assert!(address.starts_with("http://127.0.0.1:") && address.ends_with("/v1"), "{address:?}");

    let client = client();
    let body = eventually("the demo answers", Duration::from_secs(10), || async {
        let url = format!("{address}/chat/completions");
        let answer = client.post(url).json(&chat_body("hello", false)).send().await.ok()?;
        (answer.status() == 200).then_some(answer.json::<serde_json::Value>().await.unwrap())
    })
    .await;
    assert!(body["choices"][0]["message"]["content"].is_string(), "{body}");

    // It tells what to do next: the line with the dashboard's address, and how to try it.
    demo.signal("INT");
    let status = demo.wait(Duration::from_secs(15));
    assert!(status.success(), "{status}: {}", demo.log());
    assert_eq!(files(home.path()), Vec::<PathBuf>::new(), "left behind");
    let gone = client.get(format!("{address}/models")).send().await;
    assert!(gone.is_err(), "something still listens at {address}");
}
