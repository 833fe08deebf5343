//! Every option: what it is by default and what it does on the wire and in the store.

use std::time::{Duration, SystemTime};

use crate::common::stores::{DAY, RecordingStore};
use crate::common::{SECRET, SetCookie, TestClient, TestResponse, builder, id};
use sessile::{Priority, SameSite, SessionConfig, SessionConfigBuilder, SessionId};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;

const HOUR: Duration = Duration::from_secs(3600);

/// The answer of a first visit that put something into the session.
async fn first(builder: SessionConfigBuilder) -> TestResponse {
    let config = builder.build().unwrap();
    let mut client = TestClient::new();
    let session = client.open(&config).await;
    session.insert("n", 1).unwrap();
    client.commit(&session).await
}

async fn cookie(builder: SessionConfigBuilder) -> SetCookie {
    first(builder).await.cookie().expect("a cookie")
}

/// Seconds from now to the cookie's `Expires`.
fn life(cookie: &SetCookie) -> i64 {
    let at = OffsetDateTime::parse(cookie.attribute("Expires").expect("Expires"), &Rfc2822).unwrap();
    (at - OffsetDateTime::from(SystemTime::now())).whole_seconds()
}

fn close(seconds: i64, to: i64) -> bool {
    (to - 5..=to).contains(&seconds)
}

#[tokio::test]
async fn the_default_cookie() {
    let cookie = cookie(builder()).await;
    assert_eq!(cookie.name, "connect.sid");
    assert_eq!(cookie.names(), ["Expires", "HttpOnly", "Max-Age", "Path", "SameSite"]);
    assert_eq!(cookie.attribute("Path"), Some("/"));
    assert_eq!(cookie.attribute("SameSite"), Some("Lax"));
    assert_eq!(cookie.attribute("Max-Age"), Some("86400"));
    assert!(close(life(&cookie), 86_400), "{}", cookie.line);
}

#[tokio::test]
async fn the_hardened_preset() {
    let config = SessionConfig::hardened(SECRET);
    let cookie = cookie(config).await;
    assert_eq!(cookie.name, "__Host-sid");
    assert_eq!(cookie.names(), ["HttpOnly", "Path", "SameSite", "Secure"]);
    assert_eq!((cookie.attribute("Path"), cookie.attribute("SameSite")), (Some("/"), Some("Lax")));
    // Visitors who do nothing get neither a record nor a cookie.
    let store = RecordingStore::default();
    let config = SessionConfig::hardened(SECRET).store(store.clone()).build().unwrap();
    let mut client = TestClient::new();
    let session = client.open(&config).await;
    assert!(client.commit(&session).await.cookie().is_none());
    assert_eq!(store.calls(), [""; 0]);
}

#[tokio::test]
async fn attributes_of_the_cookie() {
    let b = builder;
    assert_eq!(cookie(b().name("sid")).await.name, "sid");
    assert!(!cookie(b().http_only(false)).await.has("HttpOnly"));
    assert_eq!(cookie(b().path("/app")).await.attribute("Path"), Some("/app"));
    assert_eq!(cookie(b().domain("example.com")).await.attribute("Domain"), Some("example.com"));
    for (same_site, name) in [(SameSite::Lax, "Lax"), (SameSite::Strict, "Strict"), (SameSite::None, "None")]
    {
        let cookie = cookie(b().secure(true).same_site(same_site)).await;
        assert_eq!(cookie.attribute("SameSite"), Some(name));
    }
    assert!(!cookie(b().no_same_site()).await.has("SameSite"));
    assert!(cookie(b().secure(true).partitioned(true)).await.has("Partitioned"));
    assert!(!cookie(b().secure(true).partitioned(false)).await.has("Partitioned"));
    for (priority, name) in [(Priority::Low, "Low"), (Priority::Medium, "Medium"), (Priority::High, "High")] {
        assert_eq!(cookie(b().priority(priority)).await.attribute("Priority"), Some(name));
    }
}

#[tokio::test]
async fn the_name_is_the_one_that_is_read() {
    let config = builder().name("sid").build().unwrap();
    let mut client = TestClient::new();
    let session = client.open(&config).await;
    client.commit(&session).await;
    assert!(!client.open(&config).await.is_new());
    let other = builder().build().unwrap();
    assert!(client.open(&other).await.is_new());
}

#[tokio::test]
async fn max_age_is_the_life_of_cookie_and_record() {
    let store = RecordingStore::default();
    let cookie_of = |builder: SessionConfigBuilder| cookie(builder.store(store.clone()));
    let hour = cookie_of(builder().max_age(HOUR)).await;
    assert_eq!(hour.attribute("Max-Age"), Some("3600"));
    assert!(close(life(&hour), 3600), "{}", hour.line);
    // Half a second is rounded up: a Max-Age of 0 would delete the cookie.
    let short = cookie_of(builder().max_age(Duration::from_millis(500))).await;
    assert_eq!(short.attribute("Max-Age"), Some("1"));
    let longest = cookie_of(builder().max_age(400 * DAY)).await;
    assert_eq!(longest.attribute("Max-Age"), Some("34560000"));
    assert_eq!(store.ttls(), [HOUR, Duration::from_millis(500), 400 * DAY]);
}

#[tokio::test]
async fn a_browser_session_has_no_expiry_and_the_store_its_own() {
    let store = RecordingStore::default();
    let answer = cookie(builder().browser_session().store(store.clone())).await;
    assert_eq!(answer.names(), ["HttpOnly", "Path", "SameSite"]);
    cookie(builder().browser_session().store_ttl(HOUR).store(store.clone())).await;
    // A session with a max-age lives by that.
    cookie(builder().max_age(2 * HOUR).store_ttl(HOUR).store(store.clone())).await;
    assert_eq!(store.ttls(), [DAY, HOUR, 2 * HOUR]);
}

#[tokio::test]
async fn the_record_says_what_the_cookie_says() {
    let store = RecordingStore::default();
    let full = builder()
        .store(store.clone())
        .browser_session()
        .secure(true)
        .domain("example.com")
        .path("/app")
        .same_site(SameSite::Strict)
        .partitioned(true)
        .priority(Priority::Medium);
    cookie(full).await;
    let text = store.text(&store.ids()[0]).await.unwrap();
    assert_eq!(
        text,
        r#"{"cookie":{"originalMaxAge":null,"partitioned":true,"priority":"medium","expires":null,"secure":true,"httpOnly":true,"domain":"example.com","path":"/app","sameSite":"strict"},"n":1}"#
    );
    let store = RecordingStore::default();
    cookie(builder().store(store.clone()).browser_session().no_same_site().http_only(false)).await;
    let text = store.text(&store.ids()[0]).await.unwrap();
    assert_eq!(
        text,
        r#"{"cookie":{"originalMaxAge":null,"expires":null,"httpOnly":false,"path":"/"},"n":1}"#
    );
}

/// What a commit does to an existing, untouched session: the calls, and whether there is a cookie.
async fn revisit(builder: SessionConfigBuilder) -> (Vec<&'static str>, bool) {
    let store = RecordingStore::default();
    let config = builder.store(store.clone()).touch_after(HOUR).build().unwrap();
    let mut client = TestClient::new();
    let session = client.open(&config).await;
    session.insert("n", 1).unwrap();
    client.commit(&session).await;
    store.calls();
    let session = client.open(&config).await;
    let cookie = client.commit(&session).await.cookie();
    (store.calls(), cookie.is_some())
}

#[tokio::test]
async fn resave_writes_what_nobody_changed() {
    assert_eq!(revisit(builder()).await, (vec!["get"], false));
    assert_eq!(revisit(builder().resave(false)).await, (vec!["get"], false));
    assert_eq!(revisit(builder().resave(true)).await, (vec!["get", "replace"], false));
    assert_eq!(revisit(builder().resave(true).rolling(true)).await, (vec!["get", "replace"], true));
}

#[tokio::test]
async fn rolling_sends_the_cookie_every_time() {
    assert_eq!(revisit(builder().rolling(false)).await, (vec!["get"], false));
    assert_eq!(revisit(builder().rolling(true)).await, (vec!["get", "touch"], true));
    assert_eq!(revisit(builder().rolling(true).browser_session()).await, (vec!["get", "touch"], true));
}

#[tokio::test]
async fn a_rolling_cookie_starts_its_life_anew() {
    let config = builder().rolling(true).max_age(HOUR).build().unwrap();
    let mut client = TestClient::new();
    for _ in 0..2 {
        let session = client.open(&config).await;
        let cookie = client.commit(&session).await.cookie().unwrap();
        assert_eq!(cookie.attribute("Max-Age"), Some("3600"));
    }
}

#[tokio::test]
async fn save_uninitialized_stores_what_nobody_filled() {
    for (stored, builder) in [
        (true, builder()),
        (true, builder().save_uninitialized(true)),
        (false, builder().save_uninitialized(false)),
        // Rolling and resave are about existing sessions.
        (false, builder().save_uninitialized(false).rolling(true).resave(true)),
    ] {
        let store = RecordingStore::default();
        let config = builder.store(store.clone()).build().unwrap();
        let mut client = TestClient::new();
        let session = client.open(&config).await;
        let answer = client.commit(&session).await;
        assert_eq!((answer.cookie().is_some(), store.len() == 1), (stored, stored));
        let session = client.open(&config).await;
        session.insert("n", 1).unwrap();
        client.commit(&session).await;
        assert_eq!(store.len(), 1);
    }
}

#[tokio::test]
async fn genid_names_new_sessions() {
    let config = SessionConfig::builder("keyboard cat").genid(|| id("apple")).build().unwrap();
    let mut client = TestClient::new();
    let session = client.open(&config).await;
    assert_eq!(session.id(), id("apple"));
    let cookie = client.commit(&session).await.cookie().unwrap();
    assert_eq!(cookie.value, "s%3Aapple.D8Y%2BpkTAmeR0PobOhY4G97PRW%2Bj7bUnP%2F5m6%2FOn1MCU");
}

#[tokio::test]
async fn ids_are_random_uuids_by_default() {
    let config = builder().build().unwrap();
    let mut seen = std::collections::HashSet::<SessionId>::new();
    for _ in 0..100 {
        let id = TestClient::new().open(&config).await.id();
        let uuid = uuid::Uuid::parse_str(id.as_str()).unwrap();
        assert_eq!((uuid.get_version_num(), id.as_str().len()), (4, 36));
        assert!(seen.insert(id));
    }
}

#[tokio::test]
async fn a_config_without_a_store_has_one_of_its_own() {
    let (one, other) = (builder().build().unwrap(), builder().build().unwrap());
    let mut client = TestClient::new();
    let session = client.open(&one).await;
    client.commit(&session).await;
    assert!(!client.open(&one.clone()).await.is_new(), "clones share the store");
    assert!(client.open(&other).await.is_new());
}

/// Whether a request that only reads touches a session of which `left` of a day is left.
async fn touches(builder: SessionConfigBuilder, left: Duration) -> bool {
    let store = RecordingStore::default();
    let record = r#"{"cookie":{"originalMaxAge":86400000,"expires":null,"httpOnly":true,"path":"/"}}"#;
    store.plant(&id("apple"), record).await;
    let config = builder.store(store.clone()).build().unwrap();
    store.say_left(left);
    assert!(!TestClient::holding(&config, &id("apple")).open(&config).await.is_new());
    match &*store.calls() {
        ["get"] => false,
        ["get", "touch"] => {
            assert_eq!(store.ttls(), [DAY], "a touch gives the whole life");
            true
        }
        calls => panic!("{calls:?}"),
    }
}

#[tokio::test]
async fn touch_after_spares_the_store() {
    let secs = Duration::from_secs;
    // The default for a day is the most there is: 60 seconds.
    assert!(!touches(builder(), DAY).await);
    assert!(!touches(builder(), DAY - secs(59)).await);
    assert!(touches(builder(), DAY - secs(61)).await);
    assert!(touches(builder(), secs(1)).await);
    // A hundredth of the max-age where that is less.
    assert!(!touches(builder().max_age(secs(1000)), DAY - secs(9)).await);
    assert!(touches(builder().max_age(secs(1000)), DAY - secs(11)).await);
    // Zero: every request.
    assert!(touches(builder().touch_after(Duration::ZERO), DAY).await);
    assert!(!touches(builder().touch_after(HOUR), DAY - HOUR + secs(5)).await);
    assert!(touches(builder().touch_after(HOUR), DAY - HOUR - secs(5)).await);
    // Never over half of the life.
    assert!(!touches(builder().touch_after(20 * HOUR), 12 * HOUR + secs(5)).await);
    assert!(touches(builder().touch_after(20 * HOUR), 12 * HOUR - secs(5)).await);
}

#[tokio::test]
async fn a_session_with_a_life_of_its_own_is_throttled_by_that() {
    // A remembered user's month: what is left of it is far over the configured hour.
    let store = RecordingStore::default();
    let month = r#"{"cookie":{"originalMaxAge":2592000000,"expires":null,"httpOnly":true,"path":"/"}}"#;
    store.plant(&id("apple"), month).await;
    let config = builder().max_age(HOUR).store(store.clone()).build().unwrap();
    let client = TestClient::holding(&config, &id("apple"));
    store.say_left(29 * DAY);
    let _ = client.open(&config).await;
    assert_eq!((store.calls(), store.ttls()), (vec!["get", "touch"], vec![30 * DAY]));
    store.say_left(30 * DAY);
    let _ = client.open(&config).await;
    assert_eq!(store.calls(), ["get"]);
}
