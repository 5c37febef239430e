//! Clients' API keys: the SQL on them, and the snapshot the request path asks.

use std::collections::HashMap;

use arc_swap::ArcSwap;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use codex_lb_filters::{KeyRef, KeyTable};
use rand::TryRngCore;
use rusqlite::{Connection, params};
use serde::Serialize;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::{KeyRow, LedgerError};
use crate::vault::Secret;

const PREFIX: &str = "sk-clb-";
/// Characters of a key that are kept in the open, to tell keys apart: the prefix and five more of 43.
const HINT: usize = 12;
/// A presented key longer than this is none of ours; ours have 50 characters.
const MAX_PRESENTED: usize = 256;

/// A key as people see it; the key itself is kept nowhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KeyInfo {
    pub id: String,
    pub name: String,
    /// The first characters.
    pub hint: String,
    /// Unix epoch milliseconds.
    pub created_at: u64,
    pub revoked_at: Option<u64>,
}

/// The keys that are valid now, as the request path asks for them: no lock, no wait.
#[derive(Debug, Default)]
pub struct KeyHashes {
    /// By the first 8 bytes of the hash; the whole is compared in constant time.
    table: ArcSwap<HashMap<[u8; 8], Vec<Known>>>,
}

#[derive(Debug)]
struct Known {
    hash: [u8; 32],
    key: KeyRef,
}

impl KeyHashes {
    pub fn new(keys: &[KeyRow]) -> Self {
        let hashes = Self::default();
        hashes.replace(keys);
        hashes
    }

    /// From now on these keys, and no others, are valid.
    pub fn replace(&self, keys: &[KeyRow]) {
        let mut table: HashMap<_, Vec<_>> = HashMap::with_capacity(keys.len());
        for key in keys {
            let known = Known { hash: key.hash, key: KeyRef { id: key.id.clone(), name: key.name.clone() } };
            table.entry(start(&key.hash)).or_default().push(known);
        }
        self.table.store(table.into());
    }
}

impl KeyTable for KeyHashes {
    fn find(&self, presented: &str) -> Option<KeyRef> {
        if presented.len() > MAX_PRESENTED {
            return None;
        }
        let hash = sha256(presented);
        let table = self.table.load();
        let known = table.get(&start(&hash))?.iter().find(|known| known.hash.ct_eq(&hash).into())?;
        Some(known.key.clone())
    }
}

/// A new key, random from the operating system.
pub(super) fn generate() -> Result<Secret, LedgerError> {
    let mut bytes = zeroize::Zeroizing::new([0; 32]);
    rand::rngs::OsRng
        .try_fill_bytes(bytes.as_mut_slice())
        .map_err(|error| LedgerError(format!("the operating system gives no random bytes: {error}")))?;
    Ok(Secret::new(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes.as_slice()))))
}

/// A revoked key of the same name gives the name up.
pub(super) fn insert(
    connection: &Connection,
    id: &str,
    name: &str,
    key: &Secret,
    now: u64,
) -> Result<(), rusqlite::Error> {
    connection
        .prepare_cached(
            "UPDATE keys SET name = name || ' (' || id || ')' WHERE name = ?1 AND revoked_at IS NOT NULL",
        )?
        .execute([name])?;
    let hint: String = key.expose().chars().take(HINT).collect();
    connection
        .prepare_cached("INSERT INTO keys (id, name, hint, hash, created_at) VALUES (?1, ?2, ?3, ?4, ?5)")?
        .execute(params![id, name, hint, sha256(key.expose()), now])
        .map(|_| ())
}

pub(super) fn revoke(connection: &Connection, id: &str, now: u64) -> Result<(), rusqlite::Error> {
    connection
        .prepare_cached("UPDATE keys SET revoked_at = ?2 WHERE id = ?1 AND revoked_at IS NULL")?
        .execute(params![id, now])
        .map(|_| ())
}

/// The valid ones, with their hashes.
pub(super) fn valid(connection: &Connection) -> Result<Vec<KeyRow>, rusqlite::Error> {
    connection
        .prepare_cached("SELECT id, name, hash FROM keys WHERE revoked_at IS NULL ORDER BY name")?
        .query_map([], |row| Ok(KeyRow { id: row.get(0)?, name: row.get(1)?, hash: row.get(2)? }))?
        .collect()
}

/// All of them, the revoked ones last.
pub(super) fn all(connection: &Connection) -> Result<Vec<KeyInfo>, rusqlite::Error> {
    connection
        .prepare_cached(
            "SELECT id, name, hint, created_at, revoked_at FROM keys ORDER BY revoked_at IS NOT NULL, name",
        )?
        .query_map([], |row| {
            Ok(KeyInfo {
                id: row.get(0)?,
                name: row.get(1)?,
                hint: row.get(2)?,
                created_at: row.get(3)?,
                revoked_at: row.get(4)?,
            })
        })?
        .collect()
}

fn sha256(key: &str) -> [u8; 32] {
    Sha256::digest(key).into()
}

fn start(hash: &[u8; 32]) -> [u8; 8] {
    hash.first_chunk().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, key: &str) -> KeyRow {
        KeyRow { id: format!("id of {name}"), name: name.into(), hash: sha256(key) }
    }

    #[test]
    fn only_the_exact_key_is_found() {
        let keys = KeyHashes::new(&[row("a", "sk-clb-a"), row("b", "sk-clb-b")]);
        assert_eq!(keys.find("sk-clb-b").unwrap().name, "b");
        for wrong in ["", "sk-clb-", "sk-clb-A", "sk-clb-a ", &"x".repeat(1 << 16)] {
            assert_eq!(keys.find(wrong), None);
        }
    }

    #[test]
    fn hashes_that_begin_alike_are_told_apart() {
        let mut twin = row("twin", "sk-clb-a");
        twin.hash[31] ^= 1;
        assert_eq!(KeyHashes::new(&[twin.clone()]).find("sk-clb-a"), None);
        assert_eq!(KeyHashes::new(&[twin, row("a", "sk-clb-a")]).find("sk-clb-a").unwrap().name, "a");
    }

    #[test]
    fn replaced_keys_are_valid_no_more() {
        let keys = KeyHashes::new(&[row("a", "sk-clb-a")]);
        keys.replace(&[]);
        assert_eq!(keys.find("sk-clb-a"), None);
    }

    #[test]
    fn a_new_key_has_256_random_bits_after_its_prefix() {
        let (one, two) = (generate().unwrap(), generate().unwrap());
        assert_eq!(one.expose().len(), PREFIX.len() + 43);
        assert!(one.expose().starts_with(PREFIX));
        assert_ne!(one, two);
    }
}
