//! A page of a logged-in user: axum-login over the sessions of tower-sessions, axum-login over a `sessile` session, and
//! what `sessile` has for it itself. The table of users is in memory, and the same for all.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;

use axum::Router;
use axum::extract::FromRef;
use axum::http::StatusCode;
use axum::routing::get;
use axum_login::{AuthManager, AuthManagerLayerBuilder, AuthSession, AuthUser, AuthnBackend, UserId};
use sessile::{MemoryStore, Session, SessionConfig, SessionError, SessionGuard};
use sessile_tower_sessions::v014::TowerSessionLayer;
use tower_layer::layer_fn;
use tower_sessions_014::cookie::{Key, SameSite};
use tower_sessions_014::{Expiry, MemoryStore as TowerStore, SessionManagerLayer};

use super::secret::SECRET;
use crate::payload;

/// A row of the table of users.
#[derive(Debug, Clone)]
struct User {
    id: u64,
    name: String,
    password: &'static str,
}

impl AuthUser for User {
    type Id = u64;

    fn id(&self) -> u64 {
        self.id
    }

    fn session_auth_hash(&self) -> &[u8] {
        self.password.as_bytes()
    }
}

#[derive(Debug, Clone)]
struct Users(Arc<HashMap<u64, User>>);

impl Users {
    fn new() -> Self {
        let payload::User { id, name, .. } = payload::User::ada();
        Self(Arc::new([(id, User { id, name, password: "$argon2id$v=19$m=19456,t=2,p=1$" })].into()))
    }

    fn find(&self, id: u64) -> Option<User> {
        self.0.get(&id).cloned()
    }
}

impl AuthnBackend for Users {
    type User = User;
    type Credentials = u64;
    type Error = Infallible;

    async fn authenticate(&self, id: u64) -> Result<Option<User>, Infallible> {
        Ok(self.find(id))
    }

    async fn get_user(&self, id: &UserId<Self>) -> Result<Option<User>, Infallible> {
        Ok(self.find(*id))
    }
}

type Auth = AuthSession<Users>;

async fn log_in(mut auth: Auth) -> Result<&'static str, StatusCode> {
    let user =
        auth.authenticate(payload::User::ada().id).await.ok().flatten().ok_or(StatusCode::UNAUTHORIZED)?;
    auth.login(&user).await.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    Ok("filled")
}

async fn page(auth: Auth) -> Result<String, StatusCode> {
    auth.user.map(|user| user.name).ok_or(StatusCode::UNAUTHORIZED)
}

fn routes() -> Router {
    Router::new().route("/login", get(log_in)).route("/page", get(page))
}

pub fn on_tower() -> Router {
    let sessions = SessionManagerLayer::new(TowerStore::default())
        .with_secure(false)
        .with_same_site(SameSite::Lax)
        .with_expiry(Expiry::OnInactivity(time::Duration::days(1)))
        .with_signed(Key::from(SECRET.as_bytes()));
    routes().layer(AuthManagerLayerBuilder::new(Users::new(), sessions).build())
}

fn config() -> SessionConfig {
    let options = SessionConfig::builder(SECRET).store(MemoryStore::new());
    options.save_uninitialized(false).build().expect("options that agree")
}

pub fn on_sessile() -> Router {
    let users = Users::new();
    routes()
        .layer(layer_fn(move |inner| AuthManager::new(inner, users.clone(), "axum-login.data")))
        .layer(TowerSessionLayer::new(config()))
}

#[derive(Clone)]
struct State {
    sessions: SessionConfig,
    users: Users,
}

impl FromRef<State> for SessionConfig {
    fn from_ref(state: &State) -> Self {
        state.sessions.clone()
    }
}

impl FromRef<State> for Users {
    fn from_ref(state: &State) -> Self {
        state.users.clone()
    }
}

/// The session says whose it is; the user is looked up as axum-login does it.
async fn own_log_in(session: Session) -> Result<(SessionGuard, &'static str), SessionError> {
    let user = payload::User::ada();
    session.log_in(user.id)?;
    session.insert("user", user.id)?;
    Ok((session.commit().await?, "filled"))
}

async fn own_page(
    axum::extract::State(users): axum::extract::State<Users>,
    session: Session,
) -> Result<(SessionGuard, Result<String, StatusCode>), SessionError> {
    let id = session.get::<u64>("user")?.filter(|id| session.belongs_to(id));
    let user = id.and_then(|id| users.find(id)).map(|user| user.name);
    Ok((session.commit().await?, user.ok_or(StatusCode::UNAUTHORIZED)))
}

pub fn own() -> Router {
    Router::new()
        .route("/login", get(own_log_in))
        .route("/page", get(own_page))
        .with_state(State { sessions: config(), users: Users::new() })
}
