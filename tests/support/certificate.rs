//! A certificate for `localhost` under an authority made for the occasion.

use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

/// PEM files.
pub struct Certificate {
    /// The authority that signed it.
    pub authority: PathBuf,
    pub chain: PathBuf,
    pub key: PathBuf,
}

impl Certificate {
    /// Makes one and writes its files to `dir`, their names beginning with `name`.
    pub fn create(dir: &Path, name: &str) -> Self {
        let mut authority = CertificateParams::new(Vec::new()).unwrap();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &authority).unwrap();
        let write = |part: &str, text: String| {
            let file = dir.join(format!("{name}-{part}.pem"));
            std::fs::write(&file, text).unwrap();
            file
        };
        Self {
            authority: write("authority", authority.pem()),
            chain: write("chain", certificate.pem()),
            key: write("key", key.serialize_pem()),
        }
    }
}
