//! [`MemoryStore`]: records in this process.

mod alarm;
mod clock;
mod entries;
mod sweep;

use std::fmt;
use std::sync::{Arc, Mutex, Once};
use std::time::{Duration, Instant};

use dashmap::DashMap;
use dashmap::mapref::entry::Entry as Slot;
use foldhash::quality::RandomState;

use super::{Fetched, Replaced, Rewritten, SessionStore, Stored, Version};
use crate::error::StoreError;
use crate::held::{Compared, Moment};
use crate::id::SessionId;
use crate::record::Record;
use alarm::{Alarm, lock};
use entries::{Held, SHARDS, Shared};

/// Sessions in this process' memory: fast, gone with the process, not shared with another one.
///
/// Expired sessions are absent at once and leave by themselves: a thread that ends with the store removes them and gives
/// their memory back. A clone is another handle on the same sessions.
///
/// ```
/// use sessile::{MemoryStore, SessionConfig};
///
/// let store = MemoryStore::with_capacity_limit(100_000);
/// let config = SessionConfig::builder("a secret of at least 32 bytes, from the environment")
///     .store(store.clone())
///     .build()?;
/// assert_eq!(store.len(), 0);
/// # Ok::<(), sessile::ConfigError>(())
/// ```
#[derive(Clone)]
pub struct MemoryStore(Arc<Shared>);

impl MemoryStore {
    /// An empty store without a bound.
    #[must_use]
    pub fn new() -> Self {
        Self::bounded(None)
    }

    /// An empty store that keeps at most `limit` sessions (at least one). A new session past that takes the place of
    /// the one closest to its expiry; an expired one goes first.
    #[must_use]
    pub fn with_capacity_limit(limit: usize) -> Self {
        Self::bounded(Some(limit.max(1)))
    }

    fn bounded(limit: Option<usize>) -> Self {
        let made = Instant::now();
        Self(Arc::new(Shared {
            sessions: DashMap::with_hasher_and_shard_amount(RandomState::default(), SHARDS),
            limit,
            adding: Mutex::new(()),
            start: Once::new(),
            alarm: Arc::new(Alarm::new(made)),
            made,
        }))
    }

    /// How many live sessions there are. Walks through all of them.
    #[must_use]
    pub fn len(&self) -> usize {
        let now = self.0.now().tick;
        self.0.sessions.iter().filter(|held| held.live(now)).count()
    }

    /// Whether no live session is there.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let now = self.0.now().tick;
        !self.0.sessions.iter().any(|held| held.live(now))
    }

    /// Removes every session.
    pub fn clear(&self) {
        self.0.sessions.clear();
        self.0.sessions.shrink_to_fit();
    }

    /// The ids of the live sessions, in no order.
    #[must_use]
    pub fn all_ids(&self) -> Vec<SessionId> {
        let now = self.0.now().tick;
        self.0.sessions.iter().filter(|held| held.live(now)).map(|held| held.key().clone()).collect()
    }

    /// The live record under this id, and when it was looked at.
    pub(super) fn fetch(&self, id: &SessionId) -> Option<Fetched> {
        let now = self.0.now();
        let held = self.0.sessions.get(id).filter(|held| held.live(now.tick))?;
        Some(Fetched {
            record: held.record.clone(),
            compared: Compared::Bytes,
            expires_in: Some(held.expires.since(now.tick)),
            seen: Moment::Instant(now.instant),
        })
    }

    /// Writes a record over one that is as expected.
    pub(super) fn swap(
        &self,
        id: &SessionId,
        expected: impl FnOnce(&Record) -> bool,
        record: &Record,
        ttl: Duration,
    ) -> Rewritten {
        let now = self.0.now().tick;
        let Some(mut held) = self.0.sessions.get_mut(id).filter(|held| held.live(now)) else {
            return Rewritten::Gone;
        };
        if !expected(&held.record) {
            return Rewritten::Conflict(held.stored(now));
        }
        let new = Held { record: record.clone(), expires: now.after(ttl) };
        let expires = new.expires;
        let old = std::mem::replace(&mut *held, new);
        drop(held);
        // Freed with no lock held.
        drop(old);
        self.0.expect(expires);
        Rewritten::Done(None)
    }

    /// Writes a record where `allowed` says so of what stands there.
    fn put(&self, id: &SessionId, record: &Record, ttl: Duration, over_live: bool) -> bool {
        let now = self.0.now().tick;
        let held = Held { record: record.clone(), expires: now.after(ttl) };
        let expires = held.expires;
        let adding = self.0.limit.map(|limit| (limit, lock(&self.0.adding)));
        if let Some((limit, _)) = adding
            && self.0.sessions.len() >= limit
            && !self.0.sessions.contains_key(id)
        {
            self.0.make_room(limit, now);
        }
        match self.0.sessions.entry(id.clone()) {
            Slot::Occupied(slot) if slot.get().live(now) && !over_live => return false,
            Slot::Occupied(mut slot) => drop(slot.insert(held)),
            Slot::Vacant(slot) => drop(slot.insert(held)),
        }
        drop(adding);
        self.0.expect(expires);
        true
    }
}

impl SessionStore for MemoryStore {
    async fn get(&self, id: &SessionId) -> Result<Option<Stored>, StoreError> {
        let now = self.0.now().tick;
        let held = self.0.sessions.get(id);
        Ok(held.filter(|held| held.live(now)).map(|held| held.stored(now)))
    }

    async fn set(&self, id: &SessionId, record: &Record, ttl: Duration) -> Result<(), StoreError> {
        self.put(id, record, ttl, true);
        Ok(())
    }

    async fn destroy(&self, id: &SessionId) -> Result<(), StoreError> {
        self.0.sessions.remove(id);
        Ok(())
    }

    async fn touch(&self, id: &SessionId, ttl: Duration) -> Result<bool, StoreError> {
        let now = self.0.now().tick;
        let Some(mut held) = self.0.sessions.get_mut(id).filter(|held| held.live(now)) else {
            return Ok(false);
        };
        held.expires = now.after(ttl);
        let expires = held.expires;
        drop(held);
        self.0.expect(expires);
        Ok(true)
    }

    async fn create(&self, id: &SessionId, record: &Record, ttl: Duration) -> Result<bool, StoreError> {
        Ok(self.put(id, record, ttl, false))
    }

    async fn replace(
        &self,
        id: &SessionId,
        expected: &Version,
        record: &Record,
        ttl: Duration,
    ) -> Result<Replaced, StoreError> {
        Ok(match self.swap(id, |now| expected.is_of(now), record, ttl) {
            Rewritten::Done(_) => Replaced::Done(Version::of(record)),
            Rewritten::Conflict(stored) => Replaced::Conflict(stored),
            Rewritten::Gone => Replaced::Gone,
        })
    }

    async fn destroy_if(&self, id: &SessionId, expected: &Version) -> Result<Replaced, StoreError> {
        let now = self.0.now().tick;
        let Slot::Occupied(slot) = self.0.sessions.entry(id.clone()) else { return Ok(Replaced::Gone) };
        if !slot.get().live(now) {
            return Ok(Replaced::Gone);
        }
        if !expected.is_of(&slot.get().record) {
            return Ok(Replaced::Conflict(slot.get().stored(now)));
        }
        slot.remove();
        Ok(Replaced::Done(expected.clone()))
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").field("limit", &self.0.limit).finish_non_exhaustive()
    }
}
