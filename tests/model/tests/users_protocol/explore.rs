//! Every order of the calls' steps, and what must hold at the end of each.

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::{BuildHasherDefault, Hash, Hasher};

use crate::LIMIT;
use crate::calls::{At, Call, Outcome, Way, own, step};
use crate::enter::{Entering, from};
use crate::protocol::{Ages, Context, Protocol};
use crate::state::{IDS, Ids, Record, State, bit, each};

/// The most calls of a program.
pub(crate) const CALLS: usize = 3;

/// What may go wrong, once in a run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fault {
    None,
    /// The process of one call ends before any of its steps. It stands for an answer that is lost for good as
    /// well.
    Kill,
    /// An append is carried out, its answer is lost, and it is sent again at any time.
    Repeat,
    /// An append is carried out once more, at any later time: a call that was given up and sent again.
    Late,
    /// The removal of an old record gets no answer, whether or not it was carried out, and is asked for again.
    Lost,
}

#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) states: usize,
    /// Different states in which every call is over.
    pub(crate) ends: usize,
    pub(crate) violation: Option<String>,
    /// The steps that lead to the violation, if they were asked for: who makes each, and where it leads to.
    pub(crate) schedule: String,
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
    /// The append that is still to be carried out once more, by the call that made it and where that one stood.
    late: Option<(usize, At)>,
}

impl Node {
    /// The node after a step of the call at this place.
    fn then(&self, place: usize, state: State, now: At, is_sent: bool, faulty: bool) -> Self {
        let (mut at, own) = (self.at, bit(place as u8));
        at[place] = now;
        let sent = if is_sent { self.sent | own } else { self.sent & !own };
        Self { state, at, sent, faulty, ..*self }
    }

    /// The node after the late append.
    fn with_the_late(&self, state: State) -> Self {
        Self { state, late: None, ..*self }
    }

    /// Whether a call can begin: the browser has its session by then.
    fn knows(&self, call: Call, before: Ids) -> bool {
        let id = match call {
            Call::LogOut { id } | Call::Write { id } => Some(id),
            call => from(call),
        };
        id.is_none_or(|id| before & bit(id) != 0 || self.at.contains(&At::Done(Outcome::Alive(id))))
    }

    fn is_over(&self, calls: &[Call], before: Ids) -> bool {
        self.at.iter().enumerate().all(|(place, at)| match at {
            At::Done(_) | At::Killed => true,
            // Its session never came to be.
            At::Begin => self.late.is_none() && !self.knows(calls[place], before),
            _ => false,
        })
    }

    /// 128 bits that stand for the node: of a hundred million nodes, two are taken for one with a probability
    /// of less than 2⁻⁷⁰.
    fn fingerprint(&self) -> u128 {
        let mut hasher = Fingerprint { mixed: 0, bytes: 0, count: 0 };
        self.hash(&mut hasher);
        hasher.mix();
        hasher.mixed
    }
}

/// Mixes eight bytes at a time. A node is told from others by single bytes: numbers, bits and discriminants.
struct Fingerprint {
    mixed: u128,
    bytes: u64,
    count: u8,
}

impl Fingerprint {
    fn mix(&mut self) {
        let mixed =
            (self.mixed ^ u128::from(self.bytes)).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
        self.mixed = mixed ^ (mixed >> 67);
        (self.bytes, self.count) = (0, 0);
    }
}

impl Hasher for Fingerprint {
    fn finish(&self) -> u64 {
        self.mixed as u64
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u8(*byte));
    }

    fn write_u8(&mut self, byte: u8) {
        self.bytes = self.bytes << 8 | u64::from(byte);
        self.count += 1;
        if self.count == 8 {
            self.mix();
        }
    }

    fn write_usize(&mut self, word: usize) {
        debug_assert!(word < 256);
        self.write_u8(word as u8);
    }

    fn write_isize(&mut self, word: isize) {
        debug_assert!((0..256).contains(&word));
        self.write_u8(word as u8);
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
    walk(protocol, start, calls, fault, None)
}

/// The same, up to the violation with the fewest steps, which are noted.
pub(crate) fn shortest(protocol: Protocol, start: State, calls: &[Call], fault: Fault) -> Report {
    walk(protocol, start, calls, fault, Some(HashMap::new()))
}

fn walk(
    protocol: Protocol,
    start: State,
    calls: &[Call],
    fault: Fault,
    mut before_it: Option<HashMap<u128, (Node, usize)>>,
) -> Report {
    let mut report = Report::default();
    let before: Ids =
        (0..IDS as u8).filter(|id| start.record(*id).is_some_and(|record| !record.guest)).map(bit).sum();
    let mut at = [At::Done(Outcome::Nothing); CALLS];
    at[..calls.len()].fill(At::Begin);
    let first = Node { state: start, at, sent: 0, faulty: false, late: None };
    let there: Ids = (0..IDS as u8).filter(|id| start.record(*id).is_some()).map(bit).sum();
    let mut seen: HashSet<u128, BuildHasherDefault<Same>> = HashSet::default();
    seen.insert(first.fingerprint());
    let (mut open, mut ways, mut next) = (VecDeque::from([first]), Vec::new(), Vec::new());
    while let Some(node) = if before_it.is_some() { open.pop_front() } else { open.pop_back() } {
        report.states += 1;
        if node.is_over(calls, there) {
            report.ends += 1;
            report.violation = judge(&mut report, &protocol, before, &node, calls, fault);
            report.last = Some(node.state);
            if report.violation.is_some() {
                report.schedule = before_it.map(|before| schedule(&before, node)).unwrap_or_default();
                break;
            }
            if node.late.is_none() {
                continue;
            }
        }
        let pending = calls.iter().zip(&node.at).filter_map(|(call, at)| pending(*call, *at)).map(bit).sum();
        for (place, call) in calls.iter().enumerate() {
            let (drawn, sent) = (place as u8 + 1, node.sent & bit(place as u8) != 0);
            ways.clear();
            let may_lose = fault == Fault::Lost && !node.faulty;
            let context = Context { protocol: &protocol, pending, drawn, sent, may_lose };
            next.clear();
            if let Some((_, at)) = node.late.filter(|late| late.0 == place) {
                step(Context { sent: false, ..context }, *call, at, &node.state, &mut ways);
                let again = ways.drain(..).filter(|way| way.appended);
                next.extend(again.map(|way| node.with_the_late(way.state)));
            }
            if node.at[place] != At::Begin || node.knows(*call, there) {
                step(context, *call, node.at[place], &node.state, &mut ways);
            }
            if fault == Fault::Kill && !ways.is_empty() && !node.faulty {
                next.push(node.then(place, node.state, At::Killed, false, true));
            }
            for Way { state, at, appended, sent: is_sent, lost } in ways.iter().copied() {
                if fault == Fault::Repeat && appended && !sent && !node.faulty {
                    next.push(node.then(place, state, node.at[place], false, true));
                }
                let then = node.then(place, state, at, is_sent, node.faulty || lost);
                if fault == Fault::Late && appended && !node.faulty {
                    next.push(Node { faulty: true, late: Some((place, node.at[place])), ..then });
                }
                next.push(then);
            }
            for next in next.drain(..).filter(|next| seen.insert(next.fingerprint())) {
                if let Some(before) = &mut before_it {
                    before.insert(next.fingerprint(), (node, place));
                }
                open.push_back(next);
            }
        }
    }
    report
}

fn schedule(before: &HashMap<u128, (Node, usize)>, mut node: Node) -> String {
    let mut steps = Vec::new();
    while let Some((earlier, place)) = before.get(&node.fingerprint()) {
        let sent = if node.sent & bit(*place as u8) != 0 { ", which has sent its line" } else { "" };
        steps.push(format!("  call {place} makes a step from {:?}{sent}", earlier.at[*place]));
        node = *earlier;
    }
    steps.reverse();
    steps.join("\n")
}

/// The session whose record a call is about to create. The entry may be there already, also before the append
/// has been answered.
fn pending(call: Call, at: At) -> Option<u8> {
    match at {
        At::Begin | At::Load { .. } => own(call),
        At::Enter { job, at } => match at {
            Entering::Join { .. }
            | Entering::AppendLate
            | Entering::Rewrite
            | Entering::Arrive
            | Entering::Settle { .. }
            | Entering::DestroyTried
            | Entering::ForgetTried => None,
            _ => Some(job.id),
        },
        _ => None,
    }
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
    // Whoever asks for a removal again takes what another call did meanwhile for its own doing.
    let was_lost = fault == Fault::Lost && node.faulty && !protocol.loses_nothing;
    let wrong = |what: String| Some(format!("{what}: {node:?}"));
    let later = after_end_all(protocol, state);
    let users =
        (0..IDS as u8).filter_map(|id| Some((id, state.record(id)?))).filter(|(_, record)| !record.guest);
    for (id, record) in users {
        let is_answered = answered & bit(id) != 0;
        if later.record(id).is_some() && (is_answered || protocol.ages != Ages::TooSoon) {
            return wrong(format!("session {id} cannot be found by a later end_all"));
        }
        let own = (record.text, record.place);
        let is_logged_out = outcomes()
            .any(|outcome| matches!(outcome, Outcome::LoggedOut { text, place } if own == (text, place)));
        if is_logged_out && state.text(record.text).is_held(id) && !was_lost {
            return wrong(format!("session {id} is listed after its logout"));
        }
        if !is_answered {
            continue;
        }
        // Nor does anybody finish an end that is carried out once more after another end, and so ends what has
        // begun since. The next one does.
        let is_unfinished = node.at.contains(&At::Killed)
            || (fault == Fault::Late && node.faulty && state.text(record.text).epoch.ends > 2);
        if !is_unfinished && !state.text(record.text).is_held(id) {
            return wrong(format!("session {id} is alive and not listed"));
        }
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
                Outcome::LoggedOut { text, place } if own == (text, place) && !was_lost => {
                    return wrong(format!("session {id} is alive after its logout"));
                }
                _ => {}
            }
        }
        let wrote =
            |outcome: &Outcome| matches!(outcome, Outcome::Wrote { text, place } if own == (*text, *place));
        if outcomes().filter(wrote).count() > usize::from(record.data) && !was_lost {
            return wrong(format!("what was written to session {id} is lost"));
        }
    }
    for id in each(answered) {
        let Some(own) = state.record(id).filter(|record| !record.guest) else { continue };
        if own.late {
            return wrong(format!("the login of {id} began before an end, and lives on in the kept session"));
        }
        let is_same = |other: Record| !other.guest && (other.text, other.place) == (own.text, own.place);
        if let Some(other) =
            each(answered).find(|other| *other != id && state.record(*other).is_some_and(is_same))
        {
            return wrong(format!("sessions {id} and {other} have one place"));
        }
    }
    if outcomes().any(|outcome| outcome == Outcome::EndedByNobody) {
        return wrong("a session that was over has ended others".to_owned());
    }
    let is_limited = calls.iter().any(|call| matches!(call, Call::LogIn { at_limit: Some(_), .. }));
    let lives =
        each(answered).filter(|id| state.record(*id).is_some_and(|record| !record.guest)).count() as u32;
    if is_limited && lives > LIMIT && !(was_lost && state.count > 1) {
        return wrong(format!("{lives} sessions are alive, over the limit"));
    }
    let is_end = |call: &Call| match call {
        Call::End { .. } | Call::EndOthers { .. } | Call::EndAll => true,
        Call::LogIn { at_limit, .. } => at_limit.is_some(),
        _ => false,
    };
    let may_end = fault == Fault::Kill || protocol.ages == Ages::TooSoon || calls.iter().any(is_end);
    let has_failed = |(call, at): (&Call, &At)| {
        matches!(call, Call::LogIn { .. }) && matches!(at, At::Done(Outcome::Nothing | Outcome::Refused))
    };
    // Who reads an own entry late cannot tell who has ended it.
    let is_plain = matches!(fault, Fault::None | Fault::Lost) && !protocol.reads_later;
    if is_plain && !may_end && calls.iter().zip(&node.at).any(has_failed) {
        return wrong("a login has failed for no reason".to_owned());
    }
    let logins = calls.iter().filter(|call| matches!(call, Call::LogIn { from: None, .. })).count() as u32;
    if lives < before.count_ones() + logins {
        report.lost += 1;
        if !may_end && !calls.iter().any(|call| matches!(call, Call::LogOut { .. })) {
            return wrong("a session is over that nobody has ended".to_owned());
        }
    }
    None
}

/// What is stored when somebody has ended all sessions afterwards.
fn after_end_all(protocol: &Protocol, state: &State) -> State {
    let protocol = Protocol { reads_later: false, ..*protocol };
    let context = Context { protocol: &protocol, pending: 0, drawn: u8::MAX, sent: false, may_lose: false };
    let (mut state, mut at, mut ways) = (*state, At::Begin, Vec::new());
    loop {
        ways.clear();
        step(context, Call::EndAll, at, &state, &mut ways);
        let Some(way) = ways.pop() else { return state };
        (state, at) = (way.state, way.at);
    }
}
