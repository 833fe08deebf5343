//! [`SessionConfig`]: everything sessions need, in the app state.

use std::fmt;
use std::sync::{Arc, Once};
use std::time::Duration;

use axum::http::{HeaderMap, uri};
use cookie::SameSite;
use tokio::sync::MutexGuard;

use crate::builder::SessionConfigBuilder;
use crate::error::{ConfigError, SessionRejection};
use crate::held::{Compared, Held};
use crate::id::SessionId;
use crate::options::SessionOptions;
use crate::record::CookieTemplate;
use crate::secret::{Secrets, Signer, Value, push_value};
use crate::session::Session;
use crate::set_cookie::{Attributes, SetCookie};
use crate::store::AnyStore;
use crate::store::lanes::Lanes;

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
pub struct SessionConfig(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) cookie: Attributes,
    pub(crate) set_cookie: SetCookie,
    pub(crate) signer: Signer,
    pub(crate) secure: Secure,
    pub(crate) trust_proxy: bool,
    /// What a new record says of its cookie, by whether the request came over https.
    pub(crate) templates: [CookieTemplate<'static>; 2],
    pub(crate) max_age: Option<Duration>,
    pub(crate) store: AnyStore,
    pub(crate) store_ttl: Duration,
    pub(crate) lanes: Lanes,
    pub(crate) resave: bool,
    pub(crate) save_uninitialized: bool,
    pub(crate) rolling: bool,
    pub(crate) touch_after: Duration,
    pub(crate) genid: Option<Box<dyn Fn() -> SessionId + Send + Sync>>,
    pub(crate) warned: Once,
}

impl SessionConfig {
    /// The defaults over a new [`MemoryStore`](crate::MemoryStore). See [`SessionConfigBuilder`] for what they are.
    ///
    /// # Errors
    /// [`ConfigError::NoSecret`] and [`ConfigError::EmptySecret`].
    pub fn new(secret: impl Into<Secrets>) -> Result<Self, ConfigError> {
        Self::builder(secret).build()
    }

    /// Starts from the defaults.
    pub fn builder(secret: impl Into<Secrets>) -> SessionConfigBuilder {
        SessionConfigBuilder::new(secret.into())
    }

    /// Starts from the strict preset: the cookie is `__Host-sid`, Secure, HttpOnly, `SameSite=Lax`, path `/`, and
    /// ends with the browser; sessions nothing was put into are not stored; a secret under 32 bytes is refused.
    pub fn hardened(secret: impl Into<Secrets>) -> SessionConfigBuilder {
        SessionConfigBuilder::new(secret.into()).strict()
    }

    /// From options read out of a file. For a store other than memory: [`SessionOptions::into_builder`].
    ///
    /// # Errors
    /// What [`SessionConfigBuilder::build`] refuses.
    pub fn from_options(options: SessionOptions) -> Result<Self, ConfigError> {
        options.into_builder().build()
    }

    /// The session these request headers name, outside a handler: in a WebSocket, a job, a test.
    ///
    /// It is not the handle that extractors of the same request share; commit it on its own.
    ///
    /// # Errors
    /// [`SessionRejection`] when the store cannot be reached.
    pub async fn session_from_headers(&self, headers: &HeaderMap) -> Result<Session, SessionRejection> {
        crate::extract::load(self.clone(), headers, None, crate::extract::RequestLine::default()).await
    }

    /// The cookie's value, as sent, for a session id.
    #[must_use]
    pub fn sign(&self, id: &SessionId) -> String {
        let mut value = Value::new();
        push_value(id, &self.0.signer.sign(id), &mut value);
        // ASCII, since everything else is escaped.
        String::from_utf8_lossy(&value).into_owned()
    }

    /// The inverse of [`sign`](Self::sign): the id in a cookie's value, if one of the secrets signed it.
    #[must_use]
    pub fn verify(&self, value: &str) -> Option<SessionId> {
        self.0.signer.verify(value.as_bytes()).map(|verified| verified.id)
    }

    pub(crate) fn inner(&self) -> &Inner {
        &self.0
    }
}

impl Inner {
    pub(crate) fn mint(&self) -> SessionId {
        self.genid.as_ref().map_or_else(SessionId::random, |genid| genid())
    }

    /// How long the store keeps a session of this max-age.
    pub(crate) fn ttl(&self, max_age: Option<Duration>) -> Duration {
        max_age.unwrap_or(self.store_ttl)
    }

    /// Where the store does not compare by itself, the requests for a record take turns.
    pub(crate) async fn lane(&self, held: &Held) -> Option<MutexGuard<'_, ()>> {
        match held.compared {
            Compared::Version(_) | Compared::Bytes => None,
            Compared::Nothing => Some(self.lanes.enter(&held.id).await),
        }
    }

    pub(crate) fn template(&self, transport: Transport) -> &CookieTemplate<'static> {
        &self.templates[usize::from(transport == Transport::Https)]
    }

    /// Says once why no session is stored.
    pub(crate) fn warn_undeliverable(&self) {
        self.warned.call_once(|| {
            tracing::warn!(
                "the session cookie is Secure but the proxy says the request came over http: no session is stored"
            );
        });
    }

    /// Whether the request came over https, as far as this process may know.
    pub(crate) fn transport(&self, headers: &HeaderMap, scheme: Option<&uri::Scheme>) -> Transport {
        if self.trust_proxy
            && let Some(proto) = headers.get("x-forwarded-proto")
        {
            let first = proto.as_bytes().split(|&byte| byte == b',').next().unwrap_or_default();
            return match first.trim_ascii().eq_ignore_ascii_case(b"https") {
                true => Transport::Https,
                false => Transport::ProxiedHttp,
            };
        }
        match scheme {
            Some(scheme) if *scheme == uri::Scheme::HTTPS => Transport::Https,
            _ => Transport::Unknown,
        }
    }
}

impl fmt::Debug for SessionConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = &*self.0;
        f.debug_struct("SessionConfig")
            .field("cookie", &inner.cookie)
            .field("signer", &inner.signer)
            .field("secure", &inner.secure)
            .field("trust_proxy", &inner.trust_proxy)
            .field("max_age", &inner.max_age)
            .field("store_ttl", &inner.store_ttl)
            .field("resave", &inner.resave)
            .field("save_uninitialized", &inner.save_uninitialized)
            .field("rolling", &inner.rolling)
            .field("touch_after", &inner.touch_after)
            .finish_non_exhaustive()
    }
}

/// How a request reached this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Transport {
    Https,
    /// A trusted proxy said that the browser spoke plain http.
    ProxiedHttp,
    #[default]
    Unknown,
}

/// When the cookie carries `Secure`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Secure {
    /// Never (`false`).
    Never,
    /// Always (`true`), also where this process cannot see TLS because a proxy ends it.
    Always,
    /// When the request came over https: `X-Forwarded-Proto` with
    /// [`trust_proxy`](SessionConfigBuilder::trust_proxy), else the request's own scheme. HTTP/1.1 requests name none: a
    /// process that ends TLS by itself wants `true`.
    Auto,
}

impl From<bool> for Secure {
    fn from(secure: bool) -> Self {
        if secure { Self::Always } else { Self::Never }
    }
}

impl Secure {
    pub(crate) fn on(self, transport: Transport) -> bool {
        match self {
            Self::Never => false,
            Self::Always => true,
            Self::Auto => transport == Transport::Https,
        }
    }
}

/// Which `SameSite` attribute the cookie carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SameSiteOption {
    Omitted,
    Fixed(SameSite),
    /// `None` over https, else `Lax`.
    Auto,
}

impl SameSiteOption {
    pub(crate) fn on(self, transport: Transport) -> Option<SameSite> {
        match (self, transport) {
            (Self::Omitted, _) => None,
            (Self::Fixed(same_site), _) => Some(same_site),
            (Self::Auto, Transport::Https) => Some(SameSite::None),
            (Self::Auto, Transport::ProxiedHttp | Transport::Unknown) => Some(SameSite::Lax),
        }
    }
}

/// Chromium's `Priority` attribute: which cookies of a domain are dropped first when there are too many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Priority {
    /// Dropped first.
    Low,
    /// What browsers assume.
    Medium,
    /// Dropped last.
    High,
}

impl Priority {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Low => "Low",
            Self::Medium => "Medium",
            Self::High => "High",
        }
    }
}
