//! The handlers without a session: what every other contestant's figures are taken over.

use std::sync::atomic::{AtomicU64, Ordering};

use actix_web::web;
use axum::Router;
use axum::routing::get;

use crate::payload::{User, VIEWS, shown};

static COUNTER: AtomicU64 = AtomicU64::new(VIEWS);

async fn fill() -> &'static str {
    "filled"
}

async fn read() -> String {
    shown(Some(VIEWS), Some(User::ada()))
}

async fn write() -> String {
    (COUNTER.fetch_add(1, Ordering::Relaxed) + 1).to_string()
}

async fn new() -> String {
    1.to_string()
}

async fn plain() -> &'static str {
    "plain"
}

pub fn axum() -> Router {
    Router::new()
        .route("/fill/{bytes}", get(fill))
        .route("/read", get(read))
        .route("/write", get(write))
        .route("/new", get(new))
        .route("/renew", get(write))
        .route("/plain", get(plain))
}

pub fn actix(config: &mut web::ServiceConfig) {
    config
        .route("/fill/{bytes}", web::get().to(fill))
        .route("/read", web::get().to(read))
        .route("/write", web::get().to(write))
        .route("/new", web::get().to(new))
        .route("/renew", web::get().to(write))
        .route("/plain", web::get().to(plain));
}
