//! The sessions of a memory store.

use std::sync::{Arc, Mutex, Once};

use dashmap::DashMap;
use foldhash::quality::RandomState;

use super::alarm::SweepTimer;
use super::clock::{StoreClock, Tick};
use crate::id::SessionId;
use crate::record::Record;
use crate::store::Stored;
use crate::store::version::Version;

/// So many parts that sweeping one never holds up a request for long.
pub(super) const SHARDS: usize = 256;

pub(super) struct Entries {
    /// Ids are minted here or by `genid`, so the hash need not stand up to chosen ones; its seed is random all the same.
    pub(super) map: DashMap<SessionId, Entry, RandomState>,
    pub(super) limit: Option<usize>,
    /// Held while a session is added to a bounded store.
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
    pub(super) fn is_live(&self, now: Tick) -> bool {
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
    /// Takes out the sessions closest to their expiry: a sixty-fourth of the limit at once, so that a full store does
    /// not walk through all sessions for each new one.
    pub(super) fn make_room(&self, limit: usize, now: Tick) {
        self.map.retain(|_, entry| entry.is_live(now));
        let surplus = (self.map.len() + 1).saturating_sub(limit);
        if surplus == 0 {
            return;
        }
        let surplus = surplus.max(limit / 64).min(self.map.len());
        let mut all: Vec<_> = self.map.iter().map(|entry| (entry.expires, entry.key().clone())).collect();
        all.select_nth_unstable_by_key(surplus - 1, |(expires, _)| *expires);
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
