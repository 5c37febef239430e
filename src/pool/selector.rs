//! Pingora's `BackendSelection`: yields the accounts that may serve one exchange, best first.

use std::collections::BTreeSet;
use std::sync::Arc;

use pingora_load_balancing::Backend;
use pingora_load_balancing::selection::{BackendIter, BackendSelection};

use super::Account;
use super::select::{Query, order};
use crate::config::Strategy;

/// The backends with their accounts. `iter` takes a `Query` in the form of `Query::key`.
pub(super) struct Selector {
    seats: Vec<(Backend, Arc<Account>)>,
}

/// The backends in the order of one exchange.
pub(super) struct Ordered {
    selector: Arc<Selector>,
    slots: std::vec::IntoIter<u32>,
}

impl BackendSelection for Selector {
    type Iter = Ordered;
    type Config = ();

    fn build(backends: &BTreeSet<Backend>) -> Self {
        let seat = |backend: &Backend| Some((backend.clone(), Arc::clone(account(backend)?)));
        Self { seats: backends.iter().filter_map(seat).collect() }
    }

    fn iter(self: &Arc<Self>, key: &[u8]) -> Ordered {
        let slots = Query::from_key(key).map_or_else(Vec::new, |(query, now_ms)| {
            let candidates: Vec<_> =
                self.seats.iter().map(|(_, account)| account.candidate(now_ms)).collect();
            order(&candidates, &query)
        });
        Ordered { selector: Arc::clone(self), slots: slots.into_iter() }
    }
}

impl BackendIter for Ordered {
    fn next(&mut self) -> Option<&Backend> {
        let slot = self.slots.next()?;
        self.selector.seats.iter().find(|(_, account)| account.slot() == slot).map(|(backend, _)| backend)
    }
}

/// The account a backend stands for.
pub(super) fn account(backend: &Backend) -> Option<&Arc<Account>> {
    backend.ext.get::<Arc<Account>>()
}

/// "No slot" in a key; slots count up from 0 and never get there.
const NOBODY: u32 = u32::MAX;

impl Query {
    /// The query as the key Pingora hands to the selector, with the time (Unix ms).
    pub(super) fn key(&self, now_ms: u64) -> Vec<u8> {
        let strategy = match self.strategy {
            Strategy::MostRemaining => 0,
            Strategy::Priority => 1,
            Strategy::RoundRobin => 2,
        };
        let mut key = Vec::with_capacity(25 + 4 * self.skip.len());
        key.push(strategy);
        key.extend(now_ms.to_be_bytes());
        key.extend(self.draw.to_be_bytes());
        key.extend(self.pinned.unwrap_or(NOBODY).to_be_bytes());
        key.extend(self.owner.unwrap_or(NOBODY).to_be_bytes());
        key.extend(self.skip.iter().flat_map(|slot| slot.to_be_bytes()));
        key
    }

    fn from_key(key: &[u8]) -> Option<(Self, u64)> {
        let ([strategy], rest) = key.split_first_chunk()?;
        let strategy = match strategy {
            0 => Strategy::MostRemaining,
            1 => Strategy::Priority,
            2 => Strategy::RoundRobin,
            _ => return None,
        };
        let (now_ms, rest) = rest.split_first_chunk()?;
        let (draw, rest) = rest.split_first_chunk()?;
        let (pinned, rest) = rest.split_first_chunk()?;
        let (owner, rest) = rest.split_first_chunk()?;
        let slot = |bytes: &[u8; 4]| Some(u32::from_be_bytes(*bytes)).filter(|&slot| slot != NOBODY);
        let query = Self {
            strategy,
            draw: u64::from_be_bytes(*draw),
            pinned: slot(pinned),
            owner: slot(owner),
            skip: rest.as_chunks().0.iter().filter_map(slot).collect(),
        };
        Some((query, u64::from_be_bytes(*now_ms)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_survives_the_way_through_pingoras_key() {
        for strategy in [Strategy::MostRemaining, Strategy::Priority, Strategy::RoundRobin] {
            for (pinned, owner, skip) in [(None, None, vec![]), (Some(0), Some(7), vec![3, 0, 9])] {
                let query = Query { strategy, draw: u64::MAX - 5, pinned, owner, skip };
                assert_eq!(Query::from_key(&query.key(1_787_300_000_123)), Some((query, 1_787_300_000_123)));
            }
        }
    }

    #[test]
    fn a_foreign_key_selects_nobody() {
        assert_eq!(Query::from_key(b"GET /"), None);
        assert_eq!(Query::from_key(b""), None);
    }
}
