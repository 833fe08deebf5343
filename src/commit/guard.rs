//! [`SessionGuard`]: the proof that the session is committed, as a part of the response.

use std::convert::Infallible;
use std::fmt;

use axum::http::header::{CACHE_CONTROL, Entry, SET_COOKIE, VARY};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse, IntoResponseParts, Response, ResponseParts};

use crate::cookie::header::set_cookie_name;
use crate::session::state::CookieAction;

/// Sets the session's cookie on a response, after [`commit`](crate::Session::commit) has stored the session.
///
/// The guard changes three headers of the response:
///
/// - `Set-Cookie`: one cookie of the session's name at most. Cookies of other names stay.
/// - `Vary`: `Cookie` is added, so that no cache serves one user's response to another user.
/// - `Cache-Control`: a response with a session cookie must not be kept by a shared cache. `private` is
///   added, `public` and `s-maxage` are removed; without a `Cache-Control` it becomes `private, no-cache`,
///   and after `destroy` `no-store`.
///
/// Return the guard also when the session was only read: the response depends on the cookie, and caches learn
/// that from `Vary`.
///
/// # Order
/// axum applies the parts of a response in their order. Put the guard after a part that sets `Cache-Control`.
///
/// ```
/// use axum::http::header::CACHE_CONTROL;
/// use axum::response::IntoResponse;
/// use sessile::{Session, SessionError};
///
/// async fn cart(session: Session) -> Result<impl IntoResponse, SessionError> {
///     let items = session.get::<u32>("items")?.unwrap_or(0);
///     let guard = session.commit().await?;
///     Ok(([(CACHE_CONTROL, "max-age=10")], guard, items.to_string()))
/// }
/// ```
#[derive(Clone)]
#[must_use = "the guard must be returned as a part of the response, otherwise the browser gets no cookie"]
pub struct SessionGuard(Option<(CookieAction, HeaderValue)>);

impl SessionGuard {
    /// A guard that sets or expires the cookie with this `Set-Cookie` line; `None` leaves the browser's
    /// cookie as it is.
    pub(crate) fn new(cookie: Option<(CookieAction, HeaderValue)>) -> Self {
        Self(cookie)
    }

    /// Sets the headers of a response.
    pub(crate) fn apply(self, headers: &mut HeaderMap) {
        add_vary_cookie(headers);
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
            CookieAction::Set => forbid_shared_caches(headers),
            CookieAction::Expire => drop(headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"))),
        }
    }
}

/// Adds `Cookie` to `Vary`, on one line with the names that are there.
fn add_vary_cookie(headers: &mut HeaderMap) {
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
    let line = HeaderValue::from_bytes(&names);
    // Invariant: header values joined by commas are a header value.
    debug_assert!(line.is_ok());
    given.insert(line.unwrap_or(HeaderValue::from_static("Cookie")));
}

/// Rewrites `Cache-Control` so that no shared cache keeps the response.
fn forbid_shared_caches(headers: &mut HeaderMap) {
    let mut given = match headers.entry(CACHE_CONTROL) {
        Entry::Occupied(given) => given,
        Entry::Vacant(place) => {
            place.insert(HeaderValue::from_static("private, no-cache"));
            return;
        }
    };
    let mut directives = Vec::new();
    for line in given.iter() {
        // A line with bytes outside of ASCII is dropped: no directive that a cache obeys has them.
        let line = line.to_str().unwrap_or_default();
        directives.extend(split_directives(line).map(str::trim).filter(|directive| !directive.is_empty()));
    }
    let none_present = directives.is_empty();
    let name = |directive: &str| directive.split('=').next().unwrap_or_default().trim().to_ascii_lowercase();
    let kept: Vec<_> = directives
        .into_iter()
        .filter(|directive| !matches!(&*name(directive), "public" | "s-maxage"))
        .collect();
    let value = match kept.as_slice() {
        [] if none_present => String::from("private, no-cache"),
        [] => String::from("private"),
        // `private="field"` does not count: it keeps one header from shared caches, and not the response.
        kept if kept.iter().any(|directive| directive.eq_ignore_ascii_case("private")) => kept.join(", "),
        kept => format!("private, {}", kept.join(", ")),
    };
    let value = HeaderValue::try_from(value);
    // Invariant: parts of ASCII header values joined by commas are a header value.
    debug_assert!(value.is_ok());
    given.insert(value.unwrap_or(HeaderValue::from_static("private, no-cache")));
}

/// Splits a `Cache-Control` line at the commas outside of quoted strings.
fn split_directives(line: &str) -> impl Iterator<Item = &str> {
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
