//! Sockets, TLS and routes of the simulator.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::Request;
use axum::http::request::Parts;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use bytes::Bytes;
use hyper::body::Incoming;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use serde_json::json;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::account::Account;
use super::fault::{Fault, deactivated};
use super::log::Outcome;
use super::refusal::Refusal;
use super::stream::Broken;
use super::{Options, Tls, World, answer, control, lock, models, now, oauth, responses};

/// Streams at once on one HTTP/2 connection.
const MAX_STREAMS: u32 = 1024;

/// What every handler knows.
pub(crate) struct Sim {
    pub(crate) world: Arc<World>,
    pub(crate) event_delay: Duration,
    pub(crate) full_output: bool,
    /// The one stream that answers everything.
    pub(crate) fast: Option<Arc<[Bytes]>>,
}

/// The connection a request came on.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    peer: SocketAddr,
    /// Set: the connection is reset, not closed, when it is dropped.
    pub(crate) reset: Arc<AtomicBool>,
}

/// Mark on a response that is not to be sent: the connection is closed instead.
#[derive(Debug, Clone, Copy)]
struct HangUp;

/// Serves until the future is dropped; that also ends its connections.
///
/// # Errors
/// Certificate or key cannot be read or do not fit. Errors of single connections end only these.
pub async fn serve(listener: TcpListener, options: Options) -> io::Result<()> {
    let tls = options.tls.as_ref().map(acceptor).transpose()?;
    let sim = Arc::new(Sim {
        world: options.world,
        event_delay: options.event_delay,
        full_output: options.full_output,
        fast: options.fast.map(|words| answer::sample(words).into()),
    });
    let router = router(sim);
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((tcp, peer)) => {
                    connections.spawn(connection(tcp, peer, tls.clone(), router.clone()));
                }
                // Out of file descriptors, most likely: connections that end free some.
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// A response that closes the connection (HTTP/2: resets the stream) before any head.
pub(crate) fn hang_up() -> Response {
    let mut response = Response::new(Body::empty());
    response.extensions_mut().insert(HangUp);
    response
}

impl Sim {
    /// The account that asks about itself. Faults that are about the account as a whole show here too.
    pub(crate) fn account_of(&self, parts: &Parts) -> Result<Arc<Account>, Refusal> {
        let mut tracked = self.world.log.receive(parts, Some(&Bytes::new()), false);
        tracked.outcome = Some(Outcome::Replied);
        let found = self.world.authenticate(&parts.headers).and_then(|account| {
            tracked.account = Some(account.id.clone());
            if account.suffers(&Fault::Deactivated) {
                return Err(deactivated(402));
            }
            if account.suffers(&Fault::Unauthorized) {
                return Err(Refusal::detail(401, "Unauthorized"));
            }
            Ok(account)
        });
        tracked.status = Some(found.as_ref().map_or_else(|refusal| refusal.status, |_| 200));
        found
    }
}

fn router(sim: Arc<Sim>) -> Router {
    Router::new()
        .route("/backend-api/codex/responses", post(responses::respond).get(responses::no_websocket))
        .route("/backend-api/codex/models", get(models::list))
        .route("/backend-api/wham/usage", get(usage))
        .route("/oauth/token", post(oauth::token))
        .merge(control::routes())
        .fallback(|| async { Refusal::detail(404, "Not Found") })
        .with_state(sim)
}

/// `GET /wham/usage`.
async fn usage(State(sim): State<Arc<Sim>>, request: Request<Body>) -> Result<Response, Refusal> {
    let account = sim.account_of(&request.into_parts().0)?;
    let rate_limit = lock(&account.state).quota.report(now());
    let report = json!({
        "user_id": format!("user-{}", account.id), "account_id": account.account_id, "email": account.email,
        "plan_type": account.plan, "rate_limit": rate_limit, "additional_rate_limits": [],
        "credits": {"has_credits": false, "unlimited": false, "balance": "0"},
    });
    Ok(axum::Json(report).into_response())
}

async fn connection(tcp: TcpStream, peer: SocketAddr, tls: Option<TlsAcceptor>, router: Router) {
    let reset = Arc::new(AtomicBool::new(false));
    let line = Line { peer, reset: reset.clone() };
    // Without it small events wait for acknowledgements; where it cannot be set, that is all that happens.
    tcp.set_nodelay(true).unwrap_or_default();
    let wire = Wire { tcp, reset };
    match tls {
        None => exchange(wire, line, router).await,
        Some(tls) => {
            if let Ok(stream) = tls.accept(wire).await {
                exchange(stream, line, router).await;
            }
        }
    }
}

/// HTTP on one connection until it ends, well or not: neither matters to the others.
async fn exchange<S>(stream: S, line: Line, router: Router)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: Request<Incoming>| {
        let (router, line) = (router.clone(), line.clone());
        async move {
            if request.uri().path().starts_with("/sim/") && !line.peer.ip().to_canonical().is_loopback() {
                return Ok(
                    Refusal::detail(403, "The control API is for loopback peers only.").into_response()
                );
            }
            request.extensions_mut().insert(line);
            let response: Result<Response, Infallible> = router.call(request).await;
            let response = response.map_err(|_| Broken)?;
            if response.extensions().get::<HangUp>().is_some() { Err(Broken) } else { Ok(response) }
        }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(None);
    builder.http2().timer(TokioTimer::new()).max_concurrent_streams(MAX_STREAMS);
    builder.serve_connection(TokioIo::new(stream), service).await.unwrap_or_default();
}

fn acceptor(tls: &Tls) -> io::Result<TlsAcceptor> {
    let pem = |path: &std::path::Path, error: &dyn std::fmt::Display| {
        io::Error::new(io::ErrorKind::InvalidInput, format!("{}: {error}", path.display()))
    };
    let certificates = CertificateDer::pem_file_iter(&tls.certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| pem(&tls.certificate, &error))?;
    let key = PrivateKeyDer::from_pem_file(&tls.key).map_err(|error| pem(&tls.key, &error))?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|config| config.with_no_client_auth().with_single_cert(certificates, key))
        .map_err(|error| pem(&tls.certificate, &error))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// A TCP connection that can be told to end with a reset.
struct Wire {
    tcp: TcpStream,
    reset: Arc<AtomicBool>,
}

impl Drop for Wire {
    fn drop(&mut self) {
        if self.reset.load(Ordering::Acquire) {
            self.tcp.set_zero_linger().unwrap_or_default();
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_read(context, buffer)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write_vectored(context, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(context)
    }
}
