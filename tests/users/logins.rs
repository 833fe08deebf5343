//! What a login keeps, drops and notes.

use std::time::Duration;

use crate::SECRET;
use sessile::testing::{TestClock, Visitor};
use sessile::{MemoryStore, Origin, SessionConfig, SessionError};

fn config() -> SessionConfig {
    SessionConfig::builder(SECRET).save_uninitialized(false).build().unwrap()
}

#[tokio::test]
async fn a_guests_cart_stays_and_the_id_is_new() {
    let config = config();
    let mut visitor = Visitor::new(&config);
    let session = visitor.open().await.unwrap();
    session.insert("cart", ["book"]).unwrap();
    session.flash("info", "hello").unwrap();
    visitor.commit(&session).await.unwrap();
    let guest = session.id();

    let session = visitor.open().await.unwrap();
    assert!(!session.is_logged_in());
    session.log_in(7).unwrap();
    assert!(
        session.is_logged_in() && session.belongs_to(7) && session.belongs_to("7") && !session.belongs_to(8)
    );
    visitor.commit(&session).await.unwrap();
    assert_ne!(session.id(), guest);

    let session = visitor.open().await.unwrap();
    assert!(session.belongs_to(7) && session.is_logged_in());
    assert_eq!(session.get::<Vec<String>>("cart").unwrap(), Some(vec!["book".to_owned()]));
    assert_eq!(session.peek_flash::<String>("info").unwrap(), ["hello"]);
    assert_eq!(session.keys(), ["cart"], "what the crate keeps is no key");
    assert_eq!(session.len(), 1);
}

#[tokio::test]
async fn another_users_data_never_goes_over() {
    let config = config();
    let mut visitor = Visitor::new(&config);
    let session = visitor.open().await.unwrap();
    session.log_in("ada").unwrap();
    session.insert("private", "ada's").unwrap();
    session.flash("info", "for ada").unwrap();
    visitor.commit(&session).await.unwrap();
    let before = visitor.clone();

    let session = visitor.open().await.unwrap();
    session.insert("draft", "written before the login").unwrap();
    session.log_in("bob").unwrap();
    session.insert("private", "bob's").unwrap();
    visitor.commit(&session).await.unwrap();
    assert_eq!(before.open().await.unwrap().origin(), Origin::Unknown, "ada's session is over");

    let session = visitor.open().await.unwrap();
    assert!(session.belongs_to("bob") && !session.belongs_to("ada"));
    assert_eq!(session.keys(), ["private"]);
    assert_eq!(session.get::<String>("private").unwrap().as_deref(), Some("bob's"));
    assert!(session.take_all_flash().is_empty());
    assert_eq!(config.sessions_of("ada").count().await.unwrap(), 0);
    assert_eq!(config.sessions_of("bob").count().await.unwrap(), 1);
}

#[tokio::test]
async fn clear_and_log_out_forget_the_user() {
    for log_out in [sessile::Session::clear, sessile::Session::log_out] {
        let config = config();
        let mut visitor = Visitor::new(&config);
        let session = visitor.open().await.unwrap();
        session.log_in("ada").unwrap();
        visitor.commit(&session).await.unwrap();
        let session = visitor.open().await.unwrap();
        log_out(&session);
        assert!(!session.is_logged_in());
        visitor.commit(&session).await.unwrap();
        assert!(!visitor.open().await.unwrap().is_logged_in());
        assert_eq!(config.sessions_of("ada").list().await.unwrap().len(), 0);
    }
}

#[tokio::test]
async fn a_confirmation_grows_old() {
    let clock = TestClock::new();
    let store = MemoryStore::builder().clock(clock.clone()).build();
    let config = SessionConfig::builder(SECRET).store(store).clock(clock.clone()).build().unwrap();
    let mut visitor = Visitor::new(&config);
    let session = visitor.open().await.unwrap();
    session.confirm();
    assert!(!session.confirmed_within(Duration::MAX), "nobody is logged in");
    session.log_in("ada").unwrap();
    visitor.commit(&session).await.unwrap();
    let ten = Duration::from_secs(600);
    assert!(visitor.open().await.unwrap().confirmed_within(ten));
    clock.advance(ten + Duration::from_secs(1));
    let session = visitor.open().await.unwrap();
    assert!(!session.confirmed_within(ten));
    session.confirm();
    assert!(session.confirmed_within(ten));
    visitor.commit(&session).await.unwrap();
    assert!(visitor.open().await.unwrap().confirmed_within(ten));
}

#[tokio::test]
async fn an_empty_user_is_refused() {
    let config = config();
    let session = Visitor::new(&config).open().await.unwrap();
    assert!(matches!(session.log_in(""), Err(SessionError::Encode { .. })));
    assert!(!session.is_logged_in());
}

#[tokio::test]
async fn support_staff_act_as_a_user_and_come_back() {
    let config = config();
    let mut staff = Visitor::new(&config);
    let session = staff.open().await.unwrap();
    assert!(matches!(session.impersonate("ada"), Err(SessionError::NotLoggedIn)));
    session.log_in("staff").unwrap();
    session.insert("theme", "dark").unwrap();
    staff.commit(&session).await.unwrap();
    let own = session.id();

    let session = staff.open().await.unwrap();
    session.impersonate("ada").unwrap();
    staff.commit(&session).await.unwrap();
    assert_ne!(session.id(), own);
    let session = staff.open().await.unwrap();
    assert!(session.belongs_to("ada") && !session.belongs_to("staff") && session.is_impersonated());
    assert!(matches!(session.impersonate("bob"), Err(SessionError::NotLoggedIn)));
    for user in ["ada", "staff"] {
        let list = config.sessions_of(user).list().await.unwrap();
        assert_eq!(list.len(), 1, "{user}");
        assert!(list[0].is_impersonated() && list[0].is(&session));
    }

    session.stop_impersonating();
    staff.commit(&session).await.unwrap();
    let session = staff.open().await.unwrap();
    assert!(session.belongs_to("staff") && !session.is_impersonated());
    assert_eq!(session.get::<String>("theme").unwrap().as_deref(), Some("dark"));
    assert_eq!(config.sessions_of("ada").count().await.unwrap(), 0);
    assert_eq!(config.sessions_of("staff").count().await.unwrap(), 1);
}

#[tokio::test]
async fn either_users_end_ends_an_impersonation() {
    for user in ["ada", "staff"] {
        let config = config();
        let mut staff = Visitor::new(&config);
        let session = staff.open().await.unwrap();
        session.log_in("staff").unwrap();
        staff.commit(&session).await.unwrap();
        let session = staff.open().await.unwrap();
        session.impersonate("ada").unwrap();
        staff.commit(&session).await.unwrap();
        assert_eq!(config.sessions_of(user).end_all().await.unwrap(), 1);
        assert_eq!(staff.open().await.unwrap().origin(), Origin::Unknown);
    }
}
