//! Every order of the calls' steps, and what must hold at the end of each.

use std::collections::HashSet;

use crate::LIMIT;
use crate::calls::{Ages, At, Call, Outcome, Protocol, Way, step};
use crate::state::State;

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
    /// The first violations, each with its steps.
    pub(crate) violations: Vec<String>,
    /// Ends in which a session was lost or a login refused.
    pub(crate) lost: usize,
    /// What is stored at one of the ends.
    pub(crate) last: Option<State>,
}

/// Walks through every order of these calls' steps.
pub(crate) fn explore(protocol: Protocol, start: State, calls: &[Call], fault: Fault) -> Report {
    let mut report = Report::default();
    let before: Vec<u8> = start.records.keys().copied().collect();
    let first = (start, vec![At::Begin; calls.len()], false);
    let mut seen = HashSet::from([first.clone()]);
    let mut open = vec![first];
    while let Some((state, at, faulty)) = open.pop() {
        if !report.violations.is_empty() {
            break;
        }
        report.states += 1;
        if at.iter().all(|at| matches!(at, At::Done(_) | At::Killed)) {
            report.ends += 1;
            judge(&mut report, protocol, &before, &state, calls, &at);
            report.last = Some(state);
            continue;
        }
        let pending: Vec<u8> = calls.iter().zip(&at).filter_map(|(call, at)| pending(*call, at)).collect();
        for (place, call) in calls.iter().enumerate() {
            let ways = step(protocol, *call, place as u8 + 1, &at[place], &state, &pending);
            let mut add = |state: State, now: At, faulty: bool| {
                let mut at = at.clone();
                at[place] = now;
                let next = (state, at, faulty);
                if !seen.contains(&next) {
                    seen.insert(next.clone());
                    open.push(next);
                }
            };
            if fault == Fault::Kill && !ways.is_empty() && !faulty {
                add(state.clone(), At::Killed, true);
            }
            for Way { state, at: now, appended } in ways {
                if fault == Fault::Repeat && appended && !faulty {
                    add(state.clone(), at[place].clone(), true);
                }
                add(state, now, faulty);
            }
        }
    }
    report
}

/// The session whose record a call is about to create. The entry may be there already, also before the append has been
/// answered.
fn pending(call: Call, at: &At) -> Option<u8> {
    match (call, at) {
        (
            Call::LogIn { id, .. } | Call::Move { to: id, .. },
            At::Create(..) | At::AppendLogIn { .. } | At::AppendMove(..),
        ) => Some(id),
        _ => None,
    }
}

/// What must hold when every call is over.
fn judge(report: &mut Report, protocol: Protocol, before: &[u8], state: &State, calls: &[Call], at: &[At]) {
    let outcomes =
        || at.iter().filter_map(|at| if let At::Done(outcome) = at { Some(*outcome) } else { None });
    let logged_in =
        outcomes().filter_map(|outcome| if let Outcome::Alive(id) = outcome { Some(id) } else { None });
    let answered: Vec<u8> = before.iter().copied().chain(logged_in).collect();
    let mut wrong = |what: String| {
        if report.violations.len() < 3 {
            report.violations.push(format!("{what}: {state:?} after {at:?}"));
        }
    };
    let later = after_end_all(protocol, state);
    for (id, record) in &state.records {
        if later.records.contains_key(id) && (answered.contains(id) || protocol.ages != Ages::TooSoon) {
            wrong(format!("session {id} cannot be found by a later end_all"));
        }
        if !answered.contains(id) {
            continue;
        }
        if !at.contains(&At::Killed) && !state.texts[record.text].is_held(*id) {
            wrong(format!("session {id} is alive and not listed"));
        }
        for outcome in outcomes() {
            let place = (record.text, record.place);
            match outcome {
                Outcome::EndedBefore { ends, keep }
                    if record.born < ends[record.text] && keep != Some(place) =>
                {
                    wrong(format!("session {id} is alive after the ends {ends:?}"));
                }
                Outcome::Ended { text, place: ended } if place == (text, ended) => {
                    wrong(format!("session {id} is alive after its end"));
                }
                Outcome::LoggedOut(ended) if *id == ended => {
                    wrong(format!("session {id} is alive after its logout"));
                }
                _ => {}
            }
        }
        let wrote = |outcome: &Outcome| matches!(outcome, Outcome::Wrote { text, place } if (*text, *place) == (record.text, record.place));
        if outcomes().filter(wrote).count() > usize::from(record.data) {
            wrong(format!("what was written to session {id} is lost"));
        }
    }
    let limited = calls.iter().any(|call| matches!(call, Call::LogIn { at_limit: Some(_), .. }));
    let lives = answered.iter().filter(|id| state.records.contains_key(id)).count();
    if limited && lives > LIMIT {
        wrong(format!("{lives} sessions are alive, over the limit"));
    }
    let logins = calls.iter().filter(|call| matches!(call, Call::LogIn { .. })).count();
    if lives < before.len() + logins {
        report.lost += 1;
    }
}

/// What is stored when somebody has ended all sessions afterwards.
fn after_end_all(protocol: Protocol, state: &State) -> State {
    let (mut state, mut at) = (state.clone(), At::Begin);
    while let Some(way) = step(protocol, Call::EndAll, u8::MAX, &at, &state, &[]).pop() {
        (state, at) = (way.state, way.at);
    }
    state
}
