//! Pingora's `HealthCheck`: may this account serve at all? Reads memory only.
//!
//! It answers for what lasts (paused, needs login, no token). A cooling ends by the clock alone, so it is looked
//! at when an account is leased, where no pass can be late.

use async_trait::async_trait;
use pingora::{Error, ErrorType};
use pingora_load_balancing::Backend;
use pingora_load_balancing::health_check::HealthCheck;

use super::selector::account;

pub(super) struct AccountHealth;

#[async_trait]
impl HealthCheck for AccountHealth {
    async fn check(&self, target: &Backend) -> pingora::Result<()> {
        let Some(account) = account(target) else {
            return Error::e_explain(ErrorType::InternalError, "the backend has no account");
        };
        account.unusable().map_or(Ok(()), |why| Error::e_explain(ErrorType::Custom("AccountOut"), why))
    }

    fn backend_summary(&self, target: &Backend) -> String {
        account(target).map_or_else(|| "a backend".to_owned(), |account| format!("account {}", account.name))
    }

    /// State is certain: one look is enough in both directions.
    fn health_threshold(&self, _success: bool) -> usize {
        1
    }
}
