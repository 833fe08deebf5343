//! [`Session`] and `Option<Session>` as extractors, and [`SessionConfig::extract`] for a configuration that
//! the application's state does not name.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::extract::{FromRef, FromRequestParts, OptionalFromRequestParts};
use axum::http::request::Parts;
use futures_util::future::BoxFuture;

use crate::config::SessionConfig;
use crate::error::SessionRejection;
use crate::http::request_session::RequestSession;
use crate::load::{load_now, load_waiting};
use crate::session::Session;
use crate::session::origin::Origin;

impl<S> FromRequestParts<S> for Session
where
    SessionConfig: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = SessionRejection;

    fn from_request_parts(
        parts: &mut Parts,
        state: &S,
    ) -> impl Future<Output = Result<Self, Self::Rejection>> + Send {
        Extraction::Begin(SessionConfig::from_ref(state), parts)
    }
}

/// `None`, when the request has no existing session. No session is then created.
impl<S> OptionalFromRequestParts<S> for Session
where
    SessionConfig: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = SessionRejection;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Option<Self>, Self::Rejection> {
        let config = SessionConfig::from_ref(state);
        if let Some(session) = RequestSession::find(parts, &config) {
            return Ok(session.is_live().then_some(session));
        }
        let session = match load_from_now(config, parts) {
            Ok(session) => session,
            Err(session) => Box::pin(load_waiting(session, &parts.headers)).await?,
        };
        if session.origin() != Origin::Loaded {
            return Ok(None);
        }
        Ok(Some(RequestSession::add(parts, session)))
    }
}

impl SessionConfig {
    /// The request's session of this configuration, where the application's state does not name the
    /// configuration: that of a tenant, or that of an administration beside the shop.
    ///
    /// The session is the one that the extractor returns where the state names this configuration: every
    /// call and every extractor of one request shares it, and [`SessionLayer`](crate::SessionLayer) commits
    /// it. A request has one session for each configuration. Clones are one configuration; two that were
    /// built separately are two, also where they give the cookie one name.
    ///
    /// # Example
    /// Each tenant has a secret and a store of its own, and no cookie of one is of use at another:
    ///
    /// ```
    /// use std::collections::HashMap;
    /// use std::sync::Arc;
    ///
    /// use axum::Router;
    /// use axum::extract::FromRequestParts;
    /// use axum::http::StatusCode;
    /// use axum::http::header::HOST;
    /// use axum::http::request::Parts;
    /// use axum::response::{IntoResponse, Response};
    /// use axum::routing::get;
    /// use sessile::{Session, SessionConfig, SessionError, SessionGuard};
    ///
    /// #[derive(Clone)]
    /// struct App {
    ///     tenants: Arc<HashMap<String, SessionConfig>>,
    /// }
    ///
    /// /// The session at the tenant whose host the request names.
    /// struct TenantSession(Session);
    ///
    /// impl FromRequestParts<App> for TenantSession {
    ///     type Rejection = Response;
    ///
    ///     async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Response> {
    ///         let host = parts.headers.get(HOST).and_then(|host| host.to_str().ok());
    ///         let tenant = host.and_then(|host| app.tenants.get(host));
    ///         let sessions = tenant.ok_or_else(|| StatusCode::NOT_FOUND.into_response())?;
    ///         sessions.extract(parts).await.map(Self).map_err(IntoResponse::into_response)
    ///     }
    /// }
    ///
    /// async fn visit(TenantSession(session): TenantSession) -> Result<(SessionGuard, String), SessionError>
    /// { let visits = session.update("visits", |visits: Option<u64>| Some(visits.unwrap_or(0) + 1))?;
    /// Ok((session.commit().await?, format!("{visits:?}"))) }
    ///
    /// # fn main() -> Result<(), sessile::ConfigError> {
    /// let tenants = HashMap::from([
    ///     ("one.example".to_owned(), SessionConfig::new("the first tenant's secret, 32 bytes or more")?),
    ///     ("two.example".to_owned(), SessionConfig::new("the second tenant's secret, 32 bytes or more")?),
    /// ]);
    /// let app: Router =
    ///     Router::new().route("/", get(visit)).with_state(App { tenants: Arc::new(tenants) });
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`SessionRejection`], when the store fails.
    pub async fn extract(&self, parts: &mut Parts) -> Result<Session, SessionRejection> {
        Extraction::Begin(self.clone(), parts).await
    }
}

/// The future of a request's session of a configuration. The first one loads the session.
///
/// A handler's future holds those of its extractors and moves them about, so this one has three words. The future
/// of an `async fn` has room for all that a load from a server needs.
enum Extraction<'r> {
    Begin(SessionConfig, &'r mut Parts),
    Loading(BoxFuture<'r, Result<Session, SessionRejection>>),
    Done,
}

impl Future for Extraction<'_> {
    type Output = Result<Session, SessionRejection>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            match std::mem::replace(&mut *self, Self::Done) {
                Self::Begin(config, parts) => {
                    if let Some(session) = RequestSession::find(parts, &config) {
                        return Poll::Ready(Ok(session));
                    }
                    match load_from_now(config, parts) {
                        Ok(session) => return Poll::Ready(Ok(RequestSession::add(parts, session))),
                        Err(session) => {
                            *self = Self::Loading(Box::pin(async move {
                                let session = load_waiting(session, &parts.headers).await?;
                                Ok(RequestSession::add(parts, session))
                            }));
                        }
                    }
                }
                Self::Loading(mut loading) => {
                    let loaded = loading.as_mut().poll(cx);
                    if loaded.is_pending() {
                        *self = Self::Loading(loading);
                    }
                    return loaded;
                }
                Self::Done => {
                    debug_assert!(false, "polled after the end");
                    return Poll::Pending;
                }
            }
        }
    }
}

/// Loads the session of a request, as [`load_now`].
fn load_from_now(config: SessionConfig, parts: &Parts) -> Result<Session, Session> {
    let line = config.inner().request_line(&parts.method, &parts.uri, &parts.extensions);
    load_now(config, &parts.headers, parts.uri.scheme(), line)
}
