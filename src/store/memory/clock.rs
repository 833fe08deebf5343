//! Points in time, as a memory store counts them.

use std::time::{Duration, Instant};

/// A store's clock.
#[derive(Clone)]
pub(super) struct StoreClock {
    /// Tick zero.
    origin: Instant,
}

impl StoreClock {
    /// A clock whose tick zero is now.
    pub(super) fn start() -> Self {
        Self { origin: Self::read() }
    }

    pub(super) fn now(&self) -> Now {
        let instant = Self::read();
        let nanos = instant.saturating_duration_since(self.origin).as_nanos();
        // Invariant: the elapsed nanoseconds fit, because the store has not been there for 584 years.
        debug_assert!(u64::try_from(nanos).is_ok());
        Now { instant, tick: Tick(nanos as u64) }
    }

    /// Every time that a memory store stores or compares is read here.
    fn read() -> Instant {
        Instant::now()
    }
}

/// A time in half of an `Instant`'s size: nanoseconds since the store was created, which last for 584 years.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Tick(u64);

impl Tick {
    pub(super) fn as_nanos(self) -> u64 {
        self.0
    }

    pub(super) fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    pub(super) fn after(self, ttl: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(ttl.as_nanos()).unwrap_or(u64::MAX)))
    }
}

#[derive(Clone, Copy)]
pub(super) struct Now {
    pub(super) instant: Instant,
    pub(super) tick: Tick,
}
