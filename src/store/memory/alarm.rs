//! When the sweep wakes.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::clock::Tick;

/// When the sweep wakes.
pub(super) struct SweepTimer {
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

impl SweepTimer {
    pub(super) fn new(made: Instant) -> Self {
        let due = AtomicU64::new(Wake::Never.due());
        Self { made, wake: Mutex::new(Wake::Never), changed: Condvar::new(), due }
    }

    fn set(&self, wake: &mut Wake, to: Wake) {
        *wake = to;
        self.due.store(to.due(), Ordering::Relaxed);
    }

    pub(super) fn wake_by(&self, tick: Tick) {
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
    pub(super) fn wait(&self, earliest: Instant) -> bool {
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

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
