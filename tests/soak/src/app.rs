//! The application under load.

use std::time::Duration;

use axum::extract::{FromRef, Path, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use sessile::{Session, SessionConfig, SessionError, SessionGuard};

#[derive(Clone, FromRef)]
pub(crate) struct App {
    pub(crate) sessions: SessionConfig,
    /// How long the slow handler works before it commits.
    pub(crate) slow: Slow,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Slow(pub(crate) Duration);

pub(crate) fn router(app: App) -> Router {
    Router::new()
        .route("/", get(read))
        .route("/login/{user}", post(login))
        .route("/count", post(count))
        .route("/slow", post(slow))
        .route("/flash/{message}", post(push))
        .route("/flash", post(take))
        .route("/logout", post(logout))
        .with_state(app)
}

/// Who is logged in, and how many writes the session counted. `null` for nobody.
async fn read(session: Session) -> Result<(SessionGuard, Json<Value>), SessionError> {
    let user: Option<u64> = session.get("user")?;
    let seen = user.map(|user| json!({ "user": user, "count": session.get::<u64>("count").ok().flatten() }));
    Ok((session.commit().await?, Json(json!(seen))))
}

async fn login(session: Session, Path(user): Path<u64>) -> Result<SessionGuard, SessionError> {
    session.regenerate();
    session.insert("user", user)?;
    session.insert("count", 0)?;
    // A session of a usual size.
    for n in 0..8 {
        session.insert(&format!("filler {n}"), "x".repeat(100))?;
    }
    session.commit().await
}

async fn count(session: Session) -> Result<impl IntoResponse, SessionError> {
    if !session.contains_key("user") {
        return Ok(StatusCode::UNAUTHORIZED.into_response());
    }
    session.update("count", |count: Option<u64>| Some(count.unwrap_or(0) + 1))?;
    let guard = session.commit().await?;
    // What was stored: before the commit the session does not know of writes at the same time.
    let count = session.get::<u64>("count")?;
    Ok((guard, Json(count)).into_response())
}

/// The same, so slowly that the browser may be gone before the commit.
async fn slow(State(Slow(time)): State<Slow>, session: Session) -> Result<impl IntoResponse, SessionError> {
    tokio::time::sleep(time).await;
    count(session).await
}

async fn push(session: Session, Path(message): Path<u64>) -> Result<SessionGuard, SessionError> {
    session.flash("info", message)?;
    session.commit().await
}

async fn take(session: Session) -> Result<(SessionGuard, Json<Vec<u64>>), SessionError> {
    let messages = session.take_flash("info")?;
    Ok((session.commit().await?, Json(messages)))
}

async fn logout(session: Session) -> Result<SessionGuard, SessionError> {
    session.destroy();
    session.commit().await
}
