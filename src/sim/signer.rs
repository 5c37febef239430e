//! Tokens and sealed reasoning: made here, and recognised again as made here.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// Fernet-like beginning that real encrypted reasoning has.
const SEAL: &str = "gAAAAAB";
/// Sealed reasoning is padded to this many bytes before encoding: about the size of short real ones.
const SEAL_BYTES: usize = 480;

/// A secret of one world. Nothing it signs is accepted by another world.
#[derive(Debug)]
pub(crate) struct Signer {
    secret: [u8; 32],
    /// Begins the ids of this world, so that those of two runs never meet.
    pub(crate) nonce: u64,
}

impl Default for Signer {
    fn default() -> Self {
        Self { secret: rand::random(), nonce: rand::random() }
    }
}

impl Signer {
    /// A JWT whose signature has the length of RS256.
    pub(crate) fn jwt(&self, claims: &Value) -> String {
        let header = json!({"alg": "RS256", "typ": "JWT", "kid": "sim"});
        let signed = format!("{}.{}", encode(&header.to_string()), encode(&claims.to_string()));
        let signature: Vec<u8> =
            (0..8_u8).flat_map(|block| self.mac(&[signed.as_bytes(), &[block]])).collect();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    /// The `generation`-th refresh token of an account.
    pub(crate) fn refresh_token(&self, account: &str, generation: u64) -> String {
        let mac = self.mac(&[b"refresh", account.as_bytes(), &generation.to_be_bytes()]);
        format!("rt_{account}.{generation}.{}", URL_SAFE_NO_PAD.encode(mac))
    }

    /// Account id and generation of a refresh token made here.
    pub(crate) fn read_refresh_token<'a>(&self, token: &'a str) -> Option<(&'a str, u64)> {
        let mut parts = token.strip_prefix("rt_")?.rsplitn(3, '.').skip(1);
        let (generation, account) = (parts.next()?.parse().ok()?, parts.next()?);
        (self.refresh_token(account, generation) == token).then_some((account, generation))
    }

    /// `encrypted_content` that only `account` may send back.
    pub(crate) fn seal(&self, account: &str, serial: u64) -> String {
        let mut sealed = self.mac(&[b"seal", account.as_bytes(), &serial.to_be_bytes()]).to_vec();
        sealed.extend_from_slice(&serial.to_be_bytes());
        while sealed.len() < SEAL_BYTES {
            let filler = self.mac(&[b"fill", &sealed]);
            sealed.extend_from_slice(&filler);
        }
        format!("{SEAL}{}", URL_SAFE_NO_PAD.encode(sealed))
    }

    /// Whether `sealed` was made here for `account`, and nothing of it is changed.
    pub(crate) fn opens(&self, sealed: &str, account: &str) -> bool {
        let bytes = sealed.strip_prefix(SEAL).and_then(|text| URL_SAFE_NO_PAD.decode(text).ok());
        let serial = bytes.as_deref().and_then(|bytes| bytes.get(32..40)?.try_into().ok());
        serial.is_some_and(|serial| self.seal(account, u64::from_be_bytes(serial)) == sealed)
    }

    fn mac(&self, parts: &[&[u8]]) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(self.secret);
        for part in parts {
            hash.update(part);
        }
        hash.finalize().into()
    }
}

fn encode(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sealed_reasoning_opens_only_for_its_account_and_unchanged() {
        let signer = Signer::default();
        let sealed = signer.seal("a1", 7);
        assert!(signer.opens(&sealed, "a1"));
        assert!(!signer.opens(&sealed, "a2"));
        assert!(!signer.opens(&sealed[..sealed.len() - 4], "a1"));
        assert!(!signer.opens("gAAAAAB", "a1"));
        assert!(!Signer::default().opens(&sealed, "a1"), "another world");
    }

    #[test]
    fn a_refresh_token_names_its_account_and_generation() {
        let signer = Signer::default();
        let token = signer.refresh_token("team.a", 3);
        assert_eq!(signer.read_refresh_token(&token), Some(("team.a", 3)));
        assert_eq!(signer.read_refresh_token(&token.replace(".3.", ".4.")), None);
        assert_eq!(signer.read_refresh_token("rt_x"), None);
    }
}
