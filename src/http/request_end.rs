//! The end of a request under the layer: the sessions that it has extracted are committed, and their guards
//! are applied to the response.

use axum::response::{IntoResponse, Response};
use smallvec::SmallVec;

use crate::commit;
use crate::commit::decision::Trigger;
use crate::commit::guard::SessionGuard;
use crate::error::SessionError;
use crate::session::Session;
use crate::session::stage::CommitState;

/// How much of what a request did to its sessions is committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extent {
    Everything,
    /// The request has failed: of its changes, only that it has ended a session is committed.
    Ending,
}

/// Commits the session without waiting. `None`, when that is not possible, or when it is not the request's
/// only session: then [`end_all`] does it.
pub(super) fn try_end_now(session: &Session, extent: Extent) -> Option<Result<SessionGuard, SessionError>> {
    if session.inner().next.get().is_some() {
        return None;
    }
    if is_given_up(session, extent) {
        return Some(give_up(session));
    }
    Some(commit::at_once::try_commit_now(session, Trigger::Commit)?.map_err(SessionError::logged))
}

/// Commits every session of a request, of which this is the first, and applies the guards to the response. If
/// a commit fails, the error becomes the response; the other sessions are committed all the same, each by its
/// own.
pub(super) async fn end_all(first: Session, extent: Extent, mut response: Response) -> Response {
    let mut guards = SmallVec::<[SessionGuard; 1]>::new();
    let mut next = Some(&first);
    while let Some(session) = next {
        match end(session, extent).await {
            Ok(guard) => guards.push(guard),
            Err(error) => response = error.into_response(),
        }
        next = session.inner().next.get();
    }
    for (at, guard) in guards.iter().enumerate() {
        if guards[at + 1..].iter().any(|later| guard.is_overwritten_by(later)) {
            tracing::warn!(
                "two configurations set a cookie of one name, path and domain: only the later one is sent"
            );
        }
    }
    for guard in guards {
        guard.apply(response.headers_mut());
    }
    response
}

async fn end(session: &Session, extent: Extent) -> Result<SessionGuard, SessionError> {
    if is_given_up(session, extent) { give_up(session) } else { session.commit().await }
}

/// Applies the guard to the response. An error becomes the response.
pub(super) fn apply(ended: Result<SessionGuard, SessionError>, mut response: Response) -> Response {
    match ended {
        Ok(guard) => {
            guard.apply(response.headers_mut());
            response
        }
        Err(error) => error.into_response(),
    }
}

/// Whether nothing of the session is committed. If only its ending is, the other changes are dropped.
fn is_given_up(session: &Session, extent: Extent) -> bool {
    if extent != Extent::Ending {
        return false;
    }
    let (has_ended, _changes) = session.state().keep_ending();
    !has_ended
}

/// Gives the uncommitted changes up. The guard sets the cookie that earlier commits of this request decided
/// on.
fn give_up(session: &Session) -> Result<SessionGuard, SessionError> {
    let mut state = session.state();
    if state.commit_state != CommitState::Done {
        state.commit_state = CommitState::Failed;
    }
    commit::steps::guard(session.inner(), &mut state, None).map_err(SessionError::logged)
}
