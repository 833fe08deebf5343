//! A short run of the model checker. `SESSILE_MODEL_SECONDS` says how long it may take; the default is 5.

use std::time::{Duration, Instant};

use sessile_model::{Checker, Op, Scope, Sessions, StoreKind, exhaust, exhaust_one};

/// The seeds of each store in turn, for its share of the time.
#[test]
fn random_programs_keep_every_promise() {
    let checkers: Vec<_> = StoreKind::ALL.into_iter().filter_map(Checker::new).collect();
    let seconds =
        std::env::var("SESSILE_MODEL_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(5.0);
    let share = Duration::from_secs_f64(seconds) / checkers.len() as u32;
    for checker in checkers {
        let begun = Instant::now();
        let mut schedules = 0;
        for seed in (0_u64..).filter(|seed| StoreKind::of_seed(*seed) == checker.store()) {
            if begun.elapsed() > share {
                break;
            }
            if let Some(found) = checker.check(seed) {
                let smallest = checker.shrink(&found);
                panic!("cargo run --release -p sessile-model -- --seed {seed} shows it\n{smallest}");
            }
            schedules += 1;
        }
        println!("{}: {schedules} schedules", checker.store());
    }
}

/// A violation can be repeated by its seed alone.
#[test]
fn a_seed_gives_the_same_run_each_time() {
    for store in [StoreKind::WrappedMemory, StoreKind::Versioned, StoreKind::ThreeMethods, StoreKind::File] {
        let (first, second) = (Checker::new(store), Checker::new(store));
        let (first, second) = (first.expect("no server is needed"), second.expect("no server is needed"));
        let once: Vec<_> = (0..100).map(|seed| first.narrate(seed)).collect();
        for (seed, once) in once.iter().enumerate().rev() {
            assert_eq!(second.narrate(seed as u64), *once, "seed {seed} over {store}");
        }
    }
}

/// Every order of the store calls of two requests with one call each.
#[test]
fn every_order_of_two_short_requests_keeps_every_promise() {
    let checker = Checker::new(StoreKind::WrappedMemory).expect("memory is everywhere");
    let scope = Scope { calls: 1, ..Scope::ALL[0] };
    let exhausted = exhaust(&checker, scope, |_| {});
    if let Some(found) = exhausted.found.first() {
        panic!("{found}");
    }
    println!("{} programs, {} orders", exhausted.programs, exhausted.orders);
    assert!(exhausted.orders > 2_000);
}

/// Every order of the store calls of a login beside an end of all sessions, and of changes of id beside what
/// ends the session or is written to it.
#[test]
fn every_order_of_a_login_or_a_move_beside_an_end_keeps_every_promise() {
    let checker = Checker::new(StoreKind::WrappedMemory).expect("memory is everywhere");
    let scope = |world| {
        let mut scopes = Scope::ALL.into_iter().filter(|scope| scope.world == world);
        scopes.next().expect("there is one")
    };
    let insert = || Op::Insert("a", "\"new\"".into());
    let log_in = Op::LogIn { user: 0, begun: false, tag: "".into() };
    for (world, first, second) in [
        (Sessions::Ended, Op::EndAll(0), log_in),
        (Sessions::Ended, Op::Cycle, Op::EndAll(0)),
        (Sessions::Listed, Op::Cycle, insert()),
        (Sessions::Listed, Op::Cycle, Op::Confirm),
        (Sessions::Listed, Op::Cycle, Op::Clear),
    ] {
        let exhausted = exhaust_one(
            &checker,
            scope(world),
            &[std::slice::from_ref(&first), std::slice::from_ref(&second)],
        );
        if let Some(found) = exhausted.found.first() {
            panic!("{found}");
        }
        println!("{first} beside {second}: {} orders", exhausted.orders);
        assert!(exhausted.orders > 10, "{first} beside {second}: {} orders", exhausted.orders);
    }
}
