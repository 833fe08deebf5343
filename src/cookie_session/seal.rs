//! A record and its end, sealed as the value of a cookie by axum-extra's private jar.

use std::time::SystemTime;

use axum::http::header::{COOKIE, SET_COOKIE};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::IntoResponse as _;
use axum_extra::extract::cookie::{Cookie, Key, PrivateCookieJar};

use crate::error::StoreError;
use crate::record::Record;
use crate::record::metadata::{from_millis, to_millis};

/// What a cookie's value has in it.
pub(super) struct Opened {
    pub(super) record: Result<Record, StoreError>,
    /// When the session ends.
    pub(super) expires: SystemTime,
}

/// The value of the cookie of this name. The name is authenticated as well, so the value is worth nothing
/// under another one.
pub(super) fn seal(key: &Key, name: &str, record: &Record, expires: SystemTime) -> Option<Vec<u8>> {
    let text = format!("{}.{}", to_millis(expires), record.as_json());
    let jar = PrivateCookieJar::<Key>::new(key.clone()).add(Cookie::new(name.to_owned(), text));
    let response = jar.into_response();
    let line = response.headers().get(SET_COOKIE)?.as_bytes();
    let value = line.strip_prefix(name.as_bytes())?.strip_prefix(b"=")?;
    Some(value.split(|&byte| byte == b';').next()?.to_vec())
}

/// What is in a value, if one of the keys has sealed it for this name, and the place of that key.
pub(super) fn open(keys: &[Key], name: &str, value: &[u8]) -> Option<(usize, Opened)> {
    let line = HeaderValue::from_bytes(&[name.as_bytes(), b"=", value].concat()).ok()?;
    let headers = HeaderMap::from_iter([(COOKIE, line)]);
    keys.iter().enumerate().find_map(|(place, key)| {
        let cookie = PrivateCookieJar::<Key>::from_headers(&headers, key.clone()).get(name)?;
        let (millis, json) = cookie.value().split_once('.')?;
        let expires = from_millis(millis.parse().ok()?);
        Some((place, Opened { record: Record::from_json(json), expires }))
    })
}
