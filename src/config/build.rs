//! Where a configuration begins, what [`SessionConfigBuilder::build`] refuses, and what it prepares once for
//! all requests.

use std::sync::{Arc, Once};

use crate::config::builder::SessionConfigBuilder;
use crate::config::{ConfigInner, SessionConfig};
use crate::cookie::key_ring::KeyRing;
use crate::cookie::rules;
use crate::cookie::secrets::{GOOD_SECRET, Secrets};
use crate::cookie::set_cookie::{MAX_LIFE, SetCookie};
use crate::error::config::ConfigError;
use crate::record::cookie_object::CookieTemplate;
use crate::request::PerTransport;
use crate::store::erased::ErasedStore;
use crate::store::memory::MemoryStore;

/// The fewest distinct bytes that a secret of the strict options has. Of 64 random hexadecimal digits, one in
/// 10^12 has fewer; of 32 random bytes, one in 10^31.
const DISTINCT_BYTES: usize = 10;
// The texts of `ConfigError::ShortSecret` and `ConfigError::MonotonousSecret` name the numbers.
const _: () = assert!(GOOD_SECRET == 32 && DISTINCT_BYTES == 10);

impl SessionConfig {
    /// A configuration with the default of every option (see [`SessionConfigBuilder`]) over a new
    /// [`MemoryStore`](crate::MemoryStore).
    ///
    /// # Errors
    /// [`ConfigError::NoSecret`] when the list of secrets is empty, [`ConfigError::EmptySecret`] when a
    /// secret is.
    pub fn new(secret: impl Into<Secrets>) -> Result<Self, ConfigError> {
        Self::builder(secret).build()
    }

    /// A builder that starts from the default of every option.
    pub fn builder(secret: impl Into<Secrets>) -> SessionConfigBuilder {
        SessionConfigBuilder::new(secret.into())
    }

    /// A builder that starts from strict options, for applications that are reached over https only.
    ///
    /// The cookie is called `__Host-sid`; it is Secure, HttpOnly and `SameSite=Lax`, has the path `/`, and
    /// ends when the browser closes. New sessions without data are not stored. A secret under 32 bytes, or
    /// with fewer than 10 distinct bytes, is refused. All other options have their defaults, and each option
    /// can be changed.
    pub fn hardened(secret: impl Into<Secrets>) -> SessionConfigBuilder {
        SessionConfigBuilder::new(secret.into()).strict()
    }
}

impl SessionConfigBuilder {
    /// Checks the options and builds the configuration.
    ///
    /// A secret under 32 bytes is accepted with a warning through `tracing`; [`SessionConfig::hardened`]
    /// refuses it, and also a secret with fewer than 10 distinct bytes.
    ///
    /// # Errors
    /// A [`ConfigError`], which names the option to change. Combinations of options that browsers would
    /// ignore are refused.
    pub fn build(mut self) -> Result<SessionConfig, ConfigError> {
        rules::validate(&self.cookie, self.secure)?;
        let (secrets, source) =
            self.secrets.read().map_err(|error| ConfigError::UnreadSecrets(error.kind()))?;
        let is_strict = self.strict_secret;
        check_secrets(&secrets, is_strict)?;
        if self.policy.max_age.is_some_and(|age| age.as_millis() == 0 || age > MAX_LIFE) {
            return Err(ConfigError::MaxAge);
        }
        if self.policy.store_ttl.as_millis() == 0 || self.policy.store_ttl > MAX_LIFE {
            return Err(ConfigError::StoreTtl);
        }
        let store = self.store.take().unwrap_or_else(|| ErasedStore::new(MemoryStore::new()));
        self.check_users(&store)?;
        #[cfg(feature = "dbsc")]
        let dbsc = match self.dbsc.take() {
            Some(dbsc) => Some(Box::new(dbsc.prepare(&self.cookie, self.secure)?)),
            None => None,
        };
        let template = |transport| {
            CookieTemplate::new(&self.cookie, self.secure, self.cookie.sent(self.secure, transport))
        };
        Ok(SessionConfig(Arc::new(ConfigInner {
            templates: PerTransport::new(template),
            keys: KeyRing::new(&secrets, source, &self.clock, move |secrets| {
                check_secrets(secrets, is_strict)
            }),
            set_cookie: SetCookie::new(&self.cookie, self.secure),
            cookie: self.cookie,
            secure: self.secure,
            store,
            policy: self.policy,
            clock: self.clock,
            adopt: self.adopt,
            #[cfg(feature = "dbsc")]
            dbsc,
            genid: self.genid,
            on_event: self.on_event,
            warned: Once::new(),
        })))
    }
}

/// Refuses secrets, or warns of them.
fn check_secrets(secrets: &Secrets, is_strict: bool) -> Result<(), ConfigError> {
    match secrets.shortest() {
        _ if secrets.is_empty() => return Err(ConfigError::NoSecret),
        0 => return Err(ConfigError::EmptySecret),
        len if len >= GOOD_SECRET => {}
        _ if is_strict => return Err(ConfigError::ShortSecret),
        len => tracing::warn!(bytes = len, "a session secret is shorter than {GOOD_SECRET} bytes"),
    }
    if is_strict && secrets.fewest_distinct_bytes() < DISTINCT_BYTES {
        return Err(ConfigError::MonotonousSecret);
    }
    Ok(())
}
