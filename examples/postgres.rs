//! Sessions in PostgreSQL, on a connection pool that the rest of the program uses as well. Express with
//! connect-pg-simple can share the table.
//!
//! `DATABASE_URL=postgres://localhost/shop cargo run --example postgres --features postgres`
//!
//! ```sh
//! cargo add sessile --features postgres
//! cargo add tracing-subscriber
//! cargo add axum --features macros
//! cargo add tokio --features full
//! ```

use axum::Router;
use axum::extract::FromRef;
use axum::response::IntoResponse;
use axum::routing::get;
use sessile::{PostgresStore, Session, SessionConfig, SessionError};

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
    let url = std::env::var("DATABASE_URL").unwrap_or("postgres://localhost/postgres".into());
    let pool = sessile::sqlx::PgPool::connect(&url).await?;
    // If Express shares the table and the server is not in UTC, add `.time_zone("America/New_York")`.
    let store = PostgresStore::new(pool);
    store.migrate().await?;
    // The sweep removes expired sessions until its handle is dropped.
    let _sweep = store.sweep_every(std::time::Duration::from_secs(900));
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
