//! OpenCode itself, with the configuration its users write: its own tools over several steps, and their reasoning
//! back in place before the upstream's eyes.

use std::path::{Path, PathBuf};
use std::process::Output;

use codex_lb_test_support::{Received, Setup, Stack, eventually};
use serde_json::{Value, json};

use crate::install::{clients, run};

const FINAL: &str = "All four steps are done.";

/// The file that the documentation tells OpenCode's users to write; `options` are those of the provider.
fn configuration(options: &Value) -> Value {
    json!({
        "$schema": "https://opencode.ai/config.json",
        "provider": {
            "codex-lb": {
                "npm": "@ai-sdk/openai-compatible",
                "name": "codex-lb",
                "options": options,
                "models": {
                    "gpt-5.3-codex": {
                        "name": "GPT-5.3 Codex",
                        "reasoning": true,
                        "interleaved": { "field": "reasoning_details" },
                        "options": { "reasoningEffort": "medium" }
                    }
                }
            }
        },
        "model": "codex-lb/gpt-5.3-codex"
    })
}

/// A user's machine: a home with the configuration, and a directory to work in.
struct User {
    home: tempfile::TempDir,
}

impl User {
    fn new(options: &Value) -> Self {
        let home = tempfile::tempdir().unwrap();
        let user = Self { home };
        std::fs::create_dir_all(user.work()).unwrap();
        std::fs::write(user.work().join("notes.txt"), "remember the milk\n").unwrap();
        user.configure(options);
        user
    }

    fn configure(&self, options: &Value) {
        let dir = self.home.path().join(".config/opencode");
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(dir.join("opencode.json"), configuration(options).to_string()).unwrap();
    }

    fn work(&self) -> PathBuf {
        self.home.path().join("work")
    }

    async fn opencode(&self, args: &[&str], prompt: &str, env: &[(&str, &str)]) -> Output {
        let mut command = clients().program("opencode", self.home.path());
        command.args(["run"]).args(args).current_dir(self.work());
        // Nothing from outside: no updates, no model list, no language servers.
        for name in
            ["OPENCODE_DISABLE_AUTOUPDATE", "OPENCODE_DISABLE_MODELS_FETCH", "OPENCODE_DISABLE_LSP_DOWNLOAD"]
        {
            command.env(name, "1");
        }
        command.envs(env.iter().copied());
        run(command, prompt).await
    }
}

fn base_url(stack: &Stack) -> Value {
    json!({ "baseURL": stack.v1() })
}

/// Has OpenCode use four of its tools in three steps.
fn steps(work: &Path) -> String {
    let notes = work.join("notes.txt");
    format!(
        "sim:call bash {} then glob {} and read {} then bash {} then say {FINAL}",
        json!({ "command": "echo step-one", "description": "Say step one" }),
        json!({ "pattern": "*.txt" }),
        json!({ "filePath": notes }),
        json!({ "command": "echo step-three", "description": "Say step three" }),
    )
}

fn shown(done: &Output) -> String {
    let (out, err) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success(), "{}\n{out}\n{err}", done.status);
    out.into_owned()
}

/// The requests of the conversation itself; OpenCode also asks for a title, without tools.
async fn turns(stack: &Stack) -> Vec<Received> {
    let requests = stack.sim.requests().await;
    requests
        .into_iter()
        .filter(|request| request.body["tools"].as_array().is_some_and(|tools| !tools.is_empty()))
        .collect()
}

fn items(request: &Received) -> &[Value] {
    request.body["input"].as_array().unwrap()
}

fn kind(item: &Value) -> &str {
    item["type"].as_str().unwrap_or("message")
}

/// Every turn repeats all of the turn before it, and every step's calls stand behind the reasoning that led to them.
fn check_turns(turns: &[Received]) {
    for pair in turns.windows(2) {
        let (before, after) = (items(&pair[0]), items(&pair[1]));
        assert!(after.len() > before.len());
        for (index, item) in before.iter().enumerate() {
            assert_eq!(&after[index], item, "item {index} of the prefix changed");
        }
        for key in ["instructions", "tools", "prompt_cache_key", "model", "reasoning"] {
            assert_eq!(pair[0].body[key], pair[1].body[key], "{key} changed");
        }
        assert_eq!(pair[0].account, pair[1].account, "the conversation moved");
    }
    for (turn, request) in turns.iter().enumerate() {
        assert_eq!(request.status, 200, "turn {turn}");
        let kinds: Vec<&str> = items(request).iter().map(kind).collect();
        let mut sealed = Vec::new();
        for (index, item) in items(request).iter().enumerate() {
            match kind(item) {
                "function_call" => {
                    let before = kinds[..index].iter().rposition(|kind| *kind != "function_call").unwrap();
                    assert_eq!(
                        kinds[before], "reasoning",
                        "turn {turn}: a call without its reasoning: {kinds:?}"
                    );
                }
                "reasoning" => sealed.push(item["encrypted_content"].as_str().unwrap().to_owned()),
                _ => {}
            }
        }
        assert!(sealed.iter().all(|content| !content.is_empty()), "turn {turn}");
        sealed.sort();
        sealed.dedup();
        let reasoning = kinds.iter().filter(|kind| **kind == "reasoning").count();
        assert_eq!(sealed.len(), reasoning, "turn {turn}: the same reasoning twice");
    }
}

#[tokio::test]
#[ignore = "installs real clients from npm and PyPI"]
async fn its_tools_work_over_several_steps_and_every_steps_reasoning_returns_in_its_place() {
    let stack = Stack::start(3).await;
    let user = User::new(&base_url(&stack));
    let done = user.opencode(&[], &steps(&user.work()), &[]).await;
    assert!(shown(&done).contains(FINAL), "{}", shown(&done));

    let turns = turns(&stack).await;
    assert_eq!(turns.len(), 4, "{turns:#?}");
    check_turns(&turns);
    let counts: Vec<usize> = turns
        .iter()
        .map(|turn| items(turn).iter().filter(|item| kind(item) == "reasoning").count())
        .collect();
    assert_eq!(counts, [0, 1, 2, 3], "reasoning items in each turn");
    let outputs: String = items(&turns[3]).iter().map(|item| item["output"].to_string()).collect();
    for output in ["step-one", "notes.txt", "remember the milk", "step-three"] {
        assert!(outputs.contains(output), "no {output} among {outputs}");
    }
    for turn in &turns {
        assert_eq!(turn.body["reasoning"]["effort"], "medium");
        let include = turn.body["include"].as_array().unwrap();
        assert!(include.contains(&json!("reasoning.encrypted_content")));
    }
    // The same prefix, turn after turn, is what the upstream's prompt cache needs.
    let rows = eventually("all rows are there", std::time::Duration::from_secs(5), || async {
        let rows = stack.rows();
        (rows.len() == 5).then_some(rows)
    })
    .await;
    assert!(rows.iter().all(|row| row.outcome == "completed" && row.route == "chat"), "{rows:#?}");
    assert!(
        rows.iter().all(|row| row.client.as_deref().is_some_and(|client| client.starts_with("opencode/"))),
        "{rows:#?}"
    );
    let cached = rows.iter().filter(|row| row.cached_tokens > Some(0)).count();
    assert!(cached >= 3, "the prompt cache was hit in {cached} of 3 later turns: {rows:#?}");
}

#[tokio::test]
#[ignore = "installs real clients from npm and PyPI"]
async fn a_session_that_is_continued_after_a_restart_of_the_proxy_still_has_its_reasoning() {
    let mut stack = Stack::start(3).await;
    let user = User::new(&base_url(&stack));
    shown(&user.opencode(&[], &steps(&user.work()), &[]).await);
    stack.proxy.signal("TERM");
    stack.proxy.wait(std::time::Duration::from_secs(20));
    stack.restart().await;
    user.configure(&base_url(&stack));
    let next = "sim:call bash {\"command\":\"echo again\",\"description\":\"x\"} then say Continued.";
    let done = user.opencode(&["--continue"], next, &[]).await;
    assert!(shown(&done).contains("Continued."), "{}", shown(&done));
    let turns = turns(&stack).await;
    assert_eq!(turns.len(), 6, "{turns:#?}");
    check_turns(&turns);
    let last = items(&turns[5]).iter().filter(|item| kind(item) == "reasoning").count();
    assert!(last >= 4, "only {last} reasoning items survived");
}

#[tokio::test]
#[ignore = "installs real clients from npm and PyPI"]
async fn it_works_with_a_key_from_the_environment() {
    let config = json!({ "auth": { "api_keys": "always" } });
    let stack = Stack::with(Setup { config, ..Setup::default() }).await;
    let key = stack.succeeds(&["key", "create", "opencode"]).trim().to_owned();
    let user = User::new(&json!({ "baseURL": stack.v1(), "apiKey": "{env:CODEX_LB_API_KEY}" }));
    let done = user.opencode(&[], "sim:say With a key.", &[("CODEX_LB_API_KEY", &key)]).await;
    assert!(shown(&done).contains("With a key."));
    let id = stack.query("SELECT id FROM keys");
    assert!(stack.rows().iter().all(|row| row.key_id.as_deref() == Some(&id)));

    let done = user.opencode(&[], "sim:say Never.", &[("CODEX_LB_API_KEY", "sk-clb-wrong")]).await;
    let said = format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(!done.status.success() && said.to_lowercase().contains("key"), "{said}");
}

#[tokio::test]
#[ignore = "installs real clients from npm and PyPI"]
async fn an_answer_that_breaks_in_the_middle_is_shown_once_and_whole() {
    let stack = Stack::start(1).await;
    let user = User::new(&base_url(&stack));
    // The title's request may take the fault; then the turn has none, and is whole anyway.
    stack.sim.fault_once("user1", "die_after:16").await;
    let done = user.opencode(&["--title", "fixed"], "sim:words=40 of an answer", &[]).await;
    let out = shown(&done);
    assert_eq!(out.matches("juliett alpha").count(), 3, "{out}");
    let rows = stack.rows();
    assert!(rows.iter().any(|row| row.outcome == "failed"), "nothing broke: {rows:#?}");
}

#[tokio::test]
#[ignore = "installs real clients from npm and PyPI"]
async fn an_account_that_fails_in_the_middle_of_a_turn_is_not_noticed() {
    let stack = Stack::with(Setup { accounts: 3, ordered: true, ..Setup::default() }).await;
    let user = User::new(&base_url(&stack));
    stack.sim.fault("user1", "usage_limit_429").await;
    let done = user.opencode(&[], &steps(&user.work()), &[]).await;
    assert!(shown(&done).contains(FINAL));
    let served: Vec<Option<String>> =
        turns(&stack).await.into_iter().filter(|turn| turn.status == 200).map(|turn| turn.account).collect();
    assert!(served.iter().all(|account| account.as_deref() == Some("user2")), "{served:?}");
}
