//! [`Session`]: the handle that handlers work with.

use std::fmt;
use std::sync::Arc;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, SystemTime};

use serde::Serialize;
use serde::de::DeserializeOwned;
use smallvec::SmallVec;
use smol_str::SmolStr;

use crate::changes::{Change, UpdateFn, same_value};
use crate::commit;
use crate::config::{SessionConfig, Transport};
use crate::error::{JsonError, Refused, SessionError};
use crate::extract::RequestLine;
use crate::guard::SessionGuard;
use crate::id::SessionId;
use crate::record::{COOKIE, FLASH, text};
use crate::state::{Move, Progress, Stage, State};

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
pub struct Session(Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) config: SessionConfig,
    pub(crate) transport: Transport,
    pub(crate) request: RequestLine,
    state: Mutex<State>,
    /// One commit of this session at a time.
    pub(crate) committing: tokio::sync::Mutex<()>,
    /// The request's session of another cookie name.
    pub(crate) next: OnceLock<Session>,
}

/// Why a session is what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// The request carried no cookie of the name.
    NoCookie,
    /// No secret signed the cookie.
    BadSignature,
    /// The cookie is signed, but the store has no such session: it expired or was destroyed.
    Unknown,
    /// The store holds something under the cookie's id that is no session. It was left as it is.
    Undecodable,
    /// The session was loaded from the store.
    Loaded,
}

/// The lifetime of a session's cookie: what Express keeps in `req.session.cookie`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CookieState {
    original_max_age: Option<Duration>,
    expires: Option<SystemTime>,
}

impl CookieState {
    /// The session's own max-age; `None`: until the browser closes (Express: `cookie.originalMaxAge`).
    #[must_use]
    pub fn original_max_age(&self) -> Option<Duration> {
        self.original_max_age
    }

    /// When the session ends unless it is touched; `None`: when the browser closes (Express: `cookie.expires`).
    #[must_use]
    pub fn expires(&self) -> Option<SystemTime> {
        self.expires
    }
}

impl Session {
    /// A session of which nothing is known yet.
    pub(crate) fn new(config: SessionConfig, transport: Transport, request: RequestLine) -> Self {
        Self(Arc::new(Inner {
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

    pub(crate) fn inner(&self) -> &Inner {
        &self.0
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state, unless the session was destroyed.
    pub(crate) fn writable(&self) -> Result<MutexGuard<'_, State>, SessionError> {
        let state = self.state();
        if state.is_destroyed() { Err(SessionError::Destroyed) } else { Ok(state) }
    }

    fn configured_max_age(&self) -> Option<Duration> {
        self.0.config.inner().max_age
    }

    /// The id this session will have after the next commit.
    pub fn id(&self) -> SessionId {
        let mut state = self.state();
        match &mut state.stage {
            Stage::New { id } => id.get_or_insert_with(|| self.0.config.inner().mint()).clone(),
            Stage::Live(held) => held.id.clone(),
            Stage::Destroyed { stored: Some(held) } => held.id.clone(),
            Stage::Moved { id, .. } => id.clone(),
            Stage::Destroyed { stored: None } => self.0.config.inner().mint(),
        }
    }

    /// Whether the store holds nothing of this session yet.
    pub fn is_new(&self) -> bool {
        match &self.state().stage {
            Stage::New { .. } | Stage::Moved { from: None, .. } => true,
            Stage::Moved { how, .. } => *how == Move::Regenerate,
            Stage::Live(_) | Stage::Destroyed { .. } => false,
        }
    }

    /// Whether the store holds something of this session that this request did not end.
    pub(crate) fn is_live(&self) -> bool {
        match &self.state().stage {
            Stage::Live(_) | Stage::Moved { from: Some(_), .. } => true,
            Stage::New { .. } | Stage::Moved { from: None, .. } | Stage::Destroyed { .. } => false,
        }
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
        // The closure is the user's: it runs with no lock held, again if another clone was faster.
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

    /// A new id and nothing else: no data, no flash messages, the configured max-age. At commit the new record is stored
    /// first and the old one removed after.
    pub fn regenerate(&self) {
        let mut state = self.state();
        if !state.is_destroyed() {
            state.forget_changes();
        }
        state.relocate(self.0.config.inner().mint(), Move::Regenerate);
    }

    /// A new id with the same data and flash messages. Call it at login, so that an id planted before is worth nothing.
    pub fn cycle_id(&self) {
        self.state().relocate(self.0.config.inner().mint(), Move::Cycle);
    }

    /// Removes all data. Flash messages stay.
    pub fn clear(&self) {
        if let Ok(mut state) = self.writable() {
            state.push(Change::Clear);
        }
    }

    /// Ends the session: at commit the record is removed and the cookie expired. Later writes in this request give
    /// [`SessionError::Destroyed`].
    pub fn destroy(&self) {
        self.state().end();
    }

    /// Reads the session anew from the store; what this request did to it is dropped.
    ///
    /// # Errors
    /// `Gone`, when the store does not have it (any more); `Store`; `Destroyed`.
    pub async fn reload(&self) -> Result<(), SessionError> {
        commit::reload(self).await
    }

    /// Writes now, changed or not. The cookie is still to come from [`commit`](Self::commit).
    ///
    /// # Errors
    /// Those of [`commit`](Self::commit); `Destroyed`.
    pub async fn save(&self) -> Result<(), SessionError> {
        self.writable().map(drop)?;
        commit::commit(self, commit::Demand::Save).await.map(drop)
    }

    /// Extends the session's life at commit, however short ago that was done last.
    pub fn touch(&self) {
        let mut state = self.state();
        state.touch = true;
        state.progress = Progress::Open;
    }

    /// The session's own lifetime without activity; `None`: until the browser closes.
    pub fn max_age(&self) -> Option<Duration> {
        self.state().view().max_age(self.configured_max_age())
    }

    /// Gives this session its own lifetime ("remember me"); `None`: until the browser closes. It is kept in the record
    /// and holds for later requests, up to 400 days, in milliseconds. Zero ends the session at the next commit.
    pub fn set_max_age(&self, max_age: Option<Duration>) {
        if let Ok(mut state) = self.writable() {
            let whole = |age: Duration| Duration::from_millis(age.as_millis() as u64);
            state.push(Change::MaxAge(max_age.map(|age| whole(age.min(crate::set_cookie::MAX_LIFE)))));
        }
    }

    /// When the session ends unless it is touched; `None`: when the browser closes.
    pub fn expires(&self) -> Option<SystemTime> {
        let configured = self.configured_max_age();
        let mut state = self.state();
        let max_age = state.view().max_age(configured)?;
        let stored = if state.view().new_max_age(configured).is_some() { None } else { state.expires() };
        stored.or_else(|| SystemTime::now().checked_add(max_age))
    }

    /// The lifetime of the session's cookie.
    pub fn cookie(&self) -> CookieState {
        CookieState { original_max_age: self.max_age(), expires: self.expires() }
    }

    /// Writes what this request did, and returns the guard that sets the cookie: make it a part of the response.
    ///
    /// What is written and whether a cookie is due follows the table in the crate's documentation. With nothing new it
    /// does nothing; the guard then sets the cookie that an earlier commit of this request decided on.
    ///
    /// # Errors
    /// `Store`; `Gone`, when the session ended while this request was under way; `Conflict`, when retries are used up;
    /// `Decode` or `Encode` from an [`update`](Self::update) that ran again; `Cookie`.
    pub async fn commit(&self) -> Result<SessionGuard, SessionError> {
        commit::commit(self, commit::Demand::Commit).await
    }
}

fn check_key(key: &str) -> Result<(), SessionError> {
    if key == COOKIE || key == FLASH { Err(SessionError::encode(key, Refused::ReservedKey)) } else { Ok(()) }
}

pub(crate) fn encode<T: Serialize>(key: &str, value: &T) -> Result<SmolStr, SessionError> {
    let mut json = SmallVec::<[u8; 128]>::new();
    serde_json::to_writer(&mut json, value)
        .map_err(|error| SessionError::encode(key, JsonError::new::<T>(&error)))?;
    // JSON is text.
    Ok(std::str::from_utf8(&json).unwrap_or_default().into())
}

fn decode<T: DeserializeOwned>(key: &str, raw: &[u8]) -> Result<T, SessionError> {
    serde_json::from_str(text(raw)).map_err(|error| SessionError::decode::<T>(key, &error))
}

impl Drop for Inner {
    fn drop(&mut self) {
        let configured = self.config.inner().max_age;
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
