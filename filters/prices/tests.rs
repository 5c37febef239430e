//! The rules of the price table, and the table itself.

use super::*;

fn prices() -> Prices {
    serde_yaml::from_str(Prices::BUILT_IN).unwrap()
}

/// The cost of a million tokens of each sort, in dollars, as long as that is short context.
fn columns(model: &str, tier: Option<&str>) -> Option<(f64, f64, f64)> {
    let prices = Prices { long_context_above: u64::MAX, ..prices() };
    let million = |input, cached, output| {
        let usage = Usage { input, cached, output, reasoning: 0 };
        Some(prices.cost_micros(model, tier, usage)? as f64 / 1e6)
    };
    Some((million(1_000_000, 0, 0)?, million(1_000_000, 1_000_000, 0)?, million(0, 0, 1_000_000)?))
}

fn input(model: &str, tier: Option<&str>, input: u64) -> u64 {
    prices().cost_micros(model, tier, Usage { input, ..Usage::default() }).unwrap()
}

#[test]
fn every_model_and_column_is_priced_as_listed() {
    for (model, tier, expected) in [
        ("gpt-5.6-sol", "default", (5.0, 0.5, 30.0)),
        ("gpt-5.6-sol", "priority", (10.0, 1.0, 60.0)),
        ("gpt-5.6-terra", "flex", (1.0, 0.1, 6.0)),
        ("gpt-5.6-luna", "default", (0.2, 0.02, 1.2)),
        ("gpt-5.5", "priority", (12.5, 1.25, 75.0)),
        ("gpt-5.5-pro", "default", (30.0, 30.0, 180.0)),
        ("gpt-5.5-pro", "flex", (15.0, 15.0, 90.0)),
        ("gpt-5.4", "priority", (5.0, 0.5, 30.0)),
        ("gpt-5.4-mini", "flex", (0.375, 0.0375, 2.25)),
        ("gpt-5.4-nano", "default", (0.2, 0.02, 1.25)),
        ("gpt-5.3-codex", "priority", (3.5, 0.35, 28.0)),
        ("gpt-5.2", "priority", (3.5, 0.35, 28.0)),
        ("gpt-5.2", "flex", (0.875, 0.0875, 7.0)),
        ("gpt-5.1", "priority", (2.5, 0.25, 20.0)),
        ("gpt-5", "flex", (0.625, 0.0625, 5.0)),
        ("gpt-5.1-codex-mini", "default", (0.25, 0.025, 2.0)),
        ("gpt-image-1-mini", "default", (5.0, 2.0, 30.0)),
    ] {
        assert_eq!(columns(model, Some(tier)), Some(expected), "{model} {tier}");
    }
    assert_eq!(prices().models.len(), 27);
}

#[test]
fn a_tier_the_model_has_no_price_for_costs_the_standard_or_long_price() {
    assert_eq!(columns("gpt-5.4-mini", Some("priority")), columns("gpt-5.4-mini", None));
    assert_eq!(columns("gpt-5.3-codex", Some("flex")), columns("gpt-5.3-codex", None));
    assert_eq!(input("gpt-5.4-pro", Some("priority"), 300_000), 300_000 * 60);
}

#[test]
fn tiers_are_read_without_regard_to_case_and_fast_means_priority() {
    for tier in ["priority", "Priority", "FAST", " fast "] {
        assert_eq!(columns("gpt-5.4", Some(tier)).unwrap().0, 5.0, "{tier}");
    }
    for tier in ["default", "auto", "scale", ""] {
        assert_eq!(columns("gpt-5.4", Some(tier)), columns("gpt-5.4", None), "{tier}");
    }
}

#[test]
fn long_context_begins_above_the_threshold_and_counts_all_input() {
    assert_eq!(input("gpt-5.4", None, 272_000), 680_000);
    assert_eq!(input("gpt-5.4", None, 272_001), 1_360_005);
    let usage = Usage { input: 300_000, cached: 200_000, output: 1_000, reasoning: 0 };
    assert_eq!(prices().cost_micros("gpt-5.4", None, usage), Some(500_000 + 100_000 + 22_500));
}

#[test]
fn long_context_leaves_priority_alone_and_surcharges_flex() {
    assert_eq!(input("gpt-5.4", Some("priority"), 300_000), 1_500_000);
    let usage = Usage { input: 300_000, cached: 200_000, output: 1_000, reasoning: 0 };
    assert_eq!(prices().cost_micros("gpt-5.4", Some("flex"), usage), Some(250_000 + 50_000 + 11_250));
    assert_eq!(input("gpt-5.5", None, 300_000), 1_500_000, "no long price");
    assert_eq!(input("gpt-5.5", Some("flex"), 300_000), 750_000, "no long price, so no surcharge");
}

#[test]
fn names_are_found_exactly_or_by_the_longest_pattern() {
    for (model, name) in [
        ("GPT-5.4", "gpt-5.4"),
        ("gpt-5.4-2026-03-05", "gpt-5.4"),
        ("gpt-5.4-mini-2026-03-05", "gpt-5.4-mini"),
        ("gpt-5.6", "gpt-5.6-sol"),
        ("gpt-5.3-codex-spark", "gpt-5.3-codex"),
        ("gpt-5.1-codex-max-x", "gpt-5.1-codex-max"),
        ("gpt-5.1-codex-maxi", "gpt-5.1-codex-max"),
        ("gpt-5.1-codex-mini-x", "gpt-5.1-codex-mini"),
        ("gpt-5.9", "gpt-5"),
        ("gpt-image-1-mini-2", "gpt-image-1-mini"),
    ] {
        for tier in [None, Some("priority"), Some("flex")] {
            assert_eq!(columns(model, tier), columns(name, tier), "{model}");
        }
    }
    for model in ["", "gpt-4o", "o3", "gpt", "xgpt-5.4", "ä"] {
        assert_eq!(columns(model, None), None, "{model}");
    }
}

#[test]
fn every_model_but_the_aliased_ones_has_a_pattern_of_its_own() {
    let prices = prices();
    for name in prices.models.keys() {
        assert!(prices.aliases.contains(&(format!("{name}*"), name.clone())), "{name}");
    }
}

#[test]
fn cached_tokens_beyond_the_input_are_not_paid_for() {
    let usage = Usage { input: 100, cached: 500, output: 0, reasoning: 0 };
    assert_eq!(prices().cost_micros("gpt-5.4", None, usage), Some(25));
}

#[test]
fn half_a_millionth_is_rounded_up_and_nothing_overflows() {
    let of = |input| prices().cost_micros("gpt-5.4-nano", None, Usage { input, ..Usage::default() });
    assert_eq!((of(0), of(2), of(3), of(7), of(8)), (Some(0), Some(0), Some(1), Some(1), Some(2)));
    assert_eq!(columns("gpt-5.4-nano", None).unwrap().0, 0.2);
    let huge = Usage { input: u64::MAX, cached: 0, output: u64::MAX, reasoning: 0 };
    assert_eq!(prices().cost_micros("gpt-5.4", None, huge), Some(u64::MAX));
    let half = Usage { input: 1, ..Usage::default() };
    assert_eq!(prices().cost_micros("gpt-5.4", None, half), Some(3));
}

#[test]
fn a_wrong_table_is_refused_with_the_reason() {
    let table = |input: &str, alias: &str| {
        let yaml = format!(
            "long_context_above: 1\nmodels: {{m: {{standard: {{input: {input}, output: 1}}}}}}\naliases: {{{alias}}}"
        );
        serde_yaml::from_str::<Prices>(&yaml).map(|_| ()).map_err(|error| error.to_string())
    };
    assert_eq!(table("0.5", "m*: m"), Ok(()));
    for (input, alias, part) in [
        ("1", "a: b", "`b`, which is not among the models"),
        ("1", "a*b: m", "only at its end"),
        ("-1", "", "-1 is not a price"),
        (".nan", "", "not a price"),
        (".inf", "", "not a price"),
        ("2e6", "", "not a price"),
        ("cheap", "", ""),
        ("1, outptu: 1", "", "outptu"),
    ] {
        let error = table(input, alias).unwrap_err();
        assert!(error.contains(part), "{input} {alias}: {error}");
    }
}

#[test]
fn without_a_table_nothing_has_a_price() {
    assert_eq!(Prices::default().cost_micros("gpt-5.4", None, Usage::default()), None);
}
