//! Sessions that are not there, not signed, expired or spoilt (S22 to S29).

use std::time::Duration;

use sessile::MemoryStore;
use sessile::testing::TestClock;

use crate::common::logs::Logs;
use crate::common::{TestClient, id};
use crate::site::{Site, count, layered, options};

/// A visitor whose signed cookie names a session the store does not have.
fn forgotten(site: &Site) -> TestClient {
    TestClient::holding(&site.config, &id("apple"))
}

/// The store does not know the session: a new one is created.
#[tokio::test]
async fn s22_an_unknown_session_is_replaced_by_a_new_one() {
    let site = Site::new(options(), count);
    let mut client = forgotten(&site);
    assert_eq!(site.get(&mut client, "/").await.body, "1");
    assert_eq!(site.get(&mut client, "/").await.body, "2");
}

/// It has another id than the one the browser sent, and its own cookie.
#[tokio::test]
async fn s23_an_unknown_id_is_never_adopted() {
    let site = Site::new(options(), count);
    let answer = site.get(&mut forgotten(&site), "/").await;
    assert_ne!(site.id(&answer.cookie().unwrap()), id("apple"));
    assert!(site.store.text(&id("apple")).await.is_none());
}

/// A bare id as the cookie's value: a new session, a new id, a new cookie.
#[tokio::test]
async fn s24_an_unsigned_id_is_no_session() {
    let site = Site::new(options(), count);
    site.store.plant(&id("apple"), r#"{"cookie":{},"views":7}"#).await;
    let answer = site.get(&mut TestClient::new().header("cookie", "connect.sid=apple"), "/").await;
    assert_eq!(answer.body, "1");
    assert_ne!(site.id(&answer.cookie().unwrap()), id("apple"));
}

/// An id cut short under the signature of the whole: a new session, and the store is not asked.
#[tokio::test]
async fn s25_an_altered_id_is_no_session_and_the_store_is_not_asked() {
    let site = Site::new(options(), count);
    site.store.plant(&id("apple"), r#"{"cookie":{},"views":7}"#).await;
    // Signed for `apple`, three characters taken out.
    let cut = "connect.sid=s%3Aap.D8Y%2BpkTAmeR0PobOhY4G97PRW%2Bj7bUnP%2F5m6%2FOn1MCU";
    let answer = site.get(&mut TestClient::new().header("cookie", cut), "/").await;
    assert_eq!(answer.body, "1");
    assert!(answer.cookie().is_some());
    assert_eq!(site.store.calls(), ["create"]);
    let whole = "connect.sid=s%3Aapple.D8Y%2BpkTAmeR0PobOhY4G97PRW%2Bj7bUnP%2F5m6%2FOn1MCU";
    assert_eq!(site.get(&mut TestClient::new().header("cookie", whole), "/").await.body, "8");
}

/// A client that still sends the cookie of a session that lived for 5 ms.
async fn expired() -> (axum::Router, TestClient, sessile::SessionId, crate::common::TestResponse) {
    let clock = TestClock::new();
    let store = MemoryStore::builder().clock(clock.clone()).build();
    let options = options().max_age(Duration::from_millis(5)).clock(clock.clone());
    let config = options.store(store).build().unwrap();
    let app = layered(&config, count);
    let first = TestClient::new().get(&app, "/").await.cookie().unwrap();
    let first = config.verify(&first.value).unwrap();
    clock.advance(Duration::from_millis(5));
    let mut client = TestClient::holding(&config, &first);
    let answer = client.get(&app, "/").await;
    (app, client, first, answer)
}

/// An expired session: a new one and a cookie.
#[tokio::test]
async fn s26_an_expired_session_is_replaced_by_a_new_one() {
    let (.., answer) = expired().await;
    assert_eq!(answer.body, "1");
    assert!(answer.cookie().is_some());
}

/// The new one has a new id.
#[tokio::test]
async fn s27_an_expired_id_is_not_used_again() {
    let (_, client, first, answer) = expired().await;
    let value = answer.cookie().unwrap().value;
    assert_eq!(client.value("connect.sid"), Some(&*value));
    let config = options().build().unwrap();
    assert_ne!(config.verify(&value).unwrap(), first);
}

/// An expired record is not among those the store lists.
#[tokio::test]
async fn s28_an_expired_record_is_not_listed() {
    let clock = TestClock::new();
    let store = MemoryStore::builder().clock(clock.clone()).build();
    let options = options().max_age(Duration::from_millis(5)).clock(clock.clone());
    let config = options.store(store.clone()).build().unwrap();
    TestClient::new().get(&layered(&config, count), "/").await;
    assert_eq!(store.len(), 1);
    clock.advance(Duration::from_millis(5));
    assert_eq!((store.all_ids(), store.len()), (vec![], 0));
}

/// A record without a `cookie` object is an error.
///
/// Differs: the user is not locked out by a 500. The event log has the error, the request gets a new session
/// under a new id, and the bytes in the store stay as they are.
#[tokio::test]
async fn s29_a_record_without_cookie_is_an_error() {
    use crate::common::stores::Texts;
    let logs = Logs::capture();
    let store = Texts::with("apple", r#"{"views":7}"#);
    let config = options().store(store.clone()).build().unwrap();
    let answer = TestClient::holding(&config, &id("apple")).get(&layered(&config, count), "/").await;
    assert_eq!((answer.status.as_u16(), &*answer.body), (200, "1"));
    assert_ne!(config.verify(&answer.cookie().unwrap().value).unwrap(), id("apple"));
    assert_eq!(store.text("apple").unwrap(), r#"{"views":7}"#);
    assert!(logs.text().contains("cannot be decoded"), "{}", logs.text());
}
