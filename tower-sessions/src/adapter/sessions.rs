//! [`TowerSessions`]: live sessions of tower-sessions, to be adopted.

use std::fmt;

use axum::http::{HeaderMap, HeaderValue};
use cookie::Key;
use sessile::{Adopt, Adopted, StoreError};
use time::OffsetDateTime;

use super::store_error;
use super::tower_sessions_core::session::Id;
use super::tower_sessions_core::session_store::SessionStore as Store;
use crate::old_cookie::{Guarded, OldCookie};

/// Live sessions of a program with tower-sessions, for
/// [`SessionConfigBuilder::adopt`](sessile::SessionConfigBuilder::adopt): at its next request a visitor has the
/// session that the old cookie names, with its data, and stays logged in.
///
/// Give it the store that the old program used, and what that program told its `SessionManagerLayer`: the
/// defaults are the same. How long the session lives from then on is what the new configuration says.
///
/// Old programs that still run do not see a session that has moved. So move all of a host's traffic at once,
/// or at least all of a visitor's.
///
/// A value under a key that `sessile` keeps for itself (`cookie`, `flash`, `__lastAccess`, `__sessile`) is
/// left behind, and a warning says so.
#[derive(Clone)]
pub struct TowerSessions<S> {
    store: S,
    cookie: OldCookie,
}

impl<S: Store> TowerSessions<S> {
    /// The sessions in this store. The cookie is called `id`, has the path `/` and no domain, and is neither
    /// signed nor encrypted.
    pub fn new(store: S) -> Self {
        Self { store, cookie: OldCookie::default() }
    }

    /// The old cookie's name (`with_name`). Default: `id`.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.cookie.name = name.into();
        self
    }

    /// The old cookie's path (`with_path`), by which browsers find the cookie that is to be expired. Default:
    /// `/`.
    #[must_use]
    pub fn path(mut self, path: impl Into<String>) -> Self {
        self.cookie.path = path.into();
        self
    }

    /// The old cookie's domain (`with_domain`), by which browsers find the cookie that is to be expired.
    /// Default: none.
    #[must_use]
    pub fn domain(mut self, domain: impl Into<String>) -> Self {
        self.cookie.domain = Some(domain.into());
        self
    }

    /// The old cookie holds the bare id. This is the default.
    #[must_use]
    pub fn plain(mut self) -> Self {
        self.cookie.guarded = Guarded::Not;
        self
    }

    /// The old cookie is signed with this key (`with_signed`). Cookies without the signature are ignored.
    #[must_use]
    pub fn signed(mut self, key: Key) -> Self {
        self.cookie.guarded = Guarded::Signed(key);
        self
    }

    /// The old cookie is encrypted with this key (`with_private`). Other cookies are ignored.
    #[must_use]
    pub fn private(mut self, key: Key) -> Self {
        self.cookie.guarded = Guarded::Private(key);
        self
    }
}

impl<S: Store> Adopt for TowerSessions<S> {
    fn ids(&self, headers: &HeaderMap) -> Vec<String> {
        // Two texts can decode to one id: only the one that they write counts.
        let mut values = self.cookie.values(headers);
        values.retain(|value| value.parse::<Id>().is_ok_and(|id| id.to_string() == *value));
        values
    }

    async fn load(&self, id: &str) -> Result<Option<Adopted>, StoreError> {
        let id: Id = id.parse().map_err(StoreError::corrupt)?;
        let Some(record) = self.store.load(&id).await.map_err(store_error)? else { return Ok(None) };
        if record.expiry_date <= OffsetDateTime::now_utc() {
            return Ok(None);
        }
        let mut adopted = Adopted::new();
        let mut values: Vec<_> = record.data.into_iter().collect();
        values.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        for (key, value) in values {
            if let Err(error) = adopted.insert(&key, value) {
                tracing::warn!(key, error = %error, "a value of an adopted session stays behind");
            }
        }
        Ok(Some(adopted))
    }

    async fn remove(&self, id: &str) -> Result<(), StoreError> {
        let id: Id = id.parse().map_err(StoreError::corrupt)?;
        self.store.delete(&id).await.map_err(store_error)
    }

    fn expired_cookie(&self) -> HeaderValue {
        self.cookie.expired()
    }
}

impl<S> fmt::Debug for TowerSessions<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TowerSessions").field("cookie", &self.cookie).finish_non_exhaustive()
    }
}
