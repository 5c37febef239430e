//! Events to the client: through the dialect's encoder, until the terminal one, which waits for its ledger row.

use std::sync::Arc;

use bytes::Bytes;
use codex_lb_filters::Event;

use crate::attempt::{Running, Step};
use crate::client::{Client, Waited};
use crate::dialect::{Call, Encoder, Ending};
use crate::error::Error;
use crate::exchange::Stop;
use crate::exchange::record::Record;
use crate::judge::{Evidence, Tries, judge};
use crate::ledger::Outcome;
use crate::now_ms;
use crate::pool::{Account, Note};
use crate::proxy::App;

/// Pieces that go out in one write, at most.
const TOGETHER: usize = 64;

/// What an answer under way needs.
pub struct Answering<'a> {
    pub app: &'a App,
    pub call: &'a Call,
    pub account: &'a Arc<Account>,
    /// Key of the conversation.
    pub affinity: Option<&'a str>,
}

/// Relays the answer to its end. `held` are the events up to and including the first decisive one.
pub async fn pump(
    answering: Answering<'_>,
    client: &mut Client<'_>,
    record: &mut Record,
    mut running: Running,
    held: Vec<Event>,
) -> Result<(), Stop> {
    record.output();
    let idle = answering.app.policy.load().config.upstream.timeouts.idle;
    let mut encoder = answering.call.encoder(&record.turn);
    let mut out = Vec::new();
    let mut step = Waited::Ready(Step::Events(held.into()));
    loop {
        if let Some(ended) = take(&mut encoder, step, &mut out) {
            record.turn.answer = running.answer();
            let last = Last { answering, client, record, encoder, out };
            return match ended {
                Ok(ending) => {
                    running.let_go();
                    last.finish(ending).await
                }
                Err(error) => {
                    drop(running);
                    last.break_off(error).await
                }
            };
        }
        // What has already come goes out in the same write.
        if out.len() < TOGETHER
            && let Some(next) = running.ready()
        {
            step = Waited::Ready(next);
            continue;
        }
        if !out.is_empty() {
            client.send(std::mem::take(&mut out), false).await?;
        }
        step = client.wait(idle, running.next()).await?;
    }
}

/// Encodes what a step brings; tells how the answer ended, if it did.
fn take(encoder: &mut Encoder, step: Waited<Step>, out: &mut Vec<Bytes>) -> Option<Result<Ending, Error>> {
    match step {
        Waited::Ready(Step::Events(events)) => {
            events.iter().find_map(|event| encoder.push(event, out)).map(Ok)
        }
        Waited::Ready(Step::Bytes(_)) => None,
        Waited::Ready(Step::Broken { .. } | Step::End | Step::Head(_)) => Some(Err(Error::Truncated)),
        Waited::Silence => {
            Some(Err(Error::Timeout { message: "The upstream stayed silent for too long.".into() }))
        }
    }
}

/// The last things an answer does.
struct Last<'a, 's> {
    answering: Answering<'a>,
    client: &'a mut Client<'s>,
    record: &'a mut Record,
    encoder: Encoder,
    /// Not sent yet: the terminal event, and what came together with it.
    out: Vec<Bytes>,
}

impl Last<'_, '_> {
    /// The regular end: everything is noted, then the row is committed, then the client hears of it.
    async fn finish(mut self, ending: Ending) -> Result<(), Stop> {
        let call = self.answering.call;
        let (outcome, error) = match ending {
            Ending::Completed => (Outcome::Completed, None),
            Ending::Incomplete => (Outcome::Incomplete, None),
            Ending::Failed(error) => (Outcome::Failed, Some(error)),
        };
        self.note(error.as_ref());
        if let (Some(error), false) = (&error, call.stream) {
            return Err(Stop::Failed(error.clone()));
        }
        self.record.ended(outcome, 200, error.as_ref().map(Error::code));
        self.record.close().await;
        if call.stream {
            return Ok(self.client.send(self.out, true).await?);
        }
        Ok(self.client.reply(200, self.encoder.whole(), None).await?)
    }

    /// What the answer says about its account and its conversation.
    fn note(&mut self, error: Option<&Error>) {
        let Answering { app, account, affinity, .. } = &self.answering;
        let now = now_ms();
        if let (Some(Error::Upstream { status, error, .. }), true) = (error, self.answering.call.stream) {
            // Too late to try again, but not to learn from it.
            let evidence =
                Evidence::Refusal { status: *status, error: Some(error.clone()), retry_after: None };
            let verdict = judge(evidence, Tries { repeated: 1, ..Tries::default() }, now);
            app.pool.note(account, verdict.note, now);
        }
        if error.is_some() {
            return;
        }
        app.pool.note(account, Note::Served, now);
        if let Some(affinity) = affinity {
            app.pool.bind(affinity, account, now);
        }
        if let Some(remembered) = self.encoder.remember() {
            app.memory.put(&remembered.anchors, &account.id, remembered.items, now);
        }
    }

    /// The upstream broke off after output: nothing is tried again, and the stream ends with a well-formed error.
    async fn break_off(mut self, error: Error) -> Result<(), Stop> {
        let Answering { app, call, account, .. } = self.answering;
        app.pool.note(account, Note::Transient { code: error.code().to_owned() }, now_ms());
        if !call.stream {
            return Err(Stop::Failed(error));
        }
        self.encoder.break_off(&error, &mut self.out);
        self.record.ended(Outcome::Failed, 200, Some(error.code()));
        self.record.close().await;
        Ok(self.client.send(self.out, true).await?)
    }
}
