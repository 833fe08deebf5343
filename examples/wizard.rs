//! A form in three steps and a theme, without a store: the browser keeps the session, encrypted. Run it, and
//! open http://127.0.0.1:3000.
//!
//! ```sh
//! cargo add sessile --features cookie-session
//! cargo add axum-extra --features cookie-private
//! cargo add axum --features macros
//! cargo add serde --features derive
//! cargo add maud --features axum
//! cargo add tower-http --features csrf
//! cargo add tracing-subscriber
//! cargo add tokio --features full
//! ```

use axum::response::{IntoResponse, Redirect};
use axum::routing::{get, post};
use axum::{Form, Router};
use axum_extra::extract::cookie::Key;
use maud::{DOCTYPE, Markup, html};
use serde::{Deserialize, Serialize};
use sessile::{CookieConfig, CookieSession, FlashKey, SessionError, SessionKey};
use tower_http::csrf::CsrfLayer;

const ORDER: SessionKey<Order> = SessionKey::new("order");
const DARK: SessionKey<bool> = SessionKey::new("dark");
const NOTICE: FlashKey<String> = FlashKey::new("notice");

/// What the visitor has filled in so far. Nothing of it is worth money: an older cookie brings an older order back.
#[derive(Default, Serialize, Deserialize)]
struct Order {
    name: Option<String>,
    colour: Option<String>,
}

/// The form of each step has one field.
#[derive(Deserialize)]
struct Answer {
    answer: String,
}

async fn page(session: CookieSession) -> Result<impl IntoResponse, SessionError> {
    let (order, dark) = (ORDER.get(&session)?.unwrap_or_default(), DARK.get(&session)?.unwrap_or(false));
    let notices = NOTICE.take(&session)?;
    let question = |step: u8, label: &str| {
        html! {
            h1 data-step=(step) { "Step " (step) " of 3" }
            form method="post" action="/answer" {
                label { (label) " " input name="answer" required; }
                button #next { "Next" }
            }
        }
    };
    let step = match (&order.name, &order.colour) {
        (None, _) => question(1, "Your name"),
        (_, None) => question(2, "Your favourite colour"),
        (Some(name), Some(colour)) => html! {
            h1 data-step="3" { "Step 3 of 3" }
            p #summary { (name) " likes " (colour) "." }
            form method="post" action="/send" { button #send { "Send" } }
        },
    };
    let body: Markup = html! {
        (DOCTYPE)
        html {
            body data-theme=(if dark { "dark" } else { "light" }) {
                @for notice in notices { p.notice { (notice) } }
                (step)
                form method="post" action="/theme" { button #theme { "Change the theme" } }
            }
        }
    };
    Ok((session.commit().await?, body))
}

async fn answer(
    session: CookieSession,
    Form(Answer { answer }): Form<Answer>,
) -> Result<impl IntoResponse, SessionError> {
    ORDER.modify(&session, move |order| {
        let field = if order.name.is_none() { &mut order.name } else { &mut order.colour };
        *field = Some(answer.clone());
    })?;
    Ok((session.commit().await?, Redirect::to("/")))
}

async fn send(session: CookieSession) -> Result<impl IntoResponse, SessionError> {
    // Here the order would go to a database.
    ORDER.remove(&session)?;
    NOTICE.push(&session, "Your order is on its way.".into())?;
    Ok((session.commit().await?, Redirect::to("/")))
}

async fn theme(session: CookieSession) -> Result<impl IntoResponse, SessionError> {
    DARK.modify(&session, |dark| *dark = !*dark)?;
    Ok((session.commit().await?, Redirect::to("/")))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    tracing_subscriber::fmt::init();
    // 64 random bytes from where you keep secrets. Without them, the sessions end with the process.
    let key = std::env::var("COOKIE_KEY").map_or_else(|_| Key::generate(), |key| Key::from(key.as_bytes()));
    let sessions = CookieConfig::builder(key).name("draft").build()?;
    let app = Router::new()
        .route("/", get(page))
        .route("/answer", post(answer))
        .route("/send", post(send))
        .route("/theme", post(theme))
        .layer(CsrfLayer::new())
        .with_state(sessions);

    let port = std::env::var("PORT").unwrap_or("3000".into());
    let listener = tokio::net::TcpListener::bind(format!("127.0.0.1:{port}")).await?;
    println!("listening on http://{}", listener.local_addr()?);
    axum::serve(listener, app).await?;
    Ok(())
}
