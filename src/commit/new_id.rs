//! How a commit stores a record under a new id.

use futures_util::future::join;

use crate::commit::execution::{ATTEMPTS, Execution, backoff};
use crate::commit::leaving::log_out;
use crate::commit::membership::Membership;
use crate::commit::removal::Removed;
use crate::error::SessionError;
use crate::id::SessionId;
use crate::record::Record;
use crate::record::metadata::Metadata;
use crate::session::snapshot::Snapshot;
use crate::session::stage::{NewId, PendingId, Removal, Unfinished};
use crate::store::loaded::{Expiry, ReplaceOutcome};

/// How many ids are tried for a new record. A second one is needed only when `genid` returns an id that is
/// taken.
const NEW_IDS: u32 = 8;

impl<'c> Execution<'c> {
    /// Creates the record of a session that has none.
    pub(super) async fn begin(&mut self) -> Result<Snapshot, SessionError> {
        let record = self.compose(None)?;
        match self.lists(&record, None) {
            None => self.create(record).await,
            Some(lists) => Box::pin(self.begin_listed(record, &lists)).await,
        }
    }

    async fn begin_listed(
        &mut self,
        record: Record,
        lists: &Membership<'_>,
    ) -> Result<Snapshot, SessionError> {
        let new = self.create_listed(record, lists).await?;
        lists.look(&new.id).await?;
        Ok(new)
    }

    /// The lists of users in which a new record is to stand. `None`, for most records: in none.
    fn lists(&self, record: &Record, old: Option<&Snapshot>) -> Option<Membership<'c>> {
        record.metadata()?;
        Membership::of(self.config, &Metadata::of(record), old, self.changes.log.login())
    }

    /// The snapshot of a record that this commit has stored under a new id.
    fn created(&self, id: SessionId, record: Record) -> Snapshot {
        let ttl = self.config.policy.ttl(record.max_age());
        let (compare_by, expires) =
            (self.config.store.compare_by(), Expiry::Wall(self.changes.now).after(ttl));
        Snapshot { id, signature: None, record, compare_by, expires }
    }

    /// Creates a record, under another new id when the first one is taken.
    async fn create(&mut self, record: Record) -> Result<Snapshot, SessionError> {
        let mut id = self.first_id();
        for _ in 0..NEW_IDS {
            if self.ask_to_create(&id, &record).await? {
                return Ok(self.created(id, record));
            }
            id = self.config.new_id();
        }
        Err(no_free_id())
    }

    /// Returns whether the record was created: not, if the id is taken.
    async fn ask_to_create(&mut self, id: &SessionId, record: &Record) -> Result<bool, SessionError> {
        let ttl = self.config.policy.ttl(record.max_age());
        self.unfinished.id = PendingId::NotChosen;
        let is_created = self.config.store.create(id, record, ttl).await?;
        if is_created {
            self.unfinished.id = PendingId::Stored(id.clone());
        }
        Ok(is_created)
    }

    /// The same for a record that is to stand in users' lists.
    async fn create_listed(
        &mut self,
        record: Record,
        lists: &Membership<'_>,
    ) -> Result<Snapshot, SessionError> {
        let mut id = self.first_id();
        for _ in 0..NEW_IDS {
            lists.note(&id).await?;
            match self.ask_to_create(&id, &record).await {
                Ok(true) => return Ok(self.created(id, record)),
                Ok(false) => {}
                // If the store creates it all the same, nobody will ever know the id.
                Err(error) => {
                    join(lists.close(&id), self.take_back(&id, &record, lists)).await;
                    return Err(error);
                }
            }
            let taken = self.stored(&id).await?;
            match taken {
                Some(own) if !lists.is_from(&id) && is_same_login(&own, &record) => {
                    self.unfinished.id = PendingId::Stored(id);
                    return self.rewrite_listed(own, record).await;
                }
                taken => {
                    let other = taken.map(|taken| Metadata::of(&taken.record));
                    lists.leave_to(&id, other.as_ref()).await;
                }
            }
            id = self.config.new_id();
        }
        Err(no_free_id())
    }

    /// Removes a record that the store has created without an answer. Whoever read the list may have looked for it
    /// before it was there, and forget its id.
    async fn take_back(&self, id: &SessionId, record: &Record, lists: &Membership<'_>) {
        let Ok(Some(taken)) = self.stored(id).await else { return };
        if !lists.is_from(id) && is_same_login(&taken, record) {
            let _ = self.config.store.destroy(id).await;
        }
    }

    fn first_id(&self) -> SessionId {
        debug_assert!(self.id.is_some());
        self.id.clone().unwrap_or_else(|| self.config.new_id())
    }

    /// The record that the store has under a new id.
    pub(super) async fn stored(&self, id: &SessionId) -> Result<Option<Snapshot>, SessionError> {
        let loaded = self.config.store.get_again(id, &self.config.clock).await?;
        let snapshot = |loaded| self.created(id.clone(), loaded);
        Ok(loaded.map(|loaded| Snapshot { compare_by: loaded.compare_by, ..snapshot(loaded.record) }))
    }

    /// Stores the new record and then removes the old one, so that a failure in between leaves the old
    /// session working.
    ///
    /// When the removal fails, the new record stays where it is: the store may have removed the old record
    /// without being able to say so. The new id was never sent, so nobody reads the record; a later commit of
    /// this request continues with it, and otherwise it expires.
    pub(super) async fn change_id(
        &mut self,
        how: NewId,
        from: Option<Snapshot>,
    ) -> Result<Snapshot, SessionError> {
        let removed = match &self.unfinished.removal {
            Removal::Done(record) => Some((**record).clone()),
            Removal::NotAsked | Removal::Unanswered => None,
        };
        if let Some(removed) = &removed {
            self.changes.recognise(removed);
        }
        let old = removed.as_ref().or(from.as_ref().map(|old| &old.record));
        let record = self.compose(old.filter(|_| how == NewId::Cycle))?;
        let lists = self.lists(&record, from.as_ref());
        let stored = if let PendingId::Stored(id) = &self.unfinished.id { Some(id.clone()) } else { None };
        let new = match (stored, &lists) {
            (None, None) => self.create(record).await?,
            (None, Some(lists)) => self.create_listed(record, lists).await?,
            (Some(id), None) => self.set_new(id, record).await?,
            (Some(id), Some(lists)) => {
                lists.note(&id).await?;
                let stored = self.stored(&id).await?.ok_or(SessionError::Gone)?;
                self.rewrite_listed(stored, record).await?
            }
        };
        if let Some(lists) = &lists {
            return self.move_listed(how, new, from, lists).await;
        }
        let before = from.clone();
        match self.remove(how, new, from, None).await? {
            Removed::Done(new) => {
                if let Some(before) = before {
                    log_out(self.config, &before, None).await;
                }
                Ok(new)
            }
            // The new record must keep none of the old one's data.
            Removed::Elsewhere(new) => self.rewrite_new(new, None, false).await,
        }
    }

    /// The rest of a change of id, for a new record that is to stand in users' lists.
    async fn move_listed(
        &mut self,
        how: NewId,
        new: Snapshot,
        from: Option<Snapshot>,
        lists: &Membership<'_>,
    ) -> Result<Snapshot, SessionError> {
        let (id, before) = (new.id.clone(), from.clone());
        // Both need nothing but that the new record is there.
        let (removed, looked) = join(self.remove(how, new, from, Some(lists)), lists.look(&id)).await;
        let new = match removed {
            Ok(Removed::Elsewhere(_)) if lists.needs_old() => return self.begin_apart(&id, lists).await,
            // The new record was destroyed while data was brought over: the old session is over, and the login
            // is not.
            Err(SessionError::Gone) if lists.has_login_in_place() => {
                return self.begin_apart(&id, lists).await;
            }
            Ok(Removed::Elsewhere(new)) => {
                looked?;
                return self.rewrite_new(new, None, true).await;
            }
            removed => {
                looked?;
                let (Removed::Done(new) | Removed::Elsewhere(new)) = removed?;
                new
            }
        };
        if Metadata::of(&new.record).user.is_none() {
            lists.leave(&id).await;
        } else if !lists.arrive(&id).await? {
            return self.begin_apart(&id, lists).await;
        }
        if let Some(before) = before {
            log_out(self.config, &before, Some(lists)).await;
        }
        Ok(new)
    }

    /// Begins the session that a commit is left with whose old session is over, or has gone to another new id:
    /// nothing of it is kept, and a login gets a place of its own.
    async fn begin_apart(
        &mut self,
        tried: &SessionId,
        lists: &Membership<'_>,
    ) -> Result<Snapshot, SessionError> {
        self.remove_whatever(tried).await?;
        lists.leave(tried).await;
        // Not the id that was tried: whoever has ended the old session may be about to remove what is there.
        self.id = Some(self.config.new_id());
        self.unfinished = Unfinished { id: PendingId::NotChosen, removal: Removal::NotAsked };
        let record = self.compose(None)?;
        if Metadata::of(&record).user.is_some() {
            return self.begin_listed(record, &lists.apart()).await;
        }
        if lists.were_ended().await? {
            return Err(SessionError::Gone);
        }
        self.create(record).await
    }

    /// Writes the new record again, over another base.
    pub(super) async fn rewrite_new(
        &mut self,
        new: Snapshot,
        base: Option<&Record>,
        is_listed: bool,
    ) -> Result<Snapshot, SessionError> {
        let record = self.compose(base)?;
        if is_listed { self.rewrite_listed(new, record).await } else { self.set_new(new.id, record).await }
    }

    /// Writes the new record again. An unconditional `set` is safe here: the new id was never sent, so no other request
    /// writes to the record. If it gets no answer, the id is not used again.
    async fn set_new(&mut self, id: SessionId, record: Record) -> Result<Snapshot, SessionError> {
        self.unfinished.id = PendingId::NotChosen;
        self.config.store.set(&id, &record, self.config.policy.ttl(record.max_age())).await?;
        self.unfinished.id = PendingId::Stored(id.clone());
        Ok(self.created(id, record))
    }

    /// Writes the new record again if it is still there: whoever reads the user's list may have destroyed it.
    async fn rewrite_listed(&self, mut new: Snapshot, record: Record) -> Result<Snapshot, SessionError> {
        let ttl = self.config.policy.ttl(record.max_age());
        let mut lock = None;
        for attempt in 0..ATTEMPTS {
            let base = (&new.record, &new.compare_by);
            match self.config.store.replace(&mut lock, &new.id, base, &record, ttl).await? {
                ReplaceOutcome::Done(version) => {
                    new.rewritten(record, version);
                    return Ok(new.extended(self.changes.now, ttl));
                }
                // The version of a record that was just created is not known yet.
                ReplaceOutcome::Conflict(fresh) => new.refresh(fresh),
                ReplaceOutcome::Gone => return Err(SessionError::Gone),
            }
            backoff(attempt).await;
        }
        Err(SessionError::Conflict)
    }
}

fn no_free_id() -> SessionError {
    tracing::error!("every id that genid gave is taken");
    SessionError::Conflict
}

/// Whether an earlier attempt at the same login has created this record, which must then not be left behind:
/// it stands in the user's list.
fn is_same_login(stored: &Snapshot, record: &Record) -> bool {
    let (own, stored) = (Metadata::of(record), Metadata::of(&stored.record));
    (own.user, own.born) == (stored.user, stored.born)
}
