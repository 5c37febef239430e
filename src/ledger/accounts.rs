//! The SQL on accounts and their windows.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{AccountChange, AccountRow, Swap, WindowRow};
use crate::tokens::Tokens;
use crate::vault::{Secret, Vault};

const COLUMNS: &str = "id, name, email, chatgpt_account_id, plan, priority, paused, needs_login, cooling_until, \
                       cooling_reason, tokens, refresh_hash, refreshed_at";

/// New tokens on their way to the row of their account, sealed already.
#[derive(Debug)]
pub(super) struct Rotation {
    pub(super) account: String,
    pub(super) from_hash: String,
    pub(super) to_hash: String,
    pub(super) sealed: Vec<u8>,
    /// Unix epoch milliseconds.
    pub(super) now: u64,
}

/// An account as imported.
#[derive(Debug)]
pub(super) struct Import<'a> {
    pub(super) id: &'a str,
    /// `None`: the account keeps its name, or gets `default_name`.
    pub(super) name: Option<&'a str>,
    pub(super) default_name: &'a str,
    pub(super) email: Option<&'a str>,
    pub(super) chatgpt_account_id: Option<&'a str>,
    pub(super) plan: Option<&'a str>,
    pub(super) sealed: &'a [u8],
    pub(super) refresh_hash: &'a str,
    pub(super) refreshed_at: u64,
    pub(super) now: u64,
}

/// All accounts in the operator's order.
pub(super) fn all(connection: &Connection, vault: &Vault) -> Result<Vec<AccountRow>, rusqlite::Error> {
    let sql = format!("SELECT {COLUMNS} FROM accounts ORDER BY priority, name");
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map([], |row| read(row, vault))?;
    let mut accounts = rows.collect::<Result<Vec<_>, _>>()?;
    for account in &mut accounts {
        account.windows = windows(connection, &account.id)?;
    }
    Ok(accounts)
}

pub(super) fn one(
    connection: &Connection,
    vault: &Vault,
    id: &str,
) -> Result<Option<AccountRow>, rusqlite::Error> {
    let sql = format!("SELECT {COLUMNS} FROM accounts WHERE id = ?1");
    let account = connection.prepare_cached(&sql)?.query_row([id], |row| read(row, vault)).optional()?;
    account
        .map(|account| Ok(AccountRow { windows: windows(connection, &account.id)?, ..account }))
        .transpose()
}

/// Compare and set. Asked again about what it has done already, it says `Done` again.
pub(super) fn rotate(connection: &Connection, vault: &Vault, to: &Rotation) -> Result<Swap, rusqlite::Error> {
    let changed = connection
        .prepare_cached(
            "UPDATE accounts SET tokens = ?3, refresh_hash = ?4, refreshed_at = ?5, needs_login = NULL
             WHERE id = ?1 AND refresh_hash = ?2",
        )?
        .execute(params![to.account, to.from_hash, to.sealed, to.to_hash, to.now])?;
    if changed == 1 {
        return Ok(Swap::Done);
    }
    Ok(match one(connection, vault, &to.account)? {
        None => Swap::Gone,
        Some(account) if account.refresh_hash == to.to_hash => Swap::Done,
        Some(account) => Swap::Outdated(Box::new(account)),
    })
}

/// Adds the account, or replaces the tokens of the one with that id: it stays paused, but needs no login any more
/// and does not cool down.
pub(super) fn import(connection: &Connection, import: &Import<'_>) -> Result<(), rusqlite::Error> {
    connection
        .prepare_cached(
            "INSERT INTO accounts (id, name, email, chatgpt_account_id, plan, tokens, refresh_hash, refreshed_at,
                                   created_at)
             VALUES (?1, coalesce(?2, ?3), ?4, ?5, ?6, ?7, ?8, ?9, ?10)
             ON CONFLICT (id) DO UPDATE SET
               name = coalesce(?2, name), email = coalesce(?4, email), plan = coalesce(?6, plan),
               chatgpt_account_id = coalesce(?5, chatgpt_account_id), tokens = ?7, refresh_hash = ?8,
               refreshed_at = ?9, needs_login = NULL, cooling_until = NULL, cooling_reason = NULL",
        )?
        .execute(params![
            import.id,
            import.name,
            import.default_name,
            import.email,
            import.chatgpt_account_id,
            import.plan,
            import.sealed,
            import.refresh_hash,
            import.refreshed_at,
            import.now,
        ])
        .map(|_| ())
}

/// Nothing happens when the account is gone.
pub(super) fn change(
    connection: &Connection,
    id: &str,
    change: &AccountChange,
) -> Result<(), rusqlite::Error> {
    let run = |sql: &str, values: &[&dyn rusqlite::ToSql]| {
        connection.prepare_cached(sql)?.execute(values).map(|_| ())
    };
    match change {
        AccountChange::Cooling { until, reason } => run(
            "UPDATE accounts SET cooling_until = ?2, cooling_reason = ?3 WHERE id = ?1",
            &[&id, until, reason],
        ),
        AccountChange::Recovered => {
            run("UPDATE accounts SET cooling_until = NULL, cooling_reason = NULL WHERE id = ?1", &[&id])
        }
        AccountChange::NeedsLogin { reason } => {
            run("UPDATE accounts SET needs_login = ?2 WHERE id = ?1", &[&id, reason])
        }
        AccountChange::Plan { plan } => run("UPDATE accounts SET plan = ?2 WHERE id = ?1", &[&id, plan]),
        AccountChange::Windows(windows) => windows.iter().try_for_each(|window| {
            run(
                "INSERT INTO windows (account_id, limit_id, seconds, used_percent, resets_at, observed_at)
                 SELECT id, ?2, ?3, ?4, ?5, ?6 FROM accounts WHERE id = ?1
                 ON CONFLICT DO UPDATE SET used_percent = excluded.used_percent,
                   resets_at = excluded.resets_at, observed_at = excluded.observed_at",
                &[
                    &id,
                    &window.limit_id,
                    &window.seconds,
                    &window.used_percent,
                    &window.resets_at,
                    &window.observed_at,
                ],
            )
        }),
    }
}

pub(super) fn set_paused(connection: &Connection, id: &str, paused: bool) -> Result<(), rusqlite::Error> {
    connection
        .prepare_cached("UPDATE accounts SET paused = ?2 WHERE id = ?1")?
        .execute(params![id, paused])
        .map(|_| ())
}

/// The account with its tokens, windows and reasoning items; what it used stays counted.
pub(super) fn remove(connection: &Connection, id: &str) -> Result<(), rusqlite::Error> {
    connection.prepare_cached("DELETE FROM reasoning WHERE account_id = ?1")?.execute([id])?;
    connection.prepare_cached("DELETE FROM accounts WHERE id = ?1")?.execute([id]).map(|_| ())
}

fn windows(connection: &Connection, id: &str) -> Result<Vec<WindowRow>, rusqlite::Error> {
    connection
        .prepare_cached(
            "SELECT limit_id, seconds, used_percent, resets_at, observed_at FROM windows
             WHERE account_id = ?1 ORDER BY limit_id, seconds",
        )?
        .query_map([id], |row| {
            Ok(WindowRow {
                limit_id: row.get(0)?,
                seconds: row.get(1)?,
                used_percent: row.get(2)?,
                resets_at: row.get(3)?,
                observed_at: row.get(4)?,
            })
        })?
        .collect()
}

fn read(row: &Row<'_>, vault: &Vault) -> Result<AccountRow, rusqlite::Error> {
    let id: String = row.get("id")?;
    let sealed: Vec<u8> = row.get("tokens")?;
    let tokens = vault.unseal(&id, &sealed).ok().and_then(|plain| Tokens::from_plain(&plain));
    let needs_login: Option<String> = row.get("needs_login")?;
    // One altered row must not take the others down with it.
    let needs_login = match &tokens {
        Some(_) => needs_login,
        None => Some("its stored tokens do not open with this vault.key: import the account again".into()),
    };
    let until: Option<u64> = row.get("cooling_until")?;
    let reason: Option<String> = row.get("cooling_reason")?;
    Ok(AccountRow {
        id,
        name: row.get("name")?,
        email: row.get("email")?,
        chatgpt_account_id: row.get("chatgpt_account_id")?,
        plan: row.get("plan")?,
        priority: row.get("priority")?,
        paused: row.get("paused")?,
        needs_login,
        cooling: until.map(|until| (until, reason.unwrap_or_default())),
        tokens: tokens.unwrap_or_else(|| Tokens {
            id: None,
            access: Secret::new(""),
            refresh: Secret::new(""),
        }),
        refresh_hash: row.get("refresh_hash")?,
        refreshed_at: row.get("refreshed_at")?,
        windows: Vec::new(),
    })
}
