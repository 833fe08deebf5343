//! [`health`]: what a load balancer asks before it sends requests here.

use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CACHE_CONTROL;
use axum::response::{IntoResponse as _, Response};

use crate::config::SessionConfig;
use crate::error::StoreError;

/// How long the store may take. Load balancers ask every few seconds: an answer within one comes before they ask
/// again, so the checks of a silent store do not pile up.
const LIMIT: Duration = Duration::from_secs(1);

/// A handler that answers whether the store can serve sessions: the readiness of the process, for load balancers.
///
/// The status is 200 where [`check`](SessionConfig::check) succeeds, and 503 where it fails or takes longer than
/// one second. The body is the text of the status, which tells strangers nothing; why the store cannot serve is
/// in the log, as an `ERROR`. `Cache-Control` is `no-store`. No session is loaded or made, and `HEAD` works where
/// `GET` does.
///
/// The check takes nine round trips on Redis and five statements on an SQL store, so let the balancer ask and not
/// the world. It says nothing about the process itself: a liveness probe, whose failure restarts
/// the process, is a route that answers without asking the store, because a restart mends no store. Put both
/// outside of a [`SessionLayer`](crate::SessionLayer).
///
/// # Example
/// ```
/// use axum::Router;
/// use axum::extract::FromRef;
/// use axum::routing::get;
/// use sessile::SessionConfig;
///
/// #[derive(Clone, FromRef)]
/// struct App {
///     sessions: SessionConfig,
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let sessions = SessionConfig::new("a secret of at least 32 bytes, from the environment")?;
/// let app: Router = Router::new()
///     .route("/live", get(async || "up"))
///     .route("/ready", get(sessile::health))
///     .with_state(App { sessions });
/// # use axum::{body::Body, http::Request};
/// # use tower::ServiceExt as _;
/// # for path in ["/live", "/ready"] {
/// #     let answer = app.clone().oneshot(Request::get(path).body(Body::empty())?).await?;
/// #     assert_eq!(answer.status(), 200, "{path}");
/// # }
/// # Ok(())
/// # }
/// ```
///
/// Where the process needs more than the store, ask for that as well:
/// ```
/// use axum::extract::State;
/// use axum::http::StatusCode;
/// use axum::response::{IntoResponse as _, Response};
/// use sessile::SessionConfig;
///
/// async fn ready(sessions: State<SessionConfig>) -> Response {
///     if !mail_server_answers().await {
///         return StatusCode::SERVICE_UNAVAILABLE.into_response();
///     }
///     sessile::health(sessions).await
/// }
/// # async fn mail_server_answers() -> bool { true }
/// # let _: axum::Router<SessionConfig> = axum::Router::new().route("/ready", axum::routing::get(ready));
/// ```
pub async fn health(State(sessions): State<SessionConfig>) -> Response {
    let status = match tokio::time::timeout(LIMIT, sessions.check()).await {
        Ok(Ok(())) => StatusCode::OK,
        Ok(Err(_)) => StatusCode::SERVICE_UNAVAILABLE, // `check` has logged why.
        Err(_) => {
            let why = format!("the session store did not answer a check within {} s", LIMIT.as_secs());
            drop(StoreError::unavailable(why).logged());
            StatusCode::SERVICE_UNAVAILABLE
        }
    };
    (status, [(CACHE_CONTROL, "no-store")], status.canonical_reason().unwrap_or_default()).into_response()
}
