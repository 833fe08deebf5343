//! How a commit stores a record under a new id, and removes the one that it replaces.

use crate::commit::execution::{ATTEMPTS, Execution, backoff};
use crate::commit::membership::{Membership, leave_lists};
use crate::error::SessionError;
use crate::id::SessionId;
use crate::record::Record;
use crate::record::metadata::Metadata;
use crate::session::snapshot::Snapshot;
use crate::session::stage::NewId;
use crate::store::Replaced;
use crate::store::loaded::{Expiry, ReplaceOutcome};
use crate::store::watched::Ended;

/// How many ids are tried for a new record. A second one is needed only when `genid` returns an id that is
/// taken.
const NEW_IDS: u32 = 8;

impl<'c> Execution<'c> {
    /// Creates the record of a session that has none.
    pub(super) async fn begin(&self) -> Result<Snapshot, SessionError> {
        let record = self.compose(None)?;
        match self.lists(&record, None) {
            None => self.create(record).await,
            Some(lists) => Box::pin(self.begin_listed(record, &lists)).await,
        }
    }

    async fn begin_listed(&self, record: Record, lists: &Membership<'_>) -> Result<Snapshot, SessionError> {
        let new = self.create_listed(record, lists).await?;
        lists.look(&new.id).await?;
        Ok(new)
    }

    /// The lists of users in which a new record is to stand. `None`, for most records: in none.
    fn lists(&self, record: &Record, old: Option<&Snapshot>) -> Option<Membership<'c>> {
        record.metadata()?;
        Membership::of(self.config, &Metadata::of(record), old, self.log.login())
    }

    /// The snapshot of a record that this commit has stored under a new id.
    fn created(&self, id: SessionId, record: Record) -> Snapshot {
        let ttl = self.config.policy.ttl(record.max_age());
        let (compare_by, expires) = (self.config.store.compare_by(), Expiry::Wall(self.now).after(ttl));
        Snapshot { id, signature: None, record, compare_by, expires }
    }

    /// Creates a record, under another new id when the first one is taken.
    async fn create(&self, record: Record) -> Result<Snapshot, SessionError> {
        let ttl = self.config.policy.ttl(record.max_age());
        let mut id = self.first_id();
        for _ in 0..NEW_IDS {
            if self.config.store.create(&id, &record, ttl).await? {
                return Ok(self.created(id, record));
            }
            id = self.config.new_id();
        }
        Err(no_free_id())
    }

    /// The same for a record that is to stand in users' lists.
    async fn create_listed(&self, record: Record, lists: &Membership<'_>) -> Result<Snapshot, SessionError> {
        let ttl = self.config.policy.ttl(record.max_age());
        let mut id = self.first_id();
        for _ in 0..NEW_IDS {
            lists.note(&id).await?;
            if self.config.store.create(&id, &record, ttl).await? {
                return Ok(self.created(id, record));
            }
            let taken = self.stored(&id).await?;
            match taken {
                Some(own) if !lists.is_from(&id) && is_same_login(&own, &record) => {
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

    fn first_id(&self) -> SessionId {
        debug_assert!(self.id.is_some());
        self.id.clone().unwrap_or_else(|| self.config.new_id())
    }

    /// The record that the store has under a new id.
    async fn stored(&self, id: &SessionId) -> Result<Option<Snapshot>, SessionError> {
        let loaded = self.config.store.get(id, &self.config.clock).await?;
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
        let kept = from.as_ref().filter(|_| how == NewId::Cycle).map(|old| &old.record);
        let record = self.compose(kept)?;
        let lists = self.lists(&record, from.as_ref());
        let new = match (&self.stored_id, &lists) {
            (None, None) => self.create(record).await?,
            (None, Some(lists)) => self.create_listed(record, lists).await?,
            (Some(id), None) => self.set_new(id.clone(), record).await?,
            (Some(id), Some(lists)) => {
                lists.note(id).await?;
                let stored = self.stored(id).await?.ok_or(SessionError::Gone)?;
                self.rewrite_listed(stored, record).await?
            }
        };
        self.stored_id = Some(new.id.clone());
        let (id, before) = (new.id.clone(), from.clone());
        let removed = self.remove(how, new, from, lists.as_ref());
        let new = match &lists {
            None => removed.await?,
            Some(lists) => {
                // Both need nothing but that the new record is there.
                let (new, looked) = futures_util::future::join(removed, lists.look(&id)).await;
                match new {
                    Ok(new) if new.id != id => new,
                    new => {
                        looked?;
                        new?
                    }
                }
            }
        };
        let metadata = Metadata::of(&new.record);
        if let (Some(lists), None) = (&lists, &metadata.user) {
            lists.leave(&id).await;
        }
        if let Some(before) = before {
            leave_lists(self.config, &before, None).await;
        }
        Ok(new)
    }

    /// Removes the old record, if there is one, and returns the new one.
    async fn remove(
        &mut self,
        how: NewId,
        new: Snapshot,
        old: Option<Snapshot>,
        lists: Option<&Membership<'_>>,
    ) -> Result<Snapshot, SessionError> {
        match (how, old) {
            (_, None) => Ok(new),
            (NewId::Regenerate | NewId::AfterDestroy, Some(old)) => {
                self.destroy_old(&old).await.map(|()| new)
            }
            (NewId::Cycle, Some(old)) => self.remove_old(new, old, lists).await,
        }
    }

    /// Removes the old record, whatever it holds by now. A call without an answer is made once more.
    async fn destroy_old(&self, old: &Snapshot) -> Result<(), SessionError> {
        if self.config.store.destroy(&old.id).await.is_ok() {
            return Ok(());
        }
        Ok(self.config.store.destroy(&old.id).await?)
    }

    /// Removes the old record. What other requests have written to it meanwhile is copied into the new record
    /// first.
    ///
    /// A call without an answer is made once more. If the old record is gone by then, the first call has
    /// removed it, as far as anyone can tell, and the new record takes its place.
    async fn remove_old(
        &mut self,
        mut new: Snapshot,
        mut old: Snapshot,
        lists: Option<&Membership<'_>>,
    ) -> Result<Snapshot, SessionError> {
        let mut lock = None;
        let mut is_unanswered = false;
        for attempt in 0..ATTEMPTS {
            let base = (&old.record, &old.compare_by);
            match self.config.store.destroy_if(&mut lock, &old.id, base).await {
                Ok(Replaced::Done(_)) => return Ok(new),
                Ok(Replaced::Conflict(fresh)) => {
                    // The store holds another version, so the unanswered call has removed nothing.
                    is_unanswered = false;
                    old.refresh(fresh);
                    self.recognise(&old);
                    new = self.rewrite_new(new, Some(&old.record), lists.is_some()).await?;
                    backoff(attempt).await;
                }
                Ok(Replaced::Gone) if is_unanswered => {
                    self.config.store.watched().end(&old.id, Ended::Moved);
                    return Ok(new);
                }
                // An earlier commit of this request got no answer. Whether it has removed the record, or
                // another request has logged the user out since, cannot be told, so the session ends.
                Ok(Replaced::Gone) if self.removal_failed => {
                    // The new record must not outlive the session. If its removal fails, the record expires
                    // unread.
                    let _ = self.config.store.destroy(&new.id).await;
                    return Err(SessionError::Gone);
                }
                Ok(Replaced::Gone) => {
                    if let Some(lists) = lists.filter(|lists| lists.has_login_in_place()) {
                        return self.log_in_apart(new, lists).await;
                    }
                    // Another request has destroyed the session: the new record must keep none of its data.
                    return self.rewrite_new(new, None, lists.is_some()).await;
                }
                Err(_) if !is_unanswered => is_unanswered = true,
                Err(error) => return Err(error.into()),
            }
        }
        Err(SessionError::Conflict)
    }

    /// Logs in as if there had been no session: the place of the old one is over, or another request has taken it along
    /// to a new id.
    async fn log_in_apart(
        &mut self,
        tried: Snapshot,
        lists: &Membership<'_>,
    ) -> Result<Snapshot, SessionError> {
        self.config.store.destroy(&tried.id).await?;
        lists.leave(&tried.id).await;
        self.stored_id = None;
        self.id = Some(self.config.new_id());
        self.begin_listed(self.compose(None)?, &lists.apart()).await
    }

    /// Writes the new record again, over another base.
    async fn rewrite_new(
        &self,
        new: Snapshot,
        base: Option<&Record>,
        is_listed: bool,
    ) -> Result<Snapshot, SessionError> {
        let record = self.compose(base)?;
        if is_listed { self.rewrite_listed(new, record).await } else { self.set_new(new.id, record).await }
    }

    /// Writes the new record again. An unconditional `set` is safe here: the new id was never sent and is in no list, so
    /// no other request can write to the record.
    async fn set_new(&self, id: SessionId, record: Record) -> Result<Snapshot, SessionError> {
        self.config.store.set(&id, &record, self.config.policy.ttl(record.max_age())).await?;
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
                    return Ok(new.extended(self.now, ttl));
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

/// Whether an earlier attempt at the same login has created this record, which must then not be left behind: it stands in
/// the user's list.
fn is_same_login(stored: &Snapshot, record: &Record) -> bool {
    let (own, stored) = (Metadata::of(record), Metadata::of(&stored.record));
    (own.user, own.born) == (stored.user, stored.born)
}
