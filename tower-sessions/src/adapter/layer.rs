//! [`TowerSessionLayer`]: gives each request a `tower_sessions::Session` on its `sessile` session.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::http::{Request, StatusCode};
use axum::response::{IntoResponse, Response};
use sessile::{SessionConfig, SessionLayer, SessionService};
use time::OffsetDateTime;
use tower_layer::Layer;
use tower_service::Service;

use super::tower_sessions_core::session::{Error, Expiry, Session};
use super::view::View;

/// Gives each request a `tower_sessions::Session` on the request's own `sessile` session, so that axum-login,
/// axum-messages and every extractor of theirs run unchanged: one record, one cookie.
///
/// It takes the place of both `SessionManagerLayer` and [`SessionLayer`], which it contains: sessions are
/// committed at the end of each request, and nothing is stored of what a failed request did. As with that
/// layer, the extractor of `sessile` finds its configuration in the state.
///
/// # What is different
/// - Only what a request has changed is written. Two requests at a time that change different keys both
///   count.
/// - `set_expiry` is [`set_max_age`](sessile::Session::set_max_age): it is stored in the session, and holds
///   for later requests too. `OnSessionEnd` is `None`; of `AtDateTime` it is the time that is left. Until a
///   request sets one, `expiry()` tells what the configuration or the record says.
/// - `flush` is [`destroy`](sessile::Session::destroy), and `cycle_id` is
///   [`cycle_id`](sessile::Session::cycle_id). Both happen at the end of the request.
/// - `id()` is a hash of the session's id, so no cookie can be made of it.
/// - A value under a key that is reserved (`cookie`, `flash`, `__lastAccess`, `__sessile`) cannot be saved:
///   the answer is a 500.
/// - `tower_sessions::Session` keeps what it has read: what a handler writes through `sessile` to the same
///   session after that, it sees in the next request. A key that both have changed has the value of
///   `tower_sessions::Session`.
/// - The session is loaded for every request inside of the layer.
#[derive(Clone, Debug)]
pub struct TowerSessionLayer {
    config: SessionConfig,
    commits: SessionLayer,
}

impl TowerSessionLayer {
    /// Makes a layer over the sessions of this configuration.
    #[must_use]
    pub fn new(config: SessionConfig) -> Self {
        Self { commits: SessionLayer::new(config.clone()), config }
    }
}

impl<S> Layer<S> for TowerSessionLayer {
    type Service = SessionService<BridgeService<S>>;

    fn layer(&self, inner: S) -> Self::Service {
        self.commits.layer(BridgeService { config: self.config.clone(), inner })
    }
}

/// The service that [`TowerSessionLayer`] puts around another service, inside of the one that commits.
#[derive(Clone)]
pub struct BridgeService<S> {
    config: SessionConfig,
    inner: S,
}

impl<S, B> Service<Request<B>> for BridgeService<S>
where
    S: Service<Request<B>, Response: IntoResponse, Future: Send> + Clone + Send + 'static,
    B: Send + 'static,
{
    type Response = Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        // The service that was asked whether it is ready is the one to call.
        let next = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, next);
        let config = self.config.clone();
        Box::pin(async move {
            let (mut parts, body) = request.into_parts();
            let session = match config.extract(&mut parts).await {
                Ok(session) => session,
                Err(rejection) => return Ok(rejection.into_response()),
            };
            let before = expiry(session.max_age());
            let view = Arc::new(View::new(session));
            let tower = Session::new(view.id(), view.clone(), Some(before));
            parts.extensions.insert(tower.clone());
            let response = inner.call(Request::from_parts(parts, body)).await?.into_response();
            if let Err(error) = end(&tower, &view, before).await {
                tracing::error!(error = %error, "the session cannot be saved");
                return Ok(StatusCode::INTERNAL_SERVER_ERROR.into_response());
            }
            Ok(response)
        })
    }
}

/// Brings what the request did with `tower_sessions::Session` to the request's session.
async fn end(tower: &Session, view: &View, before: Expiry) -> Result<(), Error> {
    let after = tower.expiry().filter(|after| *after != before);
    if !tower.is_modified() && !view.is_deleted() && after.is_none() {
        return Ok(());
    }
    let is_empty = tower.is_empty().await;
    if tower.is_modified() && !is_empty {
        tower.save().await?;
    } else if view.is_deleted() {
        view.session().destroy();
    }
    // As with their layer, a visitor without a session gets none by an expiry alone.
    if let Some(after) = after.filter(|_| !is_empty) {
        view.session().set_max_age(match after {
            Expiry::OnSessionEnd => None,
            Expiry::OnInactivity(age) => Some(age.try_into().unwrap_or_default()),
            Expiry::AtDateTime(date) => {
                Some((date - OffsetDateTime::now_utc()).try_into().unwrap_or_default())
            }
        });
    }
    Ok(())
}

/// A session's max-age, as tower-sessions calls it.
fn expiry(max_age: Option<std::time::Duration>) -> Expiry {
    match max_age.map(TryInto::try_into) {
        None => Expiry::OnSessionEnd,
        Some(age) => Expiry::OnInactivity(age.unwrap_or(time::Duration::MAX)),
    }
}

impl<S> fmt::Debug for BridgeService<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BridgeService").field("config", &self.config).finish_non_exhaustive()
    }
}
