//! [`SessionConfigBuilder`]: each option, and what `build` refuses.

use std::fmt;
use std::sync::{Arc, Once};
use std::time::Duration;

use cookie::SameSite;

use crate::clock::{Clock, ErasedClock};
use crate::config::policy::Policy;
use crate::config::{ConfigInner, SessionConfig};
use crate::cookie::attributes::{Attributes, Priority, SameSitePolicy, Secure};
use crate::cookie::rules;
use crate::cookie::secrets::Secrets;
use crate::cookie::set_cookie::{MAX_LIFE, SetCookie};
use crate::cookie::signature::Signer;
use crate::error::ConfigError;
use crate::id::SessionId;
use crate::record::cookie_object::CookieTemplate;
use crate::request::PerTransport;
use crate::store::SessionStore;
use crate::store::erased::ErasedStore;
use crate::store::keyed_locks::KeyedLocks;
use crate::store::memory::MemoryStore;

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
}

/// Secrets shorter than this are warned about, or refused by [`SessionConfig::hardened`].
const GOOD_SECRET: usize = 32;

/// Builds a [`SessionConfig`]. Each method names the Express option it stands for.
#[must_use = "call `.build()`"]
pub struct SessionConfigBuilder {
    secrets: Secrets,
    strict_secret: bool,
    cookie: Attributes,
    secure: Secure,
    policy: Policy,
    clock: ErasedClock,
    store: Option<ErasedStore>,
    genid: Option<Box<dyn Fn() -> SessionId + Send + Sync>>,
}

impl SessionConfigBuilder {
    /// The defaults.
    pub(crate) fn new(secrets: Secrets) -> Self {
        Self {
            secrets,
            strict_secret: false,
            cookie: Attributes {
                name: "connect.sid".into(),
                http_only: true,
                path: "/".into(),
                domain: None,
                same_site: SameSitePolicy::Fixed(SameSite::Lax),
                partitioned: false,
                priority: None,
            },
            secure: Secure::Never,
            policy: Policy::default(),
            clock: ErasedClock::default(),
            store: None,
            genid: None,
        }
    }

    /// The preset of [`SessionConfig::hardened`].
    pub(crate) fn strict(mut self) -> Self {
        self.strict_secret = true;
        self.name("__Host-sid").secure(true).save_uninitialized(false).browser_session()
    }

    /// The cookie's name (Express: `name`). Default: `connect.sid`.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.cookie.name = name.into();
        self
    }

    /// How long a session lives without being touched, up to 400 days (Express: `cookie.maxAge`, in ms there).
    /// Default: 24 hours. One session can differ: [`Session::set_max_age`](crate::Session::set_max_age).
    pub fn max_age(mut self, max_age: Duration) -> Self {
        self.policy.max_age = Some(max_age);
        self
    }

    /// The cookie ends with the browser (Express: `cookie.maxAge: null`); the store keeps the record for
    /// [`store_ttl`](Self::store_ttl).
    pub fn browser_session(mut self) -> Self {
        self.policy.max_age = None;
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
    ///
    /// A request for another path carries no cookie, whoever sends it. So `save_uninitialized` stores nothing there: it
    /// would put a new session in the place of one the browser has.
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
        self.cookie.same_site = SameSitePolicy::Fixed(same_site);
        self
    }

    /// Leaves the `SameSite` attribute out (Express: `cookie.sameSite: false`).
    pub fn no_same_site(mut self) -> Self {
        self.cookie.same_site = SameSitePolicy::Omitted;
        self
    }

    /// `SameSite=None` where the request came over https, else `Lax` (Express: `cookie.sameSite: 'auto'`), for pages
    /// that other sites embed. Needs [`secure`](Self::secure): `true` or [`Secure::Auto`], which says what counts as
    /// https.
    pub fn same_site_auto(mut self) -> Self {
        self.cookie.same_site = SameSitePolicy::Auto;
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
        self.store = Some(ErasedStore::new(store));
        self
    }

    /// Writes an existing session on every commit, changed or not (Express: `resave`). Default: `false`.
    pub fn resave(mut self, resave: bool) -> Self {
        self.policy.resave = resave;
        self
    }

    /// Stores new sessions that nothing was put into (Express: `saveUninitialized`). Default: `true`, as there;
    /// `false` spares visitors who never log in a cookie and you their records.
    pub fn save_uninitialized(mut self, save_uninitialized: bool) -> Self {
        self.policy.save_uninitialized = save_uninitialized;
        self
    }

    /// Sends the cookie anew on every commit, so that it lives as long as the user is active (Express: `rolling`).
    /// Default: `false`.
    pub fn rolling(mut self, rolling: bool) -> Self {
        self.policy.rolling = rolling;
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
        self.policy.trust_proxy = trust_proxy;
        self
    }

    /// How long a session that is only read goes without its life in the store being extended (connect-mongo:
    /// `touchAfter`). Default: a hundredth of the max-age, at most 60 seconds. Zero: on every request.
    pub fn touch_after(mut self, touch_after: Duration) -> Self {
        self.policy.touch_after = Some(touch_after);
        self
    }

    /// How long the store keeps a session without a max-age (connect-redis: `ttl`). Default: 24 hours.
    pub fn store_ttl(mut self, store_ttl: Duration) -> Self {
        self.policy.store_ttl = store_ttl;
        self
    }

    /// The longest record that is written, in bytes of its JSON (no such option in Express). Default: 1 MiB
    /// (1,048,576).
    ///
    /// A commit that would write a longer one is [`SessionError::TooLarge`](crate::SessionError::TooLarge), and writes
    /// nothing. A longer record that another program wrote is loaded all the same.
    pub fn max_record_bytes(mut self, max_record_bytes: usize) -> Self {
        self.policy.max_record_bytes = max_record_bytes;
        self
    }

    /// How many flash messages of a kind wait at most (no such option in Express). Default: 100.
    ///
    /// When one more is pushed, the oldest go, so that messages which no page shows do not make a session grow without
    /// end. If Express has left more than that, they stay until the next push.
    pub fn max_flash(mut self, max_flash: usize) -> Self {
        self.policy.max_flash = max_flash;
        self
    }

    /// Tells the time (no such option in Express). Default: [`SystemClock`](crate::SystemClock).
    ///
    /// The clock reaches the configuration only. A test that moves time gives the same clock to the store:
    /// [`MemoryStore::builder`], [`FileStoreBuilder::clock`](crate::FileStoreBuilder::clock).
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = ErasedClock::new(clock);
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
        rules::validate(&self.cookie, self.secure)?;
        match self.secrets.shortest() {
            _ if self.secrets.is_empty() => return Err(ConfigError::NoSecret),
            0 => return Err(ConfigError::EmptySecret),
            len if len >= GOOD_SECRET => {}
            _ if self.strict_secret => return Err(ConfigError::ShortSecret),
            len => tracing::warn!(bytes = len, "a session secret is shorter than {GOOD_SECRET} bytes"),
        }
        if self.policy.max_age.is_some_and(|age| age.as_millis() == 0 || age > MAX_LIFE) {
            return Err(ConfigError::MaxAge);
        }
        if self.policy.store_ttl.as_millis() == 0 || self.policy.store_ttl > MAX_LIFE {
            return Err(ConfigError::StoreTtl);
        }
        let template = |transport| {
            CookieTemplate::new(&self.cookie, self.secure, self.cookie.sent(self.secure, transport))
        };
        Ok(SessionConfig(Arc::new(ConfigInner {
            templates: PerTransport::new(template),
            signer: Signer::new(&self.secrets),
            set_cookie: SetCookie::new(&self.cookie, self.secure),
            cookie: self.cookie,
            secure: self.secure,
            store: self.store.unwrap_or_else(|| ErasedStore::new(MemoryStore::new())),
            locks: KeyedLocks::default(),
            policy: self.policy,
            clock: self.clock,
            genid: self.genid,
            warned: Once::new(),
        })))
    }
}

impl fmt::Debug for SessionConfigBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionConfigBuilder")
            .field("secrets", &self.secrets)
            .field("cookie", &self.cookie)
            .field("secure", &self.secure)
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}
