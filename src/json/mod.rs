//! What records need of JSON beyond `serde_json`: where an object's members stand, keys that stay byte for
//! byte, times as JavaScript writes them, and equality that rounds no number.

pub(crate) mod date;
pub(crate) mod equality;
pub(crate) mod object;
pub(crate) mod text;
