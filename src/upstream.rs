//! Where the Codex backend is, and how to reach it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use http::Uri;
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorType, OrErr, Result};

use crate::config;

/// A looked-up address is used this long. Short enough to follow a moving CDN, long enough to stay off the hot path.
const ADDRESS_TTL: Duration = Duration::from_secs(30);

/// Idle upstream connections are kept this long.
const IDLE_CONNECTION: Duration = Duration::from_secs(90);

/// The base URL, taken apart, with its address remembered.
pub struct Endpoint {
    tls: bool,
    host: String,
    port: u16,
    /// Path prefix without a trailing slash, e.g. `/backend-api`.
    prefix: String,
    connect: Duration,
    address: ArcSwapOption<(SocketAddr, Instant)>,
}

impl Endpoint {
    /// `base_url` was checked by the configuration: http(s), a host, no query.
    pub fn new(base_url: &str, timeouts: &config::Timeouts) -> Result<Self, String> {
        let uri: Uri = base_url.parse().map_err(|_| format!("upstream.base_url is not a URL: {base_url}"))?;
        let tls = uri.scheme_str() == Some("https");
        let host = uri.host().ok_or_else(|| format!("upstream.base_url has no host: {base_url}"))?;
        Ok(Self {
            tls,
            host: host.trim_matches(['[', ']']).to_owned(),
            port: uri.port_u16().unwrap_or(if tls { 443 } else { 80 }),
            prefix: uri.path().trim_end_matches('/').to_owned(),
            connect: timeouts.connect,
            address: ArcSwapOption::empty(),
        })
    }

    /// Path of a Codex call, e.g. `/backend-api/codex/responses` for `/codex/responses`.
    pub fn path(&self, below_base: &str) -> String {
        format!("{}{below_base}", self.prefix)
    }

    /// Value of the `Host` header.
    pub fn authority(&self) -> String {
        match (self.tls, self.port) {
            (true, 443) | (false, 80) => self.host.clone(),
            (_, port) if self.host.contains(':') => format!("[{}]:{port}", self.host),
            (_, port) => format!("{}:{port}", self.host),
        }
    }

    /// The peer to connect to: verified TLS with HTTP/2 or 1.1 by ALPN, or plain HTTP/1.1.
    pub async fn peer(&self) -> Result<Box<HttpPeer>> {
        let mut peer = HttpPeer::new(self.address().await?, self.tls, self.host.clone());
        let options = &mut peer.options;
        options.connection_timeout = Some(self.connect);
        options.total_connection_timeout = Some(self.connect);
        options.idle_timeout = Some(IDLE_CONNECTION);
        options.set_http_version(if self.tls { 2 } else { 1 }, 1);
        Ok(Box::new(peer))
    }

    async fn address(&self) -> Result<SocketAddr> {
        let known = self.address.load();
        if let Some(known) = known.as_deref()
            && known.1.elapsed() < ADDRESS_TTL
        {
            return Ok(known.0);
        }
        let lookup = tokio::net::lookup_host((self.host.as_str(), self.port));
        let found = tokio::time::timeout(self.connect, lookup)
            .await
            .or_err(ErrorType::ConnectTimedout, "looking up the upstream's address")?
            .or_err(ErrorType::ConnectError, "looking up the upstream's address");
        match (found.map(|mut addresses| addresses.next()), known.as_deref()) {
            (Ok(Some(address)), _) => {
                self.address.store(Some(Arc::new((address, Instant::now()))));
                Ok(address)
            }
            // A resolver that fails for a moment does not take the service down.
            (_, Some(known)) => Ok(known.0),
            (Ok(None), None) => {
                Error::e_explain(ErrorType::ConnectError, "the upstream's name has no address")
            }
            (Err(error), None) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(url: &str) -> Endpoint {
        let second = Duration::from_secs(1);
        Endpoint::new(url, &config::Timeouts { connect: second, head: second, idle: second }).unwrap()
    }

    #[test]
    fn the_base_url_gives_path_prefix_and_host_header() {
        let real = endpoint("https://chatgpt.com/backend-api");
        assert_eq!(real.path("/codex/responses"), "/backend-api/codex/responses");
        assert_eq!(real.authority(), "chatgpt.com");
        assert_eq!(endpoint("http://127.0.0.1:4000/backend-api/").authority(), "127.0.0.1:4000");
        assert_eq!(endpoint("http://[::1]:4000").authority(), "[::1]:4000");
    }

    #[tokio::test]
    async fn plain_http_is_http_1_and_tls_may_be_http_2() {
        let plain = endpoint("http://127.0.0.1:4000/x").peer().await.unwrap();
        assert_eq!(plain.options.alpn.get_max_http_version(), 1);
        let tls = endpoint("https://127.0.0.1:4000/x").peer().await.unwrap();
        assert_eq!(tls.options.alpn.get_max_http_version(), 2);
        assert!(tls.options.verify_cert && tls.options.verify_hostname);
    }
}
