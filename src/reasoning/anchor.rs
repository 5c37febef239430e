//! Anchors: what an answer's reasoning is found by when its assistant message comes back.

use sha2::{Digest, Sha256};

/// Whose conversation, and what was asked last. Keeps equal texts of different keys or questions apart.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scope {
    /// The id of the client's key; empty without one.
    pub key: String,
    /// Digest of the last user message before the answer; see `question`.
    pub question: String,
}

/// What stands for a user message in a `Scope`.
pub fn question(text: &str) -> String {
    digest(&["question", text.trim()])
}

impl Scope {
    /// The anchor of one tool call. The upstream makes ids that are unique.
    pub fn call(&self, call_id: &str) -> String {
        digest(&["call", &self.key, call_id])
    }

    /// The anchor of an answer without tool calls.
    pub fn text(&self, text: &str) -> String {
        digest(&["text", &self.key, &self.question, text.trim()])
    }
}

/// 32 hex digits over length-framed parts.
fn digest(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(key: &str, text: &str) -> Scope {
        Scope { key: key.into(), question: question(text) }
    }

    #[test]
    fn keys_and_questions_keep_equal_answers_apart() {
        let anchor = scope("k1", "how?").text("OK");
        assert_eq!(anchor, scope("k1", " how? ").text("OK\n"));
        assert_ne!(anchor, scope("k2", "how?").text("OK"));
        assert_ne!(anchor, scope("k1", "why?").text("OK"));
        assert_ne!(scope("k1", "").call("c1"), scope("k2", "").call("c1"));
        assert_eq!(scope("k1", "how?").call("c1"), scope("k1", "why?").call("c1"));
    }

    #[test]
    fn parts_do_not_run_into_each_other() {
        let other = Scope { key: "ab".into(), question: String::new() };
        assert_ne!(Scope { key: "a".into(), question: "b".into() }.text("c"), other.text("c"));
    }
}
