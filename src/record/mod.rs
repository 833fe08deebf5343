//! [`Record`]: what a store keeps for one session, in Express' JSON.
//!
//! One shared text and an index over it. Values are never parsed on the way through, so what this process did not
//! change goes back byte for byte, whatever wrote it.

mod compose;
pub(crate) mod cookie_object;
pub(crate) mod draft;
mod indexed_text;
pub(crate) mod member_table;
#[cfg(test)]
mod tests;

use std::fmt;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use crate::error::{JsonError, StoreError};
use crate::json::date::parse_time;
use crate::json::object::{self, Span};
use crate::json::text::{escape, is_key, push_member};
use indexed_text::IndexedText;

/// The key under which the cookie's state stands, as in Express.
pub(crate) const COOKIE: &str = "cookie";

/// The furthest time a JavaScript `Date` holds: no max-age written by Express makes sense past it, and sums with it
/// do not overflow.
const MAX_MILLIS: f64 = 8.64e15;

/// The key under which flash messages stand, as in connect-flash.
pub(crate) const FLASH: &str = "flash";

/// What a store keeps for one session: JSON as Express writes it, the session's data beside a `cookie` object.
///
/// A store saves [`as_json`](Self::as_json), or serialises the record with `serde_json`, and reads it back with
/// [`from_json`](Self::from_json) or `serde_json`. A clone is one reference count.
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

/// The index' first spans: the cookie object, and the two values in it that a commit rewrites; empty where one is missing.
/// Then come the keys and values of all other members, in the order of the text.
const OBJECT: usize = 0;
const MAX_AGE: usize = 1;
const EXPIRES: usize = 2;
const MEMBERS: usize = 3;

impl Record {
    /// Reads a record.
    ///
    /// # Errors
    /// [`StoreError::corrupt`] when the text is no JSON object with a `cookie` object in it.
    pub fn from_json(json: impl Into<String>) -> Result<Self, StoreError> {
        Self::read(&json.into())
    }

    fn read(json: &str) -> Result<Self, StoreError> {
        let corrupt = |error| StoreError::corrupt(JsonError::new::<Record>(&error));
        let mut members = object::members(json).map_err(corrupt)?;
        let at = members.iter().position(|member| member.is(json, COOKIE));
        let object = at.map(|at| members.remove(at).value);
        let Some(object) = object.filter(|span| span.of(json).starts_with('{')) else {
            return Err(StoreError::corrupt("the record has no `cookie` object"));
        };
        let text = object.of(json);
        let cookie = object::members(text).map_err(corrupt)?;
        let find = |key| {
            let member = cookie.iter().find(|member| member.is(text, key));
            member.map_or(Span::new(0, 0), |member| member.value.shifted(object.start()))
        };
        let mut spans = Vec::with_capacity(MEMBERS + 2 * members.len());
        let (max_age, expires) = (find("originalMaxAge"), find("expires"));
        spans.extend([object, max_age, expires]);
        spans.extend(members.iter().flat_map(|member| [member.key, member.value]));
        Ok(Self(IndexedText::new(&spans, MEMBERS, life(max_age.of(json)), json)))
    }

    /// The record as JSON, in the bytes it was read or composed with.
    #[must_use]
    pub fn as_json(&self) -> &str {
        self.0.text()
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.0.bytes()
    }

    /// The session's own max-age, Express' `cookie.originalMaxAge`; `None` for a session that ends with the browser.
    #[must_use]
    pub fn max_age(&self) -> Option<Duration> {
        self.0.max_age()
    }

    /// When the cookie was due to expire at the last write (Express' `cookie.expires`). It is not the record's expiry:
    /// a touch extends the life in the store and leaves the text alone.
    #[must_use]
    pub fn cookie_expires(&self) -> Option<SystemTime> {
        parse_time(self.0.part(self.0.span(EXPIRES)))
    }

    /// The same record without a key. What is left stays byte for byte.
    pub(crate) fn without(self, key: &str) -> Self {
        if self.raw(key).is_none() {
            return self;
        }
        let mut json = String::from("{\"cookie\":");
        json.push_str(self.0.part(self.0.span(OBJECT)));
        for (raw_key, value) in self.entries().filter(|(raw, _)| !is_key(raw.as_bytes(), key)) {
            push_member(&mut json, raw_key, value);
        }
        json.push('}');
        // Made of the parts of a record, so it is one.
        Self::read(&json).unwrap_or(self)
    }

    /// The record's text with one more key at its end.
    pub(crate) fn with(&self, key: &str, value: &str) -> String {
        let mut json = String::from(self.as_json().trim_end().strip_suffix('}').unwrap_or_default());
        push_member(&mut json, &escape(key), value);
        json.push('}');
        json
    }

    /// Where the keys and values stand in the text.
    fn members(&self) -> impl Iterator<Item = (Span, Span)> {
        self.0.pairs(MEMBERS)
    }

    /// How many members there are beside `cookie`.
    pub(crate) fn count(&self) -> usize {
        (self.0.spans() - MEMBERS) / 2
    }

    /// Which member has this key, and where its value stands. Each call searches all members; whoever asks for many
    /// keys makes a [`MemberTable`](member_table::MemberTable).
    pub(crate) fn member(&self, key: &str) -> Option<(usize, Span)> {
        self.0.find(MEMBERS, key)
    }

    /// A part of the text.
    pub(crate) fn part(&self, span: Span) -> &str {
        self.0.part(span)
    }

    /// A part of the text as bytes, which costs no check that they are text.
    pub(crate) fn within(&self, span: Span) -> &[u8] {
        self.0.within(span)
    }

    /// The raw JSON of a value, as bytes, which costs no check that it is text; `cookie` is none.
    pub(crate) fn raw(&self, key: &str) -> Option<&[u8]> {
        self.member(key).map(|(_, value)| self.within(value))
    }

    /// Keys, as they stand between their quotes, and raw values, but `cookie`, in the order of the text.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (&str, &str)> {
        let text = self.0.text();
        self.members().map(|(key, value)| (key.of(text), value.of(text)))
    }

    /// Whether both are the same text in memory.
    pub(crate) fn is(&self, other: &Self) -> bool {
        self.0.is(&other.0)
    }

    /// Whether both are the same text in memory, or the same bytes.
    pub(crate) fn same(&self, other: &Self) -> bool {
        self.is(other) || self.0.bytes() == other.0.bytes()
    }
}

/// A max-age as JavaScript writes it, in milliseconds.
fn life(json: &str) -> Option<Duration> {
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
        Self::read(raw.get()).map_err(serde::de::Error::custom)
    }
}
