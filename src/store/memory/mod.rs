//! [`MemoryStore`]: records in this process.

mod sweep;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, Once, PoisonError};
use std::time::{Duration, Instant};

use dashmap::DashMap;
use dashmap::mapref::entry::Entry as Slot;
use foldhash::quality::RandomState;

use super::{Replaced, SessionStore, Stored};
use crate::error::{StoreError, cause};
use crate::id::SessionId;
use crate::record::Record;
use crate::store::loaded::{CompareBy, Expiry, Loaded, ReplaceOutcome};
use crate::store::version::Version;
use sweep::Alarm;

/// So many parts that sweeping one never holds up a request for long.
const SHARDS: usize = 256;

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

struct Shared {
    /// Ids are minted here or by `genid`, so the hash need not stand up to chosen ones; its seed is random all the same.
    sessions: DashMap<SessionId, Held, RandomState>,
    limit: Option<usize>,
    /// Held while a session is added to a bounded store.
    adding: Mutex<()>,
    start: Once,
    alarm: Arc<Alarm>,
    /// Tick zero.
    made: Instant,
}

struct Held {
    record: Record,
    expires: Tick,
}

impl Held {
    fn live(&self, now: Tick) -> bool {
        now < self.expires
    }

    fn stored(&self, now: Tick) -> Stored {
        Stored {
            record: self.record.clone(),
            version: Some(Version::of(&self.record)),
            expires_in: Some(self.expires.since(now)),
        }
    }
}

/// A time in half of an `Instant`'s size: nanoseconds since the store was made, which last for 584 years.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Tick(u64);

impl Tick {
    fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    fn after(self, ttl: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(ttl.as_nanos()).unwrap_or(u64::MAX)))
    }
}

#[derive(Clone, Copy)]
struct Now {
    instant: Instant,
    tick: Tick,
}

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
    pub(super) fn fetch(&self, id: &SessionId) -> Option<Loaded> {
        let now = self.0.now();
        let held = self.0.sessions.get(id).filter(|held| held.live(now.tick))?;
        Some(Loaded {
            record: held.record.clone(),
            compare_by: CompareBy::Record,
            expires_in: Some(held.expires.since(now.tick)),
            seen: Expiry::Monotonic(now.instant),
        })
    }

    /// Writes a record over one that is as expected.
    pub(super) fn swap(
        &self,
        id: &SessionId,
        expected: impl FnOnce(&Record) -> bool,
        record: &Record,
        ttl: Duration,
    ) -> ReplaceOutcome {
        let now = self.0.now().tick;
        let Some(mut held) = self.0.sessions.get_mut(id).filter(|held| held.live(now)) else {
            return ReplaceOutcome::Gone;
        };
        if !expected(&held.record) {
            return ReplaceOutcome::Conflict(held.stored(now));
        }
        let new = Held { record: record.clone(), expires: now.after(ttl) };
        let expires = new.expires;
        let old = std::mem::replace(&mut *held, new);
        drop(held);
        // Freed with no lock held.
        drop(old);
        self.0.expect(expires);
        ReplaceOutcome::Done(None)
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

impl Shared {
    fn now(&self) -> Now {
        let instant = Instant::now();
        // Elapsed nanoseconds fit for as long as ticks do.
        let tick = Tick(instant.saturating_duration_since(self.made).as_nanos() as u64);
        Now { instant, tick }
    }

    /// Takes out the sessions closest to their expiry: a sixty-fourth of the limit at once, so that a full store does
    /// not walk through all sessions for each new one.
    fn make_room(&self, limit: usize, now: Tick) {
        self.sessions.retain(|_, held| held.live(now));
        let surplus = (self.sessions.len() + 1).saturating_sub(limit);
        if surplus == 0 {
            return;
        }
        let surplus = surplus.max(limit / 64).min(self.sessions.len());
        let mut all: Vec<_> = self.sessions.iter().map(|held| (held.expires, held.key().clone())).collect();
        all.select_nth_unstable_by_key(surplus - 1, |(expires, _)| *expires);
        for (_, id) in &all[..surplus] {
            self.sessions.remove(id);
        }
    }

    /// Tells the sweep of a record that expires then.
    fn expect(self: &Arc<Self>, expires: Tick) {
        self.start.call_once(|| {
            let (store, alarm) = (Arc::downgrade(self), Arc::clone(&self.alarm));
            let thread = std::thread::Builder::new().name("sessile-memory-sweep".into());
            if let Err(error) = thread.spawn(move || sweep::run(&store, &alarm)) {
                tracing::warn!(
                    error = cause(&error),
                    "no thread for the sweep: expired sessions keep their memory"
                );
            }
        });
        self.alarm.no_later_than(expires);
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.alarm.stop();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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
            ReplaceOutcome::Done(_) => Replaced::Done(Version::of(record)),
            ReplaceOutcome::Conflict(stored) => Replaced::Conflict(stored),
            ReplaceOutcome::Gone => Replaced::Gone,
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
