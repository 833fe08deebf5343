//! The few JSON tools a record needs beyond `serde_json`: the spans of an object's members, keys put back as they came,
//! times as JavaScript writes them, and equality without rounding a number.

pub(crate) mod date;
pub(crate) mod equality;
pub(crate) mod object;
pub(crate) mod text;
