//! One key for an app's jars and its sessions.

use axum::http::header::{COOKIE, SET_COOKIE};
use axum::http::{HeaderMap, HeaderValue};
use axum_extra::extract::cookie::{Cookie, Key, PrivateCookieJar, SignedCookieJar};
use sessile::{CookieConfig, Origin, Secrets, SessionConfig, SessionId};

use crate::{Browser, key};

fn cookie(name: &str, value: &str) -> HeaderMap {
    HeaderMap::from_iter([(COOKIE, HeaderValue::try_from(format!("{name}={value}")).unwrap())])
}

/// The value of the cookie that a jar sets.
fn value(jar: impl axum::response::IntoResponse) -> String {
    let response = jar.into_response();
    let line = response.headers()[SET_COOKIE].to_str().unwrap();
    line.split_once('=').unwrap().1.split(';').next().unwrap().to_owned()
}

/// Neither the jars nor the sessions accept what the other has made, under any name.
#[tokio::test]
async fn one_key_serves_jars_and_sessions_and_neither_forges_the_others() {
    let key = key(1);
    let sessions = SessionConfig::new(&key).unwrap();
    let created = sessions.create_session(async |session| session.insert("n", 1)).await.unwrap();
    let pair = created.cookie().to_str().unwrap().to_owned();
    let signed = pair.split_once('=').unwrap().1;
    let id = sessions.verify(signed).unwrap();
    for name in ["connect.sid", "theme"] {
        let headers = cookie(name, signed);
        assert!(SignedCookieJar::<Key>::from_headers(&headers, key.clone()).get(name).is_none());
        assert!(PrivateCookieJar::<Key>::from_headers(&headers, key.clone()).get(name).is_none());
        for text in [id.as_str().to_owned(), format!("s:{}", id.as_str())] {
            let jar = SignedCookieJar::<Key>::new(key.clone()).add(Cookie::new(name, text.clone()));
            let made = value(jar);
            assert!(sessions.verify(&made).is_none(), "{made}");
            // The jar's signature in the place of the session's.
            let mac = made.split("%3D").next().unwrap();
            assert!(sessions.verify(&format!("s%3A{}.{mac}", id.as_str())).is_none());
            let jar = PrivateCookieJar::<Key>::new(key.clone()).add(Cookie::new(name, text));
            assert!(sessions.verify(&value(jar)).is_none());
        }
    }
    // Nor is the secret one of the key's own parts.
    for part in [key.master(), key.signing(), key.encryption()] {
        assert!(SessionConfig::new(part).unwrap().verify(signed).is_none());
    }
}

#[test]
fn keys_rotate_like_secrets() {
    let id = SessionId::random();
    let old = SessionConfig::new(key(1)).unwrap().sign(&id);
    let both = SessionConfig::new([key(2), key(1)]).unwrap();
    assert_eq!(both.verify(&old), Some(id.clone()));
    assert!(both.sign(&id) != old);
    assert!(SessionConfig::new(key(2)).unwrap().verify(&old).is_none());
    assert!(SessionConfig::hardened(key(1)).build().is_ok(), "the secret is long enough");
    assert!(!format!("{:?}", Secrets::from(key(1))).contains('['));
}

/// A private cookie of the app is no session, also not under the session's name where it comes from another.
#[tokio::test]
async fn a_private_cookie_of_the_app_is_no_session() {
    let config = CookieConfig::new(key(1)).unwrap();
    let mut browser = Browser::default();
    let session = browser.open(&config);
    session.insert("n", 1).unwrap();
    browser.commit(&session).await.unwrap();
    let sealed = browser.0.unwrap();
    let sealed = sealed.split_once('=').unwrap().1;
    let headers = cookie("theme", sealed);
    assert!(PrivateCookieJar::<Key>::from_headers(&headers, key(1)).get("theme").is_none());
    let jar = PrivateCookieJar::<Key>::new(key(1)).add(Cookie::new("theme", "9999999999999.{\"cookie\":{}}"));
    let session = config.session_from_headers(&cookie("session", &value(jar)));
    assert_eq!(session.origin(), Origin::BadSignature);
}
