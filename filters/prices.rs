//! What tokens cost: the table in `conf/prices.yaml` and the rules for reading it.

use std::collections::HashMap;

use serde::{Deserialize, Deserializer, de::Error};

use crate::Usage;

/// A checked price table. The default one is empty: nothing has a price.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(try_from = "File")]
pub struct Prices {
    long_context_above: u64,
    /// By lower-case name.
    models: HashMap<String, Model>,
    /// Lower-case pattern and the lower-case name it stands for, longest pattern first.
    aliases: Vec<(String, String)>,
}

/// The file as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    long_context_above: u64,
    models: HashMap<String, Model>,
    aliases: HashMap<String, String>,
}

/// The columns of one model.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Model {
    standard: Rates,
    priority: Option<Rates>,
    flex: Option<Rates>,
    long: Option<Rates>,
}

#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rates {
    input: Rate,
    /// The input rate when left out.
    cached: Option<Rate>,
    output: Rate,
}

/// Picodollars (10⁻¹² US dollars) per token: whole numbers, so that sums are exact. Written as dollars per million tokens.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Rate(u64);

/// Dollars per million tokens above which a price must be a slip of the pen.
const MAX_RATE: f64 = 1e6;

const PICOS_PER_MICRO: u128 = 1_000_000;

impl Prices {
    /// The YAML text of `conf/prices.yaml` as it was when this program was built.
    pub const BUILT_IN: &'static str = include_str!("../conf/prices.yaml");

    /// Price of `usage` in millionths of a US dollar, rounded half up. `None` when the model has no price.
    ///
    /// `priority` (or `fast`) has its own rates whatever the context; `flex` has its own, with the surcharge of long
    /// context; everything else, and a tier the model has no rates for, costs the standard or the long-context rates.
    pub fn cost_micros(&self, model: &str, tier: Option<&str>, usage: Usage) -> Option<u64> {
        let rates = self.find(model)?.rates(tier.unwrap_or_default(), usage.input > self.long_context_above);
        let cached = usage.cached.min(usage.input);
        let picos = rates.input.of(usage.input - cached)
            + rates.cached.unwrap_or(rates.input).of(cached)
            + rates.output.of(usage.output);
        Some(u64::try_from((picos + PICOS_PER_MICRO / 2) / PICOS_PER_MICRO).unwrap_or(u64::MAX))
    }

    fn find(&self, model: &str) -> Option<&Model> {
        let model = model.to_lowercase();
        self.models.get(&model).or_else(|| {
            let (_, name) = self.aliases.iter().find(|(pattern, _)| matches(pattern, &model))?;
            self.models.get(name)
        })
    }
}

impl Model {
    fn rates(&self, tier: &str, long: bool) -> Rates {
        let tier = tier.trim();
        let is = |name| tier.eq_ignore_ascii_case(name);
        if let Some(rates) = self.priority.filter(|_| is("priority") || is("fast")) {
            return rates;
        }
        let long_rates = self.long.filter(|_| long);
        match self.flex.filter(|_| is("flex")) {
            Some(rates) if long_rates.is_some() => rates.long(),
            Some(rates) => rates,
            None => long_rates.unwrap_or(self.standard),
        }
    }
}

impl Rates {
    /// The surcharge of long context: input doubled, output half as much again.
    fn long(self) -> Self {
        Self {
            input: Rate(self.input.0 * 2),
            cached: self.cached.map(|cached| Rate(cached.0 * 2)),
            output: Rate(self.output.0 * 3 / 2),
        }
    }
}

impl Rate {
    fn of(self, tokens: u64) -> u128 {
        u128::from(self.0) * u128::from(tokens)
    }
}

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let dollars = f64::deserialize(deserializer)?;
        if !(0.0..=MAX_RATE).contains(&dollars) {
            return Err(D::Error::custom(format!(
                "{dollars} is not a price in dollars per million tokens; it must be from 0 to {MAX_RATE}"
            )));
        }
        #[expect(
            clippy::cast_possible_truncation,
            reason = "not negative and at most 1e12, as checked above"
        )]
        Ok(Self((dollars * 1e6).round() as u64))
    }
}

impl TryFrom<File> for Prices {
    type Error = String;

    fn try_from(file: File) -> Result<Self, String> {
        let models: HashMap<_, _> =
            file.models.into_iter().map(|(name, model)| (name.to_lowercase(), model)).collect();
        let mut aliases: Vec<_> = file
            .aliases
            .into_iter()
            .map(|(pattern, name)| (pattern.to_lowercase(), name.to_lowercase()))
            .collect();
        aliases.sort_by(|(a, _), (b, _)| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        for (pattern, name) in &aliases {
            if !models.contains_key(name) {
                return Err(format!(
                    "aliases: `{pattern}` stands for `{name}`, which is not among the models"
                ));
            }
            if pattern.trim_end_matches('*').contains('*') {
                return Err(format!("aliases: `{pattern}` may have a `*` only at its end"));
            }
        }
        Ok(Self { long_context_above: file.long_context_above, models, aliases })
    }
}

fn matches(pattern: &str, model: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == model, |start| model.starts_with(start))
}

#[cfg(test)]
mod tests;
