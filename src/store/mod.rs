//! The contract between a session and the place it is kept.

pub(crate) mod erased;
pub(crate) mod file;
pub(crate) mod keyed_locks;
pub(crate) mod loaded;
pub(crate) mod memory;
#[cfg(feature = "redis")]
pub(crate) mod redis;
#[cfg(any(feature = "redis", feature = "postgres", feature = "mysql", feature = "sqlite"))]
mod retry;
#[cfg(any(feature = "postgres", feature = "mysql", feature = "sqlite"))]
pub(crate) mod sql;
pub(crate) mod sweeper;
pub(crate) mod version;

use std::future::Future;
use std::time::Duration;

use crate::error::StoreError;
use crate::id::SessionId;
use crate::record::Record;
use crate::store::version::Version;

/// A place where records are kept. Three methods are enough; write them as plain `async fn`s.
///
/// ```
/// use std::collections::HashMap;
/// use std::sync::Mutex;
/// use std::time::{Duration, Instant};
/// use sessile::{Record, SessionConfig, SessionId, SessionStore, StoreError, Stored};
///
/// #[derive(Default)]
/// struct Map(Mutex<HashMap<String, (Record, Instant)>>);
///
/// impl SessionStore for Map {
///     async fn get(&self, id: &SessionId) -> Result<Option<Stored>, StoreError> {
///         let map = self.0.lock().map_err(|_| StoreError::unavailable("poisoned"))?;
///         let live = map.get(id.as_str()).filter(|(_, until)| Instant::now() < *until);
///         Ok(live.map(|(record, _)| Stored::from(record.clone())))
///     }
///     async fn set(&self, id: &SessionId, record: &Record, ttl: Duration) -> Result<(), StoreError> {
///         let mut map = self.0.lock().map_err(|_| StoreError::unavailable("poisoned"))?;
///         map.insert(id.as_str().to_owned(), (record.clone(), Instant::now() + ttl));
///         Ok(())
///     }
///     async fn destroy(&self, id: &SessionId) -> Result<(), StoreError> {
///         let mut map = self.0.lock().map_err(|_| StoreError::unavailable("poisoned"))?;
///         map.remove(id.as_str());
///         Ok(())
///     }
/// }
///
/// let config = SessionConfig::builder("a secret of at least 32 bytes, from the environment")
///     .store(Map::default())
///     .build()?;
/// # Ok::<(), sessile::ConfigError>(())
/// ```
///
/// # What a store promises
/// - An expired record is absent, at once, whether or not something removed it yet.
/// - Absent is `Ok(None)`; bytes that are no record are [`StoreError::corrupt`]; a store that cannot answer is
///   [`StoreError::unavailable`]. None of the three is ever another.
/// - A store whose `get` gives a [`Version`] has overridden `touch`, `create`, `replace` and `destroy_if` so that each
///   is one atomic step: the session relies on it against every other process.
/// - A store whose `get` gives none keeps the provided methods, which take two steps. The session then lets one request
///   at a time through to a record, so that the same holds among the requests of one process and one
///   [`SessionConfig`](crate::SessionConfig).
///
/// With the feature `testing`, `sessile::testing` checks all of it.
pub trait SessionStore: Send + Sync + 'static {
    /// The live record under this id.
    fn get(&self, id: &SessionId) -> impl Future<Output = Result<Option<Stored>, StoreError>> + Send;

    /// Writes a record, whether or not one is there, to live for `ttl`.
    fn set(
        &self,
        id: &SessionId,
        record: &Record,
        ttl: Duration,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Removes a record. That none is there is no error.
    fn destroy(&self, id: &SessionId) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Lets a record live for `ttl` from now and changes nothing else in it. `false`: no such session.
    fn touch(&self, id: &SessionId, ttl: Duration) -> impl Future<Output = Result<bool, StoreError>> + Send {
        async move {
            let Some(stored) = self.get(id).await? else { return Ok(false) };
            self.set(id, &stored.record, ttl).await?;
            Ok(true)
        }
    }

    /// Writes a record under an id nothing is stored under. `false`: the id is taken, and nothing was written.
    fn create(
        &self,
        id: &SessionId,
        record: &Record,
        ttl: Duration,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send {
        async move {
            if self.get(id).await?.is_some() {
                return Ok(false);
            }
            self.set(id, record, ttl).await?;
            Ok(true)
        }
    }

    /// Writes a record over the version it was made from; never over another, never where none is.
    fn replace(
        &self,
        id: &SessionId,
        expected: &Version,
        record: &Record,
        ttl: Duration,
    ) -> impl Future<Output = Result<Replaced, StoreError>> + Send {
        async move {
            let Some(stored) = self.get(id).await? else { return Ok(Replaced::Gone) };
            if stored.current_version() != *expected {
                return Ok(Replaced::Conflict(stored));
            }
            self.set(id, record, ttl).await?;
            Ok(Replaced::Done(Version::of(record)))
        }
    }

    /// Removes a record if it is still this version; the answers are those of [`replace`](Self::replace).
    fn destroy_if(
        &self,
        id: &SessionId,
        expected: &Version,
    ) -> impl Future<Output = Result<Replaced, StoreError>> + Send {
        async move {
            let Some(stored) = self.get(id).await? else { return Ok(Replaced::Gone) };
            if stored.current_version() != *expected {
                return Ok(Replaced::Conflict(stored));
            }
            self.destroy(id).await?;
            Ok(Replaced::Done(expected.clone()))
        }
    }
}

/// What a store answers to `get`. `Stored::from(record)` is enough for a simple store.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Stored {
    /// The record.
    pub record: Record,
    /// What `replace` and `destroy_if` compare, where the store does so atomically.
    pub version: Option<Version>,
    /// How long the record still lives; without it a session that ends with the browser is touched on every request.
    pub expires_in: Option<Duration>,
}

impl Stored {
    /// Says that the store's conditional methods are atomic, and by what they compare.
    #[must_use]
    pub fn with_version(mut self, version: impl Into<Version>) -> Self {
        self.version = Some(version.into());
        self
    }

    /// Says how long the record still lives.
    #[must_use]
    pub fn with_expires_in(mut self, expires_in: Duration) -> Self {
        self.expires_in = Some(expires_in);
        self
    }

    pub(crate) fn current_version(&self) -> Version {
        self.version.clone().unwrap_or_else(|| Version::of(&self.record))
    }
}

impl From<Record> for Stored {
    fn from(record: Record) -> Self {
        Self { record, version: None, expires_in: None }
    }
}

/// What a conditional write came to.
#[derive(Debug, Clone)]
pub enum Replaced {
    /// Written; the version is what stands there now (for `destroy_if`, what was removed).
    Done(Version),
    /// Another write came first; this stands there now, and nothing was written.
    Conflict(Stored),
    /// No such session; nothing was written.
    Gone,
}
