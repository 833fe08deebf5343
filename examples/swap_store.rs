//! One program that chooses its store at start: `STORE=memory` (the default), `STORE=file:./sessions`, or,
//! with the feature of that name, `redis://…`, `postgres://…`, `mysql://…` or `sqlite:FILE`. The program
//! counts your views of each page. If processes can share the store, start as many as you like.
//!
//! ```sh
//! cargo add sessile --features redis
//! cargo add tracing-subscriber
//! cargo add axum --features macros
//! cargo add tokio --features full
//! ```

use axum::Router;
use axum::extract::FromRef;
use axum::http::Uri;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use sessile::{FileStore, MemoryStore, Session, SessionConfig, SessionConfigBuilder, SessionError};

#[derive(Clone, FromRef)]
struct App {
    sessions: SessionConfig,
}

async fn with_store(
    options: SessionConfigBuilder,
    url: &str,
) -> Result<SessionConfigBuilder, Box<dyn std::error::Error>> {
    let (scheme, rest) = url.split_once(':').unwrap_or((url, ""));
    Ok(match scheme {
        "memory" => options.store(MemoryStore::with_capacity_limit(1_000_000)),
        "file" => options.store(FileStore::new(rest)?),
        #[cfg(feature = "redis")]
        "redis" => options.store(sessile::RedisStore::connect(url).await?),
        #[cfg(feature = "postgres")]
        "postgres" => {
            let store = sessile::PostgresStore::connect(url).await?;
            store.migrate().await?;
            options.store(store)
        }
        #[cfg(feature = "mysql")]
        "mysql" => {
            let store = sessile::MySqlStore::connect(url).await?;
            store.migrate().await?;
            options.store(store)
        }
        #[cfg(feature = "sqlite")]
        "sqlite" => {
            let store = sessile::SqliteStore::open(rest).await?;
            store.migrate().await?;
            options.store(store)
        }
        _ => return Err(format!("STORE={url}: no such store, or its feature is not enabled").into()),
    })
}

async fn count(uri: Uri, session: Session) -> Result<impl IntoResponse, SessionError> {
    let views = session.update(uri.path(), |views: Option<u64>| Some(views.unwrap_or(0) + 1))?;
    Ok((session.commit().await?, format!("views: {}\n", views.unwrap_or(0))))
}

async fn forget(session: Session) -> Result<impl IntoResponse, SessionError> {
    session.destroy();
    Ok((session.commit().await?, "forgotten\n"))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    tracing_subscriber::fmt::init();
    let store = std::env::var("STORE").unwrap_or("memory".into());
    let options = SessionConfig::builder("an example's secret of at least 32 bytes");
    let sessions = with_store(options.save_uninitialized(false), &store).await?.build()?;
    let app = Router::new()
        .route("/", get(count))
        .route("/{page}", get(count))
        .route("/forget", post(forget))
        .with_state(App { sessions });

    let port = std::env::var("PORT").unwrap_or("3000".into());
    let listener = tokio::net::TcpListener::bind(format!("127.0.0.1:{port}")).await?;
    println!("listening on http://{}", listener.local_addr()?);
    axum::serve(listener, app).await?;
    Ok(())
}
