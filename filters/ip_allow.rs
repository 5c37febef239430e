//! Lets only listed networks in.
//!
//! For a proxy that listens beyond loopback. The address is the one a trusted proxy states, so `auth.trusted_proxies`
//! must be right. Loopback is not listed by itself: add `127.0.0.0/8` and `::1` if this machine is a client too.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::de::Error;
use serde::{Deserialize, Deserializer};

use crate::{Filter, Reply, Turn, Verdict};

pub(crate) const KIND: &str = "ip_allow";

/// Options of `ip_allow`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Networks in CIDR form or single addresses, at least one. No default.
    #[serde(deserialize_with = "networks")]
    pub networks: Vec<IpNet>,
}

pub(crate) struct IpAllow {
    networks: Vec<IpNet>,
}

impl IpAllow {
    pub(crate) fn new(config: &Config) -> Self {
        Self { networks: config.networks.clone() }
    }

    /// An IPv4 client of a dual-stack listener is seen as `::ffff:a.b.c.d`; it is measured as IPv4.
    fn allows(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.networks.iter().any(|network| network.contains(&address))
    }
}

impl Filter for IpAllow {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn on_head(&self, turn: &mut Turn) -> Verdict {
        if turn.client_ip.is_some_and(|address| self.allows(address)) {
            return Verdict::Continue;
        }
        let who = turn.client_ip.map_or("an unknown address".to_owned(), |address| address.to_string());
        Verdict::Refuse(Reply {
            status: 403,
            kind: "permission_error",
            code: "ip_not_allowed",
            message: format!(
                "Requests from {who} are not allowed. Add its network to ip_allow.networks in codex-lb.yaml."
            ),
        })
    }
}

fn networks<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<IpNet>, D::Error> {
    let texts = Vec::<String>::deserialize(deserializer)?;
    if texts.is_empty() {
        return Err(D::Error::custom(
            "ip_allow.networks is empty, which shuts everybody out; list a network or remove the filter",
        ));
    }
    texts
        .iter()
        .map(|text| {
            text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from)).map_err(|_| {
                D::Error::custom(format!(
                    "ip_allow.networks: `{text}` is not a network; write it like 10.0.0.0/8, fd00::/8 or 192.0.2.7"
                ))
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::FilterConfig;
    use crate::chain::tests::chain;

    fn verdict(networks: &str, address: Option<&str>) -> Verdict {
        let mut turn = Turn { client_ip: address.map(|text| text.parse().unwrap()), ..Turn::default() };
        chain(&format!("- ip_allow: {{networks: {networks}}}")).on_head(&mut turn)
    }

    #[test]
    fn listed_networks_pass() {
        let networks = r#"["10.0.0.0/8", "fd00::/8", "192.0.2.7", "::1"]"#;
        for address in ["10.255.0.1", "::ffff:10.1.2.3", "fd12::1", "192.0.2.7", "::1"] {
            assert_eq!(verdict(networks, Some(address)), Verdict::Continue, "{address}");
        }
    }

    #[test]
    fn everybody_else_is_refused() {
        for address in [Some("11.0.0.1"), Some("::ffff:11.0.0.1"), Some("127.0.0.1"), Some("fd00::1"), None] {
            let Verdict::Refuse(reply) = verdict("[10.0.0.0/8]", address) else {
                panic!("{address:?} passed")
            };
            assert_eq!((reply.status, reply.kind, reply.code), (403, "permission_error", "ip_not_allowed"));
            assert!(reply.message.contains("ip_allow.networks"));
        }
    }

    #[test]
    fn wrong_networks_are_named() {
        for (text, part) in [("[]", "is empty"), ("[10.0.0.0/33]", "`10.0.0.0/33`"), ("[lan]", "`lan`")] {
            let yaml = format!("ip_allow: {{networks: {text}}}");
            let error = serde_yaml::from_str::<FilterConfig>(&yaml).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }
}
