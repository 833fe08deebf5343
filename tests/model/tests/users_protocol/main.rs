//! The protocol by which a user's logins, changes of id and ends keep their promises, explored exhaustively: every
//! order of the steps of up to four calls, and every place where a process may be killed.
//!
//! - *End all means all*: once `end_all` has answered, no session is alive whose login, or whose change of id, began
//!   before it and was answered.
//! - *A live session is listed*, once its login was answered, and whatever is left by a killed process can be found
//!   by a later `end_all`.
//! - *Never more than the limit*, once the logins are answered.
//!
//! The steps are those of single atomic calls on one user's index or on one record, so the protocol needs no
//! transaction over several keys. Each weakening of it is shown to break a promise.

mod calls;
mod explore;
mod state;

use calls::{Ages, AtLimit, Call, Protocol};
use explore::{Report, explore};
use state::State;

const LIMIT: usize = 2;

/// Explores calls that begin with sessions 0 and 1 (`before` of them) logged in.
fn run(protocol: Protocol, before: usize, calls: &[Call], kills: bool) -> Report {
    explore(protocol, State::with_sessions(before), calls, kills)
}

fn login(id: u8) -> Call {
    Call::LogIn { id, limit: None }
}

fn limited(id: u8, at: AtLimit) -> Call {
    Call::LogIn { id, limit: Some((LIMIT, at)) }
}

/// Sets of calls that run in every order.
fn programs() -> Vec<(usize, Vec<Call>)> {
    use AtLimit::{EndOldest, Refuse};
    vec![
        (0, vec![login(4), login(5), Call::EndAll]),
        (1, vec![login(4), Call::Move { from: 0, to: 6 }, Call::EndAll]),
        (1, vec![login(4), Call::List, Call::EndAll]),
        (1, vec![login(4), Call::List, Call::List]),
        (1, vec![Call::Move { from: 0, to: 6 }, Call::EndAll, Call::List]),
        (1, vec![Call::Move { from: 0, to: 6 }, Call::End { id: 0 }, Call::List]),
        (1, vec![Call::Move { from: 0, to: 6 }, Call::End { id: 6 }, Call::EndAll]),
        (2, vec![Call::EndOthers { survivor: 0 }, Call::Move { from: 1, to: 6 }, login(4)]),
        (2, vec![Call::EndOthers { survivor: 0 }, Call::Move { from: 0, to: 6 }, Call::List]),
        (2, vec![Call::EndOthers { survivor: 0 }, Call::EndOthers { survivor: 1 }, login(4)]),
        (2, vec![Call::EndOthers { survivor: 0 }, Call::EndAll, Call::Move { from: 0, to: 6 }]),
        (1, vec![limited(4, EndOldest), limited(5, EndOldest), Call::List]),
        (0, vec![limited(3, EndOldest), limited(4, EndOldest), limited(5, EndOldest)]),
        (1, vec![limited(4, EndOldest), limited(5, EndOldest), Call::EndAll]),
        (2, vec![limited(4, EndOldest), Call::Move { from: 0, to: 6 }, Call::List]),
        (2, vec![limited(4, EndOldest), Call::Move { from: 1, to: 6 }, Call::EndAll]),
        (1, vec![limited(4, Refuse), limited(5, Refuse), Call::List]),
        (0, vec![limited(3, Refuse), limited(4, Refuse), limited(5, Refuse)]),
        (2, vec![limited(4, Refuse), Call::End { id: 0 }, Call::List]),
        (1, vec![limited(4, Refuse), Call::Move { from: 0, to: 6 }, Call::EndAll]),
    ]
}

#[test]
fn the_protocol_holds_in_every_order() {
    let (mut runs, mut states, mut ends) = (0, 0, 0);
    for (before, calls) in programs() {
        // What a process leaves behind that is killed can be found as long as no entry is dropped too soon. Everything
        // else depends on no clock.
        for (kills, ages) in [(false, Ages::InTime), (true, Ages::InTime), (true, Ages::TooSoon)] {
            if ages == Ages::TooSoon && calls.iter().all(|call| matches!(call, Call::LogIn { .. })) {
                // A million states, of a kind that two logins and a list show as well.
                continue;
            }
            let report = run(Protocol { ages, ..Protocol::default() }, before, &calls, kills);
            assert_eq!(
                report.violations,
                Vec::<String>::new(),
                "{before} sessions, {calls:?}, kills: {kills}, {ages:?}"
            );
            runs += 1;
            states += report.states;
            ends += report.ends;
        }
    }
    println!("users protocol: {runs} runs, {states} states, {ends} ends, no violation");
}

/// Without kills, and with nobody who ends sessions, nobody loses one.
#[test]
fn nobody_loses_a_session_that_nobody_ended() {
    for (before, calls) in [
        (1, vec![login(4), login(5), Call::Move { from: 0, to: 6 }]),
        (2, vec![Call::Move { from: 0, to: 6 }, Call::Move { from: 1, to: 7 }, Call::List]),
        (0, vec![limited(4, AtLimit::EndOldest), limited(5, AtLimit::EndOldest)]),
        (0, vec![limited(4, AtLimit::Refuse), limited(5, AtLimit::Refuse)]),
        (1, vec![limited(4, AtLimit::EndOldest), Call::Move { from: 0, to: 6 }]),
    ] {
        let protocol = Protocol { ages: Ages::Never, ..Protocol::default() };
        let report = run(protocol, before, &calls, false);
        assert_eq!(report.lost, 0, "{before} sessions, {calls:?}: a session was lost");
    }
}

/// Who has ended all other sessions may change the id of the own one afterwards.
#[test]
fn the_survivor_can_move() {
    let alive = |protocol| {
        let after = run(protocol, 2, &[Call::EndOthers { survivor: 0 }], false).last.expect("an end");
        let moved = explore(protocol, after, &[Call::Move { from: 0, to: 6 }], false).last.expect("an end");
        moved.records.len()
    };
    assert_eq!(alive(Protocol::default()), 1);
    assert_eq!(alive(Protocol { survivor_rewritten: false, ..Protocol::default() }), 0);
}

/// Each part of the protocol is needed: without it some promise breaks.
#[test]
fn every_part_is_needed() {
    let whole = Protocol::default();
    for (part, protocol) in [
        ("the epoch in the last look", Protocol { looks_at_epoch: false, ..whole }),
        ("the entry in the last look", Protocol { looks_at_entry: false, ..whole }),
        ("the entry before the record", Protocol { entry_first: false, ..whole }),
        ("the mark before the record is destroyed", Protocol { marks: false, ..whole }),
        ("the epoch of the record for a change of id", Protocol { moves_keep_epoch: false, ..whole }),
        ("the place of a moved session in the order", Protocol { moves_keep_place: false, ..whole }),
        ("the second look of an end", Protocol { ends_look_again: false, ..whole }),
        ("the survivor's old epoch", Protocol { condemned_are_left: false, ..whole }),
    ] {
        let broken = programs().into_iter().any(|(before, calls)| {
            [false, true].into_iter().any(|kills| !run(protocol, before, &calls, kills).violations.is_empty())
        });
        assert!(broken, "nothing breaks without {part}");
    }
}
