//! Refuses a request body that declares itself too large, before a byte of it is read.
//!
//! A body without `Content-Length` (chunked) passes here; while it is read, `limits.body` of the YAML stops it.

use serde::de::Error;
use serde::{Deserialize, Deserializer};

use crate::{Filter, Reply, Turn, Verdict};

pub(crate) const KIND: &str = "body_size";

/// Options of `body_size`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Largest declared `Content-Length`, MiB, at least 1. Default 64.
    #[serde(deserialize_with = "at_least_one")]
    pub max_mib: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self { max_mib: 64 }
    }
}

pub(crate) struct BodySize {
    max_mib: u64,
}

impl BodySize {
    pub(crate) fn new(config: &Config) -> Self {
        Self { max_mib: u64::from(config.max_mib) }
    }
}

impl Filter for BodySize {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn on_head(&self, turn: &mut Turn) -> Verdict {
        match turn.declared_length {
            Some(length) if length > self.max_mib << 20 => Verdict::Refuse(Reply {
                status: 413,
                kind: "invalid_request_error",
                code: "payload_too_large",
                message: format!(
                    "The request body is {length} bytes; the limit is {} MiB. Send less, or raise \
                     body_size.max_mib in codex-lb.yaml.",
                    self.max_mib
                ),
            }),
            Some(_) | None => Verdict::Continue,
        }
    }
}

fn at_least_one<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    match u32::deserialize(deserializer)? {
        0 => Err(D::Error::custom("body_size.max_mib is 0, which forbids every body; write 1 or more")),
        max_mib => Ok(max_mib),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::FilterConfig;
    use crate::chain::tests::chain;

    fn verdict(yaml: &str, declared_length: Option<u64>) -> Verdict {
        chain(yaml).on_head(&mut Turn { declared_length, ..Turn::default() })
    }

    #[test]
    fn a_body_up_to_the_limit_passes() {
        for length in [None, Some(0), Some(64 << 20)] {
            assert_eq!(verdict("- body_size", length), Verdict::Continue);
        }
        assert_eq!(
            verdict("- body_size: {max_mib: 4294967295}", Some(4_294_967_295 << 20)),
            Verdict::Continue
        );
    }

    #[test]
    fn a_larger_body_is_refused_with_limit_and_remedy() {
        for (yaml, length) in [
            ("- body_size", (64 << 20) + 1),
            ("- body_size: {max_mib: 1}", (1 << 20) + 1),
            ("- body_size", u64::MAX),
        ] {
            let Verdict::Refuse(reply) = verdict(yaml, Some(length)) else { panic!("{length} passed") };
            assert_eq!((reply.status, reply.kind), (413, "invalid_request_error"));
            assert_eq!(reply.code, "payload_too_large");
            assert!(reply.message.contains("body_size.max_mib") && reply.message.contains(" MiB"));
        }
    }

    #[test]
    fn a_limit_of_nothing_is_not_a_limit() {
        let read = |text: &str| serde_yaml::from_str::<FilterConfig>(text);
        assert!(read("body_size: {max_mib: 0}").unwrap_err().to_string().contains("body_size.max_mib is 0"));
        assert!(read("body_size: {max_mib: -1}").is_err());
    }
}
