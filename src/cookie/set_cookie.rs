//! The session's cookie as a response sets it.
//!
//! The `cookie` crate writes the attributes, in its order, once for each configuration; a response adds the value and the
//! times to them.

use std::fmt::Write as _;
use std::sync::Mutex;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arrayvec::ArrayString;
use axum::http::HeaderValue;
use httpdate::HttpDate;

use crate::cookie::attributes::{Attributes, Secure};
use crate::cookie::signature::Signature;
use crate::cookie::value::{CookieValue, push_value};
use crate::error::SessionError;
use crate::id::SessionId;
use crate::request::{PerTransport, Transport};

/// What browsers cap a cookie's life at: 400 days (RFC 6265bis).
pub(crate) const MAX_LIFE: Duration = Duration::from_secs(400 * 24 * 60 * 60);

/// The last second of the year 9999, in seconds since 1970: a cookie's date has four digits for the year.
const LAST_DATE: u64 = 253_402_300_799;

/// `Set-Cookie` lines, prepared but for the value and the times.
pub(crate) struct SetCookie {
    /// The name and its `=`.
    start: String,
    /// What stands between the value and the times.
    attributes: PerTransport<String>,
    /// What stands behind the times.
    end: String,
    times: LastTimes,
}

impl SetCookie {
    pub(crate) fn new(attributes: &Attributes, secure: Secure) -> Self {
        let start = format!("{}=", attributes.name);
        let written = |transport| {
            let line = attributes.cookie(attributes.sent(secure, transport)).to_string();
            line.strip_prefix(&start).unwrap_or_default().to_owned()
        };
        Self {
            attributes: PerTransport::new(written),
            // The `cookie` crate does not know this attribute of Chromium.
            end: attributes
                .priority
                .map_or_else(String::new, |priority| format!("; Priority={}", priority.as_str())),
            start,
            times: LastTimes::default(),
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
            // No date is before 1970, whatever this machine's clock says.
            let expires = now.duration_since(UNIX_EPOCH).unwrap_or_default() + life;
            // Whole seconds, rounded up: a `Max-Age` of 0 would delete the cookie.
            let max_age = life.as_secs() + u64::from(life.subsec_nanos() > 0);
            self.times.text(Times { max_age, expires: expires.as_secs().min(LAST_DATE) })
        });
        let mut value = CookieValue::new();
        push_value(id, signature, &mut value);
        self.line(&value, transport, times)
    }

    /// A line that deletes the cookie: everything that identifies it, and a past expiry.
    pub(crate) fn expire(&self, transport: Transport) -> Result<HeaderValue, SessionError> {
        self.line(&[], transport, Some(Times { max_age: 0, expires: 0 }.text()))
    }

    fn line(
        &self,
        value: &[u8],
        transport: Transport,
        times: Option<TimesText>,
    ) -> Result<HeaderValue, SessionError> {
        let attributes = self.attributes.get(transport);
        let times = times.unwrap_or_default();
        let parts =
            [self.start.as_bytes(), value, attributes.as_bytes(), times.as_bytes(), self.end.as_bytes()];
        // Just as long as that, it becomes a header without a copy.
        let mut line = Vec::with_capacity(parts.iter().map(|part| part.len()).sum());
        for part in parts {
            line.extend_from_slice(part);
        }
        HeaderValue::try_from(line).map_err(|_| SessionError::Cookie)
    }
}

/// A cookie's `Max-Age`, and its `Expires` in seconds since 1970.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
struct Times {
    max_age: u64,
    expires: u64,
}

/// `; Max-Age=34560000; Expires=Thu, 01 Jan 1970 00:00:00 GMT`
type TimesText = ArrayString<80>;

impl Times {
    fn text(self) -> TimesText {
        let mut text = TimesText::new();
        let expires = HttpDate::from(UNIX_EPOCH + Duration::from_secs(self.expires));
        // There is room for the longest number and every date.
        let _ = write!(text, "; Max-Age={}; Expires={expires}", self.max_age);
        text
    }
}

/// The text of the last times that were asked for: most cookies of one second have the same.
#[derive(Default)]
struct LastTimes(Mutex<(Times, TimesText)>);

impl LastTimes {
    fn text(&self, times: Times) -> TimesText {
        // Writing them anew takes less time than waiting for another thread.
        let Ok(mut last) = self.0.try_lock() else { return times.text() };
        if last.0 != times || last.1.is_empty() {
            *last = (times, times.text());
        }
        last.1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cookie::SameSite;

    use crate::cookie::attributes::SameSitePolicy;
    use crate::cookie::secrets::Secrets;
    use crate::cookie::signature::Signer;

    /// The whole line, from the `cookie` crate.
    fn whole(
        attributes: &Attributes,
        value: &str,
        transport: Transport,
        times: Option<(i64, SystemTime)>,
    ) -> String {
        let mut cookie = attributes.cookie(attributes.sent(Secure::Auto, transport));
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
        let mut value = CookieValue::new();
        push_value(&id, &signature, &mut value);
        let value = String::from_utf8(value.to_vec()).unwrap();
        let plain = Attributes {
            name: "sid".into(),
            http_only: false,
            path: "/".into(),
            domain: None,
            same_site: SameSitePolicy::Omitted,
            partitioned: false,
            priority: None,
        };
        let every = Attributes {
            http_only: true,
            path: "/a b".into(),
            domain: Some(".example.com".into()),
            same_site: SameSitePolicy::Fixed(SameSite::None),
            partitioned: true,
            ..plain.clone()
        };
        let auto = Attributes { same_site: SameSitePolicy::Auto, ..plain.clone() };
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
                // The text of the times is kept: another second, and another life in the same second, have their own.
                let (day, week) = (Duration::from_secs(86_400), Duration::from_secs(604_800));
                for (second, life) in [(5, day), (6, day), (6, day), (6, week), (5, week)] {
                    let now = UNIX_EPOCH + Duration::from_secs(second);
                    let line = prepared.set((&id, &signature), transport, Some(life), now).unwrap();
                    let seconds = life.as_secs() as i64;
                    assert_eq!(line, whole(&attributes, &value, transport, Some((seconds, now + life))));
                }
                let line = prepared.set((&id, &signature), transport, None, UNIX_EPOCH).unwrap();
                assert_eq!(line, whole(&attributes, &value, transport, None));
                let line = prepared.expire(transport).unwrap();
                assert_eq!(line, whole(&attributes, "", transport, Some((0, UNIX_EPOCH))));
            }
        }
    }
}
