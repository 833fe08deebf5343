//! What carries the decision of a commit out: the calls to the store, and the retries where another request was faster.

use std::time::{Duration, SystemTime};

use crate::commit::decision::Write;
use crate::config::ConfigInner;
use crate::error::SessionError;
use crate::id::SessionId;
use crate::record::Record;
use crate::request::Transport;
use crate::session::change::Log;
use crate::session::snapshot::Snapshot;
use crate::session::state::{NewId, Stage, State};
use crate::session::view::View;
use crate::store::Replaced;
use crate::store::loaded::{Expiry, ReplaceOutcome};

/// So often a write is tried against other writers, and a new id against taken ones.
const ATTEMPTS: u32 = 64;
const NEW_IDS: u32 = 8;

/// What a session's stage was when its commit began, and what it takes to carry the decision out.
pub(crate) struct Execution<'c> {
    config: &'c ConfigInner,
    log: Log,
    /// The id to write under.
    id: Option<SessionId>,
    /// What is in the store: under `id`, or under the id that is left behind.
    snapshot: Option<Snapshot>,
    transport: Transport,
    /// When it began: lives count from then.
    pub(crate) now: SystemTime,
}

/// What came of it.
pub(crate) enum CommitOutcome {
    Nothing,
    Written(Snapshot),
    Touched(Snapshot),
}

impl<'c> Execution<'c> {
    pub(crate) fn new(config: &'c ConfigInner, state: &mut State, transport: Transport) -> Self {
        let (id, snapshot) = match &state.stage {
            Stage::New { id } => (id.clone(), None),
            Stage::Existing(snapshot) => (None, Some(snapshot.clone())),
            Stage::NewId { id, replaces, .. } => (Some(id.clone()), replaces.as_deref().cloned()),
            Stage::Destroyed { stored } => (None, stored.as_deref().cloned()),
        };
        Self { config, log: state.begin_commit(), id, snapshot, transport, now: config.clock.now() }
    }

    pub(crate) async fn run(mut self, write: Write) -> Result<CommitOutcome, SessionError> {
        match (write, self.snapshot.take()) {
            (Write::Nothing, _) => Ok(CommitOutcome::Nothing),
            (Write::Create, _) => self.create(None).await.map(CommitOutcome::Written),
            (Write::NewId(how), from) => self.change_id(how, from).await.map(CommitOutcome::Written),
            (Write::Destroy, Some(snapshot)) => {
                let _lock = self.config.lock_unless_atomic(&snapshot.id, &snapshot.compare_by).await;
                self.config.store.destroy(&snapshot.id).await?;
                Ok(CommitOutcome::Nothing)
            }
            (Write::Replace { modified }, Some(snapshot)) => match self.replace(snapshot).await {
                // Nothing of this request is lost with it.
                Err(SessionError::Gone) if !modified => Ok(CommitOutcome::Nothing),
                written => written.map(CommitOutcome::Written),
            },
            (Write::Touch, Some(snapshot)) => {
                let ttl = self.config.policy.ttl(snapshot.record.max_age());
                let _lock = self.config.lock_unless_atomic(&snapshot.id, &snapshot.compare_by).await;
                let found = self.config.store.touch(&snapshot.id, ttl).await?;
                Ok(if found {
                    CommitOutcome::Touched(snapshot.extended(self.now, ttl))
                } else {
                    CommitOutcome::Nothing
                })
            }
            // `decide` asks for these of a stored session only.
            (Write::Destroy | Write::Replace { .. } | Write::Touch, None) => Ok(CommitOutcome::Nothing),
        }
    }

    /// The record to be stored: what this request did, over `base`.
    fn compose(&self, base: Option<&Record>) -> Result<Record, SessionError> {
        let draft = View { base, log: &self.log }
            .replay(self.config.templates.get(self.transport), self.config.policy.max_age)?;
        Ok(draft.compose(self.now))
    }

    /// A record that was stored under a new id.
    fn created(&self, id: SessionId, record: Record) -> Snapshot {
        let ttl = self.config.policy.ttl(record.max_age());
        let (compare_by, expires) = (self.config.store.compare_by(), Expiry::Wall(self.now).after(ttl));
        Snapshot { id, signature: None, record, compare_by, expires }
    }

    /// A new record; another id is minted where one is taken.
    async fn create(&self, base: Option<&Record>) -> Result<Snapshot, SessionError> {
        let record = self.compose(base)?;
        let ttl = self.config.policy.ttl(record.max_age());
        let mut id = self.id.clone().unwrap_or_else(|| self.config.new_id());
        for _ in 0..NEW_IDS {
            if self.config.store.create(&id, &record, ttl).await? {
                return Ok(self.created(id, record));
            }
            id = self.config.new_id();
        }
        tracing::error!("every id that genid gave is taken");
        Err(SessionError::Conflict)
    }

    async fn replace(&self, mut snapshot: Snapshot) -> Result<Snapshot, SessionError> {
        let mut lock = self.config.lock_unless_atomic(&snapshot.id, &snapshot.compare_by).await;
        for attempt in 0..ATTEMPTS {
            let record = self.compose(Some(&snapshot.record))?;
            let ttl = self.config.policy.ttl(record.max_age());
            match self
                .config
                .store
                .replace(&snapshot.id, (&snapshot.record, &snapshot.compare_by), &record, ttl)
                .await?
            {
                ReplaceOutcome::Done(version) => {
                    snapshot.rewritten(record, version);
                    return Ok(snapshot.extended(self.now, ttl));
                }
                ReplaceOutcome::Gone => return Err(SessionError::Gone),
                ReplaceOutcome::Conflict(fresh) => snapshot.refresh(fresh),
            }
            // From now on the rivals in this process take turns; those in others are waited out.
            if lock.is_none() {
                lock = Some(self.config.locks.lock(&snapshot.id).await);
            } else {
                backoff(attempt).await;
            }
        }
        Err(SessionError::Conflict)
    }

    /// New record first, old one after: a failure in between leaves the old session as it was.
    async fn change_id(&self, how: NewId, from: Option<Snapshot>) -> Result<Snapshot, SessionError> {
        let kept = from.as_ref().filter(|_| how == NewId::Cycle).map(|old| &old.record);
        let new = self.create(kept).await?;
        let Some(old) = from else { return Ok(new) };
        let id = new.id.clone();
        let moved = {
            let _lock = self.config.lock_unless_atomic(&old.id, &old.compare_by).await;
            match how {
                NewId::Regenerate => {
                    self.config.store.destroy(&old.id).await.map(|()| new).map_err(Into::into)
                }
                NewId::Cycle => self.remove_old(new, old).await,
            }
        };
        if moved.is_err() {
            // Nobody knows the new id. Where this fails as well, the record leaves when it expires.
            let _ = self.config.store.destroy(&id).await;
        }
        moved
    }

    /// Removes the old record, bringing along what others wrote to it meanwhile.
    async fn remove_old(&self, mut new: Snapshot, mut old: Snapshot) -> Result<Snapshot, SessionError> {
        for attempt in 0..ATTEMPTS {
            match self.config.store.destroy_if(&old.id, &old.expected()).await? {
                Replaced::Done(_) => return Ok(new),
                Replaced::Conflict(fresh) => {
                    old.refresh(fresh);
                    new = self.rewrite_new(new.id, Some(&old.record)).await?;
                    backoff(attempt).await;
                }
                // Logged out meanwhile: nothing of the old record lives on.
                Replaced::Gone => return self.rewrite_new(new.id, None).await,
            }
        }
        Err(SessionError::Conflict)
    }

    /// Writes the new record again. Its id was never sent, so nobody else writes to it.
    async fn rewrite_new(&self, id: SessionId, base: Option<&Record>) -> Result<Snapshot, SessionError> {
        let record = self.compose(base)?;
        self.config.store.set(&id, &record, self.config.policy.ttl(record.max_age())).await?;
        Ok(self.created(id, record))
    }
}

/// Waits a random while, longer with each attempt after the first few.
async fn backoff(attempt: u32) {
    if attempt < 3 {
        return;
    }
    let most = 1_u64 << attempt.min(9);
    tokio::time::sleep(Duration::from_micros(fastrand::u64(..most * 100))).await;
}
