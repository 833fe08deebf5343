//! How a command of [`RedisStore`](super::RedisStore) is built, and how a stored value is read.

use std::time::Duration;

use redis::Cmd;

use super::mark::Mark;
use crate::error::StoreError;
use crate::record::Record;
use crate::store::Stored;
use crate::store::version::Version;

/// Makes a command in a buffer of its final size. A buffer that grew with each argument would be moved again
/// and again.
pub(super) fn command(arguments: &[&[u8]]) -> Cmd {
    let bytes = arguments.iter().map(|argument| argument.len()).sum();
    let mut command = Cmd::with_capacity(arguments.len(), bytes);
    for argument in arguments {
        command.arg(*argument);
    }
    command
}

/// Reads the value of a key, without its mark, and its remaining milliseconds. An empty value and `null` are no session, as in
/// connect-redis. Any other value that is no record is [`StoreError::corrupt`].
pub(super) fn to_stored(mut value: Vec<u8>, remaining: i64) -> Result<Option<Stored>, StoreError> {
    let mark = Mark::take(&mut value);
    // The whole error would hold the value.
    let json = String::from_utf8(value).map_err(|error| StoreError::corrupt(error.utf8_error()))?;
    if json.is_empty() || json.trim() == "null" {
        return Ok(None);
    }
    let record = Record::from_json(json)?;
    let version = mark.map_or_else(|| Version::of(&record), |Mark(mark)| Version::marked(&record, mark));
    let stored = Stored::from(record).with_version(version);
    Ok(Some(match u64::try_from(remaining) {
        Ok(remaining) => stored.with_expires_in(Duration::from_millis(remaining)),
        // -1 means that the key never expires: connect-redis wrote it with `disableTTL`. The longest time to
        // live has the effect that the session is never touched.
        Err(_) => stored.with_expires_in(Duration::MAX),
    }))
}
