//! The prompt cache of an account: which beginnings of a conversation it has seen.

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use serde_json::Value;

/// Conversations remembered per account, and prefixes per conversation; the oldest conversation goes first.
const MAX_CONVERSATIONS: usize = 256;
const MAX_PREFIXES: usize = 8192;
/// Cached tokens are told in whole blocks.
const BLOCK: u64 = 128;

#[derive(Debug, Default)]
pub(crate) struct Cache {
    prefixes: HashMap<String, HashSet<u64>>,
    order: VecDeque<String>,
}

/// Both in tokens (bytes / 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Input {
    pub(crate) tokens: u64,
    pub(crate) cached: u64,
}

impl Cache {
    /// Measures a request against what `conversation` has seen, and remembers it.
    pub(crate) fn visit(&mut self, conversation: &str, request: &Value) -> Input {
        let seen = self.conversation(conversation);
        let mut hash = DefaultHasher::new();
        let (mut bytes, mut cached) = (0_u64, 0);
        for segment in segments(request) {
            segment.hash(&mut hash);
            bytes = bytes.saturating_add(u64::try_from(segment.len()).unwrap_or(u64::MAX));
            let prefix = hash.finish();
            if seen.contains(&prefix) {
                cached = bytes;
            } else if seen.len() < MAX_PREFIXES {
                seen.insert(prefix);
            }
        }
        Input { tokens: (bytes / 4).max(1), cached: cached / 4 / BLOCK * BLOCK }
    }

    fn conversation(&mut self, name: &str) -> &mut HashSet<u64> {
        if !self.prefixes.contains_key(name) {
            if self.order.len() >= MAX_CONVERSATIONS
                && let Some(oldest) = self.order.pop_front()
            {
                self.prefixes.remove(&oldest);
            }
            self.order.push_back(name.to_owned());
        }
        self.prefixes.entry(name.to_owned()).or_default()
    }
}

/// What the model is shown, in order: instructions, tools, items. Ids and states of items are not shown to it.
fn segments(request: &Value) -> impl Iterator<Item = String> + '_ {
    let head =
        [request.get("instructions"), request.get("tools")].into_iter().flatten().map(Value::to_string);
    let items = request.get("input").and_then(Value::as_array).into_iter().flatten();
    head.chain(items.map(|item| match item.as_object() {
        None => item.to_string(),
        Some(object) => {
            let shown = object.iter().filter(|(key, _)| !matches!(key.as_str(), "id" | "status"));
            shown.map(|(key, value)| format!("{key}:{value},")).collect()
        }
    }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn request(words: &[&str]) -> Value {
        let items: Vec<Value> = words.iter().map(|word| json!({"content": word.repeat(400)})).collect();
        json!({"instructions": "i".repeat(1000), "input": items})
    }

    #[test]
    fn a_longer_request_finds_its_old_beginning_in_the_cache() {
        let mut cache = Cache::default();
        assert_eq!(cache.visit("c", &request(&["ab", "cd"])).cached, 0);
        let second = cache.visit("c", &request(&["ab", "cd", "ef"]));
        let first_bytes = 1002 + 2 * (800 + "content:\"\",".len());
        assert_eq!(second.cached, u64::try_from(first_bytes / 4 / 128 * 128).unwrap());
        assert!(second.cached < second.tokens);
    }

    #[test]
    fn a_changed_beginning_or_another_conversation_finds_nothing() {
        let mut cache = Cache::default();
        cache.visit("c", &request(&["ab", "cd"]));
        assert_eq!(cache.visit("d", &request(&["ab", "cd"])).cached, 0);
        let mut changed = request(&["ab", "cd"]);
        changed["instructions"] = json!("other");
        assert_eq!(cache.visit("c", &changed).cached, 0);
    }
}
