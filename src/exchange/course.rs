//! Where an exchange stands on its way from account to account.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use codex_lb_filters::Turn;
use log::{debug, info};

use super::Stop;
use crate::client::{Client, Left, Waited};
use crate::dialect::Call;
use crate::error::Error;
use crate::judge::{Action, Tries, Verdict};
use crate::now_ms;
use crate::pool::{Account, Lease, NoAccount, Note, Wish};
use crate::proxy::App;

/// If every account rests for no longer than this, the exchange waits instead of failing.
const QUEUE: Duration = Duration::from_secs(20);

/// Longest wait for new tokens; the refresh itself goes on without the exchange.
const REFRESH: Duration = Duration::from_secs(15);

/// An exchange waits for resting accounts this often, at most.
const WAITS: u32 = 3;

/// The way so far.
pub(super) struct Course<'a> {
    app: &'a App,
    /// The upstream's body, in parts that all attempts share.
    pub(super) body: Vec<Bytes>,
    /// What was done on the present account.
    pub(super) tries: Tries,
    tried: Vec<String>,
    /// Accounts given up because of a fault (not because of a limit, which costs no time).
    faults: usize,
    faults_allowed: usize,
    waits: u32,
    last: Option<Error>,
    /// The account to repeat on.
    stay: Option<String>,
}

impl<'a> Course<'a> {
    pub(super) fn new(app: &'a App, body: Vec<Bytes>, faults_allowed: usize) -> Self {
        Self {
            app,
            body,
            tries: Tries::default(),
            tried: Vec::new(),
            faults: 0,
            faults_allowed,
            waits: 0,
            last: None,
            stay: None,
        }
    }

    /// The next account, waiting a little if all of them rest for a moment.
    pub(super) async fn lease(&mut self, client: &mut Client<'_>, wish: &Wish) -> Result<Lease, Stop> {
        if let Some(owner) = self.stay.take() {
            let same = Wish { owner: Some(owner), ..wish.clone() };
            if let Ok(lease) = self.app.pool.lease(&same, &self.tried, now_ms()) {
                return Ok(lease);
            }
        }
        self.tries =
            Tries { bare: self.tries.bare, model_refused: self.tries.model_refused, ..Tries::default() };
        loop {
            let now = now_ms();
            let none = match self.app.pool.lease(wish, &self.tried, now) {
                Ok(lease) => return Ok(lease),
                Err(none) => none,
            };
            let wait = match none {
                NoAccount::Resting { until_ms } => {
                    Duration::from_millis(until_ms.saturating_sub(now).max(20))
                }
                NoAccount::Unusable { .. } | NoAccount::Exhausted { .. } | NoAccount::Tried => Duration::MAX,
            };
            if wait > QUEUE || self.waits >= WAITS {
                return Err(Stop::Failed(self.refusal(none, now)));
            }
            self.waits += 1;
            client.wait(wait, std::future::pending::<()>()).await?;
            self.tried.clear();
        }
    }

    /// What the client is told when nobody can serve.
    fn refusal(&mut self, none: NoAccount, now_ms: u64) -> Error {
        match (none, self.last.take()) {
            (NoAccount::Exhausted { resets_at }, _) => Error::UsageLimit { resets_at, now: now_ms / 1000 },
            (_, Some(last)) => last,
            (NoAccount::Resting { until_ms }, None) => {
                Error::Resting { seconds: until_ms.saturating_sub(now_ms).div_ceil(1000).max(1) }
            }
            (NoAccount::Unusable { message }, None) => Error::NoAccounts { message },
            (NoAccount::Tried, None) => {
                Error::NoAccounts { message: "No account could serve this request.".into() }
            }
        }
    }

    /// Makes sure the account has a token that is not about to end; leaves the account otherwise.
    pub(super) async fn has_token(
        &mut self,
        client: &mut Client<'_>,
        account: &Arc<Account>,
    ) -> Result<bool, Left> {
        let fresh = self.app.refresher.fresh(account, now_ms());
        if let Waited::Ready(Ok(())) = client.wait(REFRESH, fresh).await? {
            return Ok(true);
        }
        debug!("account {} has no fresh token", account.name);
        self.leave(account, Error::Unavailable { message: "No account has a valid token.".into() });
        Ok(false)
    }

    /// Does what the verdict says; `Err` when it says that this was all.
    pub(super) async fn follow(
        &mut self,
        client: &mut Client<'_>,
        call: &Call,
        turn: &Turn,
        account: &Arc<Account>,
        refused_hash: &str,
        verdict: Verdict,
    ) -> Result<(), Stop> {
        // A limit or a dead login costs no time: it uses up no try.
        let free = matches!(verdict.note, Note::Limited { .. } | Note::NeedsLogin { .. });
        self.app.pool.note(account, verdict.note, now_ms());
        let error = verdict.error.unwrap_or(Error::Truncated);
        match verdict.action {
            Action::RetrySame(pause) => {
                self.tries.repeated += 1;
                self.stay(account, error);
                if !pause.is_zero() {
                    client.wait(pause, std::future::pending::<()>()).await?;
                }
                Ok(())
            }
            Action::RefreshThenRetry => {
                self.tries.refreshed = true;
                let refreshed = self.app.refresher.after_401(account, refused_hash);
                if let Waited::Ready(Ok(())) = client.wait(REFRESH, refreshed).await? {
                    self.stay(account, error);
                } else {
                    info!("account {}: its refused token could not be replaced", account.name);
                    self.leave(account, error);
                }
                Ok(())
            }
            Action::RetryWithoutReasoning => {
                let Some(bare) = call.render_without_reasoning(turn) else {
                    return Err(Stop::Failed(error));
                };
                self.tries.bare = true;
                self.body = vec![bare];
                self.stay(account, error);
                Ok(())
            }
            Action::NextAccount | Action::OtherModelList => {
                self.tries.model_refused |= verdict.action == Action::OtherModelList;
                self.faults += usize::from(!free);
                if self.faults >= self.faults_allowed {
                    return Err(Stop::Failed(error));
                }
                self.leave(account, error);
                Ok(())
            }
            Action::Relay | Action::GiveUp => Err(Stop::Failed(error)),
        }
    }

    fn stay(&mut self, account: &Arc<Account>, error: Error) {
        self.stay = Some(account.id.clone());
        self.last = Some(error);
    }

    fn leave(&mut self, account: &Arc<Account>, error: Error) {
        self.tried.push(account.id.clone());
        self.last = Some(error);
    }
}
