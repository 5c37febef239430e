//! Finds out who is calling, and refuses who must show an API key and does not.
//!
//! Reads `Authorization: Bearer sk-clb-…`, else `x-api-key`. Who needs a key is `auth.api_keys` of the YAML. Where no
//! key is needed an unknown one is ignored, since many clients send a placeholder; a valid one is always counted.
//! Without this filter nobody needs a key and no exchange has one.

use std::sync::Arc;

use http::HeaderMap;
use http::header::AUTHORIZATION;
use serde::Deserialize;

use crate::{Filter, KeyRef, Reply, Surroundings, Turn, Verdict};

pub(crate) const KIND: &str = "api_key";

const PREFIX: &str = "sk-clb-";

/// Bytes. Keys made by codex-lb are far shorter; the limit keeps hashing cheap.
const MAX_LENGTH: usize = 256;

/// Options of `api_key`: none, who needs a key is decided by `auth.api_keys`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {}

/// Who needs an API key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ApiKeyMode {
    /// Everybody but local peers ([`Turn::local`]).
    Remote,
    Always,
    Never,
}

/// The keys that exist. Lookups are in memory and take the same time for a wrong key as for a right one.
pub trait KeyTable: Send + Sync {
    /// `presented` is well-formed but not yet trusted: `sk-clb-…`, visible ASCII, at most 256 bytes.
    fn find(&self, presented: &str) -> Option<KeyRef>;
}

pub(crate) struct ApiKey {
    mode: ApiKeyMode,
    keys: Arc<dyn KeyTable>,
}

impl ApiKey {
    pub(crate) fn new(_config: &Config, surroundings: &Surroundings) -> Self {
        Self { mode: surroundings.api_keys, keys: Arc::clone(&surroundings.keys) }
    }

    fn required(&self, turn: &Turn) -> bool {
        match self.mode {
            ApiKeyMode::Remote => !turn.local,
            ApiKeyMode::Always => true,
            ApiKeyMode::Never => false,
        }
    }
}

impl Filter for ApiKey {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn on_head(&self, turn: &mut Turn) -> Verdict {
        turn.key =
            presented(&turn.headers).filter(|key| well_formed(key)).find_map(|key| self.keys.find(key));
        if turn.key.is_some() || !self.required(turn) {
            return Verdict::Continue;
        }
        let message = if presented(&turn.headers).next().is_some() {
            "The API key is unknown or was revoked. Keys begin with sk-clb-; make one with \
             `codex-lb key create NAME`."
        } else {
            "An API key is required. Send it as `Authorization: Bearer sk-clb-…`; make one with \
             `codex-lb key create NAME`."
        };
        Verdict::Refuse(Reply {
            status: 401,
            kind: "authentication_error",
            code: "invalid_api_key",
            message: message.into(),
        })
    }
}

fn presented(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let bearer = text(AUTHORIZATION.as_str()).and_then(|value| {
        let (scheme, key) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
    });
    [bearer, text("x-api-key").map(str::trim)].into_iter().flatten().filter(|key| !key.is_empty())
}

fn well_formed(key: &str) -> bool {
    key.len() > PREFIX.len()
        && key.len() <= MAX_LENGTH
        && key.starts_with(PREFIX)
        && key.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::chain::tests::{KEY, surroundings};
    use crate::{Chain, FilterConfig};

    fn turn(local: bool, headers: &[(&'static str, &str)]) -> Turn {
        let headers =
            headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        Turn { local, headers, ..Turn::default() }
    }

    /// The status of the refusal, or the name of the key (`-` for none).
    fn outcome(mode: ApiKeyMode, mut turn: Turn) -> String {
        let chain = Chain::build(&[FilterConfig::ApiKey(Config {})], surroundings(mode));
        match chain.on_head(&mut turn) {
            Verdict::Continue => turn.key.map_or("-".into(), |key| key.name),
            Verdict::Refuse(reply) => {
                assert_eq!((reply.kind, reply.code), ("authentication_error", "invalid_api_key"));
                assert!(reply.message.contains("codex-lb key create NAME"));
                reply.status.to_string()
            }
        }
    }

    #[test]
    fn who_needs_a_key_depends_on_the_mode() {
        use ApiKeyMode::{Always, Never, Remote};
        let bearer = format!("Bearer {KEY}");
        for (mode, local, valid, unknown, none) in [
            (Remote, true, "laptop", "-", "-"),
            (Remote, false, "laptop", "401", "401"),
            (Always, true, "laptop", "401", "401"),
            (Always, false, "laptop", "401", "401"),
            (Never, true, "laptop", "-", "-"),
            (Never, false, "laptop", "-", "-"),
        ] {
            assert_eq!(outcome(mode, turn(local, &[("authorization", &bearer)])), valid);
            assert_eq!(outcome(mode, turn(local, &[("authorization", "Bearer sk-clb-other")])), unknown);
            assert_eq!(outcome(mode, turn(local, &[("authorization", "Bearer anything")])), unknown);
            assert_eq!(outcome(mode, turn(local, &[])), none);
        }
    }

    #[test]
    fn a_key_is_found_in_either_header() {
        let (lower, wide) = (format!("bearer {KEY}"), format!("Bearer   {KEY}"));
        for headers in [
            &[("x-api-key", KEY)][..],
            &[("authorization", lower.as_str())],
            &[("authorization", wide.as_str())],
            &[("authorization", "Bearer placeholder"), ("x-api-key", KEY)],
            &[("authorization", "Basic abc"), ("x-api-key", KEY)],
        ] {
            assert_eq!(outcome(ApiKeyMode::Always, turn(false, headers)), "laptop", "{headers:?}");
        }
        for headers in [&[("authorization", KEY)][..], &[("authorization", "Bearer ")], &[("x-api-key", "")]]
        {
            assert_eq!(outcome(ApiKeyMode::Always, turn(false, headers)), "401", "{headers:?}");
        }
    }

    #[test]
    fn the_refusal_says_whether_a_key_was_missing_or_wrong_and_repeats_none() {
        let chain = Chain::build(&[FilterConfig::ApiKey(Config {})], surroundings(ApiKeyMode::Always));
        for (headers, part) in [
            (&[][..], "An API key is required"),
            (&[("authorization", "Bearer sk-clb-canary")], "unknown or was revoked"),
            (&[("x-api-key", "canary")], "unknown or was revoked"),
        ] {
            let Verdict::Refuse(reply) = chain.on_head(&mut turn(false, headers)) else {
                panic!("not refused")
            };
            assert!(reply.message.contains(part), "{}", reply.message);
            assert!(!reply.message.contains("canary"));
        }
    }

    #[test]
    fn malformed_keys_never_reach_the_table() {
        #[derive(Default)]
        struct Asked(Mutex<Vec<String>>);
        impl KeyTable for Asked {
            fn find(&self, presented: &str) -> Option<KeyRef> {
                self.0.lock().unwrap().push(presented.to_owned());
                None
            }
        }
        let asked = Arc::new(Asked::default());
        let filter = ApiKey { mode: ApiKeyMode::Never, keys: Arc::clone(&asked) as Arc<dyn KeyTable> };
        let longest = format!("sk-clb-{}", "a".repeat(249));
        let too_long = format!("{longest}a");
        for key in ["sk-clb-", "sk-proj-abc", "SK-CLB-abc", "sk-clb-a b", &too_long, &longest] {
            assert_eq!(filter.on_head(&mut turn(false, &[("x-api-key", key)])), Verdict::Continue);
        }
        let mut odd = turn(false, &[]);
        odd.headers.insert("x-api-key", http::HeaderValue::from_bytes(b"sk-clb-\xc3\xa4").unwrap());
        assert_eq!(filter.on_head(&mut odd), Verdict::Continue);
        assert_eq!(*asked.0.lock().unwrap(), [longest]);
    }
}
