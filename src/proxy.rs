//! **Start here.** `impl ProxyHttp`: one implementation serves three kinds of session.
//!
//! | session | what the phases do |
//! |---|---|
//! | main, an API call | `request_filter` is the spine (`answer`): it answers the client itself |
//! | attempt, a subrequest | the phases inject the account's credentials, read its quota, record token usage |
//! | pass-through | a page of the dashboard: Pingora's ordinary proxying |

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use bytes::Bytes;
use codex_lb_filters::{Chain, Verdict};
use log::debug;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::Digest;
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error as PingoraError, ErrorSource, ErrorType, Result};
use pingora_proxy::{FailToProxy, ProxyHttp, Session};

use crate::attempt::Attempt;
use crate::client::Client;
use crate::config::Config;
use crate::error::Error;
use crate::exchange::record::Record;
use crate::exchange::{self, Stop};
use crate::ledger::{Ledger, Outcome};
use crate::pool::Pool;
use crate::reasoning::ReasoningMemory;
use crate::route::{self, Route};
use crate::telemetry::Open;
use crate::tokens::refresh::Refresher;
use crate::upstream::Endpoint;
use crate::{body, dialect, pages, peer};

/// A body that nobody wants any more is read this long, so that its sender gets to see the answer.
const DRAIN: Duration = Duration::from_secs(5);

/// What a SIGHUP can change while the proxy runs.
pub struct Policy {
    pub config: Config,
    pub chain: Arc<Chain>,
    pub dialect: dialect::Settings,
}

/// Everything the request path draws upon.
pub struct App {
    pub policy: ArcSwap<Policy>,
    pub pool: Arc<Pool>,
    pub refresher: Refresher,
    pub ledger: Ledger,
    pub memory: Arc<ReasoningMemory>,
    pub endpoint: Arc<Endpoint>,
    /// Where the dashboard answers, if it runs.
    pub dashboard: Option<SocketAddr>,
    /// Set when the process is told to end: no new exchange begins.
    pub draining: AtomicBool,
}

/// The `ProxyHttp` implementation.
pub struct Proxy {
    pub app: Arc<App>,
}

/// What a session is, once `request_filter` has seen it.
#[derive(Default)]
pub enum Ctx {
    /// Not seen yet, or answered by the spine.
    #[default]
    Main,
    Attempt(Box<Attempt>),
    Dashboard(SocketAddr),
}

impl Proxy {
    /// The spine: the way of an API call, one line a step, one file a step.
    async fn answer(
        &self,
        client: &mut Client<'_>,
        route: Route,
        record: &mut Record,
        call: &mut Option<dialect::Call>,
    ) -> Result<(), Stop> {
        let app = &*self.app;
        let policy = app.policy.load_full();
        refuse(policy.chain.on_head(&mut record.turn)).inspect_err(|_| {
            if record.turn.key.is_none() {
                // A stranger at the door leaves no row: a scan would fill the ledger.
                record.forget();
            }
        })?;
        if matches!(route, Route::Models | Route::CodexModels) {
            return pages::models(app, client, route, record).await;
        }
        let body = body::read(client.session(), &policy.config.limits).await.map_err(Stop::Failed)?;
        let decoded = dialect::decode(route, &body, &mut record.turn, &policy.dialect, &app.memory);
        let call = call.insert(decoded.map_err(Stop::Failed)?);
        drop(body);
        refuse(policy.chain.on_request(&mut record.turn))?;
        client.set_streaming(call.stream);
        exchange::run(app, client, call, record).await
    }

    /// Answers an API call and sees to it that the exchange leaves its row.
    async fn serve(&self, session: &mut Session, route: Route) {
        // Dropped last: the drain waits for it.
        let _open = Open::begin();
        let policy = self.app.policy.load_full();
        let turn = peer::turn(session, route, &policy.config.auth.trusted_proxies);
        let mut client = Client::new(session, &turn.id);
        let mut record = Record::begin(turn, policy.chain.clone(), self.app.ledger.clone());
        let mut call = None;
        match self.answer(&mut client, route, &mut record, &mut call).await {
            Ok(()) => {}
            Err(Stop::Failed(error)) => exchange::fail(&mut client, call.as_ref(), &mut record, &error).await,
            Err(Stop::Left) => {
                debug!("exchange {}: the client left", record.turn.id);
                record.ended(Outcome::ClientLeft, client.status().unwrap_or(499), None);
            }
        }
    }
}

fn refuse(verdict: Verdict) -> Result<(), Stop> {
    match verdict {
        Verdict::Continue => Ok(()),
        Verdict::Refuse(reply) => Err(Stop::Failed(Error::Refused {
            status: reply.status,
            kind: reply.kind,
            code: reply.code,
            message: reply.message,
        })),
    }
}

#[async_trait]
impl ProxyHttp for Proxy {
    type CTX = Ctx;

    fn new_ctx(&self) -> Ctx {
        Ctx::Main
    }

    /// No compression and no other module: events pass as they are.
    fn init_downstream_modules(&self, _modules: &mut pingora::modules::http::HttpModules) {}

    fn allow_spawning_subrequest(&self, session: &Session, _ctx: &Ctx) -> bool {
        session.subrequest_ctx.is_none()
    }

    async fn request_filter(&self, session: &mut Session, ctx: &mut Ctx) -> Result<bool> {
        if let Some(attempt) = Attempt::of(session) {
            let injected = attempt.inject(session);
            *ctx = Ctx::Attempt(attempt);
            return injected.map(|()| false);
        }
        session.set_total_drain_timeout(Some(DRAIN));
        let upgrade = session.is_upgrade_req();
        let found = route::find(&session.req_header().method, session.req_header().uri.path(), upgrade);
        match found {
            Ok(Route::Live | Route::Ready) => {
                pages::health(&self.app, session, found == Ok(Route::Ready)).await
            }
            Ok(_) if self.app.draining.load(Ordering::Relaxed) => {
                session.set_keepalive(None);
                pages::error(session, &Error::Draining).await;
            }
            Ok(Route::Dashboard) => match pages::dashboard(&self.app, session).await {
                Some(address) => {
                    *ctx = Ctx::Dashboard(address);
                    return Ok(false);
                }
                None => return Ok(true),
            },
            Ok(route) => self.serve(session, route).await,
            Err(error) => pages::error(session, &error).await,
        }
        Ok(true)
    }

    async fn upstream_peer(&self, _session: &mut Session, ctx: &mut Ctx) -> Result<Box<HttpPeer>> {
        match ctx {
            Ctx::Attempt(attempt) => attempt.peer().await,
            Ctx::Dashboard(address) => Ok(Box::new(HttpPeer::new(*address, false, String::new()))),
            Ctx::Main => {
                PingoraError::e_explain(ErrorType::InternalError, "an answered session has no upstream")
            }
        }
    }

    async fn connected_to_upstream(
        &self,
        _session: &mut Session,
        reused: bool,
        _peer: &HttpPeer,
        _fd: std::os::unix::io::RawFd,
        _digest: Option<&Digest>,
        ctx: &mut Ctx,
    ) -> Result<()> {
        if let Ctx::Attempt(attempt) = ctx {
            attempt.on_connection(reused);
        }
        Ok(())
    }

    async fn upstream_response_filter(
        &self,
        _session: &mut Session,
        head: &mut ResponseHeader,
        ctx: &mut Ctx,
    ) -> Result<()> {
        if let Ctx::Attempt(attempt) = ctx {
            attempt.on_head(head);
        }
        Ok(())
    }

    fn response_body_filter(
        &self,
        _session: &mut Session,
        body: &mut Option<Bytes>,
        end: bool,
        ctx: &mut Ctx,
    ) -> Result<Option<Duration>> {
        if let Ctx::Attempt(attempt) = ctx {
            attempt.on_body(body.as_ref(), end)?;
        }
        Ok(None)
    }

    /// An attempt's failure goes to its exchange as an error, not as a page; a dashboard's becomes a page of ours.
    async fn fail_to_proxy(&self, session: &mut Session, error: &PingoraError, ctx: &mut Ctx) -> FailToProxy {
        let error_code = match ctx {
            Ctx::Attempt(_) => 0,
            Ctx::Main | Ctx::Dashboard(_) => pages::failed(session, error).await,
        };
        FailToProxy { error_code, can_reuse_downstream: false }
    }

    /// An attempt's failure is told by its exchange; that a browser leaves a page is no failure.
    fn suppress_error_log(&self, _session: &Session, ctx: &Ctx, error: &PingoraError) -> bool {
        matches!(ctx, Ctx::Attempt(_)) || *error.esource() == ErrorSource::Downstream
    }

    /// Method and path; a query may hold what must not be logged.
    fn request_summary(&self, session: &Session, _ctx: &Ctx) -> String {
        let head: &RequestHeader = session.req_header();
        format!("{} {}", head.method, head.uri.path())
    }
}
