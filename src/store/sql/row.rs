//! Rows, and the versions that they are compared by.

use std::time::Duration;

use crate::error::StoreError;
use crate::record::Record;
use crate::store::{Stored, Version};

/// A row of a live session: its text, and the milliseconds it has left.
pub(super) type Row = (String, i64);

pub(super) fn to_stored((json, left): Row) -> Result<Stored, StoreError> {
    let record = Record::from_json(json)?;
    let version = Version::of(&record);
    let left = Duration::from_millis(u64::try_from(left).unwrap_or(0));
    Ok(Stored::from(record).with_version(version).with_expires_in(left))
}

/// The text that a version stands for; no number is a version here.
pub(super) fn expected_text(version: &Version) -> &str {
    version.as_bytes().and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or_default()
}
