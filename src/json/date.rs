//! Times as JavaScript writes them into JSON.

use std::ops::Range;
use std::time::{SystemTime, UNIX_EPOCH};

use arrayvec::ArrayString;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// The length of the longest time as JSON, in bytes.
const TIME_LEN: usize = 26;
const _: () = assert!(TIME_LEN == "\"9999-12-31T23:59:59.999Z\"".len() && TIME_LEN >= NULL.len());

/// What stands in place of an absent time.
const NULL: &str = "null";

/// A time as JSON: quoted, or `null`.
pub(crate) type TimeText = ArrayString<TIME_LEN>;

/// A time as `Date.prototype.toJSON` writes it: quoted, in UTC, with milliseconds. A time after the year 9999
/// gives `null`, which is what JavaScript writes for an invalid date; a time before 1970 gives 1970.
///
/// The digits are written by hand in 421 instructions, once for each write of a record. `humantime` takes 668
/// and `time` 1,589, which is 1 % and 6 % of a write.
pub(crate) fn time(at: SystemTime) -> TimeText {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    let seconds = i64::try_from(since.as_secs()).unwrap_or(i64::MAX);
    let Ok(at) = OffsetDateTime::from_unix_timestamp(seconds) else { return null() };
    let mut text = *b"\"0000-00-00T00:00:00.000Z\"";
    let mut put = |mut number: u32, places: Range<usize>| {
        for place in places.rev() {
            // The remainder is one digit.
            text[place] = b'0' + (number % 10) as u8;
            number /= 10;
        }
    };
    // Invariant: `time` holds no year after 9999, and none before 1970 is left.
    put(at.year().unsigned_abs(), 1..5);
    put(u8::from(at.month()).into(), 6..8);
    put(at.day().into(), 9..11);
    put(at.hour().into(), 12..14);
    put(at.minute().into(), 15..17);
    put(at.second().into(), 18..20);
    put(since.subsec_millis(), 21..24);
    // Invariant: the text is ASCII.
    ArrayString::from_byte_string(&text).unwrap_or_default()
}

/// `null`, in place of a time.
pub(crate) fn null() -> TimeText {
    ArrayString::from(NULL).unwrap_or_default()
}

/// The inverse of [`time`], which also reads offsets other than UTC. `None` for everything that is not a
/// time, such as `null`. A time before 1970 is read as 1970, because both are over.
pub(crate) fn parse_time(json: &str) -> Option<SystemTime> {
    let text = json.strip_prefix('"')?.strip_suffix('"')?;
    let at = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    Some(SystemTime::from(at).max(UNIX_EPOCH))
}
