//! The few JSON tools a record needs beyond `serde_json`: the spans of an object's members, times as JavaScript writes
//! them, keys put back as they came.

use std::fmt;
use std::fmt::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

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

    pub(crate) fn of(self, text: &str) -> &str {
        &text[self.start()..self.end()]
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
    /// The key has escapes, so its text is not the key itself.
    pub(crate) escaped: bool,
}

impl Member {
    pub(crate) fn is(&self, text: &str, key: &str) -> bool {
        let raw = self.key.of(text);
        match self.escaped {
            false => raw == key,
            true => unescape(raw).is_some_and(|decoded| decoded == key),
        }
    }
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
        let mut members = Vec::<Member>::new();
        let mut after = 0;
        while let Some(KeyKind { escaped }) = map.next_key_seed(KeySeed)? {
            let value = map.next_value::<&'t RawValue>()?.get();
            let start = value.as_ptr() as usize - text.as_ptr() as usize;
            let end = start + value.len();
            // Between two values stand a comma, the quoted key and a colon, so the quotes are the outermost ones.
            let between = &text[after..start];
            let (Some(open), Some(close)) = (between.find('"'), between.rfind('"')) else {
                return Err(A::Error::custom("a key without quotes"));
            };
            after = end;
            let member = Member {
                key: Span::new(start - between.len() + open + 1, start - between.len() + close),
                value: Span::new(start, end),
                escaped,
            };
            // Taken as bytes, a key may hold what no JSON text may.
            if member.key.of(text).bytes().any(|byte| byte < b' ') {
                return Err(A::Error::custom("a control character in a key"));
            }
            match members.iter_mut().find(|earlier| same_key(earlier, &member, text)) {
                Some(earlier) => earlier.value = member.value,
                None => members.push(member),
            }
        }
        Ok(members)
    }
}

fn same_key(one: &Member, other: &Member, text: &str) -> bool {
    let (a, b) = (one.key.of(text), other.key.of(text));
    if !one.escaped && !other.escaped {
        return a == b;
    }
    a == b || unescape(a).zip(unescape(b)).is_some_and(|(a, b)| a == b)
}

/// Takes a key as bytes: serde_json refuses a lone surrogate in a string, JavaScript writes one.
struct KeySeed;

struct KeyKind {
    escaped: bool,
}

impl<'de> DeserializeSeed<'de> for KeySeed {
    type Value = KeyKind;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<KeyKind, D::Error> {
        deserializer.deserialize_bytes(self)
    }
}

impl<'de> Visitor<'de> for KeySeed {
    type Value = KeyKind;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_borrowed_bytes<E>(self, _: &'de [u8]) -> Result<KeyKind, E> {
        Ok(KeyKind { escaped: false })
    }

    fn visit_bytes<E>(self, _: &[u8]) -> Result<KeyKind, E> {
        Ok(KeyKind { escaped: true })
    }
}

/// A key from its text between the quotes; `None` when it is no Unicode.
pub(crate) fn unescape(raw: &str) -> Option<String> {
    if !raw.contains('\\') {
        return Some(raw.to_owned());
    }
    serde_json::from_str(&format!("\"{raw}\"")).ok()
}

/// A text as a JSON string, quotes included.
pub(crate) fn quote(text: &str) -> String {
    // A string always serialises.
    serde_json::to_string(text).unwrap_or_default()
}

/// Appends a key between quotes that are already there; says whether it needed escapes.
pub(crate) fn push_key(json: &mut String, key: &str) -> (Span, bool) {
    if key.bytes().all(|byte| byte >= b' ' && byte != b'"' && byte != b'\\') {
        return (append(json, |json| json.push_str(key)), false);
    }
    let quoted = quote(key);
    (append(json, |json| json.push_str(&quoted[1..quoted.len() - 1])), true)
}

/// The span of what `write` appends.
pub(crate) fn append(json: &mut String, write: impl FnOnce(&mut String)) -> Span {
    let start = json.len();
    write(json);
    Span::new(start, json.len())
}

/// A time as `Date.prototype.toJSON` writes it: quoted, UTC, milliseconds. `null` for one past the year 9999, as
/// JavaScript writes a date it cannot hold.
pub(crate) fn push_time(at: SystemTime, json: &mut String) {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    let nanos = i128::try_from(since.as_nanos()).unwrap_or(i128::MAX);
    let Ok(at) = OffsetDateTime::from_unix_timestamp_nanos(nanos) else {
        json.push_str("null");
        return;
    };
    let (year, month, day) = (at.year(), u8::from(at.month()), at.day());
    let (hour, minute, second, milli) = (at.hour(), at.minute(), at.second(), at.millisecond());
    // Writing to a String does not fail.
    let _ = write!(json, "\"{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z\"");
}

/// The inverse of [`push_time`]; `None` for everything else, `null` included.
pub(crate) fn parse_time(json: &str) -> Option<SystemTime> {
    let text = json.strip_prefix('"')?.strip_suffix('"')?;
    let at = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    // A time before 1970 is as past as 1970.
    let seconds = u64::try_from(at.unix_timestamp()).unwrap_or(0);
    UNIX_EPOCH.checked_add(Duration::new(seconds, at.nanosecond()))
}
