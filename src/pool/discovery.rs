//! Pingora's `ServiceDiscovery`: one backend per account.

use std::collections::{BTreeSet, HashMap};
use std::net::{Ipv6Addr, SocketAddrV6};
use std::sync::Arc;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use pingora::protocols::l4::socket::SocketAddr;
use pingora_load_balancing::discovery::ServiceDiscovery;
use pingora_load_balancing::{Backend, Extensions};

use super::Account;

/// The accounts of this moment, in the ledger's order.
pub(super) type Roster = ArcSwap<Vec<Arc<Account>>>;

/// Discovers what the roster holds.
pub(super) struct Discovery(pub(super) Arc<Roster>);

#[async_trait]
impl ServiceDiscovery for Discovery {
    async fn discover(&self) -> pingora::Result<(BTreeSet<Backend>, HashMap<u64, bool>)> {
        Ok((self.0.load().iter().map(backend).collect(), HashMap::new()))
    }
}

/// Backends are told apart by address and weight alone, so each account gets an address of its own: its slot in
/// `100::/64`, the network that is set aside for going nowhere (RFC 6666).
fn backend(account: &Arc<Account>) -> Backend {
    let ip = Ipv6Addr::from_bits((0x0100_u128 << 112) | u128::from(account.slot()));
    let mut ext = Extensions::new();
    ext.insert(Arc::clone(account));
    Backend { addr: SocketAddr::Inet(SocketAddrV6::new(ip, 1, 0, 0).into()), weight: 1, ext }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::tests::{NOW, row};

    #[tokio::test]
    async fn every_account_is_a_backend_of_its_own() {
        let accounts: Vec<_> = (0..)
            .zip(["a", "b", "c"])
            .map(|(slot, id)| Arc::new(Account::new(&row(id), slot, NOW)))
            .collect();
        let discovery = Discovery(Arc::new(ArcSwap::from_pointee(accounts)));

        let (backends, enabled) = discovery.discover().await.unwrap();

        let ids: Vec<_> =
            backends.iter().map(|b| crate::pool::selector::account(b).unwrap().id.clone()).collect();
        assert_eq!(ids, ["a", "b", "c"]);
        assert!(enabled.is_empty(), "what is not named is enabled");
        assert_eq!(backends.first().unwrap().addr.to_string(), "[100::]:1");
    }
}
