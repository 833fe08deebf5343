//! Cookies and records that somebody else wrote: none of them panics, and none costs more than its length.

#[path = "../common/mod.rs"]
mod common;

#[cfg(unix)]
mod many;
mod properties;
