//! What the upstream says about quota windows, read from every place where it says so. Pure; garbage is ignored.
//!
//! A window is known by its stated length, never by its position: `primary` has meant five hours, a week and a month.

use std::time::Duration;

use http::HeaderMap;
use serde_json::Value;

use crate::ledger::WindowRow;

/// Windows and plan of an account, as far as they were told.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Quota {
    pub windows: Vec<WindowRow>,
    pub plan: Option<String>,
}

/// What the body of a refused request says about time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Refusal {
    /// Unix seconds.
    pub resets_at: Option<u64>,
    /// From "try again in …".
    pub retry_after: Option<Duration>,
    pub plan: Option<String>,
}

/// The limit that governs ordinary models.
const MAIN_LIMIT: &str = "codex";
/// Longest window believed: 366 days, in seconds.
const LONGEST: u64 = 366 * 86_400;
/// Additional limits read from one usage page, at most.
const MOST_LIMITS: usize = 12;

/// From `x-codex-{primary,secondary}-*` and `x-codex-plan-type`, which come with any status.
pub fn from_headers(headers: &HeaderMap, now_ms: u64) -> Quota {
    let text = |name: &str| headers.get(name)?.to_str().ok();
    let windows = ["primary", "secondary"].into_iter().filter_map(|position| {
        let field = |suffix: &str| number(text(&format!("x-codex-{position}-{suffix}"))?);
        let said = Said {
            used_percent: field("used-percent"),
            seconds: field("window-minutes").map(|minutes| minutes * 60.0),
            reset_at: field("reset-at"),
            reset_after: field("reset-after-seconds"),
        };
        said.window(MAIN_LIMIT, now_ms)
    });
    Quota { windows: windows.collect(), plan: text("x-codex-plan-type").and_then(plan) }
}

/// From the data of a `codex.rate_limits` event about the main limit; anything else tells nothing.
pub fn from_event(data: &[u8], now_ms: u64) -> Quota {
    let Ok(event) = serde_json::from_slice::<Value>(data) else { return Quota::default() };
    let foreign = ["limit_id", "metered_limit_name", "limit_name"]
        .into_iter()
        .filter_map(|key| event.get(key).and_then(Value::as_str))
        .any(|limit| limit != MAIN_LIMIT);
    if foreign || event.get("type").and_then(Value::as_str) != Some("codex.rate_limits") {
        return Quota::default();
    }
    let limits = event.get("rate_limits").unwrap_or(&Value::Null);
    let windows = ["primary", "secondary"]
        .into_iter()
        .filter_map(|position| Said::read(limits.get(position)?).window(MAIN_LIMIT, now_ms));
    Quota { windows: windows.collect(), plan: plan_of(&event) }
}

/// From the page `/wham/usage`, with its additional limits by the name of the metered feature.
pub fn from_usage(page: &Value, now_ms: u64) -> Quota {
    let mut windows = Vec::new();
    let mut read = |limit_id: &str, holder: &Value| {
        let limits = holder.get("rate_limit").unwrap_or(&Value::Null);
        let found = ["primary_window", "secondary_window"]
            .into_iter()
            .filter_map(|position| Said::read(limits.get(position)?).window(limit_id, now_ms));
        windows.extend(found);
    };
    read(MAIN_LIMIT, page);
    let additional = page.get("additional_rate_limits").and_then(Value::as_array);
    for limit in additional.into_iter().flatten().take(MOST_LIMITS) {
        let name = limit.get("metered_feature").or_else(|| limit.get("limit_name"));
        if let Some(name) = name.and_then(Value::as_str).filter(|name| is_name(name) && *name != MAIN_LIMIT) {
            read(name, limit);
        }
    }
    Quota { windows, plan: plan_of(page) }
}

/// From the body of a 429 or of a failed answer, `{"error": {…}}`.
pub fn from_error(body: &Value, now_ms: u64) -> Refusal {
    let error = body.get("error").unwrap_or(body);
    let now = Duration::from_millis(now_ms).as_secs_f64();
    let after = error.get("resets_in_seconds").and_then(loose).map(|seconds| now + seconds);
    let resets_at = error.get("resets_at").and_then(loose).or(after).and_then(|at| whole(at.ceil()));
    let message = error.get("message").and_then(Value::as_str).unwrap_or_default();
    Refusal { resets_at, retry_after: try_again_in(message), plan: plan_of(error) }
}

/// One window as stated, before it is believed.
#[derive(Debug)]
struct Said {
    used_percent: Option<f64>,
    seconds: Option<f64>,
    /// Unix seconds.
    reset_at: Option<f64>,
    /// Seconds from now.
    reset_after: Option<f64>,
}

impl Said {
    fn read(window: &Value) -> Self {
        let field = |key: &str| window.get(key).and_then(loose);
        Self {
            used_percent: field("used_percent"),
            seconds: field("limit_window_seconds")
                .or_else(|| field("window_minutes").map(|minutes| minutes * 60.0)),
            reset_at: field("reset_at").or_else(|| field("resets_at")),
            reset_after: field("reset_after_seconds"),
        }
    }

    fn window(&self, limit_id: &str, now_ms: u64) -> Option<WindowRow> {
        let used_percent = self.used_percent?.max(0.0);
        let seconds = whole(self.seconds?).filter(|seconds| (1..=LONGEST).contains(seconds))?;
        let at = self.reset_at.and_then(whole).map(|at| at.saturating_mul(1000));
        let after = self.reset_after.and_then(whole).map(|after| now_ms.saturating_add(after * 1000));
        let farthest = now_ms.saturating_add(LONGEST * 1000);
        let resets_at = at.or(after).filter(|&at| at > 0 && at <= farthest);
        Some(WindowRow {
            limit_id: limit_id.to_owned(),
            seconds,
            used_percent,
            resets_at,
            observed_at: now_ms,
        })
    }
}

/// A finite number, also when it comes as text.
fn loose(value: &Value) -> Option<f64> {
    value.as_f64().or_else(|| number(value.as_str()?))
}

fn number(text: &str) -> Option<f64> {
    text.trim().parse::<f64>().ok().filter(|number| number.is_finite())
}

/// The number without its fraction, if it is a sane count of seconds.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the range is checked first")]
fn whole(number: f64) -> Option<u64> {
    (0.0..=1e12).contains(&number).then_some(number as u64)
}

fn plan_of(value: &Value) -> Option<String> {
    value.get("plan_type").and_then(Value::as_str).and_then(plan)
}

fn plan(text: &str) -> Option<String> {
    is_name(text).then(|| text.to_owned())
}

fn is_name(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    (1..=64).contains(&text.len()) && text.chars().all(plain)
}

/// The time in "… try again in 6m0s" or "… in 1.5 seconds"; several units add up.
fn try_again_in(message: &str) -> Option<Duration> {
    let lower = message.to_ascii_lowercase();
    let (_, mut rest) = lower.split_once("try again in ")?;
    let mut total = 0.0;
    let mut found = false;
    loop {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (amount, tail) = rest.split_at(digits);
        let tail = tail.trim_start();
        let letters = tail.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(letters);
        let (Some(amount), Some(unit)) = (number(amount), seconds_per(unit)) else { break };
        total += amount * unit;
        found = true;
        rest = tail.trim_start_matches([' ', ',']);
    }
    Duration::try_from_secs_f64(total).ok().filter(|_| found)
}

fn seconds_per(unit: &str) -> Option<f64> {
    match unit {
        "ms" | "msec" | "millisecond" | "milliseconds" => Some(0.001),
        "s" | "sec" | "secs" | "second" | "seconds" => Some(1.0),
        "m" | "min" | "mins" | "minute" | "minutes" => Some(60.0),
        "h" | "hr" | "hrs" | "hour" | "hours" => Some(3600.0),
        "d" | "day" | "days" => Some(86_400.0),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
