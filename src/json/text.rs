//! JSON strings: keys as they stand between their quotes, and text that is put into JSON.
//!
//! A *raw* key is the key's JSON between its quotes, with its escapes.

use std::borrow::Cow;

use memchr::memchr;

/// Whether a raw key stands for this key.
#[inline]
pub(crate) fn is_key(raw: &[u8], key: &str) -> bool {
    let escaped = || memchr(b'\\', raw).is_some();
    if raw.len() <= key.len() {
        return raw == key.as_bytes() && !escaped();
    }
    // A longer raw key can stand for the key only if it has an escape. Both begin with the same byte then,
    // unless the escape comes first. Comparing this byte saves decoding most raw keys that stand for other
    // keys.
    (raw[0] == b'\\' || key.as_bytes().first() == Some(&raw[0]))
        && escaped()
        && std::str::from_utf8(raw).ok().and_then(unescape).is_some_and(|decoded| decoded == key)
}

/// The key that a raw key stands for. `None` when it is not Unicode: JavaScript can write a lone surrogate.
pub(crate) fn unescape(raw: &str) -> Option<Cow<'_, str>> {
    if !raw.contains('\\') {
        return Some(Cow::Borrowed(raw));
    }
    serde_json::from_str(&format!("\"{raw}\"")).ok().map(Cow::Owned)
}

/// The raw key for a key: the inverse of [`unescape`].
pub(crate) fn escape(key: &str) -> Cow<'_, str> {
    if key.bytes().all(|byte| byte >= b' ' && byte != b'"' && byte != b'\\') {
        return Cow::Borrowed(key);
    }
    let quoted = quote(key);
    Cow::Owned(quoted[1..quoted.len() - 1].to_owned())
}

/// A text as a JSON string, quotes included.
pub(crate) fn quote(text: &str) -> String {
    // Invariant: every string can be serialised.
    let json = serde_json::to_string(text);
    debug_assert!(json.is_ok(), "a string cannot be serialised");
    json.unwrap_or_default()
}

/// Appends a comma and one member to an object that is being written.
pub(crate) fn push_member(json: &mut String, raw_key: &str, value: &str) {
    for part in [",\"", raw_key, "\":", value] {
        json.push_str(part);
    }
}

/// A part of a record's JSON as text.
pub(crate) fn text(bytes: &[u8]) -> &str {
    // Invariant: a record's JSON is UTF-8, and the spans of its parts end where characters do.
    let text = std::str::from_utf8(bytes);
    debug_assert!(text.is_ok(), "a part of a record is not UTF-8");
    text.unwrap_or_default()
}
