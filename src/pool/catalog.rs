//! The models the accounts offer: each account's own list, and all of them merged.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde_json::{Map, Value};

/// A list not renewed within this time is forgotten.
const EXPIRES_MS: u64 = 86_400 * 1000;
/// Models read from one list, at most.
const MOST_MODELS: usize = 512;

/// The merged catalog. Entries keep every key the upstream gave them.
#[derive(Debug, Default)]
pub struct Catalog {
    /// One entry per model, in the upstream's order of priority.
    pub entries: Vec<Value>,
    /// Slug → ids of the accounts that offer it.
    offers: HashMap<String, Vec<String>>,
    /// Account id → its own list.
    lists: BTreeMap<String, List>,
}

#[derive(Debug, Clone)]
struct List {
    fetched_at: u64,
    /// Shared between accounts that were given the same entry.
    entries: Vec<Arc<Value>>,
}

impl Catalog {
    /// The accounts that offer the model, by id.
    pub fn accounts(&self, slug: &str) -> &[String] {
        self.offers.get(slug).map_or(&[], Vec::as_slice)
    }

    /// The account offers the model, or nothing is known against it: what no list names, the upstream may judge.
    pub fn may_offer(&self, slug: &str, account: &str) -> bool {
        let offering = self.accounts(slug);
        offering.is_empty() || offering.iter().any(|id| id == account) || !self.lists.contains_key(account)
    }

    /// The catalog with the account's new list, and without lists that expired or whose account is not `known`.
    pub(super) fn with(
        &self,
        account: &str,
        entries: Vec<Value>,
        known: impl Fn(&str) -> bool,
        now_ms: u64,
    ) -> Self {
        let mut lists = self.lists.clone();
        let share = |entry: Value| {
            let held = lists.values().flat_map(|list| &list.entries).find(|held| ***held == entry);
            held.map_or_else(|| Arc::new(entry.clone()), Arc::clone)
        };
        let entries =
            entries.into_iter().filter(|entry| slug(entry).is_some()).take(MOST_MODELS).map(share).collect();
        lists.insert(account.to_owned(), List { fetched_at: now_ms, entries });
        lists.retain(|id, list| known(id) && now_ms.saturating_sub(list.fetched_at) <= EXPIRES_MS);
        Self::merged(lists)
    }

    fn merged(lists: BTreeMap<String, List>) -> Self {
        let mut newest_first: Vec<_> = lists.iter().collect();
        newest_first.sort_by_key(|(_, list)| std::cmp::Reverse(list.fetched_at));
        let mut merged: BTreeMap<&str, Value> = BTreeMap::new();
        let mut offers: HashMap<String, Vec<String>> = HashMap::new();
        for (account, list) in newest_first {
            for entry in &list.entries {
                let Some(slug) = slug(entry) else { continue };
                merged
                    .entry(slug)
                    .and_modify(|old| add_tiers(old, entry))
                    .or_insert_with(|| (**entry).clone());
                let offering = offers.entry(slug.to_owned()).or_default();
                if !offering.contains(account) {
                    offering.push(account.clone());
                }
            }
        }
        let mut entries: Vec<Value> = merged.into_values().collect();
        entries.sort_by_key(|entry| entry.get("priority").and_then(Value::as_i64).unwrap_or(i64::MAX));
        Self { entries, offers, lists }
    }
}

fn slug(entry: &Value) -> Option<&str> {
    entry.get("slug")?.as_str().filter(|slug| (1..=128).contains(&slug.len()))
}

/// What another account's entry of the same model adds: tiers the first one does not have.
fn add_tiers(entry: &mut Value, other: &Value) {
    let (Some(entry), Some(other)) = (entry.as_object_mut(), other.as_object()) else { return };
    for key in ["additional_speed_tiers", "service_tiers"] {
        add_items(entry, other, key);
    }
    let names_one = |tier: Option<&Value>| {
        tier.and_then(Value::as_str).is_some_and(|tier| !matches!(tier, "" | "auto" | "default"))
    };
    let key = "default_service_tier";
    if !names_one(entry.get(key))
        && let Some(tier) = other.get(key).filter(|tier| names_one(Some(*tier)))
    {
        entry.insert(key.to_owned(), tier.clone());
    }
}

fn add_items(entry: &mut Map<String, Value>, other: &Map<String, Value>, key: &str) {
    let Some(theirs) = other.get(key).and_then(Value::as_array).filter(|items| !items.is_empty()) else {
        return;
    };
    let mut items = entry.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
    for item in theirs {
        if !items.iter().any(|held| tier_name(held) == tier_name(item)) {
            items.push(item.clone());
        }
    }
    entry.insert(key.to_owned(), Value::Array(items));
}

/// What a tier is known by; `fast` is another name of `priority`.
fn tier_name(tier: &Value) -> Option<&str> {
    let named =
        ["slug", "id", "tier", "name"].into_iter().find_map(|key| tier.get(key).and_then(Value::as_str));
    match tier.as_str().or(named) {
        Some("fast") => Some("priority"),
        name => name,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn anybody(_: &str) -> bool {
        true
    }

    #[test]
    fn lists_are_merged_and_the_newest_entry_wins() {
        let catalog = Catalog::default()
            .with("a", vec![json!({"slug": "m", "v": 1}), json!({"slug": "only-a"})], anybody, 1)
            .with(
                "b",
                vec![json!({"slug": "first", "priority": 1}), json!({"slug": "m", "v": 2})],
                anybody,
                2,
            );
        assert_eq!(
            catalog.entries,
            [
                json!({"slug": "first", "priority": 1}),
                json!({"slug": "m", "v": 2}),
                json!({"slug": "only-a"})
            ]
        );
        assert_eq!(catalog.accounts("m"), ["b", "a"]);
        assert_eq!(catalog.accounts("only-a"), ["a"]);
    }

    #[test]
    fn an_account_is_excluded_only_by_its_own_list() {
        let catalog = Catalog::default().with("a", vec![json!({"slug": "m"})], anybody, 1).with(
            "b",
            vec![json!({"slug": "n"})],
            anybody,
            1,
        );
        assert!(catalog.may_offer("m", "a"));
        assert!(!catalog.may_offer("m", "b"));
        assert!(catalog.may_offer("m", "not fetched yet"));
        assert!(catalog.may_offer("in no list", "b"));
    }

    #[test]
    fn tiers_of_all_accounts_are_offered() {
        let catalog = Catalog::default()
            .with(
                "a",
                vec![json!({"slug": "m", "service_tiers": [{"id": "flex"}, {"id": "priority"}],
                    "additional_speed_tiers": ["fast"], "default_service_tier": "flex"})],
                anybody,
                1,
            )
            .with(
                "b",
                vec![json!({"slug": "m", "service_tiers": [{"id": "priority"}], "default_service_tier": "auto"})],
                anybody,
                2,
            );
        assert_eq!(
            catalog.entries,
            [json!({"slug": "m", "service_tiers": [{"id": "priority"}, {"id": "flex"}],
                "additional_speed_tiers": ["fast"], "default_service_tier": "flex"})]
        );
    }

    #[test]
    fn lists_of_removed_accounts_and_old_lists_disappear() {
        let catalog = Catalog::default().with("old", vec![json!({"slug": "m"})], anybody, 0);
        let catalog = catalog.with("gone", vec![json!({"slug": "n"})], anybody, EXPIRES_MS);
        let catalog = catalog.with("a", vec![json!({"slug": "o"})], |id| id != "gone", EXPIRES_MS + 1);
        assert_eq!(catalog.entries, [json!({"slug": "o"})]);
    }

    #[test]
    fn equal_entries_are_held_once_and_odd_ones_not_at_all() {
        let list = || {
            vec![json!({"slug": "m", "long": "text"}), json!({"slug": 7}), json!(null), json!({"slug": ""})]
        };
        let catalog = Catalog::default().with("a", list(), anybody, 1).with("b", list(), anybody, 1);
        assert_eq!(catalog.entries.len(), 1);
        assert!(Arc::ptr_eq(&catalog.lists["a"].entries[0], &catalog.lists["b"].entries[0]));
    }
}
