//! The simulator over HTTP: started on port 0, spoken to with an ordinary client.

use reqwest::{Client, Response};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::{Budget, Options, Spec, World, serve};

struct Bench {
    base: String,
    client: Client,
    world: std::sync::Arc<World>,
    server: JoinHandle<std::io::Result<()>>,
}

/// One login: access token, refresh token and account id.
struct Login {
    access: String,
    refresh: String,
    account: String,
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Bench {
    async fn start(options: Options) -> Self {
        Self::with_client(options, Client::new()).await
    }

    async fn with_client(options: Options, client: Client) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let scheme = if options.tls.is_some() { "https" } else { "http" };
        let base = format!("{scheme}://{}", listener.local_addr().unwrap());
        let world = options.world.clone();
        Self { base, client, world, server: tokio::spawn(serve(listener, options)) }
    }

    fn login(&self, spec: Spec) -> Login {
        let auth: Value = serde_json::from_str(&self.world.add_account(spec)).unwrap();
        let token = |key: &str| auth["tokens"][key].as_str().unwrap().to_owned();
        Login { access: token("access_token"), refresh: token("refresh_token"), account: token("account_id") }
    }

    async fn ask_with(&self, login: &Login, body: Value) -> Result<Response, reqwest::Error> {
        let request = self.client.post(format!("{}/backend-api/codex/responses", self.base));
        request
            .bearer_auth(&login.access)
            .header("chatgpt-account-id", &login.account)
            .json(&body)
            .send()
            .await
    }

    async fn ask(&self, login: &Login, text: &str) -> Response {
        self.ask_with(login, request(text)).await.unwrap()
    }

    async fn fault(&self, fault: Value) {
        let url = format!("{}/sim/accounts/a1/fault", self.base);
        let response = self.client.put(url).json(&fault).send().await.unwrap();
        assert_eq!(response.status(), 200, "{}", response.text().await.unwrap());
    }

    async fn get(&self, path: &str) -> Value {
        self.client.get(format!("{}{path}", self.base)).send().await.unwrap().json().await.unwrap()
    }

    async fn refresh(&self, token: &str) -> Response {
        let body = json!({
            "grant_type": "refresh_token", "client_id": "app_EMoamEEZ73f0CkXaXp7hrann", "refresh_token": token,
        });
        self.client.post(format!("{}/oauth/token", self.base)).json(&body).send().await.unwrap()
    }
}

fn request(text: &str) -> Value {
    json!({
        "model": "gpt-5.4", "instructions": "", "store": false, "stream": true,
        "input": [{"role": "user", "content": [{"type": "input_text", "text": text}]}],
        "include": ["reasoning.encrypted_content"], "prompt_cache_key": "k",
    })
}

/// The events of a whole stream.
fn events(stream: &str) -> Vec<Value> {
    let data = stream.lines().filter_map(|line| line.strip_prefix("data: "));
    data.map(|data| serde_json::from_str(data).unwrap()).collect()
}

#[tokio::test]
async fn an_answer_streams_with_quota_headers_and_is_on_record() {
    let bench = Bench::start(Options::default()).await;
    let login = bench.login(Spec::default());
    let response = bench.ask(&login, "hello").await;
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["x-codex-primary-used-percent"], "0.0");
    let events = events(&response.text().await.unwrap());
    assert_eq!(events[0]["type"], "codex.rate_limits");
    assert_eq!(events[1]["type"], "response.created");
    assert_eq!(events.last().unwrap()["type"], "response.completed");
    let log = bench.get("/sim/requests/wait?finished=1").await;
    assert_eq!(log["requests"][0]["outcome"], "completed");
    assert_eq!(log["requests"][0]["account"], "a1");
    assert_eq!(log["requests"][0]["body"]["model"], "gpt-5.4");
    assert_eq!(log["requests"][0]["events"], events.len());
}

#[tokio::test]
async fn reasoning_can_be_sent_back_to_the_same_account_only() {
    let bench = Bench::start(Options::default()).await;
    let (first, second) = (bench.login(Spec::default()), bench.login(Spec::default()));
    let answer = events(&bench.ask(&first, "hello").await.text().await.unwrap());
    let reasoning = answer.iter().find(|event| event["type"] == "response.output_item.done").unwrap();
    let mut next = request("again");
    next["input"].as_array_mut().unwrap().insert(0, reasoning["item"].clone());
    assert_eq!(bench.ask_with(&first, next.clone()).await.unwrap().status(), 200);
    let refused = bench.ask_with(&second, next).await.unwrap();
    assert_eq!(refused.status(), 400);
    assert!(refused.text().await.unwrap().contains("invalid_encrypted_content"));
}

#[tokio::test]
async fn an_account_runs_dry_and_says_when_it_comes_back() {
    let bench = Bench::start(Options::default()).await;
    let login = bench.login(Spec { budget: Some(Budget::Requests(2)), ..Spec::default() });
    for used in ["50.0", "100.0"] {
        assert_eq!(bench.ask(&login, "x").await.headers()["x-codex-primary-used-percent"], used);
    }
    let dry = bench.ask(&login, "x").await;
    assert_eq!(dry.status(), 429);
    assert_eq!(dry.headers()["x-codex-primary-used-percent"], "100.0");
    let error = &dry.json::<Value>().await.unwrap()["error"];
    assert_eq!(error["type"], "usage_limit_reached");
    assert!(error["resets_at"].as_u64().unwrap() > super::now());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_budget_is_exact_also_when_many_ask_at_once() {
    let bench = std::sync::Arc::new(Bench::start(Options::default()).await);
    let login =
        std::sync::Arc::new(bench.login(Spec { budget: Some(Budget::Requests(5)), ..Spec::default() }));
    let asked: Vec<_> = (0..40)
        .map(|_| {
            let (bench, login) = (bench.clone(), login.clone());
            tokio::spawn(async move { bench.ask(&login, "x").await.status().as_u16() })
        })
        .collect();
    let mut served = 0;
    for answer in asked {
        served += usize::from(answer.await.unwrap() == 200);
    }
    assert_eq!(served, 5);
}

#[tokio::test]
async fn refresh_tokens_are_single_use() {
    let bench = Bench::start(Options::default()).await;
    let login = bench.login(Spec::default());
    bench.client.post(format!("{}/sim/accounts/a1/expire", bench.base)).send().await.unwrap();
    assert_eq!(bench.ask(&login, "x").await.status(), 401);
    let fresh: Value = bench.refresh(&login.refresh).await.json().await.unwrap();
    let renewed = Login { access: fresh["access_token"].as_str().unwrap().into(), ..login };
    assert_eq!(bench.ask(&renewed, "x").await.status(), 200);
    let reused = bench.refresh(&renewed.refresh).await;
    assert_eq!(reused.status(), 401);
    assert_eq!(reused.json::<Value>().await.unwrap()["error"]["code"], "refresh_token_reused");
    assert_eq!(bench.ask(&renewed, "x").await.status(), 200, "the new tokens still work");
    assert_eq!(bench.refresh(fresh["refresh_token"].as_str().unwrap()).await.status(), 200);
}

#[tokio::test]
async fn tokens_must_be_known_and_belong_to_the_account_named() {
    let bench = Bench::start(Options::default()).await;
    let login = bench.login(Spec::default());
    let stranger = Login { account: "other".into(), ..bench.login(Spec::default()) };
    assert_eq!(bench.ask(&stranger, "x").await.status(), 403);
    let unknown = Login { access: "eyJ.eyJ.x".into(), ..login };
    let response = bench.ask(&unknown, "x").await;
    assert_eq!(response.status(), 401);
    assert_eq!(response.text().await.unwrap(), r#"{"detail":"Unauthorized"}"#);
}

#[tokio::test]
async fn streams_die_end_stall_and_fail_where_they_are_told_to() {
    let bench = Bench::start(Options::default()).await;
    let login = bench.login(Spec::default());
    bench.fault(json!({"fault": "die_after:3", "times": 1})).await;
    assert!(bench.ask(&login, "x").await.text().await.is_err());
    bench.fault(json!({"fault": "end_after:3", "times": 1})).await;
    assert_eq!(events(&bench.ask(&login, "x").await.text().await.unwrap()).len(), 3);
    bench.fault(json!({"fault": "failed_after:4:slow_down", "times": 1})).await;
    let failed = events(&bench.ask(&login, "x").await.text().await.unwrap());
    assert_eq!(failed.len(), 5);
    assert_eq!(failed[4]["response"]["error"]["code"], "slow_down");
    bench.fault(json!({"fault": "close_before_head", "times": 1})).await;
    assert!(bench.ask_with(&login, request("x")).await.is_err());
    assert_eq!(bench.ask(&login, "x").await.status(), 200, "no fault is left");
    let log = bench.get("/sim/requests/wait?finished=5").await;
    let outcomes: Vec<&str> =
        log["requests"].as_array().unwrap().iter().map(|r| r["outcome"].as_str().unwrap()).collect();
    assert_eq!(outcomes[..4], ["faulted"; 4]);
}

#[tokio::test]
async fn a_client_that_leaves_a_stalled_stream_is_seen() {
    let bench = Bench::start(Options::default()).await;
    let login = bench.login(Spec::default());
    bench.fault(json!({"fault": "stall_after:2"})).await;
    let mut response = bench.ask(&login, "x").await;
    assert!(response.chunk().await.unwrap().is_some());
    assert_eq!(bench.get("/sim/open/wait?count=1").await["open"], 1);
    drop(response);
    assert_eq!(bench.get("/sim/open/wait?count=0").await["open"], 0);
    let log = bench.get("/sim/requests").await;
    assert_eq!(log["requests"][0]["outcome"], "cut_by_peer");
    assert_eq!(log["requests"][0]["events"], 2);
}

#[tokio::test]
async fn frames_can_be_split_and_lines_ended_by_crlf_without_other_effect() {
    let bench = Bench::start(Options::default()).await;
    let login = bench.login(Spec::default());
    let plain = events(&bench.ask(&login, "x").await.text().await.unwrap());
    bench.fault(json!([{"fault": "split_frames"}, {"fault": "crlf"}])).await;
    let mut response = bench.ask(&login, "x").await;
    let mut stream = Vec::new();
    let mut small = 0;
    while let Some(chunk) = response.chunk().await.unwrap() {
        small += usize::from(chunk.len() <= 7);
        stream.extend_from_slice(&chunk);
    }
    let stream = String::from_utf8(stream).unwrap();
    assert!(small > 100, "{small} small pieces");
    assert!(stream.contains("\r\n\r\n"));
    assert_eq!(events(&stream).len(), plain.len());
}

#[tokio::test]
async fn faulty_heads_are_as_the_backend_words_them() {
    let bench = Bench::start(Options::default()).await;
    let login = bench.login(Spec::default());
    let cases = [
        ("status:503", 503, "server_error"),
        ("burst_429:1.2:3", 429, "Please try again in 1.2s."),
        ("usage_limit_429:60", 429, "\"resets_in_seconds\":60"),
        ("forbidden_html", 403, "<!DOCTYPE html>"),
        ("unauthorized", 401, "Unauthorized"),
        ("deactivated", 401, "account_deactivated"),
        ("model_unsupported", 400, "The 'gpt-5.4' model is not supported"),
    ];
    for (fault, status, text) in cases {
        bench.fault(json!({"fault": fault, "times": 1})).await;
        let response = bench.ask(&login, "x").await;
        assert_eq!(response.status(), status, "{fault}");
        let body = response.text().await.unwrap();
        assert!(body.contains(text), "{fault}: {body}");
    }
}

#[tokio::test]
async fn http2_is_spoken_and_the_fast_answer_is_the_same_for_all() {
    let client = Client::builder().http2_prior_knowledge().build().unwrap();
    let bench = Bench::with_client(Options { fast: Some(50), ..Options::default() }, client).await;
    let login = bench.login(Spec::default());
    let response = bench.ask_with(&login, json!({"not": "looked at"})).await.unwrap();
    assert_eq!(response.version(), reqwest::Version::HTTP_2);
    let first = response.text().await.unwrap();
    assert_eq!(first.matches("response.output_text.delta\n").count(), 50);
    assert_eq!(bench.ask(&login, "x").await.text().await.unwrap(), first);
    let log = bench.get("/sim/requests/wait?finished=2").await;
    assert_eq!(log["requests"], json!([]));
}

#[tokio::test]
async fn tls_negotiates_http2() {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let (certificate, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let root = reqwest::Certificate::from_pem(made.cert.pem().as_bytes()).unwrap();
    let client = Client::builder().tls_certs_only([root]).build().unwrap();
    let tls = Some(super::Tls { certificate, key });
    let bench = Bench::with_client(Options { tls, ..Options::default() }, client).await;
    let login = bench.login(Spec::default());
    let response = bench.ask(&login, "x").await;
    assert_eq!((response.status().as_u16(), response.version()), (200, reqwest::Version::HTTP_2));
    bench.fault(json!({"fault": "die_after:3"})).await;
    assert!(bench.ask(&login, "x").await.text().await.is_err(), "a reset stream");
}

#[tokio::test]
async fn models_and_usage_are_told_to_their_account() {
    let bench = Bench::start(Options::default()).await;
    let login = bench.login(Spec { plan: Some("free".into()), ..Spec::default() });
    let get = |path: &str| {
        let request = bench.client.get(format!("{}/backend-api{path}", bench.base));
        request.bearer_auth(&login.access).header("chatgpt-account-id", &login.account).send()
    };
    let usage: Value = get("/wham/usage").await.unwrap().json().await.unwrap();
    assert_eq!(usage["rate_limit"]["primary_window"]["limit_window_seconds"], 604_800);
    assert_eq!(usage["rate_limit"]["secondary_window"], Value::Null);
    let models: Value = get("/codex/models?client_version=0.144.0").await.unwrap().json().await.unwrap();
    let slugs: Vec<&str> =
        models["models"].as_array().unwrap().iter().map(|m| m["slug"].as_str().unwrap()).collect();
    assert!(slugs.contains(&"gpt-5.5") && !slugs.contains(&"gpt-5.4"), "{slugs:?}");
    bench.fault(json!({"fault": "deactivated"})).await;
    assert_eq!(get("/wham/usage").await.unwrap().status(), 402);
}

#[tokio::test]
async fn accounts_are_made_over_the_control_api() {
    let bench = Bench::start(Options::default()).await;
    let url = format!("{}/sim/accounts", bench.base);
    let made = bench.client.post(&url).json(&json!({"id": "alice", "plan": "pro"})).send().await.unwrap();
    assert_eq!(made.status(), 201);
    let made: Value = made.json().await.unwrap();
    let auth: Value = serde_json::from_str(made["auth_json"].as_str().unwrap()).unwrap();
    assert_eq!(auth["tokens"]["account_id"], made["account_id"]);
    let wrong = bench.client.post(&url).json(&json!({"plann": "pro"})).send().await.unwrap();
    assert_eq!(wrong.status(), 400);
    assert!(wrong.text().await.unwrap().contains("unknown field `plann`"));
    assert_eq!(bench.get("/sim/accounts").await["accounts"][0]["id"], "alice");
}
