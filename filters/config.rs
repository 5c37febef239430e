//! What the YAML's `filters:` list may contain.

use serde::Deserialize;

/// One entry of the chain.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum FilterConfig {
    ApiKey,
    BodySize { max_mib: u64 },
    Usage,
}

impl FilterConfig {
    pub const KINDS: &[&str] = &["api_key", "body_size", "usage"];
    pub fn default_chain() -> Vec<Self> {
        vec![Self::ApiKey, Self::Usage]
    }
    pub fn kind(&self) -> &'static str {
        match self {
            Self::ApiKey => "api_key",
            Self::BodySize { .. } => "body_size",
            Self::Usage => "usage",
        }
    }
}
