//! Every shape the upstream has been seen to use, and what must not be believed.

use http::HeaderValue;
use serde_json::json;

use super::*;
use crate::pool::tests::{NOW, window};

const RESET: u64 = NOW / 1000 + 900;

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    pairs
        .iter()
        .map(|(name, value)| ((*name).parse().unwrap(), HeaderValue::from_str(value).unwrap()))
        .collect()
}

#[test]
fn headers_tell_both_windows_and_the_plan() {
    let told = from_headers(
        &headers(&[
            ("x-codex-primary-used-percent", "12.5"),
            ("x-codex-primary-window-minutes", "300"),
            ("x-codex-primary-reset-at", &RESET.to_string()),
            ("x-codex-secondary-used-percent", "100"),
            ("x-codex-secondary-window-minutes", "10080"),
            ("x-codex-secondary-reset-after-seconds", "60"),
            ("x-codex-bengalfox-primary-used-percent", "99"),
            ("x-codex-plan-type", "plus"),
        ]),
        NOW,
    );
    let windows = vec![
        window("codex", 18_000, 12.5, Some(RESET * 1000)),
        window("codex", 604_800, 100.0, Some(NOW + 60_000)),
    ];
    assert_eq!(told, Quota { windows, plan: Some("plus".into()) });
}

#[test]
fn a_week_in_the_primary_place_is_a_week() {
    let told = from_headers(
        &headers(&[("x-codex-primary-used-percent", "7"), ("x-codex-primary-window-minutes", "10080")]),
        NOW,
    );
    assert_eq!(told.windows, [window("codex", 604_800, 7.0, None)]);
}

#[test]
fn an_event_about_the_main_limit_is_read_and_one_about_another_is_not() {
    let mut event = json!({"type": "codex.rate_limits", "plan_type": "pro", "metered_limit_name": "codex",
        "rate_limits": {"primary": {"used_percent": "13", "window_minutes": 300, "resets_at": RESET},
                        "secondary": null}});
    let told = from_event(event.to_string().as_bytes(), NOW);
    assert_eq!(told.windows, [window("codex", 18_000, 13.0, Some(RESET * 1000))]);
    assert_eq!(told.plan.as_deref(), Some("pro"));

    event["limit_id"] = json!("codex_bengalfox");
    assert_eq!(from_event(event.to_string().as_bytes(), NOW), Quota::default());
}

#[test]
fn the_usage_page_tells_additional_limits_by_name() {
    let page = json!({"plan_type": "plus",
        "rate_limit": {"primary_window": {"used_percent": 12, "limit_window_seconds": 18000, "reset_at": RESET},
                       "secondary_window": {"used_percent": 40, "limit_window_seconds": "604800"}},
        "additional_rate_limits": [
            {"limit_name": "codex_other", "metered_feature": "codex_bengalfox", "rate_limit":
                {"primary_window": {"used_percent": 5, "limit_window_seconds": 18000, "reset_after_seconds": 1}}},
            {"metered_feature": "codex", "rate_limit":
                {"primary_window": {"used_percent": 99, "limit_window_seconds": 18000}}},
            null, 7]});
    assert_eq!(
        from_usage(&page, NOW).windows,
        [
            window("codex", 18_000, 12.0, Some(RESET * 1000)),
            window("codex", 604_800, 40.0, None),
            window("codex_bengalfox", 18_000, 5.0, Some(NOW + 1000)),
        ]
    );
}

#[test]
fn an_error_body_tells_when_to_come_back() {
    let body = json!({"error": {"type": "usage_limit_reached", "plan_type": "plus", "resets_at": RESET.to_string()}});
    let told = from_error(&body, NOW);
    assert_eq!((told.resets_at, told.plan.as_deref()), (Some(RESET), Some("plus")));
    assert_eq!(
        from_error(&json!({"error": {"resets_in_seconds": 59.5}}), NOW).resets_at,
        Some(NOW / 1000 + 60)
    );
    let limited = json!({"error": {"message": "Rate limit reached. Please try again in 1m2.5s."}});
    assert_eq!(from_error(&limited, NOW).retry_after, Some(Duration::from_millis(62_500)));
}

#[test]
fn times_in_messages_are_understood() {
    for (message, millis) in [
        ("Try again in 250ms.", Some(250)),
        ("try again in 6m0s", Some(360_000)),
        ("try again in 1.5 seconds", Some(1500)),
        ("try again in 1 hour, 2 minutes", Some(3_720_000)),
        ("try again in a while", None),
        ("try again in 5 fortnights", None),
        ("try again in 1e999s", None),
        ("later", None),
    ] {
        assert_eq!(try_again_in(message), millis.map(Duration::from_millis), "{message}");
    }
}

#[test]
fn garbage_is_ignored() {
    for (percent, minutes) in
        [("NaN", "300"), ("inf", "300"), ("", "300"), ("5", "0"), ("5", "-3"), ("5", "1e300"), ("5", "x")]
    {
        let pairs = [("x-codex-primary-used-percent", percent), ("x-codex-primary-window-minutes", minutes)];
        assert_eq!(from_headers(&headers(&pairs), NOW), Quota::default(), "{percent} {minutes}");
    }
    let told = |reset_at: Value| {
        let window = json!({"used_percent": 1, "limit_window_seconds": 60, "reset_at": reset_at});
        from_usage(&json!({"rate_limit": {"primary_window": window}}), NOW).windows[0].resets_at
    };
    for reset_at in [json!(u64::MAX), json!(-5), json!("soon"), json!(1e308), json!(RESET * 1000)] {
        assert_eq!(told(reset_at.clone()), None, "{reset_at}");
    }
    for body in
        [json!(null), json!([1]), json!({"error": "x"}), json!({"rate_limit": [], "plan_type": "<b>"})]
    {
        assert_eq!(from_usage(&body, NOW), Quota::default());
        assert_eq!(from_error(&body, NOW), Refusal::default());
    }
    for bytes in [&b""[..], b"{", b"\xff\xfe", b"[]", b"{\"type\":\"codex.rate_limits\"}"] {
        assert_eq!(from_event(bytes, NOW), Quota::default());
    }
}
