//! Every order of the calls' steps, and what must hold at the end of each.

use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hash, Hasher};

use crate::LIMIT;
use crate::calls::{At, Call, Outcome, Way, own, step};
use crate::protocol::{Ages, Context, Protocol};
use crate::state::{IDS, Ids, State, bit, each};

/// The most calls of a program.
pub(crate) const CALLS: usize = 3;

/// What may go wrong, once in a run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fault {
    None,
    /// The process of one call ends before any of its steps. It stands for an answer that is lost for good as well.
    Kill,
    /// An append is carried out, its answer is lost, and it is sent again at any time.
    Repeat,
}

#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) states: usize,
    /// Different states in which every call is over.
    pub(crate) ends: usize,
    /// The first violation, with its steps.
    pub(crate) violation: Option<String>,
    /// Ends in which a session was lost or a login refused.
    pub(crate) lost: usize,
    /// What is stored at one of the ends.
    pub(crate) last: Option<State>,
}

/// What is stored, where each call stands, and which of them wait for the text of an append.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Node {
    state: State,
    at: [At; CALLS],
    sent: u8,
    faulty: bool,
}

impl Node {
    /// The node after a step of the call at this place.
    fn then(&self, place: usize, state: State, now: At, is_sent: bool, faulty: bool) -> Self {
        let (mut at, own) = (self.at, bit(place as u8));
        at[place] = now;
        let sent = if is_sent { self.sent | own } else { self.sent & !own };
        Self { state, at, sent, faulty }
    }

    /// 128 bits that stand for the node: of a hundred million nodes, two are taken for one with a probability of less
    /// than 2⁻⁷⁰.
    fn fingerprint(&self) -> u128 {
        let mut hasher = Fingerprint(0);
        self.hash(&mut hasher);
        hasher.0
    }
}

struct Fingerprint(u128);

impl Fingerprint {
    fn mix(&mut self, word: u64) {
        let mixed = (self.0 ^ u128::from(word)).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
        self.0 = mixed ^ (mixed >> 67);
    }
}

impl Hasher for Fingerprint {
    fn finish(&self) -> u64 {
        self.0 as u64
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.mix((*byte).into()));
    }

    fn write_u8(&mut self, byte: u8) {
        self.mix(byte.into());
    }

    fn write_usize(&mut self, word: usize) {
        self.mix(word as u64);
    }

    fn write_isize(&mut self, word: isize) {
        self.mix(word as u64);
    }
}

/// A fingerprint is its own hash.
#[derive(Default)]
struct Same(u64);

impl Hasher for Same {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.0 = self.0.rotate_left(8) ^ u64::from(*byte));
    }

    fn write_u128(&mut self, word: u128) {
        self.0 = word as u64;
    }
}

/// Walks through every order of these calls' steps, up to the first violation.
pub(crate) fn explore(protocol: Protocol, start: State, calls: &[Call], fault: Fault) -> Report {
    let mut report = Report::default();
    let before: Ids = (0..IDS as u8).filter(|id| start.record(*id).is_some()).map(bit).sum();
    let mut at = [At::Done(Outcome::Nothing); CALLS];
    at[..calls.len()].fill(At::Begin);
    let first = Node { state: start, at, sent: 0, faulty: false };
    let mut seen: HashSet<u128, BuildHasherDefault<Same>> = HashSet::default();
    seen.insert(first.fingerprint());
    let (mut open, mut ways, mut next) = (vec![first], Vec::new(), Vec::new());
    while let Some(node) = open.pop() {
        report.states += 1;
        if node.at.iter().all(|at| matches!(at, At::Done(_) | At::Killed)) {
            report.ends += 1;
            report.violation = judge(&mut report, &protocol, before, &node, calls, fault);
            report.last = Some(node.state);
            if report.violation.is_some() {
                break;
            }
            continue;
        }
        let pending = calls.iter().zip(&node.at).filter_map(|(call, at)| pending(*call, *at)).map(bit).sum();
        for (place, call) in calls.iter().enumerate() {
            let (drawn, sent) = (place as u8 + 1, node.sent & bit(place as u8) != 0);
            ways.clear();
            let context = Context { protocol: &protocol, pending, drawn, sent };
            step(context, *call, node.at[place], &node.state, &mut ways);
            next.clear();
            if fault == Fault::Kill && !ways.is_empty() && !node.faulty {
                next.push(node.then(place, node.state, At::Killed, false, true));
            }
            for Way { state, at, appended, sent: is_sent } in ways.iter().copied() {
                if fault == Fault::Repeat && appended && !sent && !node.faulty {
                    next.push(node.then(place, state, node.at[place], false, true));
                }
                next.push(node.then(place, state, at, is_sent, node.faulty));
            }
            open.extend(next.drain(..).filter(|next| seen.insert(next.fingerprint())));
        }
    }
    report
}

/// The session whose record a call is about to create. The entry may be there already, also before the append has been
/// answered.
fn pending(call: Call, at: At) -> Option<u8> {
    let is_over =
        matches!(at, At::AppendLate | At::Join { .. } | At::Forget { .. } | At::Done(_) | At::Killed);
    own(call).filter(|_| !is_over)
}

/// What must hold when every call is over.
fn judge(
    report: &mut Report,
    protocol: &Protocol,
    before: Ids,
    node: &Node,
    calls: &[Call],
    fault: Fault,
) -> Option<String> {
    let state = &node.state;
    let outcomes =
        || node.at.iter().filter_map(|at| if let At::Done(outcome) = at { Some(*outcome) } else { None });
    let logged_in =
        outcomes().filter_map(|outcome| if let Outcome::Alive(id) = outcome { Some(bit(id)) } else { None });
    let answered = logged_in.fold(before, |answered, id| answered | id);
    let wrong = |what: String| Some(format!("{what}: {node:?}"));
    let later = after_end_all(protocol, state);
    let users =
        (0..IDS as u8).filter_map(|id| Some((id, state.record(id)?))).filter(|(_, record)| !record.guest);
    for (id, record) in users {
        let is_answered = answered & bit(id) != 0;
        if later.record(id).is_some() && (is_answered || protocol.ages != Ages::TooSoon) {
            return wrong(format!("session {id} cannot be found by a later end_all"));
        }
        if !is_answered {
            continue;
        }
        if !node.at.contains(&At::Killed) && !state.text(record.text).is_held(id) {
            return wrong(format!("session {id} is alive and not listed"));
        }
        let own = (record.text, record.place);
        for outcome in outcomes() {
            match outcome {
                Outcome::EndedBefore { ends, keep }
                    if record.born < ends[usize::from(record.text)] && keep != Some(own) =>
                {
                    return wrong(format!("session {id} is alive after the ends {ends:?}"));
                }
                Outcome::Ended { text, place } if own == (text, place) => {
                    return wrong(format!("session {id} is alive after its end"));
                }
                Outcome::LoggedOut { text, place } if own == (text, place) => {
                    return wrong(format!("session {id} is alive after its logout"));
                }
                _ => {}
            }
        }
        let wrote =
            |outcome: &Outcome| matches!(outcome, Outcome::Wrote { text, place } if own == (*text, *place));
        if outcomes().filter(wrote).count() > usize::from(record.data) {
            return wrong(format!("what was written to session {id} is lost"));
        }
    }
    if outcomes().any(|outcome| outcome == Outcome::EndedByNobody) {
        return wrong("a session that was over has ended others".to_owned());
    }
    let is_limited = calls.iter().any(|call| matches!(call, Call::LogIn { at_limit: Some(_), .. }));
    let lives =
        each(answered).filter(|id| state.record(*id).is_some_and(|record| !record.guest)).count() as u32;
    if is_limited && lives > LIMIT {
        return wrong(format!("{lives} sessions are alive, over the limit"));
    }
    let logins = calls.iter().filter(|call| matches!(call, Call::LogIn { from: None, .. })).count() as u32;
    if lives < before.count_ones() + logins {
        report.lost += 1;
        let ends = calls.iter().any(|call| {
            matches!(
                call,
                Call::LogOut { .. }
                    | Call::End { .. }
                    | Call::EndOthers { .. }
                    | Call::EndAll
                    | Call::LogIn { at_limit: Some(_), .. }
            )
        });
        if !ends && fault != Fault::Kill && protocol.ages != Ages::TooSoon {
            return wrong("a session is over that nobody has ended".to_owned());
        }
    }
    None
}

/// What is stored when somebody has ended all sessions afterwards.
fn after_end_all(protocol: &Protocol, state: &State) -> State {
    let protocol = Protocol { reads_later: false, ..*protocol };
    let context = Context { protocol: &protocol, pending: 0, drawn: u8::MAX, sent: false };
    let (mut state, mut at, mut ways) = (*state, At::Begin, Vec::new());
    loop {
        ways.clear();
        step(context, Call::EndAll, at, &state, &mut ways);
        let Some(way) = ways.pop() else { return state };
        (state, at) = (way.state, way.at);
    }
}
