//! Method and path → `Route`; one table.

use http::Method;

use crate::error::Error;

/// What a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// `POST /v1/chat/completions`
    Chat,
    /// `POST /v1/responses`: events as the OpenAI SDKs expect them.
    Responses,
    /// `POST /backend-api/codex/responses`: events as the Codex backend sends them.
    CodexResponses,
    /// `GET /v1/models`
    Models,
    /// `GET /backend-api/codex/models`
    CodexModels,
    /// `GET /health/live`
    Live,
    /// `GET /health/ready`
    Ready,
    /// Everything else: pages of the dashboard.
    Dashboard,
}

const TABLE: &[(&str, &str, Route)] = &[
    ("POST", "/v1/chat/completions", Route::Chat),
    ("POST", "/v1/responses", Route::Responses),
    ("POST", "/backend-api/codex/responses", Route::CodexResponses),
    ("GET", "/v1/models", Route::Models),
    ("GET", "/backend-api/codex/models", Route::CodexModels),
    ("GET", "/health/live", Route::Live),
    ("GET", "/health/ready", Route::Ready),
];

/// Paths below these are an API's: what is not in the table there is an error, never a dashboard page.
const API: &[&str] = &["/v1/", "/backend-api/", "/api/codex/", "/health/"];

impl Route {
    /// The ledger's `route`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Responses => "responses",
            Self::CodexResponses => "codex_responses",
            Self::Models => "models",
            Self::CodexModels => "codex_models",
            Self::Live => "live",
            Self::Ready => "ready",
            Self::Dashboard => "dashboard",
        }
    }
}

/// Finds the route, or says what is wrong: 404 for an unknown API path, 405 for a known one with another method, 426
/// for a WebSocket on a path that has one upstream.
pub fn find(method: &Method, path: &str, upgrade: bool) -> Result<Route, Error> {
    let wanted = if method == Method::HEAD { "GET" } else { method.as_str() };
    let path = match path.len() {
        2.. => path.strip_suffix('/').unwrap_or(path),
        _ => path,
    };
    let known = TABLE.iter().find(|(_, known, _)| *known == path);
    match known {
        Some((allow, _, route)) if *allow == wanted => Ok(*route),
        Some((_, _, Route::Responses | Route::CodexResponses)) if upgrade => Err(Error::NoWebSocket),
        Some((allow, _, _)) => {
            Err(Error::WrongMethod { method: method.to_string(), path: path.to_owned(), allow })
        }
        None if path == "/v1" || API.iter().any(|prefix| path.starts_with(prefix)) => {
            Err(Error::NoRoute { method: method.to_string(), path: path.chars().take(200).collect() })
        }
        None => Ok(Route::Dashboard),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_paths_are_found_with_and_without_a_trailing_slash() {
        assert_eq!(find(&Method::POST, "/v1/chat/completions", false), Ok(Route::Chat));
        assert_eq!(find(&Method::POST, "/v1/chat/completions/", false), Ok(Route::Chat));
        assert_eq!(find(&Method::HEAD, "/health/live", false), Ok(Route::Live));
        assert_eq!(find(&Method::GET, "/", false), Ok(Route::Dashboard));
        assert_eq!(find(&Method::GET, "/v1x", false), Ok(Route::Dashboard));
    }

    #[test]
    fn an_unknown_api_path_is_404_and_a_wrong_method_is_405() {
        assert_eq!(find(&Method::GET, "/v1/nothing", false).map_err(|e| e.status()), Err(404));
        assert_eq!(find(&Method::GET, "/v1", false).map_err(|e| e.status()), Err(404));
        let wrong = find(&Method::GET, "/v1/chat/completions", false).unwrap_err();
        assert_eq!(wrong.status(), 405);
        assert!(wrong.message().contains("Use POST"));
        assert_eq!(find(&Method::GET, "/v1/responses", true), Err(Error::NoWebSocket));
    }
}
