//! A store of your own, in three methods. This one keeps sessions in a map behind a lock; yours calls
//! whatever you keep sessions in.
//!
//! ```sh
//! cargo add sessile tracing-subscriber
//! cargo add axum --features macros
//! cargo add tokio --features full
//! ```

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::FromRef;
use axum::response::IntoResponse;
use axum::routing::get;
use sessile::{Record, Session, SessionConfig, SessionError, SessionId, SessionStore, StoreError, Stored};

#[derive(Default)]
struct MapStore(Mutex<HashMap<String, (String, Instant)>>);

impl SessionStore for MapStore {
    async fn get(&self, id: &SessionId) -> Result<Option<Stored>, StoreError> {
        let map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match map.get(id.as_str()) {
            Some((json, until)) if Instant::now() < *until => Ok(Some(Record::from_json(json)?.into())),
            _ => Ok(None),
        }
    }

    async fn set(&self, id: &SessionId, record: &Record, ttl: Duration) -> Result<(), StoreError> {
        let mut map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        map.insert(id.as_str().into(), (record.as_json().into(), Instant::now() + ttl));
        Ok(())
    }

    async fn destroy(&self, id: &SessionId) -> Result<(), StoreError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(id.as_str());
        Ok(())
    }
}

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
    let sessions = SessionConfig::builder("an example's secret of at least 32 bytes")
        .store(MapStore::default())
        .build()?;
    let app = Router::new().route("/", get(count)).with_state(App { sessions });

    let port = std::env::var("PORT").unwrap_or("3000".into());
    let listener = tokio::net::TcpListener::bind(format!("127.0.0.1:{port}")).await?;
    println!("listening on http://{}", listener.local_addr()?);
    axum::serve(listener, app).await?;
    Ok(())
}
