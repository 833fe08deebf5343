//! [`Session`]: the handle that handlers work with.

pub(crate) mod change;
pub(crate) mod flash;
mod flash_queue;
mod identity;
pub(crate) mod key;
pub(crate) mod lifetime;
pub(crate) mod snapshot;
pub(crate) mod state;
mod value;
pub(crate) mod view;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use smallvec::SmallVec;
use smol_str::SmolStr;

use crate::config::SessionConfig;
use crate::error::SessionError;
use crate::json::equality::same_value;
use crate::request::{RequestLine, Transport};
use crate::session::change::{Change, UpdateFn};
use crate::session::state::{Origin, State};
use crate::session::value::{check_key, decode, encode};
use crate::sync::lock;

/// The session of one request.
///
/// Reads and writes are synchronous and touch no store; [`commit`](Self::commit) writes what the request did, and the
/// [`SessionGuard`] it returns sets the cookie. **Return the guard as a part of the response**, or use
/// [`SessionLayer`](crate::SessionLayer): without it the browser learns nothing.
///
/// A clone is another handle on the same session, and so is every `Session` extracted from the same request.
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
/// State behind an `Arc`: see [`SessionConfig`](crate::SessionConfig#state-behind-an-arc).
///
/// # Between parallel requests
/// A commit writes what this request did, not the record it saw. Two requests that set different keys both survive;
/// of two that set one key the later commit counts; [`update`](Self::update) loses no step.
#[derive(Clone)]
#[must_use = "a session that is not committed is not stored"]
pub struct Session(Arc<SessionInner>);

pub(crate) struct SessionInner {
    pub(crate) config: SessionConfig,
    pub(crate) transport: Transport,
    pub(crate) request: RequestLine,
    state: Mutex<State>,
    /// One commit of this session at a time.
    pub(crate) committing: tokio::sync::Mutex<()>,
    /// The request's session of another cookie name.
    pub(crate) next: OnceLock<Session>,
}

impl Session {
    /// A session of which nothing is known yet.
    pub(crate) fn new(config: SessionConfig, transport: Transport, request: RequestLine) -> Self {
        Self(Arc::new(SessionInner {
            config,
            transport,
            request,
            state: Mutex::new(State::new()),
            committing: tokio::sync::Mutex::default(),
            next: OnceLock::new(),
        }))
    }

    /// Whether both are handles on one session.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    pub(crate) fn inner(&self) -> &SessionInner {
        &self.0
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.0.state)
    }

    /// The state, unless the session was destroyed.
    pub(crate) fn writable(&self) -> Result<MutexGuard<'_, State>, SessionError> {
        let state = self.state();
        if state.is_destroyed() { Err(SessionError::Destroyed) } else { Ok(state) }
    }

    fn configured_max_age(&self) -> Option<Duration> {
        self.0.config.inner().policy.max_age
    }

    /// Whether data, flash messages or max-age differ from what the store holds, as far as this request knows.
    pub fn is_modified(&self) -> bool {
        self.state().view().is_modified(self.configured_max_age())
    }

    /// Whether there is no data. Flash messages are not data.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many keys have a value.
    pub fn len(&self) -> usize {
        self.keys().len()
    }

    /// The keys that have a value.
    pub fn keys(&self) -> Vec<String> {
        self.state().view().keys()
    }

    /// Whether a key has a value.
    pub fn contains_key(&self, key: &str) -> bool {
        self.state().view().get(key).is_some()
    }

    /// Why the session is what it is.
    pub fn origin(&self) -> Origin {
        self.state().origin
    }

    /// The value under a key; `None` when there is none.
    ///
    /// # Errors
    /// `Decode`, naming the key, when the value is no `T`.
    pub fn get<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, SessionError> {
        match self.state().view().get(key) {
            Some(raw) => decode(key, raw).map(Some),
            None => Ok(None),
        }
    }

    /// Puts a value under a key. An equal value is no modification.
    ///
    /// Express drops keys on load that its session object has as methods (`save`, `touch`, `constructor` and the like);
    /// avoid them where Express shares the sessions.
    ///
    /// # Errors
    /// `Encode`, when the value cannot be written as JSON or the key is reserved (`cookie`, `flash`); `Destroyed`.
    pub fn insert(&self, key: &str, value: impl Serialize) -> Result<(), SessionError> {
        check_key(key)?;
        let json = encode(key, &value)?;
        let mut state = self.writable()?;
        if state.view().get(key).is_some_and(|now| same_value(now, &json)) {
            return Ok(());
        }
        state.push(Change::Set { key: key.into(), value: json });
        Ok(())
    }

    /// Takes the value from under a key. Removing an absent key is no modification.
    ///
    /// # Errors
    /// `Decode`, when the value is no `T`: then it stays; `Destroyed`.
    pub fn remove<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, SessionError> {
        let mut state = self.writable()?;
        let Some(raw) = state.view().get(key) else { return Ok(None) };
        let value = decode(key, raw)?;
        state.push(Change::Remove { key: key.into() });
        Ok(Some(value))
    }

    /// Changes the value under a key; `None` stands for no value, before and after. Returns the value it left here.
    ///
    /// When another request wins the race for the record, the closure runs again on the value that request left, at
    /// [`commit`](Self::commit): no step is lost. So it may run several times and must not do anything else.
    ///
    /// # Errors
    /// `Decode`, when the value is no `T`; `Encode`; `Destroyed`.
    pub fn update<T, F>(&self, key: &str, change: F) -> Result<Option<T>, SessionError>
    where
        T: Serialize + DeserializeOwned + 'static,
        F: Fn(Option<T>) -> Option<T> + Send + Sync + 'static,
    {
        check_key(key)?;
        let name = SmolStr::from(key);
        let at = name.clone();
        let apply: Arc<UpdateFn> = Arc::new(move |raw| {
            let before = raw.map(|raw| decode(&at, raw)).transpose()?;
            change(before).map(|after| encode(&at, &after)).transpose()
        });
        // The closure is the user's: it runs with no lock snapshot, again if another clone was faster.
        loop {
            let before = self.writable()?.view().get(key).map(SmallVec::<[u8; 64]>::from_slice);
            let now = apply(before.as_deref())?;
            let mut state = self.writable()?;
            if state.view().get(key) != before.as_deref() {
                continue;
            }
            let left = now.as_deref().map(|raw| decode(key, raw.as_bytes())).transpose()?;
            state.push(Change::Update { key: name, apply, now });
            return Ok(left);
        }
    }

    /// Removes all data. Flash messages stay.
    pub fn clear(&self) {
        if let Ok(mut state) = self.writable() {
            state.push(Change::Clear);
        }
    }
}

impl Drop for SessionInner {
    fn drop(&mut self) {
        let configured = self.config.inner().policy.max_age;
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        if state.is_pending(configured) {
            let RequestLine { method, path } = &self.request;
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
