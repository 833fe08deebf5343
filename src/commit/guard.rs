//! [`SessionGuard`]: the proof that the store holds the session, as a part of the response.

use std::convert::Infallible;
use std::fmt;

use axum::http::header::{CACHE_CONTROL, Entry, SET_COOKIE, VARY};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse, IntoResponseParts, Response, ResponseParts};

use crate::cookie::header::set_cookie_name;
use crate::session::state::CookieAction;

/// Sets the session's cookie on a response, after [`commit`](crate::Session::commit) has stored the session.
///
/// - At most one cookie of the session's name; other `Set-Cookie` lines stay.
/// - `Vary: Cookie`, so that no cache gives one user's answer to another.
/// - With a cookie, no shared cache may keep the response: `Cache-Control` gains `private` and loses `public` and
///   `s-maxage`; where there is none it becomes `private, no-cache`. After `destroy` it is `no-store`.
///
/// Return it also where a session was only read: the answer depends on the cookie, and caches have to be told.
///
/// Parts of a response apply in order: put the guard after a part that sets `Cache-Control`.
#[derive(Clone)]
#[must_use = "the guard must be returned as a part of the response, otherwise the browser gets no cookie"]
pub struct SessionGuard(Option<(CookieAction, HeaderValue)>);

impl SessionGuard {
    /// With the cookie that is due.
    pub(crate) fn new(cookie: Option<(CookieAction, HeaderValue)>) -> Self {
        Self(cookie)
    }

    pub(crate) fn apply(self, headers: &mut HeaderMap) {
        vary(headers);
        let Some((cookie_action, cookie)) = self.0 else { return };
        match headers.entry(SET_COOKIE) {
            Entry::Vacant(place) => {
                place.insert(cookie);
            }
            Entry::Occupied(mut given)
                if given.iter().any(|line| set_cookie_name(line) == set_cookie_name(&cookie)) =>
            {
                let others: Vec<_> = given
                    .iter()
                    .filter(|line| set_cookie_name(line) != set_cookie_name(&cookie))
                    .cloned()
                    .collect();
                let mut lines = others.into_iter().chain([cookie]);
                lines.next().map(|line| given.insert(line));
                lines.for_each(|line| given.append(line));
            }
            Entry::Occupied(mut given) => given.append(cookie),
        }
        match cookie_action {
            CookieAction::Set => keep_private(headers),
            CookieAction::Expire => drop(headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"))),
        }
    }
}

fn vary(headers: &mut HeaderMap) {
    let mut given = match headers.entry(VARY) {
        Entry::Occupied(given) => given,
        Entry::Vacant(place) => {
            place.insert(HeaderValue::from_static("Cookie"));
            return;
        }
    };
    let mut names = Vec::new();
    for line in given.iter() {
        let mut listed = line.as_bytes().split(|&byte| byte == b',').map(<[u8]>::trim_ascii);
        if listed.any(|name| name == b"*" || name.eq_ignore_ascii_case(b"cookie")) {
            return;
        }
        names.extend_from_slice(line.as_bytes());
        names.extend_from_slice(b", ");
    }
    names.extend_from_slice(b"Cookie");
    // Joined from header values, so it is one.
    let line = HeaderValue::from_bytes(&names).unwrap_or(HeaderValue::from_static("Cookie"));
    given.insert(line);
}

fn keep_private(headers: &mut HeaderMap) {
    let mut given = match headers.entry(CACHE_CONTROL) {
        Entry::Occupied(given) => given,
        Entry::Vacant(place) => {
            place.insert(HeaderValue::from_static("private, no-cache"));
            return;
        }
    };
    let mut rules = Vec::new();
    for line in given.iter() {
        // A line that is no text was no rule to any cache either.
        let line = line.to_str().unwrap_or_default();
        rules.extend(split_rules(line).map(str::trim).filter(|rule| !rule.is_empty()));
    }
    let none_present = rules.is_empty();
    let name = |rule: &str| rule.split('=').next().unwrap_or_default().trim().to_ascii_lowercase();
    let rules: Vec<_> =
        rules.into_iter().filter(|rule| !matches!(&*name(rule), "public" | "s-maxage")).collect();
    let value = match rules.as_slice() {
        [] if none_present => String::from("private, no-cache"),
        [] => String::from("private"),
        // `private="field"` keeps one header from shared caches, not the response.
        rules if rules.iter().any(|rule| rule.eq_ignore_ascii_case("private")) => rules.join(", "),
        rules => format!("private, {}", rules.join(", ")),
    };
    let value = HeaderValue::try_from(value).unwrap_or(HeaderValue::from_static("private, no-cache"));
    given.insert(value);
}

/// Splits at commas outside of quoted strings.
fn split_rules(line: &str) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    line.split(move |letter| {
        quoted ^= letter == '"';
        letter == ',' && !quoted
    })
}

impl IntoResponseParts for SessionGuard {
    type Error = Infallible;

    fn into_response_parts(self, mut parts: ResponseParts) -> Result<ResponseParts, Self::Error> {
        self.apply(parts.headers_mut());
        Ok(parts)
    }
}

impl IntoResponse for SessionGuard {
    fn into_response(self) -> Response {
        (self, ()).into_response()
    }
}

impl fmt::Debug for SessionGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cookie = match self.0 {
            None => "none",
            Some((CookieAction::Set, _)) => "set REDACTED",
            Some((CookieAction::Expire, _)) => "expire",
        };
        f.debug_struct("SessionGuard").field("cookie", &cookie).finish()
    }
}
