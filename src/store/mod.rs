//! [`SessionStore`]: the contract between a session and the store that keeps its record.

pub(crate) mod erased;
pub(crate) mod exclusive;
#[cfg(feature = "file")]
pub(crate) mod file;
#[macro_use]
pub(crate) mod forward;
pub(crate) mod joint;
pub(crate) mod keyed_locks;
pub(crate) mod loaded;
pub(crate) mod memory;
pub(crate) mod moving;
#[cfg(all(feature = "tls", any(feature = "redis", feature = "postgres", feature = "mysql")))]
mod provider;
#[cfg(feature = "redis")]
pub(crate) mod redis;
#[cfg(any(feature = "redis", feature = "postgres", feature = "mysql", feature = "sqlite"))]
mod retry;
pub(crate) mod run_to_end;
#[cfg(feature = "sealed")]
pub(crate) mod sealed;
#[cfg(any(feature = "postgres", feature = "mysql", feature = "sqlite"))]
pub(crate) mod sql;
#[cfg(any(feature = "file", feature = "postgres", feature = "mysql", feature = "sqlite"))]
pub(crate) mod sweeper;
pub(crate) mod users;
pub(crate) mod version;
pub(crate) mod watched;

use std::future::Future;
use std::time::Duration;

use futures_util::stream::BoxStream;

use crate::error::StoreError;
use crate::id::SessionId;
use crate::record::Record;
use crate::store::users::UserIndex;
use crate::store::version::Version;

/// A place where records are kept, each under the id of its session.
///
/// A store writes three methods, as plain `async fn`s: `get`, `set` and `destroy`. `touch`, `create`,
/// `replace` and `destroy_if` are provided in terms of these three; a store that can do each of them in one
/// atomic step overrides all four. `get_many`, `check`, `users`, `watch` and `ids` are provided as well. If
/// `S` is a store, `Arc<S>` is one as well.
///
/// # What a store promises
/// A session relies on each of these duties and checks none of them itself.
///
/// Time:
/// - **The store keeps `ttl`.** It counts `ttl` from the moment of the write, in place of any earlier expiry,
///   and may round it up to whole seconds; the date inside the record is the cookie's expiry and not the
///   record's.
/// - **An expired record is absent** for every method from then on, whether or not it has been removed.
///
/// Records:
/// - **Bytes are kept.** `get` returns the JSON text that was written last, byte for byte, up to a megabyte
///   at least.
/// - **Ids are compared byte by byte.** Ids that differ in case, accents or a trailing space are two records.
/// - **Only `set` and `create` make a record**; no other method writes where no live record is.
/// - **A method that has returned has taken effect**: the next `get` sees it, whichever handle or process
///   calls it.
/// - **A method has its whole effect or none**, also when its future is dropped before it completes.
///
/// Answers:
/// - **Absent is an answer and not an error**: `Ok(None)`, `Ok(false)`, [`Replaced::Gone`], or `Ok(())` from
///   `destroy`.
/// - **Bytes that are not a record** are [`StoreError::corrupt`]: the request gets a new session, and the
///   bytes stay as they are.
/// - **A store that cannot answer** returns [`StoreError::unavailable`], so that the request fails with 503;
///   with `Ok(None)` it would log its user out.
///
/// Parallel requests:
/// - **A store whose `get` returns a [`Version`]** overrides `touch`, `create`, `replace` and `destroy_if` so
///   that each is one atomic step, among all processes that use the store.
/// - **A store whose `get` returns none** keeps the provided methods, which take two steps. The session then
///   lets one request at a time write to a record, so the promises of the crate hold among the requests of
///   one process and one [`SessionConfig`](crate::SessionConfig), and no further.
///
/// # Wrapping a store
/// A wrapper, for metrics or a cache say, forwards every method that it does not change with
/// [`forward_store!`](crate::forward_store). If it wrote only the three required methods, it would pass on
/// the versions of the store inside without the four methods that compare them. The provided `replace` and
/// `destroy_if` notice this and return an error; a session then logs the fault once, takes the record's lock
/// and continues in two steps, so the promises hold within one process only.
///
/// With the feature `testing`, the module `sessile::testing` is a kit that checks these duties, apart from
/// the two errors: one line makes a test of each check.
///
/// # Example
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
pub trait SessionStore: Send + Sync + 'static {
    // A method that is added here is forwarded in `forward.rs` (the macro, and twice for `DynStore`), called
    // in `exclusive.rs` and `erased.rs`, and observed by `Probe` of the conformance kit.

    /// Returns the live record under this id, or `None` if there is none.
    fn get(&self, id: &SessionId) -> impl Future<Output = Result<Option<Stored>, StoreError>> + Send;

    /// Writes a record under this id, whether or not one is there. It expires after `ttl`.
    ///
    /// `ttl` is the session's max-age, or [`store_ttl`](crate::SessionConfigBuilder::store_ttl) for a session
    /// that ends with the browser.
    fn set(
        &self,
        id: &SessionId,
        record: &Record,
        ttl: Duration,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Removes the record under this id, if there is one.
    fn destroy(&self, id: &SessionId) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Makes the record expire after `ttl` from now and leaves the session's data as it is. Returns `false`
    /// if there is no live record.
    fn touch(&self, id: &SessionId, ttl: Duration) -> impl Future<Output = Result<bool, StoreError>> + Send {
        async move {
            let Some(stored) = self.get(id).await? else { return Ok(false) };
            if let Some(version) = &stored.version {
                // Written back over another version, the record would lose a change. The store's own
                // `replace` notices that, and whoever has written another version has also
                // set an expiry.
                let replaced = self.replace(id, version, &stored.record, ttl).await?;
                return Ok(!matches!(replaced, Replaced::Gone));
            }
            self.set(id, &stored.record, ttl).await?;
            Ok(true)
        }
    }

    /// Writes a record under an id that has no live record; otherwise writes nothing and returns `false`.
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

    /// Writes a record in place of the version that it was made from. Writes nothing if the store holds
    /// another version or no live record.
    fn replace(
        &self,
        id: &SessionId,
        expected: &Version,
        record: &Record,
        ttl: Duration,
    ) -> impl Future<Output = Result<Replaced, StoreError>> + Send {
        async move {
            let Some(stored) = self.get(id).await? else { return Ok(Replaced::Gone) };
            stored.refuse_versions()?;
            if stored.current_version() != *expected {
                return Ok(Replaced::Conflict(stored));
            }
            self.set(id, record, ttl).await?;
            Ok(Replaced::Done(Version::of(record)))
        }
    }

    /// Removes the record if the store still holds this version. The answers are those of
    /// [`replace`](Self::replace).
    ///
    /// [`cycle_id`](crate::Session::cycle_id) uses it to remove the old record without losing what another
    /// request has written to it.
    fn destroy_if(
        &self,
        id: &SessionId,
        expected: &Version,
    ) -> impl Future<Output = Result<Replaced, StoreError>> + Send {
        async move {
            let Some(stored) = self.get(id).await? else { return Ok(Replaced::Gone) };
            stored.refuse_versions()?;
            if stored.current_version() != *expected {
                return Ok(Replaced::Conflict(stored));
            }
            self.destroy(id).await?;
            Ok(Replaced::Done(expected.clone()))
        }
    }

    /// Returns whether the store can serve requests, for health endpoints. Changes no session.
    ///
    /// As provided, it looks for a random id. A store that can say more overrides it: whether it may write,
    /// or whether its table has the right columns.
    fn check(&self) -> impl Future<Output = Result<(), StoreError>> + Send {
        async move { self.get(&SessionId::random()).await.map(drop) }
    }

    /// The live records under these ids, in the order of the ids.
    ///
    /// As provided, it asks for one after the other. A store on a server overrides it with one round trip.
    fn get_many(
        &self,
        ids: &[SessionId],
    ) -> impl Future<Output = Result<Vec<Option<Stored>>, StoreError>> + Send {
        async move {
            let mut found = Vec::with_capacity(ids.len());
            for id in ids {
                // What is no record is no session, here as for a request that brings this id.
                found.push(match self.get(id).await {
                    Err(error) if error.is_corrupt() => None,
                    answer => answer?,
                });
            }
            Ok(found)
        }
    }

    /// Where the store keeps which sessions a user has. `None`, as provided: the store cannot, and
    /// `sessions_of` is an error.
    fn users(&self) -> Option<&dyn UserIndex> {
        None
    }

    /// The ids of sessions that have ended, as far as the store can tell without being asked: also those that
    /// other processes end. `None`, as provided: the store cannot tell, and
    /// `Session::ended` asks it at an interval.
    ///
    /// The stream need not be complete, since the store is asked at the interval all the same. It ends when
    /// the connection to the server does. It is polled on a tokio runtime.
    fn watch(&self) -> Option<BoxStream<'static, SessionId>> {
        None
    }

    /// The ids of the live sessions, in no particular order. `None`, as provided: the store cannot tell.
    ///
    /// A session that is there from the first item to the last is among them; one that begins or ends
    /// meanwhile may be, and so may one whose record is [corrupt](StoreError::corrupt). An id may come twice. An
    /// id that the store keeps only as a hash is left out, so a store says which ids it hashes.
    fn ids(&self) -> Option<BoxStream<'_, Result<SessionId, StoreError>>> {
        None
    }
}

/// The answer of [`SessionStore::get`]: a record and what the store knows about it.
///
/// `Stored::from(record)` is enough for a store with three methods.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Stored {
    /// The record, as it was written.
    pub record: Record,
    /// What `replace` and `destroy_if` compare. `Some` says that all of the store's methods are atomic.
    pub version: Option<Version>,
    /// How long the record still lives.
    ///
    /// Without it, the session knows only the date of the cookie, which a touch does not move. It is then
    /// touched on every request once [`touch_after`](crate::SessionConfigBuilder::touch_after) has passed
    /// since the last write, and without a max-age on every request.
    pub expires_in: Option<Duration>,
}

impl Stored {
    /// Adds the version, which says that all of the store's methods are atomic.
    #[must_use]
    pub fn with_version(mut self, version: impl Into<Version>) -> Self {
        self.version = Some(version.into());
        self
    }

    /// Adds how long the record still lives.
    #[must_use]
    pub fn with_expires_in(mut self, expires_in: Duration) -> Self {
        self.expires_in = Some(expires_in);
        self
    }

    /// The version that a later write expects: the record's bytes, if the store returned no version.
    pub(crate) fn current_version(&self) -> Version {
        self.version.clone().unwrap_or_else(|| Version::of(&self.record))
    }
}

impl Stored {
    /// For the provided methods, which take two steps: a version says that somebody wanted one.
    fn refuse_versions(&self) -> Result<(), StoreError> {
        if self.version.is_some() { Err(StoreError::not_overridden()) } else { Ok(()) }
    }
}

impl From<Record> for Stored {
    fn from(record: Record) -> Self {
        Self { record, version: None, expires_in: None }
    }
}

/// The answer of [`SessionStore::replace`] and [`SessionStore::destroy_if`].
#[derive(Debug, Clone)]
pub enum Replaced {
    /// The record was written and has this version now; or `destroy_if` removed the record of this version.
    Done(Version),
    /// The store holds another version, this one. Nothing was written or removed.
    Conflict(Stored),
    /// The store holds no live record under this id. Nothing was written.
    Gone,
}
