//! The ledger as the commands use it: no thread, one transaction an operation, with or without a running proxy.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, Transaction, TransactionBehavior};

use super::accounts::Import;
use super::{
    AccountRow, By, KeyInfo, LedgerError, PastExchange, UsageRow, accounts, because, exchanges, keys, schema,
    usage,
};
use crate::now_ms;
use crate::tokens::Tokens;
use crate::tokens::claims::Claims;
use crate::vault::{Secret, Vault};

/// A proxy's transaction takes milliseconds; somebody who holds the lock longer is named in the error.
const WAIT: Duration = Duration::from_secs(10);
const MAX_NAME: usize = 64;

/// An open ledger. A running proxy notices what is changed here within a second.
pub struct Book {
    connection: Connection,
}

/// A login to be added or renewed.
#[derive(Debug)]
pub struct NewLogin<'a> {
    pub tokens: &'a Tokens,
    pub claims: &'a Claims,
    /// `None`: the account keeps its name; a new one is called by its email.
    pub name: Option<&'a str>,
    /// Unix epoch milliseconds.
    pub refreshed_at: Option<u64>,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    pub id: String,
    pub name: String,
    /// The account was there before; its tokens were replaced.
    pub renewed: bool,
}

impl Book {
    /// Opens `data_dir/ledger.db`, creating and migrating it as needed.
    pub fn open(data_dir: &Path) -> Result<Self, LedgerError> {
        let connection = schema::open(data_dir)?;
        connection.busy_timeout(WAIT).map_err(because("open the ledger"))?;
        Ok(Self { connection })
    }

    /// All accounts, in the operator's order.
    pub fn accounts(&self, vault: &Vault) -> Result<Vec<AccountRow>, LedgerError> {
        schema::check_key(&self.connection, vault)?;
        accounts::all(&self.connection, vault).map_err(because("read the accounts"))
    }

    /// Adds the account, or renews its login if it is there: it stays paused, but needs no login any more.
    pub fn import(&mut self, vault: &Vault, login: &NewLogin<'_>) -> Result<Imported, LedgerError> {
        let there = self.accounts(vault)?;
        let id = login.claims.local_id();
        let known = there.iter().find(|account| account.id == id);
        if let Some(name) = login.name {
            check_name(name)?;
            if let Some(other) = there.iter().find(|other| other.name == name && other.id != id) {
                return Err(LedgerError(format!(
                    "the name {name} belongs to the account {}; choose another --name",
                    other.id
                )));
            }
        }
        let default_name = free_name(login.claims, &id, &there);
        let sealed = vault
            .seal(&id, &login.tokens.to_plain())
            .map_err(|error| LedgerError(format!("cannot seal the tokens: {error}")))?;
        let now = now_ms();
        let row = Import {
            id: &id,
            name: login.name,
            default_name: &default_name,
            email: login.claims.email.as_deref(),
            chatgpt_account_id: login.claims.account_id.as_deref(),
            plan: login.claims.plan.as_deref(),
            sealed: &sealed,
            refresh_hash: &login.tokens.refresh_hash(),
            refreshed_at: login.refreshed_at.unwrap_or(now).min(now),
            now,
        };
        self.change("import the account", |transaction| accounts::import(transaction, &row))?;
        let name = login.name.or(known.map(|known| known.name.as_str())).unwrap_or(&default_name).to_owned();
        Ok(Imported { renewed: known.is_some(), name, id })
    }

    pub fn set_paused(&mut self, id: &str, paused: bool) -> Result<(), LedgerError> {
        self.change("change the account", |transaction| accounts::set_paused(transaction, id, paused))
    }

    /// Removes the account and its tokens; what it used stays counted.
    pub fn remove_account(&mut self, id: &str) -> Result<(), LedgerError> {
        self.change("remove the account", |transaction| accounts::remove(transaction, id))
    }

    /// All keys, the revoked ones last.
    pub fn keys(&self) -> Result<Vec<KeyInfo>, LedgerError> {
        keys::all(&self.connection).map_err(because("read the keys"))
    }

    /// Makes a key. It is shown this once; the ledger keeps only its SHA-256.
    pub fn create_key(&mut self, name: &str) -> Result<Secret, LedgerError> {
        check_name(name)?;
        let key = keys::generate()?;
        let id = format!("key_{:016x}", rand::random::<u64>());
        let mut taken = false;
        self.change("create the key", |transaction| {
            match keys::insert(transaction, &id, name, &key, now_ms()) {
                Err(error) if error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => {
                    taken = true;
                    Ok(())
                }
                other => other,
            }
        })?;
        if taken {
            return Err(LedgerError(format!(
                "there is a key named {name} already; choose another name, or revoke that one first"
            )));
        }
        Ok(key)
    }

    pub fn revoke_key(&mut self, id: &str) -> Result<(), LedgerError> {
        self.change("revoke the key", |transaction| keys::revoke(transaction, id, now_ms()))
    }

    /// Sums from the hour of `since` (Unix epoch milliseconds) on.
    pub fn usage(&self, by: By, since: u64) -> Result<Vec<UsageRow>, LedgerError> {
        usage::sums(&self.connection, by, since).map_err(because("sum the usage"))
    }

    /// The newest exchanges, newest first.
    pub fn newest(&self, count: u32) -> Result<Vec<PastExchange>, LedgerError> {
        exchanges::newest(&self.connection, count).map_err(because("read the exchanges"))
    }

    fn change(
        &mut self,
        doing: &'static str,
        work: impl FnOnce(&Transaction<'_>) -> Result<(), rusqlite::Error>,
    ) -> Result<(), LedgerError> {
        let run = || {
            // Tokens and keys a person was told about must survive a power cut.
            self.connection.pragma_update(None, "synchronous", "FULL")?;
            let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            work(&transaction)?;
            transaction.commit()
        };
        run().map_err(because(doing))
    }
}

fn check_name(name: &str) -> Result<(), LedgerError> {
    let length = name.chars().count();
    if length == 0 || length > MAX_NAME || name.trim() != name || name.chars().any(char::is_control) {
        return Err(LedgerError(format!(
            "a name has 1 to {MAX_NAME} characters, no control characters and no spaces around it"
        )));
    }
    Ok(())
}

/// The email, or the id where there is none; a second seat of the same email gets its plan or a number behind it.
fn free_name(claims: &Claims, id: &str, there: &[AccountRow]) -> String {
    let base: String = claims.email.as_deref().unwrap_or(id).chars().filter(|c| !c.is_control()).collect();
    let is_free = |name: &String| !there.iter().any(|other| other.name == *name && other.id != id);
    let with_plan = claims.plan.iter().map(|plan| format!("{base} ({plan})"));
    std::iter::once(base.clone())
        .chain(with_plan)
        .chain((2..10_000).map(|number| format!("{base} {number}")))
        .find(is_free)
        .unwrap_or_else(|| id.to_owned())
}
