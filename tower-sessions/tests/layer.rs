//! Programs that are written for tower-sessions run on a `sessile` session: axum-login, axum-messages, and
//! extractors of `tower_sessions::Session`.

mod common;

use std::convert::Infallible;
use std::time::Duration;

use axum::Router;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::routing::get;
use axum_login::{AuthManager, AuthSession, AuthUser, AuthnBackend, login_required};
use axum_messages::{Messages, MessagesManagerLayer};
use common::{Browser, SECRET};
use futures_util::future::join_all;
use sessile::testing::{Op, Probe};
use sessile::{MemoryStore, SessionConfig, SessionError};
use sessile_tower_sessions::v014::TowerSessionLayer;
use tower::layer::layer_fn;
use tower_sessions_014::{Expiry, Session};

#[derive(Debug, Clone)]
struct User {
    name: String,
    hash: Vec<u8>,
}

impl AuthUser for User {
    type Id = String;

    fn id(&self) -> String {
        self.name.clone()
    }

    fn session_auth_hash(&self) -> &[u8] {
        &self.hash
    }
}

/// Knows everybody, whose password is their name.
#[derive(Debug, Clone)]
struct Backend;

impl AuthnBackend for Backend {
    type User = User;
    type Credentials = String;
    type Error = Infallible;

    async fn authenticate(&self, name: String) -> Result<Option<User>, Infallible> {
        self.get_user(&name).await
    }

    async fn get_user(&self, name: &String) -> Result<Option<User>, Infallible> {
        Ok(Some(User { name: name.clone(), hash: name.clone().into_bytes() }))
    }
}

type Auth = AuthSession<Backend>;

async fn log_in(mut auth: Auth, Path(name): Path<String>) -> StatusCode {
    let user = auth.authenticate(name).await.unwrap().unwrap();
    auth.login(&user).await.unwrap();
    StatusCode::OK
}

async fn log_out(mut auth: Auth) -> StatusCode {
    auth.logout().await.unwrap();
    StatusCode::OK
}

async fn me(auth: Auth, session: sessile::Session) -> Result<String, SessionError> {
    let name = auth.user.map_or("nobody".to_owned(), |user| user.name);
    Ok(format!("{name}, cart {:?}", session.get::<Vec<String>>("cart")?.unwrap_or_default()))
}

/// A handler that is written for `sessile` already.
async fn cart(session: sessile::Session, Path(item): Path<String>) -> Result<(), SessionError> {
    session.modify("cart", move |cart: &mut Vec<String>| cart.push(item.clone())).map(drop)
}

async fn set(session: Session, Path((key, value)): Path<(String, String)>) -> StatusCode {
    session.insert(&key, value).await.unwrap();
    StatusCode::OK
}

async fn show(session: Session, Path(key): Path<String>) -> String {
    format!("{:?}", session.get::<String>(&key).await.unwrap())
}

/// Both kinds of handlers change the session in one request.
async fn both(tower: Session, session: sessile::Session) -> Result<(), SessionError> {
    tower.insert("theirs", "1").await.unwrap();
    session.insert("ours", "1")?;
    tower.insert("theirs too", "1").await.unwrap();
    Ok(())
}

async fn fail(mut auth: Auth, session: Session) -> StatusCode {
    session.insert("half", "done").await.unwrap();
    auth.logout().await.unwrap();
    StatusCode::INTERNAL_SERVER_ERROR
}

async fn half(session: Session) -> StatusCode {
    session.insert("half", "done").await.unwrap();
    StatusCode::INTERNAL_SERVER_ERROR
}

async fn flush_and_say(session: Session) -> StatusCode {
    session.flush().await.unwrap();
    session.insert("said", "Bye.").await.unwrap();
    StatusCode::OK
}

async fn cycle(session: Session) -> StatusCode {
    session.cycle_id().await.unwrap();
    StatusCode::OK
}

async fn clear(session: Session) -> StatusCode {
    session.clear().await;
    StatusCode::OK
}

async fn remember(session: Session, Path(seconds): Path<i64>) -> StatusCode {
    session.set_expiry(Some(match seconds {
        0 => Expiry::OnSessionEnd,
        seconds => Expiry::OnInactivity(time::Duration::seconds(seconds)),
    }));
    StatusCode::OK
}

async fn expiry(session: Session) -> String {
    format!("{:?}", session.expiry().unwrap())
}

async fn keys(session: sessile::Session) -> String {
    session.keys().join(" ")
}

async fn say(messages: Messages) -> StatusCode {
    messages.info("Saved.");
    StatusCode::OK
}

async fn read(messages: Messages) -> String {
    messages.map(|message| message.to_string()).collect()
}

async fn reserved(session: Session) -> StatusCode {
    session.insert("flash", "no").await.unwrap();
    StatusCode::OK
}

struct Site {
    app: Router,
    config: SessionConfig,
    store: Probe<MemoryStore>,
}

impl Site {
    fn new() -> Self {
        let store = Probe::new(MemoryStore::new());
        let builder = SessionConfig::builder(SECRET).store(store.clone()).save_uninitialized(false);
        let config = builder.build().unwrap();
        let app = Router::new()
            .route("/members", get(|| async { "members only" }))
            .route_layer(login_required!(Backend, login_url = "/login"))
            .route("/login/{name}", get(log_in))
            .route("/logout", get(log_out))
            .route("/me", get(me))
            .route("/cart/{item}", get(cart))
            .route("/set/{key}/{value}", get(set))
            .route("/show/{key}", get(show))
            .route("/both", get(both))
            .route("/fail", get(fail))
            .route("/half", get(half))
            .route("/flush-and-say", get(flush_and_say))
            .route("/cycle", get(cycle))
            .route("/clear", get(clear))
            .route("/remember/{seconds}", get(remember))
            .route("/expiry", get(expiry))
            .route("/keys", get(keys))
            .route("/say", get(say))
            .route("/read", get(read))
            .route("/reserved", get(reserved))
            .layer(MessagesManagerLayer)
            .layer(layer_fn(|inner| AuthManager::new(inner, Backend, "axum-login.data")))
            .layer(TowerSessionLayer::new(config.clone()))
            .with_state(config.clone());
        Self { app, config, store }
    }

    fn id(&self, browser: &Browser) -> Option<sessile::SessionId> {
        self.config.verify(browser.0.get("connect.sid")?)
    }

    fn sessions(&self) -> usize {
        self.store.inner().len()
    }
}

#[tokio::test]
async fn a_login_keeps_the_cart_under_a_new_id_and_sets_one_cookie() {
    let (site, mut browser) = (Site::new(), Browser::default());
    assert_eq!(browser.get(&site.app, "/me").await.text, "nobody, cart []");
    assert_eq!(site.sessions(), 0, "a visitor who did nothing has a session");
    browser.get(&site.app, "/cart/pear").await;
    let (before, guest) = (site.id(&browser).unwrap(), browser.clone());
    let page = browser.get(&site.app, "/login/alice").await;
    assert_eq!(page.cookies().len(), 1, "{page:?}");
    assert_ne!(site.id(&browser), Some(before), "the id from before the login is still in use");
    assert_eq!(browser.get(&site.app, "/me").await.text, "alice, cart [\"pear\"]");
    assert_eq!(guest.send(&site.app, "/me").await.text, "nobody, cart []", "the old id is worth something");
    assert_eq!(site.sessions(), 1);
}

#[tokio::test]
async fn a_logout_ends_the_session_and_expires_the_cookie() {
    let (site, mut browser) = (Site::new(), Browser::default());
    browser.get(&site.app, "/login/alice").await;
    let stolen = browser.clone();
    let page = browser.get(&site.app, "/logout").await;
    assert_eq!(page.cookies().len(), 1, "{page:?}");
    assert!(browser.0.is_empty(), "the cookie outlived the logout");
    assert_eq!(site.sessions(), 0);
    assert_eq!(stolen.send(&site.app, "/me").await.text, "nobody, cart []");
}

#[tokio::test]
async fn the_guard_lets_users_in_and_nobody_else() {
    let (site, mut browser) = (Site::new(), Browser::default());
    let page = browser.get(&site.app, "/members").await;
    assert_eq!(page.status, StatusCode::TEMPORARY_REDIRECT);
    browser.get(&site.app, "/login/alice").await;
    assert_eq!(browser.get(&site.app, "/members").await.text, "members only");
}

#[tokio::test]
async fn parallel_requests_lose_no_update() {
    let (site, mut browser) = (Site::new(), Browser::default());
    browser.get(&site.app, "/login/alice").await;
    let paths = (0..20).map(|n| if n % 2 == 0 { format!("/set/key{n}/x") } else { format!("/cart/item{n}") });
    let paths: Vec<_> = paths.collect();
    // All of them have loaded the session before the first one writes.
    let first = site.store.hold(Op::Replace);
    let requests = join_all(paths.iter().map(|path| browser.clone().send(&site.app, path)));
    let release = async {
        first.reached().await;
        tokio::task::yield_now().await;
        drop(first);
    };
    let (pages, ()) = futures_util::future::join(requests, release).await;
    assert!(pages.iter().all(|page| page.status == StatusCode::OK), "{pages:?}");
    let keys = browser.get(&site.app, "/keys").await.text;
    assert_eq!(keys.split(' ').count(), 12, "{keys}");
    let me = browser.get(&site.app, "/me").await.text;
    assert_eq!(me.matches("item").count(), 10, "{me}");
}

#[tokio::test]
async fn a_logout_is_not_undone_by_a_slow_request() {
    let (site, mut browser) = (Site::new(), Browser::default());
    browser.get(&site.app, "/login/alice").await;
    let hold = site.store.hold(Op::Replace);
    let slow = browser.clone().send(&site.app, "/set/late/x");
    let logout = async {
        hold.reached().await;
        site.store.inner().clear();
        drop(hold);
    };
    let (page, ()) = futures_util::future::join(slow, logout).await;
    assert_eq!(page.status, StatusCode::CONFLICT);
    assert_eq!(page.cookies(), [""; 0]);
    assert_eq!(site.sessions(), 0);
}

#[tokio::test]
async fn both_kinds_of_handlers_write_to_one_record() {
    let (site, mut browser) = (Site::new(), Browser::default());
    browser.get(&site.app, "/set/before/1").await;
    let page = browser.get(&site.app, "/both").await;
    assert_eq!(page.cookies().len(), 1, "{page:?}");
    let keys = browser.get(&site.app, "/keys").await.text;
    assert_eq!(keys, "before ours theirs theirs too");
    assert_eq!(browser.get(&site.app, "/show/ours").await.text, "Some(\"1\")");
}

#[tokio::test]
async fn a_failed_request_stores_nothing_but_a_logout() {
    let (site, mut browser) = (Site::new(), Browser::default());
    browser.get(&site.app, "/login/alice").await;
    browser.get(&site.app, "/half").await;
    assert_eq!(browser.get(&site.app, "/show/half").await.text, "None");
    browser.get(&site.app, "/fail").await;
    assert_eq!(site.sessions(), 0, "a failed request kept the user logged in");
    assert!(browser.0.is_empty());
}

#[tokio::test]
async fn flush_ends_the_session_and_what_is_written_after_begins_another() {
    let (site, mut browser) = (Site::new(), Browser::default());
    browser.get(&site.app, "/login/alice").await;
    browser.get(&site.app, "/cart/pear").await;
    let before = site.id(&browser);
    browser.get(&site.app, "/flush-and-say").await;
    assert_ne!(site.id(&browser), before);
    assert_eq!(browser.get(&site.app, "/keys").await.text, "said");
    assert_eq!(site.sessions(), 1);
}

#[tokio::test]
async fn cycle_id_keeps_everything_and_clear_keeps_the_session() {
    let (site, mut browser) = (Site::new(), Browser::default());
    browser.get(&site.app, "/set/a/1").await;
    let before = site.id(&browser);
    browser.get(&site.app, "/cycle").await;
    let after = site.id(&browser);
    assert_ne!(before, after);
    assert_eq!(browser.get(&site.app, "/show/a").await.text, "Some(\"1\")");
    browser.get(&site.app, "/clear").await;
    assert_eq!(site.id(&browser), after);
    assert_eq!(browser.get(&site.app, "/keys").await.text, "");
}

#[tokio::test]
async fn set_expiry_is_kept_in_the_session() {
    let (site, mut browser) = (Site::new(), Browser::default());
    browser.get(&site.app, "/set/a/1").await;
    let page = browser.get(&site.app, "/remember/3600").await;
    assert!(page.cookies()[0].contains("Max-Age=3600"), "{page:?}");
    assert!(browser.get(&site.app, "/expiry").await.text.starts_with("OnInactivity"));
    let id = site.id(&browser).unwrap();
    let max_age = async || {
        use sessile::SessionStore as _;
        site.store.inner().get(&id).await.unwrap().unwrap().record.max_age()
    };
    assert_eq!(max_age().await, Some(Duration::from_secs(3600)));
    let page = browser.get(&site.app, "/remember/0").await;
    assert!(!page.cookies()[0].contains("Max-Age"), "{page:?}");
    assert_eq!(max_age().await, None);
    assert_eq!(browser.get(&site.app, "/expiry").await.text, "OnSessionEnd");
    // A visitor without a session gets none by it.
    let page = Browser::default().send(&site.app, "/remember/60").await;
    assert_eq!(page.cookies(), [""; 0]);
}

#[tokio::test]
async fn messages_show_once() {
    let (site, mut browser) = (Site::new(), Browser::default());
    let page = browser.get(&site.app, "/say").await;
    assert_eq!(page.cookies().len(), 1, "{page:?}");
    assert_eq!(browser.get(&site.app, "/read").await.text, "Saved.");
    assert_eq!(browser.get(&site.app, "/read").await.text, "");
}

#[tokio::test]
async fn a_reserved_key_is_refused_and_nothing_is_stored() {
    let (site, mut browser) = (Site::new(), Browser::default());
    assert_eq!(browser.get(&site.app, "/reserved").await.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(site.sessions(), 0);
}

#[tokio::test]
async fn a_store_that_cannot_be_reached_is_a_503() {
    let (site, mut browser) = (Site::new(), Browser::default());
    browser.get(&site.app, "/set/a/1").await;
    site.store.fail(Op::Get, 0);
    let page = browser.get(&site.app, "/me").await;
    assert_eq!(page.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(page.cookies(), [""; 0]);
}

#[cfg(feature = "v015")]
#[tokio::test]
async fn the_other_version_does_the_same() {
    use sessile_tower_sessions::v015;

    async fn count(session: tower_sessions_015::Session) -> String {
        let count = session.get::<u32>("count").await.unwrap().unwrap_or(0) + 1;
        session.insert("count", count).await.unwrap();
        count.to_string()
    }
    async fn leave(session: tower_sessions_015::Session) -> StatusCode {
        session.flush().await.unwrap();
        StatusCode::OK
    }
    let config = SessionConfig::builder(SECRET).save_uninitialized(false).build().unwrap();
    let app = Router::new()
        .route("/count", get(count))
        .route("/leave", get(leave))
        .layer(v015::TowerSessionLayer::new(config));
    let mut browser = Browser::default();
    for n in 1..=3 {
        assert_eq!(browser.get(&app, "/count").await.text, n.to_string());
    }
    browser.get(&app, "/leave").await;
    assert!(browser.0.is_empty());
}
