//! Counts how often you have seen a page. Run it, and open http://127.0.0.1:3000.

use axum::extract::FromRef;
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;
use sessile::{Session, SessionConfig, SessionError};

#[derive(Clone)]
struct App {
    sessions: SessionConfig,
}

impl FromRef<App> for SessionConfig {
    fn from_ref(app: &App) -> Self {
        app.sessions.clone()
    }
}

async fn profile(session: Session) -> Result<impl IntoResponse, SessionError> {
    let views = session.get::<u64>("views")?.unwrap_or(0) + 1;
    session.insert("views", views)?;
    Ok((session.commit().await?, Json(json!({ "views": views }))))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // In production, read the secret from the environment: 32 random bytes or more.
    let sessions = SessionConfig::new("an example's secret of at least 32 bytes")?;
    let app = Router::new().route("/", get(profile)).with_state(App { sessions });

    let port = std::env::var("PORT").unwrap_or("3000".into());
    let listener = tokio::net::TcpListener::bind(format!("127.0.0.1:{port}")).await?;
    println!("listening on http://{}", listener.local_addr()?);
    axum::serve(listener, app).await?;
    Ok(())
}
