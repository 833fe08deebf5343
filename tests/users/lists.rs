//! Lists of a user's sessions, and their end.

use std::time::Duration;

use crate::{SECRET, origin};
use sessile::testing::{Probe, TestClock, Visitor};
use sessile::{ConfigError, MemoryStore, Origin, SessionConfig, SessionError, SessionHandle};

async fn log_in(config: &SessionConfig, user: &str, device: &str) -> Visitor {
    let mut visitor = Visitor::new(config);
    let session = visitor.open().await.unwrap();
    session.log_in(user).unwrap();
    session.set_device_label(device);
    visitor.commit(&session).await.unwrap();
    visitor
}

#[tokio::test]
async fn devices_are_listed_and_ended() {
    let clock = TestClock::new();
    let store = MemoryStore::builder().clock(clock.clone()).build();
    let config = SessionConfig::builder(SECRET).store(store).clock(clock.clone()).build().unwrap();
    let began = sessile::Clock::now(&clock);
    let phone = log_in(&config, "ada", "phone").await;
    clock.advance(Duration::from_secs(3600));
    let laptop = log_in(&config, "ada", "laptop").await;
    let other = log_in(&config, "bob", "phone").await;

    let session = laptop.open().await.unwrap();
    let list = config.sessions_of("ada").list().await.unwrap();
    let labels: Vec<_> = list.iter().map(|one| (one.device_label().unwrap(), one.is(&session))).collect();
    assert_eq!(labels, [("laptop", true), ("phone", false)]);
    let millis = Duration::from_millis(1);
    assert!(list[1].created() <= began && began < list[1].created() + millis);
    assert!(list[1].last_seen().unwrap() <= began + millis);
    assert!(list[1].expires().unwrap() >= began + Duration::from_secs(86_400) - millis);
    assert_eq!(list[0].handle(), session.handle());
    let handle: SessionHandle = list[1].handle().to_string().parse().unwrap();

    assert!(!config.sessions_of("bob").end(&handle).await.unwrap(), "not bob's");
    assert!(config.sessions_of("ada").end(&handle).await.unwrap());
    assert!(!config.sessions_of("ada").end(&handle).await.unwrap());
    assert_eq!(origin(&phone).await, Origin::Unknown);
    assert_eq!(origin(&laptop).await, Origin::Loaded);
    assert_eq!(config.sessions_of("ada").end_all().await.unwrap(), 1);
    assert_eq!(origin(&laptop).await, Origin::Unknown);
    assert_eq!(origin(&other).await, Origin::Loaded);
}

#[tokio::test]
async fn the_others_end_and_the_survivor_can_change_its_id() {
    let config = SessionConfig::new(SECRET).unwrap();
    let mut own = log_in(&config, "ada", "own").await;
    let others = [log_in(&config, "ada", "1").await, log_in(&config, "ada", "2").await];
    let strange = log_in(&config, "bob", "bob's").await.open().await.unwrap();
    let ada = config.sessions_of("ada");
    assert!(matches!(ada.end_others(&strange).await, Err(SessionError::Gone)));
    assert_eq!(ada.count().await.unwrap(), 3, "nothing was ended");

    let session = own.open().await.unwrap();
    assert_eq!(ada.end_others(&session).await.unwrap(), 2);
    for other in others {
        assert_eq!(origin(&other).await, Origin::Unknown);
    }
    session.cycle_id();
    own.commit(&session).await.unwrap();
    assert_eq!(origin(&own).await, Origin::Loaded);
    assert_eq!(ada.count().await.unwrap(), 1);
    assert_eq!(ada.end_all().await.unwrap(), 1);
    assert_eq!(origin(&own).await, Origin::Unknown);
}

#[tokio::test]
async fn a_login_that_began_before_the_end_fails() {
    let config = SessionConfig::builder(SECRET).save_uninitialized(false).build().unwrap();
    let ada = config.sessions_of("ada");
    for ends in 1..3 {
        let login = ada.begin_login().await.unwrap();
        ada.end_all().await.unwrap();
        let mut visitor = Visitor::new(&config);
        let session = visitor.open().await.unwrap();
        session.log_in_with(login).unwrap();
        assert!(matches!(visitor.commit(&session).await, Err(SessionError::Gone)), "end {ends}");
        assert_eq!(ada.count().await.unwrap(), 0);
        let login = ada.begin_login().await.unwrap();
        let session = visitor.open().await.unwrap();
        session.log_in_with(login).unwrap();
        visitor.commit(&session).await.unwrap();
        assert_eq!(ada.count().await.unwrap(), 1);
    }
}

#[tokio::test]
async fn a_login_that_was_begun_with_other_secrets_is_refused() {
    let other = SessionConfig::new("another secret of at least 32 bytes for tests").unwrap();
    let session = Visitor::new(&SessionConfig::new(SECRET).unwrap()).open().await.unwrap();
    let login = other.sessions_of("ada").begin_login().await.unwrap();
    assert!(matches!(session.log_in_with(login), Err(SessionError::Encode { .. })));
    assert!(!session.is_logged_in());
}

#[tokio::test]
async fn a_list_stays_short() {
    let clock = TestClock::new();
    let store = MemoryStore::builder().clock(clock.clone()).build();
    let probe = Probe::new(store);
    let config = SessionConfig::builder(SECRET).store(probe.clone()).clock(clock.clone()).build().unwrap();
    let mut own = log_in(&config, "ada", "own").await;
    let mut longest = 0;
    for _ in 0..300 {
        let session = own.open().await.unwrap();
        session.cycle_id();
        own.commit(&session).await.unwrap();
        let gone = log_in(&config, "ada", "short").await.open().await.unwrap();
        gone.destroy();
        drop(gone.commit().await.unwrap());
        clock.advance(Duration::from_secs(30));
        let user = own.open().await.unwrap();
        assert!(user.belongs_to("ada"));
        longest = longest.max(text_of(&probe, &user).await.lines().count());
    }
    assert!(longest < 60, "{longest} lines for one session");
    assert_eq!(config.sessions_of("ada").count().await.unwrap(), 1);
}

/// The text that the store keeps for the session's user.
async fn text_of(probe: &Probe<MemoryStore>, session: &sessile::Session) -> String {
    use sessile::SessionStore as _;
    let record = probe.inner().get(&session.id()).await.unwrap().unwrap().record;
    let json: serde_json::Value = serde_json::from_str(record.as_json()).unwrap();
    let user = json["__sessile"]["user"].as_str().unwrap().to_owned();
    probe.inner().users().unwrap().read(&user).await.unwrap()
}

#[tokio::test]
async fn secrets_change_and_every_session_is_found() {
    let store = MemoryStore::new();
    let (a, b) = ("the first secret of at least 32 bytes", "the second secret of at least 32 bytes");
    let with = |secrets: &[&str]| SessionConfig::builder(secrets).store(store.clone()).build().unwrap();
    let old = log_in(&with(&[a]), "ada", "old").await;
    let both = with(&[b, a]);
    let new = log_in(&both, "ada", "new").await;
    let reopen = async |config: &SessionConfig, visitor: &Visitor| {
        config.session_from_headers(&visitor.headers()).await.unwrap()
    };
    assert!(reopen(&both, &old).await.belongs_to("ada"));
    let labels: Vec<_> = both.sessions_of("ada").list().await.unwrap();
    let labels: Vec<_> = labels.iter().map(|one| one.device_label().unwrap()).collect();
    assert_eq!(labels, ["new", "old"]);
    // The commit signs the cookie anew.
    let session = reopen(&both, &old).await;
    session.insert("seen", true).unwrap();
    drop(session.commit().await.unwrap());
    let (id, other) = (session.id(), reopen(&both, &new).await.id());

    let only = with(&[b]);
    let under = async |id| {
        let mut headers = axum::http::HeaderMap::new();
        let cookie = format!("connect.sid={}", only.sign(id));
        headers.insert(axum::http::header::COOKIE, cookie.parse().unwrap());
        only.session_from_headers(&headers).await.unwrap()
    };
    assert_eq!(under(&id).await.origin(), Origin::Unknown, "nobody could end this session any more");
    assert!(under(&other).await.belongs_to("ada"));
    assert_eq!(both.sessions_of("ada").end_all().await.unwrap(), 2);
    assert_eq!(under(&other).await.origin(), Origin::Unknown);
}

#[tokio::test]
async fn a_store_without_lists_says_so() {
    struct Plain(MemoryStore);
    impl sessile::SessionStore for Plain {
        sessile::forward_store!(self => self.0, except users);
    }
    let builder = || SessionConfig::builder(SECRET).store(Plain(MemoryStore::new()));
    let limited = builder().per_user(3, sessile::AtLimit::EndOldest).build();
    assert_eq!(limited.unwrap_err(), ConfigError::PerUser);
    let config = builder().build().unwrap();
    let visitor = log_in(&config, "ada", "own").await;
    assert!(visitor.open().await.unwrap().belongs_to("ada"), "a login needs no list");
    let refused = config.sessions_of("ada").end_all().await.unwrap_err();
    assert_eq!(refused.status(), axum::http::StatusCode::NOT_IMPLEMENTED);
}
