//! What [`SessionConfigBuilder::build`] refuses, and what it prepares once for all requests.

use std::sync::{Arc, Once};

use crate::config::builder::SessionConfigBuilder;
use crate::config::{ConfigInner, SessionConfig};
use crate::cookie::rules;
use crate::cookie::set_cookie::{MAX_LIFE, SetCookie};
use crate::cookie::signature::Signer;
use crate::error::ConfigError;
use crate::record::cookie_object::CookieTemplate;
use crate::request::PerTransport;
use crate::store::erased::ErasedStore;
use crate::store::memory::MemoryStore;

/// The shortest secret, in bytes, that is accepted without a warning. 32 bytes are as long as the output of
/// SHA-256; RFC 2104, section 3, advises against shorter keys for HMAC.
const GOOD_SECRET: usize = 32;
// The text of `ConfigError::ShortSecret` names the number.
const _: () = assert!(GOOD_SECRET == 32);

impl SessionConfigBuilder {
    /// Checks the options and builds the configuration.
    ///
    /// A secret under 32 bytes is accepted with a warning through `tracing`; [`SessionConfig::hardened`]
    /// refuses it.
    ///
    /// # Errors
    /// A [`ConfigError`], which names the option to change. Combinations of options that browsers would
    /// ignore are refused.
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
            policy: self.policy,
            clock: self.clock,
            genid: self.genid,
            warned: Once::new(),
        })))
    }
}
