//! Rare ways to log in, and what must hold all the same.

use std::sync::Mutex;
use std::time::Duration;

use crate::{HOUR, SECRET, builder, is_alive, log_in};
use axum::http::HeaderMap;
use axum::http::header::COOKIE;
use sessile::testing::{Op, Probe, TestClock};
use sessile::{AtLimit, MemoryStore, Origin, Record, SessionConfig, SessionError, SessionId, SessionStore};

#[tokio::test]
async fn a_session_past_its_absolute_end_takes_no_place() {
    let clock = TestClock::new();
    let config = builder(&clock)
        .per_user(1, AtLimit::Refuse)
        .absolute_timeout(HOUR)
        .max_age(24 * HOUR)
        .build()
        .unwrap();
    let first = log_in(&config, "ada").await.unwrap();
    assert!(matches!(log_in(&config, "ada").await, Err(SessionError::TooManySessions)));
    clock.advance(HOUR);
    assert!(!is_alive(&first).await);
    assert_eq!(config.sessions_of("ada").count().await.unwrap(), 0);
    assert!(log_in(&config, "ada").await.is_ok(), "the only session is over");
}

#[tokio::test]
async fn expired_sessions_of_an_older_secret_take_no_place() {
    let clock = TestClock::new();
    let store = MemoryStore::builder().clock(clock.clone()).build();
    let (a, b) = ("the first secret of at least 32 bytes", "the second secret of at least 32 bytes");
    let with = |secrets: &[&str]| {
        let builder = SessionConfig::builder(secrets).store(store.clone()).clock(clock.clone());
        builder.per_user(1, AtLimit::Refuse).max_age(HOUR).build().unwrap()
    };
    log_in(&with(&[a]), "ada").await.unwrap();
    let both = with(&[b, a]);
    assert!(matches!(log_in(&both, "ada").await, Err(SessionError::TooManySessions)));
    clock.advance(HOUR + Duration::from_secs(1));
    assert!(log_in(&both, "ada").await.is_ok(), "the only session has expired");
}

#[tokio::test]
async fn the_same_secret_twice_counts_once() {
    let clock = TestClock::new();
    let store = MemoryStore::builder().clock(clock.clone()).build();
    let builder = SessionConfig::builder([SECRET, SECRET]).store(store).clock(clock);
    let config = builder.per_user(2, AtLimit::Refuse).build().unwrap();
    let one = log_in(&config, "ada").await.unwrap();
    let two = log_in(&config, "ada").await.unwrap();
    assert_eq!(config.sessions_of("ada").count().await.unwrap(), 2);
    assert!(is_alive(&one).await && is_alive(&two).await);
    assert_eq!(config.sessions_of("ada").end_all().await.unwrap(), 2);
}

/// A `genid` that repeats itself costs another id, and takes nothing from the session that has the first one.
#[tokio::test]
async fn a_login_whose_id_is_taken_leaves_the_other_session_in_the_list() {
    let clock = TestClock::new();
    let ids = Mutex::new(vec!["c", "b", "a", "a"]);
    let genid = move || SessionId::new(ids.lock().unwrap().pop().unwrap()).unwrap();
    let config = builder(&clock).genid(genid).build().unwrap();
    let first = log_in(&config, "ada").await.unwrap();
    clock.advance(HOUR);
    let second = log_in(&config, "ada").await.unwrap();
    let ids = (first.open().await.unwrap().id(), second.open().await.unwrap().id());
    assert_ne!(ids.0, ids.1);
    assert_eq!(config.sessions_of("ada").count().await.unwrap(), 2);
    assert_eq!(config.sessions_of("ada").end_all().await.unwrap(), 2);
    assert!(!is_alive(&first).await && !is_alive(&second).await);
}

#[tokio::test]
async fn a_new_id_that_is_the_old_one_is_another() {
    let clock = TestClock::new();
    let ids = Mutex::new(vec!["c", "b", "a", "a"]);
    let genid = move || SessionId::new(ids.lock().unwrap().pop().unwrap()).unwrap();
    let config = builder(&clock).genid(genid).build().unwrap();
    let mut visitor = log_in(&config, "ada").await.unwrap();
    let session = visitor.open().await.unwrap();
    session.cycle_id();
    visitor.commit(&session).await.unwrap();
    assert!(is_alive(&visitor).await);
    assert_eq!(config.sessions_of("ada").end_all().await.unwrap(), 1);
    assert!(!is_alive(&visitor).await);
}

#[tokio::test]
async fn a_reload_finds_the_absolute_end() {
    let clock = TestClock::new();
    let config = builder(&clock).absolute_timeout(HOUR).max_age(24 * HOUR).build().unwrap();
    let session = log_in(&config, "ada").await.unwrap().open().await.unwrap();
    session.reload().await.unwrap();
    clock.advance(HOUR);
    assert!(matches!(session.reload().await, Err(SessionError::Gone)));
}

#[tokio::test]
async fn a_login_after_an_impersonation_counts() {
    let config = builder(&TestClock::new()).per_user(1, AtLimit::Refuse).build().unwrap();
    let mut staff = log_in(&config, "staff").await.unwrap();
    let session = staff.open().await.unwrap();
    session.impersonate("ada").unwrap();
    staff.commit(&session).await.unwrap();
    let session = staff.open().await.unwrap();
    session.log_in("ada").unwrap();
    staff.commit(&session).await.unwrap();
    let session = staff.open().await.unwrap();
    assert!(session.belongs_to("ada") && !session.is_impersonated());
    assert!(matches!(log_in(&config, "ada").await, Err(SessionError::TooManySessions)));
    assert_eq!(config.sessions_of("ada").count().await.unwrap(), 1);
}

#[tokio::test]
async fn who_logs_in_again_after_a_rotation_takes_no_second_place() {
    for at in [AtLimit::Refuse, AtLimit::EndOldest] {
        let store = MemoryStore::new();
        let (a, b) = ("the first secret of at least 32 bytes", "the second secret of at least 32 bytes");
        let with = |secrets: &[&str]| {
            SessionConfig::builder(secrets).store(store.clone()).per_user(1, at).build().unwrap()
        };
        let visitor = log_in(&with(&[a]), "ada").await.unwrap();
        let both = with(&[b, a]);
        let session = both.session_from_headers(&visitor.headers()).await.unwrap();
        session.insert("cart", 1).unwrap();
        drop(session.commit().await.unwrap());
        session.log_in("ada").unwrap();
        drop(session.commit().await.unwrap());
        assert_eq!(session.get::<u32>("cart").unwrap(), Some(1));
        assert_eq!(both.sessions_of("ada").count().await.unwrap(), 1);
    }
}

#[tokio::test]
async fn a_login_that_has_begun_says_nothing_of_the_user() {
    let config = builder(&TestClock::new()).build().unwrap();
    let ada = config.sessions_of("ada");
    ada.end_all().await.unwrap();
    assert_eq!(format!("{:?}", ada.begin_login().await.unwrap()), "Login(REDACTED)");
}

#[tokio::test]
async fn metadata_that_cannot_be_read_is_a_guests() {
    let store = MemoryStore::new();
    let config = SessionConfig::builder(SECRET)
        .store(store.clone())
        .save_uninitialized(false)
        .absolute_timeout(HOUR)
        .build()
        .unwrap();
    let user = {
        let visitor = log_in(&config, "eve").await.unwrap();
        let id = visitor.open().await.unwrap().id();
        let json = store.get(&id).await.unwrap().unwrap().record.as_json().to_owned();
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        json["__sessile"]["user"].as_str().unwrap().to_owned()
    };
    let odd = [
        "null".to_owned(),
        "7".to_owned(),
        "\"text\"".to_owned(),
        "[]".to_owned(),
        "[1]".to_owned(),
        "{}".to_owned(),
        "{\"user\":7}".to_owned(),
        "{\"user\":null,\"born\":null}".to_owned(),
        format!("{{\"user\":\"{user}\",\"label\":7}}"),
        format!("{{\"user\":\"{user}\",\"user\":\"{user}\"}}"),
        format!("{{\"user\":\"{user}\",\"born\":-1}}"),
        format!("{{\"born\":{}}}", u64::MAX),
        "{\"born\":1e400}".to_owned(),
        "{\"confirmed\":18446744073709551615}".to_owned(),
    ];
    for (n, text) in odd.iter().enumerate() {
        let id = SessionId::new(format!("odd{n}")).unwrap();
        let record: Record =
            serde_json::from_str(&format!(r#"{{"cookie":{{}},"n":1,"__sessile":{text}}}"#)).unwrap();
        store.set(&id, &record, HOUR).await.unwrap();
        let mut headers = HeaderMap::new();
        headers.insert(COOKIE, format!("connect.sid={}", config.sign(&id)).parse().unwrap());
        let session = config.session_from_headers(&headers).await.unwrap();
        assert_eq!(session.origin(), Origin::Loaded, "{text}");
        assert!(!session.is_logged_in() && !session.is_impersonated(), "{text}");
        assert!(!session.confirmed_within(HOUR), "{text}");
        session.insert("n", 2).unwrap();
        drop(session.commit().await.unwrap());
        session.log_in("ada").unwrap();
        drop(session.commit().await.unwrap());
        assert!(session.belongs_to("ada"), "{text}");
        assert_eq!(config.sessions_of("ada").end_all().await.unwrap(), 1, "{text}");
    }
}

#[tokio::test]
async fn a_session_outside_of_a_request_takes_what_it_needs_along() {
    let config = builder(&TestClock::new()).build().unwrap();
    let (user, carts) = (String::from("ada\0") + &"x".repeat(1 << 20), vec![1, 2]);
    let label = "é".repeat(200);
    let other = config.clone();
    let created = tokio::spawn(async move {
        other
            .create_session(async |session| {
                session.log_in(&user)?;
                session.set_device_label(&label);
                tokio::task::yield_now().await;
                session.insert("carts", &carts)
            })
            .await
            .unwrap()
    });
    let created = created.await.unwrap();
    let mut headers = HeaderMap::new();
    headers.insert(COOKIE, created.cookie());
    let session = config.session_from_headers(&headers).await.unwrap();
    assert_eq!(session.handle(), created.handle());
    let user = String::from("ada\0") + &"x".repeat(1 << 20);
    assert!(session.belongs_to(&user) && !session.belongs_to("ada"));
    let list = config.sessions_of(&user).list().await.unwrap();
    assert_eq!(list[0].device_label(), Some(&*"é".repeat(128)));
    let ended = session.ended();
    let waiting = tokio::spawn(async move {
        tokio::select! {
            how = ended => how,
            () = std::future::pending() => unreachable!(),
        }
    });
    config.sessions_of(&user).end_all().await.unwrap();
    waiting.await.unwrap();
}

/// The old record lives on beside the new one, whose id nobody has been told.
#[tokio::test]
async fn a_session_whose_new_id_failed_is_this_one_in_the_list() {
    let probe = Probe::new(MemoryStore::new());
    let config = SessionConfig::builder(SECRET).store(probe.clone()).build().unwrap();
    let mut visitor = log_in(&config, "ada").await.unwrap();
    let session = visitor.open().await.unwrap();
    session.cycle_id();
    probe.fail(Op::DestroyIf, 0);
    probe.fail(Op::DestroyIf, 0);
    assert!(visitor.commit(&session).await.is_err());
    drop(session);
    let session = visitor.open().await.unwrap();
    let list = config.sessions_of("ada").list().await.unwrap();
    assert_eq!(list.len(), 1);
    assert!(list[0].is(&session));
    assert!(config.sessions_of("ada").end(&list[0].handle()).await.unwrap());
    assert_eq!(visitor.open().await.unwrap().origin(), Origin::Unknown);
}
