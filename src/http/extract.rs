//! [`Session`] and `Option<Session>` as extractors, and [`SessionConfig::extract`] for a configuration that
//! the application's state does not name.

use axum::extract::{FromRef, FromRequestParts, OptionalFromRequestParts};
use axum::http::request::Parts;

use crate::config::SessionConfig;
use crate::error::SessionRejection;
use crate::http::request_session::RequestSession;
use crate::load::load;
use crate::request::RequestLine;
use crate::session::Session;
use crate::session::origin::Origin;

impl<S> FromRequestParts<S> for Session
where
    SessionConfig: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = SessionRejection;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Self::Rejection> {
        extract(SessionConfig::from_ref(state), parts).await
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
        let session = load_from(config, parts).await?;
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
        extract(self.clone(), parts).await
    }
}

/// The request's session of this configuration. The first call loads it.
async fn extract(config: SessionConfig, parts: &mut Parts) -> Result<Session, SessionRejection> {
    if let Some(session) = RequestSession::find(parts, &config) {
        return Ok(session);
    }
    let session = load_from(config, parts).await?;
    Ok(RequestSession::add(parts, session))
}

/// Loads the session of a request.
async fn load_from(config: SessionConfig, parts: &Parts) -> Result<Session, SessionRejection> {
    let line = RequestLine::new(&parts.method, &parts.uri, &parts.extensions);
    load(config, &parts.headers, parts.uri.scheme(), line).await
}
