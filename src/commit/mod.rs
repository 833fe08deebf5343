//! What a request did goes to the store, and the cookie into a guard.

pub(crate) mod decision;
mod execution;
pub(crate) mod guard;
#[cfg(test)]
mod tests;

use std::time::SystemTime;

use futures_util::FutureExt as _;

use crate::commit::decision::{Cookie, Demand, Facts, MaxAge, StageKind, Write, decide};
use crate::commit::execution::{Job, Written};
use crate::commit::guard::SessionGuard;
use crate::cookie::attributes::Secure;
use crate::error::SessionError;
use crate::request::Transport;
use crate::session::snapshot::Held;
use crate::session::state::{Carried, Issued, Progress, Stage, State};
use crate::session::{self, Session};
use crate::store::loaded::Fetched;

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
        commit(self, Demand::Save).await.map(drop)
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
        commit(self, Demand::Commit).await
    }
}

async fn commit(session: &Session, demand: Demand) -> Result<SessionGuard, SessionError> {
    match at_once(session, demand) {
        Some(done) => done,
        // On the heap, because handlers carry the future of a commit in theirs.
        None => Box::pin(carry_out(session, demand)).await,
    }
}

/// A commit that nobody has to wait for: one with nothing to write, or to a store that answers when it is asked.
pub(crate) fn at_once(session: &Session, demand: Demand) -> Option<Result<SessionGuard, SessionError>> {
    let inner = session.inner();
    let mut state = session.state();
    // Another commit is under way, and its cookie is to be waited for.
    if state.is_in_flight() {
        return None;
    }
    let (write, cookie) = match due(inner, &state, demand) {
        None => return Some(guard(inner, &mut state, SystemTime::now)),
        Some((Write::Nothing, Cookie::Keep)) => {
            state.progress = Progress::Underway;
            state.settle(None);
            return Some(guard(inner, &mut state, SystemTime::now));
        }
        // It writes twice, and is not to be dropped in between.
        Some((Write::Move(_), _)) => return None,
        Some(due) => due,
    };
    let config = inner.config.inner();
    if !config.store.is_prompt() {
        return None;
    }
    let _turn = inner.committing.try_lock().ok()?;
    let job = Job::new(config, &mut state, inner.transport);
    drop(state);
    let now = job.now;
    let done = job.run(write).now_or_never()?;
    Some(finish(session, write, cookie, done, now))
}

async fn carry_out(session: &Session, demand: Demand) -> Result<SessionGuard, SessionError> {
    let inner = session.inner();
    let _turn = inner.committing.lock().await;
    let (job, write, cookie) = {
        let mut state = session.state();
        let Some((write, cookie)) = due(inner, &state, demand) else {
            return guard(inner, &mut state, SystemTime::now);
        };
        (Job::new(inner.config.inner(), &mut state, inner.transport), write, cookie)
    };
    let now = job.now;
    let done = job.run(write).await;
    finish(session, write, cookie, done, now)
}

/// What is to be done; `None`: nothing since the last commit.
fn due(session: &session::Inner, state: &State, demand: Demand) -> Option<(Write, Cookie)> {
    if state.progress == Progress::Settled && demand == Demand::Commit {
        return None;
    }
    let facts = facts(state, session, demand);
    if facts.undeliverable && matches!(facts.stage, StageKind::New | StageKind::Moved { stored: false, .. }) {
        session.config.inner().warn_undeliverable();
    }
    Some(decide(&facts))
}

/// What was done goes into the state, and the cookie into the guard.
fn finish(
    session: &Session,
    write: Write,
    cookie: Cookie,
    done: Result<Written, SessionError>,
    now: SystemTime,
) -> Result<SessionGuard, SessionError> {
    let mut state = session.state();
    let written = done.inspect_err(|_| state.failed())?;
    let issued = match (cookie, &written) {
        (Cookie::Keep, _) | (Cookie::Set, Written::Nothing) => None,
        (Cookie::Set, Written::Held(_) | Written::Touched(_)) => Some(Issued::Set),
        (Cookie::Expire, _) => Some(Issued::Expire),
    };
    if issued == Some(Issued::Set) {
        state.cookie = Carried::Yes;
    }
    match written {
        Written::Held(held) => state.arrive(held),
        Written::Touched(held) => state.touched(held.expires),
        Written::Nothing if write == Write::Destroy => state.stage = Stage::Destroyed { stored: None },
        Written::Nothing => {}
    }
    state.settle(issued);
    guard(session.inner(), &mut state, || now)
}

/// The guard for what the commits of this request have decided so far.
pub(crate) fn guard(
    session: &session::Inner,
    state: &mut State,
    now: impl FnOnce() -> SystemTime,
) -> Result<SessionGuard, SessionError> {
    let config = session.config.inner();
    let line = match state.issued {
        None => return Ok(SessionGuard::new(None)),
        Some(Issued::Expire) => config.set_cookie.expire(session.transport)?,
        Some(Issued::Set) => {
            // What a commit set the cookie for is still there, or this request has ended it since.
            let Some(held) = state.stored() else { return Ok(SessionGuard::new(None)) };
            let signature = *held.signature.get_or_insert_with(|| config.signer.sign(&held.id));
            let max_age = held.record.max_age();
            config.set_cookie.set((&held.id, &signature), session.transport, max_age, now())?
        }
    };
    Ok(SessionGuard::new(state.issued.map(|issued| (issued, line))))
}

fn facts(state: &State, session: &session::Inner, demand: Demand) -> Facts {
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
            Stage::New { .. } => StageKind::New,
            Stage::Live(_) => StageKind::Live,
            Stage::Moved { how, from, .. } => StageKind::Moved { how: *how, stored: from.is_some() },
            Stage::Destroyed { stored } => StageKind::Destroyed { stored: stored.is_some() },
        },
        modified: max_age == MaxAge::Changed || view.has_new_data(),
        demand,
        touch: state.touch,
        carried: state.cookie,
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
        Stage::New { .. } | Stage::Moved { from: None, .. } => return Err(SessionError::Gone),
        Stage::Live(held) => (held.id.clone(), held.signature),
        Stage::Moved { from: Some(held), .. } => (held.id.clone(), held.signature),
    };
    let config = inner.config.inner();
    let fetched = config.store.get(&id).await?.ok_or(SessionError::Gone)?;
    let Fetched { record, compared, expires_in, seen } = fetched;
    let expires = seen.after(expires_in.unwrap_or_else(|| config.policy.ttl(record.max_age())));
    session.state().reloaded(Held { id, signature, record, compared, expires });
    Ok(())
}
