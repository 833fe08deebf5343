//! Commits: writes the changes of a request to the store, and puts the cookie into a [`SessionGuard`].
//!
//! [`decision`] decides what is written and whether a cookie is set, [`execution`] calls the store, and
//! [`guard`](mod@guard) applies the result to a response.

mod changes;
pub(crate) mod decision;
mod execution;
pub(crate) mod guard;
mod leaving;
mod membership;
mod new_id;
mod removal;
mod replace;
#[cfg(test)]
mod tests;
mod told;

use std::time::SystemTime;

use crate::commit::decision::{CookieDecision, Facts, MaxAge, StageFacts, Trigger, Write, decide};
use crate::commit::execution::{CommitOutcome, Execution};
use crate::commit::guard::SessionGuard;
use crate::commit::told::Told;
use crate::config::observed::{Waiting, observed};
use crate::cookie::attributes::Secure;
use crate::error::SessionError;
use crate::request::Transport;
#[cfg(feature = "dbsc")]
use crate::session::device::DeviceHeaders;
use crate::session::snapshot::Snapshot;
use crate::session::stage::{CommitState, NewId, Stage};
use crate::session::state::{CookieAction, State};
use crate::session::{Session, SessionInner};
use crate::store::joint::Sent;
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
    ///   retries were used up, or every new id is taken.
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

/// Commits without waiting, which is possible when there is nothing to write or the store is in memory.
/// `None`, when the commit would have to wait: then nothing was written, and [`commit_when_free`] makes the
/// commit.
pub(crate) fn try_commit_now(
    session: &Session,
    trigger: Trigger,
) -> Option<Result<SessionGuard, SessionError>> {
    let inner = session.inner();
    let mut state = session.state();
    // Another commit is running, and this commit's guard needs the cookie that it decides on.
    if state.is_in_flight() {
        return None;
    }
    let (write, cookie) = match decide_next(inner, &state, trigger) {
        None => return Some(guard(inner, &mut state, None)),
        Some((Write::Nothing, CookieDecision::Keep)) => {
            state.begin_commit();
            state.end_commit(None);
            return Some(guard(inner, &mut state, None));
        }
        // A change of id takes two writes, and the future below could be dropped between them.
        Some((Write::NewId(_), _)) => return None,
        Some(decided) => decided,
    };
    let config = inner.config.inner();
    if write == Write::Create && state.id().is_none() {
        // `genid` is the program's own code and must not run under the state's lock.
        state.choose_id(config.random_id()?);
    }
    let _lock = inner.commit_lock.try_lock().ok()?;
    // The commit begins inside the future, because the future is dropped before its first poll unless the
    // store is in memory.
    //
    // Invariant: a future that is dropped after its first poll has written nothing. With the memory store
    // only a `replace` waits, and only after a conflict.
    let mut execution = None;
    let outcome = config.store.now_or_never(async {
        let execution = execution.insert(Execution::new(&inner.config, &mut state, inner.transport));
        drop(state);
        execution.run(write).await
    })?;
    // Invariant: a future that has completed has begun the commit.
    debug_assert!(execution.is_some(), "a commit without a beginning");
    Some(record_outcome(session, (write, cookie), outcome, &mut execution?))
}

/// Commits when no other handle of this request is committing.
async fn commit_when_free(session: &Session, trigger: Trigger) -> Result<SessionGuard, SessionError> {
    let inner = session.inner();
    let _lock = inner.commit_lock.lock().await;
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
    }
}

/// Decides what the next commit does. `None`, when nothing has changed since the last commit.
fn decide_next(session: &SessionInner, state: &State, trigger: Trigger) -> Option<(Write, CookieDecision)> {
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
fn record_outcome(
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
    let written = match outcome {
        Ok(written) => written,
        Err(error) => {
            if matches!(error, SessionError::Gone) {
                state.record_is_gone();
            }
            if let Some(sent) = execution.take_sent().filter(Sent::may_be_written) {
                state.note_attempt(sent);
            }
            state.failed(execution.stored_id.take());
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
            Stage::Destroyed { stored, .. } => StageFacts::Destroyed { stored: stored.is_some() },
        },
        modified: max_age == MaxAge::Changed || view.has_new_data(),
        trigger,
        touch: state.touch,
        request_cookie: state.request_cookie,
        max_age,
        undeliverable: config.secure == Secure::Always && transport == Transport::ProxiedHttp,
        resave: config.policy.resave,
        rolling: config.policy.rolling,
        save_uninitialized: config.policy.save_uninitialized
            && session.request.is_within(&config.cookie.path),
    }
}

async fn reload(session: &Session) -> Result<(), SessionError> {
    let inner = session.inner();
    let _lock = inner.commit_lock.lock().await;
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
    session.state().reloaded(Snapshot { id, signature, record, compare_by, expires }, stage_changes);
    Ok(())
}
