//! Secrets at rest: XChaCha20-Poly1305 with the row's id as associated data, key file outside the database.

mod secret;

pub use secret::Secret;

/// The key that seals tokens.
pub struct Vault {}
