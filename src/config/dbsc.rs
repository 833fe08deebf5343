//! [`Dbsc`]: the options of sessions that are bound to a device.

use std::time::Duration;

use serde::Deserialize;

use crate::cookie::attributes::{Attributes, Secure};
use crate::cookie::set_cookie::SetCookie;
use crate::error::config::ConfigError;
use crate::request::is_within;

/// The default of `bound_for`, which is also that of ASP.NET Core.
const BOUND_FOR: Duration = Duration::from_secs(600);
/// The shortest `bound_for` without a warning: Chromium begins a refresh up to two minutes before the
/// cookie's end, and each request begins another one if the cookie never lives longer than that.
const GOOD_BOUND_FOR: Duration = Duration::from_secs(120);
/// The longest `bound_for`. A stolen cookie is of use for that long.
const MAX_BOUND_FOR: Duration = Duration::from_secs(24 * 60 * 60);

/// The longest path, in bytes, so that the headers that name it stay short.
const MAX_PATH: usize = 256;

/// The options of device-bound sessions, for
/// [`SessionConfigBuilder::dbsc`](crate::SessionConfigBuilder::dbsc).
#[derive(Debug, Clone, Deserialize)]
#[serde(from = "GivenDbsc")]
#[must_use = "options have an effect once the builder has them"]
pub struct Dbsc {
    path: String,
    bound_for: Duration,
    excluded: Vec<String>,
    missing: Missing,
}

/// What becomes of a request that carries the cookie of a bound session without its device's proof.
///
/// It never concerns sessions that no device has registered for, which is every session of a browser that
/// does not know device-bound sessions, nor the two endpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum Missing {
    /// The session is served as usual; [`Session::binding`](crate::Session::binding) and an event tell of it.
    Report,
    /// The request sees an empty session that it can read and write, but nothing of it is stored, and no
    /// cookie is set or removed: the proof may only be late. The exception is
    /// [`log_in`](crate::Session::log_in), which begins a new session, so that a user whose browser has
    /// lost the key can log in again.
    Anonymous,
    /// The extractor refuses the request with 401.
    Reject,
}

impl Dbsc {
    /// Options with their defaults. The two endpoints are `/register` and `/refresh` below `path`, which is
    /// the path that the browser sees. [`build`](crate::SessionConfigBuilder::build) refuses anything but
    /// letters, digits and `-._~/`, also in [`exclude`](Self::exclude).
    pub fn new(path: impl Into<String>) -> Self {
        let mut path = path.into();
        path.truncate(path.trim_end_matches('/').len());
        Self { path, bound_for: BOUND_FOR, excluded: Vec::new(), missing: Missing::Report }
    }

    /// How long a proof of the device is good for: the lifetime of the bound cookie. Default: 10 minutes.
    ///
    /// A stolen cookie is of use for this long at most. Less than two minutes makes Chromium refresh with
    /// nearly every request, until its quota of signatures is used up.
    /// [`build`](crate::SessionConfigBuilder::build) refuses less than a second and more than a day.
    pub fn bound_for(mut self, bound_for: Duration) -> Self {
        self.bound_for = bound_for;
        self
    }

    /// Lets the browser send requests under this path without waiting for a refresh, for static files.
    /// Default: none.
    ///
    /// Handlers under the path must not need the session, because their requests may come without the proof.
    pub fn exclude(mut self, path: impl Into<String>) -> Self {
        self.excluded.push(path.into());
        self
    }

    /// What becomes of a bound session's request without the proof. Default: [`Missing::Report`].
    ///
    /// Begin with the default, and look at the events for some weeks before you change it.
    pub fn when_missing(mut self, missing: Missing) -> Self {
        self.missing = missing;
        self
    }
}

/// [`Dbsc`] as it stands in a file.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct GivenDbsc {
    path: String,
    /// In seconds.
    #[serde(default)]
    bound_for: Option<u64>,
    #[serde(default)]
    exclude: Vec<String>,
    #[serde(default)]
    when_missing: Option<Missing>,
}

impl From<GivenDbsc> for Dbsc {
    fn from(given: GivenDbsc) -> Self {
        let mut options = Self::new(given.path);
        options.bound_for = given.bound_for.map_or(options.bound_for, Duration::from_secs);
        options.missing = given.when_missing.unwrap_or(options.missing);
        options.excluded = given.exclude;
        options
    }
}

/// The options of a configuration, and what is prepared of them once.
pub(crate) struct Devices {
    /// Where the browser registers, as it sees the path.
    pub(crate) register: String,
    pub(crate) refresh: String,
    pub(crate) bound_for: Duration,
    pub(crate) excluded: Vec<String>,
    pub(crate) missing: Missing,
    /// The name of the bound cookie.
    pub(crate) name: String,
    pub(crate) set_cookie: SetCookie,
}

impl Devices {
    /// Whether a request for this path is for one of the endpoints.
    pub(crate) fn is_endpoint(&self, path: &str) -> bool {
        path == self.register || path == self.refresh
    }
}

impl Dbsc {
    /// Checks the options, and prepares what requests need of them.
    pub(super) fn prepare(self, cookie: &Attributes, secure: Secure) -> Result<Devices, ConfigError> {
        let Self { path, bound_for, excluded, missing } = self;
        let is_plain = |path: &str| {
            let letters = path.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte));
            letters && path.starts_with('/') && path.len() <= MAX_PATH && !path.contains("//")
        };
        let register = format!("{path}/register");
        let all_plain = is_plain(&register) && excluded.iter().all(|path| is_plain(path));
        if !all_plain || !is_within(&register, &cookie.path) {
            return Err(ConfigError::DbscPath);
        }
        if bound_for < Duration::from_secs(1) || bound_for > MAX_BOUND_FOR {
            return Err(ConfigError::BoundFor);
        }
        if cookie.partitioned {
            return Err(ConfigError::DbscPartitioned);
        }
        if bound_for < GOOD_BOUND_FOR {
            let seconds = bound_for.as_secs();
            tracing::warn!(
                seconds,
                "bound cookies live so shortly that browsers refresh with nearly every request"
            );
        }
        let bound = Attributes { name: format!("{}.dbsc", cookie.name), ..cookie.clone() };
        let set_cookie = SetCookie::new(&bound, secure);
        let refresh = format!("{path}/refresh");
        Ok(Devices { register, refresh, bound_for, excluded, missing, name: bound.name, set_cookie })
    }
}
