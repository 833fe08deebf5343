//! An account: login, "your devices" with an end for each and for all others, a new password that ends the
//! other sessions, and a page that asks for the password again after ten minutes. The user is `alice`, the
//! password is `correct horse`.
//!
//! ```sh
//! cargo add sessile tracing-subscriber
//! cargo add axum --features macros
//! cargo add serde --features derive
//! cargo add maud --features axum
//! cargo add password-auth woothee
//! cargo add tower-http --features csrf
//! cargo add tokio --features full
//! ```

use std::sync::{Arc, RwLock};
use std::time::{Duration, SystemTime};

use axum::extract::{FromRef, FromRequestParts, State};
use axum::http::HeaderMap;
use axum::http::header::{CACHE_CONTROL, USER_AGENT};
use axum::http::request::Parts;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Form, Router};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use serde::{Deserialize, Serialize};
use sessile::{
    AtLimit, FlashKey, Secrets, Session, SessionConfig, SessionError, SessionGuard, SessionHandle,
    SessionKey, UserSession,
};
use tower_http::csrf::CsrfLayer;

const USER: SessionKey<User> = SessionKey::new("user");
const NOTICE: FlashKey<String> = FlashKey::new("notice");

#[derive(Clone, FromRef)]
struct App {
    sessions: SessionConfig,
    accounts: Arc<Accounts>,
    recently: Recently,
}

/// How long a password counts as just given.
#[derive(Clone, Copy)]
struct Recently(Duration);

/// The one account, where your program has a table of users.
struct Accounts {
    name: String,
    hash: RwLock<String>,
}

impl Accounts {
    /// Hashing takes a while on purpose, so it runs on a blocking thread, where it holds up no other request.
    async fn check(self: Arc<Self>, name: String, password: String) -> bool {
        let check = move || {
            let hash = self.hash.read().map(|hash| hash.clone()).unwrap_or_default();
            let matches = password_auth::verify_password(password, &hash).is_ok();
            matches && name == self.name
        };
        tokio::task::spawn_blocking(check).await.unwrap_or(false)
    }

    async fn set_password(self: Arc<Self>, password: String) {
        let hash = move || password_auth::generate_hash(password);
        if let (Ok(new), Ok(mut hash)) = (tokio::task::spawn_blocking(hash).await, self.hash.write()) {
            *hash = new;
        }
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

/// A user who has given the password a short while ago. Everybody else is asked for it.
struct Confirmed(User);

impl<S> FromRequestParts<S> for Confirmed
where
    SessionConfig: FromRef<S>,
    Recently: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        let user = User::from_request_parts(parts, state).await?;
        let session = Session::from_request_parts(parts, state).await.map_err(IntoResponse::into_response)?;
        let Recently(recently) = Recently::from_ref(state);
        if session.confirmed_within(recently) {
            return Ok(Self(user));
        }
        Err(Redirect::to("/confirm").into_response())
    }
}

/// A page for one user, which no cache may keep. `no-store` stands after the guard, because it replaces the
/// guard's own `Cache-Control`.
async fn private(
    session: &Session,
    title: &str,
    content: Markup,
) -> Result<impl IntoResponse + use<>, SessionError> {
    Ok((session.commit().await?, [(CACHE_CONTROL, "no-store")], page(title, content)))
}

async fn redirect(session: &Session, to: &str) -> Result<(SessionGuard, Redirect), SessionError> {
    Ok((session.commit().await?, Redirect::to(to)))
}

async fn devices(
    State(sessions): State<SessionConfig>,
    user: User,
    session: Session,
) -> Result<impl IntoResponse, SessionError> {
    let notices = NOTICE.take(&session)?;
    let devices = sessions.sessions_of(&user.name).list().await?;
    let content = html! {
        p { "You are logged in as " strong #user { (user.name) } "." }
        (notes(&notices))
        h2 { "Your devices" }
        ul.devices { @for device in &devices { (row(device, device.is(&session))) } }
        @if devices.len() > 1 {
            form method="post" action="/devices/end-others" { button #others { "Log out all other devices" } }
        }
        nav {
            a href="/password" { "Change the password" }
            a href="/danger" { "Delete the account" }
            form method="post" action="/logout" { button.quiet #logout { "Log out" } }
        }
    };
    private(&session, "Your account", content).await
}

fn row(device: &UserSession, is_this: bool) -> Markup {
    html! {
        li.device {
            div {
                strong { (device.device_label().unwrap_or("Unknown device")) }
                small {
                    "logged in " (ago(device.created()))
                    @if let Some(seen) = device.last_seen() { ", last seen " (ago(seen)) }
                }
            }
            @if is_this {
                span.here { "This device" }
            } @else {
                form method="post" action="/devices/end" {
                    input type="hidden" name="handle" value=(device.handle());
                    button.quiet { "Log out" }
                }
            }
        }
    }
}

fn ago(time: SystemTime) -> String {
    match time.elapsed().unwrap_or_default().as_secs() {
        0..60 => "just now".to_owned(),
        seconds @ 60..3600 => format!("{} min ago", seconds / 60),
        seconds @ 3600..86_400 => format!("{} h ago", seconds / 3600),
        86_400..172_800 => "1 day ago".to_owned(),
        seconds => format!("{} days ago", seconds / 86_400),
    }
}

#[derive(Deserialize)]
struct End {
    handle: SessionHandle,
}

async fn end_one(
    State(sessions): State<SessionConfig>,
    user: User,
    session: Session,
    Form(form): Form<End>,
) -> Result<impl IntoResponse, SessionError> {
    let ended = sessions.sessions_of(&user.name).end(&form.handle).await?;
    let notice = if ended { "The device is logged out." } else { "The device was logged out already." };
    NOTICE.push(&session, notice.into())?;
    redirect(&session, "/").await
}

async fn end_others(
    State(sessions): State<SessionConfig>,
    user: User,
    session: Session,
) -> Result<impl IntoResponse, SessionError> {
    let ended = sessions.sessions_of(&user.name).end_others(&session).await?;
    NOTICE.push(&session, format!("Logged out elsewhere: {ended}."))?;
    redirect(&session, "/").await
}

async fn login_form(session: Session) -> Result<impl IntoResponse, SessionError> {
    let notices = NOTICE.take(&session)?;
    let form = html! {
        (notes(&notices))
        form method="post" action="/login" {
            label { "Name" input name="name" autocomplete="username" required autofocus; }
            label { "Password" input name="password" type="password" autocomplete="current-password" required; }
            button { "Log in" }
        }
    };
    private(&session, "Log in", form).await
}

#[derive(Deserialize)]
struct Login {
    name: String,
    password: String,
}

async fn login(
    State(sessions): State<SessionConfig>,
    State(accounts): State<Arc<Accounts>>,
    session: Session,
    headers: HeaderMap,
    Form(form): Form<Login>,
) -> Result<impl IntoResponse, SessionError> {
    // The login begins before the password is checked: if the password changes meanwhile, the login fails.
    let login = sessions.sessions_of(&form.name).begin_login().await?;
    if !accounts.check(form.name.clone(), form.password).await {
        NOTICE.push(&session, "Wrong name or password.".into())?;
        return redirect(&session, "/login").await;
    }
    session.log_in_with(login)?;
    session.set_device_label(device(&headers));
    USER.insert(&session, User { name: form.name })?;
    redirect(&session, "/").await
}

/// The name of the browser and its system, for the list of devices.
fn device(headers: &HeaderMap) -> String {
    let agent = headers.get(USER_AGENT).and_then(|value| value.to_str().ok());
    match agent.and_then(|agent| woothee::parser::Parser::new().parse(agent)) {
        Some(device) if device.os == "UNKNOWN" => device.name.to_owned(),
        Some(device) => format!("{} on {}", device.name, device.os),
        None => "Unknown device".to_owned(),
    }
}

async fn logout(session: Session) -> Result<impl IntoResponse, SessionError> {
    session.log_out();
    redirect(&session, "/login").await
}

async fn password_form(_: Confirmed, session: Session) -> Result<impl IntoResponse, SessionError> {
    let form = html! {
        p { "All other devices are logged out." }
        form method="post" action="/password" {
            label { "New password" input name="password" type="password" autocomplete="new-password" required; }
            button { "Change the password" }
        }
        nav { a href="/" { "Back" } }
    };
    private(&session, "Change the password", form).await
}

#[derive(Deserialize)]
struct Password {
    password: String,
}

async fn change_password(
    State(sessions): State<SessionConfig>,
    State(accounts): State<Arc<Accounts>>,
    Confirmed(user): Confirmed,
    session: Session,
    Form(form): Form<Password>,
) -> Result<impl IntoResponse, SessionError> {
    accounts.set_password(form.password).await;
    // First the password, then the sessions: a login with the old password that is under way ends with them.
    sessions.sessions_of(&user.name).end_others(&session).await?;
    session.cycle_id();
    NOTICE.push(&session, "The password is changed, and all other devices are logged out.".into())?;
    redirect(&session, "/").await
}

async fn confirm_form(user: User, session: Session) -> Result<impl IntoResponse, SessionError> {
    let notices = NOTICE.take(&session)?;
    let form = html! {
        p { "Please give the password of " strong { (user.name) } " once more." }
        (notes(&notices))
        form method="post" action="/confirm" {
            label { "Password" input name="password" type="password" autocomplete="current-password" required autofocus; }
            button { "Go on" }
        }
    };
    private(&session, "Is it you?", form).await
}

async fn confirm(
    State(accounts): State<Arc<Accounts>>,
    user: User,
    session: Session,
    Form(form): Form<Password>,
) -> Result<impl IntoResponse, SessionError> {
    if !accounts.check(user.name, form.password).await {
        NOTICE.push(&session, "Wrong password.".into())?;
        return redirect(&session, "/confirm").await;
    }
    session.confirm();
    redirect(&session, "/danger").await
}

async fn danger(Confirmed(user): Confirmed, session: Session) -> Result<impl IntoResponse, SessionError> {
    let content = html! {
        p { "Here " (user.name) " would delete the account." }
        nav { a href="/" { "Back" } }
    };
    private(&session, "Delete the account", content).await
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    tracing_subscriber::fmt::init();
    let hash = RwLock::new(password_auth::generate_hash("correct horse"));
    let accounts = Arc::new(Accounts { name: "alice".into(), hash });
    // In production, add `.secure(true)` and a store that outlives the process.
    let secret = std::env::var("SESSION_SECRET").map_or_else(|_| Secrets::random(), Secrets::from);
    let sessions = SessionConfig::builder(secret)
        .save_uninitialized(false)
        .per_user(5, AtLimit::EndOldest)
        .absolute_timeout(Duration::from_secs(12 * 60 * 60))
        .build()?;
    // `CONFIRM_SECONDS=20` shows the question for the password without a wait of ten minutes.
    let seconds = std::env::var("CONFIRM_SECONDS").ok().and_then(|text| text.parse().ok());
    let recently = Recently(Duration::from_secs(seconds.unwrap_or(600)));
    let app = Router::new()
        .route("/", get(devices))
        .route("/devices/end", post(end_one))
        .route("/devices/end-others", post(end_others))
        .route("/login", get(login_form).post(login))
        .route("/logout", post(logout))
        .route("/password", get(password_form).post(change_password))
        .route("/confirm", get(confirm_form).post(confirm))
        .route("/danger", get(danger))
        .layer(CsrfLayer::new())
        .with_state(App { sessions, accounts, recently });

    let port = std::env::var("PORT").unwrap_or("3000".into());
    let listener = tokio::net::TcpListener::bind(format!("127.0.0.1:{port}")).await?;
    println!("listening on http://{}", listener.local_addr()?);
    axum::serve(listener, app).await?;
    Ok(())
}

fn notes(notices: &[String]) -> Markup {
    html! { @for notice in notices { p.notice { (notice) } } }
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
    main { max-width: 30rem; margin: 10vh auto; padding: 2rem; background: #fff; border-radius: .75rem;
           box-shadow: 0 1px 3px #0002, 0 8px 24px #0001 }
    h1 { margin: 0 0 1rem; font-size: 1.5rem }
    h2 { margin: 1.5rem 0 .5rem; font-size: 1.1rem }
    label { display: block; margin-bottom: 1rem; font-weight: 600; font-size: .9rem }
    input { display: block; width: 100%; box-sizing: border-box; margin-top: .25rem; padding: .6rem .7rem;
            font: inherit; border: 1px solid #c3cbd6; border-radius: .4rem }
    button { padding: .55rem .9rem; font: inherit; font-weight: 600; color: #fff; background: #2457c5; border: 0;
             border-radius: .4rem; cursor: pointer }
    button:hover, button:focus-visible { background: #1b449d }
    button.quiet { color: #2457c5; background: #eef2fb; font-weight: 500 }
    button.quiet:hover, button.quiet:focus-visible { background: #dbe5fa }
    .devices { list-style: none; margin: 0 0 1rem; padding: 0; border-top: 1px solid #e4e8ee }
    .device { display: flex; justify-content: space-between; align-items: center; gap: 1rem; padding: .75rem 0;
              border-bottom: 1px solid #e4e8ee }
    .device small { display: block; color: #5d6b7c }
    .here { color: #1a7f4b; font-size: .9rem; white-space: nowrap }
    nav { display: flex; flex-wrap: wrap; align-items: center; gap: 1rem; margin-top: 1.5rem }
    nav form { margin-left: auto }
    a { color: #2457c5 }
    .notice { margin: 0 0 1rem; padding: .6rem .8rem; color: #1d3d66; background: #e8f0fc; border-radius: .4rem }
";
