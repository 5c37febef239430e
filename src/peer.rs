//! Who is calling: the turn's facts that come from the connection and the request's head.

use std::net::IpAddr;

use codex_lb_filters::Turn;
use http::{HeaderMap, Uri, header};
use ipnet::IpNet;
use pingora_proxy::Session;

use crate::route::Route;
use crate::{body, now_ms};

/// Headers that a proxy in front adds. With any of them the caller is somewhere behind it.
const FORWARDING: &[&str] = &[
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-real-ip",
    "true-client-ip",
    "cf-connecting-ip",
    "via",
];

/// Makes the turn, and the session's head such that attempts can be made from it.
pub fn turn(session: &mut Session, route: Route, trusted: &[IpNet]) -> Turn {
    let address = session.client_addr().and_then(|address| address.as_inet()).map(|address| address.ip());
    let declared_length = body::declared_length(session);
    let head = session.req_header();
    let turn = Turn {
        id: id(),
        started_at: now_ms(),
        method: head.method.clone(),
        path: head.uri.path().to_owned(),
        headers: head.headers.clone(),
        client_ip: address.map(|address| client_ip(address, &head.headers, trusted)),
        local: address.is_some_and(|address| is_local(address, head, trusted)),
        declared_length,
        route: route.name(),
        ..Turn::default()
    };
    as_http_1(session);
    turn
}

/// A loopback peer with no proxy and no foreign web page behind it.
///
/// A browser lets any page send requests to loopback, and DNS can point any name there: so an `Origin` or a `Host`
/// that is not this machine's own makes the caller a stranger. HTTP/1.0 is how nginx speaks to what is behind it
/// unless told otherwise, without any header that tells of it; a trusted proxy speaks for others by definition.
pub fn is_local(address: IpAddr, head: &pingora::http::RequestHeader, trusted: &[IpNet]) -> bool {
    let headers = &head.headers;
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok())
        .or(head.uri.authority().map(|a| a.as_str()));
    address.to_canonical().is_loopback()
        && !trusted.iter().any(|network| network.contains(&address.to_canonical()))
        && head.version != http::Version::HTTP_10
        && !FORWARDING.iter().any(|name| headers.contains_key(*name))
        && host.is_none_or(is_loopback_name)
        && headers.get(header::ORIGIN).is_none_or(|origin| !is_foreign(origin.as_bytes()))
}

fn is_foreign(origin: &[u8]) -> bool {
    let Ok(origin) = std::str::from_utf8(origin) else { return true };
    match origin.split_once("://") {
        Some(("http" | "https", host)) => !is_loopback_name(host),
        // Editors' own pages (vscode-webview://, tauri://) are programs of this machine's user.
        Some(_) => false,
        None => true,
    }
}

fn is_loopback_name(host: &str) -> bool {
    let Ok(authority) = host.parse::<http::uri::Authority>() else { return false };
    let name = authority.host().trim_matches(['[', ']']);
    name.eq_ignore_ascii_case("localhost")
        || name.to_ascii_lowercase().ends_with(".localhost")
        || name.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
}

/// Behind a trusted proxy, the rightmost address of `X-Forwarded-For` that is not itself a trusted proxy.
fn client_ip(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let peer = peer.to_canonical();
    let is_trusted = |address: &IpAddr| trusted.iter().any(|network| network.contains(address));
    if !is_trusted(&peer) {
        return peer;
    }
    let forwarded: Vec<&str> = headers
        .get_all("x-forwarded-for")
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .collect();
    forwarded
        .iter()
        .rev()
        .map_while(|text| text.trim().parse::<IpAddr>().ok())
        .map(|address| address.to_canonical())
        .find(|address| !is_trusted(address))
        .unwrap_or(peer)
}

/// An exchange's id: 48 bits of epoch milliseconds, then 80 random bits, in hex. Ids sort by time.
pub fn id() -> String {
    let random: u128 = rand::random();
    format!("{:012x}{:020x}", now_ms() & 0xffff_ffff_ffff, random >> 48)
}

/// A subrequest is made from the head in HTTP/1 form: an HTTP/2 head needs a `Host`, a path and that version.
fn as_http_1(session: &mut Session) {
    let head = session.req_header_mut();
    if head.version != http::Version::HTTP_2 {
        return;
    }
    let authority = head.uri.authority().map_or_else(|| "localhost".to_owned(), ToString::to_string);
    let path = head.uri.path_and_query().cloned();
    if let Some(uri) = path.and_then(|path| Uri::builder().path_and_query(path).build().ok()) {
        head.set_uri(uri);
    }
    head.set_version(http::Version::HTTP_11);
    if head.insert_header(header::HOST, authority).is_err() {
        log::debug!("the authority of an HTTP/2 request is not a header value");
    }
}

#[cfg(test)]
mod tests {
    use pingora::http::RequestHeader;

    use super::*;

    fn head(headers: &[(&'static str, &str)]) -> RequestHeader {
        let mut head = RequestHeader::build("POST", b"/v1/responses", None).unwrap();
        for (name, value) in headers {
            head.insert_header(*name, *value).unwrap();
        }
        head
    }

    const LOOPBACK: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    #[test]
    fn a_loopback_peer_is_local_unless_a_proxy_or_a_foreign_page_speaks() {
        assert!(is_local(LOOPBACK, &head(&[("host", "127.0.0.1:2455")]), &[]));
        assert!(is_local("::1".parse().unwrap(), &head(&[("host", "[::1]:2455")]), &[]));
        assert!(is_local("::ffff:127.0.0.1".parse().unwrap(), &head(&[("host", "localhost")]), &[]));
        assert!(is_local(
            LOOPBACK,
            &head(&[("host", "localhost:1"), ("origin", "http://localhost:3000")]),
            &[]
        ));
        assert!(is_local(LOOPBACK, &head(&[("host", "localhost"), ("origin", "vscode-webview://abc")]), &[]));
        assert!(!is_local("192.168.1.5".parse().unwrap(), &head(&[("host", "127.0.0.1")]), &[]));
        for name in FORWARDING {
            assert!(!is_local(LOOPBACK, &head(&[("host", "127.0.0.1"), (name, "x")]), &[]), "{name}");
        }
        assert!(!is_local(LOOPBACK, &head(&[("host", "evil.example")]), &[]));
        assert!(!is_local(
            LOOPBACK,
            &head(&[("host", "localhost"), ("origin", "https://evil.example")]),
            &[]
        ));
        assert!(!is_local(LOOPBACK, &head(&[("host", "localhost"), ("origin", "null")]), &[]));
        assert!(!is_local(LOOPBACK, &head(&[("host", "localhost.evil.example")]), &[]));
        assert!(!is_local(LOOPBACK, &head(&[("host", "localhost")]), &["127.0.0.0/8".parse().unwrap()]));
        let mut nginx = head(&[("host", "127.0.0.1:2455")]);
        nginx.set_version(http::Version::HTTP_10);
        assert!(!is_local(LOOPBACK, &nginx, &[]));
    }

    #[test]
    fn forwarded_addresses_are_believed_only_from_trusted_proxies_right_to_left() {
        let trusted: Vec<IpNet> = vec!["10.0.0.0/8".parse().unwrap()];
        let mut headers = HeaderMap::new();
        headers.insert("x-forwarded-for", "6.6.6.6, 203.0.113.9, 10.0.0.2".parse().unwrap());
        let proxy = "10.0.0.1".parse().unwrap();
        assert_eq!(client_ip(proxy, &headers, &trusted), "203.0.113.9".parse::<IpAddr>().unwrap());
        let stranger: IpAddr = "198.51.100.1".parse().unwrap();
        assert_eq!(client_ip(stranger, &headers, &trusted), stranger);
        headers.insert("x-forwarded-for", "garbage".parse().unwrap());
        assert_eq!(client_ip(proxy, &headers, &trusted), proxy);
    }

    #[test]
    fn ids_are_32_hex_digits_and_sort_by_time() {
        let first = id();
        assert_eq!(first.len(), 32);
        assert!(first.bytes().all(|byte| byte.is_ascii_hexdigit()));
        assert_ne!(first, id());
        assert!(first.get(..12).unwrap() <= id().get(..12).unwrap());
    }
}
