//! The poller against a small upstream: what it asks, how often, and what it makes of refusals.

use std::sync::Mutex;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde_json::json;

use super::*;
use crate::config::{Strategy, Timeouts};
use crate::ledger::AccountRow;
use crate::pool::tests::{NOW, pool_of, row, window};
use crate::pool::{Note, Wish};
use crate::tokens::refresh::tests::Store;

/// Path → statuses to answer with, the last one for ever; keeps all requests.
struct Page {
    path: &'static str,
    statuses: Vec<u16>,
}

#[derive(Default)]
struct Seen {
    pages: Vec<Page>,
    requests: Vec<(String, http::HeaderMap)>,
}

struct World {
    pool: Arc<Pool>,
    poller: Poller,
    seen: Arc<Mutex<Seen>>,
}

async fn answer(State(seen): State<Arc<Mutex<Seen>>>, request: Request) -> impl IntoResponse {
    let mut seen = seen.lock().unwrap();
    let path = request.uri().to_string();
    seen.requests.push((path.clone(), request.headers().clone()));
    let page = seen.pages.iter_mut().find(|page| path.starts_with(page.path));
    let status = page
        .map_or(200, |page| if page.statuses.len() > 1 { page.statuses.remove(0) } else { page.statuses[0] });
    let body = match path.as_str() {
        "/oauth/token" => json!({"access_token": "at_2"}),
        "/wham/usage" => json!({"plan_type": "pro", "rate_limit": {"primary_window":
            {"used_percent": 42, "limit_window_seconds": 18000, "reset_after_seconds": 900}}}),
        _ => json!({"models": [{"slug": "gpt-5.5"}]}),
    };
    (StatusCode::from_u16(status).unwrap(), body.to_string())
}

async fn world(rows: Vec<AccountRow>, pages: Vec<Page>) -> World {
    let seen = Arc::new(Mutex::new(Seen { pages, requests: Vec::new() }));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().fallback(answer).with_state(Arc::clone(&seen));
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });

    let pool = Arc::new(pool_of(Strategy::MostRemaining, rows));
    let upstream = Upstream {
        base_url: url.clone(),
        auth_url: url.clone(),
        headers: vec![("x-operator".into(), "me".into())],
        ca_file: None,
        timeouts: Timeouts { connect: PAUSE, head: PAUSE, idle: PAUSE },
    };
    let client = Client::builder().no_proxy().build().unwrap();
    let store = Store::of(row("a"));
    let refresher = Refresher::new(client.clone(), &url, Arc::clone(&pool), store);
    World { poller: Poller::new(client, &upstream, Arc::clone(&pool), refresher), pool, seen }
}

impl World {
    /// Works until nothing is due.
    async fn work(&mut self, now_ms: u64) {
        while self.poller.round(now_ms).await > 0 {}
    }

    fn asked(&self, path: &str) -> usize {
        self.seen.lock().unwrap().requests.iter().filter(|(asked, _)| asked.starts_with(path)).count()
    }
}

#[tokio::test]
async fn figures_and_catalog_of_every_account_are_fetched() {
    let mut world = world(vec![row("a"), row("b"), row("c")], vec![]).await;
    world.work(NOW).await;
    assert_eq!((world.asked("/wham/usage"), world.asked("/codex/models")), (3, 3));
    for view in world.pool.view(NOW) {
        assert_eq!(view.windows, [window("codex", 18_000, 42.0, Some(NOW + 900_000))]);
        assert_eq!(view.plan.as_deref(), Some("pro"));
    }
    assert_eq!(world.pool.catalog().entries, [json!({"slug": "gpt-5.5"})]);
    assert_eq!(world.pool.catalog().accounts("gpt-5.5").len(), 3);

    world.work(NOW + 59_000).await;
    assert_eq!(world.asked("/wham/usage"), 3, "not before a minute has passed");
    world.work(NOW + 75_000).await;
    assert_eq!((world.asked("/wham/usage"), world.asked("/codex/models")), (6, 3));
}

#[tokio::test]
async fn it_says_who_it_is_and_whom_it_speaks_for() {
    let mut world = world(vec![row("a")], vec![]).await;
    world.work(NOW).await;
    let seen = world.seen.lock().unwrap();
    let (path, headers) = seen.requests.iter().find(|(path, _)| path.starts_with("/codex/models")).unwrap();
    assert_eq!(path, "/codex/models?client_version=0.144.0");
    assert_eq!(headers["user-agent"], concat!("codex-lb/", env!("CARGO_PKG_VERSION")));
    assert_eq!(headers["authorization"], "Bearer at_1");
    assert_eq!(headers["chatgpt-account-id"], "chatgpt-a");
    assert_eq!(headers["x-operator"], "me");
}

#[tokio::test]
async fn a_401_is_answered_by_one_refresh_and_one_more_try() {
    let usage = Page { path: "/wham/usage", statuses: vec![401, 200] };
    let mut world = world(vec![row("a")], vec![usage]).await;
    world.work(NOW).await;
    assert_eq!((world.asked("/oauth/token"), world.asked("/wham/usage")), (1, 2));
    assert_eq!(world.pool.account("a").unwrap().credentials().access.expose(), "at_2");
    assert_eq!(world.pool.view(NOW)[0].windows.len(), 1);
}

#[tokio::test]
async fn a_refused_account_is_left_alone_for_five_minutes_but_still_serves() {
    for (statuses, asked) in [(vec![403], 1), (vec![401], 2)] {
        let mut world = world(vec![row("a")], vec![Page { path: "/wham/usage", statuses }]).await;
        world.work(NOW).await;
        world.work(NOW + 299_000).await;
        assert_eq!(world.asked("/wham/usage"), asked);
        assert_eq!(world.pool.usable(NOW), 1);
        world.work(NOW + 375_000).await;
        assert!(world.asked("/wham/usage") > asked);
    }
}

#[tokio::test]
async fn failures_are_asked_again_ever_less_often() {
    let mut world = world(vec![row("a")], vec![Page { path: "/wham/usage", statuses: vec![500] }]).await;
    let mut times = Vec::new();
    for second in 0..3600 {
        let before = world.asked("/wham/usage");
        world.work(NOW + second * SECOND).await;
        if world.asked("/wham/usage") > before {
            times.push(second);
        }
    }
    let gaps: Vec<_> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    for (gap, least) in gaps.iter().zip([60, 120, 240, 480, 600]) {
        assert!((least..=least * 5 / 4 + 1).contains(gap), "{gaps:?}");
    }
}

#[tokio::test]
async fn paused_busy_and_logged_out_accounts_are_not_asked() {
    let mut world = world(vec![AccountRow { paused: true, ..row("a") }, row("b"), row("c")], vec![]).await;
    let out = world.pool.account("c").unwrap();
    world.pool.note(&out, Note::NeedsLogin { code: "invalid_grant".into() }, NOW);
    let lease = world.pool.lease(&Wish::default(), &[], NOW).unwrap();
    world.work(NOW).await;
    assert_eq!((world.asked("/wham/usage"), world.asked("/codex/models")), (0, 1));

    let near = vec![window("codex", 18_000, 80.0, Some(NOW + 9_000_000))];
    world.pool.observe(&lease.account, near);
    world.work(NOW + 61_000).await;
    assert_eq!(world.asked("/wham/usage"), 1, "busy, but near its limit");
}

#[tokio::test]
async fn it_stops_when_told_to() {
    let world = world(vec![row("a")], vec![]).await;
    let (stop, stopped) = watch::channel(false);
    let running = tokio::spawn(world.poller.run(stopped));
    stop.send(true).unwrap();
    running.await.unwrap();
}
