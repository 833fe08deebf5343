//! Points in time, as a memory store counts them.

use std::time::{Duration, Instant};

/// A time in half of an `Instant`'s size: nanoseconds since the store was made, which last for 584 years.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Tick(pub(super) u64);

impl Tick {
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
