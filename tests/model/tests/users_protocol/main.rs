//! The protocol by which a user's logins, changes of id and ends keep their promises, explored exhaustively:
//! every order of the steps of up to three calls, every place where a process may be killed, every append
//! whose answer is lost, that is carried out once more later, or whose text is read later than it was
//! written, and every removal of an old record whose answer is lost.
//!
//! - *End all means all*: once `end_all` has answered, no session is alive whose login, or whose change of
//!   id, began before it and was answered. Likewise the end of one session, a logout, and `end_others`, by
//!   which a session that is over ends nobody.
//! - *A live session is listed*, once its login was answered, and whatever is left by a killed process is
//!   ended by a later `end_all`.
//! - *One place, one live session*: of all who move a session to a new id, or log in in its place, one
//!   arrives.
//! - *A logout leaves nothing in the list*, also where a process is killed that was about to move the
//!   session.
//! - *A login succeeds*, unless somebody ends sessions or there is no room, whatever becomes of the session
//!   that the browser had.
//! - *Never more than the limit*, once the logins are answered.
//! - *Nobody loses a session* that nobody has ended. What a request wrote to it is there after a change of
//!   id.
//!
//! The steps are those of single atomic calls on one text or on one record, so the protocol needs no
//! transaction over several keys. Each weakening of it is shown to break a promise.

mod calls;
mod enter;
mod explore;
mod look;
mod protocol;
mod removal;
mod sift;
mod state;

use calls::{AtLimit, Call};
use explore::{Fault, Report, explore, shortest};
use protocol::{Ages, Protocol};
use state::State;

const LIMIT: u32 = 2;

/// Calls that run in every order.
struct Program {
    /// So many sessions are logged in at first.
    before: u8,
    /// And so many visitors have a session without a login.
    guests: u8,
    texts: u8,
    calls: Vec<Call>,
}

impl Program {
    fn run(&self, protocol: Protocol, fault: Fault) -> Report {
        explore(protocol, State::with_sessions(self.before, self.guests, self.texts), &self.calls, fault)
    }
}

impl Program {
    /// In which worlds it runs. Where the limit is kept and an append comes late, so much is possible that only
    /// two calls run beside each other.
    fn worlds(&self) -> impl Iterator<Item = (Fault, Ages, bool)> {
        let is_limited = |call: &Call| matches!(call, Call::LogIn { at_limit: Some(_), .. });
        let is_large = self.calls.len() > 2 && self.calls.iter().any(is_limited);
        WORLDS.into_iter().filter(move |(fault, ..)| !is_large || *fault != Fault::Late)
    }

    /// The shortest way to a violation.
    fn shortest(&self, protocol: Protocol, fault: Fault) -> Report {
        let start = State::with_sessions(self.before, self.guests, self.texts);
        shortest(protocol, start, &self.calls, fault)
    }
}

fn login(id: u8) -> Call {
    Call::LogIn { id, from: None, begins: false, regenerates: false, at_limit: None }
}

/// A login with `begin_login`.
fn begun(id: u8) -> Call {
    Call::LogIn { id, from: None, begins: true, regenerates: false, at_limit: None }
}

fn limited(id: u8, at_limit: AtLimit) -> Call {
    Call::LogIn { id, from: None, begins: false, regenerates: false, at_limit: Some(at_limit) }
}

/// A login in a browser that has a session already.
fn over(id: u8, from: u8) -> Call {
    Call::LogIn { id, from: Some(from), begins: false, regenerates: false, at_limit: None }
}

/// The same with `begin_login`, or with a limit.
fn again(id: u8, from: u8, at_limit: Option<AtLimit>) -> Call {
    Call::LogIn { id, from: Some(from), begins: at_limit.is_none(), regenerates: false, at_limit }
}

/// The same with a login that keeps no data of the session before.
fn anew(id: u8, from: u8) -> Call {
    Call::LogIn { id, from: Some(from), begins: false, regenerates: true, at_limit: None }
}

fn moved(from: u8) -> Call {
    Call::Move { from, to: from + 5 }
}

fn programs() -> Vec<Program> {
    use AtLimit::{EndOldest, Refuse};
    use Call::{End, EndAll, EndOthers, List, LogOut, Shorten, Write};
    let one = |before, calls| Program { before, guests: 0, texts: 1, calls };
    let two = |before, calls| Program { before, guests: 0, texts: 2, calls };
    let guest = |texts, calls| Program { before: 0, guests: 1, texts, calls };
    vec![
        one(0, vec![login(3), begun(4), EndAll]),
        one(0, vec![begun(3), EndAll, Shorten]),
        one(0, vec![begun(3), EndAll, EndAll]),
        one(1, vec![begun(3), EndAll, EndOthers { keep: 0 }]),
        one(1, vec![login(3), moved(0), EndAll]),
        one(1, vec![login(3), List, EndAll]),
        one(1, vec![login(3), List, List]),
        one(0, vec![login(3), List, Shorten]),
        one(1, vec![moved(0), EndAll, List]),
        one(1, vec![moved(0), EndAll, EndAll]),
        one(1, vec![moved(0), Write { id: 0 }, EndAll]),
        one(1, vec![moved(0), Write { id: 0 }, List]),
        one(1, vec![moved(0), End { id: 0 }, List]),
        one(1, vec![moved(0), End { id: 5 }, List]),
        one(1, vec![moved(0), End { id: 5 }, EndAll]),
        one(1, vec![moved(0), LogOut { id: 0 }, EndAll]),
        one(1, vec![moved(0), LogOut { id: 0 }, List]),
        one(1, vec![again(2, 0, None), EndAll, List]),
        one(1, vec![again(2, 0, None), End { id: 0 }, Write { id: 0 }]),
        one(1, vec![again(2, 0, None), EndOthers { keep: 0 }, List]),
        one(2, vec![LogOut { id: 0 }, EndOthers { keep: 0 }, login(3)]),
        one(2, vec![EndOthers { keep: 0 }, moved(1), login(3)]),
        one(2, vec![EndOthers { keep: 0 }, moved(0), List]),
        one(2, vec![EndOthers { keep: 0 }, EndOthers { keep: 1 }, login(3)]),
        one(2, vec![EndOthers { keep: 0 }, EndAll, moved(0)]),
        one(1, vec![moved(0), Call::Move { from: 0, to: 6 }, List]),
        one(1, vec![moved(0), Call::Move { from: 0, to: 6 }, EndAll]),
        one(1, vec![moved(0), Call::Move { from: 0, to: 6 }, LogOut { id: 0 }]),
        one(1, vec![moved(0), Call::Move { from: 0, to: 6 }, Write { id: 0 }]),
        one(1, vec![moved(0), Call::Move { from: 5, to: 6 }]),
        one(1, vec![moved(0), Call::Move { from: 5, to: 6 }, LogOut { id: 0 }]),
        one(1, vec![moved(0), over(2, 5), LogOut { id: 5 }]),
        one(1, vec![again(2, 0, None), LogOut { id: 0 }, EndAll]),
        one(1, vec![over(2, 0), LogOut { id: 0 }, EndAll]),
        one(1, vec![over(2, 0), LogOut { id: 0 }, List]),
        one(1, vec![over(2, 0), Write { id: 0 }, LogOut { id: 0 }]),
        one(1, vec![over(2, 0), Write { id: 0 }, EndAll]),
        two(1, vec![over(2, 0), Write { id: 0 }, LogOut { id: 0 }]),
        one(1, vec![over(2, 0), moved(0), List]),
        one(1, vec![over(2, 0), moved(0), EndAll]),
        one(1, vec![over(2, 0), moved(0), End { id: 0 }]),
        one(1, vec![over(2, 0), moved(0), EndOthers { keep: 0 }]),
        one(1, vec![over(2, 0), moved(0), LogOut { id: 0 }]),
        one(1, vec![over(2, 0), over(3, 0), List]),
        one(1, vec![over(2, 0), again(3, 0, None), EndAll]),
        one(1, vec![anew(2, 0), moved(0), LogOut { id: 0 }]),
        one(1, vec![anew(2, 0), moved(0), Write { id: 0 }]),
        one(1, vec![anew(2, 0), moved(0), EndAll]),
        one(1, vec![anew(2, 0), anew(3, 0), LogOut { id: 0 }]),
        guest(1, vec![over(2, 0), over(3, 0), EndAll]),
        guest(1, vec![over(2, 0), LogOut { id: 0 }, EndAll]),
        guest(1, vec![anew(2, 0), over(3, 0), Write { id: 0 }]),
        guest(1, vec![again(2, 0, None), Write { id: 0 }, EndAll]),
        guest(2, vec![over(2, 0), LogOut { id: 0 }, EndAll]),
        two(1, vec![over(2, 0), moved(0), EndAll]),
        two(1, vec![over(2, 0), LogOut { id: 0 }, List]),
        two(1, vec![anew(2, 0), moved(0), LogOut { id: 0 }]),
        two(1, vec![over(2, 0), over(3, 0), EndAll]),
        two(1, vec![begun(3), moved(0), EndAll]),
        two(1, vec![begun(3), EndOthers { keep: 0 }, List]),
        two(1, vec![begun(3), again(2, 0, None), EndAll]),
        two(2, vec![again(2, 0, Some(Refuse)), limited(3, Refuse)]),
        two(2, vec![again(2, 0, Some(EndOldest)), limited(3, EndOldest)]),
        two(2, vec![again(2, 0, Some(EndOldest)), moved(0)]),
        two(2, vec![again(2, 0, Some(Refuse)), moved(0)]),
        two(1, vec![limited(3, Refuse), limited(4, Refuse)]),
        two(1, vec![limited(3, EndOldest), limited(4, EndOldest)]),
        two(2, vec![limited(3, Refuse), moved(0)]),
        two(2, vec![limited(3, EndOldest), moved(0)]),
        two(2, vec![limited(3, EndOldest), End { id: 1 }]),
        two(2, vec![limited(3, Refuse), End { id: 1 }]),
        one(1, vec![limited(3, EndOldest), limited(4, EndOldest)]),
        one(2, vec![limited(3, EndOldest), limited(4, EndOldest)]),
        one(2, vec![limited(3, EndOldest), EndAll]),
        one(2, vec![limited(3, EndOldest), moved(0), List]),
        one(2, vec![limited(3, EndOldest), moved(1), EndAll]),
        one(2, vec![limited(3, EndOldest), again(2, 0, Some(EndOldest))]),
        one(1, vec![limited(3, Refuse), limited(4, Refuse), List]),
        one(0, vec![limited(2, Refuse), limited(3, Refuse), limited(4, Refuse)]),
        one(2, vec![limited(3, Refuse), End { id: 0 }, List]),
        one(1, vec![limited(3, Refuse), moved(0), EndAll]),
        one(2, vec![limited(3, Refuse), again(2, 0, Some(Refuse))]),
        one(1, vec![again(2, 0, Some(EndOldest)), moved(0), limited(3, EndOldest)]),
        one(2, vec![again(2, 0, Some(EndOldest)), moved(0), EndAll]),
        one(1, vec![again(2, 0, Some(Refuse)), moved(0), limited(3, Refuse)]),
    ]
}

/// What goes wrong, how old entries are, and whether the text that an append returns has later lines. What a
/// killed process leaves behind can be found as long as no entry is forgotten too soon. Everything else
/// depends on no clock.
const WORLDS: [(Fault, Ages, bool); 7] = [
    (Fault::None, Ages::InTime, false),
    (Fault::Kill, Ages::InTime, false),
    (Fault::Kill, Ages::TooSoon, false),
    (Fault::Repeat, Ages::InTime, false),
    (Fault::None, Ages::InTime, true),
    (Fault::Lost, Ages::InTime, false),
    (Fault::Late, Ages::InTime, false),
];

#[test]
fn the_protocol_holds_in_every_order() {
    let (mut runs, mut states, mut ends) = (0, 0, 0);
    let mut violations = Vec::new();
    for program in programs() {
        for (fault, ages, reads_later) in program.worlds() {
            let protocol = Protocol { ages, reads_later, ..Protocol::default() };
            let report = program.run(protocol, fault);
            let name = format!(
                "{} sessions, {} texts, {:?}, {fault:?}, {ages:?}, {reads_later}",
                program.before, program.texts, program.calls
            );
            if let Some(violation) = report.violation {
                let schedule = program.shortest(protocol, fault).schedule;
                violations.push(format!("{name}: {violation}\n{schedule}"));
            }
            runs += 1;
            states += report.states;
            ends += report.ends;
        }
    }
    println!("users protocol: {runs} runs, {states} states, {ends} ends, {} violations", violations.len());
    assert!(violations.is_empty(), "{}", violations.join("\n"));
}

/// Without faults, and with nobody who ends sessions, nobody loses one.
#[test]
fn nobody_loses_a_session_that_nobody_ended() {
    for (before, calls) in [
        (1, vec![login(3), begun(4), moved(0)]),
        (2, vec![moved(0), moved(1), Call::List]),
        (1, vec![moved(0), Call::Write { id: 0 }, Call::List]),
        (1, vec![again(2, 0, None), Call::Write { id: 0 }, Call::List]),
        (0, vec![limited(3, AtLimit::EndOldest), limited(4, AtLimit::EndOldest)]),
        (0, vec![limited(3, AtLimit::Refuse), limited(4, AtLimit::Refuse)]),
        (1, vec![limited(3, AtLimit::EndOldest), moved(0)]),
    ] {
        let protocol = Protocol { ages: Ages::Never, ..Protocol::default() };
        let report = Program { before, guests: 0, texts: 1, calls }.run(protocol, Fault::None);
        assert_eq!(report.violation, None);
        assert_eq!(report.lost, 0, "{before} sessions: a session was lost");
    }
}

/// Who has ended all other sessions may change the id of the own one afterwards.
#[test]
fn the_survivor_can_move() {
    for texts in [1, 2] {
        let calls = vec![Call::EndOthers { keep: 0 }];
        let after = Program { before: 2, guests: 0, texts, calls }
            .run(Protocol::default(), Fault::None)
            .last
            .expect("an end");
        let then = explore(Protocol::default(), after, &[moved(0)], Fault::None).last.expect("an end");
        let alive: Vec<u8> = (0..8).filter(|id| then.record(*id).is_some()).collect();
        assert_eq!(alive, [5]);
    }
}

/// Entries whose records have expired use up no place, whichever text they stand in.
#[test]
fn sessions_that_have_expired_do_not_count() {
    for texts in [1, 2] {
        for at_limit in [AtLimit::Refuse, AtLimit::EndOldest] {
            let mut state = State::with_sessions(LIMIT as u8, 0, texts);
            state.put(0, None);
            let protocol = Protocol { ages: Ages::TooSoon, ..Protocol::default() };
            let report = explore(protocol, state, &[limited(3, at_limit)], Fault::None);
            assert_eq!(report.violation, None);
            // Each entry may be found too young.
            assert!(report.ends > report.lost, "{texts} texts, {at_limit:?}");
        }
    }
    let mut state = State::with_sessions(LIMIT as u8, 0, 2);
    state.put(0, None);
    let protocol = Protocol { ages: Ages::TooSoon, full_sifts: false, ..Protocol::default() };
    let report = explore(protocol, state, &[limited(3, AtLimit::Refuse)], Fault::None);
    assert_eq!(report.ends, report.lost, "the older text need not be sifted");
}

/// Each part of the protocol is needed: without it some promise breaks.
#[test]
fn every_part_is_needed() {
    let (whole, mut unneeded) = (Protocol::default(), Vec::new());
    for (part, protocol) in [
        ("the last look", Protocol { looks_last: false, ..whole }),
        ("the entry before the record", Protocol { entry_first: false, ..whole }),
        ("the mark before the record is destroyed", Protocol { marks: false, ..whole }),
        ("the place of a moved session in the order", Protocol { moves_keep_place: false, ..whole }),
        ("a move that asks for the mark", Protocol { moves_ask_the_mark: false, ..whole }),
        ("forgetting what is old only", Protocol { forgets_the_old_only: false, ..whole }),
        ("the age before the absence", Protocol { age_before_absence: false, ..whole }),
        ("forgetting what is absent only", Protocol { forgets_the_absent_only: false, ..whole }),
        ("the close before an entry is forgotten", Protocol { closes_before_forgetting: false, ..whole }),
        ("the close of ids and not of places", Protocol { closes_ids_alone: false, ..whole }),
        ("the look after the close", Protocol { looks_after_closing: false, ..whole }),
        ("replacing where data is brought over", Protocol { replaces: false, ..whole }),
        ("an end that finishes those of others", Protocol { finishes_others: false, ..whole }),
        ("the mark on the whole place", Protocol { ends_whole_places: false, ..whole }),
        ("the epoch of begin_login", Protocol { checks_epoch: false, ..whole }),
        ("the number in the epoch", Protocol { epochs_count: false, ..whole }),
        ("a repeated end that is ignored", Protocol { repeats_are_ignored: false, ..whole }),
        ("the epoch of a text without entries", Protocol { epoch_outlives_entries: false, ..whole }),
        ("the own session that must live to end others", Protocol { condemned_end_nobody: false, ..whole }),
        ("the record before the entry at a logout", Protocol { logout_destroys_first: false, ..whole }),
        ("the end of a move whose session is gone", Protocol { gone_ends_the_move: false, ..whole }),
        ("the removal of the old record by one login alone", Protocol { logins_remove_once: false, ..whole }),
        ("the end of the others at an arrival", Protocol { arrivals_end_others: false, ..whole }),
        ("an arrival that asks for the mark", Protocol { arrivals_ask_the_mark: false, ..whole }),
        ("an arrival that asks for the move", Protocol { arrivals_ask_the_move: false, ..whole }),
        ("the look at the arrival", Protocol { looks_at_arrival: false, ..whole }),
        ("the end of the whole place at a logout", Protocol { logout_ends_place: false, ..whole }),
        ("the moves that a logout asks for", Protocol { logout_asks_for_moves: false, ..whole }),
        ("the epoch in a move", Protocol { moves_check_epoch: false, ..whole }),
        ("a login that goes apart", Protocol { goes_apart: false, ..whole }),
        ("a login that goes apart when its record is gone", Protocol { failed_go_apart: false, ..whole }),
        ("the epoch of a login that goes apart", Protocol { apart_keeps_epoch: false, ..whole }),
        ("the removal of the tried record", Protocol { destroys_the_tried: false, ..whole }),
        ("the ends that a login finishes before it counts", Protocol { limit_finishes: false, ..whole }),
        ("the older text in the limit", Protocol { limit_counts_older: false, ..whole }),
    ] {
        match broken(protocol) {
            Some(broken) => println!("without {part}: {broken}"),
            None => unneeded.push(part),
        }
    }
    assert!(unneeded.is_empty(), "nothing breaks without {unneeded:?}");
}

/// Two habits of the crate that no promise depends on. No session goes from one text to another. What a logout
/// has marked is destroyed by whoever made it, or by the next list if that one was killed.
#[test]
fn two_habits_are_not_needed() {
    let whole = Protocol::default();
    let has_two = |program: &Program| program.texts > 1;
    assert_eq!(broken_among(has_two, Protocol { newest_text_last: false, ..whole }), None);
    let logs_out = |program: &Program| program.calls.iter().any(|call| matches!(call, Call::LogOut { .. }));
    let protocol = Protocol { logout_finishes: false, ..whole };
    assert_eq!(broken_among(|program| has_two(program) || logs_out(program), protocol), None);
}

/// What the crate cannot promise where the removal of an old record got no answer: its caller asks again, and
/// takes what another request did meanwhile for its own doing.
#[test]
fn a_lost_answer_may_cost_this() {
    let protocol = Protocol { loses_nothing: true, ..Protocol::default() };
    for (before, texts, calls, what) in [
        (1, 1, vec![moved(0), Call::LogOut { id: 0 }], "after its logout"),
        (1, 1, vec![moved(0), Call::Move { from: 0, to: 6 }, Call::Write { id: 0 }], "is lost"),
        (2, 2, vec![again(2, 0, Some(AtLimit::EndOldest)), moved(0)], "over the limit"),
    ] {
        let report = Program { before, guests: 0, texts, calls }.shortest(protocol, Fault::Lost);
        println!("{}\n{}", report.violation.as_deref().unwrap_or_default(), report.schedule);
        assert!(report.violation.is_some_and(|violation| violation.contains(what)), "{what}");
    }
}

/// The first program and world in which a promise is broken.
fn broken(protocol: Protocol) -> Option<String> {
    broken_among(|_| true, protocol)
}

fn broken_among(is_among: impl Fn(&Program) -> bool, protocol: Protocol) -> Option<String> {
    programs().iter().filter(|program| is_among(program)).find_map(|program| {
        program.worlds().find_map(|(fault, ages, reads_later)| {
            let violation = program.run(Protocol { ages, reads_later, ..protocol }, fault).violation?;
            let what = violation.split(": ").next().unwrap_or_default();
            Some(format!("{what}: {:?} {fault:?} {ages:?} {reads_later}", program.calls))
        })
    })
}
