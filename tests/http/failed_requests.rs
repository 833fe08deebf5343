//! Requests that fail under the layer: nothing of them is stored, and what they ended stays ended.

use std::future::pending;

use crate::common::stores::RecordingStore;
use crate::common::{App, TestClient, builder};
use axum::Router;
use axum::extract::Request;
use axum::http::{StatusCode, Uri};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use futures_util::poll;
use sessile::{Session, SessionConfig, SessionError, SessionLayer};

/// Each path does to the session what it is called, and then fails in the way that the query names.
async fn act(uri: Uri, session: Session) -> Result<Response, SessionError> {
    match uri.path() {
        "/write" => session.insert("n", 2)?,
        "/touch" => session.touch(),
        "/cycle" => {
            session.cycle_id();
            session.insert("user", "bob")?;
        }
        "/destroy" => {
            session.insert("n", 2)?;
            session.destroy();
        }
        "/regenerate" => {
            session.insert("n", 2)?;
            session.regenerate();
            session.insert("user", "bob")?;
            session.flash("info", "Welcome, Bob")?;
        }
        "/cycle-and-regenerate" => {
            session.cycle_id();
            session.regenerate();
            session.insert("user", "bob")?;
        }
        "/destroy-and-commit" => {
            session.destroy();
            drop(session.commit().await?.into_response());
        }
        other => panic!("{other}"),
    }
    match uri.query() {
        Some("500") => Ok(StatusCode::INTERNAL_SERVER_ERROR.into_response()),
        Some("503") => Ok(StatusCode::SERVICE_UNAVAILABLE.into_response()),
        Some("hang") => pending().await,
        _ => Ok("done".into_response()),
    }
}

/// A timeout that strikes where the handler first waits: the handler is dropped there, and the answer is a
/// 408.
async fn timeout(request: Request, next: Next) -> Response {
    let mut handler = Box::pin(next.run(request));
    match poll!(&mut handler) {
        std::task::Poll::Ready(response) => response,
        std::task::Poll::Pending => StatusCode::REQUEST_TIMEOUT.into_response(),
    }
}

fn app(config: &SessionConfig, layer: SessionLayer) -> Router {
    Router::new()
        .fallback(any(act))
        .layer(from_fn(timeout))
        .layer(layer)
        .with_state(App { sessions: config.clone() })
}

/// A client with a session of `{"user": "ada"}`.
async fn ada(config: &SessionConfig) -> TestClient {
    let mut client = TestClient::new();
    let session = client.open(config).await;
    session.insert("user", "ada").unwrap();
    client.commit(&session).await;
    client
}

const FAILURES: [(&str, u16); 3] = [("500", 500), ("503", 503), ("hang", 408)];

#[tokio::test]
async fn a_failed_request_stores_nothing() {
    let store = RecordingStore::default();
    let config = builder().store(store.clone()).build().unwrap();
    let app = app(&config, SessionLayer::new(config.clone()));
    for path in ["/write", "/touch", "/cycle"] {
        for (failure, status) in FAILURES {
            let mut client = ada(&config).await;
            store.calls();
            let answer = client.get(&app, &format!("{path}?{failure}")).await;
            assert_eq!(answer.status, status, "{path} {failure}");
            assert!(answer.cookie().is_none(), "{path} {failure}");
            assert_eq!(store.calls(), ["get"], "{path} {failure}");
            let session = client.open(&config).await;
            assert_eq!(session.get::<String>("user").unwrap().as_deref(), Some("ada"), "{path} {failure}");
            assert_eq!(session.keys(), ["user"], "{path} {failure}");
        }
    }
}

/// The `?` behind a `destroy` must not keep a user logged in, and a failed login must not log its user in.
#[tokio::test]
async fn what_a_failed_request_ended_stays_ended() {
    let store = RecordingStore::default();
    let config = builder().store(store.clone()).build().unwrap();
    let app = app(&config, SessionLayer::new(config.clone()));
    for path in ["/destroy", "/regenerate", "/cycle-and-regenerate", "/destroy-and-commit"] {
        for (failure, status) in FAILURES {
            let mut client = ada(&config).await;
            let id = config.verify(client.value("connect.sid").unwrap()).unwrap();
            store.calls();
            let answer = client.get(&app, &format!("{path}?{failure}")).await;
            assert_eq!(answer.status, status, "{path} {failure}");
            let cookie = answer.cookie().unwrap_or_else(|| panic!("{path} {failure}: the cookie stays"));
            assert_eq!(cookie.attribute("Max-Age"), Some("0"), "{path} {failure}");
            assert_eq!(answer.lines("cache-control"), ["no-store"], "{path} {failure}");
            assert_eq!(store.calls(), ["get", "destroy"], "{path} {failure}");
            assert!(store.text(&id).await.is_none(), "{path} {failure}: the user is still logged in");
            assert_eq!(store.len(), 0, "{path} {failure}: something of the failed request is stored");
        }
    }
}

/// A session that the store does not hold is not ended, so a failed login expires no cookie that may be
/// newer.
#[tokio::test]
async fn a_failed_regenerate_without_a_session_leaves_the_cookie() {
    let store = RecordingStore::default();
    let config = builder().store(store.clone()).build().unwrap();
    let app = app(&config, SessionLayer::new(config.clone()));
    let unknown = TestClient::holding(&config, &crate::common::id("no such session"));
    for mut client in [unknown, TestClient::new()] {
        for (failure, _) in FAILURES {
            assert!(
                client.get(&app, &format!("/regenerate?{failure}")).await.cookie().is_none(),
                "{failure}"
            );
        }
    }
    assert_eq!(store.len(), 0);
}

/// An ending that the store refuses is not reported as done.
#[tokio::test]
async fn an_ending_that_fails_is_a_503() {
    let store = RecordingStore::default();
    let config = builder().store(store.clone()).build().unwrap();
    let app = app(&config, SessionLayer::new(config.clone()));
    let mut client = ada(&config).await;
    store.fail(&["destroy"]);
    let answer = client.get(&app, "/destroy?500").await;
    assert_eq!((answer.status, answer.cookie().is_some()), (StatusCode::SERVICE_UNAVAILABLE, false));
}

#[tokio::test]
async fn everything_is_saved_when_asked_to() {
    for (failure, status) in FAILURES {
        let config = builder().build().unwrap();
        let app = app(&config, SessionLayer::new(config.clone()).save_on_server_error(true));
        let mut client = ada(&config).await;
        let answer = client.get(&app, &format!("/regenerate?{failure}")).await;
        assert_eq!(answer.status, status);
        let session = client.open(&config).await;
        assert_eq!(session.get::<String>("user").unwrap().as_deref(), Some("bob"), "{failure}");
    }
}

/// A handler that is cut off while its own commit is under way: the layer carries the ending out.
#[tokio::test]
async fn an_ending_whose_commit_was_cut_off_is_carried_out() {
    let store = RecordingStore::default();
    let config = builder().store(store.clone()).build().unwrap();
    let mut client = ada(&config).await;
    let gate = store.clone();
    let logout = async move |session: Session| {
        session.destroy();
        gate.hold();
        session.commit().await
    };
    let app = Router::new()
        .route("/", any(logout))
        .layer(from_fn(timeout))
        .layer(SessionLayer::new(config.clone()))
        .with_state(App { sessions: config });
    let mut request = Box::pin(client.get(&app, "/"));
    assert!(poll!(&mut request).is_pending(), "the layer waits for the store");
    store.release();
    let answer = request.await;
    assert_eq!(answer.status, StatusCode::REQUEST_TIMEOUT);
    assert_eq!(answer.cookie().unwrap().attribute("Max-Age"), Some("0"));
    assert_eq!(store.len(), 0);
}
