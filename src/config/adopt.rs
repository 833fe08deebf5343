//! [`Adopt`]: sessions of another library that move over while they are live.

use std::fmt;

use axum::http::{HeaderMap, HeaderValue};
use futures_util::future::BoxFuture;
use serde::Serialize;
use smol_str::SmolStr;

use crate::error::value::JsonError;
use crate::error::{SessionError, StoreError};
use crate::record::is_reserved_key;

/// Live sessions of another library, so that they move over and nobody has to log in again: see
/// [`SessionConfigBuilder::adopt`](crate::SessionConfigBuilder::adopt).
///
/// The crate `sessile-tower-sessions` implements it for tower-sessions. An implementation for another library
/// reads that library's cookie, and asks its store:
///
/// ```
/// use axum::http::header::COOKIE;
/// use axum::http::{HeaderMap, HeaderValue};
/// use sessile::{Adopt, Adopted, StoreError};
///
/// /// Sessions in a table of the program's own, under a random token in the cookie `token`.
/// struct OwnTable;
///
/// impl Adopt for OwnTable {
///     fn ids(&self, headers: &HeaderMap) -> Vec<String> {
///         let lines = headers.get_all(COOKIE).into_iter().filter_map(|line| line.to_str().ok());
///         let pairs = lines.flat_map(|line| line.split("; "));
///         pairs.filter_map(|pair| pair.strip_prefix("token=")).map(str::to_owned).collect()
///     }
///
///     async fn load(&self, id: &str) -> Result<Option<Adopted>, StoreError> {
///         let mut session = Adopted::new();
///         // Here the program asks its table.
///         session.insert("user", 7).map_err(StoreError::corrupt)?;
///         Ok(Some(session))
///     }
///
///     async fn remove(&self, id: &str) -> Result<(), StoreError> {
///         Ok(())
///     }
///
///     fn expired_cookie(&self) -> HeaderValue {
///         HeaderValue::from_static("token=; Path=/; Max-Age=0")
///     }
/// }
/// ```
pub trait Adopt: Send + Sync + 'static {
    /// The ids of the old sessions that a request's cookies name, in the order in which they are tried. At
    /// most four are.
    ///
    /// An id is believed: where the old cookies were signed or encrypted, return only ids that are.
    fn ids(&self, headers: &HeaderMap) -> Vec<String>;

    /// Loads an old session; `None`, when the old store has none that is live.
    ///
    /// It is called twice for each session, and an answer must be as new as the old store has it: no cache.
    ///
    /// # Errors
    /// [`StoreError::unavailable`], when the old store cannot be asked: the request is then answered with
    /// 503. [`StoreError::corrupt`], when there is no sense in what it holds: the old session is then left as
    /// it is, and the request gets a new one.
    fn load(&self, id: &str) -> impl Future<Output = Result<Option<Adopted>, StoreError>> + Send;

    /// Removes an old session, after the new store has it. It is no error if the session is gone.
    ///
    /// # Errors
    /// Those of the old store. The request is then answered with 503, and the next one tries again.
    fn remove(&self, id: &str) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// The `Set-Cookie` line that expires the old cookie: with its name, its path and its domain, by which
    /// browsers find it. If it is empty, none is sent.
    fn expired_cookie(&self) -> HeaderValue;
}

/// The data of an old session, for [`Adopt::load`].
#[derive(Clone, Default)]
pub struct Adopted {
    pub(crate) values: Vec<(SmolStr, SmolStr)>,
}

impl Adopted {
    /// A session without data.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a value. A value that was added under the same key before is replaced.
    ///
    /// # Errors
    /// [`Encode`](SessionError::Encode), when the value cannot be written as JSON or the key is reserved
    /// (`cookie`, `flash`, `__lastAccess`, `__sessile`).
    pub fn insert(&mut self, key: &str, value: impl Serialize) -> Result<(), SessionError> {
        if is_reserved_key(key) {
            return Err(SessionError::encode(key, crate::error::value::Refused::ReservedKey));
        }
        let json = serde_json::to_string(&value)
            .map_err(|error| SessionError::encode(key, JsonError::new::<()>(&error)))?;
        self.values.retain(|(known, _)| known != key);
        self.values.push((key.into(), json.into()));
        Ok(())
    }
}

impl fmt::Debug for Adopted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Adopted({} values REDACTED)", self.values.len())
    }
}

/// An [`Adopt`] whose type is not known.
pub(crate) trait ErasedAdopt: Send + Sync {
    fn ids(&self, headers: &HeaderMap) -> Vec<String>;
    fn load<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Option<Adopted>, StoreError>>;
    fn remove<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<(), StoreError>>;
    fn expired_cookie(&self) -> HeaderValue;
}

impl<A: Adopt> ErasedAdopt for A {
    fn ids(&self, headers: &HeaderMap) -> Vec<String> {
        Adopt::ids(self, headers)
    }

    fn load<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Option<Adopted>, StoreError>> {
        Box::pin(Adopt::load(self, id))
    }

    fn remove<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(Adopt::remove(self, id))
    }

    fn expired_cookie(&self) -> HeaderValue {
        Adopt::expired_cookie(self)
    }
}
