//! One seat: its tokens, windows, standing faults and prompt cache.

use std::collections::VecDeque;
use std::sync::Mutex;

use serde::Deserialize;
use serde_json::{Value, json};

use super::cache::Cache;
use super::fault::{Fault, RefreshFault, Standing};
use super::lock;
use super::quota::Quota;
use super::signer::Signer;

/// Lifetime of an access token in seconds, as the real one.
const ACCESS_SECONDS: u64 = 864_000;

/// What an account is to be like. Everything has a default.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Spec {
    /// Its name in the control API: `a1`, `a2`, … when absent. An account of the same name is replaced.
    pub id: Option<String>,
    /// The ChatGPT account id. Seats of one workspace share it.
    pub account_id: Option<String>,
    pub email: Option<String>,
    /// `plus` when absent. `free` has a weekly window only.
    pub plan: Option<String>,
    /// What fills its windows; without it they stay as set.
    pub budget: Option<Budget>,
}

/// What a 5-hour window holds. A weekly window beside it holds eight times as much.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Budget {
    Requests(u64),
    Tokens(u64),
}

#[derive(Debug)]
pub(crate) struct Account {
    pub(crate) id: String,
    pub(crate) account_id: String,
    pub(crate) email: String,
    pub(crate) plan: String,
    pub(crate) state: Mutex<State>,
}

#[derive(Debug)]
pub(crate) struct State {
    /// Number of the refresh token that is valid now.
    pub(crate) generation: u64,
    /// Access tokens that are valid now, oldest first.
    pub(crate) access: VecDeque<String>,
    pub(crate) quota: Quota,
    pub(crate) faults: Vec<Standing>,
    pub(crate) cache: Cache,
}

/// What a login or refresh yields.
#[derive(Debug, Clone)]
pub(crate) struct Tokens {
    pub(crate) id: String,
    pub(crate) access: String,
    pub(crate) refresh: String,
    /// Unix seconds.
    pub(crate) expires_at: u64,
}

impl Account {
    /// `number` fills in what the spec leaves out.
    pub(crate) fn new(spec: Spec, number: u64, now: u64) -> Self {
        let id = spec.id.unwrap_or_else(|| format!("a{number}"));
        let plan = spec.plan.unwrap_or_else(|| "plus".into());
        let state = State {
            generation: 0,
            access: VecDeque::new(),
            quota: Quota::new(&plan, spec.budget, now),
            faults: Vec::new(),
            cache: Cache::default(),
        };
        Self {
            account_id: spec.account_id.unwrap_or_else(|| format!("3f1c0000-0000-4000-8000-{number:012x}")),
            email: spec.email.unwrap_or_else(|| format!("{id}@example.com")),
            id,
            plan,
            state: Mutex::new(state),
        }
    }

    /// Tokens of its present generation. No two have the same `serial`.
    pub(crate) fn tokens(&self, signer: &Signer, serial: u64, now: u64) -> Tokens {
        let generation = lock(&self.state).generation;
        let expires_at = now.saturating_add(ACCESS_SECONDS);
        let auth = json!({
            "chatgpt_account_id": self.account_id, "chatgpt_plan_type": self.plan,
            "chatgpt_user_id": format!("user-{}", self.id), "user_id": format!("user-{}", self.id),
            "organizations": [{"id": "org-sim", "title": "Personal", "is_default": true, "role": "owner"}],
        });
        let claims = |audience: &str, extra: (&str, Value)| {
            let mut claims = json!({
                "iss": "https://auth.openai.com", "aud": [audience], "sub": format!("auth0|{}", self.id),
                "iat": now, "exp": expires_at, "jti": format!("{}-{serial}", self.id),
                "https://api.openai.com/auth": auth,
            });
            if let Some(object) = claims.as_object_mut() {
                object.insert(extra.0.to_owned(), extra.1);
            }
            signer.jwt(&claims)
        };
        let profile = json!({"email": self.email, "email_verified": true});
        Tokens {
            id: claims("app_EMoamEEZ73f0CkXaXp7hrann", ("email", json!(self.email))),
            access: claims("https://api.openai.com/v1", ("https://api.openai.com/profile", profile)),
            refresh: signer.refresh_token(&self.id, generation),
            expires_at,
        }
    }

    /// `auth.json` as Codex CLI writes it.
    pub(crate) fn auth_json(&self, tokens: &Tokens, now: u64) -> String {
        let auth = json!({
            "auth_mode": "chatgpt",
            "OPENAI_API_KEY": null,
            "tokens": {
                "id_token": tokens.id, "access_token": tokens.access, "refresh_token": tokens.refresh,
                "account_id": self.account_id,
            },
            "last_refresh": rfc3339(now),
        });
        format!("{auth:#}\n")
    }

    /// The faults that hit one request for an answer; each such hit is counted.
    pub(crate) fn take_faults(&self) -> Vec<Fault> {
        take(&mut lock(&self.state).faults, Fault::hits_answers)
    }

    /// The fault that hits one refresh; the hit is counted.
    pub(crate) fn take_refresh_fault(&self) -> Option<RefreshFault> {
        let hits = take(&mut lock(&self.state).faults, |fault| !fault.hits_answers());
        hits.into_iter()
            .find_map(|fault| if let Fault::Refresh(refresh) = fault { Some(refresh) } else { None })
    }

    /// Whether such a fault stands; nothing is counted.
    pub(crate) fn suffers(&self, fault: &Fault) -> bool {
        lock(&self.state).faults.iter().any(|standing| standing.fault == *fault)
    }

    /// What `GET /sim/accounts` shows.
    pub(crate) fn report(&self, now: u64) -> Value {
        let mut state = lock(&self.state);
        let faults: Vec<Value> = state.faults.iter().map(Standing::report).collect();
        json!({
            "id": self.id, "account_id": self.account_id, "email": self.email, "plan": self.plan,
            "generation": state.generation, "faults": faults, "rate_limit": state.quota.report(now),
        })
    }
}

/// `2026-08-20T09:12:33Z` from Unix seconds (proleptic Gregorian calendar, years of 365.2425 days from March on).
fn rfc3339(seconds: u64) -> String {
    let (days, time) = (seconds / 86_400 + 719_468, seconds % 86_400);
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (time / 3600, time / 60 % 60, time % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

fn take(faults: &mut Vec<Standing>, hits: impl Fn(&Fault) -> bool) -> Vec<Fault> {
    let mut taken = Vec::new();
    for standing in faults.iter_mut().filter(|standing| hits(&standing.fault)) {
        taken.push(standing.fault.clone());
        standing.times = standing.times.map(|times| times.saturating_sub(1));
    }
    faults.retain(|standing| standing.times != Some(0));
    taken
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_the_real_file_has_them() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00Z");
        assert_eq!(rfc3339(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(rfc3339(1_787_217_153), "2026-08-20T09:12:33Z");
    }

    #[test]
    fn a_fault_hits_as_often_as_it_was_ordered() {
        let account = Account::new(Spec::default(), 1, 0);
        let order = r#"[{"fault": "crlf", "times": 2}, {"fault": "refresh:500", "times": 1}]"#;
        lock(&account.state).faults = serde_json::from_str(order).unwrap();
        assert_eq!(account.take_faults(), [Fault::Crlf]);
        assert_eq!(account.take_faults(), [Fault::Crlf]);
        assert_eq!(account.take_faults(), []);
        assert_eq!(account.take_refresh_fault(), Some(RefreshFault::Broken));
        assert_eq!(account.take_refresh_fault(), None);
    }
}
