//! Promises that need no order of the steps: they are checked by what the store really did.

mod loss;
pub(crate) mod users;

use std::collections::HashSet;
use std::ops::Range;

use crate::history::{Effect, EffectKind, Failure, History, Step, Violation};
use crate::model::Id;
use crate::program::Op;
use crate::stores::StoreKind;

/// The ids that an acknowledged step named, of records that were there by then: a session that was destroyed before
/// it was stored has an id as well.
pub(crate) fn answered(history: &History) -> impl Iterator<Item = &Id> {
    let was_there = |id: &Id, answered: u64| {
        let mut effects = history.effects.iter();
        history.effects.is_empty()
            || effects
                .any(|effect| effect.kind == EffectKind::Created && effect.id == *id && effect.at < answered)
    };
    let named = history.requests.iter().flatten().filter_map(move |step| match step {
        Step::Store { answered, result: Some(Ok(after)), .. } => {
            after.id.as_ref().filter(|id| was_there(id, answered.unwrap_or(u64::MAX)))
        }
        _ => None,
    });
    named.chain(history.before.keys())
}

/// Promise 2, by what the store really did: where an acknowledged logout removed a record, nothing that a
/// browser may name holds its user at last.
pub(crate) fn logout_undone(history: &History) -> Option<Violation> {
    for (at, steps) in history.requests.iter().enumerate() {
        for (index, step) in steps.iter().enumerate() {
            let Step::Store { op: Op::Commit, asked, answered: Some(end), result: Some(Ok(_)), .. } = step
            else {
                continue;
            };
            // The last of these calls before the commit decides whether it was a logout.
            let ending = steps[..index].iter().rev().find_map(|step| match step {
                Step::Local { op: op @ (Op::Destroy | Op::Regenerate), .. } => Some(op),
                _ => None,
            });
            if ending != Some(&Op::Destroy) {
                continue;
            }
            let within = |effect: &&Effect| {
                effect.actor == at
                    && (*asked..*end).contains(&effect.at)
                    && matches!(effect.kind, EffectKind::Destroyed | EffectKind::Moved)
            };
            for removed in history.effects.iter().filter(within) {
                if let Some(violation) = revived(history, at, removed) {
                    return Some(violation);
                }
            }
        }
    }
    None
}

fn revived(history: &History, logout: usize, removed: &Effect) -> Option<Violation> {
    let user = history.before.get(&removed.id)?.values.get("user")?;
    // A commit that asked for the removal and was told of an error asks again, and takes the logout for its
    // own doing.
    let ambiguous = history.requests.iter().enumerate().any(|(at, steps)| {
        let mut commits = steps.iter().filter_map(|step| match step {
            Step::Store { asked, answered, .. } => Some(*asked..answered.unwrap_or(u64::MAX)),
            _ => None,
        });
        at != logout
            && commits.any(|commit| removed.at < commit.end && asked_again(history, at, &removed.id, &commit))
    });
    if ambiguous {
        return None;
    }
    let named: HashSet<_> = answered(history).collect();
    let left = history
        .after
        .iter()
        .find(|(id, contents)| named.contains(id) && contents.values.get("user") == Some(user));
    left.map(|(id, _)| {
        Violation::new(
            "logout undone",
            format!("request {logout} ended {}, and {id} still has its user", removed.id),
        )
    })
}

/// Whether a call of a request about this record got an error in this time.
pub(crate) fn asked_again(history: &History, request: usize, id: &Id, time: &Range<u64>) -> bool {
    history.effects.iter().any(|effect| {
        matches!(effect.kind, EffectKind::Unanswered | EffectKind::RemovalUnanswered)
            && effect.actor == request
            && effect.id == *id
            && time.contains(&effect.at)
    })
}

/// The steps of a request until then that failed with `Store`.
fn failed_steps(history: &History, request: usize, before: u64) -> impl Iterator<Item = Range<u64>> {
    let failed = history.requests[request].iter().filter_map(|step| match step {
        Step::Store { asked, answered: Some(end), result: Some(Err(Failure::Store)), .. } => {
            Some(*asked..*end)
        }
        _ => None,
    });
    failed.filter(move |step| step.end < before)
}

/// Whether an earlier commit of a request was told that it has removed this record, and failed afterwards.
pub(crate) fn removal_done(history: &History, request: usize, id: &Id, before: u64) -> bool {
    let has = |step: &Range<u64>, kinds: &[EffectKind]| {
        history.effects.iter().any(|effect| {
            kinds.contains(&effect.kind)
                && effect.actor == request
                && effect.id == *id
                && step.contains(&effect.at)
        })
    };
    failed_steps(history, request, before).any(|step| {
        has(&step, &[EffectKind::Moved, EffectKind::Destroyed])
            && !has(&step, &[EffectKind::Unanswered, EffectKind::RemovalUnanswered])
    })
}

/// Whether an earlier commit of a request asked twice for the removal of this record, and got two errors: in a store
/// of two steps, perhaps when it looked for the record.
pub(crate) fn removal_unanswered(history: &History, request: usize, id: &Id, before: u64) -> bool {
    let errors = |step: &Range<u64>| {
        let within = |effect: &&Effect| {
            matches!(effect.kind, EffectKind::Unanswered | EffectKind::RemovalUnanswered)
                && effect.actor == request
                && effect.id == *id
                && step.contains(&effect.at)
        };
        history.effects.iter().filter(within).count()
    };
    failed_steps(history, request, before).any(|step| errors(&step) > 1)
}

/// Whether a change of id by this request, in this time, has removed the record, and then another request has
/// told the user's list that the session was logged out.
pub(crate) fn ended_on_the_way(history: &History, request: usize, id: &Id, time: &Range<u64>) -> bool {
    let mut effects = history.effects.iter().filter(|effect| effect.id == *id && time.contains(&effect.at));
    let has_left = |effect: &Effect| effect.kind == EffectKind::Moved && effect.actor == request;
    effects.any(has_left)
        && effects.any(|effect| effect.kind == EffectKind::LoggedOut && effect.actor != request)
}

/// The ids to which a logout by this request, in this time, has followed the session: those of records that it removed
/// and that a change of id had created, which had asked for the removal of the old one.
pub(crate) fn followed(history: &History, request: usize, id: &Id, time: &Range<u64>) -> Vec<Id> {
    let is_move = |created: &Effect| {
        history.effects.iter().any(|removal| {
            let kinds = [EffectKind::RemovalUnanswered, EffectKind::Moved, EffectKind::Destroyed];
            kinds.contains(&removal.kind) && removal.actor == created.actor && removal.id == *id
        })
    };
    let is_left = |id: &Id| {
        let mut effects = history.effects.iter();
        effects.any(|effect| effect.kind == EffectKind::Created && effect.id == *id && is_move(effect))
    };
    let removed = history.effects.iter().filter(|effect| {
        effect.kind == EffectKind::Destroyed && effect.actor == request && time.contains(&effect.at)
    });
    removed.filter(|effect| effect.id != *id && is_left(&effect.id)).map(|effect| effect.id.clone()).collect()
}

/// Promise 9, where no user logs in and no session is ended by its user's list: a session of a user that is
/// alive is listed.
pub(crate) fn not_listed(history: &History) -> Option<Violation> {
    answered(history).find_map(|id| {
        let user = history.after.get(id)?.user?;
        let is_listed = history.listed.get(user).is_some_and(|listed| listed.contains(id));
        let what = format!("{id} is alive, and is not in the list of {user}");
        (!is_listed).then(|| Violation::new("live session not listed", what))
    })
}

/// Promise 5: a commit that changes the id asks for the removal of the old record once more, where it got an
/// error instead of an answer. So one such error alone makes no commit fail. Where sessions move, the removal
/// may have been one of those by which they do.
pub(crate) fn gave_up(history: &History, store: StoreKind) -> Option<Violation> {
    if store == StoreKind::Moving {
        return None;
    }
    for (at, steps) in history.requests.iter().enumerate() {
        for step in steps {
            let Step::Store {
                op: Op::Commit,
                asked,
                answered: Some(end),
                result: Some(Err(Failure::Store)),
                ..
            } = step
            else {
                continue;
            };
            let own = |effect: &&Effect| effect.actor == at && (*asked..*end).contains(&effect.at);
            let kinds: Vec<_> = history.effects.iter().filter(own).map(|effect| effect.kind).collect();
            let removals = kinds.iter().filter(|kind| **kind == EffectKind::RemovalUnanswered).count();
            if kinds.contains(&EffectKind::Created)
                && !kinds.contains(&EffectKind::Unanswered)
                && removals == 1
            {
                let what = format!("request {at} did not ask once more for the removal of its old record");
                return Some(Violation::new("gave up", what));
            }
        }
    }
    None
}
