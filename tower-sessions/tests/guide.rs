//! Walks the guide *Coming from tower-sessions*: a visitor who logs in before its first step is still logged in
//! after its last. The programs of the page are here word for word.

mod common;

use std::convert::Infallible;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use axum_login::{AuthManager, AuthManagerLayerBuilder, AuthSession, AuthUser, AuthnBackend};
use common::{Browser, SECRET};
use sessile::{MemoryStore, Session, SessionConfig, SessionError, SessionLayer};
use sessile_tower_sessions::v014::{TowerSessionLayer, TowerSessions};
use tower::layer::layer_fn;
use tower_sessions_014::SessionManagerLayer;
use tower_sessions_014::cookie::Key;

#[derive(Debug, Clone)]
struct User;

impl AuthUser for User {
    type Id = u64;

    fn id(&self) -> u64 {
        7
    }

    fn session_auth_hash(&self) -> &[u8] {
        b"the hash of a password"
    }
}

#[derive(Debug, Clone)]
struct Backend;

impl AuthnBackend for Backend {
    type User = User;
    type Credentials = ();
    type Error = Infallible;

    async fn authenticate(&self, (): ()) -> Result<Option<User>, Infallible> {
        Ok(Some(User))
    }

    async fn get_user(&self, _: &u64) -> Result<Option<User>, Infallible> {
        Ok(Some(User))
    }
}

async fn log_in(mut auth: AuthSession<Backend>) -> StatusCode {
    auth.login(&User).await.unwrap();
    auth.session.insert("name", "alice").await.unwrap();
    StatusCode::OK
}

/// The handler before it is rewritten.
mod before {
    use axum_login::AuthSession;

    pub(super) async fn me(auth: AuthSession<super::Backend>) -> String {
        let name = auth.session.get::<String>("name").await.unwrap().unwrap_or_default();
        if auth.user.is_some() { name } else { String::new() }
    }
}

async fn me(session: Session) -> Result<String, SessionError> {
    Ok(session.get::<String>("name")?.unwrap_or_default())
}

#[tokio::test]
async fn a_visitor_stays_logged_in_through_every_step() -> Result<(), sessile::ConfigError> {
    let (old_store, key, secret) = (tower_sessions_014::MemoryStore::default(), Key::generate(), SECRET);
    let store = MemoryStore::new();
    let mut browser = Browser::default();

    // The program as it was.
    let layer = SessionManagerLayer::new(old_store.clone()).with_name("id").with_signed(key.clone());
    let app = Router::new()
        .route("/login", get(log_in))
        .route("/me", get(before::me))
        .layer(AuthManagerLayerBuilder::new(Backend, layer).build());
    browser.get(&app, "/login").await;
    assert_eq!(browser.get(&app, "/me").await.text, "alice");

    // Step 1.
    {
        use before::me;
        let sessions = SessionConfig::builder(secret)
            .save_uninitialized(false)
            .adopt(TowerSessions::new(old_store).name("id").signed(key))
            // So that the next step finds what this one has stored.
            .store(store.clone())
            .build()?;
        let app = Router::new()
            .route("/login", get(log_in))
            .route("/me", get(me))
            .layer(layer_fn(|inner| AuthManager::new(inner, Backend, "axum-login.data")))
            .layer(TowerSessionLayer::new(sessions));
        assert_eq!(browser.get(&app, "/me").await.text, "alice", "step 1 has logged the visitor out");
        assert_eq!(browser.0.keys().collect::<Vec<_>>(), ["connect.sid"]);
    }

    // Steps 2 and 3.
    let sessions = SessionConfig::builder(secret).save_uninitialized(false).store(store).build()?;
    let app = Router::new()
        .route("/me", get(me))
        .layer(TowerSessionLayer::new(sessions.clone()))
        .with_state(sessions.clone());
    assert_eq!(browser.get(&app, "/me").await.text, "alice", "step 2 has logged the visitor out");
    let app =
        Router::new().route("/me", get(me)).layer(SessionLayer::new(sessions.clone())).with_state(sessions);
    assert_eq!(browser.get(&app, "/me").await.text, "alice", "step 3 has logged the visitor out");
    Ok(())
}

#[test]
fn the_programs_of_the_page_are_these() {
    let page = include_str!("../../docs/guide/coming-from-tower-sessions.md");
    let start = page.find("## Moving a live program\n").unwrap();
    let section = &page[start..start + page[start..].find("\n## What carries over").unwrap()];
    let programs: Vec<_> = section.split("```rust,ignore\n").skip(1).collect();
    assert_eq!(programs.len(), 3);
    // However rustfmt has broken the lines.
    let squeezed = |text: &str| text.split_whitespace().collect::<String>();
    let own = squeezed(include_str!("guide.rs"));
    for line in programs.iter().flat_map(|program| program.split("```").next().unwrap().lines()) {
        assert!(own.contains(&squeezed(line)), "the test does not run this line: {line}");
    }
}
