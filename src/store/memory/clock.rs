//! The clock of a memory store, and its points in time.

use std::time::{Duration, Instant, SystemTime};

use crate::clock::{ErasedClock, monotonic};
use crate::store::loaded::Expiry;

/// How long the sweep sleeps at most while a given clock tells the time: nothing wakes it when that clock is
/// moved.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);

/// A clock that counts from the creation of its store.
#[derive(Clone)]
pub(super) enum StoreClock {
    /// Counts elapsed time from tick zero, so that setting the machine's clock moves no expiry.
    Elapsed { origin: Instant },
    /// Follows a clock that the program has given. Tick zero is 292 years back, so that the clock can be set
    /// either way.
    Given { clock: ErasedClock, origin: SystemTime },
}

impl StoreClock {
    /// A clock of elapsed time whose tick zero is now.
    pub(super) fn start() -> Self {
        Self::Elapsed { origin: monotonic() }
    }

    /// A clock that follows another one.
    pub(super) fn follow(clock: ErasedClock) -> Self {
        let now = clock.now();
        let origin = now.checked_sub(Duration::from_nanos(u64::MAX / 2)).unwrap_or(now);
        Self::Given { clock, origin }
    }

    pub(super) fn now(&self) -> Now {
        let (elapsed, seen) = match self {
            Self::Elapsed { origin } => {
                let now = monotonic();
                (now.saturating_duration_since(*origin), Expiry::Monotonic(now))
            }
            Self::Given { clock, origin } => {
                let now = clock.now();
                // A clock that is set further back than tick zero stands at tick zero.
                (now.duration_since(*origin).unwrap_or_default(), Expiry::Wall(now))
            }
        };
        // 64 bits hold 584 years. A given clock may be set further ahead, and then stands still at that tick.
        let tick = Tick(u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX));
        Now { seen, tick }
    }

    /// Whether the clock can be set back.
    pub(super) fn can_be_set(&self) -> bool {
        matches!(self, Self::Given { .. })
    }

    /// How long the sweep may sleep before it looks at this clock again.
    pub(super) fn sleep(&self, remaining: Duration) -> Duration {
        match self {
            Self::Elapsed { .. } => remaining,
            Self::Given { .. } => remaining.min(LONGEST_SLEEP),
        }
    }
}

/// A point in time: nanoseconds since tick zero. A tick has half of an `Instant`'s size, and every
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
    /// The same moment as a session keeps it.
    pub(super) seen: Expiry,
    pub(super) tick: Tick,
}
