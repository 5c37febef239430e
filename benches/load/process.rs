//! The children: stub, bare Pingora, codex-lb, nginx. Ended by their pid when dropped.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine;

/// A child process with its children, if it has any.
pub(crate) struct Running(Child);

/// A proxy under test.
pub(crate) struct Subject {
    pub(crate) name: &'static str,
    pub(crate) port: u16,
    pub(crate) child: Running,
}

/// The upstream.
pub(crate) struct Stub {
    pub(crate) port: u16,
    _child: Running,
}

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// Tells the parent which port was taken.
pub(crate) fn announce(port: u16) -> std::io::Result<()> {
    let mut out = std::io::stdout();
    writeln!(out, "{port}")?;
    out.flush()
}

pub(crate) fn stub() -> Outcome<Stub> {
    let mut child = Command::new(std::env::current_exe()?).arg("--stub").stdout(Stdio::piped()).spawn()?;
    let mut line = String::new();
    BufReader::new(child.stdout.take().ok_or("the stub has no output")?).read_line(&mut line)?;
    Ok(Stub { port: line.trim().parse()?, _child: Running(child) })
}

pub(crate) fn bare(upstream: u16, _home: &Path) -> Outcome<Option<Subject>> {
    let port = free_port()?;
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("--bare").arg(port.to_string()).arg(upstream.to_string());
    Ok(Some(started("bare", port, command)?))
}

/// codex-lb as people run it: ledger, accounting and log on.
pub(crate) fn codex_lb(upstream: u16, home: &Path) -> Outcome<Option<Subject>> {
    let port = free_port()?;
    let config = home.join("codex-lb.yaml");
    std::fs::write(
        &config,
        format!(
            "listen:\n  http: 127.0.0.1:{port}\ndata_dir: {}\nupstream:\n  base_url: http://127.0.0.1:{upstream}/backend-api\n  auth_url: http://127.0.0.1:{upstream}\ndashboard:\n  listen: \"off\"\n",
            home.join("data").display()
        ),
    )?;
    let auth = home.join("auth.json");
    std::fs::write(&auth, auth_json())?;
    let binary = env!("CARGO_BIN_EXE_codex-lb");
    let imported =
        Command::new(binary).arg("-c").arg(&config).args(["account", "import"]).arg(&auth).output()?;
    if !imported.status.success() {
        return Err(String::from_utf8_lossy(&imported.stderr).into());
    }
    let mut command = Command::new(binary);
    command.arg("-c").arg(&config).arg("serve").stderr(std::fs::File::create(home.join("codex-lb.log"))?);
    Ok(Some(started("codex-lb", port, command)?))
}

pub(crate) fn nginx(upstream: u16, home: &Path) -> Outcome<Option<Subject>> {
    if Command::new("nginx").arg("-v").output().is_err() {
        return Ok(None);
    }
    let port = free_port()?;
    let config = home.join("nginx.conf");
    let home_text = home.display();
    std::fs::write(
        &config,
        format!(
            "daemon off; worker_processes 2; pid {home_text}/nginx.pid; error_log {home_text}/nginx.log;\nevents {{ worker_connections 4096; }}\nhttp {{ access_log off; client_body_temp_path {home_text}/body; proxy_temp_path {home_text}/proxy; fastcgi_temp_path {home_text}/f; uwsgi_temp_path {home_text}/u; scgi_temp_path {home_text}/s;\n keepalive_requests 1000000;\n upstream stub {{ server 127.0.0.1:{upstream}; keepalive 64; }}\n server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://stub; proxy_http_version 1.1; proxy_set_header Connection ''; proxy_buffering off; proxy_read_timeout 300s; }} }} }}\n"
        ),
    )?;
    let mut command = Command::new("nginx");
    command.arg("-c").arg(&config).arg("-p").arg(home).stderr(Stdio::null());
    Ok(Some(started("nginx", port, command)?))
}

fn started(name: &'static str, port: u16, mut command: Command) -> Outcome<Subject> {
    let child = Running(command.stdout(Stdio::null()).spawn()?);
    let began = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        if began.elapsed() > Duration::from_secs(10) {
            return Err(format!("{name} does not answer on port {port}").into());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(Subject { name, port, child })
}

fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// An account that is good for ten years; nobody checks the signature.
fn auth_json() -> String {
    let encode = |text: &str| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text);
    let claims = r#"{"email":"bench@example.com","exp":2100000000,"https://api.openai.com/auth":{"chatgpt_account_id":"bench","chatgpt_user_id":"bench","chatgpt_plan_type":"pro"}}"#;
    let token = format!("{}.{}.sig", encode(r#"{"alg":"none"}"#), encode(claims));
    format!(
        r#"{{"tokens":{{"id_token":"{token}","access_token":"{token}","refresh_token":"rt_bench","account_id":"bench"}}}}"#
    )
}

impl Running {
    /// User and system time so far, children of the process included (nginx works in them).
    pub(crate) fn cpu(&self) -> Duration {
        self.family().iter().map(|pid| ticks(*pid)).sum()
    }

    /// Resident memory, KiB.
    pub(crate) fn resident_kib(&self) -> f64 {
        self.family().iter().map(|pid| resident(*pid)).sum()
    }

    fn family(&self) -> Vec<u32> {
        let parent = self.0.id();
        let children =
            std::fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).unwrap_or_default();
        std::iter::once(parent)
            .chain(children.split_whitespace().filter_map(|pid| pid.parse().ok()))
            .collect()
    }
}

/// `/proc/PID/stat` counts in ticks of 10 ms on every Linux that this runs on.
fn ticks(pid: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or("").split_whitespace().collect();
    let field = |index: usize| fields.get(index).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
    Duration::from_millis((field(11) + field(12)) * 10)
}

fn resident(pid: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").trim().parse().ok()).unwrap_or(0.0)
}

impl Drop for Running {
    fn drop(&mut self) {
        // SIGTERM first: nginx's master takes its workers along.
        let asked =
            Command::new("kill").arg(self.0.id().to_string()).status().is_ok_and(|status| status.success());
        let until = Instant::now() + Duration::from_secs(3);
        while asked && Instant::now() < until && matches!(self.0.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(20));
        }
        if matches!(self.0.try_wait(), Ok(None)) && self.0.kill().is_ok() && self.0.wait().is_err() {
            eprintln!("a child could not be ended");
        }
    }
}
