//! `secure`, `trust_proxy`, and how a request reached the process.

use crate::common::logs::Logs;
use crate::common::stores::RecordingStore;
use crate::common::{TestClient, TestResponse, builder, router};
use axum::Router;
use axum::body::Body;
use axum::http::Request;
use sessile::{Secure, Session, SessionConfigBuilder, SessionError, SessionGuard};
use tower::ServiceExt as _;

async fn visit(session: Session) -> Result<SessionGuard, SessionError> {
    session.insert("n", 1)?;
    session.commit().await
}

async fn request(app: &Router, uri: &str, proto: Option<&str>) -> TestResponse {
    let mut request = Request::get(uri);
    if let Some(proto) = proto {
        request = request.header("x-forwarded-proto", proto);
    }
    let request = request.body(Body::empty()).unwrap();
    TestResponse::of(app.clone().oneshot(request).await.unwrap()).await
}

/// Whether the cookie of such a request has `Secure`; `None`: there is no cookie.
async fn secure(builder: SessionConfigBuilder, uri: &str, proto: Option<&str>) -> Option<bool> {
    let app = router(&builder.build().unwrap(), visit);
    request(&app, uri, proto).await.cookie().map(|cookie| cookie.has("Secure"))
}

const HTTP: &str = "http://example.com/";
const HTTPS: &str = "https://example.com/";
const HTTPS_SAID: [&str; 6] = ["https", "https,http", "https, http", "HTTPS", " https ", "Https , x"];
const HTTP_SAID: [&str; 6] = ["http", "http,https", "HTTP", "", ",https", "httpsx"];

#[tokio::test]
async fn true_and_false_do_not_look_at_the_request() {
    for uri in [HTTP, HTTPS, "/"] {
        for proto in [None, Some("https"), Some("http")] {
            assert_eq!(secure(builder(), uri, proto).await, Some(false));
            assert_eq!(secure(builder().secure(false), uri, proto).await, Some(false));
            assert_eq!(secure(builder().secure(true), uri, proto).await, Some(true));
            assert_eq!(secure(builder().trust_proxy(true), uri, proto).await, Some(false));
        }
    }
}

#[tokio::test]
async fn auto_follows_the_request() {
    let auto = || builder().secure(Secure::Auto);
    assert_eq!(secure(auto(), HTTPS, None).await, Some(true));
    assert_eq!(secure(auto(), HTTP, None).await, Some(false));
    assert_eq!(secure(auto(), "/", None).await, Some(false));
    // An untrusted header has no say.
    assert_eq!(secure(auto(), "/", Some("https")).await, Some(false));
    assert_eq!(secure(auto(), HTTPS, Some("http")).await, Some(true));
}

#[tokio::test]
async fn auto_believes_a_trusted_proxy() {
    let auto = || builder().secure(Secure::Auto).trust_proxy(true);
    for said in HTTPS_SAID {
        assert_eq!(secure(auto(), "/", Some(said)).await, Some(true), "{said:?}");
        assert_eq!(secure(auto(), HTTP, Some(said)).await, Some(true), "{said:?}");
    }
    for said in HTTP_SAID {
        assert_eq!(secure(auto(), "/", Some(said)).await, Some(false), "{said:?}");
        assert_eq!(secure(auto(), HTTPS, Some(said)).await, Some(false), "{said:?}");
    }
    // Where the proxy says nothing, the request's own scheme counts.
    assert_eq!(secure(auto(), HTTPS, None).await, Some(true));
    assert_eq!(secure(auto(), "/", None).await, Some(false));
}

#[tokio::test]
async fn the_first_of_several_header_lines_counts() {
    let config = builder().secure(Secure::Auto).trust_proxy(true).build().unwrap();
    let app = router(&config, visit);
    for (lines, expected) in [(["https", "http"], true), (["http", "https"], false)] {
        let mut client = TestClient::new();
        for line in lines {
            client = client.header("x-forwarded-proto", line);
        }
        assert_eq!(client.get(&app, "/").await.cookie().unwrap().has("Secure"), expected);
    }
}

#[tokio::test]
async fn auto_is_written_into_the_record_resolved() {
    for (uri, expected) in [(HTTPS, "\"secure\":true"), (HTTP, "\"secure\":false")] {
        let store = RecordingStore::default();
        let config = builder().secure(Secure::Auto).store(store.clone()).build().unwrap();
        request(&router(&config, visit), uri, None).await;
        let text = store.text(&store.ids()[0]).await.unwrap();
        assert!(text.contains(expected), "{text}");
    }
}

/// Express stores a record for each such request, and no browser ever gets its cookie.
#[tokio::test]
async fn a_secure_cookie_over_http_leaves_no_orphan_and_warns_once() {
    let logs = Logs::capture();
    let store = RecordingStore::default();
    let config = builder().secure(true).trust_proxy(true).store(store.clone()).build().unwrap();
    let app = router(&config, visit);
    for said in HTTP_SAID {
        let answer = request(&app, "/", Some(said)).await;
        assert_eq!(answer.status, 200);
        assert!(answer.cookie().is_none(), "{said:?}");
    }
    // Nor for a new id, whichever way it comes about.
    let moved = router(&config, async |session: Session| {
        session.regenerate();
        session.commit().await
    });
    assert!(request(&moved, "/", Some("http")).await.cookie().is_none());
    assert_eq!((store.calls(), store.len()), (vec![], 0));
    assert_eq!(logs.warnings().len(), 1, "{}", logs.text());
    assert!(logs.warnings()[0].contains("Secure"), "{}", logs.text());
    for said in HTTPS_SAID {
        assert!(request(&app, "/", Some(said)).await.cookie().is_some(), "{said:?}");
    }
    assert_eq!(logs.warnings().len(), 1);
}

#[tokio::test]
async fn a_session_that_got_its_cookie_over_https_is_served_over_http() {
    let store = RecordingStore::default();
    let config = builder().secure(true).trust_proxy(true).store(store.clone()).build().unwrap();
    let mut client = TestClient::new().header("x-forwarded-proto", "https");
    client.get(&router(&config, visit), "/").await;
    let mut client = TestClient::holding(&config, &store.ids()[0]).header("x-forwarded-proto", "http");
    let session = client.open(&config).await;
    session.insert("n", 2).unwrap();
    client.commit(&session).await;
    assert_eq!(client.open(&config).await.get::<u8>("n").unwrap(), Some(2));
}
