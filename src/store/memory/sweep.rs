//! The thread that removes expired entries.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::alarm::SweepTimer;
use super::bound::Bound;
use super::clock::Tick;
use super::entries::{Entries, SHARDS};
use crate::clock::monotonic;
use crate::error::cause;
use crate::record::Record;

/// The shortest pause between two rounds.
const MIN_PAUSE: Duration = Duration::from_millis(100);

/// A pause is at least this many times as long as the round before it, so that the sweep takes about 1 % of a
/// core at most.
const PAUSE_FACTOR: u32 = 100;

/// The number of entries that the sweep of a bounded store removes at a time: some 100 microseconds' work.
const FEW: usize = 256;

impl Entries {
    /// Schedules a sweep for an entry that expires at this tick. The first call starts the thread.
    ///
    /// Invariant: the entry is in the map already, see [`SweepTimer::wake_by`].
    pub(super) fn schedule_sweep(self: &Arc<Self>, expires: Tick) {
        self.sweep_started.call_once(|| {
            let (entries, timer) = (Arc::downgrade(self), Arc::clone(&self.timer));
            let thread = std::thread::Builder::new().name("sessile-memory-sweep".into());
            if let Err(error) = thread.spawn(move || sweep_repeatedly(&entries, &timer)) {
                tracing::warn!(
                    error = cause(&error),
                    "no thread for the sweep: expired sessions keep their memory"
                );
            }
        });
        self.timer.wake_by(expires);
    }

    /// Removes the expired entries, and returns when the next one expires.
    fn sweep(&self) -> Option<Tick> {
        let next = match &self.bound {
            Some(bound) => self.sweep_in_order(bound),
            None => self.sweep_map(),
        };
        // Each part of the map keeps some capacity, so that a small map is not shrunk after every round.
        if self.map.capacity() > 4 * self.map.len() + SHARDS * 4 {
            self.map.shrink_to_fit();
        }
        next
    }

    /// Removes the expired entries of a bounded store, whose order knows them.
    fn sweep_in_order(&self, bound: &Bound) -> Option<Tick> {
        loop {
            let mut expired = Expired::default();
            // The lock is free again after every few entries, so that no write waits long. The clock is read
            // under the lock, as writes read it: what they have written since a clock was set is
            // not taken for expired.
            let (mut order, mut next) = (bound.order(), None);
            let now = self.clock.now().tick;
            for _ in 0..FEW {
                let Some(place) = order.pop_expired(now) else {
                    next = Some(order.next_expiry());
                    break;
                };
                if let Some((_, entry)) = self.map.remove(&place.id) {
                    expired.push(entry.record);
                }
            }
            drop(order);
            expired.free();
            if let Some(next) = next {
                return next;
            }
        }
    }

    /// Removes the expired entries of a store without a bound, which has no order: it looks at all of them.
    fn sweep_map(&self) -> Option<Tick> {
        let now = self.clock.now().tick;
        let mut next = None::<Tick>;
        let (mut expired, empty) = (Expired::default(), Record::default());
        // `retain` locks one part of the map at a time.
        self.map.retain(|_, entry| {
            let keep = self.is_live(entry, now);
            if keep {
                next = Some(next.map_or(entry.expires, |next| next.min(entry.expires)));
            } else {
                expired.push(std::mem::replace(&mut entry.record, empty.clone()));
            }
            keep
        });
        expired.free();
        next
    }
}

/// The body of the thread: removes the expired entries, round after round, until the store is dropped.
///
/// The thread holds the entries weakly between rounds, so that the store is dropped with its last handle.
fn sweep_repeatedly(entries: &Weak<Entries>, timer: &SweepTimer) {
    let mut earliest = monotonic();
    while timer.wait(earliest) {
        let Some(entries) = entries.upgrade() else { return };
        let began = monotonic();
        if let Some(next) = entries.sweep() {
            timer.wake_by(next);
        }
        let ended = monotonic();
        earliest = ended + MIN_PAUSE.max(PAUSE_FACTOR * (ended - began));
    }
}

/// Expired records, moved out of the map to be freed when no part of the map is locked: freeing a record
/// takes far longer than moving it.
#[derive(Default)]
struct Expired(Vec<Vec<Record>>);

impl Expired {
    /// Records in a chunk. The records are in chunks because a single growing list would be copied as a whole
    /// each time it grows, while a part of the map is locked.
    const CHUNK: usize = 512;
    /// Binary logarithm of the size of an address region in bytes: 1 MiB.
    const REGION: u32 = 20;

    fn push(&mut self, record: Record) {
        match self.0.last_mut() {
            Some(chunk) if chunk.len() < Self::CHUNK => chunk.push(record),
            _ => {
                let mut chunk = Vec::with_capacity(Self::CHUNK);
                chunk.push(record);
                self.0.push(chunk);
            }
        }
    }

    /// Frees the records by address region, from the highest region down.
    ///
    /// An allocator that returns memory from the end of its heap to the system then does so in small steps.
    /// In any other order it returns nearly all of the memory when the last record is freed, and every other
    /// allocation waits for that. The longest wait of a request during a sweep of a million expired sessions
    /// is 0.15 ms in this order; it was 60 to 180 ms before.
    fn free(self) {
        let mut regions = BTreeMap::<usize, Vec<Record>>::new();
        for record in self.0.into_iter().flatten() {
            regions.entry(record.as_bytes().as_ptr().addr() >> Self::REGION).or_default().push(record);
        }
        while let Some((_, region)) = regions.pop_last() {
            drop(region);
            std::thread::yield_now();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, OnceLock};
    use std::time::SystemTime;

    use super::super::clock::StoreClock;
    use super::super::entries::Entry;
    use super::*;
    use crate::clock::{Clock, ErasedClock, SystemClock};
    use crate::id::SessionId;
    use crate::sync::lock;

    const HOUR: Duration = Duration::from_secs(3600);

    type Write = Box<dyn FnOnce() + Send>;

    /// A clock that is set back by two hours right after it was read for the first time since it was armed.
    /// Somebody writes a session then.
    struct SetBack {
        now: Mutex<SystemTime>,
        write: Mutex<Option<Write>>,
    }

    impl Clock for SetBack {
        fn now(&self) -> SystemTime {
            let read = *lock(&self.now);
            let write = lock(&self.write).take();
            if let Some(write) = write {
                *lock(&self.now) -= 2 * HOUR;
                write();
            }
            read
        }
    }

    #[test]
    fn a_sweep_spares_what_is_written_after_the_clock_was_set_back() {
        let clock = Arc::new(SetBack { now: Mutex::new(SystemClock.now()), write: Mutex::new(None) });
        let entries = Arc::new(Entries::new(None, StoreClock::follow(ErasedClock::new(Arc::clone(&clock)))));
        let write = |entries: &Entries, life| {
            let (id, expires) = (SessionId::random(), entries.clock.now().tick.after(life));
            entries.map.insert(id.clone(), Entry { record: Record::default(), expires });
            id
        };
        let expired = write(&entries, Duration::ZERO);
        *lock(&clock.now) += 3 * HOUR;
        let fresh = Arc::new(OnceLock::new());
        let (writer, written) = (Arc::clone(&entries), Arc::clone(&fresh));
        *lock(&clock.write) = Some(Box::new(move || written.set(write(&writer, HOUR)).expect("once")));
        assert!(entries.sweep().is_some());
        assert!(entries.map.contains_key(fresh.get().expect("the clock was read")));
        assert!(!entries.map.contains_key(&expired));
    }
}
