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
//! [`decide`] is that table; the rest carries it out.

use std::hash::{BuildHasher as _, RandomState};
use std::time::{Duration, SystemTime};

use crate::changes::{Log, View};
use crate::config::{Inner, Secure, Transport};
use crate::error::SessionError;
use crate::guard::SessionGuard;
use crate::id::SessionId;
use crate::record::Record;
use crate::session::{self, Session};
use crate::state::{Carried, Held, Issued, Move, Progress, Stage, State};
use crate::store::{Replaced, Stored};

/// So often a write is tried against other writers, and a new id against taken ones.
const ATTEMPTS: u32 = 64;
const NEW_IDS: u32 = 8;

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
    let inner = session.inner();
    let _turn = inner.committing.lock().await;
    let Some((job, write, cookie)) = begin(session, demand) else {
        return Ok(SessionGuard::new(inner.config.clone(), session.state().issued.clone()));
    };
    let done = match write {
        Write::Nothing => Ok(Written::Nothing),
        // On the heap, because handlers carry the future of a commit in theirs, and most commits write nothing.
        _ => Box::pin(job.run(write)).await,
    };
    finish(session, write, cookie, done)
}

/// What is to be done; `None`: nothing since the last commit.
fn begin(session: &Session, demand: Demand) -> Option<(Job<'_>, Write, Cookie)> {
    let inner = session.inner();
    let config = inner.config.inner();
    let mut state = session.state();
    if state.progress == Progress::Settled && demand == Demand::Commit {
        return None;
    }
    let facts = facts(&state, inner, demand);
    if facts.undeliverable && matches!(facts.stage, StageKind::New | StageKind::Moved { stored: false, .. }) {
        config.warn_undeliverable();
    }
    let (write, cookie) = decide(&facts);
    Some((Job::new(config, &mut state, inner.transport), write, cookie))
}

/// What was done goes into the state, and the cookie into the guard.
fn finish(
    session: &Session,
    write: Write,
    cookie: Cookie,
    done: Result<Written, SessionError>,
) -> Result<SessionGuard, SessionError> {
    let inner = session.inner();
    let config = inner.config.inner();
    let mut state = session.state();
    let written = match done {
        Ok(written) => written,
        Err(error) => {
            state.progress = Progress::Failed;
            return Err(error);
        }
    };
    let issued = match (cookie, &written) {
        (Cookie::Keep, _) | (Cookie::Set, Written::Nothing) => None,
        (Cookie::Set, Written::Held(held) | Written::Touched(held)) => {
            let max_age = held.record.max_age();
            let signature = held.signature.unwrap_or_else(|| config.signer.sign(&held.id));
            let line =
                config.set_cookie.set((&held.id, &signature), inner.transport, max_age, SystemTime::now())?;
            Some(Issued::Set(line))
        }
        (Cookie::Expire, _) => Some(Issued::Expire(config.set_cookie.expire(inner.transport)?)),
    };
    if matches!(issued, Some(Issued::Set(_))) {
        state.cookie = Carried::Yes;
    }
    match written {
        Written::Held(held) => state.arrive(held),
        Written::Touched(held) => state.touched(held),
        Written::Nothing if write == Write::Destroy => state.stage = Stage::Destroyed { stored: None },
        Written::Nothing => {}
    }
    state.settle(issued);
    Ok(SessionGuard::new(inner.config.clone(), state.issued.clone()))
}

fn facts(state: &State, session: &session::Inner, demand: Demand) -> Facts {
    let (config, transport) = (session.config.inner(), session.transport);
    let view = state.view();
    let max_age = match view.max_age(config.max_age) {
        _ if view.max_age_differs(config.max_age) => MaxAge::Changed,
        Some(_) => MaxAge::Kept,
        None => MaxAge::None,
    };
    Facts {
        stage: match &state.stage {
            Stage::New { .. } => StageKind::New,
            Stage::Live(_) => StageKind::Live,
            Stage::Moved { how, from, .. } => StageKind::Moved { how: *how, stored: from.is_some() },
            Stage::Destroyed { stored } => StageKind::Destroyed { stored: stored.is_some() },
        },
        modified: view.is_modified(config.max_age),
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

/// What a session's stage was when its commit began, and what it takes to carry the decision out.
struct Job<'c> {
    config: &'c Inner,
    log: Log,
    /// The id to write under.
    id: Option<SessionId>,
    /// What is in the store: under `id`, or under the id that is left behind.
    held: Option<Held>,
    transport: Transport,
}

/// What came of it.
enum Written {
    Nothing,
    Held(Held),
    Touched(Held),
}

impl<'c> Job<'c> {
    fn new(config: &'c Inner, state: &mut State, transport: Transport) -> Self {
        let (id, held) = match &state.stage {
            Stage::New { id } => (id.clone(), None),
            Stage::Live(held) => (None, Some(held.clone())),
            Stage::Moved { id, from, .. } => (Some(id.clone()), from.clone()),
            Stage::Destroyed { stored } => (None, stored.clone()),
        };
        Self { config, log: state.depart(), id, held, transport }
    }

    async fn run(self, write: Write) -> Result<Written, SessionError> {
        match (write, &self.held) {
            (Write::Nothing, _) => Ok(Written::Nothing),
            (Write::Create, _) => self.create(None).await.map(Written::Held),
            (Write::Move(how), from) => self.relocate(how, from.clone()).await.map(Written::Held),
            (Write::Destroy, Some(held)) => {
                let _lane = self.lane(held).await;
                self.config.store.destroy(&held.id).await?;
                Ok(Written::Nothing)
            }
            (Write::Replace { modified }, Some(held)) => match self.replace(held.clone()).await {
                // Nothing of this request is lost with it.
                Err(SessionError::Gone) if !modified => Ok(Written::Nothing),
                written => written.map(Written::Held),
            },
            (Write::Touch, Some(held)) => {
                let ttl = self.config.ttl(held.record.max_age());
                let _lane = self.lane(held).await;
                let found = self.config.store.touch(&held.id, ttl).await?;
                Ok(if found { Written::Touched(held.clone().extended(ttl)) } else { Written::Nothing })
            }
            // `decide` asks for these of a stored session only.
            (Write::Destroy | Write::Replace { .. } | Write::Touch, None) => Ok(Written::Nothing),
        }
    }

    /// Where the store does not compare versions by itself, the requests for a record take turns.
    async fn lane(&self, held: &Held) -> Option<tokio::sync::MutexGuard<'c, ()>> {
        match held.version {
            Some(_) => None,
            None => Some(self.config.lanes.enter(&held.id).await),
        }
    }

    /// The record to be stored: what this request did, over `base`.
    fn compose(&self, base: Option<&Record>) -> Result<Record, SessionError> {
        let draft = View { base, log: &self.log }
            .replay(self.config.template(self.transport), self.config.max_age)?;
        Ok(draft.compose(SystemTime::now()))
    }

    /// A record that was stored under a new id.
    fn born(&self, id: SessionId, record: Record) -> Held {
        let ttl = self.config.ttl(record.max_age());
        Held::new(id, None, Stored::from(record), ttl)
    }

    /// A new record; another id is minted where one is taken.
    async fn create(&self, base: Option<&Record>) -> Result<Held, SessionError> {
        let record = self.compose(base)?;
        let ttl = self.config.ttl(record.max_age());
        let mut id = self.id.clone().unwrap_or_else(|| self.config.mint());
        for _ in 0..NEW_IDS {
            if self.config.store.create(&id, &record, ttl).await? {
                return Ok(self.born(id, record));
            }
            id = self.config.mint();
        }
        tracing::error!("every id that genid gave is taken");
        Err(SessionError::Conflict)
    }

    async fn replace(&self, mut held: Held) -> Result<Held, SessionError> {
        let mut lane = self.lane(&held).await;
        for attempt in 0..ATTEMPTS {
            let record = self.compose(Some(&held.record))?;
            let ttl = self.config.ttl(record.max_age());
            match self.config.store.replace(&held.id, &held.expected(), &record, ttl).await? {
                Replaced::Done(version) => {
                    let version = held.version.is_some().then_some(version);
                    return Ok(Held { record, version, ..held }.extended(ttl));
                }
                Replaced::Gone => return Err(SessionError::Gone),
                Replaced::Conflict(fresh) => held.refresh(fresh),
            }
            // From now on the rivals in this process take turns; those in others are waited out.
            if lane.is_none() {
                lane = Some(self.config.lanes.enter(&held.id).await);
            } else {
                pause(attempt).await;
            }
        }
        Err(SessionError::Conflict)
    }

    /// New record first, old one after: a failure in between leaves the old session as it was.
    async fn relocate(&self, how: Move, from: Option<Held>) -> Result<Held, SessionError> {
        let kept = from.as_ref().filter(|_| how == Move::Cycle).map(|old| &old.record);
        let new = self.create(kept).await?;
        let Some(old) = from else { return Ok(new) };
        let id = new.id.clone();
        let moved = {
            let _lane = self.lane(&old).await;
            match how {
                Move::Regenerate => {
                    self.config.store.destroy(&old.id).await.map(|()| new).map_err(Into::into)
                }
                Move::Cycle => self.follow(new, old).await,
            }
        };
        if moved.is_err() {
            // Nobody knows the new id. Where this fails as well, the record leaves when it expires.
            let _ = self.config.store.destroy(&id).await;
        }
        moved
    }

    /// Removes the old record, bringing along what others wrote to it meanwhile.
    async fn follow(&self, mut new: Held, mut old: Held) -> Result<Held, SessionError> {
        for attempt in 0..ATTEMPTS {
            match self.config.store.destroy_if(&old.id, &old.expected()).await? {
                Replaced::Done(_) => return Ok(new),
                Replaced::Conflict(fresh) => {
                    old.refresh(fresh);
                    new = self.rewrite(new.id, Some(&old.record)).await?;
                    pause(attempt).await;
                }
                // Logged out meanwhile: nothing of the old record lives on.
                Replaced::Gone => return self.rewrite(new.id, None).await,
            }
        }
        Err(SessionError::Conflict)
    }

    /// Writes the new record again. Its id was never sent, so nobody else writes to it.
    async fn rewrite(&self, id: SessionId, base: Option<&Record>) -> Result<Held, SessionError> {
        let record = self.compose(base)?;
        self.config.store.set(&id, &record, self.config.ttl(record.max_age())).await?;
        Ok(self.born(id, record))
    }
}

/// Waits a random while, longer with each attempt after the first few.
async fn pause(attempt: u32) {
    if attempt < 3 {
        return;
    }
    let most = 1_u64 << attempt.min(9);
    let jitter = RandomState::new().hash_one(attempt) % (most * 100);
    tokio::time::sleep(Duration::from_micros(jitter)).await;
}

pub(crate) async fn reload(session: &Session) -> Result<(), SessionError> {
    let inner = session.inner();
    let _turn = inner.committing.lock().await;
    let (id, signature) = match &session.state().stage {
        Stage::Destroyed { .. } => return Err(SessionError::Destroyed),
        Stage::New { .. } | Stage::Moved { from: None, .. } => return Err(SessionError::Gone),
        Stage::Live(held) | Stage::Moved { from: Some(held), .. } => (held.id.clone(), held.signature),
    };
    let config = inner.config.inner();
    let stored = config.store.get(&id).await?.ok_or(SessionError::Gone)?;
    let ttl = config.ttl(stored.record.max_age());
    session.state().reloaded(Held::new(id, signature, stored, ttl));
    Ok(())
}
