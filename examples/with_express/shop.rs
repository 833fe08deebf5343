//! The axum half of the shop: the routes of `express.js`, over the same sessions.

use axum::extract::{FromRef, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Form, Json, Router};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sessile::{FlashKey, Session, SessionConfig, SessionError, SessionKey};

/// The user, in the shape that Express stores: `req.session.user = { name }`.
const USER: SessionKey<User> = SessionKey::new("user");
const BASKET: SessionKey<Vec<String>> = SessionKey::new("basket");
const NOTICE: FlashKey<String> = FlashKey::new("notice");

#[derive(Clone, FromRef)]
struct Shop {
    sessions: SessionConfig,
    other: Other,
}

/// The address of the Express half.
#[derive(Clone)]
struct Other(String);

#[derive(Serialize, Deserialize)]
struct User {
    name: String,
}

/// The routes of the shop; its pages link to `other`, the address of the Express half.
pub(crate) fn router(sessions: SessionConfig, other: impl Into<String>) -> Router {
    Router::new()
        .route("/", get(home))
        .route("/account", get(account))
        .route("/basket", post(add))
        .route("/login", post(login))
        .route("/logout", post(logout))
        .with_state(Shop { sessions, other: Other(other.into()) })
}

async fn home(session: Session, State(other): State<Other>) -> Result<impl IntoResponse, SessionError> {
    let notices = NOTICE.take(&session)?;
    let content = match USER.get(&session)? {
        Some(user) => basket_of(&user, &BASKET.get(&session)?.unwrap_or_default()),
        None => login_form(),
    };
    Ok((session.commit().await?, page(&notices, content, &other)))
}

async fn account(session: Session) -> Result<Response, SessionError> {
    let (status, body) = match USER.get(&session)? {
        Some(user) => {
            let basket = BASKET.get(&session)?.unwrap_or_default().len();
            (StatusCode::OK, json!({ "server": "axum", "user": user.name, "basket": basket }))
        }
        None => (StatusCode::UNAUTHORIZED, json!({ "server": "axum", "user": null })),
    };
    Ok((status, session.commit().await?, Json(body)).into_response())
}

#[derive(Deserialize)]
struct Add {
    item: String,
}

async fn add(session: Session, Form(add): Form<Add>) -> Result<impl IntoResponse, SessionError> {
    if USER.get(&session)?.is_some() {
        let item = add.item.clone();
        BASKET.update(&session, move |basket| {
            let mut basket = basket.unwrap_or_default();
            basket.push(item.clone());
            Some(basket)
        })?;
        NOTICE.push(&session, format!("{} is in your basket.", add.item))?;
    }
    Ok((session.commit().await?, Redirect::to("/")))
}

#[derive(Deserialize)]
struct Login {
    name: String,
    password: String,
}

async fn login(session: Session, Form(form): Form<Login>) -> Result<impl IntoResponse, SessionError> {
    // The one account, where your program has a table of users.
    if (&*form.name, &*form.password) != ("alice", "correct horse") {
        NOTICE.push(&session, "Wrong name or password.".into())?;
    } else {
        session.regenerate();
        NOTICE.push(&session, format!("Welcome, {}.", form.name))?;
        USER.insert(&session, User { name: form.name })?;
    }
    Ok((session.commit().await?, Redirect::to("/")))
}

async fn logout(session: Session) -> Result<impl IntoResponse, SessionError> {
    session.destroy();
    Ok((session.commit().await?, Redirect::to("/")))
}

fn login_form() -> Markup {
    html! {
        form method="post" action="/login" {
            label { "Name " input name="name" autocomplete="username" required autofocus; }
            label { "Password " input name="password" type="password" autocomplete="current-password" required; }
            button { "Log in" }
            p.hint { "alice, correct horse" }
        }
    }
}

fn basket_of(user: &User, basket: &[String]) -> Markup {
    html! {
        p { "You are logged in as " strong #user { (user.name) } "." }
        ul { @for item in basket { li { (item) } } }
        form method="post" action="/basket" {
            label { "Item " input name="item" required autofocus; }
            button { "Put into the basket" }
        }
        form method="post" action="/logout" { button.quiet { "Log out" } }
    }
}

fn page(notices: &[String], content: Markup, other: &Other) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "axum" }
                style { (PreEscaped(include_str!("style.css"))) }
            }
            body {
                main {
                    h1 { "Served by " span #server { "axum" } }
                    @for notice in notices { p.notice { (notice) } }
                    (content)
                    p.other { a href={ (other.0) "/" } { "The same session, served by Express" } }
                }
            }
        }
    }
}
