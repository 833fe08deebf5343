//! What a session is to a handler: a map of data, messages for the next request, an id and a lifetime, all of
//! which a commit writes.

#[path = "../common/mod.rs"]
mod common;

mod commit;
mod data;
mod decisions;
mod flash;
mod hot;
mod lifetime;
mod programs;
mod records;
mod reentry;
