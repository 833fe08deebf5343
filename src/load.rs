//! From a request's cookie to its session.

use std::time::Duration;

use axum::http::HeaderMap;
use axum::http::uri::Scheme;

use crate::config::policy::default_touch_after;
use crate::config::{ConfigInner, SessionConfig};
use crate::cookie::header::cookie_values;
use crate::cookie::signature::Verified;
use crate::error::{SessionRejection, cause};
use crate::request::{RequestLine, Transport};
use crate::session::Session;
use crate::session::snapshot::Snapshot;
use crate::session::state::Origin;
use crate::store::loaded::Loaded;

impl SessionConfig {
    /// The session these request headers name, outside a handler: in a WebSocket, a job, a test.
    ///
    /// It is not the handle that extractors of the same request share; commit it on its own.
    ///
    /// # Errors
    /// [`SessionRejection`] when the store cannot be reached.
    pub async fn session_from_headers(&self, headers: &HeaderMap) -> Result<Session, SessionRejection> {
        load(self.clone(), headers, None, RequestLine::default()).await
    }
}

/// The session that a request's cookie names, or a new one.
pub(crate) async fn load(
    config: SessionConfig,
    headers: &HeaderMap,
    scheme: Option<&Scheme>,
    line: RequestLine,
) -> Result<Session, SessionRejection> {
    let transport = Transport::of(headers, scheme, config.inner().policy.trust_proxy);
    let session = Session::new(config, transport, line);
    let work = || load_first_valid(&session, headers);
    match session.inner().config.inner().store.now_or_never(work()) {
        Some(loaded) => loaded?,
        // Boxed to keep the handler's future small, which holds the futures of its extractors.
        None => Box::pin(work()).await?,
    }
    Ok(session)
}

/// Tries the cookies of the name in order, until one is signed and names a session the store has.
async fn load_first_valid(session: &Session, headers: &HeaderMap) -> Result<(), SessionRejection> {
    let inner = session.inner().config.inner();
    let mut origin = Origin::NoCookie;
    for value in cookie_values(headers, &inner.cookie.name) {
        let Some(verified) = inner.signer.verify(value) else {
            origin = origin.max(Origin::BadSignature);
            continue;
        };
        match inner.store.get(&verified.id, &inner.clock).await {
            Ok(Some(fetched)) => {
                let snapshot = match to_snapshot(inner, verified, fetched) {
                    (snapshot, None) => Some(snapshot),
                    (snapshot, Some(ttl)) => touch_on_load(inner, snapshot, ttl).await,
                };
                if let Some(snapshot) = snapshot {
                    session.state().loaded(snapshot);
                    return Ok(());
                }
                origin = origin.max(Origin::Unknown);
            }
            Ok(None) => origin = origin.max(Origin::Unknown),
            Err(error) if error.is_corrupt() => {
                tracing::error!(
                    error = cause(&error),
                    "a stored session cannot be decoded; the request gets a new one"
                );
                origin = Origin::Undecodable;
            }
            Err(error) => return Err(error.into()),
        }
    }
    if origin != Origin::NoCookie {
        session.state().not_loaded(origin);
    }
    Ok(())
}

/// A stored session, and the life it is to be given if it was not touched for a while.
fn to_snapshot(inner: &ConfigInner, cookie: Verified, fetched: Loaded) -> (Snapshot, Option<Duration>) {
    let ttl = inner.policy.ttl(fetched.record.max_age());
    let left = fetched.expires_in.or_else(|| {
        let expires = fetched.record.cookie_expires()?;
        Some(expires.duration_since(inner.clock.now()).unwrap_or_default())
    });
    let idle = ttl.saturating_sub(left.unwrap_or_default());
    let due = is_touch_due(inner, ttl, idle);
    let Loaded { record, compare_by, seen, .. } = fetched;
    let expires = seen.after(left.unwrap_or(ttl));
    (Snapshot { id: cookie.id, signature: cookie.current, record, compare_by, expires }, due.then_some(ttl))
}

/// Touches the record. `None`: it is gone.
async fn touch_on_load(inner: &ConfigInner, snapshot: Snapshot, ttl: Duration) -> Option<Snapshot> {
    let _lock = inner.lock_unless_atomic(&snapshot.id, &snapshot.compare_by).await;
    match inner.store.touch(&snapshot.id, ttl).await {
        Ok(true) => Some(snapshot.extended(inner.clock.now(), ttl)),
        Ok(false) => None,
        Err(error) => {
            // The session is readable, so it is served; it lives as long as it did.
            tracing::warn!(error = cause(&error), "a session's life could not be extended");
            Some(snapshot)
        }
    }
}

/// Whether a session went untouched for too long: for `touch_after`, or for half of a short life. Where `rolling` has
/// commits extend it anyway, loading does so at the default pace, for handlers that do not commit.
fn is_touch_due(inner: &ConfigInner, ttl: Duration, idle: Duration) -> bool {
    let least = if inner.policy.rolling { default_touch_after(ttl) } else { Duration::ZERO };
    let pause = inner.policy.touch_after().max(least);
    pause.is_zero() || idle > pause || idle.saturating_add(idle) > ttl
}
