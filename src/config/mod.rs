//! [`SessionConfig`]: the secrets, the options and the store, in the application's state.

pub(crate) mod adopt;
mod at_rest;
mod build;
pub(crate) mod builder;
#[cfg(feature = "dbsc")]
pub(crate) mod dbsc;
pub(crate) mod event;
mod hook;
#[cfg(feature = "metrics")]
mod metrics;
pub(crate) mod observed;
pub(crate) mod options;
pub(crate) mod policy;
mod users;

use std::fmt;
use std::sync::{Arc, Once};

use axum::extract::FromRef;
use axum::http::{Extensions, Method, Uri};

use crate::clock::ErasedClock;
use crate::config::adopt::ErasedAdopt;
#[cfg(feature = "dbsc")]
use crate::config::dbsc::Devices;
use crate::config::event::EventHook;
use crate::config::policy::Policy;
use crate::cookie::attributes::{Attributes, Secure};
use crate::cookie::key_ring::{KeyRing, KeysNow};
use crate::cookie::set_cookie::SetCookie;
use crate::cookie::value::{CookieValue, push_value};
use crate::error::StoreError;
use crate::id::SessionId;
use crate::record::cookie_object::CookieTemplate;
use crate::request::{PerTransport, RequestLine};
use crate::store::erased::ErasedStore;

/// The configuration of sessions: the secrets, the options, and the store. Keep it in the application's
/// state, where the extractor of [`Session`](crate::Session) finds it through [`FromRef`].
///
/// Cloning a configuration copies nothing: all clones share one configuration and one store.
///
/// ```
/// use axum::extract::FromRef;
/// use sessile::SessionConfig;
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
/// let app = App { sessions: SessionConfig::new("a secret of at least 32 bytes, from the environment")? };
/// # Ok::<(), sessile::ConfigError>(())
/// ```
///
/// # State behind an `Arc`
/// `Arc<App>` works as state without further code: where `SessionConfig` implements `FromRef<App>`, it
/// implements `FromRef<Arc<App>>` as well.
///
/// ```
/// use std::sync::Arc;
///
/// use axum::Router;
/// use axum::extract::FromRef;
/// use axum::routing::get;
/// use sessile::{Session, SessionConfig};
///
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
/// async fn is_new(session: Session) -> String {
///     session.is_new().to_string()
/// }
///
/// let sessions = SessionConfig::new("a secret of at least 32 bytes, from the environment")?;
/// let app: Router = Router::new().route("/", get(is_new)).with_state(Arc::new(App { sessions }));
/// # Ok::<(), sessile::ConfigError>(())
/// ```
#[derive(Clone)]
pub struct SessionConfig(pub(crate) Arc<ConfigInner>);

/// What all clones of a configuration share.
pub(crate) struct ConfigInner {
    pub(crate) cookie: Attributes,
    pub(crate) set_cookie: SetCookie,
    pub(crate) keys: KeyRing,
    pub(crate) secure: Secure,
    /// The `cookie` object of new records.
    pub(crate) templates: PerTransport<CookieTemplate<'static>>,
    pub(crate) policy: Policy,
    pub(crate) clock: ErasedClock,
    pub(crate) store: ErasedStore,
    /// The sessions of another library that move over, if there is one.
    pub(crate) adopt: Option<Box<dyn ErasedAdopt>>,
    /// The options of device-bound sessions, if they are on.
    #[cfg(feature = "dbsc")]
    pub(crate) dbsc: Option<Box<Devices>>,
    /// What makes new ids; `None` for random UUIDs.
    pub(crate) genid: Option<Box<dyn Fn() -> SessionId + Send + Sync>>,
    /// The program's function for what happens to sessions.
    pub(crate) on_event: Option<EventHook>,
    /// Whether [`ConfigInner::warn_undeliverable`] has warned.
    pub(crate) warned: Once,
}

impl SessionConfig {
    /// The value of the cookie for a session id, as sent: signed and encoded.
    #[must_use]
    pub fn sign(&self, id: &SessionId) -> String {
        let mut value = CookieValue::new();
        push_value(id, &self.0.keys().signer.sign(id), &mut value);
        // Invariant: the value is ASCII, because `encodeURIComponent` escapes everything else.
        debug_assert!(value.is_ascii(), "a cookie's value is not ASCII");
        String::from_utf8_lossy(&value).into_owned()
    }

    /// The inverse of [`sign`](Self::sign): the session id in a cookie's value, if one of the secrets has
    /// signed it.
    #[must_use]
    pub fn verify(&self, value: &str) -> Option<SessionId> {
        self.0.keys().signer.verify(value.as_bytes()).map(|verified| verified.id)
    }

    /// The name of the session's cookie.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.cookie.name
    }

    /// Returns whether the store can serve requests: see
    /// [`SessionStore::check`](crate::SessionStore::check). Changes no session.
    ///
    /// Call it at start, so that a missing table or right ends the program instead of answering each request
    /// with 503. For load balancers, [`health`](crate::health) is a handler over it.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let sessions = sessile::SessionConfig::new("a secret of at least 32 bytes, from the environment")?;
    /// sessions.check().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of the store; as a rule [`StoreError::unavailable`](crate::StoreError::unavailable).
    pub async fn check(&self) -> Result<(), StoreError> {
        self.0.store.check().await.map_err(StoreError::logged)
    }

    pub(crate) fn inner(&self) -> &ConfigInner {
        &self.0
    }

    /// Whether both values are clones of one configuration.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl ConfigInner {
    /// The keys that are made of the secrets.
    pub(crate) fn keys(&self) -> KeysNow<'_> {
        self.keys.now(&self.clock)
    }

    /// What a session of this configuration keeps of its request.
    pub(crate) fn request_line(&self, method: &Method, uri: &Uri, extensions: &Extensions) -> RequestLine {
        #[cfg(feature = "dbsc")]
        let is_asked_for = self.dbsc.is_some();
        #[cfg(not(feature = "dbsc"))]
        let is_asked_for = false;
        // The warning about a session that was never committed names them.
        if is_asked_for || tracing::enabled!(target: "sessile::session", tracing::Level::WARN) {
            RequestLine::new(method, uri, extensions, &self.cookie.path)
        } else {
            RequestLine::without_path(uri, extensions, &self.cookie.path)
        }
    }

    /// A random id for a new session, without running code of the program. `None`: the program makes the ids.
    pub(crate) fn random_id(&self) -> Option<SessionId> {
        self.genid.is_none().then(|| self.keyed(SessionId::random()))
    }

    /// An id for a new session.
    pub(crate) fn new_id(&self) -> SessionId {
        self.keyed(self.genid.as_ref().map_or_else(SessionId::random, |genid| genid()))
    }

    /// The same id, with the key under which the store has the records of new sessions.
    pub(crate) fn keyed(&self, id: SessionId) -> SessionId {
        if self.policy.hash_ids.is_some() { id.hashed() } else { id }
    }

    /// Logs a warning, once for each configuration, that new sessions are not stored because browsers would
    /// drop their cookie.
    pub(crate) fn warn_undeliverable(&self) {
        self.warned.call_once(|| {
            tracing::warn!(
                "the session cookie is Secure but the proxy says the request came over http: no session is stored"
            );
        });
    }
}

/// State behind an [`Arc`]. This crate implements it because an application cannot: neither type is its own.
/// The attribute keeps it out of the compiler's messages about states that lack a `FromRef`.
#[diagnostic::do_not_recommend]
impl<T> FromRef<Arc<T>> for SessionConfig
where
    Self: FromRef<T>,
{
    fn from_ref(state: &Arc<T>) -> Self {
        Self::from_ref(&**state)
    }
}

impl fmt::Debug for SessionConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = &*self.0;
        f.debug_struct("SessionConfig")
            .field("cookie", &inner.cookie)
            .field("signer", &inner.keys)
            .field("secure", &inner.secure)
            .field("policy", &inner.policy)
            .finish_non_exhaustive()
    }
}
