//! What can go wrong with an account on demand: `name` or `name:argument`, for the next n requests or for good.

use serde::Deserialize;
use serde_json::{Value, json};

use super::quota::{usage_limit, usage_limit_error};
use super::refusal::Refusal;

/// One thing that goes wrong.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Fault {
    /// 429 `usage_limit_reached` that resets in so many seconds.
    UsageLimit(u64),
    /// 429 `rate_limit_exceeded`: the seconds in its text, and its `Retry-After`.
    Burst(f64, Option<u64>),
    /// 401 until the tokens are refreshed.
    Unauthorized,
    Forbidden,
    Status(u16),
    HangBeforeHead,
    /// Milliseconds.
    SlowHead(u64),
    CloseBeforeHead,
    /// A stream goes silent, is reset, or ends, after so many events.
    Stall(usize),
    Die(usize),
    End(usize),
    /// `response.failed` with this code after so many events.
    Failed(usize, String),
    /// An `error` event with this code comes first.
    ErrorEvent(String),
    /// A frame that is not JSON after so many events; the stream goes on.
    Malformed(usize),
    SplitFrames,
    Crlf,
    /// Milliseconds before every event.
    Drip(u64),
    AtCapacity,
    ModelUnsupported,
    InvalidEncryptedContent,
    Deactivated,
    Refresh(RefreshFault),
}

/// What goes wrong at the token endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RefreshFault {
    Reused,
    InvalidGrant,
    /// HTTP 500.
    Broken,
    Hang,
    /// Milliseconds.
    Slow(u64),
    /// The tokens rotate, but the answer never arrives.
    Lost,
}

/// A fault in force.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "Order")]
pub(crate) struct Standing {
    text: String,
    pub(crate) fault: Fault,
    /// Requests it still hits; for good when absent.
    pub(crate) times: Option<u32>,
}

/// Body of `PUT /sim/accounts/{id}/fault` (or a list of these).
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Order {
    fault: String,
    times: Option<u32>,
}

const NAMES: &str = "usage_limit_429[:resets_in], burst_429[:wait[:retry_after]], unauthorized, forbidden_html, \
    status:N, hang_before_head, slow_head:ms, close_before_head, stall_after:n, die_after:n, end_after:n, \
    failed_first[:code], failed_after:n[:code], error_event_first[:code], malformed_after:n, split_frames, crlf, \
    drip:ms, at_capacity, model_unsupported, invalid_encrypted_content, deactivated, \
    refresh:{reused|invalid_grant|500|hang|lost|slow:ms}";

impl TryFrom<Order> for Standing {
    type Error = String;

    fn try_from(order: Order) -> Result<Self, String> {
        let Some(fault) = parse(&order.fault) else {
            let text = order.fault;
            return Err(format!("fault `{text}` is unknown or its argument is wrong; known: {NAMES}"));
        };
        Ok(Self { text: order.fault, fault, times: order.times })
    }
}

impl Standing {
    pub(crate) fn report(&self) -> Value {
        json!({"fault": self.text, "times": self.times})
    }
}

fn parse(text: &str) -> Option<Fault> {
    let mut words = text.splitn(3, ':');
    let (name, first, second) = (words.next()?, words.next(), words.next());
    let code = |word: Option<&str>| word.unwrap_or("server_error").to_owned();
    let count = || first?.parse::<usize>().ok();
    let millis = || first?.parse::<u64>().ok();
    Some(match name {
        "usage_limit_429" => Fault::UsageLimit(first.unwrap_or("3600").parse().ok()?),
        "burst_429" => {
            Fault::Burst(first.unwrap_or("1.2").parse().ok()?, second.map(str::parse).transpose().ok()?)
        }
        "unauthorized" => Fault::Unauthorized,
        "forbidden_html" => Fault::Forbidden,
        "status" => Fault::Status(first?.parse().ok().filter(|status| (400..=599).contains(status))?),
        "hang_before_head" => Fault::HangBeforeHead,
        "slow_head" => Fault::SlowHead(millis()?),
        "close_before_head" => Fault::CloseBeforeHead,
        "stall_after" => Fault::Stall(count()?),
        "die_after" => Fault::Die(count()?),
        "end_after" => Fault::End(count()?),
        "failed_first" => Fault::Failed(0, code(first)),
        "failed_after" => Fault::Failed(count()?, code(second)),
        "error_event_first" => Fault::ErrorEvent(code(first)),
        "malformed_after" => Fault::Malformed(count()?),
        "split_frames" => Fault::SplitFrames,
        "crlf" => Fault::Crlf,
        "drip" => Fault::Drip(millis()?),
        "at_capacity" => Fault::AtCapacity,
        "model_unsupported" => Fault::ModelUnsupported,
        "invalid_encrypted_content" => Fault::InvalidEncryptedContent,
        "deactivated" => Fault::Deactivated,
        "refresh" => Fault::Refresh(parse_refresh(first?, second)?),
        _ => return None,
    })
}

fn parse_refresh(name: &str, argument: Option<&str>) -> Option<RefreshFault> {
    Some(match name {
        "reused" => RefreshFault::Reused,
        "invalid_grant" => RefreshFault::InvalidGrant,
        "500" => RefreshFault::Broken,
        "hang" => RefreshFault::Hang,
        "lost" => RefreshFault::Lost,
        "slow" => RefreshFault::Slow(argument?.parse().ok()?),
        _ => return None,
    })
}

impl Fault {
    /// Whether it belongs to requests for an answer (rather than to the token endpoint).
    pub(crate) fn hits_answers(&self) -> bool {
        !matches!(self, Self::Refresh(_))
    }

    /// The error reply in place of a stream, if that is what this fault is.
    pub(crate) fn refusal(&self, plan: &str, model: &str, now: u64) -> Option<Refusal> {
        Some(match self {
            Self::UsageLimit(seconds) => usage_limit(plan, now.saturating_add(*seconds), now),
            Self::Burst(wait, retry_after) => {
                let error = rate_limit(model, *wait);
                Refusal { retry_after: *retry_after, ..Refusal::error(429, error) }
            }
            Self::Unauthorized => Refusal::detail(401, "Unauthorized"),
            Self::Forbidden => Refusal::challenge(),
            Self::Status(status) => {
                let message =
                    format!("The server had an error (HTTP {status}) while processing your request.");
                Refusal::error(*status, json!({"message": message, "type": "server_error", "code": null}))
            }
            Self::ModelUnsupported => {
                let code = "invalid_request_error";
                Refusal::invalid(code, "model", unsupported_model(model))
            }
            Self::Deactivated => deactivated(401),
            Self::HangBeforeHead
            | Self::SlowHead(_)
            | Self::CloseBeforeHead
            | Self::Stall(_)
            | Self::Die(_)
            | Self::End(_)
            | Self::Failed(..)
            | Self::ErrorEvent(_)
            | Self::Malformed(_)
            | Self::SplitFrames
            | Self::Crlf
            | Self::Drip(_)
            | Self::AtCapacity
            | Self::InvalidEncryptedContent
            | Self::Refresh(_) => return None,
        })
    }
}

pub(crate) fn deactivated(status: u16) -> Refusal {
    let message = "Your OpenAI account has been deactivated, please check your email for more information.";
    let error = json!({"message": message, "type": "invalid_request_error", "code": "account_deactivated"});
    Refusal::error(status, error)
}

pub(crate) fn unsupported_model(model: &str) -> String {
    format!("The '{model}' model is not supported when using Codex with a ChatGPT account.")
}

/// The error object that belongs to `code`, as an event or inside `response.failed` carries it.
pub(crate) fn failure(code: &str, plan: &str, model: &str, now: u64) -> Value {
    match code {
        "usage_limit_reached" => usage_limit_error(plan, now.saturating_add(3600), now),
        "rate_limit_exceeded" => rate_limit(model, 1.2),
        "server_is_overloaded" => json!({
            "code": code, "message": "Our servers are currently overloaded. Please try again later.",
        }),
        "context_length_exceeded" => json!({
            "code": code,
            "message": "Your input exceeds the context window of this model. Please adjust your input and try again.",
        }),
        _ => json!({
            "code": code, "message": "An error occurred while processing your request. You can retry your request.",
        }),
    }
}

/// As the real backend words it when a model has no room.
pub(crate) fn at_capacity() -> Value {
    json!({
        "code": "server_is_overloaded",
        "message": "Selected model is at capacity. Please try a different model.",
    })
}

fn rate_limit(model: &str, wait: f64) -> Value {
    let message =
        format!("Rate limit reached for {model} on tokens per min (TPM). Please try again in {wait}s.");
    json!({"code": "rate_limit_exceeded", "type": "tokens", "message": message})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_written_as_a_name_and_its_arguments() {
        assert_eq!(parse("die_after:3"), Some(Fault::Die(3)));
        assert_eq!(parse("burst_429"), Some(Fault::Burst(1.2, None)));
        assert_eq!(parse("burst_429:0.5:3"), Some(Fault::Burst(0.5, Some(3))));
        assert_eq!(parse("failed_after:2:slow_down"), Some(Fault::Failed(2, "slow_down".into())));
        assert_eq!(parse("refresh:slow:50"), Some(Fault::Refresh(RefreshFault::Slow(50))));
    }

    #[test]
    fn an_unknown_fault_is_answered_with_the_list_of_known_ones() {
        for text in [r#"{"fault": "die"}"#, r#"{"fault": "die_after"}"#, r#"{"fault": "status:200"}"#] {
            let error = serde_json::from_str::<Standing>(text).unwrap_err().to_string();
            assert!(error.contains("die_after:n"), "{error}");
        }
    }
}
