//! [`Execution`]: makes a commit's calls to the store, and retries where another request has written the
//! record first.

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

/// How many times a write is attempted while other requests keep writing the record first. 64 attempts are
/// enough for 200 parallel updates of one key (the check `no_update_is_lost` of the feature `testing`).
const ATTEMPTS: u32 = 64;

/// How many ids are tried for a new record. A second one is needed only when `genid` returns an id that is
/// taken.
const NEW_IDS: u32 = 8;

/// A running commit: a copy of the session's state at its start, so that no lock on the state is held while
/// the store works.
pub(crate) struct Execution<'c> {
    config: &'c ConfigInner,
    /// The changes to write.
    log: Log,
    /// The id of the new record, if the session already has one.
    id: Option<SessionId>,
    /// The record in the store: the one to write to, or the old one when the id changes.
    snapshot: Option<Snapshot>,
    transport: Transport,
    /// When the commit began. The new expiry counts from here.
    pub(crate) now: SystemTime,
}

/// What a commit has done in the store.
pub(crate) enum CommitOutcome {
    /// No record was written or touched.
    Nothing,
    Written(Snapshot),
    Touched(Snapshot),
}

impl<'c> Execution<'c> {
    /// Begins the commit in `state`, and copies from it what the calls to the store need.
    pub(crate) fn new(config: &'c ConfigInner, state: &mut State, transport: Transport) -> Self {
        let (id, snapshot) = match &state.stage {
            Stage::New { id } => (id.clone(), None),
            Stage::Existing(snapshot) => (None, Some(snapshot.clone())),
            Stage::NewId { id, replaces, .. } => (Some(id.clone()), replaces.as_deref().cloned()),
            Stage::Destroyed { stored } => (None, stored.as_deref().cloned()),
        };
        Self { config, log: state.begin_commit(), id, snapshot, transport, now: config.clock.now() }
    }

    /// Makes the calls to the store that the decision asks for.
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
                // The record is gone, but this request had no change to lose.
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
            (Write::Destroy | Write::Replace { .. } | Write::Touch, None) => {
                // Invariant: `decide` asks for these writes only when the stage has a snapshot.
                debug_assert!(false, "a write to a record that is not in the store");
                Ok(CommitOutcome::Nothing)
            }
        }
    }

    /// The record to be stored: the changes of this request, applied to `base`.
    fn compose(&self, base: Option<&Record>) -> Result<Record, SessionError> {
        let draft = View { base, log: &self.log }
            .replay(self.config.templates.get(self.transport), self.config.policy.max_age)?;
        let record = draft.compose(self.now);
        self.config.policy.check_size(&record)?;
        Ok(record)
    }

    /// The snapshot of a record that this commit has stored under a new id.
    fn created(&self, id: SessionId, record: Record) -> Snapshot {
        let ttl = self.config.policy.ttl(record.max_age());
        let (compare_by, expires) = (self.config.store.compare_by(), Expiry::Wall(self.now).after(ttl));
        Snapshot { id, signature: None, record, compare_by, expires }
    }

    /// Creates a record, under another new id when the first one is taken.
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

    /// Writes the changes to the existing record. After a conflict they are applied to the record that the
    /// other request has written, and the write is retried.
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
            // After the first conflict a lock lets the requests of this process write one after the other.
            // Against other processes only waiting helps.
            if lock.is_none() {
                lock = Some(self.config.locks.lock(&snapshot.id).await);
            } else {
                backoff(attempt).await;
            }
        }
        Err(SessionError::Conflict)
    }

    /// Stores the new record and then removes the old one, so that a failure in between leaves the old
    /// session working.
    async fn change_id(&self, how: NewId, from: Option<Snapshot>) -> Result<Snapshot, SessionError> {
        let kept = from.as_ref().filter(|_| how == NewId::Cycle).map(|old| &old.record);
        let new = self.create(kept).await?;
        let Some(old) = from else { return Ok(new) };
        let id = new.id.clone();
        let outcome = {
            let _lock = self.config.lock_unless_atomic(&old.id, &old.compare_by).await;
            match how {
                NewId::Regenerate => {
                    self.config.store.destroy(&old.id).await.map(|()| new).map_err(Into::into)
                }
                NewId::Cycle => self.remove_old(new, old).await,
            }
        };
        if outcome.is_err() {
            // The new id was never sent, so the new record is of no use. If its removal fails too, it stays
            // until it expires.
            let _ = self.config.store.destroy(&id).await;
        }
        outcome
    }

    /// Removes the old record. What other requests have written to it meanwhile is copied into the new record
    /// first.
    async fn remove_old(&self, mut new: Snapshot, mut old: Snapshot) -> Result<Snapshot, SessionError> {
        for attempt in 0..ATTEMPTS {
            match self.config.store.destroy_if(&old.id, &old.expected()).await? {
                Replaced::Done(_) => return Ok(new),
                Replaced::Conflict(fresh) => {
                    old.refresh(fresh);
                    new = self.rewrite_new(new.id, Some(&old.record)).await?;
                    backoff(attempt).await;
                }
                // Another request has destroyed the session: the new record must keep none of its data.
                Replaced::Gone => return self.rewrite_new(new.id, None).await,
            }
        }
        Err(SessionError::Conflict)
    }

    /// Writes the new record again, over another base. An unconditional `set` is safe here: the new id was
    /// never sent, so no other request can write to the record.
    async fn rewrite_new(&self, id: SessionId, base: Option<&Record>) -> Result<Snapshot, SessionError> {
        let record = self.compose(base)?;
        self.config.store.set(&id, &record, self.config.policy.ttl(record.max_age())).await?;
        Ok(self.created(id, record))
    }
}

/// Waits for a random time before the next attempt, so that requests in different processes do not collide
/// again. After the first three attempts there is no wait; after the fourth it is up to 0.8 ms, and the limit
/// doubles with each attempt up to 51.2 ms.
async fn backoff(attempt: u32) {
    if attempt < 3 {
        return;
    }
    let longest = 100 * (1_u64 << attempt.min(9));
    tokio::time::sleep(Duration::from_micros(fastrand::u64(..longest))).await;
}
