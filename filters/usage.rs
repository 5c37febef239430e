//! Reads token counts, response id, model and tier from the events of an answer.
//!
//! Only `response.created` and the terminal events are parsed, and of them only these fields. Without this filter the
//! ledger has no token counts and `cost` has nothing to price.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{Answer, Event, Filter, Kind, Usage};

pub(crate) const KIND: &str = "usage";

/// Options of `usage`: none.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {}

pub(crate) struct ReadUsage;

impl ReadUsage {
    pub(crate) fn new(_config: &Config) -> Self {
        Self
    }
}

impl Filter for ReadUsage {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn on_event(&self, answer: &mut Answer, event: &Event) {
        let terminal = matches!(event.kind, Kind::Completed | Kind::Incomplete | Kind::Failed);
        if !terminal && event.kind != Kind::Created {
            return;
        }
        let Ok(Envelope { response }) = serde_json::from_slice(&event.data) else { return };
        replace(&mut answer.response_id, text(response.id));
        replace(&mut answer.model, text(response.model));
        if terminal {
            // Before the end it is only the tier that was asked for.
            replace(&mut answer.service_tier, text(response.service_tier));
            replace(&mut answer.usage, response.usage.and_then(counts));
        }
    }
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    response: Response<'a>,
}

/// Raw values, so that one field of an unexpected type does not cost the others. Unknown fields, above all `output`
/// and the echoed `instructions`, are skipped without being built.
#[derive(Deserialize)]
struct Response<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    model: Option<&'a RawValue>,
    #[serde(borrow)]
    service_tier: Option<&'a RawValue>,
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Counts {
    input_tokens: u64,
    input_tokens_details: Option<InputDetails>,
    output_tokens: Option<u64>,
    output_tokens_details: Option<OutputDetails>,
}

#[derive(Deserialize)]
struct InputDetails {
    cached_tokens: Option<u64>,
}

#[derive(Deserialize)]
struct OutputDetails {
    reasoning_tokens: Option<u64>,
}

fn replace<T>(field: &mut Option<T>, value: Option<T>) {
    if value.is_some() {
        *field = value;
    }
}

fn text(raw: Option<&RawValue>) -> Option<String> {
    serde_json::from_str::<String>(raw?.get()).ok().filter(|text| !text.is_empty())
}

/// `None` without `input_tokens`. Reasoning is part of the output, so it stands in for a missing output count.
fn counts(raw: &RawValue) -> Option<Usage> {
    let counts: Counts = serde_json::from_str(raw.get()).ok()?;
    let reasoning = counts.output_tokens_details.and_then(|details| details.reasoning_tokens).unwrap_or(0);
    Some(Usage {
        input: counts.input_tokens,
        cached: counts.input_tokens_details.and_then(|details| details.cached_tokens).unwrap_or(0),
        output: counts.output_tokens.unwrap_or(reasoning),
        reasoning,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::tests::chain;

    fn read(events: &[&str]) -> Answer {
        let (chain, mut answer) = (chain("- usage"), Answer::default());
        for data in events {
            chain.on_event(&mut answer, &Event::new(format!("data: {data}\n\n").into()));
        }
        answer
    }

    fn usage(usage: &str) -> Option<Usage> {
        read(&[&format!(r#"{{"type":"response.completed","response":{{"usage":{usage}}}}}"#)]).usage
    }

    const CREATED: &str = r#"{"type":"response.created","response":{"id":"resp_1","model":"gpt-5.4","service_tier":"auto","usage":null}}"#;
    const FULL: &str = r#"{"input_tokens":90,"input_tokens_details":{"cached_tokens":64},"output_tokens":20,"output_tokens_details":{"reasoning_tokens":8},"total_tokens":110}"#;
    const COUNTED: Usage = Usage { input: 90, cached: 64, output: 20, reasoning: 8 };

    #[test]
    fn every_terminal_event_is_counted() {
        for kind in ["completed", "incomplete", "failed", "done"] {
            let terminal = format!(
                r#"{{"type":"response.{kind}","sequence_number":41,"response":{{"id":"resp_1","object":"response",
                "model":"gpt-5.4-2026-03-05","service_tier":"default","output":[{{"deep":[[{{}}]]}}],"usage":{FULL}}}}}"#
            )
            .replace('\n', "");
            let answer = read(&[CREATED, r#"{"type":"response.output_text.delta","delta":"x"}"#, &terminal]);
            let expected = Answer {
                response_id: Some("resp_1".into()),
                model: Some("gpt-5.4-2026-03-05".into()),
                service_tier: Some("default".into()),
                usage: Some(COUNTED),
            };
            assert_eq!(answer, expected, "{kind}");
        }
    }

    #[test]
    fn the_id_and_model_are_known_from_the_start_but_not_the_tier() {
        let answer = read(&[CREATED]);
        assert_eq!(answer.response_id.as_deref(), Some("resp_1"));
        assert_eq!(answer.model.as_deref(), Some("gpt-5.4"));
        assert_eq!((answer.service_tier, answer.usage), (None, None));
    }

    #[test]
    fn a_failure_without_usage_keeps_what_was_known() {
        let failed = r#"{"type":"response.failed","response":{"id":null,"error":{"code":"x"},"usage":null}}"#;
        let answer = read(&[CREATED, failed]);
        assert_eq!((answer.response_id.as_deref(), answer.usage), (Some("resp_1"), None));
    }

    #[test]
    fn missing_counts_are_filled_in_where_that_is_honest() {
        let counted = |input, cached, output, reasoning| Some(Usage { input, cached, output, reasoning });
        for (text, expected) in [
            (FULL, Some(COUNTED)),
            (r#"{"input_tokens":5,"output_tokens":2}"#, counted(5, 0, 2, 0)),
            (r#"{"input_tokens":5,"output_tokens_details":{"reasoning_tokens":3}}"#, counted(5, 0, 3, 3)),
            (r#"{"input_tokens":5,"output_tokens":null,"input_tokens_details":null}"#, counted(5, 0, 0, 0)),
            (r#"{"input_tokens":0,"output_tokens":0}"#, counted(0, 0, 0, 0)),
            (r#"{"output_tokens":2}"#, None),
            (r#"{"input_tokens":null,"output_tokens":2}"#, None),
            (r#"{"input_tokens":-1,"output_tokens":2}"#, None),
            ("{}", None),
            ("null", None),
            ("7", None),
        ] {
            assert_eq!(usage(text), expected, "{text}");
        }
    }

    #[test]
    fn an_odd_field_does_not_cost_the_counts() {
        let odd = format!(
            r#"{{"type":"response.completed","response":{{"id":7,"model":["x"],"service_tier":{{}},"usage":{FULL}}}}}"#
        );
        assert_eq!(read(&[&odd]), Answer { usage: Some(COUNTED), ..Answer::default() });
    }

    #[test]
    fn other_events_and_broken_ones_are_let_by() {
        for data in [
            r#"{"type":"response.in_progress","response":{"id":"resp_1"}}"#,
            r#"{"type":"response.completed"}"#,
            r#"{"type":"response.completed","response":null}"#,
            r#"{"type":"response.completed","response":{"#,
            r#"{"type":"error","error":{"message":"no"}}"#,
            "[DONE]",
        ] {
            assert_eq!(read(&[data]), Answer::default(), "{data}");
        }
    }
}
