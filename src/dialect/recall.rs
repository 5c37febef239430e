//! Puts remembered reasoning back into a conversation.

use std::collections::HashSet;

use bytes::Bytes;

use super::chat_messages::{Assistant, Entry};
use crate::reasoning::ReasoningMemory;
use crate::reasoning::anchor::Scope;
use crate::reasoning::skeleton::{Item, weave};

/// The input with its reasoning, and the account the reasoning belongs to.
pub(super) struct Recalled {
    pub(super) items: Vec<Item>,
    pub(super) owner: Option<String>,
}

/// Only the reasoning of one account goes in, that of the latest answer: another's would be refused.
pub(super) fn recall(entries: Vec<Entry>, key: &str, memory: &ReasoningMemory, now_ms: u64) -> Recalled {
    let found: Vec<_> = entries
        .iter()
        .map(|entry| match entry {
            Entry::Assistant(assistant) => find(assistant, key, memory, now_ms),
            Entry::Item(_) => None,
        })
        .collect();
    let owner = found.iter().rev().flatten().next().map(|(account, _)| account.clone());
    let mut items = Vec::with_capacity(entries.len());
    let mut seen = HashSet::new();
    for (entry, found) in entries.into_iter().zip(found) {
        let assistant = match entry {
            Entry::Item(item) => {
                items.push(item);
                continue;
            }
            Entry::Assistant(assistant) => assistant,
        };
        match found {
            Some((account, skeleton)) if owner.as_ref() == Some(&account) => {
                weave(assistant.said, &skeleton, &mut seen, &mut items);
            }
            Some(_) => assistant.said.append_to(&mut items),
            None => {
                let new = assistant.echoed.into_iter().filter(|item| seen.insert(item.json.clone()));
                items.extend(new);
                assistant.said.append_to(&mut items);
            }
        }
    }
    Recalled { items, owner }
}

fn find(assistant: &Assistant, key: &str, memory: &ReasoningMemory, now_ms: u64) -> Option<(String, Bytes)> {
    let scope = Scope { key: key.to_owned(), question: assistant.question.clone() };
    if assistant.said.calls.is_empty() {
        let anchor = (!assistant.text.trim().is_empty()).then(|| scope.text(&assistant.text))?;
        return memory.find(&anchor, now_ms);
    }
    assistant.said.calls.iter().find_map(|(call_id, _)| memory.find(&scope.call(call_id), now_ms))
}
