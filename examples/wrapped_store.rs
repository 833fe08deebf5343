//! A wrapper that counts and times the calls of any store, for metrics.
//!
//! ```sh
//! cargo add sessile axum tracing-subscriber
//! cargo add tokio --features full
//! ```

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::extract::{FromRef, State};
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Router, serve};
use sessile::{
    MemoryStore, Record, Replaced, Session, SessionConfig, SessionError, SessionId, SessionStore, StoreError,
    Stored, Version,
};

/// What a metrics library would export.
#[derive(Default)]
struct Metrics {
    loads: AtomicU64,
    writes: AtomicU64,
    conflicts: AtomicU64,
    micros: AtomicU64,
}

impl Metrics {
    async fn timed<T>(&self, calls: &AtomicU64, call: impl Future<Output = T>) -> T {
        let began = Instant::now();
        let answer = call.await;
        calls.fetch_add(1, Ordering::Relaxed);
        let micros = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.micros.fetch_add(micros, Ordering::Relaxed);
        answer
    }
}

struct Measured<S> {
    inner: S,
    metrics: Arc<Metrics>,
}

impl<S: SessionStore> SessionStore for Measured<S> {
    // Everything that is not measured goes straight to the store inside. Without this line, `create`, `touch`
    // and `destroy_if` would be the trait's own, which take two steps where the store inside takes one.
    sessile::forward_store!(self => self.inner, except get, replace);

    async fn get(&self, id: &SessionId) -> Result<Option<Stored>, StoreError> {
        self.metrics.timed(&self.metrics.loads, self.inner.get(id)).await
    }

    async fn replace(
        &self,
        id: &SessionId,
        expected: &Version,
        record: &Record,
        ttl: Duration,
    ) -> Result<Replaced, StoreError> {
        let call = self.inner.replace(id, expected, record, ttl);
        let answer = self.metrics.timed(&self.metrics.writes, call).await;
        if matches!(answer, Ok(Replaced::Conflict(_))) {
            self.metrics.conflicts.fetch_add(1, Ordering::Relaxed);
        }
        answer
    }
}

#[derive(Clone)]
struct App {
    sessions: SessionConfig,
    metrics: Arc<Metrics>,
}

impl FromRef<App> for SessionConfig {
    fn from_ref(app: &App) -> Self {
        app.sessions.clone()
    }
}

async fn count(session: Session) -> Result<impl IntoResponse, SessionError> {
    let views = session.update("views", |views: Option<u64>| Some(views.unwrap_or(0) + 1))?;
    Ok((session.commit().await?, format!("views: {}\n", views.unwrap_or(0))))
}

async fn metrics(State(app): State<App>) -> String {
    let Metrics { loads, writes, conflicts, micros } = &*app.metrics;
    let [loads, writes, conflicts, micros] =
        [loads, writes, conflicts, micros].map(|metric| metric.load(Ordering::Relaxed));
    format!("loads {loads}\nwrites {writes}\nconflicts {conflicts}\nmicroseconds {micros}\n")
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    tracing_subscriber::fmt::init();
    let metrics_of_store = Arc::new(Metrics::default());
    let store = Measured { inner: MemoryStore::new(), metrics: Arc::clone(&metrics_of_store) };
    // An example's secret. `quickstart` reads one from the environment.
    let sessions = SessionConfig::builder("an example's secret of at least 32 bytes").store(store).build()?;
    let app = Router::new()
        .route("/", get(count))
        .route("/metrics", get(metrics))
        .with_state(App { sessions, metrics: metrics_of_store });

    let port = std::env::var("PORT").unwrap_or("3000".into());
    let listener = tokio::net::TcpListener::bind(format!("127.0.0.1:{port}")).await?;
    println!("listening on http://{}", listener.local_addr()?);
    serve(listener, app).await?;
    Ok(())
}
