//! Live programs with tower-sessions that are moved over, whatever their store is.

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use sessile::{MemoryStore, SessionConfig, SessionError, SessionLayer};
use sessile_tower_sessions::v014::TowerSessions;

use super::tower_sessions::cookie::Key;
use super::tower_sessions::service::CookieController;
use super::tower_sessions::{Expiry, Session, SessionManagerLayer, SessionStore};
use super::{Browser, SECRET};

/// How the old program guards its cookie.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Guarded {
    Plain,
    Signed,
    Private,
}

pub(crate) const GUARDED: [Guarded; 3] = [Guarded::Plain, Guarded::Signed, Guarded::Private];

async fn log_in(session: Session) -> StatusCode {
    session.insert("user", "alice").await.unwrap();
    session.insert("cart", serde_json::json!({ "pear": 1, "price": 1.5, "large": u64::MAX })).await.unwrap();
    StatusCode::OK
}

async fn old_me(session: Session) -> String {
    session.get::<String>("user").await.unwrap().unwrap_or("nobody".to_owned())
}

async fn old_count(session: Session) -> String {
    let count = session.get::<u32>("count").await.unwrap().unwrap_or(0) + 1;
    session.insert("count", count).await.unwrap();
    count.to_string()
}

/// The program as it was.
pub(crate) fn old_program<S: SessionStore + Clone>(store: S, guarded: Guarded, key: &Key) -> Router {
    fn with<S: SessionStore + Clone, C: CookieController + Sync>(layer: SessionManagerLayer<S, C>) -> Router {
        let day = Expiry::OnInactivity(time::Duration::days(1));
        Router::new()
            .route("/login", get(log_in))
            .route("/me", get(old_me))
            .route("/count", get(old_count))
            .layer(layer.with_name("shop.sid").with_path("/").with_domain("shop.example").with_expiry(day))
    }
    let layer = SessionManagerLayer::new(store);
    match guarded {
        Guarded::Plain => with(layer),
        Guarded::Signed => with(layer.with_signed(key.clone())),
        Guarded::Private => with(layer.with_private(key.clone())),
    }
}

async fn me(session: sessile::Session) -> Result<String, SessionError> {
    Ok(session.get::<String>("user")?.unwrap_or("nobody".to_owned()))
}

async fn cart(session: sessile::Session) -> Result<String, SessionError> {
    let cart: Option<serde_json::Value> = session.get("cart")?;
    Ok(cart.unwrap_or_default().to_string())
}

async fn count(session: sessile::Session) -> Result<String, SessionError> {
    let count = session.update("count", |count: Option<u32>| Some(count.unwrap_or(0) + 1))?;
    Ok(count.unwrap_or_default().to_string())
}

async fn log_out(session: sessile::Session) {
    session.log_out();
}

/// The program as it is now.
pub(crate) struct New {
    pub(crate) app: Router,
    pub(crate) store: MemoryStore,
}

impl New {
    pub(crate) fn after<S: SessionStore + Clone>(store: S, guarded: Guarded, key: &Key) -> Self {
        let sessions = TowerSessions::new(store).name("shop.sid").path("/").domain("shop.example");
        let sessions = match guarded {
            Guarded::Plain => sessions.plain(),
            Guarded::Signed => sessions.signed(key.clone()),
            Guarded::Private => sessions.private(key.clone()),
        };
        let store = MemoryStore::new();
        let builder = SessionConfig::builder(SECRET).store(store.clone()).save_uninitialized(false);
        let config = builder.adopt(sessions).build().unwrap();
        let app = Router::new()
            .route("/me", get(me))
            .route("/cart", get(cart))
            .route("/count", get(count))
            .route("/logout", get(log_out))
            .layer(SessionLayer::new(config.clone()))
            .with_state(config);
        Self { app, store }
    }
}

/// Logs in at the old program and goes on at the new one.
pub(crate) async fn log_in_there_and_go_on_here<S: SessionStore + Clone>(store: S) {
    for guarded in GUARDED {
        let key = Key::generate();
        let old = old_program(store.clone(), guarded, &key);
        let new = New::after(store.clone(), guarded, &key);
        let mut browser = Browser::default();
        browser.get(&old, "/login").await;
        browser.get(&old, "/count").await;
        assert_eq!(browser.get(&old, "/me").await.text, "alice", "{guarded:?}");
        let before = browser.clone();

        let page = browser.get(&new.app, "/me").await;
        assert_eq!(page.text, "alice", "{guarded:?}: logged out by the move");
        let expired: Vec<_> =
            page.cookies().into_iter().filter(|line| line.starts_with("shop.sid=;")).collect();
        assert_eq!(expired.len(), 1, "{guarded:?}: the old cookie stays: {page:?}");
        assert!(expired[0].contains("Domain=shop.example") && expired[0].contains("Path=/"), "{expired:?}");
        assert_eq!(browser.0.keys().collect::<Vec<_>>(), ["connect.sid"], "{guarded:?}");
        let cart = format!(r#"{{"large":{},"pear":1,"price":1.5}}"#, u64::MAX);
        assert_eq!(browser.get(&new.app, "/cart").await.text, cart);
        assert_eq!(browser.get(&new.app, "/count").await.text, "2", "{guarded:?}: a value is lost");
        assert_eq!(
            before.clone().send(&old, "/me").await.text,
            "nobody",
            "{guarded:?}: the old record stays"
        );

        browser.get(&new.app, "/logout").await;
        assert_eq!(
            before.send(&new.app, "/me").await.text,
            "nobody",
            "{guarded:?}: the old cookie undid the logout"
        );
        assert!(new.store.is_empty());
    }
}

/// Five requests of one page come at once, all with the old cookie.
pub(crate) async fn a_page_meets_in_one_session<S: SessionStore + Clone>(store: S) {
    let key = Key::generate();
    let old = old_program(store.clone(), Guarded::Signed, &key);
    let new = New::after(store, Guarded::Signed, &key);
    let mut browser = Browser::default();
    browser.get(&old, "/login").await;
    let requests = (0..5).map(|_| {
        let (app, browser) = (new.app.clone(), browser.clone());
        tokio::spawn(async move { browser.send(&app, "/count").await })
    });
    let mut counts = Vec::new();
    for request in requests.collect::<Vec<_>>() {
        let page = request.await.unwrap();
        assert_eq!(page.status, StatusCode::OK);
        counts.push(page.text);
    }
    assert_eq!(new.store.len(), 1, "the page got several sessions");
    assert_eq!(browser.get(&new.app, "/me").await.text, "alice");
    assert_eq!(browser.get(&new.app, "/count").await.text, "6", "an update is lost");
}
