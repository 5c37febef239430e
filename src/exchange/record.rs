//! The facts of a running exchange, and the promise that it leaves exactly one row in the ledger.

use std::sync::Arc;
use std::time::Instant;

use codex_lb_filters::{Chain, Turn};
use http::header;

use crate::ledger::{Entry, Ledger, Outcome};
use crate::pool::plain;
use crate::telemetry;

/// Longest `client` text kept, bytes.
const CLIENT_MAX: usize = 64;

/// One exchange under way. Dropped without `close`, it still leaves its row.
pub struct Record {
    pub turn: Turn,
    pub status: u16,
    pub outcome: Outcome,
    pub error_code: Option<String>,
    pub attempts: u32,
    pub account_id: Option<String>,
    began: Instant,
    first_event_ms: Option<u64>,
    chain: Arc<Chain>,
    ledger: Ledger,
    open: bool,
}

impl Record {
    /// Begins with the worst: whatever ends the exchange without a word is a client that left.
    pub fn begin(turn: Turn, chain: Arc<Chain>, ledger: Ledger) -> Self {
        Self {
            turn,
            status: 499,
            outcome: Outcome::ClientLeft,
            error_code: None,
            attempts: 0,
            account_id: None,
            began: Instant::now(),
            first_event_ms: None,
            chain,
            ledger,
            open: true,
        }
    }

    /// Output begins: the time to first event is known.
    pub fn output(&mut self) {
        let elapsed = millis(self.began);
        self.first_event_ms.get_or_insert(elapsed);
    }

    /// Sets how it ended.
    pub fn ended(&mut self, outcome: Outcome, status: u16, error_code: Option<&str>) {
        self.outcome = outcome;
        self.status = status;
        self.error_code = error_code.map(plain);
    }

    /// Writes the row and waits for it, as the release-after-commit rule says.
    pub async fn close(&mut self) {
        if let Some(entry) = self.take() {
            self.ledger.record(entry).await;
        }
    }

    /// Leaves no row: nothing was asked of the upstream.
    pub fn forget(&mut self) {
        self.open = false;
    }

    fn take(&mut self) -> Option<Entry> {
        if !std::mem::replace(&mut self.open, false) {
            return None;
        }
        self.chain.on_end(&mut self.turn);
        let entry = self.entry();
        telemetry::count(&entry);
        Some(entry)
    }

    fn entry(&self) -> Entry {
        let turn = &self.turn;
        let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Entry {
            id: turn.id.clone(),
            started_at: turn.started_at,
            duration_ms: millis(self.began),
            first_event_ms: self.first_event_ms,
            route: turn.route,
            client: client(turn),
            key_id: turn.key.as_ref().map(|key| key.id.clone()),
            account_id: self.account_id.clone(),
            model: text(&turn.model),
            effort: turn.effort.clone(),
            service_tier: turn.answer.service_tier.clone().or_else(|| turn.service_tier.clone()),
            stream: turn.stream,
            status: self.status,
            outcome: self.outcome,
            error_code: self.error_code.clone(),
            attempts: self.attempts,
            usage: turn.answer.usage,
            cost_micros: turn.cost_micros,
        }
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        if let Some(entry) = self.take() {
            self.ledger.record_later(entry);
        }
    }
}

fn millis(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// The first product token of the user agent, e.g. `opencode/1.18.33`: who, not what they wrote.
fn client(turn: &Turn) -> Option<String> {
    let agent = turn.headers.get(header::USER_AGENT)?.to_str().ok()?;
    let token = agent.split_whitespace().next()?;
    Some(token.chars().take(CLIENT_MAX).collect())
}
