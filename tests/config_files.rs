//! The files in `conf/`: every example is accepted, every bad one is refused with the words it promises.

#![cfg(test)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use codex_lb::config::{Config, Surroundings};

fn files(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("conf").join(folder);
    let entries = std::fs::read_dir(&folder).unwrap();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

#[test]
fn every_example_is_accepted() {
    let around = Surroundings { home: Some("/home/u".into()), state_directory: None };
    let files = files("examples");
    assert!(files.len() >= 5, "only {} examples found", files.len());
    for file in files {
        let name = file.display().to_string();
        let text = std::fs::read_to_string(&file).unwrap();
        if let Err(error) = Config::parse(&text, &name, &around) {
            panic!("{error}");
        }
    }
}

#[test]
fn every_bad_file_is_refused_with_the_text_in_its_first_line() {
    let files = files("bad");
    assert!(files.len() >= 20, "only {} bad files found", files.len());
    let broken: Vec<String> = files.iter().filter_map(|file| broken_promise(file)).collect();
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

fn broken_promise(file: &Path) -> Option<String> {
    let text = std::fs::read_to_string(file).unwrap();
    let promised = text.lines().next().and_then(|line| line.strip_prefix("# ")).unwrap();
    let name = file.display().to_string();
    let said = match Config::load(Some(file)) {
        Ok(_) => return Some(format!("{name} was accepted")),
        Err(error) => error.to_string(),
    };
    let kept = said.starts_with(&name) && said.contains(promised) && !said.contains('\n');
    (!kept).then(|| format!("promised {promised}\nsaid     {said}"))
}

#[test]
fn a_file_that_is_not_there_is_refused_by_name() {
    let said = Config::load(Some(Path::new("/nowhere/codex-lb.yaml"))).unwrap_err().to_string();
    assert!(said.starts_with("/nowhere/codex-lb.yaml: cannot be opened"), "{said}");
}

/// Exit code, stdout, stderr of the binary, in surroundings of its own.
fn codex_lb(arguments: &[&str], variables: &[(&str, &str)]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_codex-lb"));
    command.args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).env_clear();
    let Output { status, stdout, stderr } =
        command.envs(variables.iter().copied()).env("HOME", "/home/u").output().unwrap();
    (status.code().unwrap(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

#[test]
fn check_says_what_the_file_means() {
    let (code, said, complaint) = codex_lb(&["check", "-c", "conf/codex-lb.yaml"], &[]);
    assert_eq!((code, complaint.as_str()), (0, ""));
    for part in [
        "configuration  conf/codex-lb.yaml\n",
        "clients        http://127.0.0.1:2455/v1\n",
        "chain          body_size → api_key → ",
        "data           /home/u/.codex-lb\n",
    ] {
        assert!(said.contains(part), "{part} is not in\n{said}");
    }
    let (code, json, _) = codex_lb(&["check", "--json"], &[("CODEX_LB_CONFIG", "conf/examples/team.yaml")]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(code, 0);
    assert_eq!(json["source"], "conf/examples/team.yaml");
    assert_eq!(json["auth"]["api_keys"], "always");
    assert_eq!(json["limits"]["body_bytes"], 128 << 20);
}

#[test]
fn failures_are_one_line_and_an_exit_code() {
    for (arguments, code, said) in [
        (&["check", "-c", "conf/bad/typo.yaml"][..], 78, "codex-lb: conf/bad/typo.yaml:4:5: unknown key"),
        (&["-c", "/nowhere.yaml", "serve"], 78, "codex-lb: /nowhere.yaml: cannot be opened"),
        (&["serve", "--frobnicate"], 2, "codex-lb: unexpected argument '--frobnicate' found"),
        (&["check", "--config"], 2, "codex-lb: a value is required for '--config <FILE>'"),
        (&["frobnicate"], 2, "codex-lb: unrecognized subcommand 'frobnicate'"),
        (&[], 2, "codex-lb: a command is missing"),
    ] {
        let (found, stdout, stderr) = codex_lb(arguments, &[]);
        assert_eq!((found, stdout.as_str()), (code, ""), "{arguments:?}: {stderr}");
        assert!(stderr.starts_with(said) && stderr.lines().count() == 1, "{arguments:?}: {stderr}");
    }
}

#[test]
fn help_and_version_are_answers() {
    assert_eq!(codex_lb(&["--help"], &[("CODEX_LB_CONFIG", "/nowhere")]).0, 0);
    let (code, said, _) = codex_lb(&["--version"], &[]);
    assert_eq!((code, said.trim()), (0, concat!("codex-lb ", env!("CARGO_PKG_VERSION"))));
}
