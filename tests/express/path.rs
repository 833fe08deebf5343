//! `cookie.path` of `/foo/bar` (S37 to S42): which requests a session begins with by itself.

use axum::Router;
use axum::routing::any;
use sessile::{Session, SessionLayer};

use crate::common::stores::RecordingStore;
use crate::common::{App, TestClient, TestResponse};
use crate::site::{Site, hello, look, options};

/// The answer to a first visit, the same whether or not the handler looks at the session; what has no cookie
/// has no record either.
async fn visit(path: &str, uri: &str) -> TestResponse {
    visit_with(path, uri, TestClient::new).await
}

async fn visit_with(path: &str, uri: &str, client: fn() -> TestClient) -> TestResponse {
    let options = || options().path(path);
    let looked = Site::new(options(), look);
    let unasked = Site::new(options(), hello);
    let (answer, other) = (looked.get(&mut client(), uri).await, unasked.get(&mut client(), uri).await);
    assert_eq!((answer.status.as_u16(), other.status.as_u16()), (200, 200));
    assert_eq!(answer.cookie().is_some(), other.cookie().is_some());
    let records = usize::from(answer.cookie().is_some());
    // What depends on no cookie says nothing to caches.
    assert_eq!(other.lines("vary").len(), records);
    assert_eq!((looked.store.len(), unasked.store.len()), (records, records));
    answer
}

/// A request for `/`: no cookie.
#[tokio::test]
async fn s37_outside_the_path_no_session_begins() {
    assert!(visit("/foo/bar", "/").await.cookie().is_none());
}

/// The path in the `Host` header is not the path: no cookie.
#[tokio::test]
async fn s38_the_host_header_is_not_the_path() {
    let client = || TestClient::new().header("host", "http://localhost/foo/bar");
    assert!(visit_with("/foo/bar", "/", client).await.cookie().is_none());
}

/// A request below the path: a cookie.
///
/// Differs: below is what browsers take it for. `/foo/barista` is not below `/foo/bar`; for Express it is.
#[tokio::test]
async fn s39_below_the_path_a_session_begins() {
    let answer = visit("/foo/bar", "/foo/bar/baz?a=b").await;
    assert_eq!(answer.cookie().unwrap().attribute("Path"), Some("/foo/bar"));
    assert!(visit("/foo/bar/", "/foo/bar/baz").await.cookie().is_some());
    assert!(visit("/foo/bar", "/foo/barista").await.cookie().is_none());
    assert!(visit("/foo/bar", "/foo/BAR").await.cookie().is_none());
}

/// A request for a longer path itself: a cookie.
#[tokio::test]
async fn s40_at_the_path_a_session_begins() {
    assert!(visit("/foo/bar/baz", "/foo/bar/baz").await.cookie().is_some());
}

/// The layer inside a router that is mounted at `/foo`.
async fn mounted(uri: &str) -> TestResponse {
    let store = RecordingStore::default();
    let config = options().path("/foo/bar").store(store.clone()).build().unwrap();
    let any_path =
        Router::new().route("/{*path}", any(async |_: Session| "")).layer(SessionLayer::new(config.clone()));
    let app = Router::new().nest("/foo", any_path).with_state(App { sessions: config });
    let answer = TestClient::new().get(&app, uri).await;
    assert_eq!(answer.status, 200);
    assert_eq!(store.len(), answer.cookies().len());
    answer
}

/// Mounted at `/foo`, a request for `/foo/bar`: a cookie.
#[tokio::test]
async fn s41_in_a_nested_router_the_whole_path_counts() {
    assert!(mounted("/foo/bar").await.cookie().is_some());
}

/// Mounted at `/foo`, a request for `/foo/foo/bar`: none.
#[tokio::test]
async fn s42_what_a_nested_router_sees_does_not_count() {
    assert!(mounted("/foo/foo/bar").await.cookie().is_none());
}
