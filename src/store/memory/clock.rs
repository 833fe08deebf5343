//! The clock of a memory store, and its points in time.

use std::time::{Duration, Instant};

/// A clock that counts from the creation of its store.
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
        // Invariant: the nanoseconds since the store's creation fit into 64 bits, which last for 584 years.
        debug_assert!(u64::try_from(nanos).is_ok());
        Now { instant, tick: Tick(nanos as u64) }
    }

    /// Reads the system's clock. All times that the store keeps or compares come from this function.
    fn read() -> Instant {
        Instant::now()
    }
}

/// A point in time: nanoseconds since the store's creation. A tick has half of an `Instant`'s size, and every
/// entry holds one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Tick(u64);

impl Tick {
    pub(super) fn as_nanos(self) -> u64 {
        self.0
    }

    /// The time from an earlier tick to this one; zero when the other tick is the later one.
    pub(super) fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    pub(super) fn after(self, ttl: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(ttl.as_nanos()).unwrap_or(u64::MAX)))
    }
}

/// The present, as a tick for the store and as an `Instant` for its callers, who do not know ticks.
#[derive(Clone, Copy)]
pub(super) struct Now {
    pub(super) instant: Instant,
    pub(super) tick: Tick,
}
