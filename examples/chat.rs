//! A chat over WebSockets that closes in every tab when the user logs out in one of them, and when the
//! session expires. Log in under any name, open the page in two tabs, and log out in one.
//!
//! ```sh
//! cargo add sessile tracing-subscriber
//! cargo add axum --features macros,ws
//! cargo add serde --features derive
//! cargo add serde_json
//! cargo add maud --features axum
//! cargo add tower-http --features csrf
//! cargo add tokio --features full
//! ```

use std::pin::pin;

use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::extract::{FromRef, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{any, get, post};
use axum::{Form, Router};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use serde::{Deserialize, Serialize};
use sessile::{Ended, Secrets, Session, SessionConfig, SessionError, SessionKey};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tower_http::csrf::CsrfLayer;

const NAME: SessionKey<String> = SessionKey::new("name");
/// The longest line, in bytes.
const LONGEST: usize = 4096;
/// The code with which a socket is closed whose session is over. Applications may use 4000 to 4999.
const SESSION_OVER: u16 = 4001;

#[derive(Clone, FromRef)]
struct App {
    sessions: SessionConfig,
    room: broadcast::Sender<Line>,
}

#[derive(Clone, Serialize)]
struct Line {
    name: String,
    text: String,
}

async fn chat(session: Session) -> Result<Response, SessionError> {
    let name = NAME.get(&session)?;
    let guard = session.commit().await?;
    let Some(name) = name else { return Ok((guard, Redirect::to("/login")).into_response()) };
    let content = html! {
        header {
            span { "You are " strong { (name) } "." }
            form method="post" action="/logout" { button { "Log out" } }
        }
        p #state { "Connecting…" }
        ul #lines {}
        form #say { input name="text" placeholder="Say something" maxlength="500" autocomplete="off" required autofocus; button { "Send" } }
        script { (PreEscaped(SCRIPT)) }
    };
    Ok((guard, page("Chat", content)).into_response())
}

async fn socket(
    session: Session,
    State(room): State<broadcast::Sender<Line>>,
    upgrade: WebSocketUpgrade,
) -> Result<Response, SessionError> {
    let Some(name) = NAME.get(&session)? else { return Ok(StatusCode::UNAUTHORIZED.into_response()) };
    // A cookie can be set on this response and never after it.
    let guard = session.commit().await?;
    let ended = session.ended();
    let upgraded = upgrade.max_message_size(LONGEST).on_upgrade(|socket| talk(socket, name, room, ended));
    Ok((guard, upgraded).into_response())
}

async fn talk(
    mut socket: WebSocket,
    name: String,
    room: broadcast::Sender<Line>,
    ended: impl Future<Output = Ended>,
) {
    let mut ended = pin!(ended);
    let mut said = room.subscribe();
    loop {
        tokio::select! {
            end = &mut ended => {
                let reason = match end {
                    Ended::Expired => "Closed: your session has expired.",
                    Ended::Moved => "Closed: you have logged in again. Reload the page.",
                    _ => "Closed: you are logged out.",
                };
                let close = CloseFrame { code: SESSION_OVER, reason: reason.into() };
                let _ = socket.send(Message::Close(Some(close))).await;
                return;
            }
            received = socket.recv() => match received {
                Some(Ok(Message::Text(text))) => {
                    let _ = room.send(Line { name: name.clone(), text: text.to_string() });
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return,
            },
            line = said.recv() => {
                let line = match line {
                    Ok(line) => line,
                    Err(RecvError::Lagged(_)) => continue,
                    Err(RecvError::Closed) => return,
                };
                let Ok(json) = serde_json::to_string(&line) else { return };
                if socket.send(Message::text(json)).await.is_err() {
                    return;
                }
            }
        }
    }
}

async fn login_form() -> Markup {
    page(
        "Log in",
        html! {
            form method="post" action="/login" {
                label { "Name" input name="name" maxlength="40" autocomplete="username" required autofocus; }
                button { "Log in" }
            }
        },
    )
}

#[derive(Deserialize)]
struct Login {
    name: String,
}

/// Your program checks a password here: see the example `login`.
async fn login(session: Session, Form(form): Form<Login>) -> Result<impl IntoResponse, SessionError> {
    session.log_in(&form.name)?;
    NAME.insert(&session, form.name)?;
    Ok((session.commit().await?, Redirect::to("/")))
}

async fn logout(session: Session) -> Result<impl IntoResponse, SessionError> {
    session.log_out();
    Ok((session.commit().await?, Redirect::to("/login")))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    tracing_subscriber::fmt::init();
    let secret = std::env::var("SESSION_SECRET").map_or_else(|_| Secrets::random(), Secrets::from);
    let sessions = SessionConfig::builder(secret).save_uninitialized(false).build()?;
    let app = Router::new()
        .route("/", get(chat))
        .route("/socket", any(socket))
        .route("/login", get(login_form).post(login))
        .route("/logout", post(logout))
        .layer(CsrfLayer::new())
        .with_state(App { sessions, room: broadcast::Sender::new(100) });

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

const SCRIPT: &str = "
    const [state, lines, say] = ['state', 'lines', 'say'].map(id => document.getElementById(id));
    const socket = new WebSocket(location.origin.replace(/^http/, 'ws') + '/socket');
    socket.onopen = () => { state.textContent = 'Connected.'; };
    socket.onmessage = event => {
        const { name, text } = JSON.parse(event.data);
        const [line, who] = ['li', 'strong'].map(tag => document.createElement(tag));
        who.textContent = name;
        line.append(who, ' ', text);
        lines.append(line);
        line.scrollIntoView({ block: 'nearest' });
    };
    socket.onclose = event => {
        state.textContent = event.reason || 'The connection is lost. Reload the page.';
        state.className = 'closed';
        for (const element of say.elements) element.disabled = true;
    };
    say.onsubmit = event => {
        event.preventDefault();
        socket.send(say.elements.text.value);
        say.reset();
    };
";

const STYLE: &str = "
    body { font: 1rem/1.5 system-ui, sans-serif; background: #f2f4f7; color: #1d2733; margin: 0 }
    main { max-width: 30rem; margin: 8vh auto; padding: 2rem; background: #fff; border-radius: .75rem;
           box-shadow: 0 1px 3px #0002, 0 8px 24px #0001 }
    h1 { margin: 0 0 1rem; font-size: 1.5rem }
    header, #say { display: flex; align-items: center; justify-content: space-between; gap: .5rem }
    label { display: block; margin-bottom: 1rem; font-weight: 600; font-size: .9rem }
    input { flex: 1; width: 100%; box-sizing: border-box; padding: .6rem .7rem; font: inherit;
            border: 1px solid #c3cbd6; border-radius: .4rem }
    button { padding: .6rem 1rem; font: inherit; font-weight: 600; color: #fff; background: #2457c5; border: 0;
             border-radius: .4rem; cursor: pointer }
    button:hover, button:focus-visible { background: #1b449d }
    button:disabled { background: #9aa7b8; cursor: default }
    header button { padding: .25rem .75rem; color: #2457c5; background: #e8eefb }
    header button:hover, header button:focus-visible { background: #d3dff7 }
    #state { margin: 1rem 0 0; padding: .4rem .8rem; font-size: .9rem; color: #14532d; background: #e7f6ec;
             border-radius: .4rem }
    #state.closed { color: #7a1420; background: #fdecee }
    #lines { height: 16rem; margin: 1rem 0; padding: 0; overflow-y: auto; list-style: none }
    #lines li { padding: .2rem 0; overflow-wrap: anywhere }
    #lines strong { color: #2457c5 }
";
