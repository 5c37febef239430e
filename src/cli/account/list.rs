//! How accounts are shown.

use std::time::Duration;

use serde_json::{Value, json};

use crate::cli::table::{Column, Table};
use crate::cli::when;
use crate::config::Time;
use crate::ledger::{AccountRow, WindowRow};

/// The limit every account has; only others are named.
const USUAL_LIMIT: &str = "codex";

/// The four states shown to people; the one a person must act on comes first.
enum State<'a> {
    NeedsLogin(&'a str),
    Paused,
    Cooling { until: u64, reason: &'a str },
    Active,
}

impl<'a> State<'a> {
    fn of(account: &'a AccountRow, now: u64) -> Self {
        match (&account.needs_login, account.paused, &account.cooling) {
            (Some(reason), _, _) => Self::NeedsLogin(reason),
            (None, true, _) => Self::Paused,
            (None, false, Some((until, reason))) if *until > now => Self::Cooling { until: *until, reason },
            (None, false, _) => Self::Active,
        }
    }

    fn word(&self) -> &'static str {
        match self {
            Self::NeedsLogin(_) => "needs_login",
            Self::Paused => "paused",
            Self::Cooling { .. } => "cooling",
            Self::Active => "active",
        }
    }

    fn sentence(&self, now: u64) -> String {
        match self {
            Self::NeedsLogin(reason) => format!("needs login: {reason}"),
            Self::Paused => "paused".into(),
            Self::Cooling { until, reason } => {
                format!("cooling for {}, until {}: {reason}", when::span(until - now), when::utc(*until))
            }
            Self::Active => "active".into(),
        }
    }
}

/// One line an account, and one more for every further window.
pub(super) fn as_table(accounts: &[AccountRow], now: u64) -> String {
    if accounts.is_empty() {
        return "no accounts yet; log in with `codex login`, then: codex-lb account import ~/.codex/auth.json\n"
            .into();
    }
    let mut table = Table::new(&[
        Column::Left("NAME"),
        Column::Left("PLAN"),
        Column::Left("STATE"),
        Column::Left("TOKENS"),
        Column::Left("WINDOWS"),
    ]);
    for account in accounts {
        let mut windows = account.windows.iter().map(|window| window_text(window, now));
        table.row([
            account.name.clone(),
            account.plan.clone().unwrap_or_else(|| "-".into()),
            State::of(account, now).sentence(now),
            format!("{} old", when::span(now.saturating_sub(account.refreshed_at))),
            windows.next().unwrap_or_else(|| "not known yet".into()),
        ]);
        for window in windows {
            table.row([String::new(), String::new(), String::new(), String::new(), window]);
        }
    }
    table.to_string()
}

pub(super) fn as_json(accounts: &[AccountRow], now: u64) -> String {
    let accounts: Vec<Value> = accounts.iter().map(|account| one_as_json(account, now)).collect();
    format!("{:#}\n", Value::from(accounts))
}

fn one_as_json(account: &AccountRow, now: u64) -> Value {
    let cooling = account.cooling.as_ref().filter(|(until, _)| *until > now);
    let window = |window: &WindowRow| {
        json!({
            "limit_id": window.limit_id,
            "seconds": window.seconds,
            "used_percent": window.used_percent,
            "resets_at": window.resets_at,
            "observed_at": window.observed_at,
        })
    };
    json!({
        "id": account.id,
        "name": account.name,
        "email": account.email,
        "plan": account.plan,
        "priority": account.priority,
        "state": State::of(account, now).word(),
        "paused": account.paused,
        "needs_login": account.needs_login,
        "cooling_until": cooling.map(|(until, _)| until),
        "cooling_reason": cooling.map(|(_, reason)| reason),
        "refreshed_at": account.refreshed_at,
        "windows": account.windows.iter().map(window).collect::<Vec<_>>(),
    })
}

/// `5h 12.5 % used, resets in 2h (2026-11-22 18:40 UTC)`
fn window_text(window: &WindowRow, now: u64) -> String {
    let limit = match window.limit_id.as_str() {
        USUAL_LIMIT => String::new(),
        other => format!("{other} "),
    };
    let length = Time(Duration::from_secs(window.seconds));
    let resets = window.resets_at.map(|at| format!(", resets {}", when::ahead(at, now))).unwrap_or_default();
    format!("{limit}{length} {:.1} % used{resets}", window.used_percent)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokens::Tokens;
    use crate::vault::Secret;

    fn account() -> AccountRow {
        let window = |limit: &str, seconds| WindowRow {
            limit_id: limit.into(),
            seconds,
            used_percent: 12.5,
            resets_at: Some(7_200_000),
            observed_at: 0,
        };
        AccountRow {
            id: "acc_1".into(),
            name: "home".into(),
            email: None,
            chatgpt_account_id: None,
            plan: Some("plus".into()),
            priority: 0,
            paused: false,
            needs_login: None,
            cooling: Some((60_000, "rate_limit_exceeded".into())),
            tokens: Tokens { id: None, access: Secret::new("canary"), refresh: Secret::new("canary") },
            refresh_hash: String::new(),
            refreshed_at: 0,
            windows: vec![window("codex", 18_000), window("codex_other", 604_800)],
        }
    }

    #[test]
    fn an_account_shows_its_state_and_its_windows_by_length() {
        let shown = as_table(&[account()], 0);
        let lines: Vec<&str> = shown.lines().collect();
        assert!(
            lines[1].contains("cooling for 1m, until 1970-01-01 00:01 UTC: rate_limit_exceeded"),
            "{shown}"
        );
        assert!(lines[1].ends_with("5h 12.5 % used, resets in 2h (1970-01-01 02:00 UTC)"), "{shown}");
        assert!(lines[2].trim_start().starts_with("codex_other 7d 12.5 % used"), "{shown}");
        assert!(!shown.contains("canary") && !as_json(&[account()], 0).contains("canary"));
    }

    #[test]
    fn the_state_a_person_must_act_on_comes_first() {
        let word = |account: &AccountRow, now| State::of(account, now).word();
        let mut account = account();
        assert_eq!(word(&account, 0), "cooling");
        assert_eq!(word(&account, 60_000), "active", "the cooling is over");
        account.paused = true;
        assert_eq!(word(&account, 0), "paused");
        account.needs_login = Some("invalid_grant".into());
        assert_eq!(word(&account, 0), "needs_login");
    }

    #[test]
    fn json_is_a_list_with_the_same_facts() {
        let list: Value = serde_json::from_str(&as_json(&[account()], 0)).unwrap();
        assert_eq!(list[0]["state"], "cooling");
        assert_eq!(list[0]["cooling_until"], 60_000);
        assert_eq!(list[0]["windows"][1]["seconds"], 604_800);
        assert_eq!(as_json(&[], 0), "[]\n");
    }
}
