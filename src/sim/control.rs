//! The control API under `/sim`: accounts, faults, windows, and what was received. Loopback peers only.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post, put};
use axum::{Router, body::Bytes};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::account::{Account, Spec};
use super::fault::Standing;
use super::quota::Change;
use super::refusal::Refusal;
use super::server::Sim;
use super::{lock, now};

/// Longest long-poll, seconds.
const MAX_WAIT: u64 = 30;

type Shared = State<Arc<Sim>>;

pub(crate) fn routes() -> Router<Arc<Sim>> {
    Router::new()
        .route("/sim/accounts", get(accounts).post(create))
        .route("/sim/accounts/{id}/auth.json", get(auth_json))
        .route("/sim/accounts/{id}/fault", put(set_fault).delete(clear_fault))
        .route("/sim/accounts/{id}/windows", put(set_windows))
        .route("/sim/accounts/{id}/expire", post(expire))
        .route("/sim/requests", get(requests).delete(clear_requests))
        .route("/sim/requests/wait", get(wait_requests))
        .route("/sim/open", get(open))
        .route("/sim/open/wait", get(wait_open))
}

async fn accounts(State(sim): Shared) -> Json<Value> {
    let accounts: Vec<Value> = sim.world.accounts().iter().map(|account| account.report(now())).collect();
    Json(json!({ "accounts": accounts }))
}

async fn create(State(sim): Shared, body: Bytes) -> Result<Response, Refusal> {
    let spec: Spec = read(if body.is_empty() { b"{}" } else { &body })?;
    if spec.id.as_ref().is_some_and(|id| id.is_empty() || id.contains(['/', ' '])) {
        return Err(Refusal::detail(400, "id: must not be empty or contain `/` or a space"));
    }
    let account = sim.world.create(spec);
    let mut report = account.report(now());
    if let Some(report) = report.as_object_mut() {
        report.insert("auth_json".into(), json!(sim.world.auth_json(&account)));
    }
    Ok((StatusCode::CREATED, Json(report)).into_response())
}

async fn auth_json(State(sim): Shared, Path(id): Path<String>) -> Result<Response, Refusal> {
    let text = sim.world.auth_json(&find(&sim, &id)?);
    Ok(([("content-type", "application/json")], text).into_response())
}

async fn set_fault(State(sim): Shared, Path(id): Path<String>, body: Bytes) -> Result<Json<Value>, Refusal> {
    let account = find(&sim, &id)?;
    let is_list = body.trim_ascii_start().starts_with(b"[");
    let faults: Vec<Standing> = if is_list { read(&body)? } else { vec![read(&body)?] };
    lock(&account.state).faults = faults;
    Ok(Json(account.report(now())))
}

async fn clear_fault(State(sim): Shared, Path(id): Path<String>) -> Result<Json<Value>, Refusal> {
    let account = find(&sim, &id)?;
    lock(&account.state).faults.clear();
    Ok(Json(account.report(now())))
}

async fn set_windows(
    State(sim): Shared,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Json<Value>, Refusal> {
    let account = find(&sim, &id)?;
    let change: Change = read(&body)?;
    lock(&account.state).quota.change(change, now());
    Ok(Json(account.report(now())))
}

async fn expire(State(sim): Shared, Path(id): Path<String>) -> Result<Json<Value>, Refusal> {
    let account = find(&sim, &id)?;
    sim.world.expire(&account);
    Ok(Json(account.report(now())))
}

async fn requests(State(sim): Shared) -> Json<Value> {
    Json(sim.world.log.report())
}

async fn clear_requests(State(sim): Shared) -> Json<Value> {
    sim.world.log.clear();
    Json(sim.world.log.report())
}

/// `count`: received; `finished`: ended. Those given must be reached.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WaitRequests {
    #[serde(default)]
    count: u64,
    #[serde(default)]
    finished: u64,
    #[serde(default = "max_wait")]
    timeout: u64,
}

async fn wait_requests(State(sim): Shared, Query(wait): Query<WaitRequests>) -> Response {
    let log = &sim.world.log;
    let limit = Duration::from_secs(wait.timeout.min(MAX_WAIT));
    let reached =
        log.wait(limit, |counts| counts.received >= wait.count && counts.finished >= wait.finished).await;
    waited(reached, log.report())
}

async fn open(State(sim): Shared) -> Json<Value> {
    Json(json!({"open": sim.world.log.counts().open}))
}

/// Waits until exactly `count` streams are open.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WaitOpen {
    count: u64,
    #[serde(default = "max_wait")]
    timeout: u64,
}

async fn wait_open(State(sim): Shared, Query(wait): Query<WaitOpen>) -> Response {
    let log = &sim.world.log;
    let limit = Duration::from_secs(wait.timeout.min(MAX_WAIT));
    let reached = log.wait(limit, |counts| counts.open == wait.count).await;
    waited(reached, json!({"open": log.counts().open}))
}

fn max_wait() -> u64 {
    MAX_WAIT
}

/// 408 with the state as it is, when the wait was in vain.
fn waited(reached: bool, body: Value) -> Response {
    let status = if reached { StatusCode::OK } else { StatusCode::REQUEST_TIMEOUT };
    (status, Json(body)).into_response()
}

fn find(sim: &Sim, id: &str) -> Result<Arc<Account>, Refusal> {
    sim.world
        .account(id)
        .ok_or_else(|| Refusal::detail(404, format!("no account `{id}`; see GET /sim/accounts")))
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|error| Refusal::detail(400, error.to_string()))
}
