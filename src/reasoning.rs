//! The reasoning memory: what an answer's reasoning was, for chat clients that cannot carry it themselves.
//!
//! A chat client gets the reasoning as text and cannot send the upstream's own (encrypted) items back. They are kept
//! here, found again by the tool-call ids or the text of the assistant message, and put back where they stood.

pub mod anchor;
pub mod skeleton;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;

use crate::ledger::Ledger;

/// Unused reasoning is forgotten after a day, milliseconds.
const MAX_AGE: u64 = 24 * 60 * 60 * 1000;

/// What an entry costs beside its anchor, account and items, bytes: map nodes and counters.
const OVERHEAD: u64 = 200;

/// Reasoning by anchor; bounded by bytes and age, least recently used out first.
pub struct ReasoningMemory {
    max_bytes: u64,
    spill: Option<Ledger>,
    store: Mutex<Store>,
}

#[derive(Debug, Default)]
struct Store {
    entries: HashMap<String, Entry>,
    /// Use number to anchor, least recently used first.
    uses: BTreeMap<u64, String>,
    next_use: u64,
    bytes: u64,
}

#[derive(Debug)]
struct Entry {
    account: String,
    items: Bytes,
    use_number: u64,
    /// Unix epoch milliseconds; `None`: loaded from the ledger and not used since.
    used_at: Option<u64>,
}

impl ReasoningMemory {
    /// Holds `max_bytes` at most; begins with what the ledger saved, and saves there.
    pub fn new(max_bytes: u64, spill: Option<Ledger>) -> Self {
        let mut store = Store::default();
        let saved = spill.as_ref().map(|ledger| ledger.load_reasoning(max_bytes));
        match saved {
            Some(Ok(rows)) => {
                for (anchor, account, items) in rows {
                    store.insert(anchor, Entry { account, items, use_number: 0, used_at: None });
                }
            }
            Some(Err(error)) => log::warn!("saved reasoning was not loaded: {error}"),
            None => {}
        }
        store.shrink(max_bytes);
        Self { max_bytes, spill, store: Mutex::new(store) }
    }

    /// The account that reasoned and its items (a `skeleton`).
    pub fn find(&self, anchor: &str, now_ms: u64) -> Option<(String, Bytes)> {
        let mut store = self.store.lock().unwrap_or_else(PoisonError::into_inner);
        store.expire(now_ms);
        let entry = store.remove(anchor)?;
        let found = (entry.account.clone(), entry.items.clone());
        store.insert(anchor.to_owned(), Entry { used_at: Some(now_ms), ..entry });
        Some(found)
    }

    /// Keeps the items of one answer under each of its anchors.
    pub fn put(&self, anchors: &[String], account: &str, items: Bytes, now_ms: u64) {
        let mut store = self.store.lock().unwrap_or_else(PoisonError::into_inner);
        store.expire(now_ms);
        for anchor in anchors {
            let entry = Entry {
                account: account.to_owned(),
                items: items.clone(),
                use_number: 0,
                used_at: Some(now_ms),
            };
            store.insert(anchor.clone(), entry);
        }
        store.shrink(self.max_bytes);
        drop(store);
        if let Some(ledger) = &self.spill {
            for anchor in anchors {
                ledger.save_reasoning(anchor, account, items.clone(), now_ms);
            }
        }
    }
}

impl Store {
    fn insert(&mut self, anchor: String, mut entry: Entry) {
        self.remove(&anchor);
        entry.use_number = self.next_use;
        self.next_use += 1;
        self.bytes += cost(&anchor, &entry);
        self.uses.insert(entry.use_number, anchor.clone());
        self.entries.insert(anchor, entry);
    }

    fn remove(&mut self, anchor: &str) -> Option<Entry> {
        let entry = self.entries.remove(anchor)?;
        self.uses.remove(&entry.use_number);
        self.bytes -= cost(anchor, &entry);
        Some(entry)
    }

    fn shrink(&mut self, max_bytes: u64) {
        while self.bytes > max_bytes {
            let Some((_, oldest)) = self.uses.pop_first() else { return };
            self.remove(&oldest);
        }
    }

    fn expire(&mut self, now_ms: u64) {
        let expired = |entry: &Entry| entry.used_at.is_some_and(|at| at.saturating_add(MAX_AGE) < now_ms);
        while let Some(oldest) = self.uses.first_key_value().map(|(_, anchor)| anchor.clone()) {
            if !self.entries.get(&oldest).is_some_and(expired) {
                return;
            }
            self.remove(&oldest);
        }
    }
}

fn cost(anchor: &str, entry: &Entry) -> u64 {
    (2 * anchor.len() + entry.account.len() + entry.items.len()) as u64 + OVERHEAD
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(memory: &ReasoningMemory, anchor: &str, size: usize, now_ms: u64) {
        memory.put(&[anchor.to_owned()], "account", Bytes::from(vec![b'x'; size]), now_ms);
    }

    #[test]
    fn every_anchor_of_an_answer_finds_its_items() {
        let memory = ReasoningMemory::new(10_000, None);
        memory.put(&["a".into(), "b".into()], "acct", Bytes::from_static(b"items"), 1);
        assert_eq!(memory.find("a", 2), Some(("acct".into(), Bytes::from_static(b"items"))));
        assert_eq!(memory.find("b", 2).unwrap().0, "acct");
        assert_eq!(memory.find("c", 2), None);
    }

    #[test]
    fn the_least_recently_used_goes_first_when_it_is_full() {
        let memory = ReasoningMemory::new(4_000, None);
        for anchor in ["a", "b", "c"] {
            put(&memory, anchor, 1_000, 1);
        }
        assert!(memory.find("a", 2).is_some());
        put(&memory, "d", 1_000, 3);
        assert!(memory.find("b", 4).is_none());
        assert!(memory.find("a", 4).is_some());
        assert!(memory.store.lock().unwrap().bytes <= 4_000);
    }

    #[test]
    fn items_larger_than_the_memory_are_not_kept() {
        let memory = ReasoningMemory::new(1_000, None);
        put(&memory, "a", 5_000, 1);
        assert!(memory.find("a", 1).is_none());
        assert_eq!(memory.store.lock().unwrap().bytes, 0);
    }

    #[test]
    fn what_was_not_used_for_a_day_is_forgotten() {
        let memory = ReasoningMemory::new(10_000, None);
        put(&memory, "old", 10, 0);
        put(&memory, "used", 10, 0);
        assert!(memory.find("used", MAX_AGE / 2).is_some());
        assert!(memory.find("old", MAX_AGE + 1).is_none());
        assert!(memory.find("used", MAX_AGE + 1).is_some());
    }
}
