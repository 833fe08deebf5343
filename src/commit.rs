//! What a commit writes, and whether a cookie is due.
//!
//! | session | condition | store | cookie |
//! |---|---|---|---|
//! | destroyed | it was stored, or the request carried a cookie of the name | `destroy` if it was stored | expired |
//! | regenerated | | `create` new, then `destroy` old | set |
//! | cycled | | `create` new, then `destroy_if` old, with fresh data on `Conflict` | set |
//! | new | modified, or `save()`, or `save_uninitialized` within the cookie's path | `create` | set |
//! | new | else | – | – |
//! | existing | modified | `replace`, over fresh data on `Conflict` | set if `rolling`, a max-age, a changed max-age, or an old secret |
//! | existing | untouched, `resave` or `save()` | `replace` | set if `rolling` or an old secret |
//! | existing | untouched, `rolling`, `touch()` or an old secret | `touch` | set if found, and `rolling` or an old secret |
//! | existing | untouched | – | – |
//! | new | the cookie is Secure and the trusted proxy says http | – | – |
//!
//! [`decide`] is that table; [`Job`] carries it out.

#[cfg(test)]
mod tests;

use std::time::SystemTime;

use crate::config::{Secure, Transport};
use crate::error::SessionError;
use crate::guard::SessionGuard;
use crate::held::Held;
use crate::job::{Job, Written};
use crate::prompt;
use crate::session::{self, Session};
use crate::state::{Carried, Issued, Move, Progress, Stage, State};
use crate::store::Fetched;

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Demand {
    Commit,
    /// `save()`: write, changed or not.
    Save,
}

/// What the store is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Write {
    Nothing,
    Destroy,
    Create,
    Move(Move),
    Replace { modified: bool },
    Touch,
}

/// What becomes of the cookie once the store has done it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cookie {
    Keep,
    Set,
    Expire,
}

/// Everything [`decide`] looks at.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Facts {
    pub(crate) stage: StageKind,
    pub(crate) modified: bool,
    pub(crate) demand: Demand,
    pub(crate) touch: bool,
    pub(crate) carried: Carried,
    pub(crate) max_age: MaxAge,
    /// The cookie is Secure, and a trusted proxy says the browser speaks http.
    pub(crate) undeliverable: bool,
    pub(crate) resave: bool,
    pub(crate) rolling: bool,
    pub(crate) save_uninitialized: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StageKind {
    New,
    Live,
    /// Whether something of it is in the store, under the id it is leaving.
    Moved {
        how: Move,
        stored: bool,
    },
    Destroyed {
        stored: bool,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MaxAge {
    None,
    Kept,
    Changed,
}

/// The table of the module documentation.
pub(crate) fn decide(facts: &Facts) -> (Write, Cookie) {
    let saving = facts.demand == Demand::Save;
    let old_secret = facts.carried == Carried::OldSecret;
    let set_if = |due| if due { Cookie::Set } else { Cookie::Keep };
    match facts.stage {
        StageKind::Destroyed { stored: true } => (Write::Destroy, Cookie::Expire),
        StageKind::Destroyed { stored: false } if facts.carried != Carried::No => {
            (Write::Nothing, Cookie::Expire)
        }
        StageKind::Destroyed { stored: false } => (Write::Nothing, Cookie::Keep),
        StageKind::New | StageKind::Moved { stored: false, .. } if facts.undeliverable => {
            (Write::Nothing, Cookie::Keep)
        }
        StageKind::Moved { how, .. } => (Write::Move(how), Cookie::Set),
        StageKind::New if facts.modified || facts.save_uninitialized || saving => {
            (Write::Create, Cookie::Set)
        }
        StageKind::New => (Write::Nothing, Cookie::Keep),
        StageKind::Live if facts.modified => {
            let due = facts.rolling || facts.max_age != MaxAge::None || old_secret;
            (Write::Replace { modified: true }, set_if(due))
        }
        StageKind::Live if facts.resave || saving => {
            (Write::Replace { modified: false }, set_if(facts.rolling || old_secret))
        }
        StageKind::Live if facts.rolling || facts.touch || old_secret => {
            (Write::Touch, set_if(facts.rolling || old_secret))
        }
        StageKind::Live => (Write::Nothing, Cookie::Keep),
    }
}

pub(crate) async fn commit(session: &Session, demand: Demand) -> Result<SessionGuard, SessionError> {
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
    let done = prompt::at_once(job.run(write))?;
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
    let max_age = match (view.new_max_age(config.max_age), view.stored_max_age(config.max_age)) {
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
        resave: config.resave,
        rolling: config.rolling,
        save_uninitialized: config.save_uninitialized && session.request.is_within(&config.cookie.path),
    }
}

pub(crate) async fn reload(session: &Session) -> Result<(), SessionError> {
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
    let expires = seen.after(expires_in.unwrap_or_else(|| config.ttl(record.max_age())));
    session.state().reloaded(Held { id, signature, record, compared, expires });
    Ok(())
}
