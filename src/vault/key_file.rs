//! The file with the vault's key: found, or made once and never again in silence.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rand::TryRngCore;
use zeroize::Zeroizing;

use super::VaultError;

const NAME: &str = "vault.key";
const KEY_BYTES: usize = 32;

pub(super) type KeyBytes = Zeroizing<[u8; KEY_BYTES]>;

/// Options that create files which only their owner may read.
pub(crate) fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.mode(0o600);
    options
}

/// A file made by root in the service's directory must stay usable to the service. Best effort: only root can give
/// files away, and everybody else's files are already their own.
pub(crate) fn give_to_owner_of(dir: &Path, path: &Path) {
    let (Ok(dir), Ok(file)) = (fs::metadata(dir), fs::metadata(path)) else { return };
    if dir.uid() != file.uid()
        && let Err(error) = std::os::unix::fs::chown(path, Some(dir.uid()), Some(dir.gid()))
    {
        log::warn!("{} belongs to another user than its directory: {error}", path.display());
    }
}

/// The key and the file it is in.
pub(super) fn find_or_make(
    data_dir: &Path,
    credentials: Option<&Path>,
) -> Result<(PathBuf, KeyBytes), VaultError> {
    if let Some(path) = credentials.map(|dir| dir.join(NAME))
        && let Some(key) = read(&path)?
    {
        return Ok((path, key));
    }
    let path = data_dir.join(NAME);
    if let Some(key) = read(&path)? {
        warn_if_open_to_others(&path);
        return Ok((path, key));
    }
    let unreadable = |reason: String| VaultError::KeyUnreadable { path: path.clone(), reason };
    if crate::ledger::holds_accounts(data_dir).map_err(|error| unreadable(error.to_string()))? {
        return Err(VaultError::KeyMissing { path });
    }
    make(data_dir, &path).map_err(|error| unreadable(error.to_string()))?;
    let key = read(&path)?.ok_or_else(|| unreadable("it vanished while it was being made".into()))?;
    Ok((path, key))
}

fn read(path: &Path) -> Result<Option<KeyBytes>, VaultError> {
    let unreadable = |error: std::io::Error| VaultError::KeyUnreadable {
        path: path.to_owned(),
        reason: error.to_string(),
    };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(error)),
    };
    let mut bytes = Zeroizing::new(Vec::with_capacity(KEY_BYTES + 1));
    let limit = u64::try_from(KEY_BYTES).unwrap_or(0) + 1;
    file.take(limit).read_to_end(&mut bytes).map_err(unreadable)?;
    let key = <[u8; KEY_BYTES]>::try_from(bytes.as_slice())
        .map_err(|_| VaultError::KeyMalformed { path: path.to_owned(), bytes: bytes.len() })?;
    Ok(Some(Zeroizing::new(key)))
}

/// Writes the key beside its place and links it there: whole or not at all, and never over another one.
fn make(data_dir: &Path, path: &Path) -> std::io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(data_dir)?;
    let mut key = Zeroizing::new([0; KEY_BYTES]);
    rand::rngs::OsRng.try_fill_bytes(key.as_mut_slice()).map_err(std::io::Error::other)?;
    let draft = data_dir.join(format!("{NAME}.{:016x}", rand::random::<u64>()));
    let linked = write_and_link(&draft, path, data_dir, &key);
    fs::remove_file(&draft)?;
    linked?;
    File::open(data_dir)?.sync_all()
}

fn write_and_link(draft: &Path, path: &Path, data_dir: &Path, key: &KeyBytes) -> std::io::Result<()> {
    let mut file = private().write(true).create_new(true).open(draft)?;
    file.write_all(key.as_slice())?;
    file.sync_all()?;
    give_to_owner_of(data_dir, draft);
    match fs::hard_link(draft, path) {
        // Another process was faster: its key is the key.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}

fn warn_if_open_to_others(path: &Path) {
    let mode = fs::metadata(path).map_or(0, |meta| meta.permissions().mode());
    if mode & 0o077 != 0 {
        log::warn!("{} can be read by others (mode {:o}): chmod 600 it", path.display(), mode & 0o777);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_key_is_32_random_bytes_for_its_owner_only() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("deep/data");
        let (path, key) = find_or_make(&data, None).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(&data).unwrap().permissions().mode() & 0o777, 0o700);
        assert_ne!(*key, [0; 32]);
        assert_eq!(find_or_make(&data, None).unwrap().1, key);
        assert_eq!(fs::read_dir(&data).unwrap().count(), 1, "no draft stays behind");
    }

    #[test]
    fn a_key_of_the_wrong_size_is_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        for bytes in [0, 31, 33] {
            fs::write(dir.path().join(NAME), vec![1; bytes]).unwrap();
            let error = find_or_make(dir.path(), None).unwrap_err();
            assert_eq!(error, VaultError::KeyMalformed { path: dir.path().join(NAME), bytes });
        }
    }

    #[test]
    fn many_at_once_agree_on_one_key() {
        let dir = tempfile::tempdir().unwrap();
        let keys: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> =
                (0..8).map(|_| scope.spawn(|| find_or_make(dir.path(), None).unwrap().1)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(keys.iter().all(|key| *key == keys[0]));
    }
}
