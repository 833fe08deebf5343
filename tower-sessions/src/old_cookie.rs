//! [`OldCookie`]: reads the cookie of tower-sessions, and expires it.

use std::fmt;

use axum::http::header::COOKIE;
use axum::http::{HeaderMap, HeaderValue};
use cookie::{Cookie, CookieJar, Key};

/// The cookie that a program with tower-sessions has set.
#[derive(Clone)]
pub(crate) struct OldCookie {
    pub(crate) name: String,
    pub(crate) path: String,
    pub(crate) domain: Option<String>,
    pub(crate) guarded: Guarded,
}

/// How the cookie's value is guarded against forgers.
#[derive(Clone)]
pub(crate) enum Guarded {
    Not,
    Signed(Key),
    Private(Key),
}

impl Default for OldCookie {
    /// Their defaults.
    fn default() -> Self {
        Self { name: "id".to_owned(), path: "/".to_owned(), domain: None, guarded: Guarded::Not }
    }
}

impl OldCookie {
    /// The values of the request's cookies of this name that nobody has forged, as far as their guard tells.
    pub(crate) fn values(&self, headers: &HeaderMap) -> Vec<String> {
        let lines = headers.get_all(COOKIE).into_iter().filter_map(|line| line.to_str().ok());
        let cookies =
            lines.flat_map(|line| Cookie::split_parse_encoded(line.to_owned())).filter_map(Result::ok);
        cookies.filter(|cookie| cookie.name() == self.name).filter_map(|cookie| self.opened(cookie)).collect()
    }

    fn opened(&self, cookie: Cookie<'static>) -> Option<String> {
        let jar = CookieJar::new();
        let opened = match &self.guarded {
            Guarded::Not => Some(cookie),
            Guarded::Signed(key) => jar.signed(key).verify(cookie),
            Guarded::Private(key) => jar.private(key).decrypt(cookie),
        };
        opened.map(|cookie| cookie.value().to_owned())
    }

    /// The `Set-Cookie` line that expires the cookie. Browsers find it by its name, its path and its domain.
    pub(crate) fn expired(&self) -> HeaderValue {
        let mut cookie = Cookie::new(self.name.as_str(), "");
        cookie.set_path(self.path.as_str());
        if let Some(domain) = &self.domain {
            cookie.set_domain(domain.as_str());
        }
        // Browsers refuse a name with these prefixes without the attribute.
        if ["__Host-", "__Secure-"].iter().any(|prefix| self.name.starts_with(prefix)) {
            cookie.set_secure(true);
        }
        cookie.make_removal();
        // tower-sessions makes its line in the same way, and sends none that is no header: with such a name, path
        // or domain no browser has a cookie to forget.
        HeaderValue::from_str(&cookie.to_string()).unwrap_or_else(|_| HeaderValue::from_static(""))
    }
}

impl fmt::Debug for OldCookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OldCookie").field("name", &self.name).finish_non_exhaustive()
    }
}
