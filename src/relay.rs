//! Events to the client: through the dialect's encoder, until the terminal one, which waits for its ledger row.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
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
    let mut ending = push_all(&mut encoder, held, &mut out);
    loop {
        if let Some(Ended { ending, tail }) = ending {
            record.turn.answer = running.answer();
            running.let_go();
            flush(client, &mut out).await?;
            return finish(&answering, client, record, encoder, ending, tail).await;
        }
        flush(client, &mut out).await?;
        ending = match client.wait(idle, running.next()).await? {
            Waited::Ready(Step::Events(events)) => push_all(&mut encoder, events, &mut out),
            Waited::Ready(Step::Bytes(_)) => None,
            Waited::Ready(Step::Broken { .. } | Step::End | Step::Head(_)) => {
                return break_off(&answering, client, record, running, encoder, Error::Truncated).await;
            }
            Waited::Silence => {
                let message = format!("The upstream stayed silent for {} s.", idle.as_secs());
                return break_off(&answering, client, record, running, encoder, Error::Timeout { message })
                    .await;
            }
        };
    }
}

/// The answer's end, and the bytes that tell the client.
struct Ended {
    ending: Ending,
    tail: Vec<Bytes>,
}

fn push_all(
    encoder: &mut Encoder,
    events: impl IntoIterator<Item = Event>,
    out: &mut Vec<Bytes>,
) -> Option<Ended> {
    for event in events {
        let before = out.len();
        if let Some(ending) = encoder.push(&event, out) {
            return Some(Ended { ending, tail: out.split_off(before) });
        }
    }
    None
}

/// The regular end: everything is noted, then the row is committed, then the client hears of it.
async fn finish(
    answering: &Answering<'_>,
    client: &mut Client<'_>,
    record: &mut Record,
    mut encoder: Encoder,
    ending: Ending,
    tail: Vec<Bytes>,
) -> Result<(), Stop> {
    let Answering { app, call, account, affinity } = answering;
    app.policy.load().chain.on_end(&mut record.turn);
    let (outcome, error) = match ending {
        Ending::Completed => (Outcome::Completed, None),
        Ending::Incomplete => (Outcome::Incomplete, None),
        Ending::Failed(error) => (Outcome::Failed, Some(error)),
    };
    if let Some(Error::Upstream { error, .. }) = &error {
        // Too late to try again, but not to learn what it says about the account.
        let verdict = judge(Evidence::Failure { error: error.clone() }, Tries::default(), now_ms());
        app.pool.note(account, verdict.note, now_ms());
    } else if error.is_none() {
        app.pool.note(account, Note::Served, now_ms());
        if let Some(affinity) = affinity {
            app.pool.bind(affinity, account, now_ms());
        }
        if let Some(remembered) = encoder.remember() {
            app.memory.put(&remembered.anchors, &account.id, remembered.items, now_ms());
        }
    }
    if call.stream {
        record.ended(outcome, 200, error.as_ref().map(Error::code));
        record.close().await;
        return Ok(client.send(join(tail), true).await?);
    }
    match error {
        None => {
            record.ended(outcome, 200, None);
            record.close().await;
            Ok(client.reply(200, encoder.whole(), None).await?)
        }
        Some(error) => Err(Stop::Failed(error)),
    }
}

/// The upstream broke off after output: nothing is tried again, and the stream ends with a well-formed error.
async fn break_off(
    answering: &Answering<'_>,
    client: &mut Client<'_>,
    record: &mut Record,
    running: Running,
    mut encoder: Encoder,
    error: Error,
) -> Result<(), Stop> {
    record.turn.answer = running.answer();
    drop(running);
    answering.app.pool.note(answering.account, Note::Transient { code: error.code().to_owned() }, now_ms());
    answering.app.policy.load().chain.on_end(&mut record.turn);
    if !answering.call.stream {
        return Err(Stop::Failed(error));
    }
    let mut out = Vec::new();
    encoder.break_off(&error, &mut out);
    record.ended(Outcome::Failed, 200, Some(error.code()));
    record.close().await;
    Ok(client.send(join(out), true).await?)
}

async fn flush(client: &mut Client<'_>, out: &mut Vec<Bytes>) -> Result<(), Stop> {
    if out.is_empty() {
        return Ok(());
    }
    Ok(client.send(join(std::mem::take(out)), false).await?)
}

/// One piece of many, without a copy when there is one.
pub fn join(mut pieces: Vec<Bytes>) -> Bytes {
    match pieces.len() {
        0 | 1 => pieces.pop().unwrap_or_default(),
        _ => {
            let mut joined = BytesMut::with_capacity(pieces.iter().map(Bytes::len).sum());
            for piece in &pieces {
                joined.extend_from_slice(piece);
            }
            joined.freeze()
        }
    }
}
