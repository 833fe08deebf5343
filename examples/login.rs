//! A login form, with a password check, a flash message on failure, a new session id at login, a page for
//! users only, logout and "remember me". The user is `alice`, the password is `correct horse`.
//!
//! ```sh
//! cargo add sessile tracing-subscriber
//! cargo add axum --features macros
//! cargo add serde --features derive
//! cargo add maud --features axum
//! cargo add password-auth
//! cargo add tower-http --features csrf
//! cargo add tokio --features full
//! ```

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{FromRef, FromRequestParts, State};
use axum::http::header::CACHE_CONTROL;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Form, Router};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use serde::{Deserialize, Serialize};
use sessile::{FlashKey, Secrets, Session, SessionConfig, SessionError, SessionKey};
use tower_http::csrf::CsrfLayer;

const USER: SessionKey<User> = SessionKey::new("user");
const NOTICE: FlashKey<String> = FlashKey::new("notice");
const REMEMBERED: Duration = Duration::from_secs(30 * 24 * 60 * 60);

#[derive(Clone, FromRef)]
struct App {
    sessions: SessionConfig,
    accounts: Arc<Accounts>,
}

/// The one account, where your program has a table of users.
struct Accounts {
    name: String,
    hash: String,
}

impl Accounts {
    /// Hashing takes a while on purpose, so the check runs on a blocking thread, where it holds up no other
    /// request. An unknown name takes as long as a wrong password, so the time does not tell which names
    /// exist.
    async fn check(self: Arc<Self>, name: String, password: String) -> bool {
        let check = move || {
            let matches = password_auth::verify_password(password, &self.hash).is_ok();
            matches && name == self.name
        };
        tokio::task::spawn_blocking(check).await.unwrap_or(false)
    }
}

/// The logged-in user. As a handler's argument it keeps everybody else out.
#[derive(Serialize, Deserialize)]
struct User {
    name: String,
}

impl<S> FromRequestParts<S> for User
where
    SessionConfig: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        let session = Session::from_request_parts(parts, state).await.map_err(IntoResponse::into_response)?;
        let user = USER.get(&session).map_err(IntoResponse::into_response)?;
        user.ok_or_else(|| Redirect::to("/login").into_response())
    }
}

async fn home(user: User, session: Session) -> Result<impl IntoResponse, SessionError> {
    let content = html! {
        p { "You are logged in as " strong #user { (user.name) } "." }
        form method="post" action="/logout" { button { "Log out" } }
    };
    // `no-store` stands after the guard on purpose: it replaces the guard's own `Cache-Control`, so that no
    // cache keeps the page of a logged-in user.
    Ok((session.commit().await?, [(CACHE_CONTROL, "no-store")], page("Home", content)))
}

async fn login_form(session: Session) -> Result<impl IntoResponse, SessionError> {
    let notices = NOTICE.take(&session)?;
    let form = html! {
        @for notice in &notices { p.notice { (notice) } }
        form method="post" action="/login" {
            label { "Name" input name="name" autocomplete="username" required autofocus; }
            label { "Password" input name="password" type="password" autocomplete="current-password" required; }
            label.check { input name="remember" type="checkbox"; "Remember me for 30 days" }
            button { "Log in" }
        }
    };
    Ok((session.commit().await?, page("Log in", form)))
}

#[derive(Deserialize)]
struct Login {
    name: String,
    password: String,
    remember: Option<String>,
}

async fn login(
    State(accounts): State<Arc<Accounts>>,
    session: Session,
    Form(form): Form<Login>,
) -> Result<impl IntoResponse, SessionError> {
    if !accounts.check(form.name.clone(), form.password).await {
        NOTICE.push(&session, "Wrong name or password.".into())?;
        return Ok((session.commit().await?, Redirect::to("/login")));
    }
    // The session gets a new id, so that an id planted in this browser earlier is worth nothing, and nothing
    // of another user who was logged in here goes over.
    session.log_in(&form.name)?;
    session.set_max_age(form.remember.map(|_| REMEMBERED));
    USER.insert(&session, User { name: form.name })?;
    Ok((session.commit().await?, Redirect::to("/")))
}

async fn logout(session: Session) -> Result<impl IntoResponse, SessionError> {
    session.destroy();
    Ok((session.commit().await?, Redirect::to("/login")))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    tracing_subscriber::fmt::init();
    let accounts = Accounts { name: "alice".into(), hash: password_auth::generate_hash("correct horse") };
    // `openssl rand -base64 32` makes a secret. Without one, the sessions end with the process. In
    // production, add `.secure(true)` or start from `SessionConfig::hardened`.
    let secret = std::env::var("SESSION_SECRET").map_or_else(|_| Secrets::random(), Secrets::from);
    let sessions = SessionConfig::builder(secret).save_uninitialized(false).browser_session().build()?;
    let app = Router::new()
        .route("/", get(home))
        .route("/login", get(login_form).post(login))
        .route("/logout", post(logout))
        .layer(CsrfLayer::new())
        .with_state(App { sessions, accounts: Arc::new(accounts) });

    let port = std::env::var("PORT").unwrap_or("3000".into());
    let listener = tokio::net::TcpListener::bind(format!("127.0.0.1:{port}")).await?;
    println!("listening on http://{}", listener.local_addr()?);
    axum::serve(listener, app).await?;
    Ok(())
}

fn page(title: &str, content: Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body { main { h1 { (title) } (content) } }
        }
    }
}

const STYLE: &str = "
    body { font: 1rem/1.5 system-ui, sans-serif; background: #f2f4f7; color: #1d2733; margin: 0 }
    main { max-width: 22rem; margin: 12vh auto; padding: 2rem; background: #fff; border-radius: .75rem;
           box-shadow: 0 1px 3px #0002, 0 8px 24px #0001 }
    h1 { margin: 0 0 1.25rem; font-size: 1.5rem }
    label { display: block; margin-bottom: 1rem; font-weight: 600; font-size: .9rem }
    input { display: block; width: 100%; box-sizing: border-box; margin-top: .25rem; padding: .6rem .7rem;
            font: inherit; border: 1px solid #c3cbd6; border-radius: .4rem }
    label.check { display: flex; align-items: center; gap: .5rem; font-weight: 400 }
    label.check input { width: auto; margin: 0 }
    button { width: 100%; padding: .65rem; font: inherit; font-weight: 600; color: #fff; background: #2457c5;
             border: 0; border-radius: .4rem; cursor: pointer }
    button:hover, button:focus-visible { background: #1b449d }
    .notice { margin: 0 0 1rem; padding: .6rem .8rem; color: #7a1420; background: #fdecee; border-radius: .4rem }
";
