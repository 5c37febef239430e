//! One GET on an account's behalf: who is asking is said openly, and no answer is too long.

use std::time::Duration;

use reqwest::{Client, Response};
use serde_json::Value;

use super::Credentials;

/// How the proxy calls itself when it speaks for itself.
pub(crate) const USER_AGENT: &str = concat!("codex-lb/", env!("CARGO_PKG_VERSION"));
const TIMEOUT: Duration = Duration::from_secs(10);
/// Longest page read; catalogs are the largest, at some hundred KiB.
const LONGEST: usize = 8 << 20;

/// Why there is no page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FetchError {
    Status(u16),
    Transport,
    NotJson,
}

/// `headers` are the operator's own and are set last.
pub(super) async fn get(
    client: &Client,
    url: &str,
    credentials: &Credentials,
    headers: &[(String, String)],
) -> Result<Value, FetchError> {
    let mut request = client
        .get(url)
        .timeout(TIMEOUT)
        .header(http::header::USER_AGENT, USER_AGENT)
        .header(http::header::ACCEPT, "application/json")
        .bearer_auth(credentials.access.expose());
    if let Some(id) = &credentials.chatgpt_account_id {
        request = request.header("chatgpt-account-id", id);
    }
    let mut request = request.build().map_err(|_| FetchError::Transport)?;
    for (name, value) in headers {
        if let (Ok(name), Ok(value)) = (name.parse::<http::HeaderName>(), value.parse()) {
            request.headers_mut().insert(name, value);
        }
    }
    let response = client.execute(request).await.map_err(|_| FetchError::Transport)?;
    if !response.status().is_success() {
        return Err(FetchError::Status(response.status().as_u16()));
    }
    let body = read(response, LONGEST).await.ok_or(FetchError::Transport)?;
    serde_json::from_slice(&body).map_err(|_| FetchError::NotJson)
}

/// The body, unless it breaks off or is longer than `limit` bytes.
pub(crate) async fn read(mut response: Response, limit: usize) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    while let Some(piece) = response.chunk().await.ok()? {
        if body.len() + piece.len() > limit {
            return None;
        }
        body.extend_from_slice(&piece);
    }
    Some(body)
}
