//! [`SessionConfigBuilder`]: each option, its default, and what `build` refuses.

use std::fmt;
use std::sync::{Arc, Once};
use std::time::Duration;

use cookie::SameSite;

use crate::config::{Inner, Priority, SameSiteOption, Secure, SessionConfig, Transport};
use crate::error::ConfigError;
use crate::id::SessionId;
use crate::record::CookieTemplate;
use crate::secret::{Secrets, Signer};
use crate::set_cookie::{Attributes, MAX_LIFE, SetCookie};
use crate::store::lanes::Lanes;
use crate::store::{AnyStore, MemoryStore, SessionStore};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// Secrets shorter than this are warned about, or refused by [`SessionConfig::hardened`].
const GOOD_SECRET: usize = 32;

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
                same_site: SameSiteOption::Fixed(SameSite::Lax),
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
        self.cookie.same_site = SameSiteOption::Fixed(same_site);
        self
    }

    /// Leaves the `SameSite` attribute out (Express: `cookie.sameSite: false`).
    pub fn no_same_site(mut self) -> Self {
        self.cookie.same_site = SameSiteOption::Omitted;
        self
    }

    /// `SameSite=None` where the request came over https, else `Lax` (Express: `cookie.sameSite: 'auto'`), for pages
    /// that other sites embed. Needs [`secure`](Self::secure): `true` or [`Secure::Auto`], which says what counts as
    /// https.
    pub fn same_site_auto(mut self) -> Self {
        self.cookie.same_site = SameSiteOption::Auto;
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
        let template = |transport| {
            CookieTemplate::new(&self.cookie, self.secure, self.cookie.transit(self.secure, transport))
        };
        Ok(SessionConfig(Arc::new(Inner {
            templates: [template(Transport::Unknown), template(Transport::Https)],
            signer: Signer::new(&self.secrets),
            set_cookie: SetCookie::new(&self.cookie, self.secure),
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
