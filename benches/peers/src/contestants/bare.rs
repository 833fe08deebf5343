//! The handlers without a session: what every other contestant's figures are taken over. And beside them what no
//! library can do without: the headers of its answers, and a layer.

use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use actix_web::web;
use axum::Router;
use axum::extract::Request;
use axum::http::HeaderValue;
use axum::http::header::{CACHE_CONTROL, SET_COOKIE, VARY};
use axum::response::{IntoResponseParts, ResponseParts};
use axum::routing::get;
use tower_service::Service;

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

async fn page() -> String {
    User::ada().name
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
        .route("/login", get(fill))
        .route("/page", get(page))
}

/// The headers of an answer that sets a cookie, or of one that only says that it depends on one.
#[derive(Clone, Copy)]
struct Headers {
    cookie: bool,
}

impl IntoResponseParts for Headers {
    type Error = Infallible;

    fn into_response_parts(self, mut parts: ResponseParts) -> Result<ResponseParts, Infallible> {
        let headers = parts.headers_mut();
        headers.insert(VARY, HeaderValue::from_static("Cookie"));
        if self.cookie {
            headers.insert(SET_COOKIE, HeaderValue::from_static(LINE));
            headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
        }
        Ok(parts)
    }
}

/// As long as a signed cookie's.
const LINE: &str = "connect.sid=s%3A00000000-0000-4000-8000-000000000000.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA; \
                    Path=/; HttpOnly; SameSite=Lax; Max-Age=86400; Expires=Thu, 01 Jan 1970 00:00:00 GMT";

/// The bare handlers, with the headers that sessions put on their answers.
pub fn with_headers(scenario: Scenario) -> Router {
    let read = match scenario {
        Scenario::Forged => get(async || (Headers { cookie: false }, anonymous().await)),
        _ => get(async move || (Headers { cookie: scenario == Scenario::Rolling }, read().await)),
    };
    Router::new()
        .route("/fill/{bytes}", get(fill))
        .route("/read", read)
        .route("/write", get(async || (Headers { cookie: true }, write().await)))
        .route("/new", get(async || (Headers { cookie: true }, new().await)))
}

/// A layer that does nothing.
#[derive(Clone)]
struct Through<S>(S);

impl<S: Service<Request>> Service<Request> for Through<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: Request) -> S::Future {
        self.0.call(request)
    }
}

/// The bare handlers behind a layer that does nothing.
pub fn layered(scenario: Scenario) -> Router {
    axum(scenario).layer(tower_layer::layer_fn(Through))
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
