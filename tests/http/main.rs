//! The ways in and out through axum: the guard and the layer.

#[path = "../common/mod.rs"]
mod common;

mod guard;
mod layer;
