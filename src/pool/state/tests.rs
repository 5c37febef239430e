//! The arithmetic of limits, errors and recovery.

use super::*;
use crate::pool::tests::{NOW, row, window};

fn limited(quota: bool, resets_at: Option<u64>, retry_after: Option<u64>) -> Note {
    let code = if quota { "usage_limit_reached" } else { "rate_limit_exceeded" }.to_owned();
    Note::Limited { quota, code, resets_at, retry_after: retry_after.map(Duration::from_secs) }
}

fn transient() -> Note {
    Note::Transient { code: "server_error".into() }
}

fn fresh() -> State {
    State::new(&row("a"), NOW)
}

/// How long the state cools after the note, in milliseconds.
fn cools_for(state: &mut State, note: &Note) -> Option<u64> {
    state.note(note, NOW, 0);
    match state.standing(NOW) {
        Standing::Cooling { until_ms, .. } => Some(until_ms - NOW),
        Standing::Active | Standing::Paused | Standing::NeedsLogin { .. } => None,
    }
}

#[test]
fn a_limit_lasts_until_its_reset_or_as_long_as_asked_or_a_default() {
    let in_an_hour = Some(NOW / SECOND + 3600);
    let cases = [
        (limited(true, in_an_hour, None), 3_600_000),
        (limited(false, in_an_hour, Some(5)), 3_600_000),
        (limited(true, None, None), QUOTA_COOLING),
        (limited(false, None, Some(5)), 5000),
        (limited(false, None, None), SHORTEST_COOLING),
        (limited(true, Some(NOW / SECOND - 1), None), QUOTA_COOLING),
        (limited(true, Some(NOW / SECOND + 367 * 86_400), None), QUOTA_COOLING),
        (limited(true, Some(u64::MAX), None), QUOTA_COOLING),
        (limited(false, None, Some(u64::MAX)), FARTHEST_RESET),
    ];
    for (note, expected) in cases {
        assert_eq!(cools_for(&mut fresh(), &note), Some(expected), "{note:?}");
    }
}

#[test]
fn rate_limits_without_a_time_back_off_doubling_up_to_five_minutes() {
    assert_eq!(backoff(None, 1, 7), SHORTEST_COOLING);
    let tenth = backoff(None, 10, 12_345);
    assert!((92_160..=112_640).contains(&tenth), "102.4 s ± 10 %, not {tenth}");
    assert!(backoff(None, u32::MAX, u64::MAX) <= LONGEST_REST * 11 / 10);
}

#[test]
fn two_errors_are_forgiven_and_more_of_them_rest_longer_and_longer() {
    let mut state = fresh();
    let mut now = NOW;
    let mut rests = Vec::new();
    for _ in 0..9 {
        state.note(&transient(), now, 0);
        match state.standing(now) {
            Standing::Cooling { until_ms, cause, .. } => {
                assert_eq!(cause, Cause::Errors);
                rests.push((until_ms - now) / SECOND);
                now = until_ms;
            }
            Standing::Active | Standing::Paused | Standing::NeedsLogin { .. } => rests.push(0),
        }
    }
    assert_eq!(rests, [0, 0, 30, 60, 120, 240, 300, 300, 300]);
}

#[test]
fn serving_clears_errors() {
    let mut state = fresh();
    state.note(&transient(), NOW, 0);
    state.note(&transient(), NOW, 0);
    assert!(state.note(&Note::Served, NOW, 0).is_none());
    assert_eq!(cools_for(&mut state, &transient()), None);
}

#[test]
fn attempts_that_fail_together_count_once() {
    let mut state = fresh();
    for _ in 0..20 {
        state.note(&transient(), NOW, 0);
    }
    assert_eq!(cools_for(&mut state, &transient()), Some(30 * SECOND));
}

#[test]
fn a_late_success_does_not_lift_a_limit_but_ends_a_rest() {
    let mut state = fresh();
    state.note(&limited(true, None, None), NOW, 0);
    assert!(state.note(&Note::Served, NOW + 1, 0).is_none());
    assert_eq!(state.fitness(NOW + 1), Fitness::Unfit);

    let mut state = fresh();
    (0..3).for_each(|_| drop(state.note(&transient(), NOW, 0)));
    assert_eq!(state.fitness(NOW), Fitness::Resting(NOW + 30_000));
    assert!(matches!(state.note(&Note::Served, NOW, 0), Some(AccountChange::Recovered)));
    assert_eq!(state.fitness(NOW), Fitness::Fit);
}

#[test]
fn a_short_limit_does_not_shorten_a_long_one_and_errors_do_not_soften_it() {
    let mut state = fresh();
    state.note(&limited(true, None, None), NOW, 0);
    assert_eq!(cools_for(&mut state, &limited(false, None, Some(1))), Some(QUOTA_COOLING));
    (0..5).for_each(|_| drop(state.note(&transient(), NOW, 0)));
    assert_eq!(state.fitness(NOW), Fitness::Unfit);
}

#[test]
fn after_a_cooling_the_account_recovers_only_by_serving() {
    let mut state = fresh();
    state.note(&limited(false, None, Some(1)), NOW, 0);
    let later = NOW + 1000;
    assert!(state.recovering(later));
    assert_eq!(state.fitness(later), Fitness::Fit);
    state.probed = true;
    assert_eq!(state.fitness(later), Fitness::Probed);
    assert!(matches!(state.note(&Note::Served, later, 0), Some(AccountChange::Recovered)));
    assert_eq!(state.fitness(later), Fitness::Fit);
}

#[test]
fn a_cooling_survives_a_restart_with_its_cause() {
    for (note, cause) in [
        (limited(true, None, None), Cause::Quota),
        (limited(false, None, Some(60)), Cause::RateLimit),
        (transient(), Cause::Errors),
    ] {
        let mut state = fresh();
        state.failures = 2;
        let Some(AccountChange::Cooling { until, reason }) = state.note(&note, NOW, 0) else {
            panic!("{note:?} must cool")
        };
        let restarted = State::new(&AccountRow { cooling: Some((until, reason)), ..row("a") }, NOW + 1);
        assert_eq!(restarted.standing(NOW + 1), state.standing(NOW + 1));
        assert!(matches!(restarted.standing(NOW + 1), Standing::Cooling { cause: c, .. } if c == cause));
        let much_later = State::new(&AccountRow { cooling: Some((until, "x".into())), ..row("a") }, until);
        assert_eq!(much_later.standing(until), Standing::Active);
    }
}

#[test]
fn a_reload_does_not_bring_back_a_cooling_that_is_over() {
    let mut state = fresh();
    (0..3).for_each(|_| drop(state.note(&transient(), NOW, 0)));
    let echo = AccountRow { cooling: Some((NOW + 30_000, "errors: server_error".into())), ..row("a") };
    state.note(&Note::Served, NOW, 0);
    state.merge(&echo, NOW);
    assert_eq!(state.standing(NOW), Standing::Active);

    state.merge(&AccountRow { cooling: Some((NOW + 60_000, "usage_limit_reached".into())), ..row("a") }, NOW);
    assert_eq!(state.fitness(NOW), Fitness::Unfit, "a newer one is believed");
}

#[test]
fn usage_is_that_of_the_fullest_live_window_of_the_main_limit() {
    let mut state = fresh();
    state.observe(vec![
        window("codex", 18_000, 30.0, Some(NOW + 1)),
        window("codex", 604_800, 60.0, Some(NOW + 1000)),
        window("codex_bengalfox", 18_000, 99.0, Some(NOW + 1000)),
    ]);
    assert!((state.used(NOW) - 60.0).abs() < 1e-9);
    assert!(state.used(NOW + 1000).abs() < 1e-9, "a window whose reset passed counts as unused");
}

#[test]
fn figures_alone_never_block_an_account() {
    let mut state = fresh();
    state.observe(vec![window("codex", 18_000, 100.0, Some(NOW + 1000))]);
    assert_eq!(state.fitness(NOW), Fitness::Fit);
}

#[test]
fn figures_that_show_room_lift_a_limit_after_two_minutes() {
    let mut state = fresh();
    state.note(&limited(true, None, None), NOW, 0);
    let figures = |percent, at| {
        let window = window("codex", 18_000, percent, Some(NOW + 9_000_000));
        vec![WindowRow { observed_at: at, ..window }]
    };
    assert!(!state.observe(figures(0.0, NOW + 1000)).1, "too early: they may be older than the limit");
    assert!(!state.observe(figures(100.0, NOW + RECONSIDER_AFTER)).1);
    assert!(state.observe(figures(99.0, NOW + RECONSIDER_AFTER + 1)).1);
    assert_eq!(state.fitness(NOW + RECONSIDER_AFTER + 1), Fitness::Fit);
}

#[test]
fn unchanged_figures_are_written_down_once_a_minute() {
    let mut state = fresh();
    let at = |observed_at| vec![WindowRow { observed_at, ..window("codex", 18_000, 5.0, None) }];
    assert_eq!(state.observe(at(NOW)).0.len(), 1);
    assert_eq!(state.observe(at(NOW + 59_000)).0.len(), 0);
    assert_eq!(state.observe(at(NOW + 60_000)).0.len(), 1);
    assert_eq!(state.observe(at(NOW)).0.len(), 0, "older figures are ignored");
}

#[test]
fn a_code_that_is_not_a_word_is_not_kept() {
    assert_eq!(plain("Invalid_Grant"), "invalid_grant");
    for odd in ["", "Bearer abc", "<html>", &"x".repeat(65)] {
        assert_eq!(plain(odd), "unknown");
    }
}
