//! Every order of the calls' steps, and what must hold at the end of each.

use std::collections::HashSet;

use crate::LIMIT;
use crate::calls::{Ages, At, Call, Outcome, Protocol, step};
use crate::state::State;

#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) states: usize,
    /// Different states in which every call is over.
    pub(crate) ends: usize,
    /// Of each kind of violation the first one.
    pub(crate) violations: Vec<String>,
    /// Ends in which a session was lost or a login refused.
    pub(crate) lost: usize,
    /// What is stored at one of the ends.
    pub(crate) last: Option<State>,
}

/// Walks through every order of these calls' steps. With `kills`, the process of one
/// call may end before any step.
pub(crate) fn explore(protocol: Protocol, start: State, calls: &[Call], kills: bool) -> Report {
    let mut report = Report::default();
    let before: Vec<u8> = start.records.keys().copied().collect();
    let first = (start, vec![At::Begin; calls.len()]);
    let mut seen = HashSet::from([first.clone()]);
    let mut open = vec![first];
    while let Some((state, at)) = open.pop() {
        report.states += 1;
        if at.iter().all(|at| matches!(at, At::Done(_) | At::Killed)) {
            report.ends += 1;
            report.last = Some(state.clone());
            judge(&mut report, protocol, &before, &state, calls, &at);
            continue;
        }
        let pending: Vec<u8> = calls.iter().zip(&at).filter_map(|(call, at)| pending(*call, at)).collect();
        for (place, call) in calls.iter().enumerate() {
            let mut ways = step(protocol, *call, &at[place], &state, &pending);
            if kills && !ways.is_empty() && !at.contains(&At::Killed) {
                ways.push((state.clone(), At::Killed));
            }
            for (state, now) in ways {
                let mut at = at.clone();
                at[place] = now;
                let next = (state, at);
                if seen.insert(next.clone()) {
                    open.push(next);
                }
            }
        }
    }
    report
}

/// The session whose record a call is about to create under an entry that is there already.
fn pending(call: Call, at: &At) -> Option<u8> {
    match (call, at) {
        (Call::LogIn { id, .. } | Call::Move { to: id, .. }, At::Create { .. }) => Some(id),
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
    let alive = |id: &u8| state.records.contains_key(id);
    let place = |id: &u8| state.entries.get(id).map(|entry| entry.place);
    let mut wrong = |what: String| {
        if report.violations.len() < 3 {
            report.violations.push(format!("{what}: {state:?} after {at:?}"));
        }
    };
    for (id, record) in &state.records {
        match state.entries.get(id) {
            None if answered.contains(id) => wrong(format!("session {id} is alive and not listed")),
            None if protocol.ages != Ages::TooSoon => {
                wrong(format!("what is left as session {id} cannot be found"))
            }
            _ => {}
        }
        if !answered.contains(id) {
            continue;
        }
        for outcome in outcomes() {
            match outcome {
                Outcome::EndedBefore { epoch, survivor }
                    if record.born < epoch && (survivor.is_none() || place(id) != survivor) =>
                {
                    wrong(format!("session {id} is alive after an end before epoch {epoch}"));
                }
                Outcome::Ended(ended) if place(id) == Some(ended) => {
                    wrong(format!("session {id} is alive after its end"));
                }
                _ => {}
            }
        }
    }
    let limited = calls.iter().any(|call| matches!(call, Call::LogIn { limit: Some(_), .. }));
    let lives = answered.iter().filter(|id| alive(id)).count();
    if limited && lives > LIMIT {
        wrong(format!("{lives} sessions are alive, over the limit"));
    }
    let logins = calls.iter().filter(|call| matches!(call, Call::LogIn { .. })).count();
    if lives < before.len() + logins {
        report.lost += 1;
    }
}
