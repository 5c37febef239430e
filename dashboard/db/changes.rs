//! Notices that the ledger changed: one look a second, however many browsers listen, none if nobody does.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

/// How often the file is looked at.
const INTERVAL: Duration = Duration::from_secs(1);

/// What the last look found: device and inode of the file, and its `data_version`. `None`: no readable file.
type Seen = Option<(u64, u64, i64)>;

/// A connection kept open, since `data_version` only means something within one, and what it last saw.
#[derive(Default)]
struct Watch {
    connection: Option<Connection>,
    seen: Seen,
}

/// Raises the number in `changes` whenever another connection committed to the file, or the file came, went or
/// was replaced. Never ends. One receiver is taken to be the one that new subscribers are cloned from.
pub(crate) async fn watch(path: PathBuf, changes: watch::Sender<u64>) {
    let mut watch = Watch::default();
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if changes.receiver_count() <= 1 {
            continue;
        }
        let path = path.clone();
        let looked = tokio::task::spawn_blocking(move || {
            let changed = watch.look(&path);
            (watch, changed)
        });
        let changed = match looked.await {
            Ok((same, changed)) => {
                watch = same;
                changed
            }
            Err(error) => {
                log::error!("watching the ledger failed and starts anew: {error}");
                watch = Watch::default();
                false
            }
        };
        if changed {
            changes.send_modify(|number| *number = number.wrapping_add(1));
        }
    }
}

impl Watch {
    /// Whether something changed since the last look.
    fn look(&mut self, path: &Path) -> bool {
        let before = self.seen;
        self.seen = self.version(path);
        self.seen != before
    }

    fn version(&mut self, path: &Path) -> Seen {
        let file = std::fs::metadata(path).ok().map(|meta| (meta.dev(), meta.ino()));
        if file.is_none() || file != self.seen.map(|(device, inode, _)| (device, inode)) {
            self.connection = None;
        }
        let (device, inode) = file?;
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => super::connect(path).ok()?,
        };
        let version = connection.pragma_query_value(None, "data_version", |row| row.get(0)).ok()?;
        self.connection = Some(connection);
        Some((device, inode, version))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Seed;

    #[test]
    fn a_commit_is_seen_once() {
        let seed = Seed::empty();
        let mut watch = Watch::default();
        assert!(watch.look(&seed.path), "the file appeared");
        assert!(!watch.look(&seed.path));
        seed.key("a");
        assert!(watch.look(&seed.path));
        assert!(!watch.look(&seed.path));
    }

    #[test]
    fn a_replaced_file_is_followed() {
        let (old, new) = (Seed::empty(), Seed::empty());
        for seed in [&old, &new] {
            // Without a file beside the ledger that would have to move with it.
            seed.connection.pragma_update(None, "journal_mode", "delete").unwrap();
        }
        let mut watch = Watch::default();
        watch.look(&old.path);
        std::fs::rename(&new.path, &old.path).unwrap();
        assert!(watch.look(&old.path));
        assert!(!watch.look(&old.path));
        let writer = Connection::open(&old.path).unwrap();
        writer.execute_batch("CREATE TABLE more (x)").unwrap();
        assert!(watch.look(&old.path), "a commit to the new file");
        std::fs::remove_file(&old.path).unwrap();
        assert!(watch.look(&old.path));
        assert!(!watch.look(&old.path));
    }
}
