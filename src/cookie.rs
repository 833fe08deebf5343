//! The session's cookie on the wire: found in a request, written to a response.

use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use axum::http::header::COOKIE;
use axum::http::{HeaderMap, HeaderValue};
use cookie::{Cookie, SameSite};
use time::OffsetDateTime;

use crate::config::{Priority, SameSiteOption, Secure, Transport};
use crate::error::SessionError;
use crate::id::MAX_LEN;

/// How many cookies of the session's name are looked at in one request.
const MAX_CANDIDATES: usize = 4;
/// Length of a base64 HMAC-SHA256 without padding.
pub(crate) const SIGNATURE_LEN: usize = 43;
/// `s:`, the id, a dot, the signature.
pub(crate) const MAX_DECODED: usize = 2 + MAX_LEN + 1 + SIGNATURE_LEN;
/// What browsers cap a cookie's life at: 400 days (RFC 6265bis).
pub(crate) const MAX_LIFE: Duration = Duration::from_secs(400 * 24 * 60 * 60);

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

    /// A `Set-Cookie` line; without a max-age the browser drops the cookie when it closes.
    pub(crate) fn set(
        &self,
        value: &str,
        transit: Transit,
        max_age: Option<Duration>,
        now: SystemTime,
    ) -> Result<HeaderValue, SessionError> {
        let mut cookie = self.base(value, transit);
        if let Some(life) = max_age.map(|life| life.min(MAX_LIFE)) {
            // Whole seconds, rounded up: a `Max-Age` of 0 would delete the cookie.
            let seconds = life.as_secs() + u64::from(life.subsec_nanos() > 0);
            cookie.set_max_age(time::Duration::seconds(i64::try_from(seconds).unwrap_or(i64::MAX)));
            cookie.set_expires(OffsetDateTime::from(now + life));
        }
        self.line(&cookie)
    }

    /// A `Set-Cookie` line that deletes the cookie: everything that identifies it, and a past expiry.
    pub(crate) fn expire(&self, transit: Transit) -> Result<HeaderValue, SessionError> {
        let mut cookie = self.base("", transit);
        cookie.set_max_age(time::Duration::ZERO);
        cookie.set_expires(OffsetDateTime::UNIX_EPOCH);
        self.line(&cookie)
    }

    fn base<'c>(&'c self, value: &'c str, transit: Transit) -> Cookie<'c> {
        let mut cookie = Cookie::new(&self.name, value);
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

    fn line(&self, cookie: &Cookie<'_>) -> Result<HeaderValue, SessionError> {
        let mut line = cookie.to_string();
        if let Some(priority) = self.priority {
            // The `cookie` crate does not know this attribute of Chromium.
            line.push_str("; Priority=");
            line.push_str(priority.as_str());
        }
        HeaderValue::try_from(line).map_err(|_| SessionError::Cookie)
    }
}

/// JavaScript's `encodeURIComponent`.
pub(crate) fn encode_uri_component(text: &str, out: &mut String) {
    for &byte in text.as_bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' => out.push(char::from(byte)),
            b'-' | b'_' | b'.' | b'!' | b'~' | b'*' | b'\'' | b'(' | b')' => out.push(char::from(byte)),
            other => {
                // Writing to a String does not fail.
                let _ = write!(out, "%{other:02X}");
            }
        }
    }
}

/// JavaScript's `decodeURIComponent` as the npm package `cookie` uses it: a value that is not well formed stays as it
/// is. `None` when it is longer than any cookie of ours, or no UTF-8.
pub(crate) fn decode_uri_component<'b>(
    value: &'b [u8],
    buffer: &'b mut [u8; MAX_DECODED],
) -> Option<&'b str> {
    let plain = |value: &'b [u8]| {
        let fits = value.len() <= MAX_DECODED;
        // Node reads headers as Latin-1, so raw bytes over 0x7F never verify there; here neither.
        if fits && value.is_ascii() { std::str::from_utf8(value).ok() } else { None }
    };
    if !value.contains(&b'%') {
        return plain(value);
    }
    if value.len() > 3 * MAX_DECODED || !value.is_ascii() {
        return None;
    }
    let mut len = 0;
    let mut rest = value;
    loop {
        let byte = match rest {
            [] => break,
            [b'%', high, low, tail @ ..] => {
                rest = tail;
                match (hex(*high), hex(*low)) {
                    (Some(high), Some(low)) => high << 4 | low,
                    _ => return plain(value),
                }
            }
            [b'%', ..] => return plain(value),
            [byte, tail @ ..] => {
                rest = tail;
                *byte
            }
        };
        *buffer.get_mut(len)? = byte;
        len += 1;
    }
    match std::str::from_utf8(&buffer[..len]) {
        Ok(text) => Some(text),
        Err(_) => plain(value),
    }
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

pub(crate) fn unquote(value: &[u8]) -> &[u8] {
    match value {
        [b'"', inner @ .., b'"'] => inner,
        other => other,
    }
}

/// The values of the cookies called `name`, in the order the browser sent them, at most [`MAX_CANDIDATES`].
/// Names are compared byte for byte.
pub(crate) fn candidates<'h>(headers: &'h HeaderMap, name: &'h str) -> impl Iterator<Item = &'h [u8]> {
    headers
        .get_all(COOKIE)
        .into_iter()
        .flat_map(|line| line.as_bytes().split(|&byte| byte == b';'))
        .filter_map(|pair| {
            let at = pair.iter().position(|&byte| byte == b'=')?;
            let (found, value) = (trim(&pair[..at]), trim(&pair[at + 1..]));
            (found == name.as_bytes()).then_some(value)
        })
        .take(MAX_CANDIDATES)
}

/// Spaces and tabs, the only white space a cookie pair may be padded with.
fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = bytes {
        bytes = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

/// Whether a `Set-Cookie` line sets the cookie called `name`.
pub(crate) fn sets(line: &HeaderValue, name: &str) -> bool {
    let line = line.as_bytes();
    let end = line.iter().position(|&byte| byte == b'=' || byte == b';').unwrap_or(line.len());
    trim(&line[..end]) == name.as_bytes()
}
