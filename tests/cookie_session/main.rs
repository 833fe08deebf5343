//! Sessions that the browser keeps, and keys that an app's cookie jars and its sessions share.
#![cfg(feature = "cookie-session")]

#[path = "../common/logs.rs"]
#[allow(dead_code, reason = "some tests count warnings, others do not")]
mod logs;

mod keys;
mod sealed;

use axum::http::header::{COOKIE, SET_COOKIE};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::IntoResponse;
use axum_extra::extract::cookie::Key;
use sessile::{CookieConfig, CookieSession, SessionGuard};

fn key(byte: u8) -> Key {
    Key::from(&std::array::from_fn::<u8, 64, _>(|at| at as u8 ^ byte))
}

/// A browser that keeps one cookie.
#[derive(Clone, Default)]
struct Browser(Option<String>);

impl Browser {
    fn headers(&self) -> HeaderMap {
        let cookie = self.0.iter().map(|pair| (COOKIE, HeaderValue::try_from(pair).unwrap()));
        cookie.collect()
    }

    fn open(&self, config: &CookieConfig) -> CookieSession {
        config.session_from_headers(&self.headers())
    }

    /// Keeps the cookie of a response, or forgets the one that it removes. Returns the line.
    fn receive(&mut self, guard: SessionGuard) -> Option<String> {
        let response = guard.into_response();
        let line = response.headers().get(SET_COOKIE)?.to_str().unwrap().to_owned();
        let pair = line.split(';').next().unwrap().to_owned();
        self.0 = (!pair.ends_with('=')).then_some(pair);
        Some(line)
    }

    async fn commit(&mut self, session: &CookieSession) -> Option<String> {
        self.receive(session.commit().await.unwrap())
    }
}
