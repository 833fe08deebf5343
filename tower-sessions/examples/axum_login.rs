//! axum-login on a `sessile` session: users and sessions in SQLite, a login form, a page for users only, logout, and
//! messages that show once. The user is `alice`, the password is `correct horse`.

use axum::extract::FromRef;
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Form, Router};
use axum_login::{AuthManager, AuthSession, AuthUser, AuthnBackend, UserId, login_required};
use serde::Deserialize;
use sessile::sqlx::{self, SqlitePool};
use sessile::{FlashKey, Secrets, Session, SessionConfig, SessionError, SqliteStore};
use sessile_tower_sessions::v014::TowerSessionLayer;
use tower::layer::layer_fn;
use tower_http::csrf::CsrfLayer;

const NOTICE: FlashKey<String> = FlashKey::new("notice");

#[derive(Clone, FromRef)]
struct App {
    sessions: SessionConfig,
}

/// A row of the table of users.
#[derive(Debug, Clone)]
struct User {
    id: i64,
    name: String,
    password: String,
}

/// A row as the queries return it.
type Row = (i64, String, String);

impl From<Row> for User {
    fn from((id, name, password): Row) -> Self {
        Self { id, name, password }
    }
}

impl AuthUser for User {
    type Id = i64;

    fn id(&self) -> i64 {
        self.id
    }

    /// A change of the password ends the user's sessions.
    fn session_auth_hash(&self) -> &[u8] {
        self.password.as_bytes()
    }
}

#[derive(Debug, Clone, Deserialize)]
struct Credentials {
    name: String,
    password: String,
}

#[derive(Debug, Clone)]
struct Backend {
    db: SqlitePool,
}

impl AuthnBackend for Backend {
    type User = User;
    type Credentials = Credentials;
    type Error = sqlx::Error;

    async fn authenticate(&self, given: Credentials) -> Result<Option<User>, sqlx::Error> {
        let user = sqlx::query_as::<_, Row>("select id, name, password from users where name = ?")
            .bind(given.name)
            .fetch_optional(&self.db)
            .await?
            .map(User::from);
        // Hashing takes a while on purpose, so the check runs where it holds up no other request.
        let check = move || {
            user.filter(|user| password_auth::verify_password(given.password, &user.password).is_ok())
        };
        Ok(tokio::task::spawn_blocking(check).await.unwrap_or(None))
    }

    async fn get_user(&self, id: &UserId<Self>) -> Result<Option<User>, sqlx::Error> {
        let query = sqlx::query_as::<_, Row>("select id, name, password from users where id = ?");
        Ok(query.bind(id).fetch_optional(&self.db).await?.map(User::from))
    }
}

type Auth = AuthSession<Backend>;

async fn home(auth: Auth, session: Session) -> Result<Response, SessionError> {
    let Some(user) = auth.user else { return Ok(Redirect::to("/login").into_response()) };
    let notices = notices(&session)?;
    let name = user.name;
    let text = format!(
        "<h1>Home</h1>{notices}<p>You are logged in as <strong id=user>{name}</strong>.</p>\
         <form method=post action=/logout><button>Log out</button></form>"
    );
    Ok(Html(text).into_response())
}

async fn login_form(session: Session) -> Result<Html<String>, SessionError> {
    let notices = notices(&session)?;
    Ok(Html(format!(
        "<h1>Log in</h1>{notices}<form method=post action=/login><input name=name autofocus>\
         <input name=password type=password><button>Log in</button></form>"
    )))
}

async fn login(
    mut auth: Auth,
    session: Session,
    Form(form): Form<Credentials>,
) -> Result<Response, Response> {
    let failed = |_| StatusCode::INTERNAL_SERVER_ERROR.into_response();
    let Some(user) = auth.authenticate(form).await.map_err(failed)? else {
        NOTICE.push(&session, "Wrong name or password.".into()).map_err(IntoResponse::into_response)?;
        return Ok(Redirect::to("/login").into_response());
    };
    auth.login(&user).await.map_err(failed)?;
    NOTICE.push(&session, "Welcome back.".into()).map_err(IntoResponse::into_response)?;
    Ok(Redirect::to("/").into_response())
}

async fn logout(mut auth: Auth) -> Result<Redirect, StatusCode> {
    auth.logout().await.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    Ok(Redirect::to("/login"))
}

/// The messages that wait, each of which shows once. They are the program's own texts, so they need no escaping.
fn notices(session: &Session) -> Result<String, SessionError> {
    Ok(NOTICE.take(session)?.into_iter().map(|notice| format!("<p class=notice>{notice}</p>")).collect())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let file = std::env::var("DATABASE").unwrap_or("axum_login.db".into());
    let db = SqlitePool::connect(&format!("sqlite://{file}?mode=rwc")).await?;
    sqlx::query("create table if not exists users (id integer primary key, name text unique, password text)")
        .execute(&db)
        .await?;
    sqlx::query("insert or ignore into users (name, password) values ('alice', ?)")
        .bind(password_auth::generate_hash("correct horse"))
        .execute(&db)
        .await?;

    let store = SqliteStore::new(db.clone());
    store.migrate().await?;
    let secret = std::env::var("SESSION_SECRET").map_or_else(|_| Secrets::random(), Secrets::from);
    let sessions = SessionConfig::builder(secret).store(store).save_uninitialized(false).build()?;
    let backend = Backend { db };
    let app = Router::new()
        .route("/", get(home))
        .route_layer(login_required!(Backend, login_url = "/login"))
        .route("/login", get(login_form).post(login))
        .route("/logout", post(logout))
        .layer(layer_fn(move |inner| AuthManager::new(inner, backend.clone(), "axum-login.data")))
        .layer(TowerSessionLayer::new(sessions.clone()))
        .layer(CsrfLayer::new())
        .with_state(App { sessions });

    let port = std::env::var("PORT").unwrap_or("3000".into());
    let listener = tokio::net::TcpListener::bind(format!("127.0.0.1:{port}")).await?;
    println!("listening on http://{}", listener.local_addr()?);
    axum::serve(listener, app).await?;
    Ok(())
}
