//! The members of a JSON object by where they stand in the text, without parsing a value.

use std::borrow::Cow;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;

use foldhash::quality::RandomState;
use memchr::memchr;
use serde::de::{DeserializeSeed, Deserializer as _, Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::json::text::{is_key, unescape};

/// A byte range in a JSON text.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Span {
    start: u32,
    end: u32,
}

impl Span {
    /// The bytes from `start` up to `end`.
    pub(crate) fn new(start: usize, end: usize) -> Self {
        // Invariant: a text is under 4 GiB. `members` refuses longer ones when a record is read.
        debug_assert!(start <= end && u32::try_from(end).is_ok(), "{start}..{end} is not a span");
        Self { start: start as u32, end: end as u32 }
    }

    pub(crate) fn start(self) -> usize {
        self.start as usize
    }

    pub(crate) fn end(self) -> usize {
        self.end as usize
    }

    pub(crate) fn len(self) -> usize {
        self.end() - self.start()
    }

    /// This part of a text.
    pub(crate) fn of(self, text: &str) -> &str {
        &text[self.start()..self.end()]
    }

    /// This part of a text that is given as bytes.
    pub(crate) fn within(self, bytes: &[u8]) -> &[u8] {
        &bytes[self.start()..self.end()]
    }

    /// The range that starts and ends `by` bytes later.
    pub(crate) fn shifted(self, by: usize) -> Self {
        Self::new(self.start() + by, self.end() + by)
    }
}

/// One member of a JSON object.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Member {
    /// The raw key, between its quotes.
    pub(crate) key: Span,
    /// The raw value.
    pub(crate) value: Span,
}

impl Member {
    /// Whether the member has this key.
    pub(crate) fn is(&self, text: &str, key: &str) -> bool {
        is_key(self.key.of(text).as_bytes(), key)
    }
}

/// The members of a JSON object, without parsing a value. Where a key stands twice, the last value counts, in
/// the place of the first, as in JavaScript's `JSON.parse`.
pub(crate) fn members(text: &str) -> Result<Vec<Member>, serde_json::Error> {
    if u32::try_from(text.len()).is_err() {
        return Err(serde_json::Error::custom("longer than 4 GiB"));
    }
    let mut input = serde_json::Deserializer::from_str(text);
    let members = input.deserialize_map(MemberVisitor { text })?;
    input.end()?;
    Ok(members)
}

struct MemberVisitor<'t> {
    text: &'t str,
}

impl<'t> Visitor<'t> for MemberVisitor<'t> {
    type Value = Vec<Member>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'t>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let text = self.text;
        let mut members = Vec::<Member>::with_capacity(FEW);
        let mut keys = Keys { text, table: None };
        let mut after = 0;
        while map.next_key_seed(KeySeed)?.is_some() {
            let value = map.next_value::<&'t RawValue>()?.get();
            let start = value.as_ptr() as usize - text.as_ptr() as usize;
            let end = start + value.len();
            // `RawValue` tells where a value stands, and nothing tells where a key stands. Between two values
            // there are only a comma, the quoted key and a colon, so the key is between the first quote and
            // the last.
            let between = &text.as_bytes()[after..start];
            let quote = |byte: &u8| *byte == b'"';
            let (Some(open), Some(close)) = (between.iter().position(quote), between.iter().rposition(quote))
            else {
                return Err(A::Error::custom("a key without quotes"));
            };
            let member =
                Member { key: Span::new(after + open + 1, after + close), value: Span::new(start, end) };
            after = end;
            let key = member.key.of(text);
            // `serde_json` reads a key's bytes without this check, but JSON allows no raw control character
            // in a string.
            if key.bytes().any(|byte| byte < b' ') {
                return Err(A::Error::custom("a control character in a key"));
            }
            match keys.find(&members, key) {
                Some(earlier) => members[earlier].value = member.value,
                None => members.push(member),
            }
        }
        Ok(members)
    }
}

/// How many keys are compared one by one. For so few, a hash table takes more time.
pub(crate) const FEW: usize = 16;

/// The keys of the members so far, in which a key that stands twice is found.
struct Keys<'t> {
    text: &'t str,
    /// The number of each key's member; `None` while there are at most [`FEW`] members and no key has
    /// escapes. The hash's seed is random, because an attacker may be able to choose keys that would collide
    /// under a known one.
    table: Option<HashMap<Key<'t>, usize, RandomState>>,
}

/// The key that a raw key stands for, or the raw key itself as an error where that is not Unicode.
type Key<'t> = Result<Cow<'t, str>, &'t str>;

impl<'t> Keys<'t> {
    /// The number of the member with this key. A key that no member has is noted as the key of the next
    /// member.
    fn find(&mut self, members: &[Member], raw: &'t str) -> Option<usize> {
        let text = self.text;
        if self.table.is_none() && members.len() < FEW && memchr(b'\\', raw.as_bytes()).is_none() {
            let is = |member: &Member| member.key.within(text.as_bytes()) == raw.as_bytes();
            return members.iter().position(is);
        }
        let key = |raw: &'t str| unescape(raw).ok_or(raw);
        let table = self
            .table
            .get_or_insert_with(|| members.iter().map(|member| key(member.key.of(text))).zip(0..).collect());
        match table.entry(key(raw)) {
            Entry::Occupied(entry) => Some(*entry.get()),
            Entry::Vacant(entry) => {
                entry.insert(members.len());
                None
            }
        }
    }
}

/// The raw values of a JSON array. `null` stands for an empty array.
pub(crate) fn list(json: &str) -> Result<Vec<&str>, serde_json::Error> {
    let raw: Option<Vec<&RawValue>> = serde_json::from_str(json)?;
    Ok(raw.unwrap_or_default().into_iter().map(RawValue::get).collect())
}

/// Accepts a key as bytes. `serde_json` refuses a lone surrogate in a string, and JavaScript can write one.
struct KeySeed;

impl<'de> DeserializeSeed<'de> for KeySeed {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_bytes(self)
    }
}

impl<'de> Visitor<'de> for KeySeed {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_bytes<E>(self, _: &[u8]) -> Result<(), E> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The raw keys and values.
    fn read(text: &str) -> Vec<(&str, &str)> {
        let members = members(text).unwrap();
        members.iter().map(|member| (member.key.of(text), member.value.of(text))).collect()
    }

    /// Two keys stand before, between and after other keys; their number makes the search change from single
    /// comparisons to the table at each of these places.
    #[test]
    fn equal_keys_are_one_member_however_many_there_are() {
        let keys = [
            "",
            "a",
            r"\u0061",
            "b",
            r"\ud83d",
            r"\uD83D",
            r"\\ud83d",
            r#"\""#,
            r"\u0022",
            "😀",
            r"\ud83d\ude00",
        ];
        let same = |one: &str, other: &str| {
            one == other
                || matches!((unescape(one), unescape(other)), (Some(one), Some(other)) if one == other)
        };
        for (one, other) in keys.iter().flat_map(|one| keys.map(|other| (*one, other))) {
            for first in [0, 1, FEW - 1, FEW, FEW + 1] {
                for second in [first, first + 1, first + FEW] {
                    let fillers: Vec<_> = (0..second + 2).map(|n| (format!("filler-{n}"), "0")).collect();
                    let mut pairs: Vec<_> =
                        fillers.iter().map(|(key, value)| (key.as_str(), *value)).collect();
                    pairs.insert(second, (other, "2"));
                    pairs.insert(first, (one, "1"));
                    let text: Vec<_> =
                        pairs.iter().map(|(key, value)| format!("\"{key}\":{value}")).collect();
                    let text = format!("{{{}}}", text.join(","));
                    if same(one, other) {
                        pairs.remove(second + 1);
                        pairs[first].1 = "2";
                    }
                    assert_eq!(read(&text), pairs, "{one:?} and {other:?} at {first} and {second}");
                }
            }
        }
    }
}
