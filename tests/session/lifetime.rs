//! New ids, the end of a session, and its life.

use std::time::{Duration, SystemTime};

use crate::common::stores::{DAY, RecordingStore};
use crate::common::{TestClient, builder};
use sessile::{Origin, Session, SessionConfig, SessionError};

const HOUR: Duration = Duration::from_secs(3600);

fn setup() -> (SessionConfig, RecordingStore) {
    let store = RecordingStore::default();
    let config = builder().store(store.clone()).build().unwrap();
    (config, store)
}

/// A visitor with `n` = 1 and one message.
async fn visitor(config: &SessionConfig) -> TestClient {
    let mut client = TestClient::new();
    let session = client.open(config).await;
    session.insert("n", 1).unwrap();
    session.flash("info", "x").unwrap();
    client.commit(&session).await;
    client
}

#[tokio::test]
async fn regenerate_is_a_new_id_and_nothing_else() {
    let (config, store) = setup();
    let mut client = visitor(&config).await;
    let before = client.clone();
    let session = client.open(&config).await;
    session.set_max_age(None);
    let old = session.id();
    store.calls();
    session.regenerate();
    let new = session.id();
    assert_ne!(new, old);
    assert!(session.is_empty() && session.is_new());
    assert_eq!(session.peek_flash::<String>("info").unwrap(), [""; 0]);
    assert_eq!(session.max_age(), Some(DAY), "the configured one");
    assert_eq!(store.calls(), [""; 0], "nothing happens before the commit");
    session.insert("m", 2).unwrap();
    let cookie = client.commit(&session).await.cookie().unwrap();
    assert_eq!(store.calls(), ["create", "destroy"]);
    assert_eq!(config.verify(&cookie.value), Some(new.clone()));
    assert_eq!(store.ids(), [new]);
    assert_eq!(client.open(&config).await.keys(), ["m"]);
    assert_eq!(before.open(&config).await.origin(), Origin::Unknown, "the old cookie is dead");
}

#[tokio::test]
async fn cycle_id_is_a_new_id_for_the_same_data() {
    let (config, store) = setup();
    let mut client = visitor(&config).await;
    let before = client.clone();
    let session = client.open(&config).await;
    session.set_max_age(Some(HOUR));
    session.insert("m", 2).unwrap();
    let old = session.id();
    session.cycle_id();
    assert_ne!(session.id(), old);
    assert!(!session.is_new());
    let check = |session: &Session| {
        assert_eq!(session.keys(), ["n", "m"]);
        assert_eq!(session.peek_flash::<String>("info").unwrap(), ["x"]);
        assert_eq!(session.max_age(), Some(HOUR));
    };
    check(&session);
    assert!(client.commit(&session).await.cookie().is_some());
    assert_eq!(store.ids(), [session.id()]);
    check(&client.open(&config).await);
    assert_eq!(before.open(&config).await.origin(), Origin::Unknown, "the old cookie is dead");
}

#[tokio::test]
async fn moves_of_a_new_session_and_moves_upon_moves() {
    let (config, store) = setup();
    let mut client = TestClient::new();
    let session = client.open(&config).await;
    let first = session.id();
    session.insert("n", 1).unwrap();
    session.cycle_id();
    session.cycle_id();
    assert_ne!(session.id(), first);
    assert_eq!(session.keys(), ["n"]);
    client.commit(&session).await;
    assert_eq!((store.ids(), store.calls()), (vec![session.id()], vec!["create"]));
    // A regenerated session that is cycled still has no data of the old one.
    session.regenerate();
    session.cycle_id();
    assert!(session.is_empty());
    session.cycle_id();
    session.regenerate();
    client.commit(&session).await;
    assert_eq!(store.ids(), [session.id()]);
    assert!(client.open(&config).await.is_empty());
}

#[tokio::test]
async fn destroy_removes_the_record_and_the_cookie() {
    let (config, store) = setup();
    let mut client = visitor(&config).await;
    let session = client.open(&config).await;
    store.calls();
    session.destroy();
    assert_eq!((store.calls(), store.len()), (vec![], 1), "nothing happens before the commit");
    let answer = client.commit(&session).await;
    assert_eq!((store.calls(), store.len()), (vec!["destroy"], 0));
    assert_eq!(answer.cookie().unwrap().attribute("Max-Age"), Some("0"));
    assert!(client.value("connect.sid").is_none());
}

#[tokio::test]
async fn after_destroy_what_adds_nothing_changes_nothing() {
    let (config, store) = setup();
    let mut client = visitor(&config).await;
    let session = client.open(&config).await;
    session.insert("m", 2).unwrap();
    session.destroy();
    for round in 0..2 {
        assert_eq!(session.remove::<u8>("n").unwrap(), None);
        assert_eq!(session.update("n", |n: Option<u8>| n).unwrap(), None);
        assert_eq!(session.take_flash::<String>("info").unwrap(), [""; 0]);
        for result in [session.save().await, session.reload().await] {
            assert!(matches!(result, Err(SessionError::Destroyed)), "{result:?}");
        }
        session.touch();
        session.clear();
        session.set_max_age(None);
        session.cycle_id();
        session.regenerate();
        assert!(session.take_all_flash().is_empty());
        // Reads find nothing.
        assert!(session.is_empty() && session.get::<u8>("n").unwrap().is_none());
        let answer = client.commit(&session).await;
        assert_eq!(answer.cookie().unwrap().attribute("Max-Age"), Some("0"), "round {round}");
        assert_eq!(store.len(), 0);
    }
    // A session that begins after it is another one.
    let begin: [fn(&Session); 3] = [
        |session| session.insert("n", 2).unwrap(),
        |session| session.flash("info", "y").unwrap(),
        |session| assert_eq!(session.update("n", |_: Option<u8>| Some(1)).unwrap(), Some(1)),
    ];
    for act in begin {
        let mut client = visitor(&config).await;
        let session = client.open(&config).await;
        let ended = session.id();
        session.destroy();
        act(&session);
        let answer = client.commit(&session).await;
        assert_ne!(answer.cookie().unwrap().attribute("Max-Age"), Some("0"));
        assert_ne!(session.id(), ended);
        assert!(!store.ids().contains(&ended));
    }
}

#[tokio::test]
async fn destroying_a_new_session_stores_nothing() {
    let (config, store) = setup();
    let mut client = TestClient::new();
    let session = client.open(&config).await;
    session.insert("n", 1).unwrap();
    session.destroy();
    assert!(client.commit(&session).await.cookie().is_none());
    assert_eq!(store.calls(), [""; 0]);
    // One that was stored in this request is removed again, and the cookie with it.
    let session = client.open(&config).await;
    session.save().await.unwrap();
    session.destroy();
    assert_eq!(client.commit(&session).await.cookie().unwrap().attribute("Max-Age"), Some("0"));
    assert_eq!(store.len(), 0);
}

#[tokio::test]
async fn reload_drops_what_was_done_here_and_brings_what_was_done_elsewhere() {
    let (config, store) = setup();
    let mut client = visitor(&config).await;
    let (one, other) = (client.open(&config).await, client.open(&config).await);
    other.insert("n", 5).unwrap();
    client.commit(&other).await;
    one.insert("m", 1).unwrap();
    one.take_flash::<String>("info").unwrap();
    assert_eq!(one.get::<u8>("n").unwrap(), Some(1));
    one.reload().await.unwrap();
    assert_eq!(one.get::<u8>("n").unwrap(), Some(5));
    assert!(!one.contains_key("m") && !one.is_modified());
    assert_eq!(one.peek_flash::<String>("info").unwrap(), ["x"]);
    other.destroy();
    client.commit(&other).await;
    assert!(matches!(one.reload().await, Err(SessionError::Gone)));
    assert!(matches!(TestClient::new().open(&config).await.reload().await, Err(SessionError::Gone)));
    store.fail(&["get"]);
    assert!(matches!(one.reload().await, Err(SessionError::Store(_))));
}

#[tokio::test]
async fn save_writes_now_and_the_cookie_comes_with_the_commit() {
    let (config, store) = setup();
    let mut client = TestClient::new();
    let session = client.open(&config).await;
    session.insert("n", 1).unwrap();
    session.save().await.unwrap();
    assert_eq!((store.calls(), store.len()), (vec!["create"], 1));
    assert!(!session.is_new() && !session.is_modified());
    let cookie = client.commit(&session).await.cookie().unwrap();
    assert_eq!(config.verify(&cookie.value), Some(session.id()));
    assert_eq!(store.calls(), [""; 0], "the commit has nothing left to do");
    // It writes an unchanged session as well.
    let session = client.open(&config).await;
    store.calls();
    session.save().await.unwrap();
    assert_eq!(store.calls(), ["replace"]);
    session.insert("n", 2).unwrap();
    client.commit(&session).await;
    assert_eq!(store.calls(), ["replace"]);
}

#[tokio::test]
async fn save_stores_what_nobody_filled() {
    let store = RecordingStore::default();
    let config = builder().save_uninitialized(false).store(store.clone()).build().unwrap();
    let mut client = TestClient::new();
    let session = client.open(&config).await;
    session.save().await.unwrap();
    assert_eq!(store.len(), 1);
    assert!(
        client.commit(&session).await.cookie().is_some(),
        "Express leaves such a record without a cookie"
    );
}

#[tokio::test]
async fn touch_extends_the_life_whatever_the_throttle_says() {
    let (config, store) = setup();
    let mut client = visitor(&config).await;
    let session = client.open(&config).await;
    store.calls();
    store.ttls();
    session.touch();
    assert!(!session.is_modified());
    let answer = client.commit(&session).await;
    assert!(answer.cookie().is_none());
    assert_eq!((store.calls(), store.ttls()), (vec!["touch"], vec![DAY]));
    client.commit(&session).await;
    assert_eq!(store.calls(), [""; 0], "once");
    session.touch();
    client.commit(&session).await;
    assert_eq!(store.calls(), ["touch"]);
}

#[tokio::test]
async fn a_touch_that_finds_nothing_sends_no_cookie() {
    let store = RecordingStore::default();
    let config = builder().rolling(true).store(store.clone()).build().unwrap();
    let mut client = visitor(&config).await;
    let (late, logout) = (client.open(&config).await, client.open(&config).await);
    logout.destroy();
    client.commit(&logout).await;
    late.touch();
    assert!(client.commit(&late).await.cookie().is_none());
    assert_eq!(store.len(), 0);
}

#[tokio::test]
async fn remember_me_holds_for_later_requests() {
    let config = builder().browser_session().build().unwrap();
    let mut client = TestClient::new();
    let session = client.open(&config).await;
    assert_eq!((session.max_age(), session.expires()), (None, None));
    session.set_max_age(Some(30 * DAY));
    assert_eq!(session.max_age(), Some(30 * DAY));
    let cookie = client.commit(&session).await.cookie().unwrap();
    assert_eq!(cookie.attribute("Max-Age"), Some("2592000"));
    for n in 0..3 {
        let session = client.open(&config).await;
        assert_eq!(session.max_age(), Some(30 * DAY));
        assert_eq!(session.cookie().original_max_age(), Some(30 * DAY));
        session.insert("n", n).unwrap();
        let cookie = client.commit(&session).await.cookie().unwrap();
        assert_eq!(cookie.attribute("Max-Age"), Some("2592000"));
    }
    // And back: the cookie that ends with the browser is sent once.
    let session = client.open(&config).await;
    session.set_max_age(None);
    let cookie = client.commit(&session).await.cookie().unwrap();
    assert!(!cookie.has("Max-Age") && !cookie.has("Expires"));
    let session = client.open(&config).await;
    assert_eq!(session.max_age(), None);
    session.insert("n", 9).unwrap();
    assert!(client.commit(&session).await.cookie().is_none());
}

#[tokio::test]
async fn a_changed_max_age_alone_is_a_modification() {
    let (config, store) = setup();
    let mut client = visitor(&config).await;
    let session = client.open(&config).await;
    store.ttls();
    session.set_max_age(Some(DAY));
    assert!(!session.is_modified(), "it was a day before");
    session.set_max_age(Some(HOUR));
    assert!(session.is_modified());
    let cookie = client.commit(&session).await.cookie().unwrap();
    assert_eq!((cookie.attribute("Max-Age"), store.ttls()), (Some("3600"), vec![HOUR]));
    let text = store.text(&session.id()).await.unwrap();
    assert!(text.contains("\"originalMaxAge\":3600000,\"expires\":\"20"), "{text}");
}

#[tokio::test]
async fn max_age_is_bounded_and_whole_milliseconds() {
    let (config, _) = setup();
    let session = TestClient::new().open(&config).await;
    session.set_max_age(Some(Duration::MAX));
    assert_eq!(session.max_age(), Some(400 * DAY));
    session.set_max_age(Some(Duration::from_nanos(1_999_999)));
    assert_eq!(session.max_age(), Some(Duration::from_millis(1)));
    let _ = session.commit().await.unwrap();
}

#[tokio::test]
async fn a_max_age_of_zero_ends_the_session() {
    let (config, _) = setup();
    let mut client = visitor(&config).await;
    let before = client.clone();
    let session = client.open(&config).await;
    session.set_max_age(Some(Duration::ZERO));
    let cookie = client.commit(&session).await.cookie().unwrap();
    assert_eq!(cookie.attribute("Max-Age"), Some("0"));
    assert!(before.open(&config).await.is_new());
}

#[tokio::test]
async fn expires_is_when_the_session_ends() {
    let (config, store) = setup();
    let near = |at: Option<SystemTime>, life: Duration| {
        let left = at.unwrap().duration_since(SystemTime::now()).unwrap();
        assert!(left <= life && left + Duration::from_secs(5) > life, "{left:?}");
    };
    let mut client = TestClient::new();
    let session = client.open(&config).await;
    near(session.expires(), DAY);
    client.commit(&session).await;
    near(session.expires(), DAY);
    session.set_max_age(Some(HOUR));
    near(session.expires(), HOUR);
    near(session.cookie().expires(), HOUR);
    session.set_max_age(None);
    assert_eq!((session.expires(), session.cookie().expires()), (None, None));
    session.reload().await.unwrap();
    // Loaded and not touched, it ends when the store says.
    store.say_left(DAY - Duration::from_secs(30));
    near(client.open(&config).await.expires(), DAY - Duration::from_secs(30));
    store.say_left(HOUR);
    near(client.open(&config).await.expires(), DAY);
}
