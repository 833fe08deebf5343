//! Sessions in Redis. All processes that you start share them, and so can Express with connect-redis.
//!
//! `REDIS_URL=redis://127.0.0.1/ cargo run --example redis --features redis`
//!
//! ```sh
//! cargo add sessile --features redis
//! cargo add tracing-subscriber
//! cargo add axum --features macros
//! cargo add tokio --features full
//! ```

use axum::Router;
use axum::extract::FromRef;
use axum::response::IntoResponse;
use axum::routing::get;
use sessile::{RedisStore, Session, SessionConfig, SessionError};

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
    let url = std::env::var("REDIS_URL").unwrap_or("redis://127.0.0.1/".into());
    let store = RedisStore::connect(url).await?;
    let sessions = SessionConfig::builder("an example's secret of at least 32 bytes")
        .save_uninitialized(false)
        .store(store)
        .build()?;
    let app = Router::new().route("/", get(count)).with_state(App { sessions });

    let port = std::env::var("PORT").unwrap_or("3000".into());
    let listener = tokio::net::TcpListener::bind(format!("127.0.0.1:{port}")).await?;
    println!("listening on http://{}", listener.local_addr()?);
    axum::serve(listener, app).await?;
    Ok(())
}
