//! An account's OAuth tokens: what they are, what their claims say, and how they are refreshed.

pub mod auth_file; // Codex's auth.json
pub mod claims; // what the tokens say about their account
pub mod refresh; // one at a time per account, durable before use

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::vault::Secret;

/// The three tokens of one login. The refresh token is single-use: see `refresh`.
#[derive(Debug, Clone)]
pub struct Tokens {
    pub id: Option<Secret>,
    pub access: Secret,
    pub refresh: Secret,
}

/// How tokens look inside a sealed blob. Nothing else may serialise them.
#[derive(Serialize, Deserialize)]
struct Plain<'a> {
    id: Option<Cow<'a, str>>,
    access: Cow<'a, str>,
    refresh: Cow<'a, str>,
}

impl Tokens {
    /// SHA-256 hex of the refresh token: tells one set of tokens from the next without being a secret.
    pub fn refresh_hash(&self) -> String {
        hex(&Sha256::digest(self.refresh.expose()))
    }

    /// For the vault only.
    pub(crate) fn to_plain(&self) -> Zeroizing<Vec<u8>> {
        let plain = Plain {
            id: self.id.as_ref().map(|id| id.expose().into()),
            access: self.access.expose().into(),
            refresh: self.refresh.expose().into(),
        };
        // Grown once, so that no half-written copy stays behind in freed memory.
        let length = plain.id.as_deref().map_or(0, str::len) + plain.access.len() + plain.refresh.len();
        let mut bytes = Zeroizing::new(Vec::with_capacity(2 * length + 64));
        // Three strings into memory: neither part can fail.
        if let Err(error) = serde_json::to_writer(&mut *bytes, &plain) {
            log::error!("tokens could not be serialised: {error}");
        }
        bytes
    }

    /// What `to_plain` wrote; `None` for anything else.
    pub(crate) fn from_plain(bytes: &[u8]) -> Option<Self> {
        let plain: Plain<'_> = serde_json::from_slice(bytes).ok()?;
        Some(Self {
            id: plain.id.map(Secret::new),
            access: Secret::new(plain.access),
            refresh: Secret::new(plain.refresh),
        })
    }
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        for digit in [byte >> 4, byte & 15] {
            text.push(char::from_digit(u32::from(digit), 16).unwrap_or('0'));
        }
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_survive_the_way_into_the_vault_and_back() {
        let tokens = Tokens { id: None, access: Secret::new("a.b.c"), refresh: Secret::new("rt_1") };
        let back = Tokens::from_plain(&tokens.to_plain()).unwrap();
        assert!(back.id.is_none());
        assert_eq!((back.access, back.refresh), (tokens.access, tokens.refresh));
        assert!(Tokens::from_plain(b"{}").is_none());
    }

    #[test]
    fn the_refresh_hash_is_sha_256_in_hex() {
        let tokens = Tokens { id: None, access: Secret::new(""), refresh: Secret::new("abc") };
        assert_eq!(tokens.refresh_hash(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
