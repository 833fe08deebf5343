//! The cookie as others write it: the values that name a session, and the bytes they are signed with.

#[path = "../common/mod.rs"]
mod common;

mod golden_vectors;
mod values;
