//! [`UserLogs`]: reads and writes the lists of users' sessions, and ends sessions.

use std::collections::HashSet;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, StreamExt as _, TryStreamExt as _};
use smol_str::SmolStr;
use uuid::Uuid;

use super::UserIndex;
use super::log::{Entry, Event, UserLog};
use crate::clock::ErasedClock;
use crate::error::StoreError;
use crate::id::SessionId;
use crate::record::metadata::{Limits, Metadata, to_millis};
use crate::store::Stored;
use crate::store::erased::ErasedStore;
use crate::store::exclusive::WriteError;
use crate::store::watched::Ended;

/// How old an entry without a record is when it is dropped. A younger one may belong to a login whose record
/// is about to be created. It is longer than any call to a store takes.
const GRACE: Duration = Duration::from_secs(60);

/// How often a list is read while its sessions get other ids, so that one who does that all the time keeps nobody waiting.
const LOOKS: usize = 8;

/// How many records are destroyed at the same time.
const AT_ONCE: usize = 32;

/// The lists of users' sessions in one store.
#[derive(Clone, Copy)]
pub(crate) struct UserLogs<'a> {
    store: &'a ErasedStore,
    index: &'a dyn UserIndex,
    clock: &'a ErasedClock,
    limits: Limits,
}

/// The entries of a user's list, each with its record.
pub(crate) struct Sifted {
    pub(crate) log: UserLog,
    /// The sessions that are not over, in the order of their logins.
    pub(crate) live: Vec<(SessionId, Entry, Stored)>,
    /// The ids without a record whose sessions are not marked as over.
    missing: Vec<(SessionId, Entry)>,
}

impl<'a> UserLogs<'a> {
    /// `None`: the store cannot keep lists.
    pub(crate) fn of(store: &'a ErasedStore, clock: &'a ErasedClock, limits: Limits) -> Option<Self> {
        Some(Self { store, index: store.users()?, clock, limits })
    }

    /// The time, as events note it.
    pub(crate) fn now(&self) -> u64 {
        to_millis(self.clock.now())
    }

    pub(crate) async fn read(&self, user: &str) -> Result<UserLog, StoreError> {
        self.index.read(user).await.map(UserLog::read)
    }

    /// Appends an event, and returns the list as it is then.
    pub(crate) async fn append(&self, user: &str, event: &Event) -> Result<UserLog, StoreError> {
        let line = event.line();
        let mut text = self.index.append(user, &line).await?;
        if !has_line(&text, &line) {
            // The line before it was cut off, and has swallowed this one.
            text = self.index.append(user, &line).await?;
        }
        Ok(UserLog::read(text))
    }

    /// Takes an id from a user's list whose record is gone, or no longer the user's. Nobody is told of a
    /// failure: the entry is dropped later.
    pub(crate) async fn forget(&self, user: &str, id: &SessionId) {
        let forgotten = self.append(user, &Event::forget(std::slice::from_ref(id))).await;
        warn_of_failure(forgotten.map_err(WriteError::from));
    }

    /// Marks an id as over under which a record may come to be that nobody is to have.
    pub(crate) async fn close(&self, user: &str, id: &SessionId) {
        let closed = self.append(user, &Event::close(std::slice::from_ref(id))).await;
        warn_of_failure(closed.map_err(WriteError::from));
    }

    /// The same for a session that a logout has ended, and for all ids that it is about to get.
    pub(crate) async fn log_out(&self, user: &str, id: &SessionId) {
        let logged_out = async {
            let event = Event::LogOut { id: id.key().as_str().into() };
            // A call without an answer is made once more: this one also ends the session where it moves to.
            let log = match self.append(user, &event).await {
                Ok(log) => log,
                Err(_) => self.append(user, &event).await?,
            };
            if log.has_ended() { self.finish(user, &log).await.map(|()| log) } else { Ok(log) }
        };
        warn_of_failure(logged_out.await);
    }

    /// Marks all sessions as over, but the one with the place to `keep`, and destroys their records. Returns
    /// how many were live. `None`: the session to keep is over, so that it may have ended nobody.
    pub(crate) async fn end_all(&self, user: &str, keep: Option<u64>) -> Result<Option<usize>, WriteError> {
        let epoch: SmolStr = Uuid::new_v4().simple().to_string().into();
        let event = match keep {
            None => Event::EndAll { epoch: epoch.clone() },
            Some(keep) => Event::EndOthers { keep, epoch: epoch.clone() },
        };
        let log = self.append(user, &event).await?;
        let ended = self.finish_ended(user, &log, |_| true).await?;
        let had_effect = keep.is_none_or(|keep| log.has_place(keep)) || log.is_last_end(&epoch);
        Ok(had_effect.then_some(ended))
    }

    /// Destroys what is left of sessions that are marked as over.
    pub(crate) async fn finish(&self, user: &str, log: &UserLog) -> Result<(), WriteError> {
        self.finish_ended(user, log, |_| false).await.map(drop)
    }

    /// Marks the sessions with these places as over, and destroys their records. Returns how many were live.
    pub(crate) async fn end(&self, user: &str, places: Vec<u64>) -> Result<(UserLog, usize), WriteError> {
        let log = self.append(user, &Event::End { places: places.clone() }).await?;
        let places: HashSet<_> = places.into_iter().collect();
        let ended = self.finish_ended(user, &log, |entry| places.contains(&entry.place)).await?;
        Ok((log, ended))
    }

    /// Removes the user's text, unless a session stands in it that is not over. Returns whether it is gone.
    pub(crate) async fn remove(&self, user: &str) -> Result<bool, WriteError> {
        let log = self.read(user).await?;
        if log.entries().iter().any(|(_, entry)| !entry.ended) {
            return Ok(false);
        }
        // A login that has come in between has changed the text.
        Ok(self.index.replace(user, &log.text, "").await?)
    }

    /// Destroys what is left of sessions that are marked as over, also of those that a process left behind
    /// which was killed. Returns how many of the sessions that `counts` names were live.
    ///
    /// Whoever is about to create a record looks at its entry afterwards, and then destroys the record
    /// itself.
    async fn finish_ended(
        &self,
        user: &str,
        log: &UserLog,
        counts: impl Fn(&Entry) -> bool,
    ) -> Result<usize, WriteError> {
        let ended: Vec<_> = log.entries().into_iter().filter(|(_, entry)| entry.ended).collect();
        let records = self.records(ended.iter().map(|(id, _)| id)).await?;
        let (mut left, mut places) = (Vec::new(), HashSet::new());
        let now = self.clock.now();
        for ((id, entry), stored) in ended.into_iter().zip(records) {
            let Some(Stored { record, .. }) = stored.filter(|stored| is_of(user, stored)) else { continue };
            if counts(&entry) && !self.limits.are_reached(&id, &record, now) {
                places.insert(entry.place);
            }
            left.push(id);
        }
        self.destroy(&left).await?;
        Ok(places.len())
    }

    async fn destroy(&self, ids: &[SessionId]) -> Result<(), WriteError> {
        // Boxed, because the compiler cannot show otherwise that this future can be sent between threads.
        let calls: Vec<BoxFuture<'_, _>> = ids.iter().map(|id| self.store.destroy(id).boxed()).collect();
        futures_util::stream::iter(calls).buffer_unordered(AT_ONCE).try_collect().await
    }

    /// Looks up the records of a user's list. What is left of ended sessions is destroyed, also of those that
    /// have reached their absolute timeout, and entries without a record are dropped once they are old
    /// enough.
    pub(crate) async fn sift(&self, user: &str, log: UserLog) -> Result<Sifted, WriteError> {
        // Invariant: an entry is found to be old before its record is found to be absent.
        let now = self.clock.now();
        let old = to_millis(now).saturating_sub(u64::try_from(GRACE.as_millis()).unwrap_or(u64::MAX));
        let entries = log.entries();
        let records = self.records(entries.iter().map(|(id, _)| id)).await?;
        let (mut live, mut ended, mut dead, mut missing) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for ((id, entry), record) in entries.into_iter().zip(records) {
            match record {
                // Somebody else has the id, or nobody is logged in there any more.
                Some(other) if entry.ended && !is_of(user, &other) => {}
                Some(_) if entry.ended => ended.push(id),
                // Nobody can use the session any more, and its record would go on to count.
                Some(stored) if self.limits.are_reached(&id, &stored.record, now) => {
                    self.store.watched().end(&id, Ended::Expired);
                    dead.push(id.clone());
                    ended.push(id);
                }
                // The login is over that left this entry behind, and would go on to count.
                Some(other) if entry.at < old && !is_of(user, &other) => dead.push(id),
                Some(record) => live.push((id, entry, record)),
                None => {
                    if entry.at < old {
                        dead.push(id.clone());
                    }
                    if !entry.ended {
                        missing.push((id, entry));
                    }
                }
            }
        }
        self.destroy(&ended).await?;
        let log = if dead.is_empty() { log } else { self.drop_entries(user, dead).await? };
        Ok(Sifted { log, live, missing })
    }

    /// The user's live sessions, in the order of their logins.
    pub(crate) async fn live(&self, user: &str) -> Result<Vec<(SessionId, Entry, Stored)>, WriteError> {
        let mut log = self.read(user).await?;
        let mut looks = 0;
        loop {
            looks += 1;
            let Sifted { live, missing, .. } = self.sift(user, log).await?;
            if missing.is_empty() || looks == LOOKS {
                return Ok(live);
            }
            // A session may have got another id after the list was read and before its record was.
            log = self.read(user).await?;
            let seen: HashSet<_> =
                live.iter().map(|(id, ..)| id).chain(missing.iter().map(|(id, _)| id)).collect();
            let places: HashSet<_> = missing.iter().map(|(_, missing)| missing.place).collect();
            let has_moved = |(id, entry): &(SessionId, Entry)| {
                places.contains(&entry.place) && !entry.ended && !seen.contains(id)
            };
            if !log.entries().iter().any(has_moved) {
                return Ok(live);
            }
        }
    }

    /// Drops entries that are old and were found without a record of the user. A login may have stood still for so long
    /// that it creates its record only now: it sees that its entry is closed, or it has looked before and
    /// its record is found here.
    async fn drop_entries(&self, user: &str, dead: Vec<SessionId>) -> Result<UserLog, WriteError> {
        self.append(user, &Event::close(&dead)).await?;
        let records = self.records(dead.iter()).await?;
        let late: Vec<_> = dead
            .iter()
            .zip(records)
            .filter(|(_, stored)| stored.as_ref().is_some_and(|stored| is_of(user, stored)))
            .map(|(id, _)| id.clone())
            .collect();
        self.destroy(&late).await?;
        Ok(self.append(user, &Event::forget(&dead)).await?)
    }

    async fn records<'i>(
        &self,
        ids: impl Iterator<Item = &'i SessionId>,
    ) -> Result<Vec<Option<Stored>>, StoreError> {
        let ids: Vec<_> = ids.cloned().collect();
        if ids.is_empty() { Ok(Vec::new()) } else { self.store.get_many(&ids).await }
    }

    /// Makes a text short that has many superfluous lines. It is no error if that fails: the next one does
    /// it.
    pub(crate) async fn shorten(&self, user: &str, log: UserLog) {
        if !log.is_long() {
            return;
        }
        let shortened = async {
            let Sifted { log, .. } = self.sift(user, log).await?;
            let text = log.text.clone();
            self.index.replace(user, &text, &log.shortened()).await?;
            Ok::<_, WriteError>(())
        };
        if let Err(error) = shortened.await {
            let error: &(dyn std::error::Error + 'static) = &error;
            tracing::warn!(error, "a user's list of sessions could not be shortened");
        }
    }
}

/// Whether a line that was appended stands in the text by itself.
fn has_line(text: &str, line: &str) -> bool {
    match text.strip_suffix(line) {
        Some(before) => before.is_empty() || before.ends_with('\n'),
        // A store may return what others have appended since.
        None => text.starts_with(line) || text.contains(&format!("\n{line}")),
    }
}

/// Whether a record under the id of an entry is the user's: the id may be taken, or the login be over.
fn is_of(user: &str, stored: &Stored) -> bool {
    Metadata::of(&stored.record).users().any(|own| own == user)
}

fn warn_of_failure(left: Result<UserLog, WriteError>) {
    if let Err(error) = left {
        let error: &(dyn std::error::Error + 'static) = &error;
        tracing::warn!(error, "an ended session stays in its user's list for now");
    }
}
