//! Properties of the choice, over a few thousand generated pools, and the strategies one by one.

use super::*;

/// A small deterministic generator (xorshift64*).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % limit
    }

    fn slot(&mut self, accounts: u32) -> Option<u32> {
        let slot = u32::try_from(self.below(u64::from(accounts) * 2 + 1)).unwrap();
        (slot < accounts).then_some(slot)
    }
}

fn candidate(slot: u32) -> Candidate<'static> {
    const NAMES: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];
    Candidate {
        slot,
        name: NAMES[slot as usize],
        priority: 0,
        used: 0.0,
        in_flight: 0,
        selected: 0,
        fitness: Fitness::Fit,
    }
}

fn query(strategy: Strategy, draw: u64) -> Query {
    Query { strategy, draw, pinned: None, owner: None, skip: Vec::new() }
}

fn arbitrary(numbers: &mut Numbers) -> (Vec<Candidate<'static>>, Query) {
    let count = u32::try_from(numbers.below(8)).unwrap();
    let candidates = (0..count)
        .map(|slot| Candidate {
            priority: numbers.below(3).cast_signed() - 1,
            used: [0.0, 12.5, 99.9, 100.0, 140.0, f64::NAN][usize::try_from(numbers.below(6)).unwrap()],
            in_flight: u32::try_from(numbers.below(60)).unwrap(),
            selected: numbers.below(100),
            fitness: match numbers.below(5) {
                0 => Fitness::Unfit,
                1 => Fitness::Probed,
                2 => Fitness::Resting(numbers.below(1000)),
                _ => Fitness::Fit,
            },
            ..candidate(slot)
        })
        .collect();
    let strategy = [Strategy::MostRemaining, Strategy::Priority, Strategy::RoundRobin]
        [usize::try_from(numbers.below(3)).unwrap()];
    let mut query = query(strategy, numbers.below(u64::from(u32::MAX)));
    query.pinned = numbers.slot(count);
    query.owner = if numbers.below(4) == 0 { numbers.slot(count) } else { None };
    query.skip = (0..numbers.below(4)).filter_map(|_| numbers.slot(count)).collect();
    (candidates, query)
}

#[test]
fn whatever_the_pool_the_choice_keeps_its_rules() {
    let mut numbers = Numbers(42);
    for _ in 0..5000 {
        let (candidates, query) = arbitrary(&mut numbers);
        let order = order(&candidates, &query);
        let fitness = |slot: u32| candidates[slot as usize].fitness;
        let allowed =
            |slot: u32| !query.skip.contains(&slot) && query.owner.is_none_or(|owner| owner == slot);
        let servable = |slot: u32| matches!(fitness(slot), Fitness::Fit | Fitness::Probed);
        let expected: Vec<u32> =
            (0..).take(candidates.len()).filter(|&slot| allowed(slot) && servable(slot)).collect();

        assert!(order.iter().all(|&slot| allowed(slot) && fitness(slot) != Fitness::Unfit));
        let mut sorted = order.clone();
        sorted.sort_unstable();
        if expected.is_empty() {
            assert!(order.iter().all(|&slot| matches!(fitness(slot), Fitness::Resting(_))));
        } else {
            assert_eq!(sorted, expected, "everybody who may serve is offered, once");
        }
        if let Some(pinned) = query.pinned.filter(|&p| allowed(p) && fitness(p) == Fitness::Fit) {
            assert_eq!(order.first(), Some(&pinned));
        }
        assert_eq!(order, super::order(&candidates, &query), "the same input gives the same order");
    }
}

#[test]
fn most_remaining_draws_in_proportion_to_what_is_left() {
    let pool = [Candidate { used: 20.0, ..candidate(0) }, Candidate { used: 80.0, ..candidate(1) }];
    let mut first = [0_u32; 2];
    for draw in 0..10_000 {
        first[order(&pool, &query(Strategy::MostRemaining, draw * 7919))[0] as usize] += 1;
    }
    assert!((7700..8300).contains(&first[0]), "80 of 100 points are on the first: {first:?}");
}

#[test]
fn attempts_in_flight_count_as_used_capacity() {
    let pool = [Candidate { in_flight: 40, ..candidate(0) }, candidate(1)];
    for draw in 0..100 {
        assert_eq!(order(&pool, &query(Strategy::MostRemaining, draw)), [1, 0]);
    }
}

#[test]
fn without_any_capacity_the_least_used_comes_first() {
    let pool = [
        Candidate { used: 99.0, in_flight: 9, ..candidate(0) },
        Candidate { used: 95.0, in_flight: 3, ..candidate(1) },
        Candidate { used: 98.0, in_flight: 5, ..candidate(2) },
    ];
    assert_eq!(order(&pool, &query(Strategy::MostRemaining, 1)), [1, 2, 0]);
}

#[test]
fn priority_follows_the_operators_order_then_the_name() {
    let pool = [
        Candidate { priority: 1, ..candidate(0) },
        Candidate { priority: 0, name: "z", ..candidate(1) },
        Candidate { priority: 0, name: "y", ..candidate(2) },
        Candidate { priority: -1, used: 100.0, ..candidate(3) },
    ];
    assert_eq!(order(&pool, &query(Strategy::Priority, 1)), [2, 1, 0, 3]);
}

#[test]
fn round_robin_takes_the_least_recently_selected() {
    let pool = [
        Candidate { selected: 3, ..candidate(0) },
        Candidate { selected: 1, ..candidate(1) },
        Candidate { selected: 2, ..candidate(2) },
    ];
    assert_eq!(order(&pool, &query(Strategy::RoundRobin, 1)), [1, 2, 0]);
}

#[test]
fn figures_of_a_hundred_percent_put_an_account_last_but_do_not_block_it() {
    let spent = Candidate { used: 100.0, ..candidate(0) };
    for strategy in [Strategy::MostRemaining, Strategy::Priority, Strategy::RoundRobin] {
        let both = [spent.clone(), Candidate { priority: 9, selected: 9, ..candidate(1) }];
        assert_eq!(order(&both, &query(strategy, 5)), [1, 0]);
        assert_eq!(order(std::slice::from_ref(&spent), &query(strategy, 5)), [0]);
    }
}

#[test]
fn a_probed_account_comes_after_all_others_even_for_its_own_conversation() {
    let pool = [Candidate { fitness: Fitness::Probed, ..candidate(0) }, candidate(1)];
    let query = Query { pinned: Some(0), ..query(Strategy::MostRemaining, 3) };
    assert_eq!(order(&pool, &query), [1, 0]);
}

#[test]
fn if_everybody_rests_the_one_that_ends_soonest_is_used() {
    let resting = |slot, until| Candidate { fitness: Fitness::Resting(until), ..candidate(slot) };
    let unfit = Candidate { fitness: Fitness::Unfit, ..candidate(3) };
    let pool = [resting(0, 300), resting(1, 100), unfit];
    assert_eq!(order(&pool, &query(Strategy::MostRemaining, 3)), [1, 0]);
}
