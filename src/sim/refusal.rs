//! An error reply of the backend, in one of its shapes.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

/// Status, body and, rarely, `Retry-After`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) body: String,
    pub(crate) html: bool,
    /// Seconds.
    pub(crate) retry_after: Option<u64>,
}

impl Refusal {
    pub(crate) fn json(status: u16, body: &Value) -> Self {
        Self { status, body: body.to_string(), html: false, retry_after: None }
    }

    /// `{"detail": …}`, the shape of the gateway's own refusals.
    pub(crate) fn detail(status: u16, message: impl Into<String>) -> Self {
        Self::json(status, &json!({ "detail": message.into() }))
    }

    /// `{"error": …}`, the shape of the model service's refusals.
    pub(crate) fn error(status: u16, error: Value) -> Self {
        Self::json(status, &json!({ "error": error }))
    }

    /// A 400 of the model service about one parameter.
    pub(crate) fn invalid(code: &str, param: &str, message: impl Into<String>) -> Self {
        let error = json!({
            "message": message.into(), "type": "invalid_request_error", "param": param, "code": code,
        });
        Self::error(400, error)
    }

    /// The page that the network in front of the backend shows to robots.
    pub(crate) fn challenge() -> Self {
        let body = "<!DOCTYPE html><html><head><title>Just a moment...</title></head><body>\
                    <h1>Sorry, you have been blocked</h1></body></html>";
        Self { status: 403, body: body.into(), html: true, retry_after: None }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let kind = if self.html { "text/html; charset=UTF-8" } else { "application/json" };
        let mut response = (status, [(header::CONTENT_TYPE, kind)], self.body).into_response();
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
