//! One program, and the store chosen at start: `STORE=memory` (the default) or `STORE=file:./sessions`.

use axum::Router;
use axum::extract::FromRef;
use axum::response::IntoResponse;
use axum::routing::get;
use sessile::{FileStore, MemoryStore, Session, SessionConfig, SessionConfigBuilder, SessionError};

#[derive(Clone, FromRef)]
struct App {
    sessions: SessionConfig,
}

fn with_store(
    options: SessionConfigBuilder,
    url: &str,
) -> Result<SessionConfigBuilder, Box<dyn std::error::Error>> {
    match url.split_once(':') {
        None if url == "memory" => Ok(options.store(MemoryStore::with_capacity_limit(1_000_000))),
        Some(("file", folder)) => Ok(options.store(FileStore::new(folder)?)),
        _ => Err(format!("STORE={url}: neither `memory` nor `file:FOLDER`").into()),
    }
}

async fn count(session: Session) -> Result<impl IntoResponse, SessionError> {
    let views = session.update("views", |views: Option<u64>| Some(views.unwrap_or(0) + 1))?;
    Ok((session.commit().await?, format!("views: {}\n", views.unwrap_or(0))))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let store = std::env::var("STORE").unwrap_or("memory".into());
    let options = SessionConfig::builder("a secret of at least 32 bytes, from your environment");
    let sessions = with_store(options.save_uninitialized(false), &store)?.build()?;
    let app = Router::new().route("/", get(count)).with_state(App { sessions });

    let port = std::env::var("PORT").unwrap_or("3000".into());
    let listener = tokio::net::TcpListener::bind(format!("127.0.0.1:{port}")).await?;
    println!("listening on http://{}, sessions in {store}", listener.local_addr()?);
    axum::serve(listener, app).await?;
    Ok(())
}
