//! JSON strings: keys as they stand between their quotes, and text put into JSON.

use std::borrow::Cow;

use memchr::memchr;

/// Whether a key, as it stands between its quotes, is this one.
#[inline]
pub(crate) fn is_key(raw: &[u8], key: &str) -> bool {
    let escaped = || memchr(b'\\', raw).is_some();
    if raw.len() <= key.len() {
        return raw == key.as_bytes() && !escaped();
    }
    // Longer than the key, so it has an escape if it is the key, and is the same up to there.
    (raw[0] == b'\\' || key.as_bytes().first() == Some(&raw[0]))
        && escaped()
        && std::str::from_utf8(raw).ok().and_then(unescape).is_some_and(|decoded| decoded == key)
}

/// A key from its text between the quotes; `None` when it is no Unicode.
pub(crate) fn unescape(raw: &str) -> Option<Cow<'_, str>> {
    if !raw.contains('\\') {
        return Some(Cow::Borrowed(raw));
    }
    serde_json::from_str(&format!("\"{raw}\"")).ok().map(Cow::Owned)
}

/// A key as its JSON stands between the quotes: the inverse of [`unescape`].
pub(crate) fn escape(key: &str) -> Cow<'_, str> {
    if key.bytes().all(|byte| byte >= b' ' && byte != b'"' && byte != b'\\') {
        return Cow::Borrowed(key);
    }
    let quoted = quote(key);
    Cow::Owned(quoted[1..quoted.len() - 1].to_owned())
}

/// A text as a JSON string, quotes included.
pub(crate) fn quote(text: &str) -> String {
    // A string always serialises.
    serde_json::to_string(text).unwrap_or_default()
}

pub(crate) fn push_member(json: &mut String, raw_key: &str, value: &str) {
    for part in [",\"", raw_key, "\":", value] {
        json.push_str(part);
    }
}

/// Bytes of a record as text.
pub(crate) fn text(bytes: &[u8]) -> &str {
    // Packed from text, and spans end where characters do.
    std::str::from_utf8(bytes).unwrap_or_default()
}
