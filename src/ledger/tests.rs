//! What the ledger promises, against real files.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use codex_lb_filters::{KeyTable as _, Usage};
use rusqlite::Connection;
use tempfile::TempDir;

use super::*;
use crate::now_ms;
use crate::tokens::claims::Claims;
use crate::vault::Secret;

const KEEP: Duration = Duration::from_secs(30 * 86_400);
const SOON: Duration = Duration::from_secs(20);

fn vault(dir: &Path) -> Arc<Vault> {
    Arc::new(Vault::open(dir).unwrap())
}

fn ledger() -> (TempDir, Ledger) {
    let dir = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(dir.path(), vault(dir.path()), KEEP).unwrap();
    (dir, ledger)
}

fn entry(id: &str) -> Entry {
    Entry {
        id: id.into(),
        started_at: now_ms(),
        duration_ms: 10,
        first_event_ms: Some(5),
        route: "chat",
        client: None,
        key_id: None,
        account_id: Some("acc".into()),
        model: Some("gpt-5.2".into()),
        effort: None,
        service_tier: None,
        stream: true,
        status: 200,
        outcome: Outcome::Completed,
        error_code: None,
        attempts: 1,
        usage: Some(Usage { input: 100, cached: 60, output: 20, reasoning: 5 }),
        cost_micros: Some(7),
    }
}

fn tokens(name: &str) -> Tokens {
    Tokens {
        id: None,
        access: Secret::new(format!("access-canary-{name}")),
        refresh: Secret::new(format!("rt-canary-{name}")),
    }
}

/// Imports an account through the commands' way in; its id.
fn import(dir: &Path, name: &str) -> String {
    let claims = Claims { account_id: Some(format!("id-{name}")), ..Claims::default() };
    let tokens = tokens(name);
    let login = NewLogin { tokens: &tokens, claims: &claims, name: Some(name), refreshed_at: None };
    Book::open(dir).unwrap().import(&vault(dir), &login).unwrap().id
}

fn raw(dir: &Path) -> Connection {
    Connection::open(dir.join("ledger.db")).unwrap()
}

fn number(connection: &Connection, sql: &str) -> i64 {
    connection.query_row(sql, [], |row| row.get(0)).unwrap()
}

#[tokio::test]
async fn a_recorded_row_is_in_the_file_when_record_returns() {
    let (dir, ledger) = ledger();
    assert_eq!(ledger.record(entry("1")).await, Recorded::Committed);
    assert_eq!(number(&raw(dir.path()), "SELECT count(*) FROM exchanges WHERE id = '1'"), 1);
}

#[tokio::test]
async fn a_row_that_comes_twice_counts_once() {
    let (dir, ledger) = ledger();
    assert_eq!(ledger.record_later(entry("1")), Recorded::Queued);
    assert_eq!(ledger.record(entry("1")).await, Recorded::Committed);
    assert_eq!(ledger.record(entry("1")).await, Recorded::Committed);
    let connection = raw(dir.path());
    assert_eq!(number(&connection, "SELECT count(*) FROM exchanges"), 1);
    assert_eq!(number(&connection, "SELECT sum(requests) FROM hourly"), 1);
    assert_eq!(number(&connection, "SELECT sum(input_tokens) FROM daily"), 100);
}

#[test]
fn sums_equal_the_rows_they_were_made_of() {
    let (dir, ledger) = ledger();
    for number in 0..2000_u32 {
        let mut entry = entry(&number.to_string());
        entry.started_at = 1_700_000_000_000 + u64::from(number) * 600_000;
        entry.account_id = Some(format!("acc {}", number % 3));
        entry.model = (number % 2 == 0).then(|| "gpt-5.2".into());
        entry.outcome = if number % 5 == 0 { Outcome::Failed } else { Outcome::Completed };
        entry.usage =
            (number % 7 != 0).then(|| Usage { input: number.into(), cached: 1, output: 2, reasoning: 1 });
        assert_eq!(ledger.record_later(entry), Recorded::Queued);
    }
    assert!(ledger.flush(SOON));
    let connection = raw(dir.path());
    let rows = "SELECT count(*) || ' ' || sum(outcome IN ('failed', 'refused')) || ' ' || sum(input_tokens) || ' ' ||
                sum(cached_tokens) || ' ' || sum(output_tokens) || ' ' || sum(reasoning_tokens) || ' ' ||
                sum(cost_micros) FROM exchanges";
    let text = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, String>(0)).unwrap();
    for table in ["hourly", "daily"] {
        let sums = format!(
            "SELECT sum(requests) || ' ' || sum(errors) || ' ' || sum(input_tokens) || ' ' || sum(cached_tokens) ||
             ' ' || sum(output_tokens) || ' ' || sum(reasoning_tokens) || ' ' || sum(cost_micros) FROM {table}"
        );
        assert_eq!(text(&sums), text(rows), "{table}");
    }
    assert_eq!(number(&connection, "SELECT count(*) FROM hourly WHERE bucket % 3600000 <> 0"), 0);
    assert_eq!(number(&connection, "SELECT count(*) FROM daily WHERE bucket % 86400000 <> 0"), 0);
}

#[tokio::test]
async fn a_row_that_cannot_be_stored_does_not_take_others_with_it() {
    let (dir, ledger) = ledger();
    let mut bad = entry("bad");
    bad.duration_ms = u64::MAX; // more than an SQLite integer holds
    ledger.record_later(entry("before"));
    ledger.record_later(bad.clone());
    assert_eq!(ledger.record(entry("after")).await, Recorded::Committed);
    assert_eq!(ledger.record(bad).await, Recorded::Lost);
    assert_eq!(ledger.lost(), 2);
    assert_eq!(number(&raw(dir.path()), "SELECT count(*) FROM exchanges"), 2);
    assert_eq!(number(&raw(dir.path()), "SELECT sum(requests) FROM hourly"), 2);
}

#[tokio::test]
async fn a_locked_file_delays_an_answer_by_a_quarter_of_a_second_and_loses_nothing() {
    let (dir, ledger) = ledger();
    let locker = raw(dir.path());
    locker.execute_batch("BEGIN EXCLUSIVE").unwrap();
    // Longer in all than SQLite itself waits for a lock.
    for id in ["1", "2", "3"] {
        let began = Instant::now();
        assert_eq!(ledger.record(entry(id)).await, Recorded::Queued);
        assert!(began.elapsed() >= Duration::from_millis(240), "{:?}", began.elapsed());
        assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    }
    assert!(ledger.healthy(), "a short stall is no illness");
    locker.execute_batch("COMMIT").unwrap();
    assert!(ledger.flush(SOON));
    assert_eq!(number(&locker, "SELECT count(*) FROM exchanges"), 3);
    assert_eq!(ledger.lost(), 0);
}

#[test]
fn a_full_queue_counts_what_it_drops() {
    let (dir, ledger) = ledger();
    let locker = raw(dir.path());
    locker.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let total = queue::MAX_JOBS + 2000;
    let lost = (0..total).filter(|n| ledger.record_later(entry(&n.to_string())) == Recorded::Lost).count();
    assert!(lost > 0);
    assert_eq!(ledger.lost(), u64::try_from(lost).unwrap());
    locker.execute_batch("COMMIT").unwrap();
    assert!(ledger.close(SOON));
    let kept = i64::try_from(total - lost).unwrap();
    assert_eq!(number(&locker, "SELECT count(*) FROM exchanges"), kept);
    assert_eq!(ledger.record_later(entry("late")), Recorded::Lost);
    assert!(!ledger.healthy(), "a closed ledger is not ready");
}

#[tokio::test]
async fn tokens_are_swapped_once_and_the_loser_gets_the_newer_ones() {
    let (dir, ledger) = ledger();
    let id = import(dir.path(), "a");
    let old = ledger.load().unwrap().accounts[0].refresh_hash.clone();
    ledger.note(&id, AccountChange::NeedsLogin { reason: "invalid_grant".into() });
    let swap = ledger.swap_tokens(&id, &old, &tokens("b"), 5).await.unwrap();
    assert!(matches!(swap, Swap::Done));
    let swap = ledger.swap_tokens(&id, &old, &tokens("c"), 6).await.unwrap();
    let Swap::Outdated(newer) = swap else { panic!("{swap:?}") };
    assert_eq!(newer.tokens.refresh, tokens("b").refresh);
    assert_eq!((newer.refreshed_at, newer.needs_login), (5, None));
    Book::open(dir.path()).unwrap().remove_account(&id).unwrap();
    assert!(matches!(ledger.swap_tokens(&id, &old, &tokens("d"), 7).await.unwrap(), Swap::Gone));
}

#[test]
fn what_the_proxy_notices_is_there_at_the_next_start() {
    let (dir, ledger) = ledger();
    let id = import(dir.path(), "a");
    let window = |used_percent| WindowRow {
        limit_id: "codex".into(),
        seconds: 18_000,
        used_percent,
        resets_at: Some(9),
        observed_at: 1,
    };
    ledger.note(&id, AccountChange::Cooling { until: 9, reason: "usage_limit_reached".into() });
    ledger.note(&id, AccountChange::Plan { plan: "pro".into() });
    ledger.note(&id, AccountChange::Windows(vec![window(1.0)]));
    ledger.note(&id, AccountChange::Windows(vec![window(2.5)]));
    ledger.note("somebody removed", AccountChange::Windows(vec![window(3.0)]));
    assert!(ledger.close(SOON));
    let ledger = Ledger::open(dir.path(), vault(dir.path()), KEEP).unwrap();
    let account = ledger.load().unwrap().accounts.remove(0);
    assert_eq!(account.cooling, Some((9, "usage_limit_reached".into())));
    assert_eq!(account.plan.as_deref(), Some("pro"));
    assert_eq!(account.windows, [window(2.5)]);
    assert_eq!(ledger.lost(), 0);
}

#[tokio::test]
async fn a_change_by_another_process_is_noticed_and_our_own_are_not() {
    let (dir, ledger) = ledger();
    let mut changed = ledger.changed();
    assert_eq!(ledger.record(entry("1")).await, Recorded::Committed);
    let quiet = tokio::time::timeout(Duration::from_millis(1200), changed.changed()).await;
    assert!(quiet.is_err(), "our own commits are no news");
    let id = import(dir.path(), "a");
    tokio::time::timeout(SOON, changed.changed()).await.unwrap().unwrap();
    assert_eq!(ledger.load().unwrap().accounts[0].id, id);
}

#[test]
fn a_login_again_keeps_the_pause_and_clears_the_rest() {
    let (dir, ledger) = ledger();
    let id = import(dir.path(), "a");
    Book::open(dir.path()).unwrap().set_paused(&id, true).unwrap();
    ledger.note(&id, AccountChange::NeedsLogin { reason: "invalid_grant".into() });
    ledger.note(&id, AccountChange::Cooling { until: 9, reason: "x".into() });
    assert!(ledger.flush(SOON));
    assert_eq!(import(dir.path(), "a"), id);
    let accounts = ledger.load().unwrap().accounts;
    assert_eq!(accounts.len(), 1);
    assert!(accounts[0].paused && accounts[0].needs_login.is_none() && accounts[0].cooling.is_none());
}

#[test]
fn a_key_works_until_it_is_revoked_and_then_gives_up_its_name() {
    let (dir, ledger) = ledger();
    let mut book = Book::open(dir.path()).unwrap();
    let key = book.create_key("laptop").unwrap();
    let find = |key: &Secret| KeyHashes::new(&ledger.load().unwrap().keys).find(key.expose());
    assert_eq!(find(&key).unwrap().name, "laptop");
    assert!(book.create_key("laptop").unwrap_err().to_string().contains("laptop"));
    book.revoke_key(&book.keys().unwrap()[0].id.clone()).unwrap();
    assert_eq!(find(&key), None);
    let next = book.create_key("laptop").unwrap();
    assert_eq!(find(&next).unwrap().name, "laptop");
    assert_eq!(book.keys().unwrap()[0].hint, next.expose()[..12]);
}

#[tokio::test]
async fn no_byte_on_the_disk_tells_a_token_a_key_or_reasoning() {
    let (dir, ledger) = ledger();
    let id = import(dir.path(), "a");
    let key = Book::open(dir.path()).unwrap().create_key("laptop").unwrap();
    let hash = tokens("a").refresh_hash();
    ledger.swap_tokens(&id, &hash, &tokens("b"), 5).await.unwrap();
    ledger.save_reasoning("anchor", &id, "reasoning-canary".into(), now_ms());
    assert!(ledger.flush(SOON));
    assert_eq!(ledger.load_reasoning(100).unwrap()[0].2, "reasoning-canary");
    for file in std::fs::read_dir(dir.path()).unwrap() {
        let path = file.unwrap().path();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600, "{path:?}");
        let bytes = std::fs::read(&path).unwrap();
        for needle in ["canary", key.expose()] {
            assert!(!bytes.windows(needle.len()).any(|window| window == needle.as_bytes()), "{path:?}");
        }
    }
}

#[test]
fn a_missing_or_wrong_vault_key_is_told_by_name() {
    let (dir, ledger) = ledger();
    import(dir.path(), "a");
    drop(ledger);
    let key = dir.path().join("vault.key");
    std::fs::remove_file(&key).unwrap();
    let error = Vault::open(dir.path()).unwrap_err().to_string();
    assert!(error.contains("vault.key") && error.contains("backup"), "{error}");
    assert!(!key.exists(), "a lost key is never replaced in silence");
    std::fs::write(&key, [1; 32]).unwrap();
    let error = Ledger::open(dir.path(), vault(dir.path()), KEEP).err().unwrap().to_string();
    assert!(error.contains("vault.key is not the key"), "{error}");
}

#[test]
fn without_accounts_a_new_vault_key_is_taken() {
    let (dir, ledger) = ledger();
    assert!(ledger.close(SOON));
    std::fs::remove_file(dir.path().join("vault.key")).unwrap();
    assert!(Ledger::open(dir.path(), vault(dir.path()), KEEP).is_ok());
}

#[test]
fn an_account_whose_tokens_were_altered_needs_login_and_others_do_not() {
    let (dir, ledger) = ledger();
    let (a, b) = (import(dir.path(), "a"), import(dir.path(), "b"));
    let steal = "UPDATE accounts SET tokens = (SELECT tokens FROM accounts WHERE id = ?1) WHERE id = ?2";
    raw(dir.path()).execute(steal, [&a, &b]).unwrap();
    let accounts = ledger.load().unwrap().accounts;
    assert!(accounts[0].needs_login.is_none());
    assert!(accounts[1].needs_login.as_ref().unwrap().contains("vault.key"));
    assert_eq!(accounts[1].tokens.access.expose(), "");
}

#[test]
fn a_ledger_of_the_future_is_refused_with_a_sentence() {
    let (dir, ledger) = ledger();
    assert!(ledger.close(SOON));
    raw(dir.path()).pragma_update(None, "user_version", 99).unwrap();
    let error = Ledger::open(dir.path(), vault(dir.path()), KEEP).err().unwrap().to_string();
    assert!(error.contains("version 99") && error.contains("newer codex-lb"), "{error}");
}

#[test]
fn many_processes_may_make_the_same_ledger() {
    let dir = tempfile::tempdir().unwrap();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| Book::open(dir.path()).unwrap());
        }
    });
    let connection = raw(dir.path());
    assert_eq!(number(&connection, "PRAGMA auto_vacuum"), 2, "incremental");
    assert_eq!(number(&connection, "PRAGMA user_version"), 1);
}
