//! From a request to its [`Session`].

use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use axum::extract::{FromRef, FromRequestParts, OptionalFromRequestParts, OriginalUri};
use axum::http::request::Parts;
use axum::http::uri::{PathAndQuery, Scheme};
use axum::http::{Extensions, HeaderMap, Method, Uri};

use crate::builder::default_touch_after;
use crate::config::{Inner, SessionConfig};
use crate::cookie::candidates;
use crate::error::{SessionRejection, cause};
use crate::held::Held;
use crate::prompt::at_once;
use crate::secret::Verified;
use crate::session::{Origin, Session};
use crate::store::Fetched;

/// What was asked for, as far as it is known.
#[derive(Default)]
pub(crate) struct RequestLine {
    pub(crate) method: Option<Method>,
    /// As the browser sent it, also inside a nested router.
    pub(crate) path: Option<PathAndQuery>,
}

impl RequestLine {
    pub(crate) fn new(method: &Method, uri: &Uri, extensions: &Extensions) -> Self {
        Self { method: Some(method.clone()), path: original(uri, extensions).path_and_query().cloned() }
    }

    /// [`is_within`]; where the path is not known, it is taken to be.
    pub(crate) fn is_within(&self, cookie_path: &str) -> bool {
        self.path.as_ref().is_none_or(|path| is_within(path.path(), cookie_path))
    }
}

/// The URI as the browser sent it: a nested router has cut off what it is mounted at.
pub(crate) fn original<'r>(uri: &'r Uri, extensions: &'r Extensions) -> &'r Uri {
    extensions.get::<OriginalUri>().map_or(uri, |original| &original.0)
}

/// Whether a browser sends a cookie of this path with a request for that one (RFC 6265, 5.1.4).
pub(crate) fn is_within(path: &str, cookie_path: &str) -> bool {
    let rest = path.strip_prefix(cookie_path);
    rest.is_some_and(|rest| rest.is_empty() || cookie_path.ends_with('/') || rest.starts_with('/'))
}

impl<S> FromRequestParts<S> for Session
where
    SessionConfig: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = SessionRejection;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Self::Rejection> {
        let config = SessionConfig::from_ref(state);
        if let Some(session) = Attached::find(parts, &config) {
            return Ok(session);
        }
        let session = from_parts(config, parts).await?;
        Attached::add(parts, &session);
        Ok(session)
    }
}

/// `None` when the request carries no live session; then nothing is created.
impl<S> OptionalFromRequestParts<S> for Session
where
    SessionConfig: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = SessionRejection;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Option<Self>, Self::Rejection> {
        let config = SessionConfig::from_ref(state);
        if let Some(session) = Attached::find(parts, &config) {
            return Ok(session.is_live().then_some(session));
        }
        let session = from_parts(config, parts).await?;
        if session.origin() != Origin::Loaded {
            return Ok(None);
        }
        Attached::add(parts, &session);
        Ok(Some(session))
    }
}

/// The session of a request, in its extensions. Sessions of other cookie names follow it, each in the one before.
#[derive(Clone)]
pub(crate) enum Attached {
    Extracted(Session),
    /// The layer was there first.
    Awaited(Arc<OnceLock<Session>>),
}

impl Attached {
    pub(crate) fn get(&self, config: &SessionConfig) -> Option<Session> {
        let name = &config.inner().cookie.name;
        let first = match self {
            Self::Extracted(session) => Some(session),
            Self::Awaited(place) => place.get(),
        };
        let mut sessions = std::iter::successors(first, |session| session.inner().next.get());
        sessions.find(|session| session.inner().config.inner().cookie.name == *name).cloned()
    }

    fn find(parts: &Parts, config: &SessionConfig) -> Option<Session> {
        parts.extensions.get::<Self>()?.get(config)
    }

    fn add(parts: &mut Parts, session: &Session) {
        let mut place = match parts.extensions.get::<Self>() {
            None => {
                parts.extensions.insert(Self::Extracted(session.clone()));
                return;
            }
            Some(Self::Extracted(first)) => &first.inner().next,
            Some(Self::Awaited(place)) => place,
        };
        loop {
            let there = place.get_or_init(|| session.clone());
            if there.is(session) {
                return;
            }
            place = &there.inner().next;
        }
    }
}

impl Default for Attached {
    fn default() -> Self {
        Self::Awaited(Arc::default())
    }
}

async fn from_parts(config: SessionConfig, parts: &Parts) -> Result<Session, SessionRejection> {
    let line = RequestLine::new(&parts.method, &parts.uri, &parts.extensions);
    load(config, &parts.headers, parts.uri.scheme(), line).await
}

/// The session that a request's cookie names, or a new one.
pub(crate) async fn load(
    config: SessionConfig,
    headers: &HeaderMap,
    scheme: Option<&Scheme>,
    line: RequestLine,
) -> Result<Session, SessionRejection> {
    let transport = config.inner().transport(headers, scheme);
    let prompt = config.inner().store.is_prompt();
    let session = Session::new(config, transport, line);
    match if prompt { at_once(find(&session, headers)) } else { None } {
        Some(found) => found?,
        // On the heap, because handlers carry the future of their extractors in theirs.
        None => Box::pin(find(&session, headers)).await?,
    }
    Ok(session)
}

/// Tries the cookies of the name in order, until one is signed and names a session the store has.
async fn find(session: &Session, headers: &HeaderMap) -> Result<(), SessionRejection> {
    let inner = session.inner().config.inner();
    let mut origin = Origin::NoCookie;
    for value in candidates(headers, &inner.cookie.name) {
        let Some(verified) = inner.signer.verify(value) else {
            origin = origin.max(Origin::BadSignature);
            continue;
        };
        match inner.store.get(&verified.id).await {
            Ok(Some(fetched)) => {
                let held = match known(inner, verified, fetched) {
                    (held, None) => Some(held),
                    (held, Some(ttl)) => extend(inner, held, ttl).await,
                };
                if let Some(held) = held {
                    session.state().loaded(held);
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
        session.state().unknown(origin);
    }
    Ok(())
}

/// A stored session, and the life it is to be given if it was not touched for a while.
fn known(inner: &Inner, cookie: Verified, fetched: Fetched) -> (Held, Option<Duration>) {
    let ttl = inner.ttl(fetched.record.max_age());
    let left = fetched.expires_in.or_else(|| {
        let expires = fetched.record.cookie_expires()?;
        Some(expires.duration_since(SystemTime::now()).unwrap_or_default())
    });
    let idle = ttl.saturating_sub(left.unwrap_or_default());
    let due = is_touch_due(inner, ttl, idle);
    let Fetched { record, compared, seen, .. } = fetched;
    let expires = seen.after(left.unwrap_or(ttl));
    (Held { id: cookie.id, signature: cookie.current, record, compared, expires }, due.then_some(ttl))
}

/// Touches the record. `None`: it is gone.
async fn extend(inner: &Inner, held: Held, ttl: Duration) -> Option<Held> {
    let _lane = inner.lane(&held).await;
    match inner.store.touch(&held.id, ttl).await {
        Ok(true) => Some(held.extended(SystemTime::now(), ttl)),
        Ok(false) => None,
        Err(error) => {
            // The session is readable, so it is served; it lives as long as it did.
            tracing::warn!(error = cause(&error), "a session's life could not be extended");
            Some(held)
        }
    }
}

/// Whether a session went untouched for too long: for `touch_after`, or for half of a short life. Where `rolling` has
/// commits extend it anyway, loading does so at the default pace, for handlers that do not commit.
fn is_touch_due(inner: &Inner, ttl: Duration, idle: Duration) -> bool {
    let least = if inner.rolling { default_touch_after(ttl) } else { Duration::ZERO };
    let pause = inner.touch_after.max(least);
    pause.is_zero() || idle > pause || idle.saturating_add(idle) > ttl
}
