//! [`TestClock`]: a clock that stands still until a test moves it.

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use crate::clock::Clock;
use crate::sync::lock;

/// A [`Clock`] that stands still until a test moves it. Clones are handles on the same clock.
///
/// Give one clock to the configuration and to the store, so that no test has to sleep to see a session
/// expire:
///
/// ```
/// use std::time::Duration;
/// use sessile::testing::{TestClock, Visitor};
/// use sessile::{MemoryStore, Origin, SessionConfig};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let clock = TestClock::new();
/// let config = SessionConfig::builder("a secret of at least 32 bytes, for tests")
///     .store(MemoryStore::builder().clock(clock.clone()).build())
///     .clock(clock.clone())
///     .max_age(Duration::from_secs(3600))
///     .build()?;
///
/// let mut visitor = Visitor::new(&config);
/// let session = visitor.open().await?;
/// session.insert("n", 1)?;
/// visitor.commit(&session).await?;
///
/// clock.advance(Duration::from_secs(3600));
/// assert_eq!(visitor.open().await?.origin(), Origin::Unknown);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct TestClock(Arc<Mutex<SystemTime>>);

impl TestClock {
    /// A clock that shows the system's date and time of this moment.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(Mutex::new(crate::clock::SystemClock.now())))
    }

    /// Moves the clock forward by this much.
    ///
    /// # Panics
    /// When the new time is too late for a `SystemTime`.
    pub fn advance(&self, by: Duration) {
        *lock(&self.0) += by;
    }

    /// Sets the clock to this time, which may be an earlier one.
    pub fn set(&self, now: SystemTime) {
        *lock(&self.0) = now;
    }
}

impl Default for TestClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for TestClock {
    fn now(&self) -> SystemTime {
        *lock(&self.0)
    }
}
