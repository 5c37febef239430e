//! `POST /oauth/token`: refresh tokens are single-use, and a used one is refused without any other effect.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};

use super::account::Account;
use super::fault::{Fault, RefreshFault, deactivated};
use super::lock;
use super::log::Outcome;
use super::refusal::Refusal;
use super::server::{Sim, hang_up};

const CLIENT_ID: &str = "app_EMoamEEZ73f0CkXaXp7hrann";
const MAX_BODY: usize = 64 << 10;

pub(crate) async fn token(State(sim): State<Arc<Sim>>, request: Request<Body>) -> Response {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, MAX_BODY).await.unwrap_or_default();
    let mut tracked = sim.world.log.receive(&parts, Some(&body), false);
    let account = match owner(&sim, &body) {
        Ok(account) => account,
        Err(refusal) => {
            tracked.status = Some(refusal.status);
            tracked.outcome = Some(Outcome::Replied);
            return refusal.into_response();
        }
    };
    tracked.account = Some(account.id.clone());
    let fault = account.take_refresh_fault();
    let response = match fault {
        Some(RefreshFault::Hang) => std::future::pending().await,
        Some(RefreshFault::Slow(millis)) => {
            tokio::time::sleep(Duration::from_millis(millis)).await;
            rotate(&sim, &account, &body)
        }
        Some(RefreshFault::Lost) => rotate(&sim, &account, &body).map(|_| hang_up()),
        Some(RefreshFault::Reused) => Err(reused()),
        Some(RefreshFault::InvalidGrant) => Err(invalid_grant()),
        Some(RefreshFault::Broken) => Err(Refusal::detail(500, "Internal Server Error")),
        None => rotate(&sim, &account, &body),
    };
    let response = response.unwrap_or_else(Refusal::into_response);
    tracked.status = Some(response.status().as_u16());
    tracked.outcome =
        Some(if fault == Some(RefreshFault::Lost) { Outcome::Faulted } else { Outcome::Replied });
    response
}

/// The account whose refresh token this is, spent or not.
fn owner(sim: &Sim, body: &[u8]) -> Result<Arc<Account>, Refusal> {
    let Ok(request) = serde_json::from_slice::<Value>(body) else {
        return Err(plain(400, "invalid_request", "The body must be JSON."));
    };
    let text = |key: &str| request.get(key).and_then(Value::as_str).unwrap_or_default();
    if text("grant_type") != "refresh_token" {
        return Err(plain(400, "unsupported_grant_type", "Only refresh_token is served here."));
    }
    if text("client_id") != CLIENT_ID {
        return Err(plain(401, "invalid_client", "The client is not known."));
    }
    let named = sim.world.signer.read_refresh_token(text("refresh_token"));
    let account = named.and_then(|(id, _)| sim.world.account(id)).ok_or_else(invalid_grant)?;
    if account.suffers(&Fault::Deactivated) {
        return Err(deactivated(401));
    }
    Ok(account)
}

/// Spends the refresh token and gives out the next ones.
fn rotate(sim: &Sim, account: &Arc<Account>, body: &[u8]) -> Result<Response, Refusal> {
    let request: Value = serde_json::from_slice(body).unwrap_or_default();
    let token = request.get("refresh_token").and_then(Value::as_str).unwrap_or_default();
    let generation = sim.world.signer.read_refresh_token(token).map(|(_, generation)| generation);
    let mut state = lock(&account.state);
    if generation != Some(state.generation) {
        return Err(reused());
    }
    state.generation += 1;
    state.faults.retain(|standing| standing.fault != Fault::Unauthorized);
    drop(state);
    let tokens = sim.world.mint(account);
    let body = json!({
        "access_token": tokens.access, "refresh_token": tokens.refresh, "id_token": tokens.id,
        "token_type": "Bearer", "expires_in": tokens.expires_at.saturating_sub(super::now()),
        "scope": "openid profile email offline_access",
    });
    Ok(axum::Json(body).into_response())
}

fn reused() -> Refusal {
    let message = "Your refresh token has already been used to generate a new access token. Please try signing in again.";
    let error = json!({
        "message": message, "type": "invalid_request_error", "param": null, "code": "refresh_token_reused",
    });
    Refusal::error(401, error)
}

fn invalid_grant() -> Refusal {
    plain(400, "invalid_grant", "The refresh token is not valid.")
}

/// The shape of RFC 6749.
fn plain(status: u16, error: &str, description: &str) -> Refusal {
    Refusal::json(status, &json!({"error": error, "error_description": description}))
}
