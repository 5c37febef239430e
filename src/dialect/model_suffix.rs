//! Model names with a wish behind them: `gpt-5.4-high-fast` is `gpt-5.4` with effort `high` and tier `priority`.

/// Slugs that may carry suffixes; the first that fits decides, so longer ones stand before their beginnings.
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

/// Efforts a suffix can ask for, lowest first.
const EFFORTS: [&str; 4] = ["minimal", "low", "medium", "high"];

/// What a model name with suffixes means.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Meaning {
    pub(super) model: &'static str,
    pub(super) effort: Option<&'static str>,
    pub(super) priority: bool,
}

/// `None` when the name has no suffix, or one that is not known: then it is a model of its own.
pub(super) fn read(model: &str) -> Option<Meaning> {
    let lower = model.to_ascii_lowercase();
    let (base, suffixes) =
        BASES.iter().find_map(|base| Some((*base, lower.strip_prefix(base)?.strip_prefix('-')?)))?;
    let mut effort: Option<usize> = None;
    let mut priority = false;
    for token in suffixes.split('-') {
        match token {
            "fast" | "priority" => priority = true,
            "reasoning" | "thinking" => {}
            _ => effort = effort.max(Some(rank(token)?)),
        }
    }
    Some(Meaning { model: base, effort: effort.and_then(|rank| EFFORTS.get(rank).copied()), priority })
}

fn rank(token: &str) -> Option<usize> {
    let name = if matches!(token, "xhigh" | "extra") { "high" } else { token };
    EFFORTS.iter().position(|effort| *effort == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suffixes_ask_for_effort_and_tier() {
        let meaning = read("gpt-5.4-extra-high-fast").unwrap();
        assert_eq!(meaning, Meaning { model: "gpt-5.4", effort: Some("high"), priority: true });
        assert_eq!(read("GPT-5.4-mini-low").unwrap().model, "gpt-5.4-mini");
        assert_eq!(read("gpt-5.3-codex-low-medium").unwrap().effort, Some("medium"));
        assert_eq!(read("gpt-5-thinking").unwrap().effort, None);
    }

    #[test]
    fn a_name_with_an_unknown_suffix_is_left_alone() {
        for model in
            ["gpt-5.4", "gpt-5.3-codex-spark", "gpt-5.4-2026-01-01", "gpt-5.6-sol-x", "gpt-4o-high", ""]
        {
            assert_eq!(read(model), None, "{model}");
        }
    }
}
