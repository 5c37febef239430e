//! The `prompt_cache_key` of a client that names none: the same for all turns of a conversation.

use sha2::{Digest, Sha256};

/// How much of a text tells conversations apart, characters.
const PREFIX: usize = 512;

/// `<class>-<key>-<instructions>-<first user message>`, hashed but for the class; missing parts are left out.
/// `fallback` (hex digits) stands in when there is neither text.
pub(super) fn derive(
    model: &str,
    key: Option<&str>,
    instructions: &str,
    first_user: Option<&str>,
    fallback: &str,
) -> String {
    let class = if model.contains("codex") {
        "codex"
    } else if model.contains("mini") {
        "mini"
    } else {
        "std"
    };
    let texts = [Some(instructions), first_user].into_iter().flatten().filter(|text| !text.is_empty());
    let texts: Vec<_> = texts.map(short).collect();
    if texts.is_empty() {
        return format!("{class}-{}", fallback.chars().take(24).collect::<String>());
    }
    let key = key.map(|key| key.chars().take(12).collect::<String>());
    let parts: Vec<_> = std::iter::once(class.to_owned()).chain(key).chain(texts).collect();
    parts.join("-")
}

/// The first 12 hex digits of the hash of the text's beginning.
fn short(text: &str) -> String {
    let end = text.char_indices().nth(PREFIX).map_or(text.len(), |(at, _)| at);
    let hash = Sha256::digest(text.get(..end).unwrap_or(text));
    hash.iter().take(6).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_the_same_as_long_as_the_beginning_is() {
        let key = |instructions: &str, user| derive("gpt-5.4", Some("k"), instructions, Some(user), "");
        let long = "x".repeat(PREFIX);
        assert_eq!(key(&long, "hi"), key(&format!("{long}y"), "hi"));
        assert_ne!(key("a", "hi"), key("b", "hi"));
        assert_ne!(key("a", "hi"), key("a", "ho"));
    }

    #[test]
    fn the_upstream_s_limit_of_64_characters_holds() {
        let key = derive("gpt-5.3-codex", Some(&"k".repeat(40)), "a", Some("b"), "");
        assert!(key.starts_with("codex-kkkkkkkkkkkk-") && key.len() <= 64, "{key}");
        assert_eq!(
            derive("gpt-5.4-mini", None, "", None, &"0af3".repeat(8)),
            format!("mini-{}", "0af3".repeat(6))
        );
    }
}
