//! The pass-through to compare with: Pingora, one upstream, no filter, no log.

use async_trait::async_trait;
use pingora::server::Server;
use pingora::server::configuration::ServerConf;
use pingora::upstreams::peer::HttpPeer;
use pingora_proxy::{ProxyHttp, Session, http_proxy_service};

struct Bare {
    upstream: u16,
}

#[async_trait]
impl ProxyHttp for Bare {
    type CTX = ();

    fn new_ctx(&self) {}

    async fn upstream_peer(&self, _session: &mut Session, _ctx: &mut ()) -> pingora::Result<Box<HttpPeer>> {
        Ok(Box::new(HttpPeer::new(("127.0.0.1", self.upstream), false, String::new())))
    }
}

/// Serves; the arguments are `--bare PORT UPSTREAM_PORT`.
pub(crate) fn serve(arguments: &[String]) -> Result<(), Box<dyn std::error::Error>> {
    let port = |index: usize| -> Result<u16, Box<dyn std::error::Error>> {
        Ok(arguments.get(index).ok_or("a port is missing")?.parse()?)
    };
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    let mut server = Server::new_with_opt_and_conf(None, ServerConf { threads, ..ServerConf::default() });
    server.bootstrap();
    let mut service = http_proxy_service(&server.configuration, Bare { upstream: port(3)? });
    service.add_tcp(&format!("127.0.0.1:{}", port(2)?));
    server.add_service(service);
    server.run_forever();
}
