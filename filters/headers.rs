//! Drops or sets request headers on their way from the client to the upstream.
//!
//! `remove` comes first, so `set` wins where both name a header. What the proxy itself decides is not up to this
//! filter: credentials, `Host`, lengths and hop-by-hop headers are replaced or dropped afterwards in any case.

use std::collections::BTreeMap;

use http::{HeaderMap, HeaderName, HeaderValue};
use serde::de::Error;
use serde::{Deserialize, Deserializer};

use crate::{Filter, Turn, Verdict};

pub(crate) const KIND: &str = "headers";

/// Options of `headers`. By default nothing is changed.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Names of headers to drop. Default: none.
    #[serde(deserialize_with = "names")]
    pub remove: Vec<HeaderName>,
    /// Headers to set, in place of all of that name. Default: none. Values are kept out of debug output.
    #[serde(deserialize_with = "values")]
    pub set: HeaderMap,
}

pub(crate) struct Headers {
    config: Config,
}

impl Headers {
    pub(crate) fn new(config: &Config) -> Self {
        Self { config: config.clone() }
    }
}

impl Filter for Headers {
    fn kind(&self) -> &'static str {
        KIND
    }

    /// Not at the head: whatever stands where in the chain, `api_key` still sees what the client sent.
    fn on_request(&self, turn: &mut Turn) -> Verdict {
        for name in &self.config.remove {
            turn.headers.remove(name);
        }
        for (name, value) in &self.config.set {
            turn.headers.insert(name, value.clone());
        }
        Verdict::Continue
    }
}

fn names<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<HeaderName>, D::Error> {
    Vec::<String>::deserialize(deserializer)?.iter().map(|text| name("remove", text)).collect()
}

fn values<'de, D: Deserializer<'de>>(deserializer: D) -> Result<HeaderMap, D::Error> {
    let texts = BTreeMap::<String, String>::deserialize(deserializer)?;
    let mut headers = HeaderMap::with_capacity(texts.len());
    for (text, value) in texts {
        let mut value = HeaderValue::try_from(value).map_err(|_| {
            D::Error::custom(format!(
                "headers.set: the value of `{text}` has characters a header cannot hold"
            ))
        })?;
        value.set_sensitive(true);
        headers.insert(name("set", &text)?, value);
    }
    Ok(headers)
}

fn name<E: Error>(option: &str, text: &str) -> Result<HeaderName, E> {
    text.parse().map_err(|_| E::custom(format!("headers.{option}: `{text}` is not a header name")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::FilterConfig;
    use crate::chain::tests::chain;

    fn turn() -> Turn {
        let mut turn = Turn::default();
        for (name, value) in [("user-agent", "opencode/1"), ("x-a", "1"), ("x-a", "2"), ("x-b", "3")] {
            turn.headers.append(name, HeaderValue::from_static(value));
        }
        turn
    }

    #[test]
    fn by_default_nothing_changes() {
        let mut turn = turn();
        let before = turn.headers.clone();
        assert_eq!(chain("- headers").on_request(&mut turn), Verdict::Continue);
        assert_eq!(turn.headers, before);
    }

    #[test]
    fn headers_are_dropped_and_set_whatever_their_case() {
        let mut turn = turn();
        let chain = chain("- headers: {remove: [X-A, x-missing], set: {X-B: four, x-c: '5'}}");
        assert_eq!(chain.on_request(&mut turn), Verdict::Continue);
        assert!(!turn.headers.contains_key("x-a"));
        assert_eq!(turn.headers.get_all("x-b").iter().collect::<Vec<_>>(), ["four"]);
        assert_eq!(turn.headers["x-c"], "5");
        assert_eq!(turn.headers["user-agent"], "opencode/1");
    }

    #[test]
    fn a_name_in_both_lists_is_set() {
        let mut turn = turn();
        let chain = chain("- headers: {remove: [x-a], set: {x-a: new}}");
        assert_eq!(chain.on_request(&mut turn), Verdict::Continue);
        assert_eq!(turn.headers.get_all("x-a").iter().collect::<Vec<_>>(), ["new"]);
    }

    #[test]
    fn filters_at_the_head_still_see_what_is_dropped_later() {
        let mut turn = turn();
        assert_eq!(chain("- headers: {remove: [x-a]}").on_head(&mut turn), Verdict::Continue);
        assert!(turn.headers.contains_key("x-a"));
    }

    #[test]
    fn wrong_headers_are_named_and_values_never_shown() {
        for (options, part) in [
            ("{remove: ['a b']}", "headers.remove: `a b`"),
            ("{set: {'a:': x}}", "headers.set: `a:`"),
            ("{set: {x-a: \"canary\\n\"}}", "the value of `x-a`"),
        ] {
            let error = serde_yaml::from_str::<FilterConfig>(&format!("headers: {options}")).unwrap_err();
            assert!(error.to_string().contains(part), "{error}");
        }
        let config: FilterConfig = serde_yaml::from_str("headers: {set: {x-a: canary}}").unwrap();
        assert!(!format!("{config:?}").contains("canary"));
    }
}
