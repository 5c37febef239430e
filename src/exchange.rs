//! The attempts of one exchange: choose an account, try it, judge what came, and again, until there is output to
//! relay or nothing left to try.

mod course; // where it stands on its way from account to account
pub mod headers; // the client's head → the upstream's, and the conversation's key
mod opening; // an answer's beginning, up to the first decisive event
pub mod record; // the facts of the exchange and its ledger row

use std::sync::Arc;

use log::{debug, info};

use crate::attempt::{Plan, Running};
use crate::client::{Client, Left};
use crate::dialect::Call;
use crate::error::Error;
use crate::judge::{Action, Evidence, Verdict, judge};
use crate::ledger::Outcome;
use crate::now_ms;
use crate::pool::{Note, Wish, plain};
use crate::proxy::{App, Policy};
use crate::relay::{self, Answering};
use course::Course;
use opening::Opening;
use record::Record;

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

/// Runs the exchange to its end: the answer is relayed and recorded, or `Stop` says why not.
pub async fn run(
    app: &App,
    client: &mut Client<'_>,
    call: &mut Call,
    record: &mut Record,
) -> Result<(), Stop> {
    let policy = app.policy.load_full();
    let plan = plan(app, &policy, call, record);
    let wish = wish(app, call, record);
    let mut course = Course::new(app, call.render_parts(&record.turn), policy.config.routing.attempts);
    loop {
        let lease = course.lease(client, &wish).await?;
        let account = lease.account.clone();
        record.account_id = Some(account.id.clone());
        if !course.has_token(client, &account).await? {
            continue;
        }
        record.attempts += 1;
        let refused_hash = account.credentials().refresh_hash;
        let mut running =
            Running::start(client.session(), &plan, lease, course.body.clone()).map_err(|_| {
                Stop::Failed(Error::Internal { message: "The attempt could not be started.".into() })
            })?;
        let opening = opening::open(client, &mut running, &policy.config.upstream.timeouts).await?;
        let verdict = if let Opening::Output { held } = opening {
            if call.stream {
                // Nothing is tried again from here on: a long stream need not hold its request.
                course.body.clear();
                call.forget_body();
            }
            let answering = Answering { app, call, account: &account, affinity: wish.affinity.as_deref() };
            match relay::pump(answering, client, record, running, held).await {
                // A whole answer is sent at its end: until then the client has seen nothing of it.
                Err(Stop::Failed(Error::Upstream { status, error, .. })) if !call.stream => {
                    let error = Some(error);
                    judge(Evidence::Refusal { status, error, retry_after: None }, course.tries, now_ms())
                }
                Err(Stop::Failed(error)) if !call.stream && error.is_fault() => {
                    Verdict { action: Action::NextAccount, note: Note::Neutral, error: Some(error) }
                }
                ended => return ended,
            }
        } else {
            drop(running);
            judge(opening.evidence(), course.tries, now_ms())
        };
        let code = plain(verdict.error.as_ref().map_or("-", Error::code));
        let attempt = record.attempts;
        info!(
            "exchange {}: attempt {attempt} on {}: {code} → {:?}",
            record.turn.id, account.name, verdict.action
        );
        course.follow(client, call, &record.turn, &account, &refused_hash, verdict).await?;
    }
}

fn plan(app: &App, policy: &Policy, call: &Call, record: &Record) -> Arc<Plan> {
    Arc::new(Plan {
        endpoint: app.endpoint.clone(),
        pool: app.pool.clone(),
        chain: policy.chain.clone(),
        headers: headers::upstream(&record.turn, call, &policy.config.upstream.headers),
        path: "/codex/responses",
    })
}

fn wish(app: &App, call: &Call, record: &Record) -> Wish {
    let affinity = headers::affinity(&record.turn, call);
    if let (Some(affinity), Some(owner)) = (&affinity, &call.reasoning_owner)
        && let Some(account) = app.pool.account(owner)
    {
        // After a restart the affinity is forgotten; the reasoning that goes along belongs to an account.
        app.pool.bind(affinity, &account, now_ms());
    }
    Wish { affinity, owner: None, model: record.turn.model.clone() }
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
            client.send(out, true).await
        }
        (Some(_), None) => Ok(()),
    };
    if told.is_err() {
        debug!("exchange {}: the client left before it was told", record.turn.id);
    }
}
