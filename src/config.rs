//! [`SessionConfig`]: the options, their builder, and what `build` refuses.

use std::fmt;
use std::sync::{Arc, Once};
use std::time::Duration;

use axum::http::{HeaderMap, uri};
use cookie::SameSite;

use crate::cookie::{Attributes, MAX_LIFE};
use crate::error::SessionRejection;
use crate::id::SessionId;
use crate::options::SessionOptions;
use crate::record::CookieTemplate;
use crate::secret::{Secrets, Signer};
use crate::session::Session;
use crate::store::lanes::Lanes;
use crate::store::{AnyStore, MemoryStore, SessionStore};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// Secrets shorter than this are warned about, or refused by [`SessionConfig::hardened`].
const GOOD_SECRET: usize = 32;

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
pub struct SessionConfig(Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) cookie: Attributes,
    pub(crate) signer: Signer,
    pub(crate) secure: Secure,
    pub(crate) trust_proxy: bool,
    /// What a new record says of its cookie, by whether the cookie is `Secure`.
    templates: [CookieTemplate<'static>; 2],
    pub(crate) max_age: Option<Duration>,
    pub(crate) store: AnyStore,
    pub(crate) store_ttl: Duration,
    pub(crate) lanes: Lanes,
    pub(crate) resave: bool,
    pub(crate) save_uninitialized: bool,
    pub(crate) rolling: bool,
    pub(crate) touch_after: Duration,
    genid: Option<Box<dyn Fn() -> SessionId + Send + Sync>>,
    warned: Once,
}

impl SessionConfig {
    /// The defaults over a new [`MemoryStore`]. See [`SessionConfigBuilder`] for what they are.
    ///
    /// # Errors
    /// [`ConfigError::NoSecret`] and [`ConfigError::EmptySecret`].
    pub fn new(secret: impl Into<Secrets>) -> Result<Self, ConfigError> {
        Self::builder(secret).build()
    }

    /// Starts from the defaults.
    pub fn builder(secret: impl Into<Secrets>) -> SessionConfigBuilder {
        SessionConfigBuilder {
            secrets: secret.into(),
            strict_secret: false,
            cookie: Attributes {
                name: "connect.sid".into(),
                http_only: true,
                path: "/".into(),
                domain: None,
                same_site: Some(SameSite::Lax),
                partitioned: false,
                priority: None,
            },
            secure: Secure::Never,
            max_age: Some(DAY),
            store: None,
            resave: false,
            save_uninitialized: true,
            rolling: false,
            genid: None,
            trust_proxy: false,
            touch_after: None,
            store_ttl: DAY,
        }
    }

    /// Starts from the strict preset: the cookie is `__Host-sid`, Secure, HttpOnly, `SameSite=Lax`, path `/`, and
    /// ends with the browser; sessions nothing was put into are not stored; a secret under 32 bytes is refused.
    pub fn hardened(secret: impl Into<Secrets>) -> SessionConfigBuilder {
        let mut builder =
            Self::builder(secret).name("__Host-sid").secure(true).save_uninitialized(false).browser_session();
        builder.strict_secret = true;
        builder
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
        crate::extract::load(self, headers, crate::extract::RequestLine::default()).await
    }

    /// The cookie's value, as sent, for a session id.
    #[must_use]
    pub fn sign(&self, id: &SessionId) -> String {
        self.0.signer.sign(id)
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

    pub(crate) fn template(&self, secure: bool) -> &CookieTemplate<'static> {
        &self.templates[usize::from(secure)]
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
    /// [`trust_proxy`](SessionConfigBuilder::trust_proxy), else the request's own scheme.
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

/// Builds a [`SessionConfig`]. Each method names the Express option it stands for.
#[must_use = "call `.build()`"]
pub struct SessionConfigBuilder {
    secrets: Secrets,
    strict_secret: bool,
    cookie: Attributes,
    secure: Secure,
    max_age: Option<Duration>,
    store: Option<AnyStore>,
    resave: bool,
    save_uninitialized: bool,
    rolling: bool,
    genid: Option<Box<dyn Fn() -> SessionId + Send + Sync>>,
    trust_proxy: bool,
    touch_after: Option<Duration>,
    store_ttl: Duration,
}

impl SessionConfigBuilder {
    /// The cookie's name (Express: `name`). Default: `connect.sid`.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.cookie.name = name.into();
        self
    }

    /// How long a session lives without being touched, up to 400 days (Express: `cookie.maxAge`, in ms there).
    /// Default: 24 hours. One session can differ: [`Session::set_max_age`].
    pub fn max_age(mut self, max_age: Duration) -> Self {
        self.max_age = Some(max_age);
        self
    }

    /// The cookie ends with the browser (Express: `cookie.maxAge: null`); the store keeps the record for
    /// [`store_ttl`](Self::store_ttl).
    pub fn browser_session(mut self) -> Self {
        self.max_age = None;
        self
    }

    /// When the cookie is sent over https only (Express: `cookie.secure`): `true`, `false` or [`Secure::Auto`].
    /// Default: `false`, so that a first run on localhost works; use `true` in production.
    pub fn secure(mut self, secure: impl Into<Secure>) -> Self {
        self.secure = secure.into();
        self
    }

    /// Hides the cookie from scripts (Express: `cookie.httpOnly`). Default: `true`.
    pub fn http_only(mut self, http_only: bool) -> Self {
        self.cookie.http_only = http_only;
        self
    }

    /// The paths the browser sends the cookie to (Express: `cookie.path`). Default: `/`.
    pub fn path(mut self, path: impl Into<String>) -> Self {
        self.cookie.path = path.into();
        self
    }

    /// The domain whose hosts get the cookie (Express: `cookie.domain`). Default: none, this host alone.
    pub fn domain(mut self, domain: impl Into<String>) -> Self {
        self.cookie.domain = Some(domain.into());
        self
    }

    /// Which cross-site requests carry the cookie (Express: `cookie.sameSite`). Default: `Lax`.
    pub fn same_site(mut self, same_site: SameSite) -> Self {
        self.cookie.same_site = Some(same_site);
        self
    }

    /// Leaves the `SameSite` attribute out (Express: `cookie.sameSite: false`).
    pub fn no_same_site(mut self) -> Self {
        self.cookie.same_site = None;
        self
    }

    /// One cookie jar for each embedding site, CHIPS (Express: `cookie.partitioned`). Default: off.
    pub fn partitioned(mut self, partitioned: bool) -> Self {
        self.cookie.partitioned = partitioned;
        self
    }

    /// Which cookies go first when a domain has too many (Express: `cookie.priority`). Default: none.
    pub fn priority(mut self, priority: Priority) -> Self {
        self.cookie.priority = Some(priority);
        self
    }

    /// Where records are kept (Express: `store`). Default: a new [`MemoryStore`].
    pub fn store(mut self, store: impl SessionStore) -> Self {
        self.store = Some(AnyStore::new(store));
        self
    }

    /// Writes an existing session on every commit, changed or not (Express: `resave`). Default: `false`.
    pub fn resave(mut self, resave: bool) -> Self {
        self.resave = resave;
        self
    }

    /// Stores new sessions that nothing was put into (Express: `saveUninitialized`). Default: `true`, as there;
    /// `false` spares visitors who never log in a cookie and you their records.
    pub fn save_uninitialized(mut self, save_uninitialized: bool) -> Self {
        self.save_uninitialized = save_uninitialized;
        self
    }

    /// Sends the cookie anew on every commit, so that it lives as long as the user is active (Express: `rolling`).
    /// Default: `false`.
    pub fn rolling(mut self, rolling: bool) -> Self {
        self.rolling = rolling;
        self
    }

    /// Makes the ids of new sessions (Express: `genid`). Default: UUID version 4. Ids must be unguessable: at least
    /// 128 bits from a cryptographic generator.
    pub fn genid(mut self, genid: impl Fn() -> SessionId + Send + Sync + 'static) -> Self {
        self.genid = Some(Box::new(genid));
        self
    }

    /// Believes `X-Forwarded-Proto` (Express: `proxy`). Default: `false`; use it only behind a proxy that sets the
    /// header itself.
    pub fn trust_proxy(mut self, trust_proxy: bool) -> Self {
        self.trust_proxy = trust_proxy;
        self
    }

    /// How long a session that is only read goes without its life in the store being extended (connect-mongo:
    /// `touchAfter`). Default: a hundredth of the max-age, at most 60 seconds. Zero: on every request.
    pub fn touch_after(mut self, touch_after: Duration) -> Self {
        self.touch_after = Some(touch_after);
        self
    }

    /// How long the store keeps a session without a max-age (connect-redis: `ttl`). Default: 24 hours.
    pub fn store_ttl(mut self, store_ttl: Duration) -> Self {
        self.store_ttl = store_ttl;
        self
    }

    /// Checks the options.
    ///
    /// A secret under 32 bytes is accepted, and warned about once through `tracing`, unless the builder came from
    /// [`SessionConfig::hardened`].
    ///
    /// # Errors
    /// A [`ConfigError`] that names the option that does not hold.
    pub fn build(self) -> Result<SessionConfig, ConfigError> {
        crate::check::options(&self.cookie, self.secure)?;
        match self.secrets.shortest() {
            _ if self.secrets.is_empty() => return Err(ConfigError::NoSecret),
            0 => return Err(ConfigError::EmptySecret),
            len if len >= GOOD_SECRET => {}
            _ if self.strict_secret => return Err(ConfigError::ShortSecret),
            len => tracing::warn!(bytes = len, "a session secret is shorter than {GOOD_SECRET} bytes"),
        }
        if self.max_age.is_some_and(|age| age.as_millis() == 0 || age > MAX_LIFE) {
            return Err(ConfigError::MaxAge);
        }
        if self.store_ttl.as_millis() == 0 || self.store_ttl > MAX_LIFE {
            return Err(ConfigError::StoreTtl);
        }
        let life = self.max_age.unwrap_or(self.store_ttl);
        let touch_after = self.touch_after.unwrap_or_else(|| default_touch_after(life));
        let template = |secure| CookieTemplate::new(&self.cookie, self.secure, secure);
        Ok(SessionConfig(Arc::new(Inner {
            templates: [template(false), template(true)],
            signer: Signer::new(&self.secrets),
            cookie: self.cookie,
            secure: self.secure,
            trust_proxy: self.trust_proxy,
            max_age: self.max_age,
            store: self.store.unwrap_or_else(|| AnyStore::new(MemoryStore::new())),
            store_ttl: self.store_ttl,
            lanes: Lanes::default(),
            resave: self.resave,
            save_uninitialized: self.save_uninitialized,
            rolling: self.rolling,
            touch_after,
            genid: self.genid,
            warned: Once::new(),
        })))
    }
}

/// A hundredth of a session's life, at most a minute.
pub(crate) fn default_touch_after(life: Duration) -> Duration {
    (life / 100).min(Duration::from_secs(60))
}

impl fmt::Debug for SessionConfigBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionConfigBuilder")
            .field("secrets", &self.secrets)
            .field("cookie", &self.cookie)
            .field("secure", &self.secure)
            .field("max_age", &self.max_age)
            .finish_non_exhaustive()
    }
}

/// Why [`SessionConfigBuilder::build`] refused; each variant names the option to change.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// `secret` is an empty list.
    #[error("`secret`: at least one secret is needed")]
    NoSecret,
    /// One of the secrets is empty.
    #[error("`secret`: an empty secret signs nothing")]
    EmptySecret,
    /// Under 32 bytes, and the configuration is [`SessionConfig::hardened`].
    #[error("`secret`: the hardened preset needs secrets of 32 bytes or more")]
    ShortSecret,
    /// `name` is no cookie name: 1 to 256 letters, digits or any of ``!#$%&'*+-.^_`|~``.
    #[error("`name`: not a legal cookie name")]
    Name,
    /// `path` does not start with `/`, is over 1,024 bytes, or has a `;`, a control or a non-ASCII character.
    #[error(
        "`path`: not a legal cookie path; it starts with `/` and has no `;`, control or non-ASCII character"
    )]
    Path,
    /// `domain` is no host name.
    #[error("`domain`: not a legal cookie domain; it is a host name in ASCII")]
    Domain,
    /// The name's prefix (`__Host-`, `__Secure-`, `__Http-`) demands what another option denies.
    #[error("`name`: the prefix {prefix} needs {needs}")]
    Prefix {
        /// The prefix of the cookie's name.
        prefix: &'static str,
        /// What the options lack.
        needs: &'static str,
    },
    /// `same_site(None)` without `secure`.
    #[error("`same_site`: browsers drop a `SameSite=None` cookie without `secure`")]
    SameSite,
    /// `partitioned(true)` without `secure`.
    #[error("`partitioned`: browsers drop a `Partitioned` cookie without `secure`")]
    Partitioned,
    /// `max_age` is zero or over 400 days.
    #[error(
        "`max_age`: more than zero, at most 400 days; for a cookie that ends with the browser use `browser_session()`"
    )]
    MaxAge,
    /// `store_ttl` is zero or over 400 days.
    #[error("`store_ttl`: more than zero, at most 400 days")]
    StoreTtl,
}
