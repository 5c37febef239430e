//! Codex CLI with the proxy as its custom provider.

use std::process::Output;

use codex_lb_test_support::Stack;

use crate::install::{clients, run};

async fn codex(stack: &Stack, prompt: &str) -> Output {
    let home = tempfile::tempdir().unwrap();
    let config = format!(
        "model = \"gpt-5.4\"\nmodel_provider = \"codex-lb\"\n\n[model_providers.codex-lb]\nname = \"codex-lb\"\n\
         base_url = \"{}\"\nwire_api = \"responses\"\n",
        stack.v1()
    );
    std::fs::write(home.path().join("config.toml"), config).unwrap();
    let work = home.path().join("work");
    std::fs::create_dir(&work).unwrap();
    let mut command = clients().program("codex", home.path());
    command.env("CODEX_HOME", home.path()).current_dir(work);
    command.args(["exec", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox", prompt]);
    run(command, "").await
}

fn shown(done: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr))
}

#[tokio::test]
#[ignore = "installs real clients from npm and PyPI"]
async fn it_runs_a_shell_command_and_answers_and_its_reasoning_stays_with_it() {
    let stack = Stack::start(3).await;
    let prompt = "sim:call exec_command {\"cmd\":\"echo from-the-shell\"} then say Codex is done.";
    let done = codex(&stack, prompt).await;
    assert!(done.status.success(), "{}", shown(&done));
    assert!(String::from_utf8_lossy(&done.stdout).contains("Codex is done."), "{}", shown(&done));

    let requests = stack.sim.requests().await;
    assert_eq!(requests.len(), 2, "{requests:#?}");
    let input = requests[1].body["input"].as_array().unwrap();
    let kinds: Vec<&str> = input.iter().map(|item| item["type"].as_str().unwrap_or("message")).collect();
    let call = kinds.iter().position(|kind| *kind == "function_call").unwrap();
    assert_eq!(kinds[call - 1], "reasoning", "{kinds:?}");
    assert!(input[call - 1]["encrypted_content"].is_string());
    assert!(input[call + 1]["output"].to_string().contains("from-the-shell"), "{}", input[call + 1]);
    assert_eq!(requests[0].account, requests[1].account, "the turn moved");
    for key in ["tools", "prompt_cache_key"] {
        assert_eq!(requests[0].body[key], requests[1].body[key], "{key}");
    }
    let rows = stack.rows_when(2).await;
    assert!(rows.iter().all(|row| row.route == "responses" && row.outcome == "completed"), "{rows:#?}");
    assert!(
        rows.iter().all(|row| row.client.as_deref().is_some_and(|client| client.contains("codex"))),
        "{rows:#?}"
    );
}

#[tokio::test]
#[ignore = "installs real clients from npm and PyPI"]
async fn when_every_account_is_spent_it_shows_its_own_usage_limit_text() {
    let stack = Stack::start(2).await;
    for account in &stack.accounts {
        stack.sim.fault(account, "usage_limit_429:3600").await;
    }
    let done = codex(&stack, "hello").await;
    assert!(!done.status.success(), "{}", shown(&done));
    assert!(shown(&done).to_lowercase().contains("usage limit"), "{}", shown(&done));
}

#[tokio::test]
#[ignore = "installs real clients from npm and PyPI"]
async fn a_stream_that_dies_before_output_is_not_noticed() {
    let stack = Stack::start(3).await;
    for account in &stack.accounts[..2] {
        stack.sim.fault(account, "die_after:1").await;
    }
    let done = codex(&stack, "sim:say Nothing happened.").await;
    assert!(done.status.success(), "{}", shown(&done));
    assert!(shown(&done).contains("Nothing happened."), "{}", shown(&done));
    assert!(!shown(&done).contains("Reconnecting"), "{}", shown(&done));
}
