//! The options: what each does, what is refused at start, and how the transport of a request is found out.

#[path = "../common/mod.rs"]
mod common;

mod effects;
mod refused;
mod secure;
