//! The cookie object (C1 to C18): what Express calls `req.session.cookie`, as the session gives it and as the
//! record has it.

use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use sessile::testing::TestClock;
use sessile::{Priority, Session, SessionConfig, SessionConfigBuilder, SessionOptions};

use crate::common::TestClient;
use crate::common::stores::RecordingStore;
use crate::site::{Site, hello, options, stored_cookie};

const HOUR: Duration = Duration::from_secs(3600);

/// The cookie object that a first visit stores.
async fn stored(options: SessionConfigBuilder) -> Value {
    let site = Site::new(options, hello);
    site.first("/").await;
    stored_cookie(&site.store.text(&site.store.ids()[0]).await.unwrap())
}

/// A new session.
async fn session(options: SessionConfigBuilder) -> Session {
    TestClient::new().open(&options.build().unwrap()).await
}

fn from_file(cookie: &str) -> Result<SessionOptions, serde_json::Error> {
    serde_json::from_str(&format!(r#"{{"secret": "keyboard cat", "cookie": {cookie}}}"#))
}

fn defaults() -> SessionConfigBuilder {
    SessionConfig::builder("keyboard cat")
}

fn close(one: SystemTime, other: SystemTime) -> bool {
    let second = Duration::from_secs(1);
    one < other + second && other < one + second
}

/// `expires` is null by default.
///
/// Differs: by default a session lives for 24 hours; it is null with `browser_session()`.
#[tokio::test]
async fn c2_expires_is_null_for_a_browser_session() {
    assert_eq!(session(defaults().browser_session()).await.expires(), None);
    assert_eq!(stored(defaults().browser_session()).await["expires"], Value::Null);
    assert!(session(defaults()).await.expires().is_some());
}

/// `httpOnly` is true by default.
#[tokio::test]
async fn c3_http_only_is_true_by_default() {
    assert_eq!(stored(defaults()).await["httpOnly"], true);
}

/// `path` is `/` by default.
#[tokio::test]
async fn c4_path_is_a_slash_by_default() {
    assert_eq!(stored(defaults()).await["path"], "/");
}

/// `maxAge` is null by default.
///
/// Differs: by default it is 24 hours; it is null with `browser_session()`.
#[tokio::test]
async fn c5_max_age_is_null_for_a_browser_session() {
    assert_eq!(session(defaults().browser_session()).await.max_age(), None);
    assert_eq!(stored(defaults().browser_session()).await["originalMaxAge"], Value::Null);
    assert_eq!(session(defaults()).await.max_age(), Some(24 * HOUR));
}

/// A key `data` in the options is ignored.
///
/// Differs: every key that is no option is an error that names it.
#[test]
fn c8_data_is_no_option() {
    let error = from_file(r#"{"data": {"foo": "bar"}}"#).unwrap_err();
    assert!(error.to_string().contains("data"), "{error}");
}

/// `expires` is kept as it was given.
///
/// Differs: a session is given a max-age, not a date; what `expires()` says of a stored session is the same
/// each time.
#[tokio::test]
async fn c9_expires_stays_the_same() {
    let clock = TestClock::new();
    let store = RecordingStore::default();
    let config = options().store(store.clone()).clock(clock.clone()).build().unwrap();
    let mut client = TestClient::new();
    let session = client.open(&config).await;
    session.set_max_age(Some(HOUR));
    client.commit(&session).await;
    let session = client.open(&config).await;
    let first = session.expires().unwrap();
    clock.advance(Duration::from_millis(5));
    assert_eq!(session.expires(), Some(first));
    assert_eq!(session.cookie().expires(), Some(first));
    assert!(close(first, SystemTime::now() + HOUR));
}

/// `expires` sets the max-age, within a second.
///
/// Differs: the max-age is what is set, by how long it is until then.
#[tokio::test]
async fn c10_an_expiry_is_set_as_a_max_age() {
    let session = session(options()).await;
    let until = SystemTime::now() + HOUR;
    session.set_max_age(until.duration_since(SystemTime::now()).ok());
    assert!(close(session.expires().unwrap(), until));
    assert!(session.max_age().unwrap().abs_diff(HOUR) < Duration::from_secs(1));
}

/// `httpOnly: false` is kept.
#[tokio::test]
async fn c11_http_only_is_kept() {
    assert_eq!(stored(options().http_only(false)).await["httpOnly"], false);
    assert_eq!(stored(from_file(r#"{"httpOnly": false}"#).unwrap().into_builder()).await["httpOnly"], false);
}

/// `maxAge` sets the expiry, within a second.
#[tokio::test]
async fn c12_max_age_sets_the_expiry() {
    let session = session(options().max_age(HOUR)).await;
    assert!(close(session.expires().unwrap(), SystemTime::now() + HOUR));
    let stored = stored(options().max_age(HOUR)).await;
    let expires =
        sessile::Record::from_json(json!({ "cookie": stored }).to_string()).unwrap().cookie_expires();
    assert!(close(expires.unwrap(), SystemTime::now() + HOUR));
}

/// `maxAge` can be read again.
///
/// Differs: it is the whole max-age, exactly. What is left of it is `expires()`.
#[tokio::test]
async fn c13_max_age_can_be_read() {
    assert_eq!(session(options().max_age(HOUR)).await.max_age(), Some(HOUR));
    assert_eq!(stored(options().max_age(HOUR)).await["originalMaxAge"], 3_600_000);
    assert_eq!(
        stored(from_file(r#"{"maxAge": 3600000}"#).unwrap().into_builder()).await["originalMaxAge"],
        3_600_000
    );
}

/// `maxAge` as a date is accepted.
///
/// Differs: a date becomes a `Duration` first, and one in the past is none.
#[tokio::test]
async fn c14_a_date_becomes_a_max_age() {
    let max_age = |date: SystemTime| date.duration_since(SystemTime::now());
    let options = options().max_age(max_age(SystemTime::now() + HOUR).unwrap());
    assert!(close(session(options).await.expires().unwrap(), SystemTime::now() + HOUR));
    assert!(max_age(SystemTime::UNIX_EPOCH).is_err());
}

/// `maxAge` as text, as a truth value or as anything else is an error.
#[test]
fn c15_a_max_age_is_a_number() {
    for value in [r#""42""#, "true", "false", "{}", "[1]", "-1", "1.5"] {
        assert!(from_file(&format!(r#"{{"maxAge": {value}}}"#)).is_err(), "{value}");
    }
    assert!(from_file(r#"{"maxAge": 42}"#).is_ok());
}

/// `partitioned` is kept.
#[tokio::test]
async fn c16_partitioned_is_kept() {
    assert_eq!(stored(options().secure(true).partitioned(true)).await["partitioned"], true);
}

/// `path` is kept.
#[tokio::test]
async fn c17_path_is_kept() {
    let site = Site::new(options().path("/foo"), hello);
    site.first("/foo").await;
    assert_eq!(stored_cookie(&site.store.text(&site.store.ids()[0]).await.unwrap())["path"], "/foo");
}

/// `priority` is kept.
#[tokio::test]
async fn c18_priority_is_kept() {
    assert_eq!(stored(options().priority(Priority::High)).await["priority"], "high");
}
