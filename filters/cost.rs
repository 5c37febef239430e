//! Prices an exchange by the tokens of its answer.
//!
//! The model and tier that really answered count, else those asked for. A model without a price leaves the cost open.
//! Needs `usage` in the chain. Figures are what the API would charge; a ChatGPT plan bills nothing per token.

use std::sync::Arc;

use serde::Deserialize;

use crate::{Filter, Prices, Surroundings, Turn};

pub(crate) const KIND: &str = "cost";

/// Options of `cost`: none. The prices are those of `conf/prices.yaml`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {}

pub(crate) struct Cost {
    prices: Arc<Prices>,
}

impl Cost {
    pub(crate) fn new(_config: &Config, surroundings: &Surroundings) -> Self {
        Self { prices: Arc::clone(&surroundings.prices) }
    }
}

impl Filter for Cost {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn on_end(&self, turn: &mut Turn) {
        let Some(usage) = turn.answer.usage else { return };
        let tier = turn.answer.service_tier.as_deref().or(turn.service_tier.as_deref());
        let answered =
            turn.answer.model.as_deref().and_then(|model| self.prices.cost_micros(model, tier, usage));
        turn.cost_micros = answered.or_else(|| self.prices.cost_micros(&turn.model, tier, usage));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::tests::chain;
    use crate::{Answer, Usage};

    /// A turn that asked for `asked` (model, tier) and was answered by `answered`.
    fn turn(asked: (&str, Option<&str>), answered: (Option<&str>, Option<&str>)) -> Turn {
        Turn {
            model: asked.0.into(),
            service_tier: asked.1.map(str::to_owned),
            answer: Answer {
                model: answered.0.map(str::to_owned),
                service_tier: answered.1.map(str::to_owned),
                usage: Some(Usage { input: 1000, cached: 400, output: 100, reasoning: 50 }),
                response_id: None,
            },
            ..Turn::default()
        }
    }

    fn cost(mut turn: Turn) -> Option<u64> {
        chain("- cost").on_end(&mut turn);
        turn.cost_micros
    }

    #[test]
    fn the_model_that_answered_is_priced() {
        // 600 × 2.5 + 400 × 0.25 + 100 × 15 millionths of a dollar.
        assert_eq!(cost(turn(("gpt-5.4", None), (None, None))), Some(3100));
        assert_eq!(cost(turn(("gpt-5.5", None), (Some("gpt-5.4-2026-03-05"), None))), Some(3100));
    }

    #[test]
    fn a_codename_in_the_answer_falls_back_to_the_model_asked_for() {
        assert_eq!(cost(turn(("gpt-5.4", None), (Some("arcticfox"), None))), Some(3100));
    }

    #[test]
    fn the_tier_really_used_beats_the_tier_asked_for() {
        assert_eq!(cost(turn(("gpt-5.4", Some("priority")), (None, None))), Some(6200));
        assert_eq!(cost(turn(("gpt-5.4", Some("priority")), (None, Some("default")))), Some(3100));
        assert_eq!(cost(turn(("gpt-5.4", None), (None, Some("flex")))), Some(1550));
    }

    #[test]
    fn without_a_price_or_without_usage_the_cost_stays_open() {
        assert_eq!(cost(turn(("llama-4", None), (None, None))), None);
        assert_eq!(cost(turn(("", None), (None, None))), None);
        let unused = Turn { model: "gpt-5.4".into(), ..Turn::default() };
        assert_eq!(cost(unused), None);
    }
}
