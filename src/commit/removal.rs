//! How a commit removes the record that a new one replaces.
//!
//! Over any store but the memory store it takes the old record's lock first, so the requests of this process
//! that write to the session wait, and cannot make it start over again and again.

use crate::commit::execution::{ATTEMPTS, Execution, backoff};
use crate::commit::leaving::leave_lists;
use crate::commit::membership::Membership;
use crate::error::SessionError;
use crate::id::SessionId;
use crate::record::Record;
use crate::record::metadata::Metadata;
use crate::session::snapshot::Snapshot;
use crate::session::stage::{NewId, Removal};
use crate::store::Replaced;
use crate::store::watched::Ended;

/// What has become of the record that a new one replaces. It comes with the new one.
pub(super) enum Removed {
    /// It is gone, by this commit as far as anyone can tell.
    Done(Snapshot),
    /// It was gone already: another request has ended the session, or given it another new id.
    Elsewhere(Snapshot),
}

impl Execution<'_> {
    /// Removes the old record, if there is one.
    pub(super) async fn remove(
        &mut self,
        how: NewId,
        new: Snapshot,
        old: Option<Snapshot>,
        lists: Option<&Membership<'_>>,
    ) -> Result<Removed, SessionError> {
        match old {
            None => Ok(Removed::Done(new)),
            // A login keeps the place only of a session that it has removed itself.
            Some(old) if how == NewId::Cycle || lists.is_some_and(Membership::has_login_in_place) => {
                self.remove_old(how, new, old, lists.is_some()).await
            }
            Some(old) => self.remove_whatever(&old.id).await.map(|()| Removed::Done(new)),
        }
    }

    /// Removes the new records that earlier commits of this request have left, and their ids from users' lists.
    pub(super) async fn remove_left_behind(&self) -> Result<(), SessionError> {
        for id in &self.left_behind {
            let left = self.stored(id).await?;
            self.remove_whatever(id).await?;
            if let Some(left) = left {
                leave_lists(self.config, &left, &Metadata::default()).await;
            }
        }
        Ok(())
    }

    /// Removes a record, whatever it holds by now. A call without an answer is made once more.
    pub(super) async fn remove_whatever(&self, id: &SessionId) -> Result<(), SessionError> {
        if self.config.store.destroy(id).await.is_ok() {
            return Ok(());
        }
        Ok(self.config.store.destroy(id).await?)
    }

    /// Removes the old record. What other requests have written to it meanwhile is copied into the new record
    /// first, if that has the old one's data.
    ///
    /// A call without an answer is made once more. If the old record is gone by then, the first call has
    /// removed it, as far as anyone can tell, and the new record takes its place.
    async fn remove_old(
        &mut self,
        how: NewId,
        mut new: Snapshot,
        mut old: Snapshot,
        is_listed: bool,
    ) -> Result<Removed, SessionError> {
        if let Removal::Done(_) = self.unfinished.removal {
            return Ok(Removed::Done(new));
        }
        let mut lock = None;
        if self.config.store.is_locked_to_write() {
            // Requests that write to the old record wait from here on, and then find it gone.
            let held = self.config.store.lock(&old.id).await?;
            // Where the changes cannot be made to the record that was handed on, the store says first whether that is
            // still there.
            if let Some(last) = held.last_written().filter(|last| self.can_bring_over(how, &last.record)) {
                old.continue_from(last.clone());
                new = self.bring_over(how, new, &old, is_listed).await?;
            }
            lock = Some(held);
        }
        let mut asked_before = matches!(self.unfinished.removal, Removal::Unanswered);
        let mut is_unanswered = false;
        for attempt in 0..ATTEMPTS {
            self.unfinished.removal = Removal::Unanswered;
            let base = (&old.record, &old.compare_by);
            let answer = self.config.store.destroy_if(&mut lock, &old.id, base).await;
            // Whoever waits for the lock is not to compose changes over a record that is gone.
            if let (Ok(Replaced::Done(_) | Replaced::Gone), Some(lock)) = (&answer, &mut lock) {
                lock.hand_on(None);
            }
            match answer {
                Ok(Replaced::Done(_)) => return Ok(self.removed(new, old)),
                Ok(Replaced::Conflict(fresh)) => {
                    // The store holds another version, so no unanswered call has removed anything.
                    (asked_before, is_unanswered) = (false, false);
                    self.unfinished.removal = Removal::NotAsked;
                    self.conflicts += 1;
                    old.refresh(fresh);
                    new = self.bring_over(how, new, &old, is_listed).await?;
                    // After a wait the record at hand is stale where others are busy, so every other attempt
                    // follows its conflict at once.
                    if attempt % 2 == 0 {
                        backoff(attempt).await;
                    }
                }
                // An earlier commit of this request got no answer. Whether it has removed the record, or
                // another request has logged the user out since, cannot be told, so the session ends.
                Ok(Replaced::Gone) if asked_before && how == NewId::Cycle => {
                    // The new record must not outlive the session. If its removal fails, the record expires
                    // unread.
                    let _ = self.config.store.destroy(&new.id).await;
                    return Err(SessionError::Gone);
                }
                Ok(Replaced::Gone) if asked_before => return Ok(self.removed(new, old)),
                Ok(Replaced::Gone) if is_unanswered => {
                    self.config.store.watched().end(&old.id, Ended::Moved);
                    return Ok(self.removed(new, old));
                }
                Ok(Replaced::Gone) => {
                    self.unfinished.removal = Removal::NotAsked;
                    return Ok(Removed::Elsewhere(new));
                }
                Err(_) if !is_unanswered => is_unanswered = true,
                Err(error) => return Err(error.into()),
            }
        }
        Err(SessionError::Conflict)
    }

    /// What comes after the removal may fail, and is made again without it.
    fn removed(&mut self, new: Snapshot, old: Snapshot) -> Removed {
        self.unfinished.removal = Removal::Done(Box::new(old.record));
        Removed::Done(new)
    }

    fn can_bring_over(&self, how: NewId, old: &Record) -> bool {
        how != NewId::Cycle || self.compose(Some(old)).is_ok()
    }

    /// Copies what other requests have written to the old record into the new one, if that has the old one's
    /// data.
    async fn bring_over(
        &mut self,
        how: NewId,
        new: Snapshot,
        old: &Snapshot,
        is_listed: bool,
    ) -> Result<Snapshot, SessionError> {
        self.changes.recognise(&old.record);
        if how == NewId::Cycle { self.rewrite_new(new, Some(&old.record), is_listed).await } else { Ok(new) }
    }
}
