//! What a request did goes to the store, and the cookie into a guard.

pub(crate) mod decision;
mod execution;
pub(crate) mod guard;
#[cfg(test)]
mod tests;

use std::time::SystemTime;

use crate::commit::decision::{CookieDecision, Facts, MaxAge, StageFacts, Trigger, Write, decide};
use crate::commit::execution::{CommitOutcome, Execution};
use crate::commit::guard::SessionGuard;
use crate::cookie::attributes::Secure;
use crate::error::SessionError;
use crate::request::Transport;
use crate::session::snapshot::Snapshot;
use crate::session::state::{CommitState, CookieAction, RequestCookie, Stage, State};
use crate::session::{Session, SessionInner};
use crate::store::loaded::Loaded;

impl Session {
    /// Reads the session anew from the store; what this request did to it is dropped.
    ///
    /// # Errors
    /// `Gone`, when the store does not have it (any more); `Store`; `Destroyed`.
    pub async fn reload(&self) -> Result<(), SessionError> {
        reload(self).await
    }

    /// Writes now, changed or not. The cookie is still to come from [`commit`](Self::commit).
    ///
    /// # Errors
    /// Those of [`commit`](Self::commit); `Destroyed`.
    pub async fn save(&self) -> Result<(), SessionError> {
        self.writable().map(drop)?;
        commit(self, Trigger::Save).await.map(drop)
    }

    /// Writes what this request did, and returns the guard that sets the cookie: make it a part of the response.
    ///
    /// What is written and whether a cookie is due follows the table in the crate's documentation. With nothing new it
    /// does nothing; the guard then sets the cookie that an earlier commit of this request decided on.
    ///
    /// # Errors
    /// `Store`; `Gone`, when the session ended while this request was under way; `Conflict`, when retries are used up;
    /// `Decode` or `Encode` from an [`update`](Self::update) that ran again; `Cookie`.
    pub async fn commit(&self) -> Result<SessionGuard, SessionError> {
        commit(self, Trigger::Commit).await
    }
}

async fn commit(session: &Session, trigger: Trigger) -> Result<SessionGuard, SessionError> {
    match try_commit_now(session, trigger) {
        Some(done) => done,
        // On the heap, because handlers carry the future of a commit in theirs.
        None => Box::pin(commit_when_free(session, trigger)).await,
    }
}

/// A commit that nobody has to wait for: one with nothing to write, or to a store that answers when it is asked.
pub(crate) fn try_commit_now(
    session: &Session,
    trigger: Trigger,
) -> Option<Result<SessionGuard, SessionError>> {
    let inner = session.inner();
    let mut state = session.state();
    // Another commit is under way, and its cookie is to be waited for.
    if state.is_in_flight() {
        return None;
    }
    let (write, cookie) = match decide_next(inner, &state, trigger) {
        None => return Some(guard(inner, &mut state, None)),
        Some((Write::Nothing, CookieDecision::Keep)) => {
            state.commit_state = CommitState::Running;
            state.end_commit(None);
            return Some(guard(inner, &mut state, None));
        }
        // It writes twice, and is not to be dropped in between.
        Some((Write::NewId(_), _)) => return None,
        Some(due) => due,
    };
    let config = inner.config.inner();
    let _turn = inner.committing.try_lock().ok()?;
    let (done, now) = config.store.now_or_never(async {
        let execution = Execution::new(config, &mut state, inner.transport);
        drop(state);
        let now = execution.now;
        (execution.run(write).await, now)
    })?;
    Some(record_outcome(session, write, cookie, done, now))
}

async fn commit_when_free(session: &Session, trigger: Trigger) -> Result<SessionGuard, SessionError> {
    let inner = session.inner();
    let _turn = inner.committing.lock().await;
    let (execution, write, cookie) = {
        let mut state = session.state();
        let Some((write, cookie)) = decide_next(inner, &state, trigger) else {
            return guard(inner, &mut state, None);
        };
        (Execution::new(inner.config.inner(), &mut state, inner.transport), write, cookie)
    };
    let now = execution.now;
    let done = execution.run(write).await;
    record_outcome(session, write, cookie, done, now)
}

/// What is to be done; `None`: nothing since the last commit.
fn decide_next(session: &SessionInner, state: &State, trigger: Trigger) -> Option<(Write, CookieDecision)> {
    if state.commit_state == CommitState::Done && trigger == Trigger::Commit {
        return None;
    }
    let facts = facts(state, session, trigger);
    if facts.undeliverable && matches!(facts.stage, StageFacts::New | StageFacts::NewId { stored: false, .. })
    {
        session.config.inner().warn_undeliverable();
    }
    Some(decide(&facts))
}

/// What was done goes into the state, and the cookie into the guard.
fn record_outcome(
    session: &Session,
    write: Write,
    cookie: CookieDecision,
    done: Result<CommitOutcome, SessionError>,
    now: SystemTime,
) -> Result<SessionGuard, SessionError> {
    let mut state = session.state();
    let written = done.inspect_err(|_| state.failed())?;
    let cookie_action = match (cookie, &written) {
        (CookieDecision::Keep, _) | (CookieDecision::Set, CommitOutcome::Nothing) => None,
        (CookieDecision::Set, CommitOutcome::Written(_) | CommitOutcome::Touched(_)) => {
            Some(CookieAction::Set)
        }
        (CookieDecision::Expire, _) => Some(CookieAction::Expire),
    };
    if cookie_action == Some(CookieAction::Set) {
        state.request_cookie = RequestCookie::Present;
    }
    match written {
        CommitOutcome::Written(snapshot) => state.finish_write(snapshot),
        CommitOutcome::Touched(snapshot) => state.expiry_extended(snapshot.expires),
        CommitOutcome::Nothing if write == Write::Destroy => state.stage = Stage::Destroyed { stored: None },
        CommitOutcome::Nothing => {}
    }
    state.end_commit(cookie_action);
    guard(session.inner(), &mut state, Some(now))
}

/// The guard for what the commits of this request have decided so far.
pub(crate) fn guard(
    session: &SessionInner,
    state: &mut State,
    now: Option<SystemTime>,
) -> Result<SessionGuard, SessionError> {
    let config = session.config.inner();
    let line = match state.cookie_action {
        None => return Ok(SessionGuard::new(None)),
        Some(CookieAction::Expire) => config.set_cookie.expire(session.transport)?,
        Some(CookieAction::Set) => {
            // What a commit set the cookie for is still there, or this request has ended it since.
            let Some(snapshot) = state.stored() else { return Ok(SessionGuard::new(None)) };
            let signature = *snapshot.signature.get_or_insert_with(|| config.signer.sign(&snapshot.id));
            let max_age = snapshot.record.max_age();
            let now = now.unwrap_or_else(|| config.clock.now());
            config.set_cookie.set((&snapshot.id, &signature), session.transport, max_age, now)?
        }
    };
    Ok(SessionGuard::new(state.cookie_action.map(|cookie_action| (cookie_action, line))))
}

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
            Stage::Destroyed { stored } => StageFacts::Destroyed { stored: stored.is_some() },
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
    let _turn = inner.committing.lock().await;
    let (id, signature) = match &session.state().stage {
        Stage::Destroyed { .. } => return Err(SessionError::Destroyed),
        Stage::New { .. } | Stage::NewId { replaces: None, .. } => return Err(SessionError::Gone),
        Stage::Existing(snapshot) => (snapshot.id.clone(), snapshot.signature),
        Stage::NewId { replaces: Some(snapshot), .. } => (snapshot.id.clone(), snapshot.signature),
    };
    let config = inner.config.inner();
    let fetched = config.store.get(&id, &config.clock).await?.ok_or(SessionError::Gone)?;
    let Loaded { record, compare_by, expires_in, seen } = fetched;
    let expires = seen.after(expires_in.unwrap_or_else(|| config.policy.ttl(record.max_age())));
    session.state().reloaded(Snapshot { id, signature, record, compare_by, expires });
    Ok(())
}
