//! [`Session`] and `Option<Session>` as extractors.

use axum::extract::{FromRef, FromRequestParts, OptionalFromRequestParts};
use axum::http::request::Parts;

use crate::config::SessionConfig;
use crate::error::SessionRejection;
use crate::http::request_session::RequestSession;
use crate::load::load;
use crate::request::RequestLine;
use crate::session::Session;
use crate::session::state::Origin;

impl<S> FromRequestParts<S> for Session
where
    SessionConfig: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = SessionRejection;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Self::Rejection> {
        let config = SessionConfig::from_ref(state);
        if let Some(session) = RequestSession::find(parts, &config) {
            return Ok(session);
        }
        let session = from_parts(config, parts).await?;
        RequestSession::add(parts, &session);
        Ok(session)
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
        let session = from_parts(config, parts).await?;
        if session.origin() != Origin::Loaded {
            return Ok(None);
        }
        RequestSession::add(parts, &session);
        Ok(Some(session))
    }
}

/// Loads the session of a request.
async fn from_parts(config: SessionConfig, parts: &Parts) -> Result<Session, SessionRejection> {
    let line = RequestLine::new(&parts.method, &parts.uri, &parts.extensions);
    load(config, &parts.headers, parts.uri.scheme(), line).await
}
