//! [`SessionConfig`]: everything sessions need, in the app state.

pub(crate) mod builder;
pub(crate) mod options;
pub(crate) mod policy;

use std::fmt;
use std::sync::{Arc, Once};

use axum::extract::FromRef;
use tokio::sync::MutexGuard;

use crate::clock::ErasedClock;
use crate::config::policy::Policy;
use crate::cookie::attributes::{Attributes, Secure};
use crate::cookie::set_cookie::SetCookie;
use crate::cookie::signature::Signer;
use crate::cookie::value::{CookieValue, push_value};
use crate::id::SessionId;
use crate::record::cookie_object::CookieTemplate;
use crate::request::PerTransport;
use crate::store::erased::ErasedStore;
use crate::store::keyed_locks::KeyedLocks;
use crate::store::loaded::CompareBy;

/// Everything sessions need: the secrets, the cookie's attributes, the store. It lives in the app state.
///
/// A clone is one reference count; all clones are one configuration over one store.
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
/// `FromRef<Arc<App>> for SessionConfig` cannot be written outside this crate: neither type is yours. With
/// `Arc<App>` as state, wrap it in a type of your own:
///
/// ```
/// # use std::sync::{Arc, Once};
/// # use axum::extract::FromRef;
/// # use sessile::SessionConfig;
/// struct App {
///     sessions: SessionConfig,
/// }
///
/// #[derive(Clone)]
/// struct Shared(Arc<App>);
///
/// impl FromRef<Shared> for SessionConfig {
///     fn from_ref(shared: &Shared) -> Self {
///         shared.0.sessions.clone()
///     }
/// }
/// ```
#[derive(Clone)]
pub struct SessionConfig(pub(crate) Arc<ConfigInner>);

pub(crate) struct ConfigInner {
    pub(crate) cookie: Attributes,
    pub(crate) set_cookie: SetCookie,
    pub(crate) signer: Signer,
    pub(crate) secure: Secure,
    /// What a new record says of its cookie.
    pub(crate) templates: PerTransport<CookieTemplate<'static>>,
    pub(crate) policy: Policy,
    pub(crate) clock: ErasedClock,
    pub(crate) store: ErasedStore,
    pub(crate) locks: KeyedLocks,
    pub(crate) genid: Option<Box<dyn Fn() -> SessionId + Send + Sync>>,
    pub(crate) warned: Once,
}

impl SessionConfig {
    /// The cookie's value, as sent, for a session id.
    #[must_use]
    pub fn sign(&self, id: &SessionId) -> String {
        let mut value = CookieValue::new();
        push_value(id, &self.0.signer.sign(id), &mut value);
        // ASCII, since everything else is escaped.
        String::from_utf8_lossy(&value).into_owned()
    }

    /// The inverse of [`sign`](Self::sign): the id in a cookie's value, if one of the secrets signed it.
    #[must_use]
    pub fn verify(&self, value: &str) -> Option<SessionId> {
        self.0.signer.verify(value.as_bytes()).map(|verified| verified.id)
    }

    pub(crate) fn inner(&self) -> &ConfigInner {
        &self.0
    }
}

impl ConfigInner {
    pub(crate) fn new_id(&self) -> SessionId {
        self.genid.as_ref().map_or_else(SessionId::random, |genid| genid())
    }

    /// Where the store does not compare by itself, the requests for a record take turns.
    pub(crate) async fn lock_unless_atomic(
        &self,
        id: &SessionId,
        compare_by: &CompareBy,
    ) -> Option<MutexGuard<'_, ()>> {
        match compare_by {
            CompareBy::Version(_) | CompareBy::Record => None,
            CompareBy::Nothing => Some(self.locks.lock(id).await),
        }
    }

    /// Says once why no session is stored.
    pub(crate) fn warn_undeliverable(&self) {
        self.warned.call_once(|| {
            tracing::warn!(
                "the session cookie is Secure but the proxy says the request came over http: no session is stored"
            );
        });
    }
}

/// State behind an [`Arc`]: whatever gives its configuration as itself gives it as `Arc` as well.
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
            .field("signer", &inner.signer)
            .field("secure", &inner.secure)
            .field("policy", &inner.policy)
            .finish_non_exhaustive()
    }
}
