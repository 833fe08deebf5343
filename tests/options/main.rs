//! The options: what each does, what is refused at start, and how the transport of a request is found out.

#[path = "../common/mod.rs"]
mod common;

#[cfg(feature = "dbsc")]
mod dbsc;
mod effects;
mod refused;
mod secure;
mod watched;
