//! Renames models, reads the suffixes of model names, and restricts which models may be used.
//!
//! In this order: `aliases`, then suffixes (`gpt-5.4-high-fast` is `gpt-5.4` with effort `high` on the priority tier),
//! then `allow`, which therefore lists names as they go upstream. Names are compared without regard to case.
//! A request that names no model is left alone.

use std::collections::BTreeMap;

use serde::de::Error;
use serde::{Deserialize, Deserializer};

use crate::{Filter, Reply, Turn, Verdict};

pub(crate) const KIND: &str = "model_alias";

/// Models that may carry suffixes. The first one that fits decides, so longer names come before their beginnings.
const BASES: [&str; 16] = [
    "gpt-5.6-sol",
    "gpt-5.6-terra",
    "gpt-5.6-luna",
    "gpt-5.4-mini",
    "gpt-5.3-codex",
    "gpt-5.2-codex",
    "gpt-5.1-codex-max",
    "gpt-5.1-codex-mini",
    "gpt-5.1-codex",
    "gpt-5-codex",
    "gpt-5.5",
    "gpt-5.4",
    "gpt-5.3",
    "gpt-5.2",
    "gpt-5.1",
    "gpt-5",
];

/// Characters of an unknown model name repeated in a refusal.
const SHOWN: usize = 80;

/// Options of `model_alias`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Model asked for → model used. Default: none. One step only: the result is not looked up again.
    #[serde(deserialize_with = "aliases")]
    pub aliases: BTreeMap<String, String>,
    /// The only models that may be used. Default: all.
    #[serde(deserialize_with = "allow")]
    pub allow: Option<Vec<String>>,
    /// Whether suffixes are read. Default: true.
    pub suffixes: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self { aliases: BTreeMap::new(), allow: None, suffixes: true }
    }
}

pub(crate) struct ModelAlias {
    config: Config,
}

impl ModelAlias {
    pub(crate) fn new(config: &Config) -> Self {
        Self { config: config.clone() }
    }
}

impl Filter for ModelAlias {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn on_request(&self, turn: &mut Turn) -> Verdict {
        if turn.model.is_empty() {
            return Verdict::Continue;
        }
        if let Some(model) = self.config.aliases.get(&turn.model.to_lowercase()) {
            turn.model.clone_from(model);
        }
        if let Some(suffixed) = Suffixed::read(&turn.model).filter(|_| self.config.suffixes) {
            suffixed.apply(turn);
        }
        match &self.config.allow {
            Some(models) if !models.contains(&turn.model.to_lowercase()) => refuse(&turn.model, models),
            Some(_) | None => Verdict::Continue,
        }
    }
}

fn refuse(model: &str, allowed: &[String]) -> Verdict {
    let model: String = model.chars().take(SHOWN).collect();
    Verdict::Refuse(Reply {
        status: 403,
        kind: "permission_error",
        code: "model_not_allowed",
        message: format!(
            "The model {model} may not be used here. Use {}, or add it to model_alias.allow in codex-lb.yaml.",
            allowed.join(", ")
        ),
    })
}

/// A model name taken apart.
struct Suffixed {
    base: &'static str,
    /// Rank and name; the rank only orders.
    effort: Option<(u8, &'static str)>,
    priority: bool,
}

impl Suffixed {
    /// `None` when there is no suffix, or one that is not known: then the name means something else.
    fn read(model: &str) -> Option<Self> {
        let model = model.to_lowercase();
        let (base, suffixes) =
            BASES.iter().find_map(|base| Some((*base, model.strip_prefix(base)?.strip_prefix('-')?)))?;
        let mut read = Self { base, effort: None, priority: false };
        for suffix in suffixes.split('-') {
            match suffix {
                "minimal" => read.effort = read.effort.max(Some((0, "minimal"))),
                "low" => read.effort = read.effort.max(Some((1, "low"))),
                "medium" => read.effort = read.effort.max(Some((2, "medium"))),
                "high" | "xhigh" | "extra" => read.effort = read.effort.max(Some((3, "high"))),
                "fast" | "priority" => read.priority = true,
                "reasoning" | "thinking" => {}
                _ => return None,
            }
        }
        Some(read)
    }

    /// The effort in the name beats the effort asked for; the tier in the name gives way to one asked for.
    fn apply(self, turn: &mut Turn) {
        turn.model = self.base.to_owned();
        if let Some((_, effort)) = self.effort {
            turn.effort = Some(effort.to_owned());
        }
        if self.priority {
            turn.service_tier.get_or_insert_with(|| "priority".to_owned());
        }
    }
}

fn aliases<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, String>, D::Error> {
    let aliases = BTreeMap::<String, String>::deserialize(deserializer)?;
    if let Some((from, to)) = aliases.iter().find(|(from, to)| from.is_empty() || to.is_empty()) {
        return Err(D::Error::custom(format!("model_alias.aliases: `{from}: {to}` lacks a model name")));
    }
    Ok(aliases.into_iter().map(|(from, to)| (from.to_lowercase(), to)).collect())
}

fn allow<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<String>>, D::Error> {
    let models = Option::<Vec<String>>::deserialize(deserializer)?;
    if models.as_ref().is_some_and(Vec::is_empty) {
        return Err(D::Error::custom(
            "model_alias.allow is empty, which forbids every model; list a model or remove the option",
        ));
    }
    Ok(models.map(|models| models.iter().map(|model| model.to_lowercase()).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::FilterConfig;
    use crate::chain::tests::chain;

    fn turn(model: &str) -> Turn {
        Turn { model: model.into(), ..Turn::default() }
    }

    /// Model, effort and tier after the filter.
    fn after(yaml: &str, mut turn: Turn) -> (String, String, String) {
        assert_eq!(chain(yaml).on_request(&mut turn), Verdict::Continue);
        (turn.model, turn.effort.unwrap_or_default(), turn.service_tier.unwrap_or_default())
    }

    #[test]
    fn suffixes_become_effort_and_tier() {
        for (model, base, effort, tier) in [
            ("gpt-5.4-extra-high-fast", "gpt-5.4", "high", "priority"),
            ("gpt-5.4-minimal", "gpt-5.4", "minimal", ""),
            ("gpt-5.4-xhigh", "gpt-5.4", "high", ""),
            ("gpt-5.4-high-low", "gpt-5.4", "high", ""),
            ("gpt-5.4-low-medium", "gpt-5.4", "medium", ""),
            ("gpt-5.4-mini-low", "gpt-5.4-mini", "low", ""),
            ("gpt-5.1-codex-max-priority", "gpt-5.1-codex-max", "", "priority"),
            ("gpt-5.6-sol-thinking", "gpt-5.6-sol", "", ""),
            ("GPT-5-Codex-High-Reasoning", "gpt-5-codex", "high", ""),
            ("gpt-5-fast", "gpt-5", "", "priority"),
        ] {
            let expected = (base.to_owned(), effort.to_owned(), tier.to_owned());
            assert_eq!(after("- model_alias", turn(model)), expected, "{model}");
        }
    }

    #[test]
    fn a_name_with_an_unknown_suffix_stays_as_it_is() {
        for model in [
            "gpt-5.4",
            "gpt-5.3-codex-spark",
            "gpt-5.3-codex-spark-high",
            "gpt-5.4-2026-01-01",
            "gpt-5.4-mini",
            "gpt-5.1-codex-max",
            "gpt-5.4-",
            "gpt-5.4-high-",
            "gpt-5.4high",
            "GPT-5.4",
            "gpt-4o-high",
            "o3-fast",
            "-",
            "ä",
            "",
        ] {
            assert_eq!(after("- model_alias", turn(model)).0, model);
        }
    }

    #[test]
    fn the_name_beats_the_effort_asked_for_but_not_the_tier() {
        let mut asked = turn("gpt-5.4-low-fast");
        asked.effort = Some("high".into());
        asked.service_tier = Some("flex".into());
        assert_eq!(after("- model_alias", asked), ("gpt-5.4".into(), "low".into(), "flex".into()));
        let mut asked = turn("gpt-5.4-fast");
        asked.effort = Some("xhigh".into());
        assert_eq!(after("- model_alias", asked).1, "xhigh");
    }

    #[test]
    fn suffixes_can_be_switched_off() {
        assert_eq!(after("- model_alias: {suffixes: false}", turn("gpt-5.4-high")).0, "gpt-5.4-high");
    }

    #[test]
    fn an_alias_is_one_step_and_may_carry_suffixes() {
        let yaml =
            "- model_alias: {aliases: {GPT-4o: gpt-5.4, gpt-5.4: gpt-5.5, quick: gpt-5.4-mini-low-fast}}";
        assert_eq!(after(yaml, turn("gpt-4O")).0, "gpt-5.4");
        assert_eq!(after(yaml, turn("gpt-5.4")).0, "gpt-5.5");
        assert_eq!(after(yaml, turn("quick")), ("gpt-5.4-mini".into(), "low".into(), "priority".into()));
    }

    #[test]
    fn only_allowed_models_pass_by_the_name_that_goes_upstream() {
        let yaml = "- model_alias: {aliases: {smart: gpt-5.4}, allow: [GPT-5.4, gpt-5.4-mini]}";
        for model in ["gpt-5.4", "gpt-5.4-high", "Smart", "gpt-5.4-MINI", ""] {
            assert_eq!(chain(yaml).on_request(&mut turn(model)), Verdict::Continue, "{model}");
        }
        for model in ["gpt-5.5", "gpt-5.5-high", "gpt-5.4-nano"] {
            let Verdict::Refuse(reply) = chain(yaml).on_request(&mut turn(model)) else {
                panic!("{model} passed")
            };
            assert_eq!(
                (reply.status, reply.kind, reply.code),
                (403, "permission_error", "model_not_allowed")
            );
            assert!(reply.message.contains("gpt-5.4, gpt-5.4-mini"), "{}", reply.message);
        }
        let Verdict::Refuse(reply) = chain(yaml).on_request(&mut turn(&"x".repeat(100_000))) else {
            panic!("passed")
        };
        assert!(reply.message.len() < 300);
    }

    #[test]
    fn empty_names_and_lists_are_refused_when_read() {
        for (options, part) in [
            ("{allow: []}", "model_alias.allow is empty"),
            ("{aliases: {'': gpt-5.4}}", "lacks a model name"),
            ("{aliases: {a: ''}}", "lacks a model name"),
        ] {
            let yaml = format!("model_alias: {options}");
            let error = serde_yaml::from_str::<FilterConfig>(&yaml).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }
}
