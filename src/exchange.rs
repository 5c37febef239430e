//! The attempts of one exchange: choose an account, try it, judge what came, and again, until there is output to
//! relay or nothing left to try.

pub mod headers; // the client's head → the upstream's, and the conversation's key
pub mod record; // the facts of the exchange and its ledger row

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use codex_lb_filters::{Event, Kind};
use log::{debug, info};
use pingora::http::ResponseHeader;
use serde_json::Value;

use crate::attempt::{Plan, Running, Step};
use crate::client::{Client, Left, Waited};
use crate::config::Timeouts;
use crate::dialect::{self, Call};
use crate::error::Error;
use crate::judge::{Action, Evidence, Tries, Verdict, judge};
use crate::ledger::Outcome;
use crate::now_ms;
use crate::pool::{Account, Lease, NoAccount, Note, Wish};
use crate::proxy::App;
use crate::relay::{self, Answering};
use record::Record;

/// An error body is read up to this size.
const ERROR_BODY: usize = 64 * 1024;

/// Events held back before the first decisive one; more than an honest upstream ever sends.
const HELD_MAX: usize = 1024;

/// If every account rests for no longer than this, the exchange waits instead of failing.
const QUEUE: Duration = Duration::from_secs(20);

/// Why an exchange ended without an answer.
#[derive(Debug)]
pub enum Stop {
    Failed(Error),
    Left,
}

impl From<Left> for Stop {
    fn from(_: Left) -> Self {
        Self::Left
    }
}

/// What an attempt showed before any output.
enum Opening {
    Output { held: Vec<Event> },
    Refusal { status: u16, body: Bytes, retry_after: Option<Duration> },
    Failure { event: Event },
    Broken { error: Box<pingora::Error>, reused: bool },
    Truncated,
    Silence { waited: Duration },
}

/// Runs the exchange to its end: the answer is relayed and recorded, or `Stop` says why not.
pub async fn run(app: &App, client: &mut Client<'_>, call: &Call, record: &mut Record) -> Result<(), Stop> {
    let policy = app.policy.load_full();
    let plan = Arc::new(Plan {
        endpoint: app.endpoint.clone(),
        pool: app.pool.clone(),
        chain: policy.chain.clone(),
        headers: headers::upstream(&record.turn, call, &policy.config.upstream.headers),
        path: "/codex/responses",
    });
    let wish = Wish {
        affinity: headers::affinity(&record.turn, call),
        owner: None,
        model: record.turn.model.clone(),
    };
    if let (Some(affinity), Some(owner)) = (&wish.affinity, &call.reasoning_owner)
        && let Some(account) = app.pool.account(owner)
    {
        // After a restart the affinity is forgotten; the reasoning that goes along belongs to an account.
        app.pool.bind(affinity, &account, now_ms());
    }
    let mut body = call.render_parts(&record.turn);
    let mut course = Course::default();
    loop {
        let lease = course.lease(app, client, &wish).await?;
        let account = lease.account.clone();
        record.account_id = Some(account.id.clone());
        if let Err(error) = app.refresher.fresh(&account, now_ms()).await {
            debug!("exchange {}: account {} has no fresh token: {error}", record.turn.id, account.name);
            course.leave(&account, Error::Unavailable { message: "No account has a valid token.".into() });
            continue;
        }
        record.attempts += 1;
        let refused_hash = account.credentials().refresh_hash;
        let mut running = Running::start(client.session(), &plan, lease, body.clone()).map_err(|_| {
            Stop::Failed(Error::Internal { message: "The attempt could not be started.".into() })
        })?;
        let opening = open(client, &mut running, &policy.config.upstream.timeouts).await?;
        if let Opening::Output { held } = opening {
            let answering = Answering { app, call, account: &account, affinity: wish.affinity.as_deref() };
            return relay::pump(answering, client, record, running, held).await;
        }
        drop(running);
        let verdict = judge(opening.evidence(), course.tries, now_ms());
        info!(
            "exchange {}: attempt {} on {}: {} → {:?}",
            record.turn.id,
            record.attempts,
            account.name,
            verdict.error.as_ref().map_or("-", Error::code),
            verdict.action
        );
        if verdict.action == Action::RefreshThenRetry {
            course.refresh(app, &account, &refused_hash, &verdict).await;
            continue;
        }
        if verdict.action == Action::RetryWithoutReasoning
            && let Some(bare) = call.render_without_reasoning(&record.turn)
        {
            course.tries.bare = true;
            body = vec![bare];
            continue;
        }
        course.follow(app, client, &account, verdict, policy.config.routing.attempts).await?;
    }
}

/// Where an exchange stands on its way from account to account.
#[derive(Default)]
struct Course {
    tried: Vec<String>,
    tries: Tries,
    /// Accounts given up because of a fault (not because of a limit, which costs no time).
    faults: usize,
    waits: u32,
    last: Option<Error>,
    /// The account to repeat on.
    stay: Option<String>,
}

impl Course {
    /// The next account, waiting a little if all of them rest for a moment.
    async fn lease(&mut self, app: &App, client: &mut Client<'_>, wish: &Wish) -> Result<Lease, Stop> {
        loop {
            let now = now_ms();
            let stay = self.stay.take();
            let wanted = Wish { owner: stay.clone().or_else(|| wish.owner.clone()), ..wish.clone() };
            match app.pool.lease(&wanted, &self.tried, now) {
                Ok(lease) => {
                    if stay.is_none() {
                        self.tries = Tries {
                            model_refused: self.tries.model_refused,
                            bare: self.tries.bare,
                            ..Tries::default()
                        };
                    }
                    return Ok(lease);
                }
                Err(_) if stay.is_some() => {}
                Err(NoAccount::Resting { until_ms }) if self.waits < 3 => {
                    let wait = Duration::from_millis(until_ms.saturating_sub(now).max(20));
                    if wait > QUEUE {
                        return Err(Stop::Failed(rate_limited(wait)));
                    }
                    self.waits += 1;
                    client.wait(wait, std::future::pending::<()>()).await?;
                    self.tried.clear();
                }
                Err(none) => return Err(Stop::Failed(self.verdict_without_account(none, now))),
            }
        }
    }

    fn verdict_without_account(&mut self, none: NoAccount, now: u64) -> Error {
        match (none, self.last.take()) {
            (NoAccount::Exhausted { resets_at }, _) => Error::UsageLimit { resets_at, now: now / 1000 },
            (NoAccount::Resting { until_ms }, None) => {
                rate_limited(Duration::from_millis(until_ms.saturating_sub(now)))
            }
            (NoAccount::Unusable { message }, None) => Error::NoAccounts { message },
            (_, Some(last)) => last,
            (NoAccount::Tried, None) => {
                Error::NoAccounts { message: "No account could serve this request.".into() }
            }
        }
    }

    /// A 401: refreshes the tokens that were refused and stays on the account, or leaves it.
    async fn refresh(&mut self, app: &App, account: &Arc<Account>, refused_hash: &str, verdict: &Verdict) {
        self.tries.refreshed = true;
        match app.refresher.after_401(account, refused_hash).await {
            Ok(()) => self.stay = Some(account.id.clone()),
            Err(error) => {
                info!("account {}: token refresh failed: {error}", account.name);
                let last = verdict.error.clone().unwrap_or(Error::Truncated);
                self.leave(account, last);
            }
        }
    }

    /// Does what the verdict says.
    async fn follow(
        &mut self,
        app: &App,
        client: &mut Client<'_>,
        account: &Arc<Account>,
        verdict: Verdict,
        attempts: usize,
    ) -> Result<(), Stop> {
        let limited = matches!(verdict.note, Note::Limited { .. });
        app.pool.note(account, verdict.note, now_ms());
        let error = verdict.error.unwrap_or(Error::Truncated);
        match verdict.action {
            Action::RetrySame(pause) => {
                self.tries.repeated += 1;
                self.stay = Some(account.id.clone());
                self.last = Some(error);
                if !pause.is_zero() {
                    client.wait(pause, std::future::pending::<()>()).await?;
                }
                Ok(())
            }
            Action::NextAccount => {
                self.tries.model_refused |= error.message().contains("model is not supported");
                self.faults += usize::from(!limited);
                if self.faults >= attempts {
                    return Err(Stop::Failed(error));
                }
                self.leave(account, error);
                Ok(())
            }
            Action::Relay | Action::RefreshThenRetry | Action::RetryWithoutReasoning | Action::GiveUp => {
                Err(Stop::Failed(error))
            }
        }
    }

    fn leave(&mut self, account: &Arc<Account>, error: Error) {
        self.tried.push(account.id.clone());
        self.last = Some(error);
    }
}

fn rate_limited(wait: Duration) -> Error {
    let seconds = wait.as_secs().max(1);
    let object = serde_json::json!({
        "message": format!("Every account rests after errors or short limits. Try again in {seconds}s."),
        "type": "rate_limit_error",
        "code": "rate_limit_exceeded",
    });
    let error = object.as_object().cloned().unwrap_or_default();
    Error::Upstream { status: 429, error, retry_after: Some(seconds) }
}

/// Reads an attempt up to its first decisive event. Leaves with `Left` when the client does.
async fn open(client: &mut Client<'_>, running: &mut Running, limits: &Timeouts) -> Result<Opening, Left> {
    let Waited::Ready(step) = client.wait(limits.head, running.next()).await? else {
        return Ok(Opening::Silence { waited: limits.head });
    };
    let head = match step {
        Step::Head(head) => head,
        Step::Broken { error, reused } => return Ok(Opening::Broken { error, reused }),
        Step::Events(_) | Step::Bytes(_) | Step::End => return Ok(Opening::Truncated),
    };
    if !head.status.is_success() {
        return refusal(client, running, &head, limits.head).await;
    }
    if let Some(state) = head.headers.get("x-codex-turn-state").and_then(|value| value.to_str().ok()) {
        client.add_header("x-codex-turn-state", state.to_owned());
    }
    let mut held = Vec::new();
    while held.len() < HELD_MAX {
        let Waited::Ready(step) = client.wait(limits.idle, running.next()).await? else {
            return Ok(Opening::Silence { waited: limits.idle });
        };
        let events = match step {
            Step::Events(events) => events,
            Step::Bytes(_) => continue,
            Step::Broken { error, reused } => return Ok(Opening::Broken { error, reused }),
            Step::Head(_) | Step::End => break,
        };
        let mut decided = false;
        for event in events {
            if !decided {
                match event.kind {
                    Kind::Failed | Kind::Error => return Ok(Opening::Failure { event }),
                    Kind::Malformed | Kind::Done => return Ok(Opening::Truncated),
                    kind => decided = dialect::is_decisive(kind),
                }
            }
            held.push(event);
        }
        if decided {
            return Ok(Opening::Output { held });
        }
    }
    Ok(Opening::Truncated)
}

async fn refusal(
    client: &mut Client<'_>,
    running: &mut Running,
    head: &ResponseHeader,
    limit: Duration,
) -> Result<Opening, Left> {
    let mut body = BytesMut::new();
    while body.len() < ERROR_BODY {
        match client.wait(limit, running.next()).await? {
            Waited::Ready(Step::Bytes(bytes)) => body.extend_from_slice(&bytes),
            Waited::Ready(_) | Waited::Silence => break,
        }
    }
    let retry_after = head
        .headers
        .get(http::header::RETRY_AFTER)
        .and_then(|value| value.to_str().ok()?.trim().parse().ok())
        .map(Duration::from_secs);
    Ok(Opening::Refusal { status: head.status.as_u16(), body: body.freeze(), retry_after })
}

impl Opening {
    fn evidence(&self) -> Evidence<'_> {
        match self {
            Self::Output { .. } => Evidence::Output,
            Self::Refusal { status, body, retry_after } => {
                let error =
                    serde_json::from_slice::<Value>(body).ok().and_then(|body| dialect::error_object(&body));
                Evidence::Refusal { status: *status, error, retry_after: *retry_after }
            }
            Self::Failure { event } => match dialect::failure(event) {
                Some(error) => Evidence::Failure { error },
                None => Evidence::Truncated,
            },
            Self::Broken { error, reused } => Evidence::Broken { error, reused: *reused },
            Self::Truncated => Evidence::Truncated,
            Self::Silence { waited } => Evidence::Silence { waited: *waited },
        }
    }
}

/// Tells the client that the exchange failed: with a status while nothing was sent, else inside the stream.
pub async fn fail(client: &mut Client<'_>, call: Option<&Call>, record: &mut Record, error: &Error) {
    let status = client.status().unwrap_or_else(|| error.status());
    let outcome = if record.attempts == 0 { Outcome::Refused } else { Outcome::Failed };
    record.ended(outcome, status, Some(error.code()));
    record.close().await;
    let told = match (client.status(), call) {
        (None, _) => client.reply_error(error).await,
        (Some(_), Some(call)) => {
            let mut out = Vec::new();
            call.encoder(&record.turn).break_off(error, &mut out);
            client.send(relay::join(out), true).await
        }
        (Some(_), None) => Ok(()),
    };
    if told.is_err() {
        debug!("exchange {}: the client left before it was told", record.turn.id);
    }
}
