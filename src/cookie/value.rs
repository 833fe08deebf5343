//! The cookie's value as it is sent.

use arrayvec::ArrayVec;

use crate::cookie::signature::{MAX_DECODED, Signature};
use crate::cookie::uri_component::push_uri_component;
use crate::id::SessionId;

/// A cookie's value as sent. There is room for every byte to be escaped.
pub(crate) type CookieValue = ArrayVec<u8, { 3 * MAX_DECODED }>;

/// The cookie's value as sent.
pub(crate) fn push_value(id: &SessionId, signature: &Signature, value: &mut CookieValue) {
    push(value, b"s%3A");
    push_uri_component(id.as_str(), |part| push(value, part));
    push(value, b".");
    // Of base64's letters `encodeURIComponent` escapes these two.
    let mut rest = &signature.0[..];
    while let Some(at) = memchr::memchr2(b'+', b'/', rest) {
        push(value, &rest[..at]);
        push(value, if rest[at] == b'+' { b"%2B" } else { b"%2F" });
        rest = &rest[at + 1..];
    }
    push(value, rest);
}

fn push(value: &mut CookieValue, part: &[u8]) {
    let pushed = value.try_extend_from_slice(part);
    debug_assert!(pushed.is_ok());
}
