//! Where nothing fails, nobody loses a session that nobody has ended, and nobody is refused without a reason.

use super::users::{Case, Member};
use crate::history::{Failure, Step, Violation};
use crate::program::{Faults, Op};
use crate::users::USERS;

/// Who may have ended which session.
pub(super) struct Losses {
    /// Of each member: whether somebody but the limit may have.
    may_be_ended: Vec<bool>,
    /// And whether the limit may have.
    may_be_surplus: Vec<bool>,
}

impl Losses {
    pub(super) fn of(case: &Case<'_>) -> Self {
        let may_be_ended = case.members.iter().map(|member| is_ended_by_somebody(case, member)).collect();
        let may_be_surplus = case.members.iter().map(|member| is_surplus(case, member)).collect();
        Self { may_be_ended, may_be_surplus }
    }
}

/// Whether calls of the visitor's own requests, or ends of the user's sessions, may have ended it.
fn is_ended_by_somebody(case: &Case<'_>, member: &Member) -> bool {
    let requests = &case.program.requests;
    let own = || requests.iter().filter(|request| request.visitor == member.visitor);
    let by_itself = own().flat_map(|request| &request.ops).any(|op| match op {
        Op::Destroy | Op::Regenerate | Op::Clear => true,
        Op::LogIn { tag, .. } => *tag != member.login,
        _ => false,
    });
    // The list of somebody as whom the user acts has the session as well.
    let acts_as = |user: usize| {
        own().flat_map(|request| &request.ops).any(|op| matches!(op, Op::Impersonate(of, _) if *of == user))
    };
    let is_listed = |user: usize| USERS[user] == member.user || acts_as(user) || member.acted;
    let by_an_end = case.history.requests.iter().zip(&case.known).any(|(steps, known)| {
        steps.iter().zip(known).any(|(step, known)| match step {
            Step::Users { op: Op::EndAll(user) | Op::End(user, _), .. } => is_listed(*user),
            Step::Users { op: Op::EndOthers(user), .. } => {
                let kept = known.as_ref().and_then(|known| known.contents.text("login"));
                let is_kept = kept.is_some_and(|kept| case.is_of_place(member, kept));
                // A login that began before the end fails, also in the session that the end keeps.
                is_listed(*user) && (!is_kept || member.began.is_some())
            }
            _ => false,
        })
    });
    by_itself || by_an_end
}

fn is_surplus(case: &Case<'_>, member: &Member) -> bool {
    let Some((most, false)) = case.program.options.per_user else { return false };
    let user = case.member(&member.login).map_or(member.user, |login| login.user);
    let logins = case.members.iter().filter(|other| !other.acted && other.user == user);
    logins.count() > usize::from(most)
}

/// Whether another request of the visitor has given the session another id, or was about to, by then.
pub(super) fn moves_elsewhere(case: &Case<'_>, request: usize, until: u64) -> bool {
    let visitor = case.program.requests[request].visitor;
    let others = case.program.requests.iter().zip(&case.history.requests).enumerate();
    others.filter(|(at, (other, _))| *at != request && other.visitor == visitor).any(|(_, (_, steps))| {
        let mut leaves = false;
        steps.iter().any(|step| match step {
            Step::Local { op, .. } => {
                leaves |= op.leaves_id();
                false
            }
            Step::Store { asked, .. } => leaves && *asked < until,
            _ => false,
        })
    })
}

/// A loss, or a refusal, without a reason.
pub(super) fn lost(case: &Case<'_>, losses: &Losses) -> Option<Violation> {
    let Faults { fail, lose, late, drop, .. } = case.program.faults;
    // An entry that has become old may be dropped.
    if fail + lose + late + drop > 0 || case.program.options.clock_jumps {
        return None;
    }
    refused(case, losses).or_else(|| gone(case, losses)).or_else(|| wrong_one(case, losses))
}

fn refused(case: &Case<'_>, losses: &Losses) -> Option<Violation> {
    for (request, (steps, known)) in case.history.requests.iter().zip(&case.known).enumerate() {
        let mut login = None;
        for (step, known) in steps.iter().zip(known) {
            let (op, failure, (asked, answered)) = match step {
                Step::Local { op: Op::LogIn { tag, .. }, .. } => {
                    login = case.members.iter().position(|member| member.tag == *tag).or(login);
                    continue;
                }
                // What was to be written is dropped, the login as well.
                Step::Store { op: Op::Reload, result: Some(Ok(_)), .. } => {
                    login = None;
                    continue;
                }
                Step::Store { op, asked, answered, result: Some(Err(failure)), .. } => {
                    (op, failure, (*asked, answered.unwrap_or(u64::MAX)))
                }
                Step::Users { op, asked, answered, result: Some(Err(failure)), .. } => {
                    (op, failure, (*asked, answered.unwrap_or(u64::MAX)))
                }
                _ => continue,
            };
            let stored = known.as_ref().and_then(|known| known.contents.text("login"));
            let stored = stored.and_then(|tag| case.members.iter().position(|member| member.tag == *tag));
            // A request that has ended its session, or has no login, may be told so.
            let own = if matches!(step, Step::Store { .. }) { login.or(stored) } else { stored };
            let has_no_reason = match failure {
                Failure::Store | Failure::Other | Failure::NotLoggedIn | Failure::Decode => true,
                Failure::Conflict => case.history.waits == 0,
                Failure::Gone => {
                    let is_asked = matches!(op, Op::Commit | Op::Save)
                        || matches!(op, Op::EndOthers(user) if stored.is_some_and(|at| {
                            let member = &case.members[at];
                            member.user == USERS[*user] && known.as_ref().is_some_and(|known| {
                                known.contents.user == Some(member.user)
                            })
                        }));
                    let may_be = |at: usize| losses.may_be_ended[at] || losses.may_be_surplus[at];
                    is_asked && own.is_some_and(|at| !may_be(at)) && !moves_elsewhere(case, request, answered)
                }
                Failure::TooMany => login.is_some_and(|at| has_room(case, at, (asked, answered))),
                Failure::Destroyed => false,
            };
            if has_no_reason {
                let what = format!("request {request}, {op}: {failure:?} without a reason");
                return Some(Violation::new("refused", what));
            }
        }
    }
    None
}

/// Whether fewer sessions of the user than the limit may have been there.
fn has_room(case: &Case<'_>, login: usize, (asked, answered): (u64, u64)) -> bool {
    let Some((most, true)) = case.program.options.per_user else { return true };
    let user = case.members[login].user;
    let others = case.members.iter().enumerate().filter(|(at, other)| {
        *at != login
            && !other.acted
            && other.user == user
            && other.asked < answered
            && case.over_before(&other.tag, asked).is_none()
    });
    others.count() < usize::from(most)
}

/// Sessions that nobody has ended.
fn gone(case: &Case<'_>, losses: &Losses) -> Option<Violation> {
    let logins = case.members.iter().enumerate().filter(|(_, member)| !member.acted);
    for (at, member) in logins {
        if member.answered.is_some()
            && !losses.may_be_ended[at]
            && !losses.may_be_surplus[at]
            && !case.is_alive(member)
        {
            let what = format!("nobody has ended {}, and it is gone", member.tag);
            return Some(Violation::new("session lost", what));
        }
    }
    None
}

/// The limit ends the sessions that logged in first.
fn wrong_one(case: &Case<'_>, losses: &Losses) -> Option<Violation> {
    let logins = || case.members.iter().enumerate().filter(|(_, member)| !member.acted);
    for (at, newer) in logins() {
        let is_ended_by_limit = newer.answered.is_some()
            && case.root(&newer.tag) == newer.tag
            && !losses.may_be_ended[at]
            && losses.may_be_surplus[at]
            && !case.is_alive(newer);
        if !is_ended_by_limit {
            continue;
        }
        let older = logins().map(|(_, older)| older).find(|older| {
            older.user == newer.user
                && older.answered.is_some_and(|answered| answered < newer.asked)
                && case.is_alive(older)
        });
        if let Some(older) = older {
            let what = format!("the limit ended {}, and {} is older", newer.tag, older.tag);
            return Some(Violation::new("wrong session ended", what));
        }
    }
    None
}
