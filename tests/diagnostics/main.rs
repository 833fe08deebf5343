//! What errors, log events and `Debug` say, and what they never say.

#[path = "../common/mod.rs"]
mod common;

mod errors;
mod secrecy;
