//! `codex-lb account`: the ChatGPT accounts that serve.

mod list;

use std::io::{BufRead, IsTerminal, Write};
use std::path::PathBuf;

use clap::Subcommand;

use super::choice::{Called, choose};
use super::{Failure, print};
use crate::config::Config;
use crate::ledger::{AccountRow, Book, NewLogin};
use crate::now_ms;
use crate::tokens::auth_file::AuthFile;
use crate::vault::{Vault, VaultError};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Take in logins of Codex CLI; one that is there already is renewed.
    Import {
        /// An auth.json, as Codex CLI keeps it in ~/.codex. From then on only codex-lb may use it.
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        /// What to call the account (default: its email); for a single FILE.
        #[arg(long)]
        name: Option<String>,
    },
    /// Show the accounts: plan, state, quota windows.
    List {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Send nothing through an account until it is resumed.
    Pause {
        /// Its name, its email, or the beginning of its id.
        name: String,
    },
    /// Use a paused account again.
    Resume {
        /// Its name, its email, or the beginning of its id.
        name: String,
    },
    /// Forget an account and its tokens; what it used stays counted.
    Remove {
        /// Its name, its email, or the beginning of its id.
        name: String,
        /// Do not ask.
        #[arg(long)]
        yes: bool,
    },
}

/// Runs the command.
pub fn run(args: Args, config: Config) -> Result<(), Failure> {
    let vault = Vault::open(&config.data_dir)?;
    let mut book = Book::open(&config.data_dir)?;
    let answer = match args.action {
        Action::Import { files, name } => import(&mut book, &vault, &files, name.as_deref())?,
        Action::List { json: true } => list::as_json(&book.accounts(&vault)?, now_ms()),
        Action::List { json: false } => list::as_table(&book.accounts(&vault)?, now_ms()),
        Action::Pause { name } => set_paused(&mut book, &vault, &name, true)?,
        Action::Resume { name } => set_paused(&mut book, &vault, &name, false)?,
        Action::Remove { name, yes } => remove(&mut book, &vault, &name, yes)?,
    };
    print(&answer)
}

impl From<VaultError> for Failure {
    fn from(error: VaultError) -> Self {
        Self::Failed(error.to_string())
    }
}

/// All files are read before the first one is taken in: a bad file changes nothing.
fn import(book: &mut Book, vault: &Vault, files: &[PathBuf], name: Option<&str>) -> Result<String, Failure> {
    if name.is_some() && files.len() > 1 {
        return Err(Failure::Usage("--name is for one FILE; import them one by one to name them".into()));
    }
    let read = files.iter().map(|file| AuthFile::read(file)).collect::<Result<Vec<_>, _>>();
    let mut answer = String::new();
    for file in read.map_err(|error| Failure::Failed(error.to_string()))? {
        let AuthFile { tokens, claims, refreshed_at } = &file;
        let done = book.import(vault, &NewLogin { tokens, claims, name, refreshed_at: *refreshed_at })?;
        let plan = claims.plan.as_deref().map(|plan| format!(" ({plan})")).unwrap_or_default();
        let verb = if done.renewed { "renewed" } else { "added" };
        answer.push_str(&format!("{verb} {}{plan}\n", done.name));
    }
    Ok(answer)
}

fn set_paused(book: &mut Book, vault: &Vault, wanted: &str, paused: bool) -> Result<String, Failure> {
    let accounts = book.accounts(vault)?;
    let account = find(&accounts, wanted)?;
    book.set_paused(&account.id, paused)?;
    Ok(format!("{} {}\n", if paused { "paused" } else { "resumed" }, account.name))
}

fn remove(book: &mut Book, vault: &Vault, wanted: &str, yes: bool) -> Result<String, Failure> {
    let accounts = book.accounts(vault)?;
    let account = find(&accounts, wanted)?;
    if !yes && !agrees(&account.name)? {
        return Err(Failure::Failed(format!("{} was not removed", account.name)));
    }
    book.remove_account(&account.id)?;
    Ok(format!("removed {}\n", account.name))
}

fn find<'a>(accounts: &'a [AccountRow], wanted: &str) -> Result<&'a AccountRow, Failure> {
    choose("account", wanted, accounts, |account| Called {
        id: &account.id,
        name: &account.name,
        email: account.email.as_deref(),
    })
}

fn agrees(name: &str) -> Result<bool, Failure> {
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        return Err(Failure::Usage(format!(
            "removing {name} deletes its tokens; add --yes if that is meant"
        )));
    }
    let mut answer = String::new();
    write!(std::io::stderr().lock(), "Remove {name} and its tokens? [y/N] ")
        .and_then(|()| stdin.lock().read_line(&mut answer))
        .map_err(|error| Failure::Failed(format!("cannot ask: {error}; use --yes")))?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn auth_file(dir: &Path, name: &str) -> PathBuf {
        let path = dir.join(format!("{name}.json"));
        let tokens =
            format!(r#"{{"access_token":"a","refresh_token":"rt {name}","account_id":"acc-{name}"}}"#);
        std::fs::write(&path, format!(r#"{{"tokens":{tokens}}}"#)).unwrap();
        path
    }

    fn data(dir: &Path) -> (Book, Vault) {
        (Book::open(&dir.join("data")).unwrap(), Vault::open(&dir.join("data")).unwrap())
    }

    #[test]
    fn several_files_are_imported_and_a_second_time_renewed() {
        let dir = tempfile::tempdir().unwrap();
        let (mut book, vault) = data(dir.path());
        let files = [auth_file(dir.path(), "a"), auth_file(dir.path(), "b")];
        assert_eq!(import(&mut book, &vault, &files, None).unwrap(), "added acc-a\nadded acc-b\n");
        assert_eq!(import(&mut book, &vault, &files[..1], Some("home")).unwrap(), "renewed home\n");
        assert_eq!(book.accounts(&vault).unwrap().len(), 2);
        assert!(import(&mut book, &vault, &files[1..], Some("home")).unwrap_err().message().contains("home"));
        assert_eq!(import(&mut book, &vault, &files, Some("x")).unwrap_err().code(), 2);
    }

    #[test]
    fn a_bad_file_among_good_ones_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let (mut book, vault) = data(dir.path());
        let bad = dir.path().join("bad.json");
        std::fs::write(&bad, "{}").unwrap();
        let error = import(&mut book, &vault, &[auth_file(dir.path(), "a"), bad], None).unwrap_err();
        assert!(error.message().contains("bad.json: has no field `tokens`"), "{error:?}");
        assert!(book.accounts(&vault).unwrap().is_empty());
    }

    #[test]
    fn accounts_are_paused_resumed_and_removed_by_name_or_id() {
        let dir = tempfile::tempdir().unwrap();
        let (mut book, vault) = data(dir.path());
        import(&mut book, &vault, &[auth_file(dir.path(), "a")], Some("home")).unwrap();
        assert_eq!(set_paused(&mut book, &vault, "home", true).unwrap(), "paused home\n");
        assert!(book.accounts(&vault).unwrap()[0].paused);
        assert_eq!(set_paused(&mut book, &vault, "acc-", false).unwrap(), "resumed home\n");
        assert!(!book.accounts(&vault).unwrap()[0].paused);
        assert_eq!(remove(&mut book, &vault, "home", true).unwrap(), "removed home\n");
        assert!(book.accounts(&vault).unwrap().is_empty());
    }
}
