//! Installs the clients once, into the target directory, and runs them.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use serde_json::Value;

const SCRIPTS: [&str; 2] = ["openai_sdk.py", "ai_sdk.mjs"];
/// What decides whether the installation is the right one.
const MANIFESTS: [&str; 3] = ["package.json", "package-lock.json", "requirements.txt"];
/// A client that takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(120);

/// Where everything is installed.
pub(crate) struct Clients {
    dir: PathBuf,
}

/// The installation, made by whoever comes first.
pub(crate) fn clients() -> &'static Clients {
    static CLIENTS: OnceLock<Clients> = OnceLock::new();
    CLIENTS.get_or_init(|| {
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("clients");
        std::fs::create_dir_all(&dir).unwrap();
        // Two test processes may come at once; the lock is given back when the file is closed.
        let lock = File::create(dir.join("lock")).unwrap();
        lock.lock().unwrap();
        install(&dir);
        Clients { dir }
    })
}

fn install(dir: &Path) {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients");
    for name in SCRIPTS.iter().chain(&MANIFESTS) {
        std::fs::copy(from.join(name), dir.join(name)).unwrap();
    }
    let wanted: String =
        MANIFESTS.iter().map(|name| std::fs::read_to_string(dir.join(name)).unwrap()).collect();
    let stamp = dir.join("stamp");
    if std::fs::read_to_string(&stamp).is_ok_and(|found| found == wanted) {
        return;
    }
    // Not `npm ci`: the lock names OpenCode's programs for Linux on x64 only; elsewhere npm adds its own.
    must("npm", &["install", "--no-audit", "--no-fund", "--ignore-scripts"], dir);
    // Puts the program for this machine in its place; newer versions of npm run no scripts unasked.
    must("node", &["node_modules/opencode-ai/postinstall.mjs"], dir);
    must("python3", &["-m", "venv", "--clear", "venv"], dir);
    must("venv/bin/pip", &["install", "--quiet", "--requirement", "requirements.txt"], dir);
    std::fs::write(stamp, wanted).unwrap();
}

fn must(program: &str, args: &[&str], dir: &Path) {
    let program = if program.contains('/') { dir.join(program) } else { program.into() };
    let done = Command::new(&program).args(args).current_dir(dir).output();
    let done = done.unwrap_or_else(|error| panic!("{}: {error}", program.display()));
    assert!(done.status.success(), "{} {args:?}: {done:?}", program.display());
}

impl Clients {
    /// A script's facts about those cases.
    pub(crate) async fn facts(
        &self,
        script: &str,
        cases: &[&str],
        base_url: &str,
        key: Option<&str>,
    ) -> Value {
        let python = self.dir.join("venv/bin/python");
        let program = if script.ends_with(".py") { python } else { "node".into() };
        let mut command = clean(&program, &self.dir);
        command.arg(script).args(cases).env("BASE_URL", base_url);
        if let Some(key) = key {
            command.env("API_KEY", key);
        }
        let done = run(command, "").await;
        let out = String::from_utf8_lossy(&done.stdout).into_owned();
        assert!(done.status.success(), "{script} {cases:?}: {out}{}", String::from_utf8_lossy(&done.stderr));
        let facts: Value = serde_json::from_str(out.lines().last().unwrap()).unwrap();
        for (case, fact) in facts.as_object().unwrap() {
            assert!(fact.get("raised").is_none(), "{script} {case}: {}", fact["raised"].as_str().unwrap());
        }
        facts
    }

    /// One of the installed programs, with a home of its own.
    pub(crate) fn program(&self, name: &str, home: &Path) -> Command {
        let mut command = clean(&self.dir.join("node_modules/.bin").join(name), home);
        let tools =
            self.dir.join("node_modules/@openai/codex-linux-x64/vendor/x86_64-unknown-linux-musl/codex-path");
        // ripgrep comes with Codex CLI; OpenCode's search tools use the one they find.
        let path = format!("{}:{}", std::env::var("PATH").unwrap(), tools.display());
        command.env("PATH", path);
        command
    }
}

/// Nothing of the surroundings but PATH.
fn clean(program: &Path, home: &Path) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap()).env("HOME", home).current_dir(home);
    command
}

/// Runs it to its end with that on its standard input.
pub(crate) async fn run(command: Command, input: &str) -> Output {
    use tokio::io::AsyncWriteExt as _;
    let mut command = tokio::process::Command::from(command);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).await.unwrap();
    drop(stdin);
    codex_lb_test_support::within("the client's end", PATIENCE, child.wait_with_output()).await.unwrap()
}
