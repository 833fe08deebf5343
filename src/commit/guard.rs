//! [`SessionGuard`]: the proof that the session is committed, as a part of the response.

use std::convert::Infallible;
use std::fmt;

use axum::http::header::{CACHE_CONTROL, Entry, SET_COOKIE, VARY};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::{IntoResponse, IntoResponseParts, Response, ResponseParts};

use crate::cookie::header::is_same_cookie;
#[cfg(feature = "dbsc")]
use crate::session::device::DeviceHeaders;
use crate::session::state::CookieAction;

/// Sets the session's cookie on a response, after [`commit`](crate::Session::commit) has stored the session.
///
/// The guard changes these headers of the response:
///
/// - `Set-Cookie`: the session's cookie takes the place of an earlier one with the same name, path and
///   domain, which a browser could not tell from it. Other cookies stay.
/// - `Vary`: `Cookie` is added, so that no cache serves one user's response to another user.
/// - `Cache-Control`: a response with a session cookie must not be kept by a shared cache. `private` is
///   added, `public` and `s-maxage` are removed; without a `Cache-Control` it becomes `private, no-cache`,
///   and after `destroy` `no-store`.
/// - `CDN-Cache-Control`, headers that end with it (`Cloudflare-CDN-Cache-Control`) and `Surrogate-Control`:
///   with a session cookie they become `no-store`, because a content delivery network believes them more than
///   `Cache-Control` (RFC 9213). A `content` directive, which asks for the processing of Edge Side Includes,
///   stays.
///
/// Return the guard also when the session was only read: the response depends on the cookie, and caches learn
/// that from `Vary`.
///
/// # Order
/// axum applies the parts of a response in their order. Put the guard after a part that sets `Cache-Control`,
/// and after every array of headers with a `Set-Cookie`: axum *replaces* the headers of that name by the
/// array's, so `(guard, [(SET_COOKIE, "theme=dark")])` sends the theme and loses the session. A
/// [`CookieJar`](https://docs.rs/axum-extra/latest/axum_extra/extract/cookie/struct.CookieJar.html) or
/// [`AppendHeaders`](axum::response::AppendHeaders) add theirs, and may stand on either side of the guard.
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
pub struct SessionGuard {
    cookie: Option<(CookieAction, HeaderValue)>,
    clears_site_data: bool,
    /// The line that expires the cookie of the library from which the session was adopted.
    expired: Option<Box<HeaderValue>>,
    #[cfg(feature = "dbsc")]
    device: Option<Box<DeviceHeaders>>,
}

impl SessionGuard {
    /// A guard that sets or expires the cookie with this `Set-Cookie` line; `None` leaves the browser's
    /// cookie as it is.
    pub(crate) fn new(cookie: Option<(CookieAction, HeaderValue)>) -> Self {
        Self {
            cookie,
            clears_site_data: false,
            expired: None,
            #[cfg(feature = "dbsc")]
            device: None,
        }
    }

    /// Asks the browser to forget what it keeps of this site, at logout: its cached pages, its storage, and its
    /// cookies, also those of others than this crate (`Clear-Site-Data`).
    ///
    /// It is for computers that several people use: nobody finds the pages of the user before with the button
    /// that goes back. Browsers obey it over https alone, take some tenths of a second for it, and delete the
    /// cookies of sibling domains as well. If the guard sets a cookie, because the logout was followed by a
    /// flash message, the browser is not asked to delete cookies, or it would lose that one.
    ///
    /// ```
    /// use sessile::{Session, SessionError, SessionGuard};
    ///
    /// async fn log_out(session: Session) -> Result<SessionGuard, SessionError> {
    ///     session.log_out();
    ///     Ok(session.commit().await?.clear_site_data())
    /// }
    /// ```
    pub fn clear_site_data(self) -> Self {
        Self { clears_site_data: true, ..self }
    }

    /// The guard that also expires the cookie of the library from which the session was adopted.
    pub(crate) fn with_expired(self, cookie: HeaderValue) -> Self {
        Self { expired: Some(Box::new(cookie)), ..self }
    }

    /// The guard with what the response says of the browser's device.
    #[cfg(feature = "dbsc")]
    pub(crate) fn with_device(self, device: Option<Box<DeviceHeaders>>) -> Self {
        Self { device, ..self }
    }

    /// What the guard does to the cookie.
    #[cfg(feature = "cookie-session")]
    pub(crate) fn action(&self) -> Option<CookieAction> {
        self.cookie.as_ref().map(|(action, _)| *action)
    }

    /// The line of `Set-Cookie`, if there is one.
    pub(crate) fn line(&self) -> Option<&HeaderValue> {
        self.cookie.as_ref().map(|(_, line)| line)
    }

    /// Whether both guards set or expire a cookie, and a browser keeps only that of the `later` one.
    pub(crate) fn is_overwritten_by(&self, later: &Self) -> bool {
        match (&self.cookie, &later.cookie) {
            (Some((_, line)), Some((_, later))) => is_same_cookie(line, later),
            _ => false,
        }
    }

    /// Sets the headers of a response.
    pub(crate) fn apply(self, headers: &mut HeaderMap) {
        add_vary_cookie(headers);
        if self.clears_site_data {
            let sets_cookie = matches!(self.cookie, Some((CookieAction::Set, _)));
            add_clear_site_data(headers, sets_cookie);
        }
        #[cfg(feature = "dbsc")]
        if let Some(device) = self.device {
            let DeviceHeaders { registration, cookie } = *device;
            cookie.into_iter().for_each(|cookie| add_cookie(headers, cookie));
            registration.into_iter().for_each(|registration| add_registration(headers, registration));
        }
        let Some((cookie_action, cookie)) = self.cookie else { return };
        // Where both cookies are one to a browser, ours takes the other's place.
        if let Some(expired) = self.expired.filter(|line| !line.is_empty()) {
            add_cookie(headers, *expired);
        }
        add_cookie(headers, cookie);
        forbid_cdns(headers);
        match cookie_action {
            CookieAction::Set => forbid_shared_caches(headers),
            CookieAction::Expire => drop(headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"))),
        }
    }
}

/// Adds what the browser is to forget. Several lines of the header are one list.
fn add_clear_site_data(headers: &mut HeaderMap, sets_cookie: bool) {
    let what = if sets_cookie { r#""cache", "storage""# } else { r#""cache", "cookies", "storage""# };
    let line = HeaderValue::from_static(what);
    add_line(headers, HeaderName::from_static("clear-site-data"), line, |one, other| one == other);
}

/// Adds a `Set-Cookie` line in the place of one that a browser could not tell from it.
fn add_cookie(headers: &mut HeaderMap, cookie: HeaderValue) {
    add_line(headers, SET_COOKIE, cookie, is_same_cookie);
}

/// Adds a registration of devices in the place of one for the same endpoint: a layer applies the guard of a
/// session that a handler has committed already.
#[cfg(feature = "dbsc")]
fn add_registration(headers: &mut HeaderMap, registration: HeaderValue) {
    fn endpoint(line: &HeaderValue) -> Option<&str> {
        line.to_str().ok()?.split(';').find(|part| part.starts_with("path="))
    }
    let is_same = |one: &HeaderValue, other: &HeaderValue| endpoint(one) == endpoint(other);
    add_line(headers, HeaderName::from_static("secure-session-registration"), registration, is_same);
}

fn add_line(
    headers: &mut HeaderMap,
    name: HeaderName,
    line: HeaderValue,
    is_same: impl Fn(&HeaderValue, &HeaderValue) -> bool,
) {
    match headers.entry(name) {
        Entry::Vacant(place) => {
            place.insert(line);
        }
        Entry::Occupied(mut given) if given.iter().any(|given| is_same(given, &line)) => {
            let others: Vec<_> = given.iter().filter(|given| !is_same(given, &line)).cloned().collect();
            let mut lines = others.into_iter().chain([line]);
            lines.next().map(|line| given.insert(line));
            lines.for_each(|line| given.append(line));
        }
        Entry::Occupied(mut given) => given.append(line),
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
    let kept: Vec<_> = directives
        .into_iter()
        .filter(|directive| !matches!(&*directive_name(directive), "public" | "s-maxage"))
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

/// Rewrites the headers with which a response tells content delivery networks apart from other caches, so
/// that none of them keeps the response. Where such a header stands, its reader ignores `Cache-Control` (RFC
/// 9213, section 2.2).
fn forbid_cdns(headers: &mut HeaderMap) {
    let targeted = |name: &HeaderName| {
        let name = name.as_str();
        name == "surrogate-control" || name.ends_with("cdn-cache-control")
    };
    let names: Vec<_> = headers.keys().filter(|name| targeted(name)).cloned().collect();
    for name in names {
        let lines = headers.get_all(&name).into_iter().filter_map(|line| line.to_str().ok());
        let directives = lines.flat_map(split_directives).map(str::trim);
        // `content` asks for a processing of the body, such as Edge Side Includes, and says nothing of
        // caching (Edge Architecture Specification, section 2.2).
        let kept = directives.filter(|directive| directive_name(directive) == "content");
        let value = std::iter::once("no-store").chain(kept).collect::<Vec<_>>().join(", ");
        let value = HeaderValue::try_from(value);
        // Invariant: parts of ASCII header values joined by commas are a header value.
        debug_assert!(value.is_ok());
        headers.insert(name, value.unwrap_or(HeaderValue::from_static("no-store")));
    }
}

/// The name of a directive, in lower case.
fn directive_name(directive: &str) -> String {
    directive.split('=').next().unwrap_or_default().trim().to_ascii_lowercase()
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
        let cookie = match self.cookie {
            None => "none",
            Some((CookieAction::Set, _)) => "set REDACTED",
            Some((CookieAction::Expire, _)) => "expire",
        };
        f.debug_struct("SessionGuard").field("cookie", &cookie).finish()
    }
}
