//! [`MemoryStore`]: records in the memory of this process.

mod alarm;
mod bound;
mod clock;
mod entries;
mod sweep;
#[cfg(test)]
mod tests;
mod users;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use dashmap::mapref::entry::Entry as Slot;
use futures_util::stream::{self, BoxStream, StreamExt as _};

use crate::clock::{Clock, ErasedClock};
use crate::error::StoreError;
use crate::id::SessionId;
use crate::record::Record;
use crate::store::loaded::{CompareBy, Loaded, ReplaceOutcome};
use crate::store::users::UserIndex;
use crate::store::version::Version;
use crate::store::{Replaced, SessionStore, Stored};
use clock::StoreClock;
use entries::{Entries, Entry};

/// Keeps sessions in the memory of this process. The store is fast; its sessions end with the process and are
/// not shared with another one.
///
/// An expired session is absent at once. A background thread removes it later and gives its memory back; the
/// thread starts with the first session and ends with the store. A clone is another handle on the same
/// sessions.
///
/// Without [a limit](Self::with_capacity_limit), the number of live sessions is not bounded.
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
pub struct MemoryStore(Arc<Entries>);

/// What a write does when a live session has the same id.
#[derive(Clone, Copy, PartialEq, Eq)]
enum IfLive {
    Overwrite,
    /// The write does nothing.
    Keep,
}

impl MemoryStore {
    /// An empty store without a limit.
    #[must_use]
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// Builds a store with a bound or a clock of its own.
    pub fn builder() -> MemoryStoreBuilder {
        MemoryStoreBuilder::default()
    }

    /// An empty store that keeps at most `limit` sessions (at least one).
    ///
    /// When the store is full, a new session takes the place of an expired one. If there is none, a session
    /// without data goes, such as a visitor who never logged in leaves behind, and if every session has
    /// data, one of these. Among equals the session closest to its expiry goes. That takes the same short
    /// time however many sessions there are, but a store with a limit makes one write at a time, and
    /// needs about 50 bytes more for a session.
    #[must_use]
    pub fn with_capacity_limit(limit: usize) -> Self {
        Self::builder().capacity_limit(limit).build()
    }

    /// The number of live sessions. The call walks through all sessions.
    #[must_use]
    pub fn len(&self) -> usize {
        let now = self.0.clock.now().tick;
        self.0.map.iter().filter(|entry| self.0.is_live(entry, now)).count()
    }

    /// Whether the store holds no live session.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let now = self.0.clock.now().tick;
        !self.0.map.iter().any(|entry| self.0.is_live(&entry, now))
    }

    /// Removes every session.
    pub fn clear(&self) {
        let mut order = self.0.order();
        self.0.map.clear();
        if let Some(order) = &mut order {
            order.clear();
        }
        self.0.map.shrink_to_fit();
        self.0.users.clear();
        self.0.users.shrink_to_fit();
    }

    /// The ids of the live sessions, in no particular order.
    #[must_use]
    pub fn all_ids(&self) -> Vec<SessionId> {
        let now = self.0.clock.now().tick;
        self.0
            .map
            .iter()
            .filter(|entry| self.0.is_live(entry, now))
            .map(|entry| entry.key().clone())
            .collect()
    }

    /// The live record under this id, and the time at which it was read.
    pub(super) fn fetch(&self, id: &SessionId) -> Option<Loaded> {
        let now = self.0.clock.now();
        let entry = self.0.map.get(id).filter(|entry| self.0.is_live(entry, now.tick))?;
        Some(Loaded {
            record: entry.record.clone(),
            compare_by: CompareBy::Record,
            expires_in: Some(entry.expires.since(now.tick)),
            seen: now.seen,
        })
    }

    /// Writes a record over the live record under this id, if that one is as `expected`.
    ///
    /// `expected` runs while a part of the map is locked, so it must not call the store.
    pub(super) fn swap(
        &self,
        id: &SessionId,
        expected: impl FnOnce(&Record) -> bool,
        record: &Record,
        ttl: Duration,
    ) -> ReplaceOutcome {
        let order = self.0.order();
        let now = self.0.clock.now().tick;
        let Some(mut entry) = self.0.map.get_mut(id).filter(|entry| self.0.is_live(entry, now)) else {
            return ReplaceOutcome::Gone;
        };
        if !expected(&entry.record) {
            return ReplaceOutcome::Conflict(entry.to_stored(now));
        }
        let new = Entry { record: record.clone(), expires: now.after(ttl) };
        let expires = new.expires;
        let old = std::mem::replace(&mut *entry, new);
        if let Some(mut order) = order {
            order.remove(id, &old.record, old.expires);
            order.insert(id, &entry.record, entry.expires);
        }
        drop(entry);
        // Dropped after the map is unlocked: freeing a record takes far longer than moving it.
        drop(old);
        self.0.schedule_sweep(expires);
        ReplaceOutcome::Done(None)
    }

    /// Makes a live record expire after `ttl` from now. Returns `false` when there is none.
    pub(super) fn extend(&self, id: &SessionId, ttl: Duration) -> bool {
        let order = self.0.order();
        let now = self.0.clock.now().tick;
        let Some(mut entry) = self.0.map.get_mut(id).filter(|entry| self.0.is_live(entry, now)) else {
            return false;
        };
        let expires = now.after(ttl);
        match order {
            Some(mut order) => {
                order.remove(id, &entry.record, entry.expires);
                entry.expires = expires;
                order.insert(id, &entry.record, entry.expires);
            }
            None => entry.expires = expires,
        }
        drop(entry);
        self.0.schedule_sweep(expires);
        true
    }

    /// Writes a record under an id that has no live record. Returns `false` when there is one.
    pub(super) fn add(&self, id: &SessionId, record: &Record, ttl: Duration) -> bool {
        self.put(id, record, ttl, IfLive::Keep)
    }

    /// Writes a record under an id. Returns `false` when a live session is kept instead.
    fn put(&self, id: &SessionId, record: &Record, ttl: Duration, if_live: IfLive) -> bool {
        let mut order = self.0.order();
        let now = self.0.clock.now().tick;
        let entry = Entry { record: record.clone(), expires: now.after(ttl) };
        let expires = entry.expires;
        if let (Some(bound), Some(order)) = (&self.0.bound, &mut order)
            && order.len() >= bound.limit
            && !self.0.map.contains_key(id)
        {
            self.0.make_room(bound.limit, order, now);
        }
        let old = match self.0.map.entry(id.clone()) {
            Slot::Occupied(slot) if if_live == IfLive::Keep && self.0.is_live(slot.get(), now) => {
                return false;
            }
            Slot::Occupied(mut slot) => {
                let old = slot.insert(entry);
                if let Some(order) = &mut order {
                    order.remove(id, &old.record, old.expires);
                    order.insert(id, &slot.get().record, slot.get().expires);
                }
                Some(old)
            }
            Slot::Vacant(slot) => {
                let entry = slot.insert(entry);
                if let Some(order) = &mut order {
                    order.insert(id, &entry.record, entry.expires);
                }
                None
            }
        };
        drop(order);
        drop(old);
        self.0.schedule_sweep(expires);
        true
    }
}

impl SessionStore for MemoryStore {
    async fn get(&self, id: &SessionId) -> Result<Option<Stored>, StoreError> {
        let now = self.0.clock.now().tick;
        let entry = self.0.map.get(id);
        Ok(entry.filter(|entry| self.0.is_live(entry, now)).map(|entry| entry.to_stored(now)))
    }

    async fn set(&self, id: &SessionId, record: &Record, ttl: Duration) -> Result<(), StoreError> {
        self.put(id, record, ttl, IfLive::Overwrite);
        Ok(())
    }

    async fn destroy(&self, id: &SessionId) -> Result<(), StoreError> {
        let order = self.0.order();
        let removed = self.0.map.remove(id);
        if let (Some(mut order), Some((_, entry))) = (order, &removed) {
            order.remove(id, &entry.record, entry.expires);
        }
        Ok(())
    }

    async fn touch(&self, id: &SessionId, ttl: Duration) -> Result<bool, StoreError> {
        Ok(self.extend(id, ttl))
    }

    async fn create(&self, id: &SessionId, record: &Record, ttl: Duration) -> Result<bool, StoreError> {
        Ok(self.add(id, record, ttl))
    }

    async fn replace(
        &self,
        id: &SessionId,
        expected: &Version,
        record: &Record,
        ttl: Duration,
    ) -> Result<Replaced, StoreError> {
        Ok(match self.swap(id, |present| expected.is_of(present), record, ttl) {
            ReplaceOutcome::Done(_) => Replaced::Done(Version::of(record)),
            ReplaceOutcome::Conflict(stored) => Replaced::Conflict(stored),
            ReplaceOutcome::Gone => Replaced::Gone,
        })
    }

    async fn destroy_if(&self, id: &SessionId, expected: &Version) -> Result<Replaced, StoreError> {
        let order = self.0.order();
        let now = self.0.clock.now().tick;
        let Slot::Occupied(slot) = self.0.map.entry(id.clone()) else { return Ok(Replaced::Gone) };
        if !self.0.is_live(slot.get(), now) {
            return Ok(Replaced::Gone);
        }
        if !expected.is_of(&slot.get().record) {
            return Ok(Replaced::Conflict(slot.get().to_stored(now)));
        }
        let removed = slot.remove();
        if let Some(mut order) = order {
            order.remove(id, &removed.record, removed.expires);
        }
        Ok(Replaced::Done(expected.clone()))
    }

    fn users(&self) -> Option<&dyn UserIndex> {
        Some(self)
    }

    fn ids(&self) -> Option<BoxStream<'_, Result<SessionId, StoreError>>> {
        Some(stream::iter(self.all_ids().into_iter().map(Ok)).boxed())
    }

    /// Memory always answers.
    async fn check(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore")
            .field("limit", &self.0.bound.as_ref().map(|bound| bound.limit))
            .finish_non_exhaustive()
    }
}

/// Builds a [`MemoryStore`].
#[derive(Debug, Clone, Default)]
#[must_use = "call `.build()`"]
pub struct MemoryStoreBuilder {
    limit: Option<usize>,
    clock: Option<ErasedClock>,
}

impl MemoryStoreBuilder {
    /// The bound of [`MemoryStore::with_capacity_limit`]. Default: none.
    pub fn capacity_limit(mut self, limit: usize) -> Self {
        self.limit = Some(limit.max(1));
        self
    }

    /// Tells the store the time. Default: the time that has elapsed since the store was built, which nobody
    /// can set. A test gives the configuration the same clock; see `testing::TestClock`.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Some(ErasedClock::new(clock));
        self
    }

    /// The empty store.
    #[must_use]
    pub fn build(self) -> MemoryStore {
        let clock = self.clock.map_or_else(StoreClock::start, StoreClock::follow);
        MemoryStore(Arc::new(Entries::new(self.limit, clock)))
    }
}
