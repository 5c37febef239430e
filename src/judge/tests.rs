//! The classes of upstream outcomes, one by one.

use serde_json::json;

use super::*;

fn judge(evidence: Evidence<'_>, tries: Tries) -> Verdict {
    super::judge(evidence, tries, 1_787_000_000_000)
}

fn object(value: Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

fn refusal(status: u16, error: Value) -> Verdict {
    judge(Evidence::Refusal { status, error: Some(object(error)), retry_after: None }, Tries::default())
}

#[test]
fn a_used_up_window_sends_the_exchange_to_the_next_account_with_its_reset() {
    let verdict = refusal(429, json!({"type": "usage_limit_reached", "resets_at": 1_787_300_000}));
    assert_eq!(verdict.action, Action::NextAccount);
    let Note::Limited { quota: true, code, resets_at, .. } = verdict.note else { panic!() };
    assert_eq!((code.as_str(), resets_at), ("usage_limit_reached", Some(1_787_300_000)));
}

#[test]
fn a_burst_limit_names_how_long_it_lasts() {
    let verdict = refusal(
        429,
        json!({"code": "rate_limit_exceeded", "message": "Rate limit reached. Please try again in 1m2.5s."}),
    );
    let Note::Limited { retry_after, .. } = verdict.note else { panic!() };
    assert_eq!(retry_after, Some(Duration::from_millis(62_500)));
}

#[test]
fn quota_codes_use_the_account_up() {
    for code in ["insufficient_quota", "usage_not_included", "quota_exceeded"] {
        let verdict = refusal(403, json!({"code": code}));
        assert!(matches!(verdict.note, Note::Limited { quota: true, .. }), "{code}");
    }
}

#[test]
fn a_401_refreshes_once_and_then_moves_on() {
    let detail = json!({"message": "Unauthorized"});
    assert_eq!(refusal(401, detail.clone()).action, Action::RefreshThenRetry);
    let again = judge(
        Evidence::Refusal { status: 401, error: Some(object(detail)), retry_after: None },
        Tries { refreshed: true, ..Tries::default() },
    );
    assert_eq!(again.action, Action::NextAccount);
}

#[test]
fn a_403_page_is_nobodys_fault_and_another_account_is_tried() {
    let verdict = judge(Evidence::Refusal { status: 403, error: None, retry_after: None }, Tries::default());
    assert_eq!((verdict.action, verdict.note), (Action::NextAccount, Note::Neutral));
}

#[test]
fn a_server_error_is_tried_again_once_before_the_next_account() {
    assert_eq!(refusal(500, json!({"message": "oops"})).action, Action::RetrySame(PAUSE));
    let verdict = judge(
        Evidence::Failure { error: object(json!({"code": "server_is_overloaded"})) },
        Tries { repeated: 1, ..Tries::default() },
    );
    assert_eq!(verdict.action, Action::NextAccount);
    assert_eq!(verdict.note, Note::Transient { code: "server_is_overloaded".into() });
}

#[test]
fn a_deactivated_account_needs_a_person() {
    let verdict = refusal(401, json!({"code": "account_deactivated"}));
    assert_eq!(verdict.note, Note::NeedsLogin { code: "account_deactivated".into() });
}

#[test]
fn errors_of_the_request_are_relayed_and_blame_nobody() {
    for (status, code) in
        [(400, "invalid_request_error"), (400, "context_length_exceeded"), (404, "not_found")]
    {
        let verdict = refusal(status, json!({"code": code, "message": "no"}));
        assert_eq!((verdict.action, verdict.note), (Action::GiveUp, Note::Neutral));
        assert_eq!(verdict.error.unwrap().status(), status);
    }
}

#[test]
fn a_failure_event_about_the_context_length_is_a_400() {
    let verdict = judge(
        Evidence::Failure {
            error: object(json!({"code": "context_length_exceeded", "message": "too long"})),
        },
        Tries::default(),
    );
    assert_eq!(verdict.action, Action::GiveUp);
    assert_eq!(verdict.error.unwrap().status(), 400);
}

#[test]
fn refused_reasoning_is_left_out_once() {
    let error = json!({"code": "invalid_encrypted_content", "message": "could not be verified"});
    assert_eq!(refusal(400, error.clone()).action, Action::RetryWithoutReasoning);
    let again = judge(
        Evidence::Refusal { status: 400, error: Some(object(error)), retry_after: None },
        Tries { bare: true, ..Tries::default() },
    );
    assert_eq!(again.action, Action::GiveUp);
}

#[test]
fn a_model_the_account_lacks_costs_one_move() {
    let error = json!({"message": "The 'x' model is not supported when using Codex with a ChatGPT account."});
    assert_eq!(refusal(400, error.clone()).action, Action::OtherModelList);
    let again = judge(
        Evidence::Refusal { status: 400, error: Some(object(error)), retry_after: None },
        Tries { model_refused: true, ..Tries::default() },
    );
    assert_eq!(again.action, Action::GiveUp);
}

#[test]
fn a_dead_kept_alive_connection_is_replaced_at_once() {
    let error = pingora::Error::new(ErrorType::ConnectionClosed);
    let verdict = judge(Evidence::Broken { error: &error, reused: true }, Tries::default());
    assert_eq!((verdict.action, verdict.note), (Action::RetrySame(Duration::ZERO), Note::Neutral));
}

#[test]
fn an_unreachable_upstream_blames_no_account() {
    let error = pingora::Error::new(ErrorType::ConnectRefused);
    for repeated in 0..5 {
        let tries = Tries { repeated, ..Tries::default() };
        assert_eq!(judge(Evidence::Broken { error: &error, reused: false }, tries).note, Note::Neutral);
    }
}

#[test]
fn a_bad_certificate_is_final() {
    let error = pingora::Error::new(ErrorType::InvalidCert);
    let verdict = judge(Evidence::Broken { error: &error, reused: false }, Tries::default());
    assert_eq!(verdict.action, Action::GiveUp);
}
