//! The simulator of the Codex backend as a process, and its controls.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::process::Process;
use crate::{Certificate, client, trusting};

/// A running simulator.
pub struct Simulator {
    pub process: Process,
    /// Its origin, without a trailing slash.
    pub url: String,
    client: reqwest::Client,
}

/// One request as the simulator received it.
#[derive(Debug, Clone)]
pub struct Received {
    pub path: String,
    pub headers: Value,
    /// The JSON of the body; `null` when it was none.
    pub body: Value,
    pub bytes: u64,
    pub sha256: String,
    /// Name of the account it came for.
    pub account: Option<String>,
    pub status: u64,
    /// `open`, `completed`, `replied`, `faulted`, `cut_by_peer`
    pub outcome: String,
    /// Unix milliseconds.
    pub at_ms: u64,
    pub ended_ms: Option<u64>,
}

impl Simulator {
    /// Starts one; with a certificate it speaks TLS, and its clients must know the authority.
    pub async fn start(dir: &Path, tls: Option<&Certificate>) -> Self {
        let mut args = vec!["upstream-sim", "--listen", "127.0.0.1:0"];
        if let Some(tls) = tls {
            args.extend(["--tls-cert", tls.chain.to_str().unwrap(), "--tls-key", tls.key.to_str().unwrap()]);
        }
        let (process, url) = Process::start_announced("simulator", &args, dir, &dir.join("sim.log"));
        let client = tls.map_or_else(client, |tls| trusting(&tls.authority));
        Self { process, url: url.trim().to_owned(), client }
    }

    /// A new account of that name; the `auth.json` of a login to it.
    pub async fn create_account(&self, name: &str) -> String {
        self.create_account_as(json!({ "id": name })).await
    }

    /// As `create_account`, from the simulator's own specification.
    pub async fn create_account_as(&self, spec: Value) -> String {
        let account: Value = serde_json::from_str(&self.call("POST", "/sim/accounts", &spec).await).unwrap();
        account["auth_json"].as_str().unwrap().to_owned()
    }

    /// The `auth.json` of an account with the tokens that are valid now.
    pub async fn auth_json(&self, account: &str) -> Value {
        let text = self.call("GET", &format!("/sim/accounts/{account}/auth.json"), &Value::Null).await;
        serde_json::from_str(&text).unwrap()
    }

    /// From now on `fault` hits every request of that account.
    pub async fn fault(&self, account: &str, fault: &str) {
        self.call("PUT", &format!("/sim/accounts/{account}/fault"), &json!([{ "fault": fault }])).await;
    }

    /// `fault` hits the next request of that account and no other.
    pub async fn fault_once(&self, account: &str, fault: &str) {
        let order = json!([{ "fault": fault, "times": 1 }]);
        self.call("PUT", &format!("/sim/accounts/{account}/fault"), &order).await;
    }

    /// Nothing is wrong with that account any more.
    pub async fn heal(&self, account: &str) {
        self.call("DELETE", &format!("/sim/accounts/{account}/fault"), &Value::Null).await;
    }

    /// Access tokens of that account are refused from now on, until it is refreshed.
    pub async fn expire_tokens(&self, account: &str) {
        self.call("POST", &format!("/sim/accounts/{account}/expire"), &json!({})).await;
    }

    /// Forgets what was received so far.
    pub async fn forget(&self) {
        self.call("DELETE", "/sim/requests", &Value::Null).await;
    }

    /// The requests for answers, oldest first.
    pub async fn requests(&self) -> Vec<Received> {
        let report = self.report().await;
        let requests = report["requests"].as_array().unwrap().iter().map(received);
        requests.filter(|request| request.path.contains("/codex/responses")).collect()
    }

    /// Waits until exactly that many streams are open.
    pub async fn wait_open(&self, count: u64, limit: Duration) {
        let path = format!("/sim/open/wait?count={count}&timeout={}", limit.as_secs());
        self.call("GET", &path, &Value::Null).await;
    }

    async fn report(&self) -> Value {
        serde_json::from_str(&self.call("GET", "/sim/requests", &Value::Null).await).unwrap()
    }

    async fn call(&self, method: &str, path: &str, body: &Value) -> String {
        let mut request = self.client.request(method.parse().unwrap(), format!("{}{path}", self.url));
        if !body.is_null() {
            request = request.json(body);
        }
        let answer = request.send().await.unwrap();
        let status = answer.status();
        let text = answer.text().await.unwrap();
        assert!(status.is_success(), "{method} {path}: {status} {text}");
        text
    }
}

fn received(request: &Value) -> Received {
    let text = |key: &str| request[key].as_str().map(str::to_owned);
    Received {
        path: text("path").unwrap(),
        headers: request["headers"].clone(),
        body: request["body"].clone(),
        bytes: request["body_bytes"].as_u64().unwrap(),
        sha256: text("body_sha256").unwrap(),
        account: text("account"),
        status: request["status"].as_u64().unwrap_or(0),
        outcome: text("outcome").unwrap(),
        at_ms: request["at_ms"].as_u64().unwrap(),
        ended_ms: request["ended_ms"].as_u64(),
    }
}
