//! Rows of the Express stores' tables, as records and back.

use std::time::Duration;

use sha2::{Digest as _, Sha256};
use sqlx::{ColumnIndex, Decode, Row, Type};

use crate::error::StoreError;
use crate::record::Record;
use crate::store::Stored;
use crate::store::version::Version;

/// Reads the row of a live session: its record, and the milliseconds until it expires.
///
/// The record is read as bytes whatever the column's type is, because text and binary strings may both hold
/// one. Bytes that are no record, and `NULL`, are [`StoreError::corrupt`].
pub(super) fn to_stored<'r, R>(row: &'r R) -> Result<Stored, StoreError>
where
    R: Row,
    usize: ColumnIndex<R>,
    Option<Vec<u8>>: Decode<'r, R::Database>,
    i64: Decode<'r, R::Database> + Type<R::Database>,
{
    let bytes: Option<Vec<u8>> = row.try_get_unchecked(0).map_err(StoreError::unavailable)?;
    let remaining: i64 = row.try_get(1).map_err(StoreError::unavailable)?;
    let bytes = bytes.ok_or_else(|| StoreError::corrupt("the record is NULL"))?;
    // The whole error would hold the bytes.
    let json = String::from_utf8(bytes).map_err(|error| StoreError::corrupt(error.utf8_error()))?;
    let record = Record::from_json(json)?;
    let version = Version::of(&record);
    let remaining = Duration::from_millis(u64::try_from(remaining).unwrap_or(0));
    Ok(Stored::from(record).with_version(version).with_expires_in(remaining))
}

/// The text of a record, as a statement binds it.
pub(super) fn record_text(record: &Record) -> &str {
    // Invariant: a record is never empty text. `expected_text` relies on that.
    debug_assert!(!record.as_json().is_empty());
    record.as_json()
}

/// The text that a row must still have for a conditional statement to change it.
///
/// The versions of these stores are the texts of records. Any other version, such as a number, becomes the
/// empty text.
pub(super) fn expected_text(version: &Version) -> &str {
    // Invariant: the empty text matches no record, because `record_text` is never empty.
    version.as_bytes().and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or_default()
}

/// The hash of the text that a row must still have for a conditional statement to change it.
///
/// A version that is no text, such as a number, becomes the empty text, which is the hash of nothing.
pub(super) fn expected_hash(version: &Version) -> String {
    version.as_bytes().map(text_hash).unwrap_or_default()
}

pub(super) fn text_hash(bytes: &[u8]) -> String {
    base16ct::lower::encode_string(&Sha256::digest(bytes))
}
