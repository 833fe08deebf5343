//! What every commit does, with the store and without: it decides, it notes the outcome, and it makes the guard.

use std::time::SystemTime;

use crate::commit::decision::{CookieDecision, Facts, MaxAge, StageFacts, Trigger, Write, decide};
use crate::commit::execution::{CommitOutcome, Execution};
use crate::commit::guard::SessionGuard;
use crate::commit::told::Told;
use crate::cookie::attributes::Secure;
use crate::error::SessionError;
use crate::request::Transport;
#[cfg(feature = "dbsc")]
use crate::session::device::DeviceHeaders;
use crate::session::stage::{CommitState, Stage};
use crate::session::state::{CookieAction, State};
use crate::session::{Session, SessionInner};

/// Decides what the next commit does. `None`, when nothing has changed since the last commit.
pub(super) fn decide_next(
    session: &SessionInner,
    state: &State,
    trigger: Trigger,
) -> Option<(Write, CookieDecision)> {
    if state.commit_state == CommitState::Done && trigger == Trigger::Commit {
        return None;
    }
    #[cfg(feature = "dbsc")]
    if session.is_read_only(state) {
        return Some((Write::Nothing, CookieDecision::Keep));
    }
    let facts = facts(state, session, trigger);
    if facts.undeliverable && matches!(facts.stage, StageFacts::New | StageFacts::NewId { stored: false, .. })
    {
        session.config.inner().warn_undeliverable();
    }
    Some(decide(&facts))
}

/// Notes in the session's state what the commit has done, makes the guard, and tells the program of it.
pub(super) fn record_outcome(
    session: &Session,
    (write, cookie): (Write, CookieDecision),
    outcome: Result<CommitOutcome, SessionError>,
    execution: &mut Execution<'_>,
) -> Result<SessionGuard, SessionError> {
    let told = Told::of(write, &outcome, execution);
    let recorded = note_outcome(session, (write, cookie), outcome, execution);
    told.tell(execution.config);
    recorded
}

fn note_outcome(
    session: &Session,
    (write, cookie): (Write, CookieDecision),
    outcome: Result<CommitOutcome, SessionError>,
    execution: &mut Execution<'_>,
) -> Result<SessionGuard, SessionError> {
    let mut state = session.state();
    execution.is_over = true;
    let written = match outcome {
        Ok(written) => written,
        Err(error) => {
            if matches!(error, SessionError::Gone) {
                state.record_is_gone();
            }
            if let Some(sent) = execution.take_sent() {
                state.note_attempt(sent);
            }
            state.failed(&execution.unfinished);
            return Err(error);
        }
    };
    let cookie_action = match (cookie, &written) {
        // A cookie is set only for a record that the store holds.
        (CookieDecision::Keep, _) | (CookieDecision::Set, CommitOutcome::Nothing | CommitOutcome::Gone) => {
            None
        }
        (CookieDecision::Set, CommitOutcome::Written(_) | CommitOutcome::Touched(_)) => {
            Some(CookieAction::Set)
        }
        (CookieDecision::Expire, _) => Some(CookieAction::Expire),
    };
    if cookie_action == Some(CookieAction::Set) {
        state.request_cookie = state.request_cookie.set();
    }
    match written {
        CommitOutcome::Written(snapshot) => state.finish_write(snapshot),
        CommitOutcome::Touched(snapshot) => state.expiry_extended(snapshot.expires),
        CommitOutcome::Gone => state.record_is_gone(),
        CommitOutcome::Nothing if write == Write::Destroy => state.record_destroyed(),
        CommitOutcome::Nothing => {}
    }
    if matches!(write, Write::Destroy | Write::NewId(_)) {
        state.left_behind.retain(|id| !execution.left_behind.contains(id));
    }
    state.end_commit(cookie_action);
    guard(session.inner(), &mut state, Some(execution.changes.now))
}

/// The guard for what the commits of this request have decided so far. `now` is when the last of them began.
pub(crate) fn guard(
    session: &SessionInner,
    state: &mut State,
    now: Option<SystemTime>,
) -> Result<SessionGuard, SessionError> {
    let config = session.config.inner();
    #[cfg(feature = "dbsc")]
    let device = DeviceHeaders::of(session, state)?;
    let line = match state.cookie_action {
        None => {
            let guard = SessionGuard::new(None);
            #[cfg(feature = "dbsc")]
            let guard = guard.with_device(device);
            return Ok(guard);
        }
        Some(CookieAction::Expire) => config.set_cookie.expire(session.transport)?,
        Some(CookieAction::Set) => {
            // Invariant: after a commit that set the cookie, every stage has a snapshot, until a commit
            // destroys the record and expires the cookie.
            let snapshot = state.stored();
            debug_assert!(snapshot.is_some());
            let Some(snapshot) = snapshot else { return Ok(SessionGuard::new(None)) };
            let signature =
                *snapshot.signature.get_or_insert_with(|| config.keys().signer.sign(&snapshot.id));
            let now = now.unwrap_or_else(|| config.clock.now());
            let max_age = config.policy.cookie_age(&snapshot.record, now);
            config.set_cookie.set((&snapshot.id, &signature), session.transport, max_age, now)?
        }
    };
    let mut guard = SessionGuard::new(state.cookie_action.map(|cookie_action| (cookie_action, line)));
    if let Some(adopt) = config.adopt.as_ref().filter(|_| state.request_cookie.is_adopted()) {
        guard = guard.with_expired(adopt.expired_cookie());
    }
    #[cfg(feature = "dbsc")]
    let guard = guard.with_device(device);
    Ok(guard)
}

/// Collects everything that the decision depends on.
fn facts(state: &State, session: &SessionInner, trigger: Trigger) -> Facts {
    let (config, transport) = (session.config.inner(), session.transport);
    let view = state.view();
    let max_age = match (view.new_max_age(config.policy.max_age), view.stored_max_age(config.policy.max_age))
    {
        (Some(_), _) => MaxAge::Changed,
        (None, Some(_)) => MaxAge::Kept,
        (None, None) => MaxAge::None,
    };
    Facts {
        stage: match &state.stage {
            Stage::New { .. } => StageFacts::New,
            Stage::Existing(_) => StageFacts::Existing,
            Stage::NewId { how, replaces, .. } => StageFacts::NewId { how: *how, stored: replaces.is_some() },
            Stage::Destroyed { stored, .. } => {
                let left_behind = !state.left_behind.is_empty();
                StageFacts::Destroyed { stored: stored.is_some(), left_behind }
            }
        },
        modified: max_age == MaxAge::Changed || view.has_new_data(),
        trigger,
        touch: state.touch,
        request_cookie: state.request_cookie,
        max_age,
        undeliverable: config.secure == Secure::Always && transport == Transport::ProxiedHttp,
        resave: config.policy.resave,
        unanswered: state.unanswered().iter().any(|attempt| attempt.sent.may_be_written()),
        rolling: config.policy.rolling,
        save_uninitialized: config.policy.save_uninitialized && session.request.is_within,
    }
}
