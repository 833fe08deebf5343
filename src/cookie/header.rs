//! The `Cookie` header: the values of all cookies with one name. The `Set-Cookie` header: which lines set the
//! same cookie.

use axum::http::header::COOKIE;
use axum::http::{HeaderMap, HeaderValue};
use cookie::Cookie;
use memchr::{memchr_iter, memchr2};

/// How many cookies of the session's name are checked for a signature in one request. A sibling subdomain can
/// plant cookies of the name on the parent domain, and browsers send those with a longer path first (RFC
/// 6265, section 5.4). The limit bounds the work that a request can cause; it is above the 50 cookies that
/// every browser keeps for a domain (section 6.1).
const MAX_CANDIDATES: usize = 64;

/// The values of the cookies called `name`, in the order in which the browser sent them, at most
/// [`MAX_CANDIDATES`]. Names are compared byte for byte.
pub(crate) fn cookie_values<'h>(headers: &'h HeaderMap, name: &'h str) -> impl Iterator<Item = &'h [u8]> {
    let lines = headers.get_all(COOKIE).into_iter().map(HeaderValue::as_bytes);
    lines.flat_map(pairs).filter_map(|pair| value_of(pair, name.as_bytes())).take(MAX_CANDIDATES)
}

/// The pairs of name and value in one `Cookie` line.
fn pairs(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut start = 0;
    memchr_iter(b';', line)
        .chain([line.len()])
        .map(move |end| &line[std::mem::replace(&mut start, end + 1)..end])
}

/// The value of a pair, if it has this name.
fn value_of<'h>(pair: &'h [u8], name: &[u8]) -> Option<&'h [u8]> {
    // Invariant: `name` has no `=` and no white space, because `rules::validate` has accepted it.
    debug_assert!(
        !name.iter().any(|byte| b"= \t".contains(byte)),
        "a cookie's name has an `=` or white space"
    );
    let value = trim_start(trim_start(pair).strip_prefix(name)?).strip_prefix(b"=")?;
    Some(trim(value))
}

/// Removes spaces and tabs at both ends, as browsers do around names and values (RFC 6265bis, section 5.6).
fn trim(bytes: &[u8]) -> &[u8] {
    let mut bytes = trim_start(bytes);
    while let [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

fn trim_start(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = bytes {
        bytes = rest;
    }
    bytes
}

/// Whether a browser keeps one cookie for both `Set-Cookie` lines, because their name, path and domain are
/// the same (RFC 6265, section 5.3). `false` for a line that is not text.
pub(crate) fn is_same_cookie(one: &HeaderValue, other: &HeaderValue) -> bool {
    // Most lines differ in their name, so their attributes need not be parsed.
    set_cookie_name(one) == set_cookie_name(other)
        && parse_set_cookie(one).zip(parse_set_cookie(other)).is_some_and(|(one, other)| {
            let domain = |cookie: &Cookie<'_>| cookie.domain().map(str::to_ascii_lowercase);
            one.path() == other.path() && domain(&one) == domain(&other)
        })
}

/// The name of the cookie in a `Set-Cookie` line.
fn set_cookie_name(line: &HeaderValue) -> &[u8] {
    let line = line.as_bytes();
    let end = memchr2(b'=', b';', line).unwrap_or(line.len());
    trim(&line[..end])
}

fn parse_set_cookie(line: &HeaderValue) -> Option<Cookie<'_>> {
    Cookie::parse(std::str::from_utf8(line.as_bytes()).ok()?).ok()
}
