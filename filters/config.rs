//! What the YAML's `filters:` list may contain.

/// One entry of the chain.
#[derive(Debug, Clone)]
pub enum FilterConfig {}
