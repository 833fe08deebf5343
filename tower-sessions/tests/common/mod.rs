//! A browser that keeps cookies of every name.
#![allow(dead_code, reason = "every test target uses a part of this module")]

pub(crate) mod moving;

use std::collections::BTreeMap;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::header::{COOKIE, SET_COOKIE};
use axum::http::{HeaderMap, Request, StatusCode};
use tower::ServiceExt as _;
pub(crate) use tower_sessions_014 as tower_sessions;

pub(crate) const SECRET: &str = "a secret of at least 32 bytes, for tests";

/// A browser, which obeys `Set-Cookie`.
#[derive(Debug, Clone, Default)]
pub(crate) struct Browser(pub(crate) BTreeMap<String, String>);

/// What a browser got.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Page {
    /// The lines of `Set-Cookie`.
    pub(crate) fn cookies(&self) -> Vec<&str> {
        self.headers.get_all(SET_COOKIE).into_iter().map(|line| line.to_str().unwrap()).collect()
    }
}

impl Browser {
    /// Fetches a page and keeps the cookies that it sets.
    pub(crate) async fn get(&mut self, app: &Router, path: &str) -> Page {
        let page = self.clone().send(app, path).await;
        for line in page.cookies() {
            let (pair, attributes) = line.split_once("; ").unwrap_or((line, ""));
            let (name, value) = pair.split_once('=').unwrap();
            let is_over = attributes.split("; ").any(|attribute| attribute == "Max-Age=0");
            if is_over {
                self.0.remove(name);
            } else {
                self.0.insert(name.to_owned(), value.to_owned());
            }
        }
        page
    }

    /// The same, and forgets what the page sets: for requests that run at the same time.
    pub(crate) async fn send(self, app: &Router, path: &str) -> Page {
        let cookies: Vec<_> = self.0.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let mut request = Request::get(path);
        if !cookies.is_empty() {
            request = request.header(COOKIE, cookies.join("; "));
        }
        let response = app.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        let text = String::from_utf8(to_bytes(body, usize::MAX).await.unwrap().to_vec()).unwrap();
        Page { status: parts.status, headers: parts.headers, text }
    }
}
