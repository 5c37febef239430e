//! An account's OAuth tokens: what they are, what their claims say, and how they are refreshed.

pub mod refresh; // one at a time per account, durable before use

use crate::vault::Secret;

/// The three tokens of one login. The refresh token is single-use: see `refresh`.
#[derive(Debug, Clone)]
pub struct Tokens {
    pub id: Option<Secret>,
    pub access: Secret,
    pub refresh: Secret,
}
