//! When the sweep wakes.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, LockResult, Mutex, PoisonError};
use std::time::Instant;

use super::clock::{StoreClock, Tick};

/// When the sweep wakes.
pub(super) struct SweepTimer {
    clock: StoreClock,
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
            Self::At(tick) => tick.as_nanos(),
            Self::Stop => 0,
        }
    }
}

impl SweepTimer {
    pub(super) fn new(clock: StoreClock) -> Self {
        let due = AtomicU64::new(Wake::Never.due());
        Self { clock, wake: Mutex::new(Wake::Never), changed: Condvar::new(), due }
    }

    fn set(&self, wake: &mut Wake, to: Wake) {
        *wake = to;
        self.due.store(to.due(), Ordering::Relaxed);
    }

    pub(super) fn wake_by(&self, tick: Tick) {
        if self.due.load(Ordering::Relaxed) <= tick.as_nanos() {
            return;
        }
        let mut wake = unpoisoned(self.wake.lock());
        match *wake {
            Wake::Stop => return,
            Wake::At(earlier) if earlier <= tick => return,
            Wake::At(_) | Wake::Never => self.set(&mut wake, Wake::At(tick)),
        }
        self.changed.notify_one();
    }

    pub(super) fn stop(&self) {
        self.set(&mut *unpoisoned(self.wake.lock()), Wake::Stop);
        self.changed.notify_one();
    }

    /// Sleeps until the alarm goes off, at `earliest` the soonest; `false`: the store is gone.
    pub(super) fn wait(&self, earliest: Instant) -> bool {
        let mut wake = unpoisoned(self.wake.lock());
        loop {
            let remaining = match *wake {
                Wake::Stop => return false,
                Wake::Never => {
                    wake = unpoisoned(self.changed.wait(wake));
                    continue;
                }
                Wake::At(tick) => tick.since(self.clock.now().tick),
            };
            let sleep = remaining.max(earliest.saturating_duration_since(Instant::now()));
            if sleep.is_zero() {
                self.set(&mut wake, Wake::Never);
                return true;
            }
            wake = unpoisoned(self.changed.wait_timeout(wake, sleep)).0;
        }
    }
}

/// What was locked, also when a thread panicked while it held the lock: no panic leaves it half changed.
pub(super) fn unpoisoned<T>(locked: LockResult<T>) -> T {
    locked.unwrap_or_else(PoisonError::into_inner)
}
