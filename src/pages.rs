//! Answers that are not exchanges with the upstream: health, models, the way to the dashboard, plain errors.

use std::net::SocketAddr;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use pingora::http::ResponseHeader;
use pingora_proxy::Session;
use serde_json::json;

use crate::client::Client;
use crate::dialect::models;
use crate::error::Error;
use crate::exchange::Stop;
use crate::exchange::record::Record;
use crate::proxy::App;
use crate::route::Route;
use crate::{now_ms, peer};

/// `GET /v1/models` and `GET /backend-api/codex/models`: the merged catalogue of the pool.
pub async fn models(
    app: &App,
    client: &mut Client<'_>,
    route: Route,
    record: &mut Record,
) -> Result<(), Stop> {
    let catalog = app.pool.catalog();
    let built_in;
    // Until an account's own list was fetched, the models that are known anyway.
    let entries = if catalog.entries.is_empty() {
        built_in = models::built_in();
        &built_in
    } else {
        &catalog.entries
    };
    let query = client.session().req_header().uri.query().unwrap_or_default();
    let for_codex =
        route == Route::CodexModels || query.split('&').any(|pair| pair.starts_with("client_version="));
    let body = match for_codex {
        true => models::codex_list(entries),
        false => models::openai_list(entries, now_ms() / 1000),
    };
    record.forget();
    Ok(client.reply(200, body, None).await?)
}

/// `/health/live`: the process answers. `/health/ready`: it takes exchanges and the ledger takes rows.
pub async fn health(app: &App, session: &mut Session, ready: bool) {
    let draining = app.draining.load(Ordering::Relaxed);
    let (status, state) = match (ready, draining, app.ledger.healthy()) {
        (false, ..) => (200, "live"),
        (true, true, _) => (503, "draining"),
        (true, false, false) => (503, "ledger_stalled"),
        (true, false, true) => (200, "ready"),
    };
    respond(session, status, Bytes::from(json!({ "status": state }).to_string()), None).await;
}

/// Where the dashboard is, for callers on this machine; everybody else is told how to get there.
pub async fn dashboard(app: &App, session: &mut Session) -> Option<SocketAddr> {
    let address = session.client_addr().and_then(|address| address.as_inet()).map(|address| address.ip());
    let policy = app.policy.load();
    let trusted = &policy.config.auth.trusted_proxies;
    let local = address.is_some_and(|address| peer::is_local(address, session.req_header(), trusted));
    let refusal = match app.dashboard {
        Some(dashboard) if local => return Some(dashboard),
        Some(_) => Error::Refused {
            status: 403,
            kind: "permission_error",
            code: "dashboard_is_local",
            message: "The dashboard is shown on its own machine only. Forward the port: \
                      ssh -L 2455:127.0.0.1:2455 your-server"
                .into(),
        },
        None => Error::NoRoute {
            method: session.req_header().method.to_string(),
            path: session.req_header().uri.path().chars().take(200).collect(),
        },
    };
    error(session, &refusal).await;
    None
}

/// A plain error.
pub async fn error(session: &mut Session, error: &Error) {
    let extra = if let Error::WrongMethod { allow, .. } = error {
        Some(("allow", (*allow).to_owned()))
    } else {
        error.retry_after().map(|seconds| ("retry-after", seconds.to_string()))
    };
    respond(session, error.status(), error.body(), extra).await;
}

/// The dashboard could not be reached, or a request broke before it was understood. Returns the status that was sent.
pub async fn failed(session: &mut Session, error: &pingora::Error) -> u16 {
    if session.response_written().is_some_and(|head| !head.status.is_informational()) {
        return 0;
    }
    let told = match error.esource() {
        pingora::ErrorSource::Upstream => {
            Error::Unavailable { message: "The dashboard does not answer.".into() }
        }
        pingora::ErrorSource::Downstream => Error::invalid("request", "The request could not be read."),
        pingora::ErrorSource::Internal | pingora::ErrorSource::Unset => {
            Error::Internal { message: "Something went wrong inside codex-lb.".into() }
        }
    };
    self::error(session, &told).await;
    told.status()
}

async fn respond(session: &mut Session, status: u16, body: Bytes, extra: Option<(&'static str, String)>) {
    let head = || -> pingora::Result<ResponseHeader> {
        let mut head = ResponseHeader::build(status, Some(5))?;
        head.insert_header("content-type", "application/json")?;
        head.insert_header("cache-control", "no-store")?;
        head.insert_header("content-length", body.len())?;
        head.insert_header("x-request-id", peer::id())?;
        if let Some((name, value)) = extra {
            head.insert_header(name, value)?;
        }
        Ok(head)
    };
    let no_body = session.req_header().method == http::Method::HEAD;
    let sent = match head() {
        Ok(head) => session.write_response_header(Box::new(head), no_body).await,
        Err(error) => Err(error),
    };
    let sent = match sent {
        Ok(()) if !no_body => session.write_response_body(Some(body), true).await,
        other => other,
    };
    if let Err(error) = sent {
        log::debug!("the client left before it was answered: {error}");
    }
}
