//! The entries of a memory store: a record and its expiry under each id.

use std::sync::{Arc, MutexGuard, Once};

use dashmap::DashMap;
use foldhash::quality::RandomState;

use super::alarm::SweepTimer;
use super::bound::{Bound, Order};
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
    /// What is noted of each user's sessions, under the keyed hash of the user.
    pub(super) users: DashMap<Box<str>, String, RandomState>,
    /// How many entries there may be, and which go first.
    pub(super) bound: Option<Bound>,
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
        Self {
            map: DashMap::with_hasher_and_shard_amount(RandomState::default(), SHARDS),
            users: DashMap::default(),
            bound: limit.map(Bound::new),
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

    /// The order of a bounded store, locked. Every write to such a store holds it.
    pub(super) fn order(&self) -> Option<MutexGuard<'_, Order>> {
        Some(self.bound.as_ref()?.order())
    }

    /// Removes entries of a bounded store until there is room for one more. Each write adds one entry at
    /// most, so that is one entry as a rule.
    pub(super) fn make_room(&self, limit: usize, order: &mut Order, now: Tick) {
        while order.len() >= limit {
            let Some(place) = order.pop(now) else { return };
            self.map.remove(&place.id);
        }
    }
}

impl Drop for Entries {
    fn drop(&mut self) {
        self.timer.stop();
    }
}
