//! Errors: their status, their opaque bodies, the causes they keep.

use std::error::Error as _;
use std::io;

use crate::common::logs::Logs;
use crate::common::stores::{RecordingStore, Texts};
use crate::common::{TestClient, TestResponse, builder, id, router};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use sessile::{
    MemoryStore, Origin, Record, Session, SessionError, SessionGuard, SessionId, SessionLayer,
    SessionRejection, SessionStore, StoreError, Stored,
};

fn refused() -> StoreError {
    StoreError::unavailable(io::Error::new(io::ErrorKind::ConnectionRefused, "nobody listens"))
}

#[tokio::test]
async fn statuses_and_bodies() {
    let key = || "shopping-cart".to_owned();
    let cases = [
        (SessionError::Store(refused()), 503, "Service Unavailable"),
        (SessionError::Store(StoreError::corrupt("bad bytes")), 503, "Service Unavailable"),
        (SessionError::Encode { key: key(), source: "why".into() }, 500, "Internal Server Error"),
        (SessionError::Decode { key: key(), source: "why".into() }, 500, "Internal Server Error"),
        (SessionError::Destroyed, 500, "Internal Server Error"),
        (SessionError::Cookie, 500, "Internal Server Error"),
        (SessionError::TooLarge { bytes: 2, limit: 1 }, 500, "Internal Server Error"),
        (SessionError::Store(StoreError::unsupported("lists")), 501, "Not Implemented"),
        (SessionError::Gone, 409, "Conflict"),
        (SessionError::Conflict, 409, "Conflict"),
    ];
    for (error, status, body) in cases {
        let (shown, said) = (error.to_string(), error.status().as_u16());
        let answer = TestResponse::of(error.into_response()).await;
        assert_eq!((answer.status.as_u16(), &*answer.body), (status, body), "{shown}");
        assert_eq!(said, status, "{shown}");
        assert!(answer.cookie().is_none());
    }
    for (error, status) in [(refused(), 503), (StoreError::unsupported("lists"), 501)] {
        let rejection = SessionRejection::Store(error);
        assert_eq!(rejection.status().as_u16(), status);
        assert_eq!(TestResponse::of(rejection.into_response()).await.status.as_u16(), status);
    }
}

#[test]
fn the_detail_goes_to_the_log() {
    let logs = Logs::capture();
    let _ = SessionError::Store(refused()).into_response();
    let _ = SessionRejection::Store(refused()).into_response();
    let _ = SessionError::Decode { key: "shopping-cart".into(), source: "why".into() }.into_response();
    let text = logs.text();
    assert_eq!(text.matches("ERROR").count(), 3, "{text}");
    assert!(text.contains("nobody listens") && text.contains("shopping-cart"), "{text}");
}

/// An error type of the program's own, which never makes a response of the library's error.
struct Own(StatusCode);

impl From<SessionError> for Own {
    fn from(error: SessionError) -> Self {
        Self(error.status())
    }
}

impl From<SessionRejection> for Own {
    fn from(rejection: SessionRejection) -> Self {
        Self(rejection.status())
    }
}

impl IntoResponse for Own {
    fn into_response(self) -> axum::response::Response {
        self.0.into_response()
    }
}

/// Every error is in the log exactly once: if the program answers with an error of its own, if the library's
/// error is the response, and if the layer commits.
#[tokio::test]
async fn an_error_is_logged_once_whoever_answers() {
    async fn own(session: Result<Session, SessionRejection>) -> Result<SessionGuard, Own> {
        let session = session?;
        session.update("n", |n: Option<u64>| Some(n.unwrap_or(0) + 1))?;
        Ok(session.commit().await?)
    }
    async fn write(session: Session) -> Result<(), SessionError> {
        session.update("n", |n: Option<u64>| Some(n.unwrap_or(0) + 1)).map(drop)
    }
    async fn wrong_type(session: Session) -> Result<(), SessionError> {
        session.get::<String>("n").map(drop)
    }
    async fn own_wrong_type(session: Session) -> Result<(), Own> {
        Ok(session.get::<String>("n").map(drop)?)
    }
    let store = RecordingStore::default();
    let config = builder().store(store.clone()).build().unwrap();
    let layer = || SessionLayer::new(config.clone());
    let mut client = TestClient::new();
    assert_eq!(client.get(&router(&config, change), "/").await.status, 200);
    let cases = [
        ("a load, own error", router(&config, own), "get", 503),
        ("a load", router(&config, change), "get", 503),
        ("a load, layer", router(&config, write).layer(layer()), "get", 503),
        ("a commit, own error", router(&config, own), "replace", 503),
        ("a commit", router(&config, change), "replace", 503),
        ("a commit, layer", router(&config, write).layer(layer()), "replace", 503),
        ("a value, own error", router(&config, own_wrong_type), "", 500),
        ("a value", router(&config, wrong_type), "", 500),
    ];
    for (what, app, fails, status) in cases {
        store.fail(&[fails]);
        let logs = Logs::capture();
        assert_eq!(client.get(&app, "/").await.status.as_u16(), status, "{what}");
        let text = logs.text();
        assert_eq!(text.matches("ERROR").count(), 1, "{what}: {text}");
        assert!(text.contains("a session call failed"), "{what}: {text}");
    }
    // What a client can cause is no ERROR.
    store.fail(&[]);
    let (logs, ended) = (Logs::capture(), store.clone());
    let app = router(&config, async move |session: Session| {
        for id in ended.ids() {
            ended.destroy(&id).await.unwrap();
        }
        own(Ok(session)).await
    });
    assert_eq!(client.get(&app, "/").await.status, 409);
    assert_eq!(logs.text().matches("INFO").count(), 1, "{}", logs.text());
    assert!(!logs.text().contains("ERROR"), "{}", logs.text());
    // An error of a store that the program has called itself is logged by the response.
    let logs = Logs::capture();
    store.fail(&["get"]);
    let error = SessionError::from(store.get(&id("apple")).await.unwrap_err());
    assert_eq!(logs.text(), "");
    drop(error.into_response());
    assert_eq!(logs.text().matches("ERROR").count(), 1, "{}", logs.text());
}

/// A health check's error is in the log, whatever the endpoint answers.
#[tokio::test]
async fn a_failed_check_is_logged_once() {
    let store = RecordingStore::default();
    let config = builder().store(store.clone()).build().unwrap();
    store.fail(&["get"]);
    let logs = Logs::capture();
    let error = config.check().await.unwrap_err();
    assert_eq!(logs.text().matches("ERROR").count(), 1, "{}", logs.text());
    drop(SessionError::from(error).into_response());
    assert_eq!(logs.text().matches("ERROR").count(), 1, "{}", logs.text());
}

/// At the level DEBUG each request says where its session comes from.
#[tokio::test]
async fn every_load_says_the_origin() {
    let store = Texts::with("broken", "{\"n\":1");
    let config = builder().store(store).build().unwrap();
    let forged = crate::common::cookie_lines(["connect.sid=forged".to_owned()]);
    let origin = async |headers: &axum::http::HeaderMap| {
        let logs = Logs::capture();
        let session = config.session_from_headers(headers).await.unwrap();
        let text = logs.text();
        let line = text.lines().find(|line| line.contains("a request's session")).unwrap();
        assert!(line.trim_start().starts_with("DEBUG"), "{line}");
        assert!(line.contains(&format!("origin={:?}", session.origin())), "{line}");
        session.origin()
    };
    assert_eq!(origin(&TestClient::new().headers()).await, Origin::NoCookie);
    assert_eq!(origin(&forged).await, Origin::BadSignature);
    assert_eq!(origin(&TestClient::holding(&config, &id("gone")).headers()).await, Origin::Unknown);
    assert_eq!(origin(&TestClient::holding(&config, &id("broken")).headers()).await, Origin::Undecodable);
    let session = TestClient::new().open(&config).await;
    drop(session.commit().await.unwrap());
    let headers = TestClient::holding(&config, &session.id()).headers();
    assert_eq!(origin(&headers).await, Origin::Loaded);
}

#[test]
fn causes_are_kept() {
    let error = SessionError::from(SessionRejection::from(refused()));
    assert_eq!(error.to_string(), "the session store is unavailable");
    let cause = error.source().unwrap().downcast_ref::<io::Error>().unwrap();
    assert_eq!(cause.kind(), io::ErrorKind::ConnectionRefused);
    assert!(refused().is_unavailable() && !refused().is_corrupt());
    let corrupt = Record::from_json("{\"n\":1").unwrap_err();
    assert!(corrupt.is_corrupt() && !corrupt.is_unavailable());
    assert!(corrupt.source().unwrap().to_string().contains("line 1 column"), "{corrupt:?}");
    let unsupported = StoreError::unsupported("lists of a user's sessions");
    assert!(unsupported.is_unsupported() && !unsupported.is_unavailable() && !unsupported.is_corrupt());
    assert_eq!(unsupported.to_string(), "the session store does not support this");
    assert_eq!(unsupported.source().unwrap().to_string(), "lists of a user's sessions");
}

#[tokio::test]
async fn a_wrong_type_says_which_key_and_where() {
    let session = TestClient::new().open(&builder().build().unwrap()).await;
    session.insert("cart", ["a", "b"]).unwrap();
    let error = session.get::<Vec<u64>>("cart").unwrap_err();
    assert!(error.to_string().contains("`cart`"), "{error}");
    let cause = error.source().unwrap().to_string();
    assert!(cause.contains("Vec<u64>") && cause.contains("column"), "{cause}");
}

#[tokio::test]
async fn an_unreachable_store_rejects_the_request() {
    let store = RecordingStore::default();
    let config = builder().store(store.clone()).build().unwrap();
    store.fail(&["get"]);
    let mut client = TestClient::holding(&config, &id("apple"));
    let app = router(&config, async |session: Session| session.insert("n", 1));
    let answer = client.get(&app, "/").await;
    assert_eq!((answer.status.as_u16(), &*answer.body), (503, "Service Unavailable"));
    assert!(answer.cookie().is_none());
    assert_eq!((store.calls(), store.len()), (vec!["get"], 0));
    let optional = router(&config, async |session: Option<Session>| session.is_some().to_string());
    assert_eq!(client.get(&optional, "/").await.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(config.session_from_headers(&client.headers()).await.is_err());
    // A visitor without a cookie asks nothing of the store.
    assert_eq!(TestClient::new().get(&optional, "/").await.body, "false");
}

async fn change(session: Session) -> Result<SessionGuard, SessionError> {
    session.update("n", |n: Option<u64>| Some(n.unwrap_or(0) + 1))?;
    session.commit().await
}

/// A logout that comes between a request's load and its commit.
#[tokio::test]
async fn a_session_that_ended_meanwhile_is_a_conflict() {
    let store = MemoryStore::new();
    let config = builder().store(store.clone()).build().unwrap();
    let mut client = TestClient::new();
    client.get(&router(&config, change), "/").await;
    let logged_out = store.clone();
    let late = router(&config, async move |session: Session| {
        logged_out.clear();
        change(session).await
    });
    let answer = client.get(&late, "/").await;
    assert_eq!((answer.status.as_u16(), &*answer.body), (409, "Conflict"));
    assert!(answer.cookie().is_none() && store.is_empty());
    // The same where the layer commits.
    client.get(&router(&config, change), "/").await;
    let logged_out = store.clone();
    let late = router(&config, async move |session: Session| {
        logged_out.clear();
        session.insert("n", 100).unwrap();
    });
    let answer = client.get(&late.layer(SessionLayer::new(config)), "/").await;
    assert_eq!((answer.status.as_u16(), answer.cookie().is_some()), (409, false));
}

#[tokio::test]
async fn ids_that_are_all_taken_are_a_conflict() {
    let config = builder().genid(|| id("apple")).build().unwrap();
    assert_eq!(TestClient::new().get(&router(&config, change), "/").await.status, StatusCode::OK);
    let answer = TestClient::new().get(&router(&config, change), "/").await;
    assert_eq!((answer.status.as_u16(), answer.cookie().is_some()), (409, false));
}

/// A store author's own error comes out of the commit as it went in.
#[tokio::test]
async fn the_error_of_a_custom_store_is_the_source() {
    #[derive(Debug, thiserror::Error)]
    #[error("disk {0} is full")]
    struct Full(u8);
    struct Disk;
    impl SessionStore for Disk {
        async fn get(&self, _: &SessionId) -> Result<Option<Stored>, StoreError> {
            Ok(None)
        }
        async fn set(&self, _: &SessionId, _: &Record, _: std::time::Duration) -> Result<(), StoreError> {
            Err(StoreError::unavailable(Full(7)))
        }
        async fn destroy(&self, _: &SessionId) -> Result<(), StoreError> {
            Ok(())
        }
    }
    let session = TestClient::new().open(&builder().store(Disk).build().unwrap()).await;
    let error = session.commit().await.unwrap_err();
    assert!(matches!(error, SessionError::Store(_)), "{error:?}");
    assert_eq!(error.source().unwrap().downcast_ref::<Full>().unwrap().0, 7);
}

#[tokio::test]
async fn an_undecodable_record_is_an_event_and_a_new_session() {
    let logs = Logs::capture();
    let store = Texts::with("apple", "{\"n\":1");
    let config = builder().store(store.clone()).build().unwrap();
    let session = TestClient::holding(&config, &id("apple")).open(&config).await;
    assert_eq!(session.origin(), Origin::Undecodable);
    assert_eq!(logs.text().matches("ERROR").count(), 1, "{}", logs.text());
    assert_eq!(store.text("apple").as_deref(), Some("{\"n\":1"));
}

/// The lines that warn about lost changes.
fn lost(logs: &Logs) -> Vec<String> {
    logs.warnings().into_iter().filter(|line| line.contains("never committed")).collect()
}

#[tokio::test]
async fn a_changed_session_that_is_dropped_warns_once() {
    let logs = Logs::capture();
    let config = builder().build().unwrap();
    let app = router(&config, async |session: Session, again: Session| {
        session.insert("color", "chartreuse").unwrap();
        drop((session.clone(), again));
    });
    TestClient::new().get(&app, "/shop/cart?token=swordfish").await;
    let lines = lost(&logs);
    assert_eq!(lines.len(), 1, "{}", logs.text());
    assert!(lines[0].contains("GET") && lines[0].contains("/shop/cart"), "{lines:?}");
    for secret in ["swordfish", "token", "chartreuse", "color"] {
        assert!(!logs.text().contains(secret), "{}", logs.text());
    }
}

#[tokio::test]
async fn every_kind_of_change_counts() {
    let config = builder().build().unwrap();
    let mut client = TestClient::new();
    client.get(&router(&config, change), "/").await;
    let changes: [fn(&Session); 8] = [
        |session| session.insert("m", 1).unwrap(),
        |session| assert!(session.remove::<u64>("n").unwrap().is_some()),
        |session| session.clear(),
        |session| session.flash("info", "x").unwrap(),
        |session| session.set_max_age(None),
        |session| session.regenerate(),
        |session| session.cycle_id(),
        |session| session.destroy(),
    ];
    for (at, change) in changes.into_iter().enumerate() {
        let logs = Logs::capture();
        let session = client.open(&config).await;
        change(&session);
        drop(session);
        assert_eq!(lost(&logs).len(), 1, "change {at}: {}", logs.text());
    }
}

#[tokio::test]
async fn nothing_lost_is_no_warning() {
    let logs = Logs::capture();
    let config = builder().build().unwrap();
    let mut client = TestClient::new();
    client.get(&router(&config, change), "/").await;
    let session = client.open(&config).await;
    session.insert("n", 1).unwrap();
    let _ = (session.get::<u64>("n").unwrap(), session.remove::<u64>("absent").unwrap());
    drop(session);
    drop(TestClient::new().open(&config).await);
    // Put there and taken away again.
    let session = client.open(&config).await;
    session.insert("m", 1).unwrap();
    session.remove::<u64>("m").unwrap();
    drop(session);
    let session = TestClient::new().open(&config).await;
    session.destroy();
    drop(session);
    assert_eq!(logs.warnings(), [""; 0]);
}

#[tokio::test]
async fn a_failed_commit_is_no_silent_loss() {
    let logs = Logs::capture();
    let store = RecordingStore::default();
    let config = builder().store(store.clone()).build().unwrap();
    store.fail(&["create"]);
    let answer = TestClient::new().get(&router(&config, change), "/").await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    // The error was handed to the handler and logged; a second event would tell nothing new.
    assert_eq!(lost(&logs), [""; 0]);
    assert_eq!(logs.text().matches("ERROR").count(), 1, "{}", logs.text());
}

/// The connection closed while the store was at work.
#[tokio::test]
async fn a_commit_that_was_dropped_half_way_warns() {
    struct Stuck;
    impl SessionStore for Stuck {
        async fn get(&self, _: &SessionId) -> Result<Option<Stored>, StoreError> {
            std::future::pending().await
        }
        async fn set(&self, _: &SessionId, _: &Record, _: std::time::Duration) -> Result<(), StoreError> {
            Ok(())
        }
        async fn destroy(&self, _: &SessionId) -> Result<(), StoreError> {
            Ok(())
        }
    }
    let logs = Logs::capture();
    let session = TestClient::new().open(&builder().store(Stuck).build().unwrap()).await;
    session.insert("n", 1).unwrap();
    let mut commit = Box::pin(session.commit());
    let polled = std::future::poll_fn(|cx| std::task::Poll::Ready(commit.as_mut().poll(cx))).await;
    assert!(polled.is_pending());
    drop(commit);
    drop(session);
    assert_eq!(lost(&logs).len(), 1, "{}", logs.text());
}
