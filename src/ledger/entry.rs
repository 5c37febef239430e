//! What one exchange leaves behind in the ledger. Plain data; the columns of `exchanges`.

use codex_lb_filters::Usage;

/// One row of `exchanges`.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    pub id: String,
    /// Unix epoch milliseconds.
    pub started_at: u64,
    pub duration_ms: u64,
    pub first_event_ms: Option<u64>,
    pub route: &'static str,
    pub client: Option<String>,
    pub key_id: Option<String>,
    pub account_id: Option<String>,
    pub model: Option<String>,
    pub effort: Option<String>,
    pub service_tier: Option<String>,
    pub stream: bool,
    pub status: u16,
    pub outcome: Outcome,
    pub error_code: Option<String>,
    pub attempts: u32,
    pub usage: Option<Usage>,
    /// Millionths of a US dollar.
    pub cost_micros: Option<u64>,
}

/// How an exchange ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Completed,
    /// The model stopped early (`response.incomplete`).
    Incomplete,
    Failed,
    ClientLeft,
    /// Never sent upstream: a filter or the decoder said no.
    Refused,
}

impl Outcome {
    /// As written in the ledger.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Incomplete => "incomplete",
            Self::Failed => "failed",
            Self::ClientLeft => "client_left",
            Self::Refused => "refused",
        }
    }
}
