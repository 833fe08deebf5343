//! Counters of what happens to sessions, for Prometheus, and an audit log of logins and ends.
//!
//! ```sh
//! cargo add sessile --features metrics
//! cargo add axum --features macros
//! cargo add metrics-exporter-prometheus --no-default-features
//! cargo add tokio --features full
//! cargo add tracing tracing-subscriber
//! ```
//!
//! Log in at `/log_in/ada`, out at `/log_out`, and see the counters at `/metrics`. `SESSION_SECRET` is at least
//! 32 random bytes.

use axum::extract::{Path, State};
use axum::routing::get;
use axum::{Router, extract::FromRef};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use sessile::{Secrets, Session, SessionConfig, SessionError, SessionEvent, SessionEventKind, SessionGuard};

#[derive(Clone, FromRef)]
struct App {
    sessions: SessionConfig,
    metrics: PrometheusHandle,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    tracing_subscriber::fmt::init();
    let metrics = PrometheusBuilder::new().install_recorder()?;
    let secrets = match std::env::var("SESSION_SECRET") {
        Ok(secret) => secret.into(),
        Err(_) => Secrets::random(), // For a first run: the sessions end with the program.
    };
    let sessions = SessionConfig::builder(secrets).save_uninitialized(false).on_event(audit).build()?;
    let app = Router::new()
        .route("/log_in/{user}", get(log_in))
        .route("/log_out", get(log_out))
        .route("/metrics", get(async |State(metrics): State<PrometheusHandle>| metrics.render()))
        .with_state(App { sessions, metrics });
    let port = std::env::var("PORT").unwrap_or_else(|_| "3000".into());
    let listener = tokio::net::TcpListener::bind(format!("127.0.0.1:{port}")).await?;
    println!("listening on http://{}", listener.local_addr()?);
    Ok(axum::serve(listener, app).await?)
}

/// What the counters do not tell: which session, and which user's.
fn audit(event: &SessionEvent<'_>) {
    let session = event.handle().map(tracing::field::display);
    match event.kind() {
        SessionEventKind::Conflict { .. } => {}
        kind => {
            tracing::info!(what = kind.name(), why = kind.reason(), session, user = event.user(), "audit")
        }
    }
}

// A program of yours asks for a password first: see the example `login`.
async fn log_in(session: Session, Path(user): Path<String>) -> Result<(SessionGuard, String), SessionError> {
    session.log_in(&user)?;
    Ok((session.commit().await?, format!("Hello, {user}.")))
}

async fn log_out(session: Session) -> Result<(SessionGuard, &'static str), SessionError> {
    session.log_out();
    Ok((session.commit().await?, "Goodbye."))
}
