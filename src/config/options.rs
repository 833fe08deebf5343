//! [`SessionOptions`]: the options as data, under the names that express-session gives them.

use std::fmt;
use std::time::Duration;

use cookie::SameSite;
use serde::{Deserialize, Deserializer};

use crate::config::SessionConfig;
use crate::config::builder::SessionConfigBuilder;
#[cfg(feature = "dbsc")]
use crate::config::dbsc::Dbsc;
use crate::config::policy::AtLimit;
use crate::cookie::attributes::{Priority, SameSitePolicy, Secure};
use crate::error::config::ConfigError;
use crate::id::HashIds;
use crate::json::date::parse_time;

/// The options as a plain struct, to be read from a JSON or TOML file.
///
/// The names and units are those of express-session (`saveUninitialized`, `cookie.maxAge` in milliseconds).
/// An absent option has the default of [`SessionConfigBuilder`], whose methods say when to change each
/// option. An unknown option is an error.
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
    /// One secret, or a list of secrets, newest first. Required. See [`Secrets`](crate::Secrets).
    #[serde(deserialize_with = "one_or_many")]
    pub secret: Vec<String>,
    /// The cookie's name, also under `key`. Default: `connect.sid`. See
    /// [`name`](SessionConfigBuilder::name).
    #[serde(alias = "key")]
    pub name: Option<String>,
    /// The cookie's attributes.
    pub cookie: CookieOptions,
    /// Whether an existing session is written on every commit. Default: `false`. See
    /// [`resave`](SessionConfigBuilder::resave).
    pub resave: Option<bool>,
    /// Whether new sessions are stored even without data in them. Default: `true`. See
    /// [`save_uninitialized`](SessionConfigBuilder::save_uninitialized).
    pub save_uninitialized: Option<bool>,
    /// Whether the cookie is sent on every commit. Default: `false`. See
    /// [`rolling`](SessionConfigBuilder::rolling).
    pub rolling: Option<bool>,
    /// Whether `X-Forwarded-Proto` is believed. Default: `false`. See
    /// [`trust_proxy`](SessionConfigBuilder::trust_proxy).
    pub proxy: Option<bool>,
    /// How long a session that is only read waits for its expiry to be extended, in seconds (connect-mongo:
    /// `touchAfter`). Default: a hundredth of the max-age, at most 60. See
    /// [`touch_after`](SessionConfigBuilder::touch_after).
    pub touch_after: Option<u64>,
    /// How long the store keeps a session without a max-age, in seconds (connect-redis: `ttl`). Default:
    /// 86,400, a day. See [`store_ttl`](SessionConfigBuilder::store_ttl).
    pub ttl: Option<u64>,
    /// The longest record that is written, in bytes. Default: 1,048,576 (1 MiB).
    pub max_record_bytes: Option<usize>,
    /// How many flash messages of a kind wait at most; past it the oldest go. Default: 100.
    pub max_flash: Option<usize>,
    /// How long a session lives at most, in seconds. Default: no limit. See
    /// [`absolute_timeout`](SessionConfigBuilder::absolute_timeout).
    pub absolute_timeout: Option<u64>,
    /// How many sessions a user has at most. Default: no limit. See
    /// [`per_user`](SessionConfigBuilder::per_user).
    pub per_user: Option<usize>,
    /// What happens at a login beyond `perUser`: `"endOldest"` or `"refuse"`. Default: `"endOldest"`.
    pub at_limit: Option<AtLimit>,
    /// How often the store is asked whether watched sessions have ended, in seconds. Default: 5. See
    /// [`look_every`](SessionConfigBuilder::look_every).
    pub look_every: Option<u64>,
    /// Whether the store sees hashes of ids: `true`, or a date such as `"2027-01-31T00:00:00.000Z"` until
    /// which sessions are found that were stored under their ids. Default: `false`. See
    /// [`hash_ids`](SessionConfigBuilder::hash_ids).
    #[serde(deserialize_with = "hash_ids")]
    pub hash_ids: Option<HashIds>,
    /// Whether sessions are bound to the browser's device (feature `dbsc`): `path`, and optionally `boundFor`
    /// in seconds, `exclude`, a list of paths, and `whenMissing`, which is `"report"`, `"anonymous"` or
    /// `"reject"`. Default: off. See [`dbsc`](SessionConfigBuilder::dbsc).
    #[cfg(feature = "dbsc")]
    pub dbsc: Option<Dbsc>,
}

/// The options under `cookie` in [`SessionOptions`]: the cookie's attributes.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(from = "GivenCookie")]
pub struct CookieOptions {
    /// How long a session lives after it was last used, in milliseconds; `Some(None)`, `null` in a file,
    /// until the browser closes. Default: 86,400,000, a day. See [`max_age`](SessionConfigBuilder::max_age)
    /// and [`browser_session`](SessionConfigBuilder::browser_session).
    pub max_age: Option<Option<u64>>,
    /// Whether browsers send the cookie over https only: `true`, `false` or `"auto"`. Default: `false`. See
    /// [`secure`](SessionConfigBuilder::secure).
    pub secure: Option<Secure>,
    /// Whether the cookie is hidden from scripts. Default: `true`. See
    /// [`http_only`](SessionConfigBuilder::http_only).
    pub http_only: Option<bool>,
    /// The path under which browsers send the cookie. Default: `/`. See
    /// [`path`](SessionConfigBuilder::path).
    pub path: Option<String>,
    /// The domain whose hosts all get the cookie. Default: none, the host that sets the cookie alone. See
    /// [`domain`](SessionConfigBuilder::domain).
    pub domain: Option<String>,
    /// Which requests from other sites carry the cookie: `"lax"`, `"strict"`, `"none"`, `true` (strict) or
    /// `false` (no attribute, here `Some(None)`). Default: `"lax"`. See
    /// [`same_site`](SessionConfigBuilder::same_site).
    pub same_site: Option<Option<SameSite>>,
    /// Whether `sameSite` is `"auto"`, in which case [`same_site`](Self::same_site) is ignored. Default:
    /// `false`. See [`same_site_auto`](SessionConfigBuilder::same_site_auto).
    pub same_site_auto: bool,
    /// Whether browsers keep a separate cookie for each site that embeds this one. Default: `false`. See
    /// [`partitioned`](SessionConfigBuilder::partitioned).
    pub partitioned: Option<bool>,
    /// Which cookies Chromium drops first: `"low"`, `"medium"` or `"high"`. Default: no attribute. See
    /// [`priority`](SessionConfigBuilder::priority).
    pub priority: Option<Priority>,
}

/// [`CookieOptions`] as they stand in a file, where one option covers `same_site` and `same_site_auto`.
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

impl SessionConfig {
    /// A configuration from options that were read from a file, over a new
    /// [`MemoryStore`](crate::MemoryStore). For another store, use [`SessionOptions::into_builder`].
    ///
    /// # Errors
    /// A [`ConfigError`] from [`SessionConfigBuilder::build`].
    pub fn from_options(options: SessionOptions) -> Result<Self, ConfigError> {
        options.into_builder().build()
    }
}

impl SessionOptions {
    /// A builder with these options set. Use it for what a file cannot hold: the store, `genid`, the clock.
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
            self.absolute_timeout.map(Duration::from_secs) => absolute_timeout,
            self.look_every.map(Duration::from_secs) => look_every,
            self.hash_ids => hash_ids,
            cookie.secure => secure,
            cookie.http_only => http_only,
            cookie.path => path,
            cookie.domain => domain,
            cookie.partitioned => partitioned,
            cookie.priority => priority,
        }
        #[cfg(feature = "dbsc")]
        if let Some(dbsc) = self.dbsc {
            builder = builder.dbsc(dbsc);
        }
        if let Some(limit) = self.per_user {
            builder = builder.per_user(limit, self.at_limit.unwrap_or(AtLimit::EndOldest));
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
        let mut text = f.debug_struct("SessionOptions");
        text.field("secret", &"REDACTED")
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
            .field("absolute_timeout", &self.absolute_timeout)
            .field("per_user", &self.per_user)
            .field("at_limit", &self.at_limit)
            .field("look_every", &self.look_every)
            .field("hash_ids", &self.hash_ids);
        #[cfg(feature = "dbsc")]
        text.field("dbsc", &self.dbsc);
        text.finish()
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

/// Reads an option that may be `null`, so that `Some(None)` is an option that is `null` and `None` one that
/// is absent.
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

fn hash_ids<'de, D: Deserializer<'de>>(input: D) -> Result<Option<HashIds>, D::Error> {
    let refuse = || serde::de::Error::custom("hashIds is true, false or a date");
    Ok(match BoolOrText::deserialize(input)? {
        BoolOrText::Bool(hash_ids) => hash_ids.then_some(HashIds::On),
        BoolOrText::Text(date) => {
            Some(HashIds::MovingUntil(parse_time(&format!("\"{date}\"")).ok_or_else(refuse)?))
        }
    })
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
