//! Times as JavaScript writes them.

use std::ops::Range;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arrayvec::ArrayString;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

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
