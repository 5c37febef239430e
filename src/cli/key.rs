//! `codex-lb key`: the API keys of your clients.

use clap::Subcommand;

use super::choice::{Called, choose};
use super::table::{Column, Table};
use super::{Failure, print, when};
use crate::config::Config;
use crate::ledger::{Book, KeyInfo, LedgerError};
use crate::now_ms;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Make a key and print it, this once; only a hash of it is kept.
    Create { name: String },
    /// Show the keys, without their secret part.
    List {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Make a key worthless, at once.
    Revoke {
        /// Its name, or the beginning of its id.
        name: String,
    },
}

/// Runs the command.
pub fn run(args: Args, config: Config) -> Result<(), Failure> {
    let mut book = Book::open(&config.data_dir)?;
    let answer = match args.action {
        Action::Create { name } => format!("{}\n", book.create_key(&name)?.expose()),
        Action::List { json: true } => format!("{}\n", super::to_json(&book.keys()?)?),
        Action::List { json: false } => list(&book.keys()?, now_ms()),
        Action::Revoke { name } => revoke(&mut book, &name)?,
    };
    print(&answer)
}

impl From<LedgerError> for Failure {
    fn from(error: LedgerError) -> Self {
        Self::Failed(error.to_string())
    }
}

fn list(keys: &[KeyInfo], now: u64) -> String {
    if keys.is_empty() {
        return "no keys yet; make one with: codex-lb key create NAME\n".into();
    }
    let mut table = Table::new(&[
        Column::Left("NAME"),
        Column::Left("KEY"),
        Column::Left("STATE"),
        Column::Left("CREATED"),
        Column::Left("ID"),
    ]);
    for key in keys {
        let state =
            key.revoked_at.map_or_else(|| "valid".into(), |at| format!("revoked {}", when::ago(at, now)));
        let hint = format!("{}…", key.hint);
        table.row([key.name.clone(), hint, state, when::ago(key.created_at, now), key.id.clone()]);
    }
    table.to_string()
}

fn revoke(book: &mut Book, wanted: &str) -> Result<String, Failure> {
    let mut keys = book.keys()?;
    keys.retain(|key| key.revoked_at.is_none());
    let key = choose("valid key", wanted, &keys, |key| Called { id: &key.id, name: &key.name, email: None })?;
    book.revoke_key(&key.id)?;
    Ok(format!("revoked {}\n", key.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_revoked_key_is_shown_as_such_and_cannot_be_revoked_again() {
        let dir = tempfile::tempdir().unwrap();
        let mut book = Book::open(dir.path()).unwrap();
        assert!(list(&book.keys().unwrap(), 0).contains("key create"));
        let key = book.create_key("laptop").unwrap();
        book.create_key("desk").unwrap();
        assert_eq!(revoke(&mut book, "laptop").unwrap(), "revoked laptop\n");
        let shown = list(&book.keys().unwrap(), now_ms());
        let lines: Vec<&str> = shown.lines().collect();
        assert!(lines[1].starts_with("desk") && lines[1].contains("valid"), "{shown}");
        assert!(lines[2].starts_with("laptop") && lines[2].contains("revoked 0s ago"), "{shown}");
        assert!(!shown.contains(key.expose()));
        assert!(revoke(&mut book, "laptop").unwrap_err().message().contains("there are: desk"));
    }
}
