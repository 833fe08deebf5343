//! What the tests over HTTP share.
#![allow(
    dead_code,
    unreachable_pub,
    missing_debug_implementations,
    reason = "each test file uses its own part"
)]

use std::io::Write;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::FromRef;
use axum::http::{Request, Response, header};
use sessile::SessionConfig;
use tower::ServiceExt as _;

pub const SECRET: &str = "a secret of at least 32 bytes, for tests";

#[derive(Clone, FromRef)]
pub struct App {
    pub sessions: SessionConfig,
}

/// Sends a GET with these headers.
pub async fn get(app: &Router, path: &str, headers: &[(&str, &str)]) -> Response<Body> {
    let mut request = Request::get(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    app.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap()
}

pub async fn body(response: Response<Body>) -> String {
    String::from_utf8(to_bytes(response.into_body(), 1 << 20).await.unwrap().to_vec()).unwrap()
}

/// Every line of a header.
pub fn lines(response: &Response<Body>, name: header::HeaderName) -> Vec<String> {
    response.headers().get_all(name).iter().map(|line| line.to_str().unwrap().to_owned()).collect()
}

pub fn set_cookies(response: &Response<Body>) -> Vec<String> {
    lines(response, header::SET_COOKIE)
}

/// The only `Set-Cookie` line.
pub fn set_cookie(response: &Response<Body>) -> String {
    let lines = set_cookies(response);
    assert_eq!(lines.len(), 1, "{lines:?}");
    lines.into_iter().next().unwrap()
}

/// A line's `name=value`, to be sent back.
pub fn pair(line: &str) -> String {
    line.split(';').next().unwrap().to_owned()
}

/// A line's attributes, in order.
pub fn attributes(line: &str) -> Vec<String> {
    line.split("; ").skip(1).map(str::to_owned).collect()
}

/// Everything this thread logs, at every level, while the guard lives.
pub struct Logs {
    text: Arc<Mutex<Vec<u8>>>,
    _guard: tracing::subscriber::DefaultGuard,
}

#[derive(Clone)]
struct Writer(Arc<Mutex<Vec<u8>>>);

impl Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Logs {
    pub fn capture() -> Self {
        let text = Arc::new(Mutex::new(Vec::new()));
        let writer = Writer(Arc::clone(&text));
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .finish();
        Self { text, _guard: tracing::subscriber::set_default(subscriber) }
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.text.lock().unwrap().clone()).unwrap()
    }

    pub fn count(&self, needle: &str) -> usize {
        self.text().matches(needle).count()
    }
}
