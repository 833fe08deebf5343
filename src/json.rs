//! The few JSON tools a record needs beyond `serde_json`: the spans of an object's members, times as JavaScript writes
//! them, keys put back as they came.

use std::borrow::Cow;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::ops::Range;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arrayvec::ArrayString;
use foldhash::quality::RandomState;
use memchr::memchr;
use serde::de::{DeserializeSeed, Deserializer as _, Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

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

/// The members of a JSON object, without parsing a value. Of equal keys the last value counts, in the first's place, as
/// in `JSON.parse`.
pub(crate) fn members(text: &str) -> Result<Vec<Member>, serde_json::Error> {
    if u32::try_from(text.len()).is_err() {
        return Err(serde_json::Error::custom("longer than 4 GiB"));
    }
    let mut input = serde_json::Deserializer::from_str(text);
    let members = input.deserialize_map(Members { text })?;
    input.end()?;
    Ok(members)
}

struct Members<'t> {
    text: &'t str,
}

impl<'t> Visitor<'t> for Members<'t> {
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
const FEW: usize = 16;

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

/// A time as `Date.prototype.toJSON` writes it: quoted, UTC, milliseconds. `null` for one past the year 9999, as
/// JavaScript writes a date it cannot hold.
pub(crate) fn time(at: SystemTime) -> TimeText {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    let seconds = i64::try_from(since.as_secs()).unwrap_or(i64::MAX);
    let Ok(at) = OffsetDateTime::from_unix_timestamp(seconds) else { return null() };
    let mut text = *b"\"0000-00-00T00:00:00.000Z\"";
    let mut put = |mut number: u32, places: Range<usize>| {
        for place in places.rev() {
            // One digit.
            text[place] = b'0' + (number % 10) as u8;
            number /= 10;
        }
    };
    // `time` holds no year past 9999, and none before 1970 comes here.
    put(at.year().unsigned_abs(), 1..5);
    put(u8::from(at.month()).into(), 6..8);
    put(at.day().into(), 9..11);
    put(at.hour().into(), 12..14);
    put(at.minute().into(), 15..17);
    put(at.second().into(), 18..20);
    put(since.subsec_millis(), 21..24);
    // Digits between ASCII.
    ArrayString::from_byte_string(&text).unwrap_or_default()
}

/// What [`time`] writes.
pub(crate) type TimeText = ArrayString<26>;

/// `null` in the place of a time.
pub(crate) fn null() -> TimeText {
    ArrayString::from("null").unwrap_or_default()
}

/// The inverse of [`time`]; `None` for everything else, `null` included.
pub(crate) fn parse_time(json: &str) -> Option<SystemTime> {
    let text = json.strip_prefix('"')?.strip_suffix('"')?;
    let at = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    // A time before 1970 is as past as 1970.
    let seconds = u64::try_from(at.unix_timestamp()).unwrap_or(0);
    UNIX_EPOCH.checked_add(Duration::new(seconds, at.nanosecond()))
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
