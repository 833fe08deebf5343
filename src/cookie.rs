//! The session's cookie on the wire: how it is found in a request, and how its value is spelled.

use axum::http::header::COOKIE;
use axum::http::{HeaderMap, HeaderValue};
use memchr::{memchr, memchr_iter, memchr2};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::id::MAX_LEN;

/// How many cookies of the session's name are looked at in one request.
const MAX_CANDIDATES: usize = 4;
/// Length of a base64 HMAC-SHA256 without padding.
pub(crate) const SIGNATURE_LEN: usize = 43;
/// `s:`, the id, a dot, the signature.
pub(crate) const MAX_DECODED: usize = 2 + MAX_LEN + 1 + SIGNATURE_LEN;
/// What `encodeURIComponent` escapes.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'!')
    .remove(b'~')
    .remove(b'*')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')');

/// JavaScript's `encodeURIComponent` of a text, in parts.
pub(crate) fn push_uri_component(text: &str, mut push: impl FnMut(&[u8])) {
    // Such as a UUID.
    let plain = text.bytes().fold(true, |all, byte| all & (byte.is_ascii_alphanumeric() || byte == b'-'));
    if plain {
        push(text.as_bytes());
    } else {
        utf8_percent_encode(text, ESCAPED).for_each(|part| push(part.as_bytes()));
    }
}

/// JavaScript's `decodeURIComponent` as the npm package `cookie` uses it: a value that is not well formed stays as it
/// is. `None` when it is longer than any cookie of ours, or no ASCII. What it gives is UTF-8.
pub(crate) fn decode_uri_component<'b>(
    value: &'b [u8],
    buffer: &'b mut [u8; MAX_DECODED],
) -> Option<&'b [u8]> {
    // Node reads headers as Latin-1, so raw bytes over 0x7F never verify there; here neither.
    if value.len() > 3 * MAX_DECODED || !value.is_ascii() {
        return None;
    }
    let plain = || (value.len() <= MAX_DECODED).then_some(value);
    let mut len = 0;
    let mut ascii = true;
    let mut rest = value;
    while let Some(at) = memchr(b'%', rest) {
        let (before, escaped) = rest.split_at(at);
        let [b'%', high, low, tail @ ..] = escaped else { return plain() };
        let (Some(high), Some(low)) = (hex(*high), hex(*low)) else { return plain() };
        buffer.get_mut(len..len + at)?.copy_from_slice(before);
        let byte = high << 4 | low;
        *buffer.get_mut(len + at)? = byte;
        ascii &= byte.is_ascii();
        len += at + 1;
        rest = tail;
    }
    buffer.get_mut(len..len + rest.len())?.copy_from_slice(rest);
    let decoded = &buffer[..len + rest.len()];
    if ascii || std::str::from_utf8(decoded).is_ok() { Some(decoded) } else { plain() }
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
    let lines = headers.get_all(COOKIE).into_iter().map(HeaderValue::as_bytes);
    lines.flat_map(pairs).filter_map(|pair| value_of(pair, name.as_bytes())).take(MAX_CANDIDATES)
}

/// The parts of a `Cookie` line.
fn pairs(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut start = 0;
    memchr_iter(b';', line)
        .chain([line.len()])
        .map(move |end| &line[std::mem::replace(&mut start, end + 1)..end])
}

/// The value of a pair, if its name is this one. A name has no `=` and no white space in it.
fn value_of<'h>(pair: &'h [u8], name: &[u8]) -> Option<&'h [u8]> {
    let value = trim_start(trim_start(pair).strip_prefix(name)?).strip_prefix(b"=")?;
    Some(trim(value))
}

/// Spaces and tabs, the only white space a cookie pair may be padded with.
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

/// The name of the cookie that a `Set-Cookie` line sets.
pub(crate) fn name(line: &HeaderValue) -> &[u8] {
    let line = line.as_bytes();
    let end = memchr2(b'=', b';', line).unwrap_or(line.len());
    trim(&line[..end])
}
