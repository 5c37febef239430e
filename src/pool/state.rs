//! The state of one account and its arithmetic: what each note, figure and passing second makes of it. Pure.

use std::time::Duration;

use super::Note;
use super::select::Fitness;
use crate::ledger::{AccountChange, AccountRow, WindowRow};

const SECOND: u64 = 1000;
/// Resets further away than this are not believed.
const FARTHEST_RESET: u64 = 366 * 86_400 * SECOND;
/// Shortest cooling after a rate limit that names no time.
const SHORTEST_COOLING: u64 = 30 * SECOND;
/// Cooling after a used-up quota that names no reset.
const QUOTA_COOLING: u64 = 3600 * SECOND;
/// Longest rest after errors, and longest back-off of rate limits that name no time.
const LONGEST_REST: u64 = 300 * SECOND;
/// Errors in a row from which on an account rests.
const PATIENCE: u32 = 3;
/// Age from which on a limit may be lifted early by figures that show room.
const RECONSIDER_AFTER: u64 = 120 * SECOND;
/// Unchanged figures are written down again only after this time.
const SAME_FIGURES: u64 = 60 * SECOND;
/// Windows kept per account.
const MOST_WINDOWS: usize = 32;
/// The limit that governs ordinary models; others belong to single models.
const MAIN_LIMIT: &str = "codex";
/// Marks a rest after errors in the ledger's `cooling_reason`.
const ERRORS: &str = "errors: ";

/// How an account stands, as people see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    Active,
    /// Not used before `until_ms` (Unix milliseconds).
    Cooling {
        until_ms: u64,
        reason: String,
        cause: Cause,
    },
    Paused,
    NeedsLogin {
        reason: String,
    },
}

/// What an account cools from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// Errors in a row.
    Errors,
    /// A limit on requests in a short time.
    RateLimit,
    /// A used-up window.
    Quota,
}

/// All that changes about an account, except its tokens. Times are Unix milliseconds.
#[derive(Debug, Default)]
pub(super) struct State {
    pub paused: bool,
    pub needs_login: Option<String>,
    /// Stays after its end until the account has served: meanwhile one attempt at a time probes it.
    cooling: Option<Cooling>,
    /// The end of the latest cooling there was: tells a newer one from an echo.
    latest_cooling: u64,
    /// Limits and errors since it last served.
    failures: u32,
    pub windows: Vec<WindowRow>,
    pub plan: Option<String>,
    pub priority: i64,
    pub in_flight: u32,
    pub probed: bool,
    /// Number of its latest selection.
    pub selected: u64,
}

#[derive(Debug)]
struct Cooling {
    since: u64,
    until: u64,
    cause: Cause,
    code: String,
}

impl State {
    pub(super) fn new(row: &AccountRow, now_ms: u64) -> Self {
        let mut state = Self::default();
        state.windows.clone_from(&row.windows);
        state.needs_login.clone_from(&row.needs_login);
        state.merge(row, now_ms);
        state
    }

    /// Takes over what the ledger knows better: the operator's wishes, and whatever is newer.
    pub(super) fn merge(&mut self, row: &AccountRow, now_ms: u64) {
        self.paused = row.paused;
        self.priority = row.priority;
        if row.plan.is_some() {
            self.plan.clone_from(&row.plan);
        }
        if let Some((until, reason)) = &row.cooling
            && *until > self.latest_cooling
            && *until > now_ms
        {
            self.latest_cooling = *until;
            self.cooling = Some(Cooling::from_ledger(*until, reason, now_ms));
        }
        self.take_windows(row.windows.clone());
    }

    /// A new login: what is known of its troubles is what the ledger says.
    pub(super) fn start_over(&mut self) {
        self.cooling = None;
        self.latest_cooling = 0;
        self.failures = 0;
    }

    /// What the account may be used for now.
    pub(super) fn fitness(&self, now_ms: u64) -> Fitness {
        if self.paused || self.needs_login.is_some() {
            return Fitness::Unfit;
        }
        match &self.cooling {
            None => Fitness::Fit,
            Some(cooling) if cooling.until <= now_ms => {
                if self.probed {
                    Fitness::Probed
                } else {
                    Fitness::Fit
                }
            }
            Some(cooling) if cooling.cause == Cause::Errors => Fitness::Resting(cooling.until),
            Some(_) => Fitness::Unfit,
        }
    }

    /// Its cooling ended, but it has not served since.
    pub(super) fn recovering(&self, now_ms: u64) -> bool {
        self.cooling.as_ref().is_some_and(|cooling| cooling.until <= now_ms)
    }

    pub(super) fn standing(&self, now_ms: u64) -> Standing {
        if let Some(reason) = &self.needs_login {
            return Standing::NeedsLogin { reason: reason.clone() };
        }
        if self.paused {
            return Standing::Paused;
        }
        match &self.cooling {
            Some(Cooling { until, cause, code, .. }) if *until > now_ms => {
                Standing::Cooling { until_ms: *until, reason: code.clone(), cause: *cause }
            }
            _ => Standing::Active,
        }
    }

    /// The largest used percent over the live windows of the main limit.
    pub(super) fn used(&self, now_ms: u64) -> f64 {
        let live = |w: &&WindowRow| w.limit_id == MAIN_LIMIT && !has_reset(w, now_ms);
        self.windows.iter().filter(live).map(|window| window.used_percent).fold(0.0, f64::max)
    }

    /// Takes note of an outcome; returns what the ledger should know. `draw` makes the jitter.
    pub(super) fn note(&mut self, note: &Note, now_ms: u64, draw: u64) -> Option<AccountChange> {
        match note {
            Note::Neutral => None,
            Note::Served => self.served(now_ms),
            Note::Limited { quota, code, resets_at, retry_after } => {
                let cause = if *quota { Cause::Quota } else { Cause::RateLimit };
                self.count_failure(now_ms);
                let until = believable(*resets_at, now_ms).unwrap_or_else(|| {
                    now_ms.saturating_add(match cause {
                        Cause::Quota => QUOTA_COOLING,
                        Cause::RateLimit | Cause::Errors => backoff(*retry_after, self.failures, draw),
                    })
                });
                self.cool(Cooling { since: now_ms, until, cause, code: plain(code) }, now_ms)
            }
            Note::Transient { code } => {
                self.count_failure(now_ms);
                let doublings = self.failures.checked_sub(PATIENCE)?;
                let rest = (30 * SECOND).saturating_mul(1 << doublings.min(10)).min(LONGEST_REST);
                let cooling =
                    Cooling { since: now_ms, until: now_ms + rest, cause: Cause::Errors, code: plain(code) };
                self.cool(cooling, now_ms)
            }
            Note::NeedsLogin { code } => {
                let reason = plain(code);
                self.needs_login = Some(reason.clone());
                Some(AccountChange::NeedsLogin { reason })
            }
        }
    }

    /// Takes in figures about windows. Returns those worth writing down, and whether they lifted a limit.
    pub(super) fn observe(&mut self, windows: Vec<WindowRow>) -> (Vec<WindowRow>, bool) {
        let now_ms = windows.iter().map(|window| window.observed_at).max().unwrap_or_default();
        let has_main = windows.iter().any(|window| window.limit_id == MAIN_LIMIT);
        let changed = self.take_windows(windows);
        let lifted = has_main
            && self.used(now_ms) < 100.0
            && self.cooling.as_ref().is_some_and(|cooling| {
                cooling.cause != Cause::Errors
                    && cooling.until > now_ms
                    && cooling.since.saturating_add(RECONSIDER_AFTER) <= now_ms
            });
        if let Some(cooling) = self.cooling.as_mut().filter(|_| lifted) {
            cooling.until = now_ms; // probed next, like any cooling that ended
        }
        (changed, lifted)
    }

    fn take_windows(&mut self, windows: Vec<WindowRow>) -> Vec<WindowRow> {
        let mut changed = Vec::new();
        for new in windows {
            let full = self.windows.len() >= MOST_WINDOWS;
            let same = |w: &&mut WindowRow| w.limit_id == new.limit_id && w.seconds == new.seconds;
            match self.windows.iter_mut().find(same) {
                Some(old) if old.observed_at > new.observed_at => {}
                Some(old) => {
                    let news = old.used_percent.total_cmp(&new.used_percent).is_ne()
                        || old.resets_at != new.resets_at
                        || new.observed_at - old.observed_at >= SAME_FIGURES;
                    if news {
                        changed.push(new.clone());
                        *old = new;
                    }
                }
                None if !full => {
                    changed.push(new.clone());
                    self.windows.push(new);
                }
                None => {}
            }
        }
        changed
    }

    /// A success of an attempt that began before a limit was reported says nothing about that limit.
    fn served(&mut self, now_ms: u64) -> Option<AccountChange> {
        let limited = |cooling: &Cooling| cooling.until > now_ms && cooling.cause != Cause::Errors;
        if self.cooling.as_ref().is_some_and(limited) {
            return None;
        }
        self.failures = 0;
        self.cooling.take().map(|_| AccountChange::Recovered)
    }

    /// Attempts that were under way together fail together: during a cooling they count as one.
    fn count_failure(&mut self, now_ms: u64) {
        if self.cooling.as_ref().is_none_or(|cooling| cooling.until <= now_ms) {
            self.failures = self.failures.saturating_add(1);
        }
    }

    /// A limit outweighs a rest after errors; of two of a kind the later end counts.
    fn cool(&mut self, new: Cooling, now_ms: u64) -> Option<AccountChange> {
        let weight = |cooling: &Cooling| (cooling.cause != Cause::Errors, cooling.until);
        if self.cooling.as_ref().is_some_and(|old| old.until > now_ms && weight(old) >= weight(&new)) {
            return None;
        }
        let change = AccountChange::Cooling { until: new.until, reason: new.ledger_reason() };
        self.latest_cooling = new.until;
        self.cooling = Some(new);
        Some(change)
    }
}

impl Cooling {
    fn ledger_reason(&self) -> String {
        match self.cause {
            Cause::Errors => format!("{ERRORS}{}", self.code),
            Cause::RateLimit | Cause::Quota => self.code.clone(),
        }
    }

    fn from_ledger(until: u64, reason: &str, now_ms: u64) -> Self {
        let (cause, code) = match reason.strip_prefix(ERRORS) {
            Some(code) => (Cause::Errors, code),
            None if reason == "rate_limit_exceeded" => (Cause::RateLimit, reason),
            None => (Cause::Quota, reason),
        };
        Self { since: now_ms, until, cause, code: plain(code) }
    }
}

/// A window whose reset has passed counts as unused; one that names no reset, after its own length.
pub(super) fn has_reset(window: &WindowRow, now_ms: u64) -> bool {
    let length = window.seconds.saturating_mul(SECOND);
    window.resets_at.unwrap_or_else(|| window.observed_at.saturating_add(length)) <= now_ms
}

/// An error code fit for logs and the ledger: what is not a short plain word is not a code.
pub(crate) fn plain(code: &str) -> String {
    let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    if code.is_empty() || code.len() > 64 || !code.chars().all(word) {
        return "unknown".to_owned();
    }
    code.to_ascii_lowercase()
}

/// `resets_at` in milliseconds, if it is in the future and not absurdly far.
fn believable(resets_at: Option<u64>, now_ms: u64) -> Option<u64> {
    let at = resets_at?.checked_mul(SECOND)?;
    (at > now_ms && at - now_ms <= FARTHEST_RESET).then_some(at)
}

/// The time the upstream asked for; else 0.2 s doubled with each failure, ± 10 %, but never less than 30 s.
fn backoff(retry_after: Option<Duration>, failures: u32, draw: u64) -> u64 {
    if let Some(asked) = retry_after {
        return u64::try_from(asked.as_millis()).unwrap_or(u64::MAX).min(FARTHEST_RESET);
    }
    let doubled = 200_u64.saturating_mul(1 << failures.saturating_sub(1).min(20)).min(LONGEST_REST);
    let jittered = doubled * 9 / 10 + draw % (doubled / 5 + 1);
    jittered.max(SHORTEST_COOLING)
}

#[cfg(test)]
mod tests;
