//! The session's cookie as a response sets it.
//!
//! The `cookie` crate writes the attributes, in its order, once for each configuration; a response adds the value and the
//! times to them.

use std::fmt::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::http::HeaderValue;
use cookie::{Cookie, SameSite};
use httpdate::HttpDate;

use crate::config::{Priority, SameSiteOption, Secure, Transport};
use crate::error::SessionError;
use crate::id::SessionId;
use crate::secret::{Signature, push_value};

/// What browsers cap a cookie's life at: 400 days (RFC 6265bis).
pub(crate) const MAX_LIFE: Duration = Duration::from_secs(400 * 24 * 60 * 60);
/// Room for a signed UUID and the times.
const TYPICAL: usize = 192;

/// What is the same on every cookie of one configuration.
#[derive(Debug, Clone)]
pub(crate) struct Attributes {
    pub(crate) name: String,
    pub(crate) http_only: bool,
    pub(crate) path: String,
    pub(crate) domain: Option<String>,
    pub(crate) same_site: SameSiteOption,
    pub(crate) partitioned: bool,
    pub(crate) priority: Option<Priority>,
}

/// The attributes that depend on how the request came.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Transit {
    pub(crate) secure: bool,
    pub(crate) same_site: Option<SameSite>,
}

impl Attributes {
    pub(crate) fn transit(&self, secure: Secure, transport: Transport) -> Transit {
        Transit { secure: secure.on(transport), same_site: self.same_site.on(transport) }
    }

    fn cookie(&self, transit: Transit) -> Cookie<'_> {
        let mut cookie = Cookie::new(&self.name, "");
        cookie.set_http_only(self.http_only);
        cookie.set_same_site(transit.same_site);
        cookie.set_partitioned(self.partitioned);
        cookie.set_secure(transit.secure);
        cookie.set_path(&self.path);
        if let Some(domain) = &self.domain {
            cookie.set_domain(domain);
        }
        cookie
    }
}

/// `Set-Cookie` lines, prepared but for the value and the times.
pub(crate) struct SetCookie {
    /// The name and its `=`.
    start: String,
    /// What stands between the value and the times, by whether the request came over https.
    attributes: [String; 2],
    /// What stands behind the times.
    end: String,
}

impl SetCookie {
    pub(crate) fn new(attributes: &Attributes, secure: Secure) -> Self {
        let start = format!("{}=", attributes.name);
        let written = |transport| {
            let line = attributes.cookie(attributes.transit(secure, transport)).to_string();
            line.strip_prefix(&start).unwrap_or_default().to_owned()
        };
        Self {
            attributes: [written(Transport::Unknown), written(Transport::Https)],
            // The `cookie` crate does not know this attribute of Chromium.
            end: attributes
                .priority
                .map_or_else(String::new, |priority| format!("; Priority={}", priority.as_str())),
            start,
        }
    }

    /// A line that sets the cookie to a signed id; without a max-age the browser drops the cookie when it closes.
    pub(crate) fn set(
        &self,
        (id, signature): (&SessionId, &Signature),
        transport: Transport,
        max_age: Option<Duration>,
        now: SystemTime,
    ) -> Result<HeaderValue, SessionError> {
        let times = max_age.map(|life| life.min(MAX_LIFE)).map(|life| {
            // Whole seconds, rounded up: a `Max-Age` of 0 would delete the cookie.
            let seconds = life.as_secs() + u64::from(life.subsec_nanos() > 0);
            // No date is before 1970, whatever this machine's clock says.
            (seconds, now.max(UNIX_EPOCH) + life)
        });
        self.line(|line| push_value(id, signature, line), transport, times)
    }

    /// A line that deletes the cookie: everything that identifies it, and a past expiry.
    pub(crate) fn expire(&self, transport: Transport) -> Result<HeaderValue, SessionError> {
        self.line(|_| {}, transport, Some((0, UNIX_EPOCH)))
    }

    fn line(
        &self,
        push_value: impl FnOnce(&mut String),
        transport: Transport,
        times: Option<(u64, SystemTime)>,
    ) -> Result<HeaderValue, SessionError> {
        let attributes = &self.attributes[usize::from(transport == Transport::Https)];
        let mut line = String::with_capacity(self.start.len() + attributes.len() + self.end.len() + TYPICAL);
        line.push_str(&self.start);
        push_value(&mut line);
        line.push_str(attributes);
        if let Some((max_age, expires)) = times {
            // Writing to a String does not fail.
            let _ = write!(line, "; Max-Age={max_age}; Expires={}", HttpDate::from(expires));
        }
        line.push_str(&self.end);
        HeaderValue::try_from(line).map_err(|_| SessionError::Cookie)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::{Secrets, Signer};

    /// The whole line, from the `cookie` crate.
    fn whole(
        attributes: &Attributes,
        value: &str,
        transport: Transport,
        times: Option<(i64, SystemTime)>,
    ) -> String {
        let mut cookie = attributes.cookie(attributes.transit(Secure::Auto, transport));
        cookie.set_value(value);
        if let Some((max_age, expires)) = times {
            cookie.set_max_age(time::Duration::seconds(max_age));
            cookie.set_expires(time::OffsetDateTime::from(expires));
        }
        cookie.to_string()
    }

    #[test]
    fn a_prepared_line_is_what_the_cookie_crate_writes() {
        let id = SessionId::new("an id + more").unwrap();
        let signature = Signer::new(&Secrets::from("a secret")).sign(&id);
        let mut value = String::new();
        push_value(&id, &signature, &mut value);
        let plain = Attributes {
            name: "sid".into(),
            http_only: false,
            path: "/".into(),
            domain: None,
            same_site: SameSiteOption::Omitted,
            partitioned: false,
            priority: None,
        };
        let every = Attributes {
            http_only: true,
            path: "/a b".into(),
            domain: Some(".example.com".into()),
            same_site: SameSiteOption::Fixed(SameSite::None),
            partitioned: true,
            ..plain.clone()
        };
        let auto = Attributes { same_site: SameSiteOption::Auto, ..plain.clone() };
        for attributes in [plain, every, auto] {
            for transport in [Transport::Unknown, Transport::ProxiedHttp, Transport::Https] {
                let prepared = SetCookie::new(&attributes, Secure::Auto);
                for now in [0, 1, 951_782_399, 1_764_097_708, 4_102_444_799] {
                    let now = UNIX_EPOCH + Duration::from_millis(now * 1000 + 999);
                    for life in [1, 1000, 86_400_000] {
                        let life = Duration::from_millis(life);
                        let line = prepared.set((&id, &signature), transport, Some(life), now).unwrap();
                        let seconds = life.as_millis().div_ceil(1000) as i64;
                        assert_eq!(line, whole(&attributes, &value, transport, Some((seconds, now + life))));
                    }
                }
                let line = prepared.set((&id, &signature), transport, None, UNIX_EPOCH).unwrap();
                assert_eq!(line, whole(&attributes, &value, transport, None));
                let line = prepared.expire(transport).unwrap();
                assert_eq!(line, whole(&attributes, "", transport, Some((0, UNIX_EPOCH))));
            }
        }
    }
}
