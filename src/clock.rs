//! [`Clock`]: the only place where this crate reads the time.

use std::fmt;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

/// A clock for a configuration, a [`MemoryStore`](crate::MemoryStore) or a [`FileStore`](crate::FileStore).
///
/// The default is [`SystemClock`]. A test gives the same `TestClock` (feature `testing`) to the configuration
/// and to the store, and moves that clock instead of sleeping. Stores on servers use the server's own clock.
///
/// ```
/// use std::time::{Duration, SystemTime};
/// use sessile::Clock;
///
/// /// The clock of a machine that is an hour behind.
/// struct Behind;
///
/// impl Clock for Behind {
///     fn now(&self) -> SystemTime {
///         SystemTime::now() - Duration::from_secs(3600)
///     }
/// }
/// ```
pub trait Clock: Send + Sync + 'static {
    /// The date and time.
    fn now(&self) -> SystemTime;
}

/// The machine's own clock. When that clock is set to another time, sessions expire earlier or later, except
/// in a [`MemoryStore`](crate::MemoryStore), which by default measures elapsed time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }
}

impl<C: Clock + ?Sized> Clock for Arc<C> {
    fn now(&self) -> SystemTime {
        (**self).now()
    }
}

/// A clock of any type. The system's clock is a variant of its own, which saves a call through a function
/// pointer.
#[derive(Clone, Default)]
pub(crate) enum ErasedClock {
    #[default]
    System,
    Given(Arc<dyn Clock>),
}

impl ErasedClock {
    pub(crate) fn new(clock: impl Clock) -> Self {
        Self::Given(Arc::new(clock))
    }

    #[inline]
    pub(crate) fn now(&self) -> SystemTime {
        match self {
            Self::System => SystemClock.now(),
            Self::Given(clock) => clock.now(),
        }
    }
}

impl fmt::Debug for ErasedClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::System => "System",
            Self::Given(_) => "Given",
        })
    }
}

/// The time by the monotonic clock, which cannot be set.
pub(crate) fn monotonic() -> Instant {
    Instant::now()
}
