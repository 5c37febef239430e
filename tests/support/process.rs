//! One child process: its output goes to a file, and it dies with its handle.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// The `codex-lb` that was built for these tests.
pub fn binary() -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    let name = format!("codex-lb{}", std::env::consts::EXE_SUFFIX);
    let binary = tests.ancestors().nth(2).unwrap().join(name);
    assert!(binary.exists(), "{} is missing: run `cargo build`", binary.display());
    binary
}

/// A running child. Killed on drop; shows its log when the test panics.
pub struct Process {
    name: &'static str,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `codex-lb ARGS` with stdout and stderr in `log`, and nothing of the surroundings but PATH.
    pub fn start(name: &'static str, args: &[&str], home: &Path, log: &Path) -> Self {
        let file = File::options().create(true).append(true).open(log).unwrap();
        let child = clean(home).args(args).stdout(file.try_clone().unwrap()).stderr(file).spawn().unwrap();
        Self { name, child, log: log.to_owned() }
    }

    /// As `start`, and waits for the first line on stdout.
    pub fn start_announced(name: &'static str, args: &[&str], home: &Path, log: &Path) -> (Self, String) {
        let mut file = File::options().create(true).append(true).open(log).unwrap();
        let mut child =
            clean(home).args(args).stdout(Stdio::piped()).stderr(file.try_clone().unwrap()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let first = lines.next();
        let process = Self { name, child, log: log.to_owned() };
        let Some(Ok(first)) = first else { panic!("{name} ended without a word:\n{}", process.log()) };
        // Somebody must go on reading, or the child blocks once the pipe is full.
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                if writeln!(file, "{line}").is_err() {
                    break;
                }
            }
        });
        (process, first)
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by name: `TERM`, `INT`, `HUP`.
    pub fn signal(&self, name: &str) {
        let done = Command::new("kill").args(["-s", name, &self.pid().to_string()]).status().unwrap();
        assert!(done.success(), "kill -s {name} {}", self.pid());
    }

    /// `kill -9`, and it is gone when this returns.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Its exit status, if it has ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Waits for its end, `limit` at most.
    pub fn wait(&mut self, limit: Duration) -> ExitStatus {
        let start = Instant::now();
        loop {
            if let Some(status) = self.ended() {
                return status;
            }
            assert!(start.elapsed() < limit, "{} still runs after {limit:?}", self.name);
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// All it has written so far.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Resident memory in bytes.
    pub fn resident(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
    }

    /// Open file descriptors.
    pub fn open_files(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.pid())).unwrap().count()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        if std::thread::panicking() {
            let log = self.log();
            let start = log.len().saturating_sub(8000);
            let tail = log.get(log.ceil_char_boundary(start)..).unwrap_or_default();
            eprintln!("--- log of {} ---\n{tail}\n--- end ---", self.name);
        }
    }
}

/// `codex-lb` with a home of its own, so that nothing of the user's is read or written.
pub(crate) fn clean(home: &Path) -> Command {
    let mut command = Command::new(binary());
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", home)
        .env("TMPDIR", home)
        .env("RUST_BACKTRACE", "1")
        .current_dir(home)
        .stdin(Stdio::null());
    command
}
