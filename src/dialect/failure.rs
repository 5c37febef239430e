//! Failures told inside a stream: their error object, wherever it is, and the HTTP status they stand for.

use codex_lb_filters::{Event, Kind};
use serde_json::{Map, Value, json};

use crate::error::Error;

/// Keys an error object may state its HTTP status in.
const STATUS_KEYS: [&str; 2] = ["status", "status_code"];

/// The error object of a failure event; `None` for any other event. A status the upstream states is in `status`.
pub fn failure(event: &Event) -> Option<Map<String, Value>> {
    if !matches!(event.kind, Kind::Failed | Kind::Error) {
        return None;
    }
    let root = match serde_json::from_slice::<Value>(&event.data) {
        Ok(Value::Object(root)) => root,
        Ok(_) | Err(_) => Map::new(),
    };
    let nested = |key: &str| root.get(key).and_then(|value| value.get("error"));
    let found = root.get("error").or_else(|| nested("response")).or_else(|| nested("body"));
    let mut error = match found {
        Some(Value::Object(error)) => error.clone(),
        Some(Value::String(message)) => Map::from_iter([("message".to_owned(), json!(message))]),
        _ => root.clone().into_iter().filter(|(key, _)| is_error_key(key)).collect(),
    };
    // At the top level, `type` is the event's.
    if error
        .get("type")
        .and_then(Value::as_str)
        .is_some_and(|kind| matches!(kind, "error" | "response.failed"))
    {
        error.remove("type");
    }
    if let Some(status) = stated_status(&root).or_else(|| stated_status(&error)) {
        error.insert("status".into(), json!(status));
    }
    Some(error)
}

/// The error object of a refused request's JSON body, in any of the shapes the upstream uses: `error`, `detail` or
/// `message`, an object or a text. `None`: it explains nothing.
pub fn error_object(body: &Value) -> Option<Map<String, Value>> {
    let said = ["error", "detail"].into_iter().find_map(|key| body.get(key)).unwrap_or(body);
    match said {
        Value::Object(error) => Some(error.clone()),
        Value::String(message) => Some(Map::from_iter([("message".to_owned(), json!(message))])),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => None,
    }
}

/// Keys of an error told at the top level of its event.
fn is_error_key(key: &str) -> bool {
    matches!(key, "code" | "message" | "param" | "type" | "plan_type" | "resets_at" | "resets_in_seconds")
}

fn stated_status(object: &Map<String, Value>) -> Option<u64> {
    let status = STATUS_KEYS.iter().find_map(|key| number(object.get(*key)?));
    status.filter(|status| (400..600).contains(status))
}

/// A number, or one written as a string.
fn number(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

/// The error for the client.
pub(super) fn error(mut error: Map<String, Value>) -> Error {
    let status = failure_status(&error);
    let retry_after = error.get("resets_in_seconds").and_then(number);
    STATUS_KEYS.iter().for_each(|key| drop(error.remove(*key)));
    Error::Upstream { status, error, retry_after }
}

/// The HTTP status of an error of which only the object is known.
pub fn failure_status(error: &Map<String, Value>) -> u16 {
    let stated = stated_status(error).and_then(|status| u16::try_from(status).ok());
    let text = |key: &str| error.get(key).and_then(Value::as_str).unwrap_or_default();
    stated.or_else(|| by_code(text("code"))).or_else(|| by_code(text("type"))).unwrap_or(502)
}

fn by_code(code: &str) -> Option<u16> {
    match code {
        "invalid_request_error"
        | "invalid_prompt"
        | "context_length_exceeded"
        | "cyber_policy"
        | "content_policy_violation"
        | "invalid_encrypted_content"
        | "unsupported_parameter"
        | "invalid_value" => Some(400),
        "invalid_api_key" | "invalid_authentication" | "token_invalidated" | "authentication_error" => {
            Some(401)
        }
        "permission_error" => Some(403),
        "rate_limit_exceeded"
        | "usage_limit_reached"
        | "insufficient_quota"
        | "rate_limit_error"
        | "quota_exceeded"
        | "usage_not_included" => Some(429),
        "server_is_overloaded" | "slow_down" | "overloaded_error" => Some(503),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn told(data: &str) -> Map<String, Value> {
        failure(&Event::new(Bytes::from(format!("data: {data}\n\n")))).unwrap()
    }

    #[test]
    fn the_error_object_is_found_wherever_it_is() {
        for data in [
            r#"{"type":"error","error":{"code":"x","message":"m"}}"#,
            r#"{"type":"error","code":"x","message":"m","sequence_number":3}"#,
            r#"{"type":"response.failed","response":{"id":"r","error":{"code":"x","message":"m"}}}"#,
            r#"{"type":"error","body":{"error":{"code":"x","message":"m"}}}"#,
            r#"{"error":{"code":"x","message":"m"}}"#,
        ] {
            assert_eq!(Value::Object(told(data)), json!({"code":"x","message":"m"}), "{data}");
        }
        assert_eq!(told(r#"{"type":"error","error":"broken"}"#)["message"], "broken");
        assert!(told(r#"{"type":"response.failed"}"#).is_empty());
    }

    #[test]
    fn a_stated_status_wins_over_the_code() {
        let object = told(r#"{"type":"error","status":"503","error":{"code":"usage_limit_reached"}}"#);
        assert_eq!(object["status"], 503);
        let error = error(object);
        assert_eq!(error.status(), 503);
        assert!(!error.object().contains_key("status"));
    }

    #[test]
    fn codes_and_types_tell_the_status() {
        let status = |data: &str| error(told(&format!(r#"{{"type":"error","error":{data}}}"#))).status();
        assert_eq!(status(r#"{"type":"usage_limit_reached"}"#), 429);
        assert_eq!(status(r#"{"code":"context_length_exceeded","type":"x"}"#), 400);
        assert_eq!(status(r#"{"code":null,"type":"authentication_error"}"#), 401);
        assert_eq!(status(r#"{"code":"what"}"#), 502);
    }

    #[test]
    fn a_stated_reset_is_the_time_to_wait() {
        let data = r#"{"type":"error","error":{"type":"usage_limit_reached","resets_in_seconds":"90"}}"#;
        assert_eq!(error(told(data)).retry_after(), Some(90));
    }

    #[test]
    fn other_events_are_no_failures() {
        let event =
            Event::new(Bytes::from_static(b"data: {\"type\":\"response.completed\",\"error\":{}}\n\n"));
        assert_eq!(failure(&event), None);
    }
}
