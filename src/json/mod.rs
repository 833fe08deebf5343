//! The few JSON tools a record needs beyond `serde_json`: the spans of an object's members, keys put back as they came,
//! and times as JavaScript writes them.

pub(crate) mod date;
pub(crate) mod object;
pub(crate) mod text;
