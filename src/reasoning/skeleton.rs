//! The skeleton of an answer: its reasoning items, and where its message and tool calls stood between them.

use std::collections::HashSet;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::anchor::Scope;

/// One item of the answer. Only reasoning is kept; the rest comes back from the client.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Step<'a> {
    #[serde(borrow)]
    Reasoning(&'a RawValue),
    /// A function or custom tool call, by its call id.
    Call(String),
    Message,
}

/// Collects one answer, item by item in the order of the answer.
#[derive(Debug, Default)]
pub struct Builder {
    steps: String,
    calls: Vec<String>,
    text: String,
    reasoned: bool,
}

/// What is worth remembering of an answer: where to find it, and the skeleton.
#[derive(Debug, PartialEq, Eq)]
pub struct Remembered {
    pub anchors: Vec<String>,
    pub items: Bytes,
}

impl Builder {
    /// A reasoning item as it is to be sent back.
    pub fn reasoning(&mut self, item: &RawValue) {
        self.reasoned = true;
        self.step(&Step::Reasoning(item));
    }

    pub fn call(&mut self, call_id: &str) {
        self.calls.push(call_id.to_owned());
        self.step(&Step::Call(call_id.to_owned()));
    }

    pub fn message(&mut self, text: &str) {
        self.text.push_str(text);
        self.step(&Step::Message);
    }

    fn step(&mut self, step: &Step<'_>) {
        self.steps.push(if self.steps.is_empty() { '[' } else { ',' });
        // Serialising strings into memory cannot fail.
        self.steps.push_str(&serde_json::to_string(step).unwrap_or_default());
    }

    /// `None` when there was no reasoning to keep.
    pub fn finish(self, scope: &Scope) -> Option<Remembered> {
        if !self.reasoned {
            return None;
        }
        let anchors = if self.calls.is_empty() {
            vec![scope.text(&self.text)]
        } else {
            self.calls.iter().map(|call_id| scope.call(call_id)).collect()
        };
        Some(Remembered { anchors, items: Bytes::from(self.steps + "]") })
    }
}

/// One item of the upstream's input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    pub json: Bytes,
    /// A reasoning item with encrypted content; may be left out when the upstream refuses it.
    pub encrypted: bool,
}

impl Item {
    pub fn plain(json: impl Into<Bytes>) -> Self {
        Self { json: json.into(), encrypted: false }
    }
}

/// An assistant message of the client as input items.
#[derive(Debug, Default)]
pub struct Said {
    pub message: Option<Item>,
    /// Call id and item, in the client's order.
    pub calls: Vec<(String, Item)>,
}

/// Puts the reasoning back: each item right before what it led to. Reasoning whose consequence the client left out,
/// or that is in the input already (`seen`), stays out: the upstream refuses both.
pub fn weave(mut said: Said, skeleton: &[u8], seen: &mut HashSet<Bytes>, input: &mut Vec<Item>) {
    let steps: Vec<Step<'_>> = serde_json::from_slice(skeleton).unwrap_or_default();
    let mut thoughts = Vec::new();
    for step in steps {
        let led_to = match step {
            Step::Reasoning(raw) => {
                thoughts.push(Bytes::copy_from_slice(raw.get().as_bytes()));
                continue;
            }
            Step::Message => said.message.take(),
            Step::Call(call_id) => {
                let at = said.calls.iter().position(|(id, _)| *id == call_id);
                at.map(|at| said.calls.remove(at).1)
            }
        };
        match led_to {
            Some(item) => {
                let new = thoughts.drain(..).filter(|json| seen.insert(json.clone()));
                input.extend(new.map(|json| Item { json, encrypted: true }));
                input.push(item);
            }
            None => thoughts.clear(),
        }
    }
    said.append_to(input);
}

impl Said {
    /// The items without any reasoning.
    pub fn append_to(self, input: &mut Vec<Item>) {
        input.extend(self.message);
        input.extend(self.calls.into_iter().map(|(_, item)| item));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(json: &str) -> Box<RawValue> {
        RawValue::from_string(json.to_owned()).unwrap()
    }

    fn interleaved() -> Remembered {
        let mut builder = Builder::default();
        builder.reasoning(&raw(r#"{"r":1}"#));
        builder.message("hi");
        builder.call("a");
        builder.reasoning(&raw(r#"{"r":2}"#));
        builder.call("b");
        builder.finish(&Scope::default()).unwrap()
    }

    fn said(message: bool, calls: &[&str]) -> Said {
        Said {
            message: message.then(|| Item::plain("M")),
            calls: calls.iter().map(|id| ((*id).to_owned(), Item::plain((*id).to_owned()))).collect(),
        }
    }

    fn woven(said: Said, seen: &mut HashSet<Bytes>) -> String {
        let mut input = Vec::new();
        weave(said, &interleaved().items, seen, &mut input);
        let texts: Vec<_> =
            input.iter().map(|item| String::from_utf8_lossy(&item.json).into_owned()).collect();
        texts.join(" ")
    }

    #[test]
    fn reasoning_goes_back_between_the_calls_where_it_stood() {
        assert_eq!(woven(said(true, &["a", "b"]), &mut HashSet::new()), r#"{"r":1} M a {"r":2} b"#);
    }

    #[test]
    fn reasoning_without_its_consequence_stays_out() {
        assert_eq!(woven(said(false, &["b"]), &mut HashSet::new()), r#"{"r":2} b"#);
        assert_eq!(woven(said(true, &["x"]), &mut HashSet::new()), r#"{"r":1} M x"#);
    }

    #[test]
    fn the_same_reasoning_never_goes_in_twice() {
        let mut seen = HashSet::new();
        assert_eq!(woven(said(false, &["a"]), &mut seen), "a");
        assert_eq!(woven(said(false, &["b"]), &mut seen), r#"{"r":2} b"#);
        assert_eq!(woven(said(false, &["b"]), &mut seen), "b");
    }

    #[test]
    fn a_broken_skeleton_loses_nothing_the_client_said() {
        let mut input = Vec::new();
        weave(said(true, &["a"]), b"{", &mut HashSet::new(), &mut input);
        assert_eq!(input.len(), 2);
    }

    #[test]
    fn an_answer_is_found_by_each_call_or_by_its_text() {
        assert_eq!(interleaved().anchors.len(), 2);
        let mut builder = Builder::default();
        builder.reasoning(&raw("{}"));
        builder.message("hi");
        let scope = Scope { key: "k".into(), question: "q".into() };
        assert_eq!(builder.finish(&scope).unwrap().anchors, [scope.text("hi")]);
        assert_eq!(Builder::default().finish(&scope), None);
    }
}
