//! The thread that removes expired sessions, and what wakes it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use super::{SHARDS, Shared, Tick, lock};
use crate::record::Record;

/// Rounds are at least this far apart, and a hundred times what one round takes.
const MIN_ROUND: Duration = Duration::from_millis(100);

/// A thread's body: removes what expired, round after round, until the store is gone.
pub(super) fn run(store: &Weak<Shared>, alarm: &Alarm) {
    let mut earliest = Instant::now();
    while alarm.wait(earliest) {
        let Some(shared) = store.upgrade() else { return };
        let began = shared.now();
        let mut next = None::<Tick>;
        let (mut expired, nothing) = (Expired::default(), Record::default());
        // Locks one shard at a time.
        shared.sessions.retain(|_, held| {
            let keep = held.live(began.tick);
            if keep {
                next = Some(next.map_or(held.expires, |next| next.min(held.expires)));
            } else {
                expired.take(std::mem::replace(&mut held.record, nothing.clone()));
            }
            keep
        });
        expired.free();
        if shared.sessions.capacity() > 4 * shared.sessions.len() + SHARDS * 4 {
            shared.sessions.shrink_to_fit();
        }
        if let Some(next) = next {
            alarm.no_later_than(next);
        }
        let now = Instant::now();
        earliest = now + MIN_ROUND.max(100 * (now - began.instant));
    }
}

/// Records taken out of the store. Freeing one takes far longer than moving it, so that is left for when no shard is
/// locked.
#[derive(Default)]
struct Expired(Vec<Vec<Record>>);

impl Expired {
    /// Parts, because one long list would be moved as it grows.
    const PART: usize = 512;
    /// Log2 of a region's bytes.
    const REGION: u32 = 20;

    fn take(&mut self, record: Record) {
        match self.0.last_mut() {
            Some(part) if part.len() < Self::PART => part.push(record),
            _ => {
                let mut part = Vec::with_capacity(Self::PART);
                part.push(record);
                self.0.push(part);
            }
        }
    }

    /// Region by region from the highest address down. An allocator that returns memory from the end of its heap then does
    /// so bit by bit; in any other order it has nearly all of it to return at the last record, and whoever allocates
    /// meanwhile waits.
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

/// When the sweep wakes.
pub(super) struct Alarm {
    made: Instant,
    wake: Mutex<Wake>,
    changed: Condvar,
    /// What `wake` says, to be asked without the lock: nearly every write finds that the alarm goes off before it matters.
    /// A write that reads an alarm which is just going off was made before the sweep comes by.
    due: AtomicU64,
}

#[derive(Clone, Copy)]
enum Wake {
    /// Nothing is stored.
    Never,
    At(Tick),
    Stop,
}

impl Wake {
    fn due(self) -> u64 {
        match self {
            Self::Never => u64::MAX,
            Self::At(tick) => tick.0,
            Self::Stop => 0,
        }
    }
}

impl Alarm {
    pub(super) fn new(made: Instant) -> Self {
        let due = AtomicU64::new(Wake::Never.due());
        Self { made, wake: Mutex::new(Wake::Never), changed: Condvar::new(), due }
    }

    fn set(&self, wake: &mut Wake, to: Wake) {
        *wake = to;
        self.due.store(to.due(), Ordering::Relaxed);
    }

    pub(super) fn no_later_than(&self, tick: Tick) {
        if self.due.load(Ordering::Relaxed) <= tick.0 {
            return;
        }
        let mut wake = lock(&self.wake);
        match *wake {
            Wake::Stop => return,
            Wake::At(earlier) if earlier <= tick => return,
            Wake::At(_) | Wake::Never => self.set(&mut wake, Wake::At(tick)),
        }
        self.changed.notify_one();
    }

    pub(super) fn stop(&self) {
        self.set(&mut lock(&self.wake), Wake::Stop);
        self.changed.notify_one();
    }

    /// Sleeps until the alarm goes off, at `earliest` the soonest; `false`: the store is gone.
    fn wait(&self, earliest: Instant) -> bool {
        let mut wake = lock(&self.wake);
        loop {
            let due = match *wake {
                Wake::Stop => return false,
                Wake::Never => None,
                Wake::At(tick) => self.made.checked_add(Duration::from_nanos(tick.0)),
            };
            let Some(due) = due else {
                wake = self.changed.wait(wake).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let (due, now) = (due.max(earliest), Instant::now());
            if due <= now {
                self.set(&mut wake, Wake::Never);
                return true;
            }
            wake = self.changed.wait_timeout(wake, due - now).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}
