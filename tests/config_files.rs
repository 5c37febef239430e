//! The files in `conf/`: every example is accepted, every bad one is refused with the words it promises.

use std::path::{Path, PathBuf};

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
