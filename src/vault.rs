//! Secrets at rest: XChaCha20-Poly1305 with the row's id as associated data, key file outside the database.

mod key_file;
mod secret;

use std::path::{Path, PathBuf};

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};
use rand::RngCore;
use zeroize::Zeroizing;

pub(crate) use key_file::{give_to_owner_of, private};
pub use secret::Secret;

/// First byte of everything sealed, so that a later format can be told apart.
const VERSION: u8 = 1;
const NONCE_BYTES: usize = 24;

/// The key that seals tokens.
pub struct Vault {
    cipher: XChaCha20Poly1305,
    key_path: PathBuf,
}

/// The vault has no usable key, or something does not open with it. Says which file and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VaultError {
    /// There are accounts in the ledger, but their key is gone.
    KeyMissing {
        path: PathBuf,
    },
    KeyUnreadable {
        path: PathBuf,
        reason: String,
    },
    /// Not 32 bytes.
    KeyMalformed {
        path: PathBuf,
        bytes: usize,
    },
    /// Another key sealed it, or it was altered, or it belongs to another row.
    DoesNotOpen,
}

impl std::fmt::Display for VaultError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::KeyMissing { path } => write!(
                f,
                "{} is missing, but ledger.db holds accounts whose tokens only that key can open. Put the key file back \
                 from your backup (32 bytes, mode 0600); if it is lost for good, move ledger.db away and import the \
                 accounts again.",
                path.display()
            ),
            Self::KeyUnreadable { path, reason } => {
                write!(f, "{} cannot be used as the vault's key: {reason}", path.display())
            }
            Self::KeyMalformed { path, bytes } => write!(
                f,
                "{} has {bytes} bytes, but a vault key has exactly 32. Put the right file back from your backup.",
                path.display()
            ),
            Self::DoesNotOpen => f.write_str(
                "sealed data does not open: it was sealed with another vault key, altered, or moved to another row",
            ),
        }
    }
}

impl std::error::Error for VaultError {}

impl Vault {
    /// Takes the key from `$CREDENTIALS_DIRECTORY/vault.key` (a systemd credential) if there is one, else from
    /// `data_dir/vault.key`, which is made when neither it nor any account exists yet.
    pub fn open(data_dir: &Path) -> Result<Self, VaultError> {
        let credentials = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
        Self::open_with(data_dir, credentials.as_deref())
    }

    fn open_with(data_dir: &Path, credentials: Option<&Path>) -> Result<Self, VaultError> {
        let (key_path, key) = key_file::find_or_make(data_dir, credentials)?;
        Ok(Self { cipher: XChaCha20Poly1305::new(Key::from_slice(key.as_slice())), key_path })
    }

    /// The file the key came from, for messages.
    pub fn key_path(&self) -> &Path {
        &self.key_path
    }

    /// Version byte, 24 random bytes, ciphertext with tag. Opens only with the same `aad`.
    ///
    /// Fails only beyond the cipher's limit of 256 GiB.
    pub fn seal(&self, aad: &str, plain: &[u8]) -> Result<Vec<u8>, VaultError> {
        let mut nonce = [0; NONCE_BYTES];
        rand::rng().fill_bytes(&mut nonce);
        let payload = Payload { msg: plain, aad: aad.as_bytes() };
        let text =
            self.cipher.encrypt(XNonce::from_slice(&nonce), payload).map_err(|_| VaultError::DoesNotOpen)?;
        let mut sealed = Vec::with_capacity(1 + NONCE_BYTES + text.len());
        sealed.push(VERSION);
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(&text);
        Ok(sealed)
    }

    /// What was sealed under the same `aad`.
    pub fn unseal(&self, aad: &str, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, VaultError> {
        let rest = sealed.strip_prefix(&[VERSION]).ok_or(VaultError::DoesNotOpen)?;
        let (nonce, text) = rest.split_at_checked(NONCE_BYTES).ok_or(VaultError::DoesNotOpen)?;
        let payload = Payload { msg: text, aad: aad.as_bytes() };
        let plain =
            self.cipher.decrypt(XNonce::from_slice(nonce), payload).map_err(|_| VaultError::DoesNotOpen)?;
        Ok(Zeroizing::new(plain))
    }
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Vault").field("key_path", &self.key_path).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vault(dir: &Path) -> Vault {
        Vault::open_with(dir, None).unwrap()
    }

    #[test]
    fn what_was_sealed_opens_again_with_the_same_key_and_row() {
        let dir = tempfile::tempdir().unwrap();
        let sealed = vault(dir.path()).seal("row", b"tokens").unwrap();
        assert_eq!(vault(dir.path()).unseal("row", &sealed).unwrap().as_slice(), b"tokens");
        assert_ne!(sealed, vault(dir.path()).seal("row", b"tokens").unwrap(), "every nonce is new");
    }

    #[test]
    fn another_rows_blob_does_not_open() {
        let dir = tempfile::tempdir().unwrap();
        let sealed = vault(dir.path()).seal("row a", b"tokens").unwrap();
        assert_eq!(vault(dir.path()).unseal("row b", &sealed), Err(VaultError::DoesNotOpen));
    }

    #[test]
    fn another_key_does_not_open_it() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let sealed = vault(one.path()).seal("row", b"tokens").unwrap();
        assert_eq!(vault(two.path()).unseal("row", &sealed), Err(VaultError::DoesNotOpen));
    }

    #[test]
    fn one_changed_bit_anywhere_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let vault = vault(dir.path());
        let sealed = vault.seal("row", b"tokens").unwrap();
        for at in 0..sealed.len() {
            let mut altered = sealed.clone();
            altered[at] ^= 1;
            assert_eq!(vault.unseal("row", &altered), Err(VaultError::DoesNotOpen), "byte {at}");
        }
        for length in 0..sealed.len() {
            assert!(vault.unseal("row", &sealed[..length]).is_err());
        }
    }

    #[test]
    fn a_systemd_credential_comes_before_the_data_directory() {
        let (data, credentials) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::fs::write(credentials.path().join("vault.key"), [7; 32]).unwrap();
        let vault = Vault::open_with(data.path(), Some(credentials.path())).unwrap();
        assert_eq!(vault.key_path(), credentials.path().join("vault.key"));
        assert!(!data.path().join("vault.key").exists());
    }
}
