//! What carries the decision of a commit out: the calls to the store, and the retries where another request was faster.

use std::hash::{BuildHasher as _, RandomState};
use std::time::{Duration, SystemTime};

use crate::commit::decision::Write;
use crate::config::Inner;
use crate::error::SessionError;
use crate::id::SessionId;
use crate::record::Record;
use crate::request::Transport;
use crate::session::change::Log;
use crate::session::snapshot::Held;
use crate::session::state::{Move, Stage, State};
use crate::session::view::View;
use crate::store::Replaced;
use crate::store::loaded::{Moment, Rewritten};

/// So often a write is tried against other writers, and a new id against taken ones.
const ATTEMPTS: u32 = 64;
const NEW_IDS: u32 = 8;

/// What a session's stage was when its commit began, and what it takes to carry the decision out.
pub(crate) struct Job<'c> {
    config: &'c Inner,
    log: Log,
    /// The id to write under.
    id: Option<SessionId>,
    /// What is in the store: under `id`, or under the id that is left behind.
    held: Option<Held>,
    transport: Transport,
    /// When it began: lives count from then.
    pub(crate) now: SystemTime,
}

/// What came of it.
pub(crate) enum Written {
    Nothing,
    Held(Held),
    Touched(Held),
}

impl<'c> Job<'c> {
    pub(crate) fn new(config: &'c Inner, state: &mut State, transport: Transport) -> Self {
        let (id, held) = match &state.stage {
            Stage::New { id } => (id.clone(), None),
            Stage::Live(held) => (None, Some(held.clone())),
            Stage::Moved { id, from, .. } => (Some(id.clone()), from.as_deref().cloned()),
            Stage::Destroyed { stored } => (None, stored.as_deref().cloned()),
        };
        Self { config, log: state.depart(), id, held, transport, now: SystemTime::now() }
    }

    pub(crate) async fn run(mut self, write: Write) -> Result<Written, SessionError> {
        match (write, self.held.take()) {
            (Write::Nothing, _) => Ok(Written::Nothing),
            (Write::Create, _) => self.create(None).await.map(Written::Held),
            (Write::Move(how), from) => self.relocate(how, from).await.map(Written::Held),
            (Write::Destroy, Some(held)) => {
                let _lane = self.config.lane(&held.id, &held.compared).await;
                self.config.store.destroy(&held.id).await?;
                Ok(Written::Nothing)
            }
            (Write::Replace { modified }, Some(held)) => match self.replace(held).await {
                // Nothing of this request is lost with it.
                Err(SessionError::Gone) if !modified => Ok(Written::Nothing),
                written => written.map(Written::Held),
            },
            (Write::Touch, Some(held)) => {
                let ttl = self.config.policy.ttl(held.record.max_age());
                let _lane = self.config.lane(&held.id, &held.compared).await;
                let found = self.config.store.touch(&held.id, ttl).await?;
                Ok(if found { Written::Touched(held.extended(self.now, ttl)) } else { Written::Nothing })
            }
            // `decide` asks for these of a stored session only.
            (Write::Destroy | Write::Replace { .. } | Write::Touch, None) => Ok(Written::Nothing),
        }
    }

    /// The record to be stored: what this request did, over `base`.
    fn compose(&self, base: Option<&Record>) -> Result<Record, SessionError> {
        let draft = View { base, log: &self.log }
            .replay(self.config.templates.get(self.transport), self.config.policy.max_age)?;
        Ok(draft.compose(self.now))
    }

    /// A record that was stored under a new id.
    fn born(&self, id: SessionId, record: Record) -> Held {
        let ttl = self.config.policy.ttl(record.max_age());
        let (compared, expires) = (self.config.store.compared(), Moment::Date(self.now).after(ttl));
        Held { id, signature: None, record, compared, expires }
    }

    /// A new record; another id is minted where one is taken.
    async fn create(&self, base: Option<&Record>) -> Result<Held, SessionError> {
        let record = self.compose(base)?;
        let ttl = self.config.policy.ttl(record.max_age());
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
        let mut lane = self.config.lane(&held.id, &held.compared).await;
        for attempt in 0..ATTEMPTS {
            let record = self.compose(Some(&held.record))?;
            let ttl = self.config.policy.ttl(record.max_age());
            match self.config.store.replace(&held.id, (&held.record, &held.compared), &record, ttl).await? {
                Rewritten::Done(version) => {
                    held.rewritten(record, version);
                    return Ok(held.extended(self.now, ttl));
                }
                Rewritten::Gone => return Err(SessionError::Gone),
                Rewritten::Conflict(fresh) => held.refresh(fresh),
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
            let _lane = self.config.lane(&old.id, &old.compared).await;
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
        self.config.store.set(&id, &record, self.config.policy.ttl(record.max_age())).await?;
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
