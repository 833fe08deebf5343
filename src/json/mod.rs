//! What records need of JSON beyond `serde_json`: where an object's members stand, keys that stay byte for
//! byte, and times as JavaScript writes them.

pub(crate) mod date;
pub(crate) mod object;
pub(crate) mod text;
