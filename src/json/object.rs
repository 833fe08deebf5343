//! The members of a JSON object by their place in the text, without parsing a value.

use std::borrow::Cow;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;

use foldhash::quality::RandomState;
use memchr::memchr;
use serde::de::{DeserializeSeed, Deserializer as _, Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::json::text::{is_key, unescape};

/// Byte range in a record's text.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Span {
    start: u32,
    end: u32,
}

impl Span {
    /// Texts are under 4 GiB: [`members`] refuses longer ones.
    pub(crate) fn new(start: usize, end: usize) -> Self {
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

    pub(crate) fn of(self, text: &str) -> &str {
        &text[self.start()..self.end()]
    }

    pub(crate) fn within(self, bytes: &[u8]) -> &[u8] {
        &bytes[self.start()..self.end()]
    }

    pub(crate) fn shifted(self, by: usize) -> Self {
        Self::new(self.start() + by, self.end() + by)
    }
}

/// One member of a JSON object.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Member {
    /// The key between its quotes.
    pub(crate) key: Span,
    /// The raw value.
    pub(crate) value: Span,
}

impl Member {
    pub(crate) fn is(&self, text: &str, key: &str) -> bool {
        is_key(self.key.of(text).as_bytes(), key)
    }
}

/// The members of a JSON object, without parsing a value. Of equal keys the last value counts, in the first's place, as
/// in `JSON.parse`.
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
            // Between two values stand a comma, the quoted key and a colon, so the quotes are the outermost ones.
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
            // Taken as bytes, a key may hold what no JSON text may.
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

/// So many keys are compared one by one, which takes less time than a table of so few does.
pub(crate) const FEW: usize = 16;

/// The keys of the members so far.
struct Keys<'t> {
    text: &'t str,
    /// Where each key's member is; `None` while they are [`FEW`] and have no escapes. The seed is random, as keys may be
    /// chosen by whoever would like them to collide.
    table: Option<HashMap<Key<'t>, usize, RandomState>>,
}

/// What a key says; as it stands, where that is no Unicode.
type Key<'t> = Result<Cow<'t, str>, &'t str>;

impl<'t> Keys<'t> {
    /// Which member has this key. One that no member has is taken for the next one's.
    fn find(&mut self, members: &[Member], raw: &'t str) -> Option<usize> {
        let text = self.text;
        if self.table.is_none() && members.len() < FEW && memchr(b'\\', raw.as_bytes()).is_none() {
            return members.iter().position(|member| member.key.of(text) == raw);
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

/// The raw values of a JSON array; `null` is taken for an empty one.
pub(crate) fn list(json: &str) -> Result<Vec<&str>, serde_json::Error> {
    let raw: Option<Vec<&RawValue>> = serde_json::from_str(json)?;
    Ok(raw.unwrap_or_default().into_iter().map(RawValue::get).collect())
}

/// Takes a key as bytes: serde_json refuses a lone surrogate in a string, JavaScript writes one.
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

    /// Keys and values, as they stand in the text.
    fn read(text: &str) -> Vec<(&str, &str)> {
        let members = members(text).unwrap();
        members.iter().map(|member| (member.key.of(text), member.value.of(text))).collect()
    }

    /// Two keys before, between and after so many others that the search for equal ones goes over to the table at each of
    /// these places.
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
