//! The `Set-Cookie` line of a response.
//!
//! The `cookie` crate writes the attributes, in its own order, once for each configuration. A response only
//! adds the value and the times, which saves building and formatting a cookie for each response.

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

/// The longest lifetime of a cookie: 400 days. Browsers cut longer ones to it (RFC 6265bis, section 5.5).
pub(crate) const MAX_LIFE: Duration = Duration::from_secs(400 * 24 * 60 * 60);

/// The last second of the year 9999, in seconds since 1970: a cookie's date has four digits for the year.
const LAST_DATE: u64 = 253_402_300_799;

/// The parts of a `Set-Cookie` line that are the same in all responses.
pub(crate) struct SetCookie {
    /// The name and its `=`, before the value.
    start: String,
    /// The attributes between the value and the times.
    attributes: PerTransport<String>,
    /// The attribute after the times, if any.
    end: String,
    times: LastTimes,
}

impl SetCookie {
    pub(crate) fn new(attributes: &Attributes, secure: Secure) -> Self {
        let start = format!("{}=", attributes.name);
        let written = |transport| {
            let line = attributes.cookie(attributes.sent(secure, transport)).to_string();
            // Invariant: the line of a cookie with an empty value begins with the name and its `=`.
            let attributes = line.strip_prefix(&start);
            debug_assert!(attributes.is_some(), "a cookie's line does not begin with its name");
            attributes.unwrap_or_default().to_owned()
        };
        Self {
            attributes: PerTransport::new(written),
            // The `cookie` crate does not write `Priority`, which Chromium alone knows.
            end: attributes
                .priority
                .map_or_else(String::new, |priority| format!("; Priority={}", priority.as_str())),
            start,
            times: LastTimes::default(),
        }
    }

    /// The line that sets the cookie to a signed id. Without a max-age the browser drops the cookie when it
    /// closes.
    ///
    /// # Errors
    /// [`SessionError::Cookie`] when the line is not a legal header value.
    pub(crate) fn set(
        &self,
        (id, signature): (&SessionId, &Signature),
        transport: Transport,
        max_age: Option<Duration>,
        now: SystemTime,
    ) -> Result<HeaderValue, SessionError> {
        let mut value = CookieValue::new();
        push_value(id, signature, &mut value);
        self.set_value(&value, transport, max_age, now)
    }

    /// The same, with any value that a cookie can have.
    ///
    /// # Errors
    /// [`SessionError::Cookie`] when the line is not a legal header value.
    pub(crate) fn set_value(
        &self,
        value: &[u8],
        transport: Transport,
        max_age: Option<Duration>,
        now: SystemTime,
    ) -> Result<HeaderValue, SessionError> {
        let times = max_age.map(|max_age| max_age.min(MAX_LIFE)).map(|max_age| {
            // A clock that is set before 1970 counts as 1970, because an HTTP date cannot be earlier.
            let expires = now.duration_since(UNIX_EPOCH).unwrap_or_default() + max_age;
            // Seconds are rounded up, because a `Max-Age` of 0 would delete the cookie (RFC 6265bis, section
            // 5.6.2).
            let max_age = max_age.as_secs() + u64::from(max_age.subsec_nanos() > 0);
            self.times.text(Times { max_age, expires: expires.as_secs().min(LAST_DATE) })
        });
        self.line(value, transport, times)
    }

    /// The attributes without the times, as in `HttpOnly; Path=/`.
    #[cfg(feature = "dbsc")]
    pub(crate) fn attributes(&self, transport: Transport) -> &str {
        self.attributes.get(transport).trim_start_matches("; ")
    }

    /// The line that deletes the cookie: its name and attributes, by which browsers find it, and an expiry in
    /// the past.
    ///
    /// # Errors
    /// [`SessionError::Cookie`] when the line is not a legal header value.
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
        // The capacity is exactly the length, which saves a copy when the line becomes a header value.
        let mut line = Vec::with_capacity(parts.iter().map(|part| part.len()).sum());
        for part in parts {
            line.extend_from_slice(part);
        }
        HeaderValue::try_from(line).map_err(|_| SessionError::Cookie)
    }
}

/// The cookie's times.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
struct Times {
    /// The `Max-Age` in seconds.
    max_age: u64,
    /// The `Expires` in seconds since 1970.
    expires: u64,
}

/// Room for the times as text, in bytes.
const TIMES_LEN: usize = 80;
const _: () = {
    let digits = u64::MAX.ilog10() as usize + 1;
    assert!("; Max-Age=".len() + digits + "; Expires=Thu, 01 Jan 1970 00:00:00 GMT".len() <= TIMES_LEN);
};

/// The times as text, such as `; Max-Age=34560000; Expires=Thu, 01 Jan 1970 00:00:00 GMT`.
type TimesText = ArrayString<TIMES_LEN>;

impl Times {
    fn text(self) -> TimesText {
        let mut text = TimesText::new();
        let expires = HttpDate::from(UNIX_EPOCH + Duration::from_secs(self.expires));
        // Invariant: there is room for the longest number and every date, as the assertion at `TIMES_LEN`
        // shows.
        let written = write!(text, "; Max-Age={}; Expires={expires}", self.max_age);
        debug_assert!(written.is_ok(), "the times are longer than {TIMES_LEN} bytes");
        text
    }
}

/// The last times and their text. Cookies that are set within one second mostly have the same times, so
/// keeping the text saves formatting it for most of them.
#[derive(Default)]
struct LastTimes(Mutex<(Times, TimesText)>);

impl LastTimes {
    fn text(&self, times: Times) -> TimesText {
        // Writing the text again takes less time than waiting for another thread.
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

    /// The whole line as the `cookie` crate writes it.
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
                // The text of the last times is kept, and must not be used for another second or another
                // max-age.
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
