//! Refreshes against a small issuer and a small store: how often it is asked, what is kept, who must log in again.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tokio::sync::Semaphore;

use super::*;
use crate::config::Strategy;
use crate::ledger::{Book, NewLogin};
use crate::pool::Standing;
use crate::pool::tests::{NOW, ledger_in, pool_of, row};
use crate::tokens::claims::Claims;

/// Answers every request with the same status and body, and keeps what it was asked.
struct Issuer {
    url: String,
    asked: Arc<Mutex<Vec<Value>>>,
    /// One permit lets one answer out.
    gate: Arc<Semaphore>,
}

impl Issuer {
    async fn start(status: u16, answer: Value) -> Self {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let gate = Arc::new(Semaphore::new(1000));
        let (seen, wait) = (Arc::clone(&asked), Arc::clone(&gate));
        let answer = async move |Json(question): Json<Value>| {
            seen.lock().unwrap().push(question);
            wait.acquire().await.unwrap().forget();
            (StatusCode::from_u16(status).unwrap(), answer.to_string())
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().route("/oauth/token", post(answer));
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, asked, gate }
    }

    fn count(&self) -> usize {
        self.asked.lock().unwrap().len()
    }
}

/// One account's tokens, compare-and-set.
#[derive(Default)]
pub(crate) struct Store {
    row: Mutex<Option<AccountRow>>,
    /// Put in place of `row` when it has been read once: another process wins the race.
    next: Mutex<Option<AccountRow>>,
    /// Writes that fail before one works.
    broken: AtomicU32,
    /// No write comes to an end. The clock runs through from then on.
    stuck: AtomicBool,
}

impl Store {
    pub(crate) fn of(row: AccountRow) -> Arc<Self> {
        Arc::new(Self { row: Mutex::new(Some(row)), ..Self::default() })
    }

    fn hash(&self) -> String {
        self.row.lock().unwrap().as_ref().unwrap().refresh_hash.clone()
    }
}

#[async_trait]
impl TokenStore for Store {
    async fn swap(&self, _: &str, from: &str, to: &Tokens, now_ms: u64) -> Result<Swap, LedgerError> {
        if self.broken.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)).is_ok() {
            return Err(LedgerError("disk full".into()));
        }
        if self.stuck.load(Ordering::SeqCst) {
            tokio::time::pause();
            std::future::pending::<()>().await;
        }
        let mut row = self.row.lock().unwrap();
        let Some(row) = row.as_mut() else { return Ok(Swap::Gone) };
        if row.refresh_hash != from {
            return Ok(Swap::Outdated(Box::new(row.clone())));
        }
        row.tokens = to.clone();
        row.refresh_hash = to.refresh_hash();
        row.refreshed_at = now_ms;
        Ok(Swap::Done)
    }

    async fn stored(&self, _: &str) -> Option<AccountRow> {
        let mut row = self.row.lock().unwrap();
        let now = row.clone();
        if let Some(next) = self.next.lock().unwrap().take() {
            *row = Some(next);
        }
        now
    }
}

struct World {
    issuer: Issuer,
    store: Arc<Store>,
    refresher: Refresher,
    account: Arc<Account>,
}

fn client() -> Client {
    Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap()
}

async fn world(status: u16, answer: Value) -> World {
    world_with(status, answer, Store::of(row("a"))).await
}

async fn world_with(status: u16, answer: Value, store: Arc<Store>) -> World {
    let issuer = Issuer::start(status, answer).await;
    let pool = Arc::new(pool_of(Strategy::MostRemaining, vec![row("a")]));
    let account = pool.account("a").unwrap();
    let kept: Arc<dyn TokenStore> = Arc::clone(&store) as _;
    World { refresher: Refresher::new(client(), &issuer.url, pool, kept), issuer, store, account }
}

fn new_tokens() -> Value {
    json!({"access_token": "at_2", "refresh_token": "rt_2", "id_token": "id_2", "token_type": "Bearer"})
}

fn newer_row() -> AccountRow {
    let tokens = Tokens { id: None, access: Secret::new("at_other"), refresh: Secret::new("rt_other") };
    AccountRow { tokens, refresh_hash: "hash-other".into(), refreshed_at: NOW + 1, ..row("a") }
}

fn hash_of(refresh: &str) -> String {
    Tokens { id: None, access: Secret::new(""), refresh: Secret::new(refresh) }.refresh_hash()
}

fn access(account: &Account) -> String {
    account.credentials().access.expose().to_owned()
}

fn needs_login(account: &Account) -> bool {
    matches!(account.standing(NOW), Standing::NeedsLogin { .. })
}

#[tokio::test]
async fn two_refusals_at_once_cause_one_refresh_which_both_can_use() {
    let world = world(200, new_tokens()).await;
    let (refresher, account) = (&world.refresher, &world.account);
    let (one, two) =
        tokio::join!(refresher.after_401(account, "hash-a"), refresher.after_401(account, "hash-a"));

    assert_eq!((one, two), (Ok(()), Ok(())));
    assert_eq!(access(account), "at_2");
    assert_eq!(world.store.hash(), account.credentials().refresh_hash);
    assert_eq!(account.credentials().chatgpt_account_id.as_deref(), Some("chatgpt-a"));
    assert_eq!(
        *world.issuer.asked.lock().unwrap(),
        [json!({"grant_type": "refresh_token", "client_id": "app_EMoamEEZ73f0CkXaXp7hrann",
                "refresh_token": "rt_1", "scope": "openid profile email"})]
    );
    assert_eq!(refresher.after_401(account, "hash-a").await, Ok(()), "refused late, replaced already");
    assert_eq!(world.issuer.count(), 1);
}

#[tokio::test]
async fn an_issuer_that_keeps_the_refresh_token_is_asked_once_too() {
    let row = AccountRow { refresh_hash: hash_of("rt_1"), ..row("a") };
    let world = world_with(200, json!({"access_token": "at_2"}), Store::of(row.clone())).await;
    let (refresher, account) = (&world.refresher, &world.account);
    account.merge(&row, NOW);
    let hash = row.refresh_hash;
    let (one, two) = tokio::join!(refresher.after_401(account, &hash), refresher.after_401(account, &hash));

    assert_eq!((one, two), (Ok(()), Ok(())));
    assert_eq!(access(account), "at_2");
    assert_eq!(account.login().tokens.refresh.expose(), "rt_1", "what the answer lacks is kept");
    assert_eq!(world.issuer.count(), 1);
}

#[tokio::test]
async fn a_permanent_refusal_means_a_new_login_and_is_not_asked_again() {
    let world = world(401, json!({"error": {"code": "refresh_token_reused", "message": "used"}})).await;
    let error = Err(RefreshError::Permanent { code: "refresh_token_reused".into() });
    assert_eq!(world.refresher.after_401(&world.account, "hash-a").await, error);
    assert!(needs_login(&world.account));
    assert_eq!(world.refresher.after_401(&world.account, "hash-a").await, error);
    assert_eq!(world.issuer.count(), 1);
}

#[tokio::test]
async fn a_transient_failure_changes_nothing_and_is_remembered_for_a_moment() {
    for (status, answer, code) in [
        (503, json!("down"), "http_503"),
        (401, json!({"error": "who_knows"}), "who_knows"),
        (200, json!({"refresh_token": "rt_2"}), "invalid_response"),
        (200, json!("<html>"), "invalid_response"),
    ] {
        let world = world(status, answer).await;
        let error = Err(RefreshError::Transient { code: code.into() });
        assert_eq!(world.refresher.after_401(&world.account, "hash-a").await, error);
        assert_eq!(world.refresher.after_401(&world.account, "hash-a").await, error);
        assert_eq!(world.issuer.count(), 1);
        assert!(!needs_login(&world.account));
        assert_eq!(access(&world.account), "at_1");
    }
}

#[tokio::test]
async fn newer_tokens_in_the_store_are_used_without_asking() {
    let world = world_with(200, new_tokens(), Store::of(newer_row())).await;
    assert_eq!(world.refresher.after_401(&world.account, "hash-a").await, Ok(()));
    assert_eq!(access(&world.account), "at_other");
    assert_eq!(world.issuer.count(), 0);
}

#[tokio::test]
async fn who_loses_the_race_for_a_token_uses_what_the_winner_stored() {
    for (status, answer) in [(200, new_tokens()), (400, json!({"error": "invalid_grant"}))] {
        let store = Store::of(row("a"));
        *store.next.lock().unwrap() = Some(newer_row());
        let world = world_with(status, answer, store).await;
        assert_eq!(world.refresher.after_401(&world.account, "hash-a").await, Ok(()));
        assert_eq!(world.issuer.count(), 1);
        assert_eq!(access(&world.account), "at_other");
        assert!(!needs_login(&world.account));
    }
}

#[tokio::test]
async fn an_account_removed_meanwhile_gets_no_tokens() {
    let world = world_with(200, new_tokens(), Arc::default()).await;
    assert_eq!(world.refresher.after_401(&world.account, "hash-a").await, Err(RefreshError::Gone));
    assert_eq!(access(&world.account), "at_1");
}

#[tokio::test]
async fn new_tokens_are_kept_even_if_the_caller_leaves() {
    let world = world(200, new_tokens()).await;
    world.issuer.gate.forget_permits(1000);
    let (refresher, account) = (world.refresher.clone(), Arc::clone(&world.account));
    let caller = tokio::spawn(async move { refresher.after_401(&account, "hash-a").await });
    while world.issuer.count() == 0 {
        tokio::task::yield_now().await;
    }
    caller.abort();
    assert!(caller.await.unwrap_err().is_cancelled());
    world.issuer.gate.add_permits(1);

    drop(world.account.refreshing.lock().await);
    assert_eq!(access(&world.account), "at_2");
    assert_eq!(world.store.hash(), hash_of("rt_2"));
}

#[tokio::test]
async fn tokens_that_cannot_be_written_down_are_used_and_written_later() {
    let world = world(200, new_tokens()).await;
    world.store.broken.store(3, Ordering::SeqCst);
    assert_eq!(world.refresher.after_401(&world.account, "hash-a").await, Ok(()));
    assert_eq!(access(&world.account), "at_2");
    assert_eq!(world.store.hash(), "hash-a");

    world.refresher.store_again(&world.account).await;
    assert_eq!(world.store.hash(), hash_of("rt_2"));
    assert_eq!(access(&world.account), "at_2");
}

#[tokio::test]
async fn a_stuck_ledger_does_not_hold_up_requests() {
    let world = world(200, new_tokens()).await;
    world.store.stuck.store(true, Ordering::SeqCst);
    assert_eq!(world.refresher.after_401(&world.account, "hash-a").await, Ok(()));
    assert_eq!(access(&world.account), "at_2");
    assert!(world.account.login().unstored());
}

#[tokio::test]
async fn the_ledger_itself_keeps_the_new_tokens() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = ledger_in(directory.path());
    let vault = crate::vault::Vault::open(directory.path()).unwrap();
    let tokens = row("a").tokens;
    let claims = Claims { email: Some("me@example.com".into()), ..Claims::default() };
    let login = NewLogin { tokens: &tokens, claims: &claims, name: None, refreshed_at: Some(1) };
    Book::open(directory.path()).unwrap().import(&vault, &login).unwrap();
    let pool = Pool::new(Strategy::Priority, ledger.clone(), &ledger.load().unwrap(), NOW);
    let pool = Arc::new(pool);
    let account = Arc::clone(&pool.accounts()[0]);
    let issuer = Issuer::start(200, new_tokens()).await;
    let refresher = Refresher::new(client(), &issuer.url, pool, Arc::new(ledger.clone()));

    assert_eq!(refresher.after_401(&account, &hash_of("rt_1")).await, Ok(()));

    let row = ledger.load().unwrap().accounts.remove(0);
    assert_eq!((row.tokens.access.expose(), row.tokens.refresh.expose()), ("at_2", "rt_2"));
    assert_eq!(row.refresh_hash, account.credentials().refresh_hash);
}

#[tokio::test]
async fn tokens_near_their_end_are_renewed_and_a_failure_then_does_no_harm() {
    let renewing = |end: u64| AccountRow {
        tokens: Tokens { access: jwt(end), ..row("a").tokens },
        refreshed_at: NOW - 3_600_000,
        refresh_hash: "hash-b".into(),
        ..row("a")
    };
    for (end_in_s, status, expected, asked) in [
        (301, 503, Ok(()), 0),
        (299, 503, Ok(()), 1),
        (0, 503, Err(RefreshError::Transient { code: "http_503".into() }), 1),
        (299, 200, Ok(()), 1),
    ] {
        let row = renewing(NOW / 1000 + end_in_s);
        let world = world_with(status, new_tokens(), Store::of(row.clone())).await;
        world.account.merge(&row, NOW);
        assert_eq!(world.refresher.fresh(&world.account, NOW).await, expected, "{end_in_s} {status}");
        assert_eq!(world.issuer.count(), asked, "{end_in_s} {status}");
    }
}

fn jwt(exp: u64) -> Secret {
    let claims = URL_SAFE_NO_PAD.encode(json!({"exp": exp}).to_string());
    Secret::new(format!("eyJ.{claims}.sig"))
}

#[test]
fn the_end_of_a_token_or_else_its_age_decides() {
    let day = 86_400 * 1000;
    for (token, age, expected) in [
        (jwt(NOW / 1000 + 3600), 30 * day, Need::None),
        (jwt(NOW / 1000 + 100), day, Need::Soon),
        (jwt(NOW / 1000 + 100), 1000, Need::None),
        (jwt(NOW / 1000 - 1), 1000, Need::Now),
        (Secret::new("opaque"), 7 * day, Need::None),
        (Secret::new("opaque"), 9 * day, Need::Soon),
        (Secret::new("a.%%%.c"), 9 * day, Need::Soon),
        (Secret::new(""), 0, Need::Now),
    ] {
        let mut row = AccountRow { refreshed_at: NOW - age, ..row("a") };
        row.tokens.access = token;
        assert_eq!(need(&Login::new(&row), NOW, MARGIN_MS), expected, "{expected:?}");
    }
}

#[test]
fn the_code_is_found_wherever_it_is() {
    for (answer, code, permanent) in [
        (json!({"error": {"code": "refresh_token_reused", "message": "m"}}), "refresh_token_reused", true),
        (json!({"error": {"error": "invalid_grant", "error_description": "d"}}), "invalid_grant", true),
        (json!({"error": "Invalid_Grant"}), "invalid_grant", true),
        (json!({"error_code": "account_suspended"}), "account_suspended", true),
        (json!({"code": "x"}), "x", false),
        (json!({"error": {"message": "m"}}), "http_400", false),
        (json!({"error": "a sentence with the token rt_1"}), "unknown", false),
        (json!(null), "http_400", false),
    ] {
        let expected = if permanent {
            RefreshError::Permanent { code: code.into() }
        } else {
            RefreshError::Transient { code: code.into() }
        };
        assert_eq!(classify(&answer, 400), expected);
    }
}
