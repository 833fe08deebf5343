//! A record, as far as the program looks into it.

use std::collections::BTreeMap;

use serde::Deserialize as _;
use serde_json::value::RawValue;
use sessile::Record;

/// The member of a record that was sealed.
const SEALED: &str = "__sealed";

/// The members of a record, each with its JSON.
pub(crate) fn members(record: &Record) -> BTreeMap<String, Box<RawValue>> {
    let mut json = serde_json::Deserializer::from_str(record.as_json());
    BTreeMap::deserialize(&mut json).unwrap_or_default()
}

/// Whether a record was sealed, and is not opened.
pub(crate) fn is_sealed(record: &Record) -> bool {
    // Nearly every record has not even the name.
    record.as_json().contains(SEALED) && members(record).contains_key(SEALED)
}

/// What kind of JSON a value is.
pub(crate) fn kind(value: &RawValue) -> &'static str {
    match value.get().as_bytes().first() {
        Some(b'{') => "object",
        Some(b'[') => "list",
        Some(b'"') => "text",
        Some(b't' | b'f') => "boolean",
        Some(b'n') => "null",
        _ => "number",
    }
}
