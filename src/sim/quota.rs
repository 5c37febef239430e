//! Quota windows of an account: how they fill, and their three wire forms (headers, event, usage report).

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;
use serde_json::{Value, json};

use super::account::Budget;
use super::refusal::Refusal;

const FIVE_HOURS: u64 = 18_000;
const SEVEN_DAYS: u64 = 604_800;
/// A weekly window holds this many 5-hour windows (the order of magnitude seen on real plans).
const WEEKLY_FACTOR: u64 = 8;

#[derive(Debug)]
pub(crate) struct Quota {
    plan: String,
    in_tokens: bool,
    primary: Window,
    /// Free plans have one window only, in the primary slot.
    secondary: Option<Window>,
}

/// One window. Units of `spent` and `budget`: requests or tokens.
#[derive(Debug)]
struct Window {
    seconds: u64,
    reset_at: u64,
    /// Percent used before anything was spent.
    base: f64,
    spent: u64,
    budget: Option<u64>,
}

/// Body of `PUT /sim/accounts/{id}/windows`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Change {
    primary: Option<WindowChange>,
    secondary: Option<WindowChange>,
}

/// What is left out stays as it is. `budget` is in the unit the account was created with.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct WindowChange {
    used_percent: Option<f64>,
    resets_in: Option<u64>,
    seconds: Option<u64>,
    budget: Option<u64>,
}

impl Quota {
    pub(crate) fn new(plan: &str, budget: Option<Budget>, now: u64) -> Self {
        let (units, in_tokens) = match budget {
            None => (None, false),
            Some(Budget::Requests(units)) => (Some(units), false),
            Some(Budget::Tokens(units)) => (Some(units), true),
        };
        let weekly = units.map(|units| units.saturating_mul(WEEKLY_FACTOR));
        let (primary, secondary) = if plan == "free" {
            (Window::new(SEVEN_DAYS, units, now), None)
        } else {
            (Window::new(FIVE_HOURS, units, now), Some(Window::new(SEVEN_DAYS, weekly, now)))
        };
        Self { plan: plan.to_owned(), in_tokens, primary, secondary }
    }

    /// Counts one request, or says when the account may be used again.
    pub(crate) fn charge(&mut self, tokens: u64, now: u64) -> Result<(), u64> {
        if let Some(resets_at) = self.reached(now) {
            return Err(resets_at);
        }
        let units = if self.in_tokens { tokens } else { 1 };
        for window in self.windows() {
            window.spent = window.spent.saturating_add(units);
        }
        Ok(())
    }

    /// When the account may be used again, if a window is full.
    pub(crate) fn reached(&mut self, now: u64) -> Option<u64> {
        self.windows()
            .filter_map(|window| {
                window.roll(now);
                (window.used() >= 100.0).then_some(window.reset_at)
            })
            .max()
    }

    pub(crate) fn change(&mut self, change: Change, now: u64) {
        if let Some(primary) = change.primary {
            self.primary.change(&primary, now);
        }
        if let (Some(window), Some(change)) = (self.secondary.as_mut(), change.secondary) {
            window.change(&change, now);
        }
    }

    /// The `x-codex-*` headers.
    pub(crate) fn write_headers(&mut self, headers: &mut HeaderMap, now: u64) {
        let names = ["x-codex-primary", "x-codex-secondary"];
        for (slot, window) in names.into_iter().zip(self.windows()) {
            window.roll(now);
            put(headers, &format!("{slot}-used-percent"), &format!("{:.1}", window.used()));
            put(headers, &format!("{slot}-window-minutes"), &(window.seconds / 60).to_string());
            put(headers, &format!("{slot}-reset-at"), &window.reset_at.to_string());
        }
        put(headers, "x-codex-credits-has-credits", "false");
        put(headers, "x-codex-credits-unlimited", "false");
        put(headers, "x-codex-plan-type", &self.plan);
        put(headers, "x-codex-active-limit", "codex");
    }

    /// The fields of the `codex.rate_limits` event.
    pub(crate) fn event(&mut self, now: u64) -> Value {
        let reached = self.reached(now).is_some();
        let form = |window: &Window| {
            json!({
                "used_percent": window.shown(), "window_minutes": window.seconds / 60,
                "reset_after_seconds": window.reset_at.saturating_sub(now), "reset_at": window.reset_at,
            })
        };
        json!({
            "plan_type": self.plan, "metered_limit_name": "codex",
            "rate_limits": {
                "allowed": !reached, "limit_reached": reached,
                "primary": form(&self.primary), "secondary": self.secondary.as_ref().map(form),
            },
            "credits": {"has_credits": false, "unlimited": false, "balance": "0"},
        })
    }

    /// The `rate_limit` object of the usage report.
    pub(crate) fn report(&mut self, now: u64) -> Value {
        let reached = self.reached(now).is_some();
        let form = |window: &Window| {
            json!({
                "used_percent": window.shown(), "limit_window_seconds": window.seconds,
                "reset_after_seconds": window.reset_at.saturating_sub(now), "reset_at": window.reset_at,
            })
        };
        json!({
            "allowed": !reached, "limit_reached": reached,
            "primary_window": form(&self.primary), "secondary_window": self.secondary.as_ref().map(form),
        })
    }

    fn windows(&mut self) -> impl Iterator<Item = &mut Window> {
        std::iter::once(&mut self.primary).chain(self.secondary.as_mut())
    }
}

impl Window {
    fn new(seconds: u64, budget: Option<u64>, now: u64) -> Self {
        Self { seconds, reset_at: now.saturating_add(seconds), base: 0.0, spent: 0, budget }
    }

    fn used(&self) -> f64 {
        match self.budget {
            None => self.base,
            Some(budget) => self.base + 100.0 * ratio(self.spent, budget),
        }
    }

    /// One decimal, as far as the backend tells.
    fn shown(&self) -> f64 {
        (self.used() * 10.0).floor() / 10.0
    }

    /// Begins anew when its time is over.
    fn roll(&mut self, now: u64) {
        if now >= self.reset_at {
            self.base = 0.0;
            self.spent = 0;
            self.reset_at = now.saturating_add(self.seconds);
        }
    }

    fn change(&mut self, change: &WindowChange, now: u64) {
        self.seconds = change.seconds.unwrap_or(self.seconds);
        self.budget = change.budget.or(self.budget);
        if let Some(percent) = change.used_percent {
            self.base = percent;
            self.spent = 0;
        }
        if let Some(seconds) = change.resets_in {
            self.reset_at = now.saturating_add(seconds);
        }
    }
}

/// The 429 of a full window; `resets_at` in Unix seconds.
pub(crate) fn usage_limit(plan: &str, resets_at: u64, now: u64) -> Refusal {
    Refusal::error(429, usage_limit_error(plan, resets_at, now))
}

pub(crate) fn usage_limit_error(plan: &str, resets_at: u64, now: u64) -> Value {
    json!({
        "type": "usage_limit_reached", "message": "The usage limit has been reached", "plan_type": plan,
        "resets_at": resets_at, "resets_in_seconds": resets_at.saturating_sub(now),
    })
}

fn put(headers: &mut HeaderMap, name: &str, value: &str) {
    if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::from_str(value)) {
        headers.insert(name, value);
    }
}

/// Exact for the counts met here (below 2^52).
fn ratio(part: u64, whole: u64) -> f64 {
    let float = |count: u64| u32::try_from(count).map_or_else(|_| f64::from(u32::MAX), f64::from);
    // Large budgets are scaled down together, so that both fit without a lossy cast.
    let shift = whole.max(part).checked_ilog2().map_or(0, |bits| bits.saturating_sub(31));
    float(part >> shift) / float((whole >> shift).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_runs_dry_after_exactly_its_budget() {
        let mut quota = Quota::new("plus", Some(Budget::Requests(3)), 1000);
        for _ in 0..3 {
            assert_eq!(quota.charge(999, 1000), Ok(()));
        }
        assert_eq!(quota.charge(999, 1000), Err(1000 + FIVE_HOURS));
        assert_eq!(quota.reached(1000 + FIVE_HOURS), None, "a new window began");
    }

    #[test]
    fn token_budgets_count_tokens() {
        let mut quota = Quota::new("plus", Some(Budget::Tokens(10_000_000_000)), 0);
        assert_eq!(quota.charge(5_000_000_000, 0), Ok(()));
        assert_eq!(quota.report(0)["primary_window"]["used_percent"], 50.0);
        assert_eq!(quota.report(0)["secondary_window"]["used_percent"], 6.2);
    }

    #[test]
    fn a_free_plan_has_its_weekly_window_in_the_primary_slot() {
        let mut quota = Quota::new("free", None, 0);
        let mut headers = HeaderMap::new();
        quota.write_headers(&mut headers, 0);
        assert_eq!(headers["x-codex-primary-window-minutes"], "10080");
        assert!(!headers.contains_key("x-codex-secondary-used-percent"));
    }

    #[test]
    fn a_window_can_be_set_full() {
        let mut quota = Quota::new("plus", None, 50);
        let change = serde_json::from_str(r#"{"secondary": {"used_percent": 100, "resets_in": 7}}"#);
        quota.change(change.unwrap(), 50);
        assert_eq!(quota.reached(50), Some(57));
        assert_eq!(quota.event(50)["rate_limits"]["limit_reached"], true);
    }
}
