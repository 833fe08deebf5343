//! Converts values to JSON and back, and refuses the reserved keys.

use serde::Serialize;
use serde::de::DeserializeOwned;
use smallvec::SmallVec;
use smol_str::SmolStr;

use crate::error::{JsonError, Refused, SessionError};
use crate::json::text::text;
use crate::record::{COOKIE, FLASH, LAST_ACCESS};

/// Refuses the keys under which a record keeps the cookie object, the flash messages and, in a file, the time
/// of the last access.
pub(crate) fn check_key(key: &str) -> Result<(), SessionError> {
    if [COOKIE, FLASH, LAST_ACCESS].contains(&key) {
        return Err(SessionError::encode(key, Refused::ReservedKey));
    }
    Ok(())
}

/// Writes a value as JSON. `key` is for the error alone.
pub(crate) fn encode<T: Serialize>(key: &str, value: &T) -> Result<SmolStr, SessionError> {
    let mut json = SmallVec::<[u8; 128]>::new();
    serde_json::to_writer(&mut json, value)
        .map_err(|error| SessionError::encode(key, JsonError::new::<T>(&error)))?;
    let text = std::str::from_utf8(&json);
    // Invariant: `serde_json` writes UTF-8.
    debug_assert!(text.is_ok());
    Ok(text.unwrap_or_default().into())
}

/// Reads a value from JSON. `key` is for the error alone.
pub(crate) fn decode<T: DeserializeOwned>(key: &str, raw: &[u8]) -> Result<T, SessionError> {
    serde_json::from_str(text(raw)).map_err(|error| SessionError::decode::<T>(key, &error))
}
