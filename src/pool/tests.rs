//! The pool as an exchange sees it: leases, notes, conversations, reloads.

use std::path::Path;

use super::*;
use crate::ledger::AccountRow;
use crate::tokens::Tokens;
use crate::vault::{Secret, Vault};

pub(crate) const NOW: u64 = 1_787_300_000_000;

pub(crate) fn row(id: &str) -> AccountRow {
    AccountRow {
        id: id.into(),
        name: id.into(),
        email: None,
        chatgpt_account_id: Some(format!("chatgpt-{id}")),
        plan: None,
        priority: 0,
        paused: false,
        needs_login: None,
        cooling: None,
        tokens: Tokens { id: None, access: Secret::new("at_1"), refresh: Secret::new("rt_1") },
        refresh_hash: format!("hash-{id}"),
        refreshed_at: NOW,
        windows: Vec::new(),
    }
}

pub(crate) fn window(limit_id: &str, seconds: u64, used_percent: f64, resets_at: Option<u64>) -> WindowRow {
    WindowRow { limit_id: limit_id.into(), seconds, used_percent, resets_at, observed_at: NOW }
}

pub(crate) fn ledger_in(directory: &Path) -> Ledger {
    let vault = Arc::new(Vault::open(directory).unwrap());
    Ledger::open(directory, vault, Duration::from_secs(86_400)).unwrap()
}

/// A pool whose ledger does not know the accounts: what it notes goes nowhere.
pub(crate) fn pool_of(strategy: Strategy, rows: Vec<AccountRow>) -> Pool {
    let directory = tempfile::tempdir().unwrap();
    let ledger = ledger_in(directory.path());
    Pool::new(strategy, ledger, &snapshot(rows), NOW)
}

pub(crate) fn snapshot(accounts: Vec<AccountRow>) -> Snapshot {
    Snapshot { accounts, keys: Vec::new() }
}

fn three() -> Pool {
    pool_of(Strategy::Priority, vec![row("a"), row("b"), row("c")])
}

fn wish() -> Wish {
    Wish { model: "gpt-5.5".into(), ..Wish::default() }
}

fn talk(key: &str) -> Wish {
    Wish { affinity: Some(key.into()), ..wish() }
}

fn quota(resets_in: u64) -> Note {
    let resets_at = Some(NOW / 1000 + resets_in);
    Note::Limited { quota: true, code: "usage_limit_reached".into(), resets_at, retry_after: None }
}

fn chosen(pool: &Pool, wish: &Wish, tried: &[&str], now_ms: u64) -> Result<String, NoAccount> {
    let tried: Vec<_> = tried.iter().map(|&id| id.to_owned()).collect();
    pool.lease(wish, &tried, now_ms).map(|lease| lease.account.id.clone())
}

fn note(pool: &Pool, id: &str, note: Note) {
    pool.note(&pool.account(id).unwrap(), note, NOW);
}

#[test]
fn an_exchange_goes_from_account_to_account_until_all_are_tried() {
    let pool = three();
    assert_eq!(chosen(&pool, &wish(), &[], NOW).unwrap(), "a");
    assert_eq!(chosen(&pool, &wish(), &["a"], NOW).unwrap(), "b");
    assert_eq!(chosen(&pool, &wish(), &["b", "a"], NOW).unwrap(), "c");
    assert_eq!(chosen(&pool, &wish(), &["a", "b", "c"], NOW), Err(NoAccount::Tried));
}

#[test]
fn a_lease_counts_as_in_flight_until_it_is_dropped() {
    let pool = three();
    let in_flight = || pool.view(NOW).iter().map(|view| view.in_flight).sum::<u32>();
    let leases = [pool.lease(&wish(), &[], NOW).unwrap(), pool.lease(&wish(), &[], NOW).unwrap()];
    assert_eq!(in_flight(), 2);
    drop(leases);
    assert_eq!(in_flight(), 0);
}

#[test]
fn round_robin_takes_turns() {
    let pool = pool_of(Strategy::RoundRobin, vec![row("a"), row("b"), row("c")]);
    let turns: Vec<_> = (0..6).map(|_| chosen(&pool, &wish(), &[], NOW).unwrap()).collect();
    assert_eq!(turns, ["a", "b", "c", "a", "b", "c"]);
}

#[test]
fn priority_falls_back_and_comes_back() {
    let pool = three();
    note(&pool, "a", quota(60));
    assert_eq!(chosen(&pool, &wish(), &[], NOW).unwrap(), "b");
    assert_eq!(chosen(&pool, &wish(), &[], NOW + 60_000).unwrap(), "a");
}

#[test]
fn a_recovering_account_is_probed_by_one_attempt_and_trusted_after_it_served() {
    let pool = three();
    note(&pool, "a", quota(60));
    let later = NOW + 60_000;
    let probe = pool.lease(&wish(), &[], later).unwrap();
    assert_eq!(probe.account.id, "a");
    assert_eq!(chosen(&pool, &wish(), &[], later).unwrap(), "b");
    pool.note(&probe.account, Note::Served, later);
    assert_eq!(chosen(&pool, &wish(), &[], later).unwrap(), "a");
}

#[test]
fn paused_and_logged_out_accounts_are_never_chosen() {
    let paused = AccountRow { paused: true, ..row("a") };
    let pool = pool_of(Strategy::Priority, vec![paused, row("b"), row("c")]);
    note(&pool, "b", Note::NeedsLogin { code: "refresh_token_reused".into() });
    assert_eq!(chosen(&pool, &wish(), &[], NOW).unwrap(), "c");
    assert_eq!(pool.usable(NOW), 1);
}

#[test]
fn an_account_without_tokens_is_never_chosen() {
    let tokens = Tokens { id: None, access: Secret::new(""), refresh: Secret::new("") };
    let pool = pool_of(Strategy::Priority, vec![AccountRow { tokens, ..row("a") }]);
    assert!(matches!(chosen(&pool, &wish(), &[], NOW), Err(NoAccount::Unusable { .. })));
}

#[test]
fn when_all_are_used_up_the_earliest_reset_is_told() {
    let pool = three();
    for (id, resets_in) in [("a", 500), ("b", 300), ("c", 400)] {
        note(&pool, id, quota(resets_in));
    }
    let earliest = Some(NOW / 1000 + 300);
    assert_eq!(chosen(&pool, &wish(), &[], NOW), Err(NoAccount::Exhausted { resets_at: earliest }));
    assert_eq!(chosen(&pool, &wish(), &["a"], NOW), Err(NoAccount::Exhausted { resets_at: earliest }));
}

#[test]
fn when_all_rest_after_errors_one_is_used_anyway() {
    let pool = three();
    for id in ["a", "b"] {
        (0..3).for_each(|_| note(&pool, id, Note::Transient { code: "server_error".into() }));
    }
    note(&pool, "c", quota(300));
    assert_eq!(chosen(&pool, &wish(), &[], NOW).unwrap(), "a");
    assert_eq!(chosen(&pool, &wish(), &["a", "b"], NOW), Err(NoAccount::Tried));
}

#[test]
fn a_hard_owner_is_the_only_one_that_may_serve() {
    let pool = three();
    let owned = |id: &str| Wish { owner: Some(id.into()), ..wish() };
    assert_eq!(chosen(&pool, &owned("c"), &[], NOW).unwrap(), "c");
    note(&pool, "c", quota(300));
    let Err(NoAccount::Unusable { message }) = chosen(&pool, &owned("c"), &[], NOW) else {
        panic!("the owner cools: nobody else may serve")
    };
    assert!(message.contains("'c'"), "{message}");
    assert!(matches!(chosen(&pool, &owned("gone"), &[], NOW), Err(NoAccount::Unusable { .. })));
}

#[test]
fn a_conversation_stays_on_its_account() {
    let pool = pool_of(Strategy::MostRemaining, vec![row("a"), row("b"), row("c")]);
    let b = pool.account("b").unwrap();
    pool.bind("k", &b, NOW);
    pool.observe(&b, vec![window("codex", 18_000, 100.0, Some(NOW + 1_000_000))]);
    for _ in 0..20 {
        assert_eq!(chosen(&pool, &talk("k"), &[], NOW).unwrap(), "b");
    }
}

#[test]
fn a_short_absence_of_its_account_does_not_move_a_conversation_but_a_long_one_does() {
    let pool = three();
    let (b, c) = (pool.account("b").unwrap(), pool.account("c").unwrap());
    pool.bind("k", &c, NOW);
    note(&pool, "c", quota(599));
    assert_eq!(chosen(&pool, &talk("k"), &[], NOW).unwrap(), "a");
    pool.bind("k", &b, NOW);
    assert_eq!(chosen(&pool, &talk("k"), &[], NOW + 599_000).unwrap(), "c");

    note(&pool, "c", quota(601));
    pool.bind("k", &b, NOW);
    assert_eq!(chosen(&pool, &talk("k"), &[], NOW).unwrap(), "b");
    pool.reload(&snapshot(vec![row("a"), row("c")]), NOW);
    pool.bind("k", &pool.account("a").unwrap(), NOW);
    assert_eq!(pool.affinity().peek("k", NOW), Some("a"), "its account was removed");
}

#[test]
fn a_displaced_conversation_meets_the_same_other_account_each_time() {
    let pool = pool_of(Strategy::MostRemaining, ["a", "b", "c", "d"].map(row).to_vec());
    pool.bind("k", &pool.account("a").unwrap(), NOW);
    note(&pool, "a", quota(300));
    let first = chosen(&pool, &talk("k"), &[], NOW).unwrap();
    for _ in 0..20 {
        assert_eq!(chosen(&pool, &talk("k"), &[], NOW).unwrap(), first);
    }
}

#[test]
fn a_reload_keeps_what_is_live_and_takes_over_what_changed() {
    let pool = three();
    let lease = pool.lease(&wish(), &[], NOW).unwrap();
    note(&pool, "b", quota(300));
    let new_login = AccountRow { refresh_hash: "new".into(), priority: -1, ..row("c") };
    pool.reload(&snapshot(vec![row("a"), row("b"), new_login, row("d")]), NOW);

    let view = pool.view(NOW);
    assert_eq!(view.iter().map(|v| v.id.as_str()).collect::<Vec<_>>(), ["a", "b", "c", "d"]);
    assert_eq!(view[0].in_flight, 1);
    assert!(matches!(view[1].standing, Standing::Cooling { .. }));
    assert_eq!(pool.account("c").unwrap().credentials().refresh_hash, "new");
    assert_eq!(chosen(&pool, &wish(), &[], NOW).unwrap(), "c");

    pool.reload(&snapshot(vec![row("b")]), NOW);
    assert!(matches!(chosen(&pool, &wish(), &[], NOW), Err(NoAccount::Exhausted { .. })));
    drop(lease);
    pool.reload(&snapshot(vec![row("a")]), NOW);
    assert_eq!(chosen(&pool, &wish(), &[], NOW).unwrap(), "a", "it came back as a new backend");
}

#[test]
fn resuming_an_account_makes_it_ready_again() {
    let paused = || AccountRow { paused: true, ..row("a") };
    let pool = pool_of(Strategy::Priority, vec![paused()]);
    let Err(NoAccount::Unusable { message }) = chosen(&pool, &wish(), &[], NOW) else {
        panic!("it is paused")
    };
    assert!(message.contains("codex-lb account resume a"), "{message}");
    pool.reload(&snapshot(vec![row("a")]), NOW);
    assert_eq!(chosen(&pool, &wish(), &[], NOW).unwrap(), "a");
    pool.reload(&snapshot(vec![paused()]), NOW);
    assert!(chosen(&pool, &wish(), &[], NOW).is_err());
}

#[test]
fn a_model_goes_only_to_accounts_that_offer_it() {
    let pool = three();
    let entry = |slug: &str| serde_json::json!({"slug": slug});
    pool.take_catalog("a", vec![entry("gpt-5.4-mini")], NOW);
    pool.take_catalog("b", vec![entry("gpt-5.4-mini"), entry("gpt-5.5")], NOW);
    assert_eq!(chosen(&pool, &wish(), &[], NOW).unwrap(), "b");
    assert_eq!(chosen(&pool, &wish(), &["b"], NOW).unwrap(), "c", "nothing is known of its catalog");
    let unknown = Wish { model: "gpt-99".into(), ..Wish::default() };
    assert_eq!(chosen(&pool, &unknown, &[], NOW).unwrap(), "a", "the upstream decides about unknown models");
}
