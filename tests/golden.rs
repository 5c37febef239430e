//! Golden files: every mapping between clients and the Codex backend, as pairs of files one can read.
//!
//! `tests/golden/<area>/<case>/` holds what goes in and what must come out. Requests: `request.json` →
//! `upstream.json`, or `refused.json`. Answers: `upstream.sse` → `client.sse` or `client.json`; the `request.json`
//! beside it, if there is one, is the client's request. `GOLDEN_WRITE=1 cargo test --test golden` writes the results
//! anew: read the difference before it is committed.

#![cfg(test)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use codex_lb::dialect::{self, Call, Ending, Settings};
use codex_lb::error::Error;
use codex_lb::reasoning::ReasoningMemory;
use codex_lb::route::Route;
use codex_lb::sse::Splitter;
use codex_lb_filters::Turn;
use serde_json::{Value, json};

/// Fewer cases than this means that the folder was not found as a whole.
const AT_LEAST: usize = 60;

fn turn() -> Turn {
    Turn { id: "0123456789abcdef0123456789abcdef".into(), started_at: 1_787_300_000_123, ..Turn::default() }
}

fn route(area: &str) -> Route {
    match area.split('_').next() {
        Some("chat") => Route::Chat,
        Some("responses") => Route::Responses,
        Some("codex") => Route::CodexResponses,
        other => panic!("no route for the area {other:?}"),
    }
}

fn decode(area: &str, body: &[u8], turn: &mut Turn) -> Result<Call, Error> {
    let memory = ReasoningMemory::new(0, None);
    dialect::decode(route(area), &Bytes::copy_from_slice(body), turn, &Settings::default(), &memory)
}

/// The result's file name and content.
fn request(area: &str, case: &Path) -> (&'static str, String) {
    let mut turn = turn();
    match decode(area, &fs::read(case.join("request.json")).unwrap(), &mut turn) {
        Ok(call) => {
            let body: Value = serde_json::from_slice(&call.render(&turn)).expect("what is sent is JSON");
            ("upstream.json", pretty(&body))
        }
        Err(error) => {
            let told = json!({ "status": error.status(), "error": error.object() });
            ("refused.json", pretty(&told))
        }
    }
}

fn answer(area: &str, case: &Path) -> (&'static str, String) {
    let stream = area.ends_with("stream");
    let default = json!({ "model": "gpt-5.4", "input": "hi", "stream": stream }).to_string();
    let body = fs::read(case.join("request.json")).unwrap_or_else(|_none| default.into_bytes());
    let mut turn = turn();
    let call = decode(area, &body, &mut turn).expect("the request of an answer is good");
    let mut encoder = call.encoder(&turn);
    let mut splitter = Splitter::new();
    let mut events = splitter.push(fs::read(case.join("upstream.sse")).unwrap().into()).unwrap();
    events.extend(splitter.finish());
    let mut out = Vec::new();
    let ending = events.iter().find_map(|event| encoder.push(event, &mut out));
    if ending.is_none() {
        encoder.break_off(&Error::Truncated, &mut out);
    }
    if stream {
        return ("client.sse", String::from_utf8(out.concat()).unwrap());
    }
    assert!(out.is_empty(), "nothing is streamed to a client that wants the whole");
    match ending {
        Some(Ending::Failed(error)) => {
            ("client.json", pretty(&json!({ "status": error.status(), "error": error.object() })))
        }
        Some(Ending::Completed | Ending::Incomplete) => {
            ("client.json", pretty(&serde_json::from_slice(&encoder.whole()).unwrap()))
        }
        None => panic!("{} has no end", case.display()),
    }
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap() + "\n"
}

fn folders(under: &Path) -> BTreeSet<PathBuf> {
    let entries = fs::read_dir(under).unwrap_or_else(|error| panic!("{}: {error}", under.display()));
    entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()).collect()
}

/// The first lines that differ, with the one before.
fn difference(expected: &str, found: &str) -> String {
    let (expected, found): (Vec<_>, Vec<_>) = (expected.lines().collect(), found.lines().collect());
    let at = expected.iter().zip(&found).take_while(|(a, b)| a == b).count();
    let show = |lines: &[&str]| {
        lines.iter().skip(at).take(3).map(|line| format!("    {line}\n")).collect::<String>()
    };
    format!("  line {}\n  expected:\n{}  found:\n{}", at + 1, show(&expected), show(&found))
}

#[test]
fn every_mapping_gives_what_its_golden_file_says() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let write = std::env::var_os("GOLDEN_WRITE").is_some();
    let mut cases = 0;
    let mut wrong = String::new();
    for area in folders(&root) {
        let name = area.file_name().unwrap().to_string_lossy().into_owned();
        for case in folders(&area) {
            cases += 1;
            let is_request = name.ends_with("request") || name.ends_with("refused");
            let (file, found) = if is_request { request(&name, &case) } else { answer(&name, &case) };
            let path = case.join(file);
            if write {
                fs::write(&path, &found).unwrap();
            }
            let expected = fs::read_to_string(&path).unwrap_or_default();
            if expected != found {
                wrong += &format!("{}\n{}", path.display(), difference(&expected, &found));
            }
        }
    }
    assert!(cases >= AT_LEAST, "only {cases} golden cases were found under {}", root.display());
    assert!(wrong.is_empty(), "golden files differ:\n{wrong}");
}
