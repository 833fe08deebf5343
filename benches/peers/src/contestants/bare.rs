//! The handlers without a session: what every other contestant's figures are taken over.

use std::sync::atomic::{AtomicU64, Ordering};

use actix_web::web;
use axum::Router;
use axum::routing::get;

use crate::payload::{User, VIEWS, shown};
use crate::scenario::Scenario;

static COUNTER: AtomicU64 = AtomicU64::new(VIEWS);

async fn fill() -> &'static str {
    "filled"
}

async fn read() -> String {
    shown(Some(VIEWS), Some(User::ada()))
}

/// A read by a visitor without a session, who has no struct to be made and shown.
async fn anonymous() -> String {
    shown(None, None)
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

/// Answers each scenario as the contestants do, or what they are taken over would be another request.
pub fn axum(scenario: Scenario) -> Router {
    let read = if scenario == Scenario::Forged { get(anonymous) } else { get(read) };
    Router::new()
        .route("/fill/{bytes}", get(fill))
        .route("/read", read)
        .route("/write", get(write))
        .route("/new", get(new))
        .route("/renew", get(write))
        .route("/plain", get(plain))
}

pub fn actix(scenario: Scenario) -> impl FnOnce(&mut web::ServiceConfig) {
    let read = if scenario == Scenario::Forged { web::get().to(anonymous) } else { web::get().to(read) };
    move |config| {
        config
            .route("/fill/{bytes}", web::get().to(fill))
            .route("/read", read)
            .route("/write", web::get().to(write))
            .route("/new", web::get().to(new))
            .route("/renew", web::get().to(write))
            .route("/plain", web::get().to(plain));
    }
}
