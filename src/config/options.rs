//! [`SessionOptions`]: the configuration as data, under the names Express gives it.

use std::fmt;
use std::time::Duration;

use cookie::SameSite;
use serde::{Deserialize, Deserializer};

use crate::config::SessionConfig;
use crate::config::builder::SessionConfigBuilder;
use crate::cookie::attributes::{Priority, SameSitePolicy, Secure};
use crate::error::ConfigError;

impl SessionConfig {
    /// From options read out of a file. For a store other than memory: [`SessionOptions::into_builder`].
    ///
    /// # Errors
    /// What [`SessionConfigBuilder::build`] refuses.
    pub fn from_options(options: SessionOptions) -> Result<Self, ConfigError> {
        options.into_builder().build()
    }
}

/// The options of a session as a plain struct, to be read from a JSON or TOML file.
///
/// The names are Express' (`saveUninitialized`, `cookie.maxAge` in milliseconds); an absent option keeps the default
/// of [`SessionConfigBuilder`]; an unknown one is an error.
///
/// ```
/// use sessile::{SessionConfig, SessionOptions};
///
/// let options: SessionOptions = serde_json::from_str(r#"{
///     "secret": ["the new secret of 32 bytes or more", "the old secret of 32 bytes or more"],
///     "name": "sid",
///     "cookie": { "maxAge": 3600000, "sameSite": "strict", "secure": "auto" },
///     "saveUninitialized": false
/// }"#)?;
/// let config = SessionConfig::from_options(options)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct SessionOptions {
    /// One secret, or a list of them, newest first.
    #[serde(deserialize_with = "one_or_many")]
    pub secret: Vec<String>,
    /// The cookie's name. Default: `connect.sid`.
    #[serde(alias = "key")]
    pub name: Option<String>,
    /// The cookie's attributes.
    pub cookie: CookieOptions,
    /// Write an existing session on every commit. Default: `false`.
    pub resave: Option<bool>,
    /// Store new sessions that nothing was put into. Default: `true`.
    pub save_uninitialized: Option<bool>,
    /// Send the cookie anew on every commit. Default: `false`.
    pub rolling: Option<bool>,
    /// Trust `X-Forwarded-Proto`. Default: `false`.
    pub proxy: Option<bool>,
    /// Seconds between two extensions of a session that is only read (connect-mongo's `touchAfter`).
    pub touch_after: Option<u64>,
    /// Seconds a session without a max-age stays in the store (connect-redis' `ttl`). Default: 86,400.
    pub ttl: Option<u64>,
    /// The longest record that is written, in bytes. Default: 1,048,576 (1 MiB).
    pub max_record_bytes: Option<usize>,
    /// How many flash messages of a kind wait at most; past it the oldest go. Default: 100.
    pub max_flash: Option<usize>,
}

/// The `cookie` part of [`SessionOptions`].
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(from = "GivenCookie")]
pub struct CookieOptions {
    /// Milliseconds the session lives; `null` until the browser closes. Default: 86,400,000 (a day).
    pub max_age: Option<Option<u64>>,
    /// `true`, `false` or `"auto"`. Default: `false`.
    pub secure: Option<Secure>,
    /// Hide the cookie from scripts. Default: `true`.
    pub http_only: Option<bool>,
    /// Default: `/`.
    pub path: Option<String>,
    /// Default: none, the host that set the cookie.
    pub domain: Option<String>,
    /// `"lax"`, `"strict"`, `"none"`, `true` (strict) or `false` (no attribute). Default: `"lax"`.
    pub same_site: Option<Option<SameSite>>,
    /// `sameSite: "auto"`: then `same_site` is not looked at.
    pub same_site_auto: bool,
    /// Default: `false`.
    pub partitioned: Option<bool>,
    /// `"low"`, `"medium"` or `"high"`. Default: no attribute.
    pub priority: Option<Priority>,
}

/// The same as it stands in a file.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct GivenCookie {
    #[serde(deserialize_with = "present")]
    max_age: Option<Option<u64>>,
    #[serde(deserialize_with = "secure")]
    secure: Option<Secure>,
    http_only: Option<bool>,
    path: Option<String>,
    domain: Option<String>,
    #[serde(deserialize_with = "same_site")]
    same_site: Option<SameSitePolicy>,
    partitioned: Option<bool>,
    #[serde(deserialize_with = "priority")]
    priority: Option<Priority>,
}

impl From<GivenCookie> for CookieOptions {
    fn from(given: GivenCookie) -> Self {
        Self {
            max_age: given.max_age,
            secure: given.secure,
            http_only: given.http_only,
            path: given.path,
            domain: given.domain,
            same_site: given.same_site.and_then(|same_site| match same_site {
                SameSitePolicy::Omitted => Some(None),
                SameSitePolicy::Fixed(same_site) => Some(Some(same_site)),
                SameSitePolicy::Auto => None,
            }),
            same_site_auto: given.same_site == Some(SameSitePolicy::Auto),
            partitioned: given.partitioned,
            priority: given.priority,
        }
    }
}

impl SessionOptions {
    /// A builder with these options set, for what a file cannot say: the store, `genid`.
    pub fn into_builder(self) -> SessionConfigBuilder {
        let mut builder = SessionConfig::builder(self.secret);
        let cookie = self.cookie;
        macro_rules! set {
            ($($option:expr => $method:ident),* $(,)?) => {$(
                if let Some(value) = $option { builder = builder.$method(value); }
            )*};
        }
        set! {
            self.name => name,
            self.resave => resave,
            self.save_uninitialized => save_uninitialized,
            self.rolling => rolling,
            self.proxy => trust_proxy,
            self.touch_after.map(Duration::from_secs) => touch_after,
            self.ttl.map(Duration::from_secs) => store_ttl,
            self.max_record_bytes => max_record_bytes,
            self.max_flash => max_flash,
            cookie.secure => secure,
            cookie.http_only => http_only,
            cookie.path => path,
            cookie.domain => domain,
            cookie.partitioned => partitioned,
            cookie.priority => priority,
        }
        builder = match cookie.max_age {
            None => builder,
            Some(None) => builder.browser_session(),
            Some(Some(millis)) => builder.max_age(Duration::from_millis(millis)),
        };
        match cookie.same_site {
            _ if cookie.same_site_auto => builder.same_site_auto(),
            None => builder,
            Some(None) => builder.no_same_site(),
            Some(Some(same_site)) => builder.same_site(same_site),
        }
    }
}

impl fmt::Debug for SessionOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionOptions")
            .field("secret", &"REDACTED")
            .field("name", &self.name)
            .field("cookie", &self.cookie)
            .field("resave", &self.resave)
            .field("save_uninitialized", &self.save_uninitialized)
            .field("rolling", &self.rolling)
            .field("proxy", &self.proxy)
            .field("touch_after", &self.touch_after)
            .field("ttl", &self.ttl)
            .field("max_record_bytes", &self.max_record_bytes)
            .field("max_flash", &self.max_flash)
            .finish()
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum BoolOrText {
    Bool(bool),
    Text(String),
}

fn one_or_many<'de, D: Deserializer<'de>>(input: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum OneOrMany {
        One(String),
        Many(Vec<String>),
    }
    Ok(match OneOrMany::deserialize(input)? {
        OneOrMany::One(secret) => vec![secret],
        OneOrMany::Many(secrets) => secrets,
    })
}

/// Tells an option that is `null` from one that is absent.
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(input: D) -> Result<Option<T>, D::Error> {
    T::deserialize(input).map(Some)
}

fn secure<'de, D: Deserializer<'de>>(input: D) -> Result<Option<Secure>, D::Error> {
    match BoolOrText::deserialize(input)? {
        BoolOrText::Bool(secure) => Ok(Some(secure.into())),
        BoolOrText::Text(text) if text.eq_ignore_ascii_case("auto") => Ok(Some(Secure::Auto)),
        BoolOrText::Text(_) => Err(serde::de::Error::custom("cookie.secure is true, false or \"auto\"")),
    }
}

fn same_site<'de, D: Deserializer<'de>>(input: D) -> Result<Option<SameSitePolicy>, D::Error> {
    let text = match Option::<BoolOrText>::deserialize(input)? {
        None | Some(BoolOrText::Bool(false)) => return Ok(Some(SameSitePolicy::Omitted)),
        Some(BoolOrText::Bool(true)) => return Ok(Some(SameSitePolicy::Fixed(SameSite::Strict))),
        Some(BoolOrText::Text(text)) => text.to_ascii_lowercase(),
    };
    match text.as_str() {
        "lax" => Ok(Some(SameSitePolicy::Fixed(SameSite::Lax))),
        "strict" => Ok(Some(SameSitePolicy::Fixed(SameSite::Strict))),
        "none" => Ok(Some(SameSitePolicy::Fixed(SameSite::None))),
        "auto" => Ok(Some(SameSitePolicy::Auto)),
        _ => Err(serde::de::Error::custom(
            "cookie.sameSite is \"lax\", \"strict\", \"none\", \"auto\", true or false",
        )),
    }
}

fn priority<'de, D: Deserializer<'de>>(input: D) -> Result<Option<Priority>, D::Error> {
    match String::deserialize(input)?.to_ascii_lowercase().as_str() {
        "low" => Ok(Some(Priority::Low)),
        "medium" => Ok(Some(Priority::Medium)),
        "high" => Ok(Some(Priority::High)),
        _ => Err(serde::de::Error::custom("cookie.priority is \"low\", \"medium\" or \"high\"")),
    }
}
