//! Live sessions of tower-sessions move over: see `stores` for programs on servers.

mod common;

use common::moving::{self, GUARDED, Guarded, New, old_program};
use common::{Browser, SECRET};
use sessile::{Origin, SessionConfig};
use tower_sessions_014::MemoryStore;
use tower_sessions_014::cookie::Key;

#[tokio::test]
async fn a_user_who_logged_in_there_goes_on_here() {
    moving::log_in_there_and_go_on_here(MemoryStore::default()).await;
}

#[tokio::test]
async fn a_page_meets_in_one_session() {
    moving::a_page_meets_in_one_session(MemoryStore::default()).await;
}

#[tokio::test]
async fn a_cookie_that_is_guarded_in_another_way_names_no_session() {
    let (key, other) = (Key::generate(), Key::generate());
    for there in GUARDED {
        let store = MemoryStore::default();
        let mut browser = Browser::default();
        browser.get(&old_program(store.clone(), there, &key), "/login").await;
        for here in GUARDED {
            let is_same = std::mem::discriminant(&there) == std::mem::discriminant(&here);
            let key = if is_same && !matches!(here, Guarded::Plain) { &other } else { &key };
            if is_same && matches!(here, Guarded::Plain) {
                continue;
            }
            let new = New::after(store.clone(), here, key);
            let page = browser.clone().send(&new.app, "/me").await;
            assert_eq!(page.text, "nobody", "a cookie of {there:?} is believed by {here:?}");
            assert_eq!(page.cookies(), [""; 0]);
            assert!(new.store.is_empty());
        }
    }
}

#[tokio::test]
async fn only_the_text_that_they_write_names_a_session() {
    let (store, key) = (MemoryStore::default(), Key::generate());
    let mut browser = Browser::default();
    browser.get(&old_program(store.clone(), Guarded::Plain, &key), "/login").await;
    let new = New::after(store, Guarded::Plain, &key);
    let value = browser.0["shop.sid"].clone();
    for wrong in [format!("{value}="), value[1..].to_owned(), format!("{value}A"), String::new()] {
        let browser = Browser([("shop.sid".to_owned(), wrong)].into());
        assert_eq!(browser.send(&new.app, "/me").await.text, "nobody");
    }
    // Other cookies before it are no obstacle.
    let cookies = [("a".to_owned(), "1".to_owned()), ("shop.sid".to_owned(), value)];
    assert_eq!(Browser(cookies.into()).send(&new.app, "/me").await.text, "alice");
}

#[tokio::test]
async fn an_expired_session_does_not_move() {
    use tower_sessions_014::session::{Id, Record};
    use tower_sessions_014::{SessionStore, session_store};

    /// A store that leaves it to its callers to look at the time.
    #[derive(Debug)]
    struct Forgetful;

    #[async_trait::async_trait]
    impl SessionStore for Forgetful {
        async fn save(&self, _: &Record) -> session_store::Result<()> {
            Ok(())
        }
        async fn load(&self, id: &Id) -> session_store::Result<Option<Record>> {
            let expiry_date = time::OffsetDateTime::now_utc() - time::Duration::SECOND;
            Ok(Some(Record { id: *id, data: Default::default(), expiry_date }))
        }
        async fn delete(&self, _: &Id) -> session_store::Result<()> {
            Ok(())
        }
    }
    let sessions = sessile_tower_sessions::v014::TowerSessions::new(Forgetful);
    let config = SessionConfig::builder(SECRET).adopt(sessions).build().unwrap();
    let cookie = format!("id={}", Id::default()).parse().unwrap();
    let headers = [(axum::http::header::COOKIE, cookie)].into_iter().collect();
    let session = config.session_from_headers(&headers).await.unwrap();
    assert_ne!(session.origin(), Origin::Loaded);
}

#[tokio::test]
async fn a_reserved_key_stays_behind() {
    use tower_sessions_014::Session;

    let store = MemoryStore::default();
    let old = Session::new(None, std::sync::Arc::new(store.clone()), None);
    old.insert("flash", "old").await.unwrap();
    old.insert("user", "alice").await.unwrap();
    old.save().await.unwrap();
    let sessions = sessile_tower_sessions::v014::TowerSessions::new(store);
    let config = SessionConfig::builder(SECRET).adopt(sessions).build().unwrap();
    let cookie = format!("id={}", old.id().unwrap()).parse().unwrap();
    let headers = [(axum::http::header::COOKIE, cookie)].into_iter().collect();
    let session = config.session_from_headers(&headers).await.unwrap();
    assert_eq!(session.keys(), ["user"]);
    drop(session.commit().await.unwrap());
}

/// With such a path, tower-sessions has set no cookie. A line that expires another one would hit a stranger's.
#[tokio::test]
async fn a_cookie_that_nobody_can_have_is_not_expired() {
    use axum::response::IntoResponse as _;
    use tower_sessions_014::Session;

    for (path, lines) in [("/shop", 2), ("/shop\u{7f}", 1)] {
        let store = MemoryStore::default();
        let old = Session::new(None, std::sync::Arc::new(store.clone()), None);
        old.insert("user", "alice").await.unwrap();
        old.save().await.unwrap();
        let sessions = sessile_tower_sessions::v014::TowerSessions::new(store).path(path);
        let config = SessionConfig::builder(SECRET).adopt(sessions).build().unwrap();
        let cookie = format!("id={}", old.id().unwrap()).parse().unwrap();
        let headers = [(axum::http::header::COOKIE, cookie)].into_iter().collect();
        let session = config.session_from_headers(&headers).await.unwrap();
        assert_eq!(session.origin(), Origin::Loaded);
        let headers = session.commit().await.unwrap().into_response().headers().clone();
        let cookies: Vec<_> = headers.get_all("set-cookie").iter().collect();
        assert_eq!(cookies.len(), lines, "{cookies:?}");
        assert!(cookies[lines - 1].as_bytes().starts_with(b"connect.sid="), "{cookies:?}");
    }
}

#[cfg(feature = "v015")]
#[tokio::test]
async fn sessions_of_the_other_version_move_as_well() {
    use tower_sessions_015::Session;

    let store = tower_sessions_015::MemoryStore::default();
    let old = Session::new(None, std::sync::Arc::new(store.clone()), None);
    old.insert("user", "alice").await.unwrap();
    old.save().await.unwrap();
    let sessions = sessile_tower_sessions::v015::TowerSessions::new(store);
    let config = SessionConfig::builder(SECRET).adopt(sessions).build().unwrap();
    let cookie = format!("id={}", old.id().unwrap()).parse().unwrap();
    let headers = [(axum::http::header::COOKIE, cookie)].into_iter().collect();
    let session = config.session_from_headers(&headers).await.unwrap();
    assert_eq!(session.get::<String>("user").unwrap().as_deref(), Some("alice"));
    drop(session.commit().await.unwrap());
}
