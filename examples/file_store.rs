//! Sessions in files: stop the program, start it again, and your count continues. Express with
//! session-file-store can share the folder.
//!
//! ```sh
//! cargo add sessile tracing-subscriber
//! cargo add axum --features macros
//! cargo add tokio --features full
//! ```

use std::time::Duration;

use axum::Router;
use axum::extract::FromRef;
use axum::response::IntoResponse;
use axum::routing::get;
use sessile::{FileStore, Session, SessionConfig, SessionError};

#[derive(Clone, FromRef)]
struct App {
    sessions: SessionConfig,
}

async fn count(session: Session) -> Result<impl IntoResponse, SessionError> {
    let views = session.update("views", |views: Option<u64>| Some(views.unwrap_or(0) + 1))?;
    Ok((session.commit().await?, format!("views: {}\n", views.unwrap_or(0))))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    tracing_subscriber::fmt::init();
    let folder = std::env::var("SESSIONS").unwrap_or("./sessions".into());
    let store = FileStore::new(&folder)?;
    // The sweep removes the files of expired sessions until its handle is dropped.
    let _sweep = store.sweep_every(Duration::from_secs(600));

    let sessions = SessionConfig::builder("an example's secret of at least 32 bytes")
        .save_uninitialized(false)
        .store(store)
        .build()?;
    let app = Router::new().route("/", get(count)).with_state(App { sessions });

    let port = std::env::var("PORT").unwrap_or("3000".into());
    let listener = tokio::net::TcpListener::bind(format!("127.0.0.1:{port}")).await?;
    println!("listening on http://{}, sessions in {folder}", listener.local_addr()?);
    axum::serve(listener, app).await?;
    Ok(())
}
