//! What the guard does to a response's headers.

mod common;

use axum::Router;
use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, VARY};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Response};
use axum::response::{IntoResponse, IntoResponseParts};
use axum::routing::get;
use common::{App, SECRET, attributes, get as send, lines, pair, set_cookie, set_cookies};
use sessile::testing::{Op, Probe};
use sessile::{MemoryStore, SameSite, Session, SessionConfig, SessionConfigBuilder, SessionError};

fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    headers
}

/// A guard with a cookie, on a response that has these headers already.
async fn answer(existing: &[(&'static str, &'static str)]) -> Response<Body> {
    let config = SessionConfig::builder(SECRET).build().unwrap();
    let session = config.session_from_headers(&HeaderMap::new()).await.unwrap();
    let guard = session.commit().await.unwrap();
    // Not as a tuple's part: there a map of headers replaces lines of one name.
    let mut response = Response::new(Body::empty());
    *response.headers_mut() = headers(existing);
    (guard, response).into_response()
}

#[tokio::test]
async fn one_cookie_of_the_name_and_every_other_stays() {
    let response = answer(&[
        ("set-cookie", "a=1; Path=/"),
        ("set-cookie", "connect.sid=old; Path=/"),
        ("set-cookie", "connect.sid.other=2"),
        ("set-cookie", "connect.sid=older"),
    ])
    .await;
    let cookies = set_cookies(&response);
    assert_eq!(cookies.len(), 3, "{cookies:?}");
    assert_eq!(cookies[..2], ["a=1; Path=/", "connect.sid.other=2"]);
    assert!(cookies[2].starts_with("connect.sid=s%3A"));
}

#[tokio::test]
async fn vary_gains_cookie_once() {
    for (before, after) in [
        (vec![], "Cookie"),
        (vec![("vary", "Accept-Encoding")], "Accept-Encoding, Cookie"),
        (vec![("vary", "Accept"), ("vary", "Origin")], "Accept, Origin, Cookie"),
        (vec![("vary", "accept, cookie")], "accept, cookie"),
        (vec![("vary", "COOKIE")], "COOKIE"),
        (vec![("vary", "*")], "*"),
        (vec![("vary", "X-Cookie")], "X-Cookie, Cookie"),
    ] {
        assert_eq!(lines(&answer(&before).await, VARY), [after]);
    }
}

#[tokio::test]
async fn no_shared_cache_keeps_a_response_with_a_cookie() {
    for (before, after) in [
        (vec![], "private, no-cache"),
        (vec![("cache-control", "")], "private, no-cache"),
        (vec![("cache-control", "public")], "private, no-cache"),
        (vec![("cache-control", "public, max-age=60")], "private, max-age=60"),
        (
            vec![("cache-control", "Public,S-MaxAge=5,max-age=60, immutable")],
            "private, max-age=60, immutable",
        ),
        (vec![("cache-control", "s-maxage=5")], "private, no-cache"),
        (vec![("cache-control", "private, max-age=5")], "private, max-age=5"),
        (vec![("cache-control", "PRIVATE")], "PRIVATE"),
        (vec![("cache-control", "no-store")], "private, no-store"),
        (vec![("cache-control", "private=\"x-a, public\"")], "private, private=\"x-a, public\""),
        (vec![("cache-control", "public"), ("cache-control", "max-age=1")], "private, max-age=1"),
    ] {
        assert_eq!(lines(&answer(&before).await, CACHE_CONTROL), [after], "{before:?}");
    }
}

async fn act(session: Session, act: &str) -> Result<impl IntoResponse + use<>, SessionError> {
    match act {
        "write" => drop(session.update("n", |n: Option<u64>| Some(n.unwrap_or(0) + 1))?),
        "destroy" => session.destroy(),
        _ => {}
    }
    Ok(([(CACHE_CONTROL, "public, max-age=60")], session.commit().await?, "done"))
}

fn app(options: SessionConfigBuilder) -> Router {
    let sessions = options.build().unwrap();
    Router::new()
        .route("/write", get(async |session: Session| act(session, "write").await))
        .route("/read", get(async |session: Session| act(session, "read").await))
        .route("/destroy", get(async |session: Session| act(session, "destroy").await))
        .with_state(App { sessions })
}

#[tokio::test]
async fn without_a_cookie_only_vary_changes() {
    let app = app(SessionConfig::builder(SECRET).save_uninitialized(false));
    let response = send(&app, "/read", &[]).await;
    assert_eq!(lines(&response, CACHE_CONTROL), ["public, max-age=60"]);
    assert_eq!(lines(&response, VARY), ["Cookie"]);
    assert!(set_cookies(&response).is_empty());
}

#[tokio::test]
async fn a_removal_repeats_what_identifies_the_cookie() {
    let base = || SessionConfig::builder(SECRET);
    for options in [
        base(),
        base().path("/app").domain("example.com"),
        base().secure(true).partitioned(true).same_site(SameSite::None).http_only(false),
        base().browser_session().no_same_site().name("sid"),
        SessionConfig::hardened(SECRET),
    ] {
        let app = app(options);
        let set = set_cookie(&send(&app, "/write", &[]).await);
        let response = send(&app, "/destroy", &[("cookie", &pair(&set))]).await;
        assert_eq!(lines(&response, CACHE_CONTROL), ["no-store"]);
        let removal = set_cookie(&response);
        let (name, value) = removal.split(';').next().unwrap().split_once('=').unwrap();
        assert_eq!((name, value), (set.split('=').next().unwrap(), ""));
        let mut expected = attributes(&set);
        expected.retain(|attribute| !attribute.starts_with("Max-Age") && !attribute.starts_with("Expires"));
        expected.push("Max-Age=0".into());
        expected.push("Expires=Thu, 01 Jan 1970 00:00:00 GMT".into());
        assert_eq!(attributes(&removal), expected);
    }
}

#[tokio::test]
async fn a_failed_commit_sets_no_cookie() {
    let store = Probe::new(MemoryStore::new());
    let app = app(SessionConfig::builder(SECRET).store(store.clone()));
    let user = pair(&set_cookie(&send(&app, "/write", &[]).await));
    for (path, op) in [("/write", Op::Replace), ("/destroy", Op::Destroy)] {
        store.fail(op, 0);
        let response = send(&app, path, &[("cookie", &user)]).await;
        assert_eq!((response.status().as_u16(), set_cookies(&response).len()), (503, 0), "{path}");
    }
    store.fail(Op::Create, 0);
    let response = send(&app, "/write", &[]).await;
    assert_eq!((response.status().as_u16(), set_cookies(&response).len()), (503, 0));
}

#[test]
fn the_guard_is_a_part_and_a_response() {
    fn is<T: IntoResponseParts + IntoResponse + Clone + Send + 'static>() {}
    is::<sessile::SessionGuard>();
}
