//! Which account keeps which conversation: in memory, bounded, forgotten when unused.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// Time since last use after which a conversation may go anywhere: the upstream's prompt cache is cold by then.
const TTL_MS: u64 = 30 * 60 * 1000;
/// Conversations remembered; beyond that the one unused longest goes.
const CAPACITY: usize = 100_000;

/// Conversation key → account id.
#[derive(Debug, Default)]
pub(super) struct Affinity {
    rows: HashMap<Arc<str>, Row>,
    /// Use number → key: the first is the one unused longest.
    by_use: BTreeMap<u64, Arc<str>>,
    uses: u64,
}

#[derive(Debug)]
struct Row {
    account: String,
    used_at: u64,
    use_number: u64,
}

impl Affinity {
    /// The account of the conversation; counts as a use.
    pub(super) fn account(&mut self, key: &str, now_ms: u64) -> Option<String> {
        let account = self.peek(key, now_ms)?.to_owned();
        self.set(key, &account, now_ms);
        Some(account)
    }

    /// The account of the conversation.
    pub(super) fn peek(&self, key: &str, now_ms: u64) -> Option<&str> {
        let row = self.rows.get(key)?;
        (now_ms.saturating_sub(row.used_at) <= TTL_MS).then_some(row.account.as_str())
    }

    /// From now on the conversation is the account's.
    pub(super) fn set(&mut self, key: &str, account: &str, now_ms: u64) {
        self.uses += 1;
        let use_number = self.uses;
        if let Some((key, row)) = self.rows.remove_entry(key) {
            self.by_use.remove(&row.use_number);
            self.insert(key, account.to_owned(), now_ms, use_number);
        } else {
            self.insert(Arc::from(key), account.to_owned(), now_ms, use_number);
        }
        self.shrink(now_ms);
    }

    fn insert(&mut self, key: Arc<str>, account: String, used_at: u64, use_number: u64) {
        self.by_use.insert(use_number, Arc::clone(&key));
        self.rows.insert(key, Row { account, used_at, use_number });
    }

    /// Drops what is too much, and of the expired rows two at a time: faster than they can come in.
    fn shrink(&mut self, now_ms: u64) {
        for _ in 0..2 {
            let Some(oldest) = self.by_use.first_entry() else { return };
            let expired =
                self.rows.get(oldest.get()).is_none_or(|row| now_ms.saturating_sub(row.used_at) > TTL_MS);
            if !expired && self.rows.len() <= CAPACITY {
                return;
            }
            let key = oldest.remove();
            self.rows.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_conversation_is_forgotten_half_an_hour_after_its_last_use() {
        let mut affinity = Affinity::default();
        affinity.set("k", "a", 0);
        assert_eq!(affinity.account("k", TTL_MS).as_deref(), Some("a"));
        assert_eq!(affinity.account("k", 2 * TTL_MS).as_deref(), Some("a"), "the last look was a use");
        assert_eq!(affinity.account("k", 3 * TTL_MS + 1), None);
    }

    #[test]
    fn the_conversation_unused_longest_makes_room() {
        let mut affinity = Affinity::default();
        for n in 0..CAPACITY {
            affinity.set(&n.to_string(), "a", 1);
        }
        assert!(affinity.account("0", 1).is_some());
        affinity.set("new", "b", 1);

        assert_eq!(affinity.rows.len(), CAPACITY);
        assert_eq!(affinity.by_use.len(), CAPACITY);
        assert_eq!(affinity.account("1", 1), None);
        assert!(affinity.account("0", 1).is_some());
    }

    #[test]
    fn expired_rows_do_not_pile_up() {
        let mut affinity = Affinity::default();
        for n in 0..10_u64 {
            affinity.set(&n.to_string(), "a", 0);
        }
        for n in 10..20_u64 {
            affinity.set(&n.to_string(), "a", TTL_MS + 1);
        }
        assert_eq!(affinity.rows.len(), 10);
        assert_eq!(affinity.by_use.len(), 10);
    }
}
