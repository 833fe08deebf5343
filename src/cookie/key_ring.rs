//! [`KeyRing`]: the keys that are made of the secrets, also where the secrets change while the program runs.

use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use std::{fmt, io};

use tokio::runtime::Handle;

use crate::clock::ErasedClock;
use crate::cookie::derived::DerivedKeys;
use crate::cookie::secrets::{Secrets, Source};
use crate::cookie::signature::Signer;
use crate::error::cause;
use crate::error::config::ConfigError;

/// How often secrets that can change are read at most.
const READ_EVERY: Duration = Duration::from_secs(60);

/// The keys that are made of one list of secrets.
pub(crate) struct Keys {
    pub(crate) signer: Signer,
    /// Keys for the hashes of users and the handles of sessions.
    pub(crate) derived: DerivedKeys,
}

impl Keys {
    pub(crate) fn new(secrets: &Secrets) -> Self {
        Self { signer: Signer::new(secrets), derived: DerivedKeys::new(secrets) }
    }
}

/// The keys of a configuration.
pub(crate) enum KeyRing {
    Fixed(Box<Keys>),
    Watched(Arc<Watched>),
}

type Check = Box<dyn Fn(&Secrets) -> Result<(), ConfigError> + Send + Sync>;

/// The keys of secrets that can change.
pub(crate) struct Watched {
    keys: RwLock<Arc<Keys>>,
    read: Source,
    /// Refuses a list of secrets.
    check: Check,
    /// When the secrets are read again, in milliseconds since 1970.
    next: AtomicU64,
}

/// The keys as they are now.
pub(crate) enum KeysNow<'r> {
    Fixed(&'r Keys),
    Watched(Arc<Keys>),
}

impl Deref for KeysNow<'_> {
    type Target = Keys;

    fn deref(&self) -> &Keys {
        match self {
            Self::Fixed(keys) => keys,
            Self::Watched(keys) => keys,
        }
    }
}

impl KeyRing {
    /// The keys of these secrets, which `check` has accepted, and of those that are read later.
    pub(crate) fn new(
        secrets: &Secrets,
        source: Option<Source>,
        clock: &ErasedClock,
        check: impl Fn(&Secrets) -> Result<(), ConfigError> + Send + Sync + 'static,
    ) -> Self {
        let keys = Keys::new(secrets);
        match source {
            None => Self::Fixed(Box::new(keys)),
            Some(read) => Self::Watched(Arc::new(Watched {
                keys: RwLock::new(Arc::new(keys)),
                read,
                check: Box::new(check),
                next: AtomicU64::new(millis(clock.now() + READ_EVERY)),
            })),
        }
    }

    /// The keys as they are now. Where the secrets can change and it is time to read them again, one request
    /// begins that, and waits for it no more than the others do.
    pub(crate) fn now(&self, clock: &ErasedClock) -> KeysNow<'_> {
        match self {
            Self::Fixed(keys) => KeysNow::Fixed(keys),
            Self::Watched(watched) => {
                watched.read_when_due(clock.now());
                let keys = watched.keys.read().unwrap_or_else(PoisonError::into_inner);
                KeysNow::Watched(Arc::clone(&keys))
            }
        }
    }
}

impl Watched {
    fn read_when_due(self: &Arc<Self>, now: SystemTime) {
        let (next, then) = (self.next.load(Ordering::Relaxed), millis(now + READ_EVERY));
        // A clock that was set back must not put the next time off.
        let is_due = millis(now) >= next || next > then;
        let order = Ordering::Relaxed;
        if !is_due || self.next.compare_exchange(next, then, order, order).is_err() {
            return;
        }
        let watched = Arc::clone(self);
        match Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(move || watched.read_again())),
            Err(_) => watched.read_again(),
        }
    }

    fn read_again(&self) {
        let checked = (self.read)().and_then(|mut secrets| {
            let (secrets, _) = secrets.read()?;
            (self.check)(&secrets).map_err(io::Error::other)?;
            Ok(secrets)
        });
        match checked {
            Ok(secrets) => {
                let keys = Arc::new(Keys::new(&secrets));
                *self.keys.write().unwrap_or_else(PoisonError::into_inner) = keys;
            }
            Err(error) => tracing::error!(
                error = cause(&error),
                "the session secrets could not be read again; the last ones stay in use"
            ),
        }
    }
}

fn millis(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(keys) => keys.signer.fmt(f),
            Self::Watched(_) => f.write_str("Signer(watched keys REDACTED)"),
        }
    }
}
