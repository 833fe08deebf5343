//! [`Record`]: what a store keeps for one session, in Express' JSON.
//!
//! A record is one shared buffer: its JSON, and an index of where each key and value stands. A value is
//! parsed only when a handler asks for it, so every value that this process does not change is written back
//! byte for byte, whichever program wrote it.

mod compose;
pub(crate) mod cookie_object;
pub(crate) mod draft;
mod indexed_text;
pub(crate) mod member_table;
pub(crate) mod metadata;
#[cfg(test)]
mod tests;

use std::fmt;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use crate::error::StoreError;
use crate::error::value::JsonError;
use crate::json::date::parse_time;
use crate::json::object::{self, Span};
use crate::json::text::{escape, is_key, push_member};
use indexed_text::{IndexedText, IndexedTextBuilder};

/// The record's key for the cookie's state, as in express-session.
pub(crate) const COOKIE: &str = "cookie";

/// The record's key for flash messages, as in connect-flash.
pub(crate) const FLASH: &str = "flash";

/// The record's key for what this crate itself keeps of a session.
pub(crate) const METADATA: &str = "__sessile";

/// The record's key for the time of the last access in milliseconds since 1970, as in session-file-store.
/// Only files have it.
pub(crate) const LAST_ACCESS: &str = "__lastAccess";

/// Whether the program may keep nothing under this key: there stand the cookie object, the flash messages, what
/// this crate itself keeps, and, in a file, the time of the last access.
pub(crate) fn is_reserved_key(key: &str) -> bool {
    [COOKIE, FLASH, LAST_ACCESS, METADATA].contains(&key)
}

/// Whether a member beside the `cookie` object is no data of the program's.
pub(crate) fn is_reserved(key: &str) -> bool {
    key == FLASH || key == METADATA
}

/// The longest max-age a record is read with, in milliseconds: 100,000,000 days, the furthest a JavaScript
/// `Date` reaches from 1970. Longer ones are cut to it, so that adding a max-age to the current time does not
/// overflow.
const MAX_MILLIS: f64 = 8.64e15;

/// What a store keeps for one session: a JSON object as express-session writes it, with the session's
/// data beside a `cookie` object.
///
/// A store saves [`as_json`](Self::as_json), or serialises the record with `serde_json`, and reads it back
/// with [`from_json`](Self::from_json) or `serde_json`. Cloning a record copies nothing: all clones share one
/// buffer.
///
/// ```
/// use sessile::Record;
///
/// let stored = r#"{"cookie":{"originalMaxAge":60000,"expires":null,"httpOnly":true,"path":"/"},"views":1}"#;
/// let record = Record::from_json(stored)?;
/// assert_eq!(record.as_json(), stored);
/// assert_eq!(record.max_age(), Some(std::time::Duration::from_secs(60)));
/// # Ok::<(), sessile::StoreError>(())
/// ```
#[derive(Clone)]
pub struct Record(IndexedText);

// The numbers of a record's spans in its index.

/// The span of the `cookie` object.
const OBJECT: usize = 0;
/// The span of the value of `cookie.originalMaxAge`; `0..0` where the object has none.
const MAX_AGE: usize = 1;
/// The span of the value of `cookie.expires`; `0..0` where the object has none.
const EXPIRES: usize = 2;
/// The first span of the other members: a key, its value, the next key and so on, in the order in which they
/// are stored.
const MEMBERS: usize = 3;

impl Record {
    /// Reads a record.
    ///
    /// # Errors
    /// [`StoreError::corrupt`] when the text is not a JSON object with an object under `cookie`.
    pub fn from_json(json: impl Into<String>) -> Result<Self, StoreError> {
        Self::from_text(&json.into())
    }

    /// The same, of a text that stays with the caller.
    pub(crate) fn from_text(json: &str) -> Result<Self, StoreError> {
        let corrupt = |error| StoreError::corrupt(JsonError::new::<Record>(&error));
        let mut members = object::members(json).map_err(corrupt)?;
        let at = members.iter().position(|member| member.is(json, COOKIE));
        let object = at.map(|at| members.remove(at).value);
        let Some(object) = object.filter(|span| span.of(json).starts_with('{')) else {
            return Err(StoreError::corrupt("the record has no `cookie` object"));
        };
        let inner = object.of(json);
        let cookie = object::members(inner).map_err(corrupt)?;
        let find = |key| {
            let member = cookie.iter().find(|member| member.is(inner, key));
            member.map_or(Span::new(0, 0), |member| member.value.shifted(object.start()))
        };
        let (max_age, expires) = (find("originalMaxAge"), find("expires"));
        let age = parse_max_age(max_age.of(json));
        let mut text = IndexedTextBuilder::new(MEMBERS + 2 * members.len(), age, json.len());
        let others = members.iter().flat_map(|member| [member.key, member.value]);
        let spans = [object, max_age, expires].into_iter().chain(others);
        spans.enumerate().for_each(|(at, span)| text.set(at, span));
        text.note_escapes(members.iter().any(|member| member.key.of(json).contains('\\')));
        text.note_metadata(members.iter().any(|member| member.is(json, METADATA)));
        text.push(json.as_bytes());
        Ok(Self(text.finish()))
    }

    /// The record as JSON, byte for byte as it was read or composed.
    #[must_use]
    pub fn as_json(&self) -> &str {
        self.0.text()
    }

    /// The same as [`as_json`](Self::as_json), without the check that the bytes are UTF-8.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.0.bytes()
    }

    /// The session's own max-age (express-session: `cookie.originalMaxAge`). `None` for a session that ends
    /// when the browser closes.
    #[must_use]
    pub fn max_age(&self) -> Option<Duration> {
        self.0.max_age()
    }

    /// When the cookie was to expire, as of the last write (express-session: `cookie.expires`). The record's
    /// own expiry is kept by the store and may be later: a touch extends the expiry without writing the
    /// record.
    #[must_use]
    pub fn cookie_expires(&self) -> Option<SystemTime> {
        parse_time(self.0.str_at(self.0.span(EXPIRES)))
    }

    /// The text of the `cookie` object.
    pub(crate) fn cookie_text(&self) -> &str {
        self.0.str_at(self.0.span(OBJECT))
    }

    /// A record of the same `cookie` object and one text of this length, which `push` appends, and whose characters
    /// JSON does not escape. Its members are where they are put, so nothing is parsed: reading 1,500 bytes would cost as
    /// much as sealing them.
    #[cfg(feature = "sealed")]
    pub(crate) fn enclosing(
        &self,
        key: &str,
        length: usize,
        push: impl FnOnce(&mut Vec<u8>),
    ) -> Result<Self, StoreError> {
        const START: &[u8] = br#"{"cookie":"#;
        let (cookie, old) = (self.0.bytes_at(self.0.span(OBJECT)), self.0.span(OBJECT));
        let whole = START.len() + cookie.len() + key.len() + length + br#","":""}"#.len();
        if u32::try_from(whole).is_err() {
            return Err(StoreError::unavailable("the record is too long"));
        }
        let mut json = IndexedTextBuilder::new(MEMBERS + 2, self.max_age(), whole);
        json.push(START);
        let object = json.push(cookie);
        json.push(br#",""#);
        let key = json.push(key.as_bytes());
        json.push(br#"":"#);
        let value = json.push_with(|json| {
            json.push(b'"');
            push(json);
            json.push(b'"');
        });
        json.push(b"}");
        let moved = |part: Span| match part.len() {
            0 => Span::new(0, 0),
            len => Span::new(0, len).shifted(part.start() - old.start() + object.start()),
        };
        let spans = [object, moved(self.0.span(MAX_AGE)), moved(self.0.span(EXPIRES)), key, value];
        spans.into_iter().enumerate().for_each(|(at, span)| json.set(at, span));
        Ok(Self(json.finish()))
    }

    /// The same record without one key. All other keys and values stay byte for byte.
    pub(crate) fn without(self, key: &str) -> Self {
        if self.raw(key).is_none() {
            return self;
        }
        let mut json = String::from("{\"cookie\":");
        json.push_str(self.cookie_text());
        for (raw_key, value) in self.entries().filter(|(raw, _)| !is_key(raw.as_bytes(), key)) {
            push_member(&mut json, raw_key, value);
        }
        json.push('}');
        // Invariant: an object made of a record's `cookie` object and members is a record.
        let shorter = Self::from_text(&json);
        debug_assert!(shorter.is_ok(), "a record without one of its members cannot be read");
        shorter.unwrap_or(self)
    }

    /// The same record with this JSON as what the crate itself keeps of the session, or without it. All other
    /// members stay byte for byte.
    pub(crate) fn with_metadata(self, json: Option<&str>) -> Self {
        let text = match (json, self.member(METADATA)) {
            (None, _) => return self.without(METADATA),
            (Some(json), None) => self.with(METADATA, json),
            (Some(json), Some((_, value))) => {
                let text = self.as_json();
                [&text[..value.start()], json, &text[value.end()..]].concat()
            }
        };
        // Invariant: the metadata is JSON, so a record with it is a record.
        let changed = Self::from_text(&text);
        debug_assert!(changed.is_ok(), "a record with other metadata cannot be read");
        changed.unwrap_or(self)
    }

    /// The record as JSON, with one more key at its end.
    pub(crate) fn with(&self, key: &str, value: &str) -> String {
        // Invariant: a record is a JSON object, with nothing but white space after it.
        let members = self.as_json().trim_end().strip_suffix('}');
        debug_assert!(members.is_some(), "a record does not end with a brace");
        let mut json = String::from(members.unwrap_or_default());
        push_member(&mut json, &escape(key), value);
        json.push('}');
        json
    }

    /// The spans of the keys and of their values, except for `cookie`.
    fn members(&self) -> impl Iterator<Item = (Span, Span)> {
        self.0.pairs(MEMBERS)
    }

    /// The number of members, except for `cookie`.
    pub(crate) fn count(&self) -> usize {
        (self.0.spans() - MEMBERS) / 2
    }

    /// The number of the member with this key, counted from zero without `cookie`, and the span of its value.
    /// Each call searches all members; for many keys there is [`MemberTable`](member_table::MemberTable).
    pub(crate) fn member(&self, key: &str) -> Option<(usize, Span)> {
        self.0.find(MEMBERS, key)
    }

    /// A part of the text.
    pub(crate) fn part(&self, span: Span) -> &str {
        self.0.str_at(span)
    }

    /// A part of the text as bytes, without the check that they are UTF-8.
    pub(crate) fn within(&self, span: Span) -> &[u8] {
        self.0.bytes_at(span)
    }

    /// A value's raw JSON, without the check that the bytes are UTF-8. `None` for `cookie`, which is not
    /// data.
    pub(crate) fn raw(&self, key: &str) -> Option<&[u8]> {
        self.member(key).map(|(_, value)| self.within(value))
    }

    /// The keys, escaped as they stand between their quotes, and the raw values, except for `cookie`, in the
    /// order in which they are stored.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (&str, &str)> {
        let text = self.0.text();
        self.members().map(|(key, value)| (key.of(text), value.of(text)))
    }

    /// The raw JSON of what this crate itself keeps of the session.
    pub(crate) fn metadata(&self) -> Option<&[u8]> {
        // Most records have none, and this is known without a search.
        if !self.0.has_metadata() {
            return None;
        }
        self.member(METADATA).map(|(_, value)| self.within(value))
    }

    /// Whether both records share one buffer.
    pub(crate) fn is(&self, other: &Self) -> bool {
        self.0.shares_buffer_with(&other.0)
    }

    /// Whether both records are the same bytes. Clones of one record are told by their shared buffer, without
    /// a comparison.
    pub(crate) fn same(&self, other: &Self) -> bool {
        self.is(other) || self.0.bytes() == other.0.bytes()
    }
}

/// A max-age from the number of milliseconds that JavaScript writes; `None` for everything that is not a
/// number.
fn parse_max_age(json: &str) -> Option<Duration> {
    let millis = serde_json::from_str::<f64>(json).ok()?;
    Some(Duration::from_millis(millis.clamp(0.0, MAX_MILLIS) as u64))
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Record({} bytes REDACTED)", self.0.bytes().len())
    }
}

impl Serialize for Record {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let raw: &RawValue = serde_json::from_str(self.as_json()).map_err(serde::ser::Error::custom)?;
        raw.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Record {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        Self::from_text(raw.get()).map_err(serde::de::Error::custom)
    }
}
