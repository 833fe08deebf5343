//! A page for those who run a shop, behind a login of its own: the sessions of a user, with an end for each,
//! where the sessions of the requests came from, and what happened last. The administrator is `alice`, the
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
//!
//! Log in at the shop, `/`, with a name of your choice, then open `/admin` and look that name up.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use axum::extract::{FromRef, FromRequestParts, Request, State};
use axum::http::HeaderMap;
use axum::http::header::{CACHE_CONTROL, USER_AGENT};
use axum::http::request::Parts;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Form, Router};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use serde::Deserialize;
use sessile::{
    FlashKey, Origin, SameSite, Secrets, Session, SessionConfig, SessionError, SessionEvent, SessionGuard,
    SessionHandle, SessionKey, UserSession,
};
use tower_http::csrf::CsrfLayer;

/// The name under which a customer is logged in at the shop.
const CUSTOMER: SessionKey<String> = SessionKey::new("customer");
/// The user whose sessions an administrator looks at. In the session and not in the address, so that no name
/// gets into the logs of a proxy.
const LOOKED_UP: SessionKey<String> = SessionKey::new("looked_up");
const NOTICE: FlashKey<String> = FlashKey::new("notice");
const ADMINISTRATOR: &str = "alice";
/// How many events are kept.
const EVENTS: usize = 20;

/// What the page shows beside the sessions: what this process has seen since it started. Where several processes
/// serve the shop, their metrics go to one place: see the example `metrics`.
#[derive(Default)]
struct Seen {
    /// How many requests had a session of each origin.
    origins: Mutex<BTreeMap<Origin, u64>>,
    /// The last events, newest first.
    events: Mutex<VecDeque<Event>>,
}

/// What is kept of an event. It has no id and no name, and may stay when the session has ended.
#[derive(Clone)]
struct Event {
    at: SystemTime,
    what: &'static str,
    why: Option<&'static str>,
    session: Option<SessionHandle>,
}

impl Seen {
    fn origin(&self, origin: Origin) {
        *self.origins.lock().unwrap_or_else(PoisonError::into_inner).entry(origin).or_default() += 1;
    }

    /// Requests wait for this function, so it is quick.
    fn event(&self, event: &SessionEvent<'_>) {
        let (kind, at) = (event.kind(), SystemTime::now());
        let event = Event { at, what: kind.name(), why: kind.reason(), session: event.handle() };
        let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        events.push_front(event);
        events.truncate(EVENTS);
    }
}

#[derive(Clone, FromRef)]
struct Shop {
    sessions: SessionConfig,
    seen: Arc<Seen>,
}

/// Notes where the session of each request of the shop comes from.
async fn note_origin(
    State(seen): State<Arc<Seen>>,
    session: Session,
    request: Request,
    next: Next,
) -> Response {
    seen.origin(session.origin());
    next.run(request).await
}

async fn shop_page(session: Session) -> Result<impl IntoResponse, SessionError> {
    let content = match CUSTOMER.get(&session)? {
        Some(name) => html! {
            p { "You are logged in as " strong #user { (name) } "." }
            form method="post" action="/logout" { button #logout { "Log out" } }
        },
        None => html! {
            form method="post" action="/login" {
                label { "Name" input name="name" required autofocus; }
                button { "Log in" }
            }
        },
    };
    private(&session, "The shop", content).await
}

#[derive(Deserialize)]
struct Name {
    name: String,
}

// A shop of yours asks for a password first: see the example `account`.
async fn shop_login(
    session: Session,
    headers: HeaderMap,
    Form(form): Form<Name>,
) -> Result<impl IntoResponse, SessionError> {
    session.log_in(&form.name)?;
    session.set_device_label(device(&headers));
    CUSTOMER.insert(&session, form.name)?;
    redirect(&session, "/").await
}

/// The name of the browser and its system.
fn device(headers: &HeaderMap) -> String {
    let agent = headers.get(USER_AGENT).and_then(|value| value.to_str().ok());
    let device = agent.and_then(|agent| woothee::parser::Parser::new().parse(agent));
    device.map_or("Unknown device".into(), |device| format!("{} on {}", device.name, device.os))
}

async fn shop_logout(session: Session) -> Result<impl IntoResponse, SessionError> {
    session.log_out();
    redirect(&session, "/").await
}

/// The administration's own sessions, and the shop's, which it looks at.
#[derive(Clone, FromRef)]
struct Admin {
    sessions: SessionConfig,
    #[from_ref(skip)]
    shop: Shop,
    #[from_ref(skip)]
    password_hash: Arc<str>,
}

/// The session of an administrator. As a handler's argument it keeps everybody else out.
struct Administrator(Session);

impl FromRequestParts<Admin> for Administrator {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &Admin) -> Result<Self, Response> {
        let session = Session::from_request_parts(parts, state).await.map_err(IntoResponse::into_response)?;
        if session.belongs_to(ADMINISTRATOR) {
            return Ok(Self(session));
        }
        Err(Redirect::to("/admin/login").into_response())
    }
}

async fn overview(
    State(admin): State<Admin>,
    Administrator(session): Administrator,
) -> Result<impl IntoResponse, SessionError> {
    let notices = NOTICE.take(&session)?;
    let user = LOOKED_UP.get(&session)?;
    let sessions = match &user {
        Some(user) => admin.shop.sessions.sessions_of(user).list().await?,
        None => Vec::new(),
    };
    let seen = &admin.shop.seen;
    let origins = seen.origins.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let events = seen.events.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let content = html! {
        (notes(&notices))
        h2 { "The sessions of a user" }
        form.search method="post" action="/admin/look-up" {
            input name="name" aria-label="User" value=(user.as_deref().unwrap_or_default()) required;
            button { "Look up" }
        }
        @if let Some(user) = &user { (of_user(user, &sessions)) }
        h2 { "Where the sessions of requests came from" }
        table #origins {
            @for (origin, requests) in &origins { tr { td { (meaning(*origin)) } td { (requests) } } }
        }
        h2 { "What happened last" }
        table #events {
            @for event in &events {
                tr {
                    td { (ago(event.at)) }
                    td { (event.what) @if let Some(why) = event.why { ": " (why) } }
                    td { @if let Some(session) = &event.session { code { (session) } } }
                }
            }
        }
        form method="post" action="/admin/logout" { button.quiet #logout { "Log out" } }
    };
    private(&session, "Administration", content).await
}

fn of_user(user: &str, sessions: &[UserSession]) -> Markup {
    html! {
        p #count { "Live sessions of " (user) ": " (sessions.len()) }
        table #sessions {
            @for session in sessions {
                tr.session {
                    td { (session.device_label().unwrap_or("Unknown device")) br; code { (session.handle()) } }
                    td { "logged in " (ago(session.created())) }
                    td {
                        form method="post" action="/admin/end" {
                            input type="hidden" name="name" value=(user);
                            input type="hidden" name="handle" value=(session.handle());
                            button.quiet { "End" }
                        }
                    }
                }
            }
        }
        @if !sessions.is_empty() {
            form method="post" action="/admin/end-all" {
                input type="hidden" name="name" value=(user);
                button.quiet #end-all { "End all" }
            }
        }
    }
}

fn meaning(origin: Origin) -> &'static str {
    match origin {
        Origin::NoCookie => "new visitors, without a cookie",
        Origin::BadSignature => "forged cookies, or a secret that was changed",
        Origin::Unknown => "sessions that have expired or ended",
        Origin::Undecodable => "records that cannot be read",
        Origin::Loaded => "live sessions",
    }
}

async fn look_up(
    Administrator(session): Administrator,
    Form(form): Form<Name>,
) -> Result<impl IntoResponse, SessionError> {
    LOOKED_UP.insert(&session, form.name)?;
    redirect(&session, "/admin").await
}

/// The user is in the form: an administrator with two tabs ends what the tab shows.
#[derive(Deserialize)]
struct End {
    name: String,
    handle: SessionHandle,
}

async fn end(
    State(admin): State<Admin>,
    Administrator(session): Administrator,
    Form(form): Form<End>,
) -> Result<impl IntoResponse, SessionError> {
    let ended = admin.shop.sessions.sessions_of(&form.name).end(&form.handle).await?;
    NOTICE.push(&session, if ended { "The session is over." } else { "It was over already." }.into())?;
    redirect(&session, "/admin").await
}

async fn end_all(
    State(admin): State<Admin>,
    Administrator(session): Administrator,
    Form(form): Form<Name>,
) -> Result<impl IntoResponse, SessionError> {
    let ended = admin.shop.sessions.sessions_of(&form.name).end_all().await?;
    NOTICE.push(&session, format!("Sessions of {} that were ended: {ended}.", form.name))?;
    redirect(&session, "/admin").await
}

async fn login_form(session: Session) -> Result<impl IntoResponse, SessionError> {
    let notices = NOTICE.take(&session)?;
    let form = html! {
        (notes(&notices))
        form method="post" action="/admin/login" {
            label { "Name" input name="name" autocomplete="username" required autofocus; }
            label { "Password" input name="password" type="password" autocomplete="current-password" required; }
            button { "Log in" }
        }
    };
    private(&session, "Log in to the administration", form).await
}

#[derive(Deserialize)]
struct Login {
    name: String,
    password: String,
}

async fn login(
    State(admin): State<Admin>,
    session: Session,
    Form(form): Form<Login>,
) -> Result<impl IntoResponse, SessionError> {
    // Hashing takes a while on purpose, so it runs on a blocking thread, where it holds up no other request.
    let check = move || {
        let matches = password_auth::verify_password(form.password, &admin.password_hash).is_ok();
        matches && form.name == ADMINISTRATOR
    };
    if !tokio::task::spawn_blocking(check).await.unwrap_or(false) {
        NOTICE.push(&session, "Wrong name or password.".into())?;
        return redirect(&session, "/admin/login").await;
    }
    session.log_in(ADMINISTRATOR)?;
    redirect(&session, "/admin").await
}

async fn logout(session: Session) -> Result<impl IntoResponse, SessionError> {
    session.log_out();
    redirect(&session, "/admin/login").await
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    tracing_subscriber::fmt::init();
    // In production, add `.secure(true)`, and stores that outlive the process, with a prefix or a table of its own for
    // each of the two. Their secrets differ, so that no cookie of the shop is one of the administration.
    let secret = |name| std::env::var(name).map_or_else(|_| Secrets::random(), Secrets::from);
    let seen = Arc::<Seen>::default();
    let watching = Arc::clone(&seen);
    let shop = Shop {
        sessions: SessionConfig::builder(secret("SESSION_SECRET"))
            .save_uninitialized(false)
            .on_event(move |event| watching.event(event))
            .build()?,
        seen,
    };
    let admin = Admin {
        // Another cookie, which the browser sends below `/admin` alone, and another store.
        sessions: SessionConfig::builder(secret("ADMIN_SECRET"))
            .name("admin.sid")
            .path("/admin")
            .same_site(SameSite::Strict)
            .browser_session()
            .absolute_timeout(Duration::from_secs(8 * 60 * 60))
            .save_uninitialized(false)
            .build()?,
        shop: shop.clone(),
        password_hash: password_auth::generate_hash("correct horse").into(),
    };
    let administration = Router::new()
        .route("/", get(overview))
        .route("/login", get(login_form).post(login))
        .route("/logout", post(logout))
        .route("/look-up", post(look_up))
        .route("/end", post(end))
        .route("/end-all", post(end_all))
        .with_state(admin);
    let app = Router::new()
        .route("/", get(shop_page))
        .route("/login", post(shop_login))
        .route("/logout", post(shop_logout))
        .route_layer(from_fn_with_state(shop.clone(), note_origin))
        // What is added after the layer is not counted.
        .route("/ready", get(sessile::health))
        .with_state(shop)
        .nest("/admin", administration)
        .layer(CsrfLayer::new());

    let port = std::env::var("PORT").unwrap_or("3000".into());
    let listener = tokio::net::TcpListener::bind(format!("127.0.0.1:{port}")).await?;
    println!("listening on http://{}", listener.local_addr()?);
    axum::serve(listener, app).await?;
    Ok(())
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

fn ago(time: SystemTime) -> String {
    match time.elapsed().unwrap_or_default().as_secs() {
        0..60 => "just now".to_owned(),
        seconds @ 60..3600 => format!("{} min ago", seconds / 60),
        seconds => format!("{} h ago", seconds / 3600),
    }
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
    main { max-width: 44rem; margin: 5vh auto; padding: 2rem; background: #fff; border-radius: .75rem;
           box-shadow: 0 1px 3px #0002, 0 8px 24px #0001 }
    h1 { margin: 0 0 1rem; font-size: 1.5rem }
    h2 { margin: 1.5rem 0 .5rem; font-size: 1.1rem }
    label { display: block; margin-bottom: 1rem; font-weight: 600; font-size: .9rem }
    input { width: 100%; box-sizing: border-box; padding: .6rem .7rem; font: inherit; border: 1px solid #c3cbd6;
            border-radius: .4rem }
    .search { display: flex; gap: .5rem }
    button { padding: .55rem .9rem; font: inherit; font-weight: 600; color: #fff; background: #2457c5; border: 0;
             border-radius: .4rem; white-space: nowrap; cursor: pointer }
    button:hover, button:focus-visible { background: #1b449d }
    button.quiet { color: #2457c5; background: #eef2fb; font-weight: 500 }
    button.quiet:hover, button.quiet:focus-visible { background: #dbe5fa }
    table { width: 100%; margin-bottom: 1rem; border-collapse: collapse }
    td { padding: .4rem .5rem .4rem 0; border-top: 1px solid #e4e8ee }
    td:last-child { padding-right: 0; text-align: right }
    code { color: #5d6b7c; font-size: .8rem }
    .notice { margin: 0 0 1rem; padding: .6rem .8rem; color: #1d3d66; background: #e8f0fc; border-radius: .4rem }
";
