//! General (S1 to S16).

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use futures_util::stream;
use sessile::testing::TestClock;
use sessile::{
    ConfigError, MemoryStore, Record, Session, SessionConfig, SessionError, SessionId, SessionStore,
};

use crate::common::{TestClient, id};
use crate::site::{Site, count, expires, look, options};

/// The session, the store contract and the memory store are exported, and work together.
#[tokio::test]
async fn s1_session_store_and_memory_store_are_exported() {
    async fn kept<S: SessionStore>(store: &S) -> bool {
        store.set(&id("apple"), &Record::default(), Duration::from_secs(9)).await.unwrap();
        store.get(&id("apple")).await.unwrap().is_some()
    }
    let store = MemoryStore::new();
    assert!(kept(&store).await);
    let config = options().store(store.clone()).build().unwrap();
    let session: Session = TestClient::holding(&config, &id("apple")).open(&config).await;
    assert!(!session.is_new());
}

/// Without a secret nothing works, and the error names the option.
///
/// Differs: `build` says so when the program starts, not each request with a 500.
#[test]
fn s3_no_secret_is_an_error() {
    let none: [&str; 0] = [];
    assert_eq!(SessionConfig::new(none).unwrap_err(), ConfigError::NoSecret);
    assert_eq!(SessionConfig::new("").unwrap_err(), ConfigError::EmptySecret);
    assert!(ConfigError::NoSecret.to_string().contains("`secret`"));
}

/// A new session gets a cookie and exactly one record.
#[tokio::test]
async fn s5_a_new_session_gets_a_cookie_and_one_record() {
    let site = Site::new(options(), look);
    let answer = site.first("/").await;
    assert_eq!(answer.status, 200);
    assert_eq!(site.store.ids(), [site.id(&answer.cookie().unwrap())]);
}

/// A session is loaded again from its cookie.
#[tokio::test]
async fn s6_a_session_is_loaded_again_from_its_cookie() {
    let site = Site::new(options(), count);
    let mut client = TestClient::new();
    for expected in ["1", "2", "3"] {
        assert_eq!(site.get(&mut client, "/").await.body, expected);
    }
    assert_eq!(site.store.len(), 1);
}

/// A store that cannot be read is a server error.
///
/// Differs: it is a 503, and the body does not quote the store's message.
#[tokio::test]
async fn s7_an_error_of_the_stores_get_is_a_server_error() {
    let site = Site::new(options(), count);
    site.store.fail(&["get"]);
    let answer = site.get(&mut TestClient::holding(&site.config, &id("apple")), "/").await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.body, "Service Unavailable");
    assert!(answer.cookies().is_empty());
    assert_eq!(site.writes(), [""; 0]);
}

/// A missing file (`ENOENT`) is a session not found: a new one begins.
#[tokio::test]
async fn s8_a_missing_file_is_a_session_not_found() {
    let folder = tempfile::tempdir().unwrap();
    let config = options().store(sessile::FileStore::new(folder.path()).unwrap()).build().unwrap();
    let app = crate::site::layered(&config, count);
    let mut client = TestClient::holding(&config, &id("apple"));
    let answer = client.get(&app, "/").await;
    assert_eq!((answer.status, &*answer.body), (StatusCode::OK, "1"));
    assert_ne!(config.verify(&answer.cookie().unwrap().value).unwrap(), id("apple"));
    assert_eq!(client.get(&app, "/").await.body, "2");
}

/// Two parallel clients without a cookie get two records.
#[tokio::test]
async fn s9_two_parallel_strangers_get_two_records() {
    let site = Site::new(options(), count);
    site.store.hold();
    let ask = || {
        tokio::spawn({
            let app = site.app.clone();
            async move { TestClient::new().get(&app, "/").await }
        })
    };
    let both = [ask(), ask()];
    tokio::task::yield_now().await;
    site.store.release();
    let mut ids = Vec::new();
    for answer in both {
        ids.push(site.id(&answer.await.unwrap().cookie().unwrap()));
    }
    assert_ne!(ids[0], ids[1]);
    assert_eq!(site.store.len(), 2);
}

/// A record with a key that Express' session object has as a method (`save`) still loads.
///
/// Differs: the key is kept; Express drops it.
#[tokio::test]
async fn s13_a_record_with_the_key_save_still_loads() {
    let site = Site::new(options(), count);
    site.store.plant(&id("apple"), r#"{"cookie":{},"save":"me","views":4}"#).await;
    let mut client = TestClient::holding(&site.config, &id("apple"));
    assert_eq!(site.get(&mut client, "/").await.body, "5");
    assert!(site.store.text(&id("apple")).await.unwrap().ends_with(r#""save":"me","views":5}"#));
}

/// A session id that is none brings no cookie and no record, and the answer is a 200.
///
/// Differs: such an id cannot be made, so neither can `genid` give one; one that comes in a signed cookie is
/// looked up nowhere.
#[tokio::test]
async fn s15_an_id_that_is_none_brings_no_cookie_and_no_record() {
    for text in ["", "a\nb", "\u{7f}", &"x".repeat(257)] {
        assert!(SessionId::new(text).is_err(), "{text:?}");
    }
    let site = Site::new(options().save_uninitialized(false), look);
    // Signed over the empty id, with the same secret.
    let empty = "connect.sid=s%3A.aJcKKTu8Uv0mRiw7LTI435t%2BpOa%2BgiU%2FWLAuLCKGEFc";
    let mut client = TestClient::new().header("cookie", empty);
    let answer = site.get(&mut client, "/").await;
    assert_eq!(answer.status, 200);
    assert!(answer.cookies().is_empty());
    assert_eq!((site.store.calls(), site.store.len()), (vec![], 0));
}

/// With `rolling`, and a body that is still being streamed, the cookie's expiry advances with the next
/// response.
#[tokio::test]
async fn s16_rolling_advances_the_expiry_while_bodies_are_streamed() {
    async fn streamed(session: Session) -> Result<impl IntoResponse, SessionError> {
        session.insert("user", "ada")?;
        let chunks = stream::unfold(0, async |n| {
            tokio::time::sleep(Duration::from_millis(100)).await;
            (n < 2).then(|| (Ok::<_, std::io::Error>(Bytes::from_static(b"chunk ")), n + 1))
        });
        Ok(Body::from_stream(chunks))
    }
    let clock = TestClock::new();
    let options = options().rolling(true).save_uninitialized(false).clock(clock.clone());
    let site = Site::new(options, streamed);
    let mut client = TestClient::new();
    let first = site.get(&mut client, "/").await;
    assert_eq!(first.body, "chunk chunk ");
    // The header counts whole seconds.
    clock.advance(Duration::from_secs(1));
    let second = site.get(&mut client, "/").await;
    assert!(expires(&second.cookie().unwrap()) > expires(&first.cookie().unwrap()));
}
