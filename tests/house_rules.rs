//! The rules of the house that no lint knows: names, sizes, who may use what, and documents that tell the truth.

#![cfg(test)]

use std::path::{Path, PathBuf};
use std::process::Command;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

const AT_THE_ROOT: [&str; 15] = [
    "CHANGELOG.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "README.md",
    "benches",
    "clippy.toml",
    "conf",
    "dashboard",
    "deny.toml",
    "filters",
    "rustfmt.toml",
    "src",
    "systemd",
    "tests",
];

const BANNED_NAMES: [&str; 9] =
    ["common", "helper", "helpers", "manager", "misc", "mod", "service", "util", "utils"];

/// Who may know Pingora: these files of `src`, and the folders of the same names.
const PINGORA_MODULES: [&str; 13] = [
    "attempt",
    "body",
    "client",
    "exchange",
    "judge",
    "pages",
    "peer",
    "pool",
    "proxy",
    "relay",
    "server",
    "telemetry",
    "upstream",
];

/// A file by its path from the root, with `/`.
struct Source {
    path: String,
    text: String,
}

impl Source {
    /// Lines of code: without comments.
    fn code(&self) -> impl Iterator<Item = &str> {
        self.text.lines().map(str::trim_start).filter(|line| !line.starts_with("//"))
    }

    /// `proxy` for `src/proxy.rs` and `src/proxy/….rs`.
    fn module(&self) -> Option<&str> {
        self.path.strip_prefix("src/")?.split(['/', '.']).next()
    }
}

fn paths() -> Vec<String> {
    let git = Command::new("git")
        .args(["-C", ROOT, "ls-files", "--cached", "--others", "--exclude-standard"])
        .output()
        .ok()
        .filter(|output| output.status.success() && !output.stdout.is_empty());
    let mut paths = match git {
        Some(output) => String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect(),
        None => walk(Path::new(ROOT)),
    };
    paths.retain(|path| Path::new(ROOT).join(path).is_file());
    paths
}

/// For a source tree without git.
fn walk(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let wanted = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap();
        name != "target" && !name.starts_with('.')
    };
    let below = |path: PathBuf| {
        if path.is_dir() {
            walk(&path)
        } else {
            vec![path.strip_prefix(ROOT).unwrap().to_str().unwrap().to_owned()]
        }
    };
    entries.filter(wanted).flat_map(below).collect()
}

fn sources(extension: &str) -> Vec<Source> {
    let wanted = |path: &String| Path::new(path).extension().is_some_and(|found| found == extension);
    let read = |path: String| {
        let text = std::fs::read_to_string(Path::new(ROOT).join(&path)).unwrap();
        Source { path, text }
    };
    let sources: Vec<Source> = paths().into_iter().filter(wanted).map(read).collect();
    assert!(!sources.is_empty(), "no .{extension} files found");
    sources
}

fn assert_none(offences: Vec<String>) {
    assert!(offences.is_empty(), "\n{}", offences.join("\n"));
}

/// What is wrong with one Rust file.
fn rust_offences(source: &Source) -> Vec<String> {
    let mut offences = Vec::new();
    let lines = source.text.lines().count();
    if lines > 400 {
        offences.push(format!("has {lines} lines; split it by concept (at most 400)"));
    }
    if !source.text.starts_with("//! ") {
        offences.push("does not begin with a `//!` line that says what it is for".to_owned());
    }
    if Path::new(&source.path).file_stem().is_some_and(|stem| BANNED_NAMES.iter().any(|name| stem == *name)) {
        offences.push("has a name that says nothing".to_owned());
    }
    if source.code().any(|line| line.starts_with("#[allow") || line.starts_with("#![allow")) {
        offences.push("allows a lint; use #[expect(…, reason = \"…\")]".to_owned());
    }
    let product = source.path.starts_with("src/") || source.path.starts_with("filters/");
    if product && source.module() != Some("ledger") && source.code().any(|line| line.contains("rusqlite")) {
        offences.push("uses rusqlite; only src/ledger and the dashboard do".to_owned());
    }
    let may_know_pingora = source.module().is_some_and(|module| PINGORA_MODULES.contains(&module));
    let knows = |line: &str| line.contains("pingora::") || line.contains("pingora_");
    if product && !may_know_pingora && source.code().any(knows) {
        offences.push(format!("uses Pingora; only {} in src do", PINGORA_MODULES.join(", ")));
    }
    offences.into_iter().map(|offence| format!("{} {offence}", source.path)).collect()
}

#[test]
fn every_rust_file_keeps_the_rules() {
    assert_none(sources("rs").iter().flat_map(rust_offences).collect());
}

#[test]
fn every_rule_for_rust_files_can_be_broken() {
    let source = |path: &str, text: &str| Source { path: path.to_owned(), text: text.to_owned() };
    let long = format!("//! Long.\n{}", "\n".repeat(400));
    let broken = [
        source("src/long.rs", &long),
        source("src/nameless.rs", "use std::fmt;\n"),
        source("filters/utils.rs", "//! Anything.\n"),
        source("tests/lax.rs", "//! Lax.\n#[allow(dead_code)]\n"),
        source("src/route.rs", "//! Routes.\nuse rusqlite::Connection;\n"),
        source("src/route.rs", "//! Routes.\nfn f(_: pingora_proxy::Session) {}\n"),
        source("filters/lib.rs", "//! Filters.\nuse pingora::prelude::*;\n"),
    ];
    for source in broken {
        assert_eq!(rust_offences(&source).len(), 1, "{}", source.path);
    }
    let fine = [
        source("src/ledger/writer.rs", "//! Writes.\nuse rusqlite::Connection;\n"),
        source("src/pool/health.rs", "//! Health.\nuse pingora::lb::Backend;\n"),
        source("src/route.rs", "//! Routes.\n// pingora::Session is not needed here\n"),
    ];
    for source in fine {
        assert_none(rust_offences(&source));
    }
}

#[test]
fn the_root_holds_only_what_it_must() {
    let stray = |path: &String| {
        let top = path.split('/').next().unwrap();
        let wanted = top.starts_with('.') || AT_THE_ROOT.contains(&top);
        (!wanted).then(|| format!("{path} does not belong at the root"))
    };
    assert_none(paths().iter().filter_map(stray).collect());
}

#[test]
fn the_readme_is_short() {
    let readme = std::fs::read_to_string(Path::new(ROOT).join("README.md")).unwrap_or_default();
    assert!(readme.lines().count() <= 200, "README.md has {} lines", readme.lines().count());
}

#[test]
fn the_packages_know_only_whom_they_may_know() {
    let knows = |package: &str, strangers: &[&str]| {
        let manifest = std::fs::read_to_string(Path::new(ROOT).join(package).join("Cargo.toml")).unwrap();
        let stranger = |name: &&str| manifest.lines().any(|line| line.starts_with(*name));
        strangers.iter().filter(|name| stranger(name)).map(|name| format!("{package} knows {name}")).collect()
    };
    assert_none(knows("filters", &["pingora", "tokio", "rusqlite", "codex-lb"]));
    assert_none(knows("dashboard", &["pingora", "codex-lb ", "codex-lb-filters", "codex-lb."]));
}

/// Paths in backticks: from the root, or beside the document. Words in capitals stand for something else.
fn named_paths(document: &Source) -> Vec<String> {
    let plain = |text: &&str| {
        text.chars().all(|letter| letter.is_ascii_alphanumeric() || "_-./".contains(letter))
            && !text.starts_with(['.', '/', '-'])
    };
    let below_root = |text: &str| {
        text.split_once('/').is_some_and(|(top, _)| AT_THE_ROOT.contains(&top) && !top.contains('.'))
    };
    let quoted = document.text.lines().flat_map(|line| line.split('`').skip(1).step_by(2));
    let wanted =
        |text: &&str| plain(text) && !text.contains("NAME") && (below_root(text) || text.ends_with(".rs"));
    quoted.filter(wanted).map(str::to_owned).collect()
}

#[test]
fn every_path_a_document_names_exists() {
    let root = Path::new(ROOT);
    let missing = |document: &Source| {
        let beside = root.join(&document.path).parent().unwrap().to_path_buf();
        let absent = |path: &String| !root.join(path).exists() && !beside.join(path).exists();
        let complain = |path: String| format!("{} names {path}, which is not there", document.path);
        named_paths(document).into_iter().filter(absent).map(complain).collect::<Vec<_>>()
    };
    let documents = sources("md");
    assert_none(
        documents.iter().filter(|document| document.path != "CHANGELOG.md").flat_map(missing).collect(),
    );
}

#[test]
fn a_path_in_a_document_is_recognised() {
    let text =
        "See `src/nowhere.rs`, `conf/{a,b}`, `GET /v1/models`, `cargo test` and `body.rs`.\n".to_owned();
    let document = Source { path: "README.md".to_owned(), text };
    assert_eq!(named_paths(&document), ["src/nowhere.rs", "body.rs"]);
}
