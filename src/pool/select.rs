//! The choice of accounts for one exchange: a pure function of candidates, query and a random draw.

use crate::config::Strategy;

/// Used-percent points an attempt in flight weighs when capacity is compared: it will spend some soon.
pub(super) const PRESSURE: f64 = 2.5;

/// One account at one moment.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Candidate<'a> {
    /// Number of the backend; unique for the life of the process.
    pub slot: u32,
    pub name: &'a str,
    /// The operator's order, smallest first.
    pub priority: i64,
    /// The largest used percent over its live windows.
    pub used: f64,
    pub in_flight: u32,
    /// Larger: selected more recently. 0: never.
    pub selected: u64,
    pub fitness: Fitness,
}

/// What the account may be used for at this moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fitness {
    Fit,
    /// Its cooling ended and one attempt is finding out whether it serves again.
    Probed,
    /// Rests after errors in a row until then (Unix ms): only if there is nobody else.
    Resting(u64),
    /// Limited, paused, in need of login: never.
    Unfit,
}

/// What one exchange asks of the pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Query {
    pub strategy: Strategy,
    /// A random number; the same one gives the same order.
    pub draw: u64,
    /// The account that keeps the conversation.
    pub pinned: Option<u32>,
    /// The only account that may serve.
    pub owner: Option<u32>,
    /// Tried already, or not offering the model.
    pub skip: Vec<u32>,
}

/// The slots that may serve, best first. Empty: nobody may.
pub(super) fn order(candidates: &[Candidate<'_>], query: &Query) -> Vec<u32> {
    let allowed =
        |c: &&Candidate<'_>| !query.skip.contains(&c.slot) && query.owner.is_none_or(|owner| owner == c.slot);
    let mut fit: Vec<_> = candidates
        .iter()
        .filter(allowed)
        .filter(|c| matches!(c.fitness, Fitness::Fit | Fitness::Probed))
        .map(|c| (c, rank(c, query), score(c, query)))
        .collect();
    if fit.is_empty() {
        return last_resort(candidates.iter().filter(allowed));
    }
    fit.sort_by(|(a, a_rank, a_score), (b, b_rank, b_score)| {
        let by_score = a_score.0.cmp(&b_score.0).then(a_score.1.total_cmp(&b_score.1));
        a_rank.cmp(b_rank).then(by_score).then_with(|| a.name.cmp(b.name)).then(a.slot.cmp(&b.slot))
    });
    fit.iter().map(|(c, ..)| c.slot).collect()
}

/// Among accounts that only rest after errors, the one whose rest ends soonest.
fn last_resort<'a>(candidates: impl Iterator<Item = &'a Candidate<'a>>) -> Vec<u32> {
    let mut resting: Vec<_> = candidates
        .filter_map(|c| match c.fitness {
            Fitness::Resting(until) => Some((until, c.slot)),
            Fitness::Fit | Fitness::Probed | Fitness::Unfit => None,
        })
        .collect();
    resting.sort_unstable();
    resting.into_iter().map(|(_, slot)| slot).collect()
}

/// The coarse order, the same for all strategies.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Pinned,
    Free,
    /// Our figures say 100 %. They may be wrong or old, so this only puts it last; the upstream decides.
    SeemsSpent,
    Probed,
}

fn rank(candidate: &Candidate<'_>, query: &Query) -> Rank {
    if candidate.fitness == Fitness::Probed {
        Rank::Probed
    } else if query.pinned == Some(candidate.slot) {
        Rank::Pinned
    } else if candidate.used >= 100.0 {
        Rank::SeemsSpent
    } else {
        Rank::Free
    }
}

/// The fine order, by strategy; the smallest is the best.
fn score(candidate: &Candidate<'_>, query: &Query) -> (i128, f64) {
    match query.strategy {
        Strategy::Priority => (i128::from(candidate.priority), 0.0),
        Strategy::RoundRobin => (i128::from(candidate.selected), 0.0),
        Strategy::MostRemaining => (0, waiting_time(candidate, query.draw)),
    }
}

/// Weighted draw without replacement: every account waits a random, exponentially distributed time whose rate is
/// its remaining capacity, and the shortest wait wins. Accounts without capacity come after all others, least used
/// first.
fn waiting_time(candidate: &Candidate<'_>, draw: u64) -> f64 {
    let used = candidate.used + PRESSURE * f64::from(candidate.in_flight);
    let remaining = 100.0 - used;
    if remaining > 0.0 { -uniform(draw, candidate.slot).ln() / remaining } else { 1e9 + used }
}

/// A number in (0, 1] made of the draw and the slot (SplitMix64's finaliser).
fn uniform(draw: u64, slot: u32) -> f64 {
    let mut z = draw.wrapping_add(u64::from(slot).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^= z >> 31;
    let bits = u32::try_from(z >> 32).unwrap_or(u32::MAX);
    (f64::from(bits) + 1.0) / (f64::from(u32::MAX) + 1.0)
}

#[cfg(test)]
mod tests;
