//! The SQL on saved reasoning items: a cache, sealed, bounded by age and size.

use bytes::Bytes;
use rusqlite::{Connection, params};

use crate::vault::Vault;

/// Items not used for this long are deleted, milliseconds.
const MAX_AGE: u64 = 7 * 24 * 3_600_000;
/// Sealed bytes kept in all; beyond it the oldest go.
const MAX_BYTES: u64 = 256 << 20;
/// Larger items than this are not worth their space.
pub(super) const MAX_ITEM: usize = 4 << 20;
const SLICE: u32 = 200;

/// Reasoning items on their way to the file.
#[derive(Debug)]
pub(super) struct Memory {
    pub(super) anchor: String,
    pub(super) account: String,
    pub(super) items: Bytes,
    /// Unix epoch milliseconds.
    pub(super) now: u64,
}

pub(super) fn save(connection: &Connection, vault: &Vault, memory: &Memory) -> Result<(), rusqlite::Error> {
    let sealed = vault
        .seal(&memory.anchor, &memory.items)
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
    connection
        .prepare_cached(
            "INSERT INTO reasoning (anchor, account_id, items, used_at) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT DO UPDATE SET account_id = excluded.account_id, items = excluded.items,
               used_at = excluded.used_at",
        )?
        .execute(params![memory.anchor, memory.account, sealed, memory.now])
        .map(|_| ())
}

/// The newest first, until the items together are larger than `max_bytes`: (anchor, account id, items).
pub(super) fn newest(
    connection: &Connection,
    vault: &Vault,
    max_bytes: u64,
) -> Result<Vec<(String, String, Bytes)>, rusqlite::Error> {
    let mut statement =
        connection.prepare_cached("SELECT anchor, account_id, items FROM reasoning ORDER BY used_at DESC")?;
    let mut rows = statement.query([])?;
    let (mut kept, mut total) = (Vec::new(), 0);
    while let Some(row) = rows.next()? {
        let (anchor, account): (String, String) = (row.get(0)?, row.get(1)?);
        // An item that does not open is worth nothing, but harms nobody.
        let Ok(mut items) = vault.unseal(&anchor, row.get_ref(2)?.as_blob()?) else { continue };
        total += u64::try_from(items.len()).unwrap_or(u64::MAX);
        if total > max_bytes {
            break;
        }
        kept.push((anchor, account, Bytes::from(std::mem::take(&mut *items))));
    }
    Ok(kept)
}

/// Deletes a slice of what is too old or too much; `true`: there may be more.
pub(super) fn purge(connection: &Connection, now: u64) -> Result<bool, rusqlite::Error> {
    purge_down_to(connection, now, MAX_BYTES)
}

fn purge_down_to(connection: &Connection, now: u64, max_bytes: u64) -> Result<bool, rusqlite::Error> {
    let horizon: u64 = connection
        .prepare_cached(
            "SELECT coalesce(max(used_at), 0) FROM (
               SELECT used_at, sum(length(items)) OVER (ORDER BY used_at DESC, anchor) AS total FROM reasoning)
             WHERE total > ?1",
        )?
        .query_row([max_bytes], |row| row.get(0))?;
    connection
        .prepare_cached(
            "DELETE FROM reasoning WHERE anchor IN
               (SELECT anchor FROM reasoning WHERE used_at <= ?1 ORDER BY used_at LIMIT ?2)",
        )?
        .execute(params![horizon.max(now.saturating_sub(MAX_AGE)), SLICE])
        .map(|deleted| u32::try_from(deleted).is_ok_and(|deleted| deleted == SLICE))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn store(dir: &Path) -> (Connection, Vault) {
        (super::super::schema::open(dir).unwrap(), Vault::open(dir).unwrap())
    }

    fn memory(number: u64, bytes: usize) -> Memory {
        let anchor = format!("anchor {number}");
        Memory { anchor, account: "a".into(), items: vec![b'x'; bytes].into(), now: number }
    }

    fn anchors(connection: &Connection, vault: &Vault, max_bytes: u64) -> Vec<String> {
        newest(connection, vault, max_bytes).unwrap().into_iter().map(|(anchor, _, _)| anchor).collect()
    }

    #[test]
    fn the_newest_items_that_fit_come_back() {
        let dir = tempfile::tempdir().unwrap();
        let (connection, vault) = store(dir.path());
        for number in 1..=3 {
            save(&connection, &vault, &memory(number, 10)).unwrap();
        }
        save(&connection, &vault, &Memory { now: 9, ..memory(1, 10) }).unwrap();
        assert_eq!(anchors(&connection, &vault, 20), ["anchor 1", "anchor 3"]);
        assert_eq!(anchors(&connection, &vault, 100).len(), 3);
    }

    #[test]
    fn old_items_and_those_beyond_the_size_are_deleted() {
        let dir = tempfile::tempdir().unwrap();
        let (connection, vault) = store(dir.path());
        for number in 1..=4 {
            save(&connection, &vault, &memory(number, 1000)).unwrap();
        }
        assert!(!purge_down_to(&connection, 5, 2500).unwrap());
        assert_eq!(anchors(&connection, &vault, 9999), ["anchor 4", "anchor 3"]);
        purge(&connection, MAX_AGE + 3).unwrap();
        assert_eq!(anchors(&connection, &vault, 9999), ["anchor 4"]);
    }
}
