//! [`Session`]: the handle that handlers work with, and its data.
//!
//! The other methods of `Session` are defined beside their dependencies: in `identity`, `lifetime` and
//! `flash`, and for `commit`, `save` and `reload` in `commit/mod.rs`.

pub(crate) mod change;
#[cfg(feature = "dbsc")]
pub(crate) mod device;
mod ended;
pub(crate) mod flash;
mod flash_queue;
pub(crate) mod handle;
mod identity;
pub(crate) mod key;
mod key_index;
pub(crate) mod lifetime;
pub(crate) mod login;
pub(crate) mod metadata_change;
pub(crate) mod origin;
#[cfg(feature = "dbsc")]
pub(crate) mod proof;
pub(crate) mod snapshot;
pub(crate) mod stage;
pub(crate) mod state;
mod transitions;
mod value;
pub(crate) mod view;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use smol_str::SmolStr;

use crate::config::SessionConfig;
use crate::error::SessionError;
use crate::request::{RequestLine, Transport};
use crate::session::change::{Change, UpdateFn};
use crate::session::origin::Origin;
#[cfg(feature = "dbsc")]
use crate::session::proof::Proof;
use crate::session::state::State;
use crate::session::value::{OwnedValue, RawValue, check_key, decode, encode};
use crate::sync::lock;

/// The session of one request.
///
/// Reads and writes are synchronous and call no store. [`commit`](Self::commit) writes what the request did,
/// and the [`SessionGuard`](crate::SessionGuard) it returns sets the cookie.
///
/// **Return the guard as a part of the response**, or install [`SessionLayer`](crate::SessionLayer). Without
/// either of them the browser gets no cookie, and a new session is lost.
///
/// A clone is another handle on the same session, and so is every `Session` extracted from the same request
/// with the same configuration. For a configuration that the state does not name, such as a tenant's, there
/// is [`SessionConfig::extract`].
///
/// ```
/// use axum::extract::FromRef;
/// use axum::response::IntoResponse;
/// use axum::routing::get;
/// use axum::{Json, Router};
/// use sessile::{Session, SessionConfig, SessionError};
///
/// #[derive(Clone)]
/// struct App {
///     sessions: SessionConfig,
/// }
///
/// impl FromRef<App> for SessionConfig {
///     fn from_ref(app: &App) -> Self {
///         app.sessions.clone()
///     }
/// }
///
/// async fn profile(session: Session) -> Result<impl IntoResponse, SessionError> {
///     let views = session.get::<u64>("views")?.unwrap_or(0) + 1;
///     session.insert("views", views)?;
///     Ok((session.commit().await?, Json(views)))
/// }
///
/// # fn main() -> Result<(), sessile::ConfigError> {
/// let sessions = SessionConfig::new("a secret of at least 32 bytes, from the environment")?;
/// let app: Router = Router::new().route("/profile", get(profile)).with_state(App { sessions });
/// # Ok(())
/// # }
/// ```
///
/// For an application state behind an `Arc`, see [`SessionConfig`](crate::SessionConfig#state-behind-an-arc).
///
/// # Parallel requests
/// A commit writes the changes that this request made, not the whole record that it loaded. When two requests
/// set different keys, both values are kept. When two requests set the same key, the value of the later
/// commit is kept. When two requests [`update`](Self::update) the same key, both updates are applied.
#[derive(Clone)]
#[must_use = "a session that is not committed is not stored"]
pub struct Session(Arc<SessionInner>);

/// What all handles on one session share.
pub(crate) struct SessionInner {
    pub(crate) config: SessionConfig,
    pub(crate) transport: Transport,
    pub(crate) request: RequestLine,
    state: Mutex<State>,
    /// The lock under which this session is committed or reloaded, so that two handles never do so at the
    /// same time.
    pub(crate) commit_lock: tokio::sync::Mutex<()>,
    /// The next session of the same request, which has another configuration. Together these links are the
    /// list that `http/request_session.rs` searches.
    pub(crate) next: OnceLock<Session>,
    /// What the request brought of its device, if the session that its cookie names is bound to one.
    #[cfg(feature = "dbsc")]
    pub(crate) proof: OnceLock<Proof>,
}

impl Session {
    /// A session before anything is loaded: new, from a request without a cookie.
    pub(crate) fn new(config: SessionConfig, transport: Transport, request: RequestLine) -> Self {
        Self(Arc::new(SessionInner {
            config,
            transport,
            request,
            state: Mutex::new(State::new()),
            commit_lock: tokio::sync::Mutex::default(),
            next: OnceLock::new(),
            #[cfg(feature = "dbsc")]
            proof: OnceLock::new(),
        }))
    }

    pub(crate) fn inner(&self) -> &SessionInner {
        &self.0
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.0.state)
    }

    fn configured_max_age(&self) -> Option<Duration> {
        self.0.config.inner().policy.max_age
    }

    /// Whether the data, the flash messages or the max-age differ from what this request last saw in the
    /// store.
    ///
    /// A new session's max-age is compared with the configured one.
    pub fn is_modified(&self) -> bool {
        self.state().view().is_modified(self.configured_max_age())
    }

    /// Whether no key has a value. Flash messages do not count as data.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The number of keys that have a value.
    pub fn len(&self) -> usize {
        self.state().view().len()
    }

    /// The keys that have a value, in the order in which they are stored.
    pub fn keys(&self) -> Vec<String> {
        self.state().view().keys()
    }

    /// Whether this key has a value.
    pub fn contains_key(&self, key: &str) -> bool {
        self.state().view().get(key).is_some()
    }

    /// Where the session comes from: the store, or why it is a new one.
    pub fn origin(&self) -> Origin {
        self.state().origin
    }

    /// Returns the value under a key; `None` when the key has no value.
    ///
    /// A stored `null` is no value either, because that is how JavaScript empties a key (`req.session.user =
    /// null`), unless a `T` can be read from it: `get::<Option<User>>` then gives `Some(None)`.
    ///
    /// After a deployment that has changed a type, sessions still hold values of the older type, and reading
    /// one is an error until it is replaced. Three ways out: `#[serde(default)]` on a new field reads the
    /// older values, [`insert`](Self::insert) replaces a value without reading it, and
    /// [`remove::<serde::de::IgnoredAny>`](Self::remove) removes a value of any type.
    ///
    /// # Errors
    /// [`Decode`](SessionError::Decode), which names the key, when the value cannot be read as a `T`.
    pub fn get<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, SessionError> {
        // The value is read without the lock on the state, since `T` may ask this session.
        let raw = self.state().view().get(key).map(RawValue::to_owned);
        raw.map_or(Ok(None), |raw| decode(key, raw.bytes()))
    }

    /// Puts a value under a key. The value that is already there, in the same JSON text, does not modify the
    /// session.
    ///
    /// A map whose keys come in another order is another text, so a [`HashMap`](std::collections::HashMap),
    /// which has an order of its own each time, costs a superfluous write; a
    /// [`BTreeMap`](std::collections::BTreeMap) does not.
    ///
    /// NaN and the infinities are stored as `null`, as `JSON.stringify` does, and [`get`](Self::get) then
    /// finds no value.
    ///
    /// Where Express shares the sessions, avoid keys that are also methods of its session object (`save`,
    /// `touch`, `constructor` and the like): Express drops such keys when it loads a session.
    ///
    /// # Errors
    /// - [`Encode`](SessionError::Encode), when the value cannot be written as JSON or the key is reserved
    ///   (`cookie`, `flash`, `__lastAccess`).
    pub fn insert(&self, key: &str, value: impl Serialize) -> Result<(), SessionError> {
        check_key(key)?;
        let json = encode(key, &value)?;
        let mut state = self.state();
        if state.view().has(key, Some(json.as_bytes())) {
            return Ok(());
        }
        state.push(Change::Set { key: key.into(), value: json });
        Ok(())
    }

    /// Removes the value under a key and returns it. Removing an absent key does not modify the session.
    ///
    /// A stored `null` is removed, and is `None`, unless a `T` can be read from it.
    ///
    /// # Errors
    /// - [`Decode`](SessionError::Decode), when the value cannot be read as a `T`. The value is then not
    ///   removed; [`serde::de::IgnoredAny`] reads every value.
    pub fn remove<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, SessionError> {
        // The value is read without the lock on the state, since `T` may ask this session. It is read again
        // if another handle has changed it meanwhile.
        loop {
            let raw = self.state().view().get(key).map(RawValue::to_owned);
            let Some(raw) = raw else { return Ok(None) };
            let value = decode(key, raw.bytes())?;
            let mut state = self.state();
            if state.view().has(key, Some(raw.bytes())) {
                state.push(Change::Remove { key: key.into() });
                return Ok(value);
            }
        }
    }

    /// Computes a new value from the value under a key, and returns the new value. `None` means that the key
    /// has no value, both as the closure's argument and as its result. A stored `null` is no value, unless a
    /// `T` can be read from it.
    ///
    /// When another request has written the record first, [`commit`](Self::commit) runs the closure again on
    /// the value that the other request wrote, so that neither update is lost. The closure may therefore run
    /// several times, and in the task of another request that writes at the same time: it must have no side
    /// effects.
    ///
    /// # Errors
    /// - [`Decode`](SessionError::Decode), when the value cannot be read as a `T`.
    /// - [`Encode`](SessionError::Encode), when the new value cannot be written as JSON or the key is
    ///   reserved (`cookie`, `flash`, `__lastAccess`).
    pub fn update<T, F>(&self, key: &str, change: F) -> Result<Option<T>, SessionError>
    where
        T: Serialize + DeserializeOwned + 'static,
        F: Fn(Option<T>) -> Option<T> + Send + Sync + 'static,
    {
        check_key(key)?;
        let shared_key = SmolStr::from(key);
        let error_key = shared_key.clone();
        let apply: Arc<UpdateFn> = Arc::new(move |raw| {
            let before = raw.map_or(Ok(None), |raw| decode(&error_key, raw))?;
            change(before).map(|after| encode(&error_key, &after)).transpose()
        });
        // The closure and `T` are the caller's code, so they run without the lock on the state. They run
        // again if another handle has changed the value meanwhile.
        loop {
            let before = self.state().view().get(key).map(RawValue::to_owned);
            let before = before.as_ref().map(OwnedValue::bytes);
            let now = apply(before)?;
            let result = now.as_deref().map_or(Ok(None), |raw| decode(key, raw.as_bytes()))?;
            let mut state = self.state();
            if state.view().has(key, before) {
                state.push(Change::Update { key: shared_key, apply, now });
                return Ok(result);
            }
        }
    }

    /// Changes the value under a key in place, and returns the new value. Where the key has no value, the
    /// change begins with the default of `T`.
    ///
    /// This is [`update`](Self::update) for the usual case, and the closure may run several times as it does
    /// there. So it clones what it puts in:
    ///
    /// ```
    /// use sessile::{Session, SessionError, SessionKey};
    ///
    /// const CART: SessionKey<Vec<String>> = SessionKey::new("cart");
    ///
    /// fn add(session: &Session, item: String) -> Result<usize, SessionError> {
    ///     let cart = CART.modify(session, move |cart| cart.push(item.clone()))?;
    ///     Ok(cart.len())
    /// }
    /// ```
    ///
    /// # Errors
    /// Those of [`update`](Self::update): [`Decode`](SessionError::Decode) and
    /// [`Encode`](SessionError::Encode).
    pub fn modify<T, F>(&self, key: &str, change: F) -> Result<T, SessionError>
    where
        T: Serialize + DeserializeOwned + Default + 'static,
        F: Fn(&mut T) + Send + Sync + 'static,
    {
        let changed = self.update(key, move |before: Option<T>| {
            let mut value = before.unwrap_or_default();
            change(&mut value);
            Some(value)
        })?;
        // A value that is written as `null` is none for the next reader either.
        Ok(changed.unwrap_or_default())
    }

    /// Removes every key. Flash messages and the max-age stay. After [`destroy`](Self::destroy) it does
    /// nothing.
    pub fn clear(&self) {
        self.state().push(Change::Clear);
    }
}

impl Drop for SessionInner {
    fn drop(&mut self) {
        let configured = self.config.inner().policy.max_age;
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        if state.is_pending(configured) {
            let RequestLine { method, path, .. } = &self.request;
            let method = method.as_ref().map_or("-", |method| method.as_str());
            let path = path.as_ref().map_or("-", |path| path.path());
            tracing::warn!(method, path, "session changed but never committed: the changes are lost");
        }
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        f.debug_struct("Session")
            .field("origin", &state.origin)
            .field("data", &"REDACTED")
            .finish_non_exhaustive()
    }
}
