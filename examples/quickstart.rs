//! Counts how often you have seen a page. Run it, and open http://127.0.0.1:3000.
//!
//! ```sh
//! cargo add sessile axum serde_json tracing-subscriber
//! cargo add tokio --features full
//! ```

use axum::{Json, Router, response::IntoResponse, routing::get};
use serde_json::json;
use sessile::{Secrets, Session, SessionConfig, SessionError};

async fn profile(session: Session) -> Result<impl IntoResponse, SessionError> {
    let views = session.get::<u64>("views")?.unwrap_or(0) + 1;
    session.insert("views", views)?;
    Ok((session.commit().await?, Json(json!({ "views": views }))))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    tracing_subscriber::fmt::init();
    // `openssl rand -base64 32` makes a secret. Without one, the sessions end with the process.
    let secret = std::env::var("SESSION_SECRET").map_or_else(|_| Secrets::random(), Secrets::from);
    let sessions = SessionConfig::builder(secret).save_uninitialized(false).build()?;
    let app = Router::new().route("/", get(profile)).with_state(sessions);

    let port = std::env::var("PORT").unwrap_or("3000".into());
    let listener = tokio::net::TcpListener::bind(format!("127.0.0.1:{port}")).await?;
    println!("listening on http://{}", listener.local_addr()?);
    axum::serve(listener, app).await?;
    Ok(())
}
