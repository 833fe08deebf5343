//! The cookie's value as it is sent: `s:<id>.<signature>`, encoded with `encodeURIComponent`.

use arrayvec::ArrayVec;

use crate::cookie::signature::{MAX_DECODED, SIGNATURE_LEN, Signature};
use crate::cookie::uri_component::push_uri_component;
use crate::id::{self, SessionId};

/// The length of the longest value as sent, in bytes: `encodeURIComponent` makes three bytes of one at most.
const MAX_LEN: usize = 3 * MAX_DECODED;
const _: () = assert!(PREFIX.len() + 3 * id::MAX_LEN + ".".len() + 3 * SIGNATURE_LEN <= MAX_LEN);

/// What a value begins with: `s:`, encoded.
const PREFIX: &[u8] = b"s%3A";

/// A cookie's value as it is sent.
pub(crate) type CookieValue = ArrayVec<u8, MAX_LEN>;

/// Appends the value for an id and its signature.
pub(crate) fn push_value(id: &SessionId, signature: &Signature, value: &mut CookieValue) {
    push(value, PREFIX);
    push_uri_component(id.as_str(), |part| push(value, part));
    push(value, b".");
    // Of the letters of base64, `encodeURIComponent` escapes only these two.
    let mut rest = &signature.0[..];
    while let Some(at) = memchr::memchr2(b'+', b'/', rest) {
        push(value, &rest[..at]);
        push(value, if rest[at] == b'+' { b"%2B" } else { b"%2F" });
        rest = &rest[at + 1..];
    }
    push(value, rest);
}

fn push(value: &mut CookieValue, part: &[u8]) {
    // Invariant: there is room for the longest id and its signature, as the assertion at `MAX_LEN` shows.
    let pushed = value.try_extend_from_slice(part);
    debug_assert!(pushed.is_ok(), "a cookie's value is longer than {MAX_LEN} bytes");
}
