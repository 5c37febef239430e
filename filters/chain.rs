//! Runs the filters: requests in the order of the YAML, the end of an exchange in reverse.

use std::sync::Arc;

use crate::{Answer, ApiKeyMode, Event, Filter, FilterConfig, KeyTable, Prices, Turn, Verdict};

/// The filters of one configuration. Built once, shared by all exchanges.
pub struct Chain {
    filters: Vec<Box<dyn Filter>>,
}

/// What filters need to know from outside. Handed over when the chain is built.
#[derive(Clone)]
pub struct Surroundings {
    /// Finds the caller of a presented API key.
    pub keys: Arc<dyn KeyTable>,
    /// Who needs an API key: `auth.api_keys` of the YAML.
    pub api_keys: ApiKeyMode,
    pub prices: Arc<Prices>,
}

impl Chain {
    /// The filters named by `configs`, in that order.
    pub fn build(configs: &[FilterConfig], surroundings: Surroundings) -> Self {
        Self { filters: configs.iter().map(|config| config.build(&surroundings)).collect() }
    }

    /// The names of the filters, in order.
    pub fn kinds(&self) -> Vec<&'static str> {
        self.filters.iter().map(|filter| filter.kind()).collect()
    }

    /// To be called once per exchange before the body is read. Stops at the first refusal.
    pub fn on_head(&self, turn: &mut Turn) -> Verdict {
        first_refusal(self.filters.iter().map(|filter| filter.on_head(turn)))
    }

    /// To be called once per exchange when the body is decoded. Stops at the first refusal.
    pub fn on_request(&self, turn: &mut Turn) -> Verdict {
        first_refusal(self.filters.iter().map(|filter| filter.on_request(turn)))
    }

    /// To be called for every event of an attempt's answer.
    pub fn on_event(&self, answer: &mut Answer, event: &Event) {
        for filter in &self.filters {
            filter.on_event(answer, event);
        }
    }

    /// To be called once per exchange, also when it was refused; the last filter goes first.
    pub fn on_end(&self, turn: &mut Turn) {
        for filter in self.filters.iter().rev() {
            filter.on_end(turn);
        }
    }
}

/// `verdicts` is lazy: the filters behind a refusal are not asked.
fn first_refusal(mut verdicts: impl Iterator<Item = Verdict>) -> Verdict {
    verdicts.find(|verdict| *verdict != Verdict::Continue).unwrap_or(Verdict::Continue)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::{KeyRef, Reply};

    /// The only key that exists in tests.
    pub(crate) const KEY: &str = "sk-clb-valid";

    struct OneKey;

    impl KeyTable for OneKey {
        fn find(&self, presented: &str) -> Option<KeyRef> {
            (presented == KEY).then(|| KeyRef { id: "k1".into(), name: "laptop".into() })
        }
    }

    pub(crate) fn surroundings(api_keys: ApiKeyMode) -> Surroundings {
        let prices = serde_yaml::from_str(Prices::BUILT_IN).unwrap();
        Surroundings { keys: Arc::new(OneKey), api_keys, prices: Arc::new(prices) }
    }

    /// A chain as people write it, where API keys are needed by remote peers only.
    pub(crate) fn chain(yaml: &str) -> Chain {
        let configs: Vec<FilterConfig> = serde_yaml::from_str(yaml).unwrap();
        Chain::build(&configs, surroundings(ApiKeyMode::Remote))
    }

    /// Leaves its name in the turn's path at every hook, and refuses what it is told to.
    struct Mark(&'static str, Option<&'static str>);

    impl Filter for Mark {
        fn kind(&self) -> &'static str {
            self.0
        }

        fn on_head(&self, turn: &mut Turn) -> Verdict {
            turn.path.push_str(self.0);
            match self.1 {
                None => Verdict::Continue,
                Some(code) => Verdict::Refuse(Reply { status: 403, kind: "k", code, message: String::new() }),
            }
        }

        fn on_request(&self, turn: &mut Turn) -> Verdict {
            self.on_head(turn)
        }

        fn on_event(&self, answer: &mut Answer, _event: &Event) {
            answer.response_id.get_or_insert_default().push_str(self.0);
        }

        fn on_end(&self, turn: &mut Turn) {
            turn.path.push_str(self.0);
        }
    }

    fn marks(marks: [Mark; 3]) -> Chain {
        Chain { filters: marks.into_iter().map(|mark| Box::new(mark) as Box<dyn Filter>).collect() }
    }

    #[test]
    fn filters_run_in_order_and_end_in_reverse() {
        let chain = marks([Mark("a", None), Mark("b", None), Mark("c", None)]);
        let mut turn = Turn::default();
        assert_eq!(chain.on_head(&mut turn), Verdict::Continue);
        assert_eq!(chain.on_request(&mut turn), Verdict::Continue);
        chain.on_end(&mut turn);
        assert_eq!(turn.path, "abcabccba");
        let mut answer = Answer::default();
        chain.on_event(&mut answer, &Event::new("data: [DONE]\n\n".into()));
        assert_eq!(answer.response_id.as_deref(), Some("abc"));
        assert_eq!(chain.kinds(), ["a", "b", "c"]);
    }

    #[test]
    fn the_first_refusal_is_the_last_word() {
        let chain = marks([Mark("a", None), Mark("b", Some("first")), Mark("c", Some("second"))]);
        for hook in [Chain::on_head, Chain::on_request] {
            let mut turn = Turn::default();
            let Verdict::Refuse(reply) = hook(&chain, &mut turn) else { panic!("not refused") };
            assert_eq!((reply.code, turn.path.as_str()), ("first", "ab"));
        }
    }

    #[test]
    fn the_default_chain_serves_an_exchange_from_head_to_end() {
        let chain = Chain::build(&FilterConfig::default_chain(), surroundings(ApiKeyMode::Always));
        let mut turn = Turn::default();
        turn.headers.insert("authorization", format!("Bearer {KEY}").parse().unwrap());
        assert_eq!(chain.on_head(&mut turn), Verdict::Continue);
        turn.model = "gpt-5.4-high-fast".into();
        assert_eq!(chain.on_request(&mut turn), Verdict::Continue);
        let completed = r#"data: {"type":"response.completed","response":{"id":"resp_1","model":"gpt-5.4",
data: "service_tier":"default","usage":{"input_tokens":1000,"output_tokens":100}}}"#;
        chain.on_event(&mut turn.answer, &Event::new(completed.into()));
        chain.on_end(&mut turn);
        assert_eq!(turn.key.unwrap().name, "laptop");
        assert_eq!((turn.model.as_str(), turn.effort.as_deref()), ("gpt-5.4", Some("high")));
        assert_eq!(turn.cost_micros, Some(4000));
    }
}
