//! Routes, and what every answer has in common: the headers, and pages for errors.

mod events;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use askama::Template;
use axum::extract::{Path, State};
use axum::http::header::{self, HeaderName, HeaderValue};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router, middleware};
use serde::Serialize;
use tokio::sync::watch;

use crate::db::{Db, DbError};
use crate::format::Moment;
use crate::pages::{Notice, OverviewPage};
use crate::queries::Overview;
use crate::{Options, assets};

/// The proxy's address when nothing else is known: its default.
const DEFAULT_ADDRESS: &str = "http://127.0.0.1:2455/v1";

/// On every answer. The page needs one stylesheet, one script, one icon and its own event stream.
const HEADERS: [(HeaderName, &str); 5] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self' data:; \
         frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

#[derive(Clone)]
struct App {
    db: Db,
    address: Arc<str>,
    subscribers: events::Subscribers,
}

/// `changed`: counts the ledger's changes.
pub(crate) fn router(options: Options, changed: watch::Receiver<u64>) -> Router {
    let address = options.address_shown.as_deref().unwrap_or(DEFAULT_ADDRESS).into();
    let app = App { db: Db::new(&options.ledger), address, subscribers: events::Subscribers::new(changed) };
    Router::new()
        .route("/", get(overview))
        .route("/api/overview", get(api_overview))
        .route("/events", get(events))
        .route("/health", get(health))
        .route("/assets/{name}", get(asset))
        .fallback(async || notice(&Notice::not_found()))
        .method_not_allowed_fallback(async || notice(&Notice::wrong_method()))
        .layer(middleware::map_response(secured))
        .with_state(app)
}

async fn overview(State(app): State<App>) -> Response {
    match read(&app).await {
        Ok(overview) => match OverviewPage::new(&overview, &app.address).render() {
            Ok(page) => Html(page).into_response(),
            Err(error) => {
                log::error!("the overview's template failed: {error}");
                notice(&Notice::broken())
            }
        },
        Err(error) => notice(&Notice::from_db(&error)),
    }
}

async fn api_overview(State(app): State<App>) -> Response {
    match read(&app).await {
        Ok(overview) => Json(overview).into_response(),
        Err(error) => {
            let notice = Notice::from_db(&error);
            let error = ApiError { code: notice.code, message: &notice.text };
            (notice.status, Json(ApiFailure { error })).into_response()
        }
    }
}

/// The body of a failed `/api/…` call.
#[derive(Serialize)]
struct ApiFailure<'a> {
    error: ApiError<'a>,
}

#[derive(Serialize)]
struct ApiError<'a> {
    code: &'static str,
    message: &'a str,
}

async fn events(State(app): State<App>) -> Response {
    match app.subscribers.subscribe() {
        Some(stream) => stream.into_response(),
        None => notice(&Notice::crowded()),
    }
}

/// 200 as long as this service works; what it can see of the ledger is told, not judged.
async fn health(State(app): State<App>) -> Response {
    let ledger = match app.db.read(|_| Ok(())).await {
        Ok(()) => "ready",
        Err(error) => Notice::from_db(&error).code,
    };
    Json(Health { status: "ok", ledger }).into_response()
}

#[derive(Serialize)]
struct Health {
    status: &'static str,
    ledger: &'static str,
}

async fn asset(Path(name): Path<String>) -> Response {
    let Some(asset) = assets::find(&name) else { return notice(&Notice::not_found()) };
    let headers = [
        (header::CONTENT_TYPE, asset.media_type),
        (header::CACHE_CONTROL, "public, max-age=31536000, immutable"),
    ];
    (headers, asset.content).into_response()
}

async fn read(app: &App) -> Result<Overview, DbError> {
    let now = now();
    let result = app.db.read(move |connection| Overview::read(connection, now)).await;
    match &result {
        Ok(_) => {}
        Err(error @ DbError::Waiting) => log::debug!("no overview: {error}"),
        Err(error) => log::warn!("no overview: {error}"),
    }
    result
}

fn now() -> Moment {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Moment(i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX))
}

fn notice(notice: &Notice) -> Response {
    let page = notice.render().unwrap_or_else(|error| {
        log::error!("the template for notices failed: {error}");
        notice.title.to_owned()
    });
    (notice.status, Html(page)).into_response()
}

async fn secured(mut response: Response) -> Response {
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}
