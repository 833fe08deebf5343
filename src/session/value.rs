//! Converts values to JSON and back, refuses the reserved keys, and holds the raw JSON of a value.

use serde::Serialize;
use serde::de::DeserializeOwned;
use smallvec::SmallVec;
use smol_str::SmolStr;

use crate::error::SessionError;
use crate::error::value::{JsonError, Refused};
use crate::json::object::Span;
use crate::json::text::text;
use crate::record::{Record, is_reserved_key};

/// The raw JSON of a value, where it stands.
#[derive(Clone, Copy)]
pub(crate) enum RawValue<'a> {
    /// In the record.
    Stored(&'a Record, Span),
    /// In a change of this request.
    Changed(&'a SmolStr),
}

/// The raw JSON of a value, to be read without the lock on the session's state. It shares the text: nothing
/// is copied or allocated, however long the value is.
pub(crate) enum OwnedValue {
    Stored(Record, Span),
    Changed(SmolStr),
}

impl<'a> RawValue<'a> {
    pub(crate) fn bytes(self) -> &'a [u8] {
        match self {
            Self::Stored(record, span) => record.within(span),
            Self::Changed(json) => json.as_bytes(),
        }
    }

    pub(crate) fn to_owned(self) -> OwnedValue {
        match self {
            Self::Stored(record, span) => OwnedValue::Stored(record.clone(), span),
            Self::Changed(json) => OwnedValue::Changed(json.clone()),
        }
    }
}

impl OwnedValue {
    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Self::Stored(record, span) => record.within(*span),
            Self::Changed(json) => json.as_bytes(),
        }
    }
}

/// Refuses the keys that are reserved.
pub(crate) fn check_key(key: &str) -> Result<(), SessionError> {
    if is_reserved_key(key) {
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

/// Reads a value from JSON. A `null` that a `T` cannot be read from is no value, since that is how JavaScript
/// empties a key. `key` is for the error alone.
pub(crate) fn decode<T: DeserializeOwned>(key: &str, raw: &[u8]) -> Result<Option<T>, SessionError> {
    match serde_json::from_str(text(raw)) {
        Ok(value) => Ok(Some(value)),
        Err(_) if raw == b"null" => Ok(None),
        Err(error) => Err(SessionError::decode(key, JsonError::new::<T>(&error))),
    }
}
