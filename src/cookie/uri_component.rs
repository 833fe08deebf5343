//! JavaScript's `encodeURIComponent` and its inverse, which Express applies to a cookie's value.

use memchr::memchr;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// The ASCII characters that `encodeURIComponent` escapes: all but letters, digits and these.
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

/// Encodes a text as JavaScript's `encodeURIComponent` does, and passes on the result in parts.
pub(crate) fn push_uri_component(text: &str, mut push: impl FnMut(&[u8])) {
    // Most ids are UUIDs, which need no encoding; the check saves running the encoder on them.
    let plain = text.bytes().fold(true, |all, byte| all & (byte.is_ascii_alphanumeric() || byte == b'-'));
    if plain {
        push(text.as_bytes());
    } else {
        utf8_percent_encode(text, ESCAPED).for_each(|part| push(part.as_bytes()));
    }
}

/// Decodes a value as JavaScript's `decodeURIComponent` does in the npm package `cookie`, which leaves a
/// value that is not well formed as it is. The result is UTF-8. `None` when it is longer than `N` bytes, so
/// longer than any cookie that was signed here, or when the value is not ASCII.
pub(crate) fn decode_uri_component<'b, const N: usize>(
    value: &'b [u8],
    buffer: &'b mut [u8; N],
) -> Option<&'b [u8]> {
    // Node.js reads headers as Latin-1, so a value with bytes over 0x7F never verifies there, and must not
    // verify here.
    if value.len() > 3 * N || !value.is_ascii() {
        return None;
    }
    let plain = || (value.len() <= N).then_some(value);
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

/// The value of a hexadecimal digit.
fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

/// Removes the double quotes around a value, as the npm package `cookie` does.
pub(crate) fn unquote(value: &[u8]) -> &[u8] {
    match value {
        [b'"', inner @ .., b'"'] => inner,
        other => other,
    }
}
