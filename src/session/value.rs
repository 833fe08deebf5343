//! A value to JSON and back, and the keys that are not the session's data.

use serde::Serialize;
use serde::de::DeserializeOwned;
use smallvec::SmallVec;
use smol_str::SmolStr;

use crate::error::{JsonError, Refused, SessionError};
use crate::json::text::text;
use crate::record::{COOKIE, FLASH};

pub(crate) fn check_key(key: &str) -> Result<(), SessionError> {
    if key == COOKIE || key == FLASH { Err(SessionError::encode(key, Refused::ReservedKey)) } else { Ok(()) }
}

pub(crate) fn encode<T: Serialize>(key: &str, value: &T) -> Result<SmolStr, SessionError> {
    let mut json = SmallVec::<[u8; 128]>::new();
    serde_json::to_writer(&mut json, value)
        .map_err(|error| SessionError::encode(key, JsonError::new::<T>(&error)))?;
    // JSON is text.
    Ok(std::str::from_utf8(&json).unwrap_or_default().into())
}

pub(crate) fn decode<T: DeserializeOwned>(key: &str, raw: &[u8]) -> Result<T, SessionError> {
    serde_json::from_str(text(raw)).map_err(|error| SessionError::decode::<T>(key, &error))
}
