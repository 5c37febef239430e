//! Simulator, accounts and proxy: what most tests start from.

use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::ledger::{self, Row};
use crate::process::{Process, clean};
use crate::{Certificate, Events, Simulator, eventually};

/// Longest wait for anything that should happen at once; generous, since the machine may be busy.
const SOON: Duration = Duration::from_secs(10);
/// Starts that may fail because somebody else took the port in between.
const PORT_TRIES: usize = 5;

/// What to start.
pub struct Setup {
    pub accounts: usize,
    /// Merged into the configuration file.
    pub config: Value,
    /// The accounts are tried in the order of their names.
    pub ordered: bool,
    /// The simulator speaks TLS.
    pub upstream_tls: bool,
}

impl Default for Setup {
    fn default() -> Self {
        Self { accounts: 1, config: json!({}), ordered: false, upstream_tls: false }
    }
}

/// A proxy in front of a simulator, in a directory of its own. All of it ends with this value.
pub struct Stack {
    pub proxy: Process,
    pub sim: Simulator,
    pub client: reqwest::Client,
    /// Names of the accounts, in the order of their import; also their names in the simulator.
    pub accounts: Vec<String>,
    address: String,
    config: Value,
    dir: TempDir,
}

impl Stack {
    /// A stack with that many accounts and the defaults.
    pub async fn start(accounts: usize) -> Self {
        Self::with(Setup { accounts, ..Setup::default() }).await
    }

    /// As `start`, with more in the configuration file.
    pub async fn with(setup: Setup) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let certificate = setup.upstream_tls.then(|| Certificate::create(dir.path(), "upstream"));
        let sim = Simulator::start(dir.path(), certificate.as_ref()).await;
        let mut config = json!({
            "data_dir": dir.path().join("data"),
            "upstream": { "base_url": format!("{}/backend-api", sim.url), "auth_url": sim.url },
            "dashboard": { "listen": "off" },
            "log": { "level": "debug" },
        });
        if let Some(certificate) = &certificate {
            merge(&mut config, json!({ "upstream": { "ca_file": certificate.authority } }));
        }
        merge(&mut config, setup.config);
        write_config(dir.path(), &config);
        let accounts: Vec<String> = (1..=setup.accounts).map(|number| format!("user{number}")).collect();
        import(dir.path(), &sim, &accounts).await;
        if setup.ordered {
            merge(&mut config, json!({ "routing": { "strategy": "priority" } }));
            ledger::put_in_order(&dir.path().join("data/ledger.db"));
        }
        let (proxy, address) = start_proxy(dir.path(), &mut config).await;
        let client = client();
        Self { proxy, sim, client, accounts, address, config, dir }
    }

    /// `host:port` of the proxy.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// A URL at the proxy; `path` begins with a slash.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// What a client has as its base URL.
    pub fn v1(&self) -> String {
        self.url("/v1")
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub fn data_dir(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    pub fn ledger_file(&self) -> PathBuf {
        self.data_dir().join("ledger.db")
    }

    /// Runs `codex-lb ARGS` with this stack's configuration.
    pub fn command(&self, args: &[&str]) -> Output {
        command(self.dir.path(), args)
    }

    /// As `command`, must succeed; its stdout.
    pub fn succeeds(&self, args: &[&str]) -> String {
        let done = self.command(args);
        assert!(done.status.success(), "codex-lb {args:?}: {done:?}");
        String::from_utf8(done.stdout).unwrap()
    }

    /// Starts the proxy again after it ended (or was killed).
    pub async fn restart(&mut self) {
        let (proxy, address) = start_proxy(self.dir.path(), &mut self.config).await;
        self.proxy = proxy;
        self.address = address;
    }

    /// Imports the tokens that account has at the simulator now, as a person would who logged in again.
    pub async fn log_in(&self, account: &str) {
        let file = self.dir.path().join(format!("{account}.auth.json"));
        std::fs::write(&file, self.sim.auth_json(account).await.to_string()).unwrap();
        self.succeeds(&["account", "import", file.to_str().unwrap()]);
    }

    pub async fn post(&self, path: &str, body: &Value) -> reqwest::Response {
        self.client.post(self.url(path)).json(body).send().await.unwrap()
    }

    pub async fn get(&self, path: &str) -> reqwest::Response {
        self.client.get(self.url(path)).send().await.unwrap()
    }

    /// A whole chat completion: status and body.
    pub async fn chat(&self, text: &str) -> (u16, Value) {
        let answer = self.post("/v1/chat/completions", &chat_body(text, false)).await;
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    /// A chat completion as a stream; must begin well.
    pub async fn chat_stream(&self, text: &str) -> Events {
        let answer = self.post("/v1/chat/completions", &chat_body(text, true)).await;
        assert_eq!(answer.status(), 200, "{:?}", answer.text().await);
        Events::of(answer)
    }

    /// A response as a stream; must begin well.
    pub async fn response_stream(&self, text: &str) -> Events {
        let answer = self.post("/v1/responses", &response_body(text, true)).await;
        assert_eq!(answer.status(), 200, "{:?}", answer.text().await);
        Events::of(answer)
    }

    /// The ledger's exchanges now, oldest first.
    pub fn rows(&self) -> Vec<Row> {
        ledger::rows(&self.ledger_file())
    }

    /// Waits until there are as many exchanges in the ledger.
    pub async fn rows_when(&self, count: usize) -> Vec<Row> {
        eventually(&format!("{count} rows in the ledger"), SOON, || async {
            let rows = self.rows();
            assert!(rows.len() <= count, "{} rows instead of {count}: {rows:#?}", rows.len());
            (rows.len() == count).then_some(rows)
        })
        .await
    }

    /// One value from the ledger, as SQLite casts it to text.
    pub fn query(&self, sql: &str) -> String {
        let connection = ledger::open(&self.ledger_file());
        connection.query_row(&format!("SELECT CAST(({sql}) AS TEXT)"), [], |row| row.get(0)).unwrap()
    }
}

/// A chat request with that text.
pub fn chat_body(text: &str, stream: bool) -> Value {
    json!({ "model": "gpt-5.4", "stream": stream, "messages": [{ "role": "user", "content": text }] })
}

/// A Responses request with that text.
pub fn response_body(text: &str, stream: bool) -> Value {
    json!({ "model": "gpt-5.4", "stream": stream, "input": text })
}

/// A client without a pool, so that nothing is left open when its answers are read.
pub fn client() -> reqwest::Client {
    reqwest::Client::builder().pool_max_idle_per_host(0).no_proxy().build().unwrap()
}

/// As `client`, with one more certificate authority (a PEM file).
pub fn trusting(authority: &Path) -> reqwest::Client {
    let authority = reqwest::Certificate::from_pem(&std::fs::read(authority).unwrap()).unwrap();
    let builder = reqwest::Client::builder().pool_max_idle_per_host(0).no_proxy();
    builder.tls_certs_only([authority]).build().unwrap()
}

/// A port that was free a moment ago.
pub fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Logs in to new accounts at the simulator and imports them, all with one command.
async fn import(dir: &Path, sim: &Simulator, accounts: &[String]) {
    let mut args = vec!["account".to_owned(), "import".to_owned()];
    for name in accounts {
        let file = dir.join(format!("{name}.auth.json"));
        std::fs::write(&file, sim.create_account(name).await).unwrap();
        args.push(file.to_str().unwrap().to_owned());
    }
    if !accounts.is_empty() {
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let done = command(dir, &args);
        assert!(done.status.success(), "account import: {done:?}");
    }
}

async fn start_proxy(dir: &Path, config: &mut Value) -> (Process, String) {
    for _ in 0..PORT_TRIES {
        let address = format!("127.0.0.1:{}", free_port());
        merge(config, json!({ "listen": { "http": address } }));
        write_config(dir, config);
        let file = config_file(dir);
        let mut proxy =
            Process::start("proxy", &["serve", "-c", file.to_str().unwrap()], dir, &dir.join("proxy.log"));
        if ready(&mut proxy, &address).await {
            return (proxy, address);
        }
        let log = proxy.log();
        assert!(log.contains("in use"), "the proxy ended:\n{log}");
    }
    panic!("no free port in {PORT_TRIES} tries");
}

/// Waits until the proxy says that it is ready; false when it ended instead.
async fn ready(proxy: &mut Process, address: &str) -> bool {
    let client = client();
    let url = format!("http://{address}/health/ready");
    let proxy = std::sync::Mutex::new(proxy);
    eventually("the proxy is ready", SOON, || async {
        if proxy.lock().unwrap().ended().is_some() {
            return Some(false);
        }
        let answer = client.get(&url).send().await.ok()?;
        (answer.status() == 200).then_some(true)
    })
    .await
}

fn config_file(dir: &Path) -> PathBuf {
    dir.join("codex-lb.yaml")
}

/// JSON is YAML too, and merges easily.
fn write_config(dir: &Path, config: &Value) {
    std::fs::write(config_file(dir), serde_json::to_string_pretty(config).unwrap()).unwrap();
}

fn command(dir: &Path, args: &[&str]) -> Output {
    clean(dir).args(args).arg("-c").arg(config_file(dir)).output().unwrap()
}

fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from,
    }
}
