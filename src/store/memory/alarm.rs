//! The timer that wakes the sweep.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Instant;

use super::clock::{StoreClock, Tick};
use crate::clock::monotonic;
use crate::sync::lock;

/// Tells the sweep's thread when to wake. Writes set it, and the thread waits for it.
pub(super) struct SweepTimer {
    clock: StoreClock,
    wake: Mutex<Wake>,
    changed: Condvar,
    /// A copy of `wake` as nanoseconds, which a write reads without the lock: nearly every write finds that
    /// the timer is set to an earlier tick.
    ///
    /// Invariant: it changes with `wake` and under its lock, see [`SweepTimer::set`].
    due: AtomicU64,
}

/// When the thread wakes.
#[derive(Clone, Copy)]
enum Wake {
    /// Not before the timer is set: no entry waits for its expiry.
    Never,
    At(Tick),
    /// At once, and for the last time: the store is dropped.
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

    /// The only place that changes `wake` and `due`. The borrow of `wake` proves that its lock is held.
    fn set(&self, wake: &mut Wake, to: Wake) {
        *wake = to;
        self.due.store(to.due(), Ordering::Relaxed);
    }

    /// Makes the thread wake at this tick or earlier.
    ///
    /// Invariant: the entry that expires at this tick is in the map before this call. So a call that reads
    /// `due` just before the thread resets it can return without setting the timer: the thread locks the
    /// entry's part of the map afterwards and finds the entry. (Had the thread locked that part first, the
    /// part's lock would have made the reset visible to this call.)
    pub(super) fn wake_by(&self, tick: Tick) {
        if self.due.load(Ordering::Relaxed) <= tick.as_nanos() {
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

    /// Makes the thread end.
    pub(super) fn stop(&self) {
        let mut wake = lock(&self.wake);
        self.set(&mut wake, Wake::Stop);
        self.changed.notify_one();
    }

    /// Sleeps until the timer is due and `earliest` has passed, and resets the timer. Returns `false` when
    /// the store is dropped.
    pub(super) fn wait(&self, earliest: Instant) -> bool {
        let mut wake = lock(&self.wake);
        loop {
            debug_assert_eq!(self.due.load(Ordering::Relaxed), wake.due(), "`due` is a copy of `wake`");
            let remaining = match *wake {
                Wake::Stop => return false,
                Wake::Never => {
                    wake = self.changed.wait(wake).unwrap_or_else(PoisonError::into_inner);
                    continue;
                }
                Wake::At(tick) => tick.since(self.clock.now().tick),
            };
            let sleep = remaining.max(earliest.saturating_duration_since(monotonic()));
            if sleep.is_zero() {
                self.set(&mut wake, Wake::Never);
                return true;
            }
            wake = self
                .changed
                .wait_timeout(wake, self.clock.sleep(sleep))
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }
}
