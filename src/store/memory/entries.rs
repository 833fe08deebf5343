//! The entries of a memory store: a record and its expiry under each id.

use std::sync::{Arc, Mutex, Once};

use dashmap::DashMap;
use foldhash::quality::RandomState;

use super::alarm::SweepTimer;
use super::clock::{StoreClock, Tick};
use crate::id::SessionId;
use crate::record::Record;
use crate::store::Stored;
use crate::store::version::Version;

/// The number of parts of the map, each with a lock of its own. The sweep locks one part at a time, so a
/// request never waits for the sweep of more than one part.
pub(super) const SHARDS: usize = 256;

/// What all handles on a store share.
pub(super) struct Entries {
    /// The hash is fast and not made for keys that an attacker chooses. It need not be: ids are created by
    /// this crate or by `genid`, and an id from a cookie is looked up only after its signature was verified.
    /// The seed is random all the same.
    pub(super) map: DashMap<SessionId, Entry, RandomState>,
    /// How many entries there may be.
    ///
    /// Invariant: at least 1.
    pub(super) limit: Option<usize>,
    /// Locked while a bounded store adds an entry, so that parallel requests cannot exceed the limit
    /// together.
    pub(super) adding: Mutex<()>,
    pub(super) sweep_started: Once,
    pub(super) timer: Arc<SweepTimer>,
    pub(super) clock: StoreClock,
}

pub(super) struct Entry {
    pub(super) record: Record,
    pub(super) expires: Tick,
}

impl Entry {
    fn is_live(&self, now: Tick) -> bool {
        now < self.expires
    }

    pub(super) fn to_stored(&self, now: Tick) -> Stored {
        Stored {
            record: self.record.clone(),
            version: Some(Version::of(&self.record)),
            expires_in: Some(self.expires.since(now)),
        }
    }
}

impl Entries {
    pub(super) fn new(limit: Option<usize>, clock: StoreClock) -> Self {
        debug_assert_ne!(limit, Some(0), "a limit is at least 1");
        Self {
            map: DashMap::with_hasher_and_shard_amount(RandomState::default(), SHARDS),
            limit,
            adding: Mutex::new(()),
            sweep_started: Once::new(),
            timer: Arc::new(SweepTimer::new(clock.clone())),
            clock,
        }
    }

    /// Whether an entry is live. `now` was read before the entry's part of the map was locked.
    ///
    /// A clock that was set back in between would make an entry that was written since seem to have expired.
    /// So an entry is expired if it still is by the clock as it is now.
    pub(super) fn is_live(&self, entry: &Entry, now: Tick) -> bool {
        entry.is_live(now) || (self.clock.can_be_set() && entry.is_live(self.clock.now().tick))
    }

    /// Removes the expired entries and, if that does not suffice for one more entry, the entries closest to
    /// their expiry. Of these it removes a 64th of the limit at once, so that a full store does not walk
    /// through all entries for each new one.
    ///
    /// Invariant: the caller has locked `adding`, so no other request adds an entry meanwhile.
    pub(super) fn make_room(&self, limit: usize, now: Tick) {
        debug_assert!(self.adding.try_lock().is_err(), "`adding` is locked");
        self.map.retain(|_, entry| self.is_live(entry, now));
        let surplus = (self.map.len() + 1).saturating_sub(limit);
        if surplus == 0 {
            return;
        }
        let mut all: Vec<_> = self.map.iter().map(|entry| (entry.expires, entry.key().clone())).collect();
        // Other requests may have removed entries since the map was counted, even all of them.
        let surplus = surplus.max(limit / 64).min(all.len());
        let Some(last) = surplus.checked_sub(1) else { return };
        all.select_nth_unstable_by_key(last, |(expires, _)| *expires);
        for (_, id) in &all[..surplus] {
            self.map.remove(id);
        }
    }
}

impl Drop for Entries {
    fn drop(&mut self) {
        self.timer.stop();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn entries_may_go_while_room_is_made() {
        let entries = Entries::new(Some(1), StoreClock::start());
        let id = SessionId::random();
        std::thread::scope(|threads| {
            let adding = threads.spawn(|| {
                for _ in 0..3_000 {
                    let _adding = entries.adding.lock();
                    let now = entries.clock.now().tick;
                    let expires = now.after(Duration::from_secs(3600));
                    entries.map.insert(id.clone(), Entry { record: Record::default(), expires });
                    entries.make_room(1, now);
                }
            });
            while !adding.is_finished() {
                entries.map.remove(&id);
            }
        });
    }
}
