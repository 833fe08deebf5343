//! The commit in one place, as in Express: `SessionLayer` commits after each handler, and handlers only read
//! and write. If a handler answers with a 5xx status, what it changed is not stored; a logout still is.
//!
//! ```sh
//! cargo add sessile tracing-subscriber
//! cargo add axum --features macros
//! cargo add tokio --features full
//! ```

use axum::Router;
use axum::extract::FromRef;
use axum::http::StatusCode;
use axum::routing::get;
use sessile::{Session, SessionConfig, SessionError, SessionLayer};

#[derive(Clone, FromRef)]
struct App {
    sessions: SessionConfig,
}

fn step(session: &Session) -> Result<String, SessionError> {
    let views = session.update("views", |views: Option<u64>| Some(views.unwrap_or(0) + 1))?;
    Ok(format!("views: {}\n", views.unwrap_or(0)))
}

async fn count(session: Session) -> Result<String, SessionError> {
    step(&session)
}

async fn count_and_fail(session: Session) -> Result<(StatusCode, String), SessionError> {
    Ok((StatusCode::INTERNAL_SERVER_ERROR, step(&session)?))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    tracing_subscriber::fmt::init();
    let sessions = SessionConfig::builder("an example's secret of at least 32 bytes")
        .save_uninitialized(false)
        .build()?;
    let app = Router::new()
        .route("/", get(count))
        .route("/fail", get(count_and_fail))
        .layer(SessionLayer::new(sessions.clone()))
        .with_state(App { sessions });

    let port = std::env::var("PORT").unwrap_or("3000".into());
    let listener = tokio::net::TcpListener::bind(format!("127.0.0.1:{port}")).await?;
    println!("listening on http://{}", listener.local_addr()?);
    axum::serve(listener, app).await?;
    Ok(())
}
