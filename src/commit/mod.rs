//! Commits: writes the changes of a request to the store, and puts the cookie into a [`SessionGuard`].
//!
//! [`decision`] decides what is written and whether a cookie is set, [`execution`] calls the store, and
//! [`guard`](mod@guard) applies the result to a response.

pub(crate) mod at_once;
mod changes;
pub(crate) mod decision;
mod execution;
pub(crate) mod guard;
mod leaving;
mod membership;
mod new_id;
mod removal;
mod replace;
pub(crate) mod steps;
#[cfg(test)]
mod tests;
mod told;

use std::time::Duration;

use tokio::sync::MutexGuard;
use tokio::time::timeout;

use crate::commit::at_once::try_commit_now;
use crate::commit::decision::{Trigger, Write};
use crate::commit::execution::Execution;
use crate::commit::guard::SessionGuard;
use crate::commit::steps::{decide_next, guard, record_outcome};
use crate::config::observed::{Waiting, observed};
use crate::error::SessionError;
use crate::session::snapshot::Snapshot;
use crate::session::stage::{NewId, Stage};
use crate::session::{Session, SessionInner};
use crate::store::loaded::Loaded;

impl Session {
    /// Reads the session from the store again, and drops the changes that this request made, including a
    /// change of id.
    ///
    /// # Errors
    /// - [`Gone`](SessionError::Gone), when the store has no record of this session, or no longer has it, or
    ///   the session has reached its absolute timeout.
    /// - [`Store`](SessionError::Store), when the store fails.
    /// - [`Destroyed`](SessionError::Destroyed), when the session was destroyed in this request.
    /// - [`Conflict`](SessionError::Conflict), when a commit of this session has not ended for a minute.
    pub async fn reload(&self) -> Result<(), SessionError> {
        reload(self).await.map_err(SessionError::logged)
    }

    /// Writes the session to the store now, whether or not it was changed. The cookie is set by a later
    /// [`commit`](Self::commit).
    ///
    /// # Errors
    /// Those of [`commit`](Self::commit), and [`Destroyed`](SessionError::Destroyed), when the session was
    /// destroyed in this request.
    pub async fn save(&self) -> Result<(), SessionError> {
        if self.state().has_ended() {
            return Err(SessionError::Destroyed.logged());
        }
        commit(self, Trigger::Save).await.map(drop)
    }

    /// Writes the changes of this request to the store, and returns the guard that sets the cookie. Return
    /// the guard as a part of the response.
    ///
    /// The table in the crate's documentation says what is written and whether a cookie is set. When nothing
    /// has changed since the last commit of this request, the call writes nothing, and the guard sets the
    /// cookie that the earlier commits decided on.
    ///
    /// # Errors
    /// - [`Store`](SessionError::Store), when the store fails.
    /// - [`Gone`](SessionError::Gone), when the session was destroyed or expired while this request was
    ///   running.
    /// - [`Conflict`](SessionError::Conflict), when other requests have written the record first until the
    ///   retries were used up, every new id is taken, or another commit of this session has not ended for a minute.
    /// - [`Decode`](SessionError::Decode) or [`Encode`](SessionError::Encode), when an
    ///   [`update`](Self::update) ran again on the value that another request wrote, and failed.
    /// - [`Cookie`](SessionError::Cookie), when the cookie is not a legal header value.
    pub async fn commit(&self) -> Result<SessionGuard, SessionError> {
        commit(self, Trigger::Commit).await
    }
}

async fn commit(session: &Session, trigger: Trigger) -> Result<SessionGuard, SessionError> {
    let committed = match try_commit_now(session, trigger) {
        Some(committed) => committed,
        // Boxed to keep the handler's future small: this future is large, and a commit to a store in memory
        // rarely needs it.
        None => Box::pin(observed(Waiting::Commit, commit_when_free(session, trigger))).await,
    };
    committed.map_err(SessionError::logged)
}

/// How long a commit waits for another one of its session: longer than a store takes with all its timeouts. The other one
/// may be a future that its program does not poll any more.
const LONGEST_COMMIT: Duration = Duration::from_secs(60);

/// Waits until no other handle of this request is committing.
async fn alone(session: &SessionInner) -> Result<MutexGuard<'_, ()>, SessionError> {
    if let Ok(lock) = session.commit_lock.try_lock() {
        return Ok(lock);
    }
    timeout(LONGEST_COMMIT, session.commit_lock.lock()).await.map_err(|_| SessionError::Conflict)
}

/// Commits when no other handle of this request is committing.
async fn commit_when_free(session: &Session, trigger: Trigger) -> Result<SessionGuard, SessionError> {
    let inner = session.inner();
    let _lock = alone(inner).await?;
    let config = inner.config.inner();
    let (execution, decided) = loop {
        let mut state = session.state();
        let Some(decided) = decide_next(inner, &state, trigger) else {
            return guard(inner, &mut state, None);
        };
        if matches!(decided.0, Write::Create | Write::NewId(_)) && state.id().is_none() {
            drop(state);
            let id = config.new_id();
            session.state().choose_id(id);
            continue;
        }
        break (Execution::new(&inner.config, &mut state, inner.transport), decided);
    };
    let mut running = Running { session, execution };
    let outcome = running.execution.run(decided.0).await;
    record_outcome(session, decided, outcome, &mut running.execution)
}

/// A commit that has to wait for the store, and that can be dropped meanwhile.
struct Running<'s, 'c> {
    session: &'s Session,
    execution: Execution<'c>,
}

impl Drop for Running<'_, '_> {
    fn drop(&mut self) {
        if let Some(sent) = self.execution.take_sent() {
            self.session.state().note_attempt(sent);
        }
        if !self.execution.is_over {
            self.session.state().dropped(&self.execution.unfinished);
        }
    }
}

async fn reload(session: &Session) -> Result<(), SessionError> {
    let inner = session.inner();
    let _lock = alone(inner).await?;
    let stage_changes = session.state().stage_changes();
    let (id, signature) = match &session.state().stage {
        Stage::Destroyed { .. } | Stage::NewId { how: NewId::AfterDestroy, .. } => {
            return Err(SessionError::Destroyed);
        }
        Stage::New { .. } | Stage::NewId { replaces: None, .. } => return Err(SessionError::Gone),
        Stage::Existing(snapshot) => (snapshot.id.clone(), snapshot.signature),
        Stage::NewId { replaces: Some(snapshot), .. } => (snapshot.id.clone(), snapshot.signature),
    };
    let config = inner.config.inner();
    let loaded = config.store.get_again(&id, &config.clock).await?;
    let Some(loaded) = loaded.filter(|loaded| !config.is_over(&loaded.record)) else {
        session.state().record_is_gone();
        return Err(SessionError::Gone);
    };
    let Loaded { record, compare_by, expires_in, seen } = loaded;
    let expires = seen.after(expires_in.unwrap_or_else(|| config.policy.ttl(record.max_age())));
    let snapshot = Snapshot { id, signature, record, compare_by, expires };
    let _changes = session.state().reloaded(snapshot, stage_changes);
    Ok(())
}
