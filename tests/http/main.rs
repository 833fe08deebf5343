//! The ways in and out through axum: the guard and the layer.

#[path = "../common/mod.rs"]
mod common;

mod configurations;
mod failed_requests;
mod guard;
#[cfg(feature = "testing")]
mod health;
mod layer;
