//! [`MemoryStore`]: records in this process.

use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, Once, PoisonError, Weak};
use std::time::{Duration, Instant};

use dashmap::DashMap;
use dashmap::mapref::entry::Entry as Slot;

use super::{Replaced, SessionStore, Stored, Version};
use crate::error::{StoreError, cause};
use crate::id::SessionId;
use crate::record::Record;

/// So many parts that sweeping one never holds up a request for long.
const SHARDS: usize = 256;
/// Rounds of the sweep are at least this far apart, and a hundred times what one round takes.
const MIN_ROUND: Duration = Duration::from_millis(100);

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
    sessions: DashMap<SessionId, Held>,
    limit: Option<usize>,
    /// Held while a session is added to a bounded store.
    adding: Mutex<()>,
    start: Once,
    alarm: Arc<Alarm>,
}

struct Held {
    record: Record,
    expires: Instant,
}

impl Held {
    fn live(&self, now: Instant) -> bool {
        now < self.expires
    }

    fn stored(&self, now: Instant) -> Stored {
        Stored {
            record: self.record.clone(),
            version: Some(Version::of(&self.record)),
            expires_in: Some(self.expires.saturating_duration_since(now)),
            seen: Some(now),
        }
    }
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
        Self(Arc::new(Shared {
            sessions: DashMap::with_shard_amount(SHARDS),
            limit,
            adding: Mutex::new(()),
            start: Once::new(),
            alarm: Arc::default(),
        }))
    }

    /// How many live sessions there are. Walks through all of them.
    #[must_use]
    pub fn len(&self) -> usize {
        let now = Instant::now();
        self.0.sessions.iter().filter(|held| held.live(now)).count()
    }

    /// Whether no live session is there.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let now = Instant::now();
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
        let now = Instant::now();
        self.0.sessions.iter().filter(|held| held.live(now)).map(|held| held.key().clone()).collect()
    }

    /// Writes a record where `allowed` says so of what stands there.
    fn put(&self, id: &SessionId, record: &Record, ttl: Duration, over_live: bool) -> bool {
        let now = Instant::now();
        let held = Held { record: record.clone(), expires: deadline(now, ttl) };
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
    /// Takes out the sessions closest to their expiry: a sixty-fourth of the limit at once, so that a full store does
    /// not walk through all sessions for each new one.
    fn make_room(&self, limit: usize, now: Instant) {
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
    fn expect(self: &Arc<Self>, expires: Instant) {
        self.start.call_once(|| {
            let (store, alarm) = (Arc::downgrade(self), Arc::clone(&self.alarm));
            let thread = std::thread::Builder::new().name("sessile-memory-sweep".into());
            if let Err(error) = thread.spawn(move || sweep(&store, &alarm)) {
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

fn deadline(now: Instant, ttl: Duration) -> Instant {
    now.checked_add(ttl).unwrap_or_else(|| now + crate::set_cookie::MAX_LIFE)
}

/// A thread's body: removes what expired, round after round, until the store is gone.
fn sweep(store: &Weak<Shared>, alarm: &Alarm) {
    let mut earliest = Instant::now();
    while alarm.wait(earliest) {
        let Some(shared) = store.upgrade() else { return };
        let began = Instant::now();
        let mut next = None::<Instant>;
        // Locks one shard at a time.
        shared.sessions.retain(|_, held| {
            let keep = held.live(began);
            if keep {
                next = Some(next.map_or(held.expires, |next| next.min(held.expires)));
            }
            keep
        });
        if shared.sessions.capacity() > 4 * shared.sessions.len() + SHARDS * 4 {
            shared.sessions.shrink_to_fit();
        }
        if let Some(next) = next {
            alarm.no_later_than(next);
        }
        let now = Instant::now();
        earliest = now + MIN_ROUND.max(100 * (now - began));
    }
}

/// When the sweep wakes.
#[derive(Default)]
struct Alarm {
    at: Mutex<Wake>,
    changed: Condvar,
}

#[derive(Default, Clone, Copy)]
enum Wake {
    /// Nothing is stored.
    #[default]
    Never,
    At(Instant),
    Stop,
}

impl Alarm {
    fn no_later_than(&self, instant: Instant) {
        let mut at = lock(&self.at);
        match *at {
            Wake::Stop => return,
            Wake::At(earlier) if earlier <= instant => return,
            Wake::At(_) | Wake::Never => *at = Wake::At(instant),
        }
        self.changed.notify_one();
    }

    fn stop(&self) {
        *lock(&self.at) = Wake::Stop;
        self.changed.notify_one();
    }

    /// Sleeps until the alarm goes off, at `earliest` the soonest; `false`: the store is gone.
    fn wait(&self, earliest: Instant) -> bool {
        let mut at = lock(&self.at);
        loop {
            let now = Instant::now();
            let due = match *at {
                Wake::Stop => return false,
                Wake::Never => {
                    at = self.changed.wait(at).unwrap_or_else(PoisonError::into_inner);
                    continue;
                }
                Wake::At(due) => due.max(earliest),
            };
            if due <= now {
                *at = Wake::Never;
                return true;
            }
            at = self.changed.wait_timeout(at, due - now).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl SessionStore for MemoryStore {
    async fn get(&self, id: &SessionId) -> Result<Option<Stored>, StoreError> {
        let now = Instant::now();
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
        let now = Instant::now();
        let Some(mut held) = self.0.sessions.get_mut(id).filter(|held| held.live(now)) else {
            return Ok(false);
        };
        held.expires = deadline(now, ttl);
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
        let now = Instant::now();
        let Some(mut held) = self.0.sessions.get_mut(id).filter(|held| held.live(now)) else {
            return Ok(Replaced::Gone);
        };
        if Version::of(&held.record) != *expected {
            return Ok(Replaced::Conflict(held.stored(now)));
        }
        *held = Held { record: record.clone(), expires: deadline(now, ttl) };
        let expires = held.expires;
        drop(held);
        self.0.expect(expires);
        Ok(Replaced::Done(Version::of(record)))
    }

    async fn destroy_if(&self, id: &SessionId, expected: &Version) -> Result<Replaced, StoreError> {
        let now = Instant::now();
        let Slot::Occupied(slot) = self.0.sessions.entry(id.clone()) else { return Ok(Replaced::Gone) };
        if !slot.get().live(now) {
            return Ok(Replaced::Gone);
        }
        if Version::of(&slot.get().record) != *expected {
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
