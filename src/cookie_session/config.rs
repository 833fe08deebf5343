//! [`CookieConfig`]: the key and the options of sessions that the browser keeps.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::FromRef;
use axum_extra::extract::cookie::Key;
use cookie::SameSite;

use super::browser::BrowserStore;
use crate::clock::Clock;
use crate::config::SessionConfig;
use crate::config::builder::SessionConfigBuilder;
use crate::cookie::attributes::{Priority, Secure};
use crate::error::config::ConfigError;
use crate::store::erased::ErasedStore;

/// The configuration of sessions that the browser keeps: the key and the options. Keep it in the
/// application's state, where the extractor of [`CookieSession`](crate::CookieSession) finds it through
/// [`FromRef`]. All clones share one configuration.
#[derive(Clone)]
pub struct CookieConfig(pub(super) Arc<Inner>);

/// What all clones of a configuration share.
pub(super) struct Inner {
    /// The options. The store forgets everything, because the browser keeps it.
    pub(super) sessions: SessionConfig,
    /// The first seals, and all open.
    pub(super) keys: Vec<Key>,
}

/// Builds a [`CookieConfig`]. The options are those of
/// [`SessionConfigBuilder`](crate::SessionConfigBuilder) that do not need a store.
#[must_use = "call `.build()`"]
pub struct CookieConfigBuilder {
    sessions: SessionConfigBuilder,
    keys: Vec<Key>,
}

impl CookieConfig {
    /// A configuration with the default of every option.
    ///
    /// The key may be the one of the app's other private cookies: a value that was sealed for a cookie of
    /// another name cannot be opened.
    ///
    /// # Errors
    /// Those of [`CookieConfigBuilder::build`].
    pub fn new(key: Key) -> Result<Self, ConfigError> {
        Self::builder(key).build()
    }

    /// A builder that starts from the default of every option.
    pub fn builder(key: Key) -> CookieConfigBuilder {
        let sessions = SessionConfig::builder(&key).erased_store(ErasedStore::in_one_step(BrowserStore));
        let sessions = sessions.save_uninitialized(false).name("session");
        CookieConfigBuilder { sessions, keys: vec![key] }
    }

    /// The name of the cookie.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.sessions.name()
    }
}

impl CookieConfigBuilder {
    /// Also opens what this key has sealed. To change the key, build the configuration with the new one, and
    /// name the old one here for as long as sessions live that it has sealed. A cookie is sealed anew by the
    /// next commit.
    pub fn old_key(mut self, key: Key) -> Self {
        self.keys.push(key);
        self
    }

    /// The cookie's name. Default: `session`. See [`SessionConfigBuilder::name`].
    pub fn name(self, name: impl Into<String>) -> Self {
        self.with(|sessions| sessions.name(name))
    }

    /// How long a session lives after it was last used. Default: 24 hours. The end is sealed as well, so a copy
    /// of the cookie does not outlive it. See [`SessionConfigBuilder::max_age`].
    pub fn max_age(self, max_age: Duration) -> Self {
        self.with(|sessions| sessions.max_age(max_age))
    }

    /// Lets the cookie end when the browser closes, in place of a max-age. A cookie that the browser keeps all
    /// the same, or a copy of it, ends after [`idle_timeout`](Self::idle_timeout).
    pub fn browser_session(self) -> Self {
        self.with(SessionConfigBuilder::browser_session)
    }

    /// How long a session without a max-age lives after it was last used. Default: 24 hours. See
    /// [`SessionConfigBuilder::store_ttl`].
    pub fn idle_timeout(self, timeout: Duration) -> Self {
        self.with(|sessions| sessions.store_ttl(timeout))
    }

    /// How long a session lives at most, however much it is used. Default: no limit. A copy of a cookie that
    /// is used again and again lives for ever without it.
    pub fn absolute_timeout(self, timeout: Duration) -> Self {
        self.with(|sessions| sessions.absolute_timeout(timeout))
    }

    /// Whether browsers send the cookie over https only. Default: `false`; use `true` in production. See
    /// [`SessionConfigBuilder::secure`].
    pub fn secure(self, secure: impl Into<Secure>) -> Self {
        self.with(|sessions| sessions.secure(secure))
    }

    /// Hides the cookie from scripts in the page. Default: `true`.
    pub fn http_only(self, http_only: bool) -> Self {
        self.with(|sessions| sessions.http_only(http_only))
    }

    /// The path under which browsers send the cookie. Default: `/`. See [`SessionConfigBuilder::path`].
    pub fn path(self, path: impl Into<String>) -> Self {
        self.with(|sessions| sessions.path(path))
    }

    /// The domain whose hosts all get the cookie. Default: none. See [`SessionConfigBuilder::domain`].
    pub fn domain(self, domain: impl Into<String>) -> Self {
        self.with(|sessions| sessions.domain(domain))
    }

    /// Which requests from other sites carry the cookie. Default: `Lax`. See
    /// [`SessionConfigBuilder::same_site`].
    pub fn same_site(self, same_site: SameSite) -> Self {
        self.with(|sessions| sessions.same_site(same_site))
    }

    /// Makes browsers keep a separate cookie for each site that embeds this one. Default: `false`.
    pub fn partitioned(self, partitioned: bool) -> Self {
        self.with(|sessions| sessions.partitioned(partitioned))
    }

    /// Which cookies Chromium drops first when a domain has too many. Default: no attribute.
    pub fn priority(self, priority: Priority) -> Self {
        self.with(|sessions| sessions.priority(priority))
    }

    /// Sends the cookie on every commit, with a new end. Default: `false`, which sends it when something has
    /// changed, or when a hundredth of its life has passed.
    pub fn rolling(self, rolling: bool) -> Self {
        self.with(|sessions| sessions.rolling(rolling))
    }

    /// Believes the request header `X-Forwarded-Proto`. Default: `false`. See
    /// [`SessionConfigBuilder::trust_proxy`].
    pub fn trust_proxy(self, trust_proxy: bool) -> Self {
        self.with(|sessions| sessions.trust_proxy(trust_proxy))
    }

    /// The clock that tells the time. Default: [`SystemClock`](crate::SystemClock).
    pub fn clock(self, clock: impl Clock) -> Self {
        self.with(|sessions| sessions.clock(clock))
    }

    /// Checks the options and builds the configuration.
    ///
    /// # Errors
    /// A [`ConfigError`], which names the option to change.
    pub fn build(self) -> Result<CookieConfig, ConfigError> {
        Ok(CookieConfig(Arc::new(Inner { sessions: self.sessions.build()?, keys: self.keys })))
    }

    fn with(self, set: impl FnOnce(SessionConfigBuilder) -> SessionConfigBuilder) -> Self {
        Self { sessions: set(self.sessions), keys: self.keys }
    }
}

/// State behind an [`Arc`]: see [`SessionConfig`](crate::SessionConfig#state-behind-an-arc).
#[diagnostic::do_not_recommend]
impl<T> FromRef<Arc<T>> for CookieConfig
where
    Self: FromRef<T>,
{
    fn from_ref(state: &Arc<T>) -> Self {
        Self::from_ref(&**state)
    }
}

impl fmt::Debug for CookieConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CookieConfig").field("sessions", &self.0.sessions).finish_non_exhaustive()
    }
}

impl fmt::Debug for CookieConfigBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CookieConfigBuilder").field("sessions", &self.sessions).finish_non_exhaustive()
    }
}
