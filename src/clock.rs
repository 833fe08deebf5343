//! [`Clock`]: the one place where the crate reads the time.

use std::fmt;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

/// Tells a configuration, a [`MemoryStore`](crate::MemoryStore) or a [`FileStore`](crate::FileStore) what time it is.
///
/// The default is [`SystemClock`]. Tests give the configuration and the store one `TestClock` (feature `testing`), and
/// move it instead of sleeping. Stores on servers go by the server's own clock.
///
/// ```
/// use std::time::{Duration, SystemTime};
/// use sessile::Clock;
///
/// /// A clock of a machine that is an hour behind.
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

/// The machine's own clock. A session's expiry moves along when somebody sets that clock, except in a
/// [`MemoryStore`](crate::MemoryStore), which by default counts elapsed time.
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

/// A clock whose type is not known. The system's clock is a variant of its own, so that reading it costs no call
/// through a table.
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

/// A reading of the monotonic clock, which nobody can set.
pub(crate) fn monotonic() -> Instant {
    Instant::now()
}
