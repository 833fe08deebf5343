//! Loads the session that a request's cookie names, and touches its record when that is due.

mod adoption;

use std::time::Duration;

use axum::http::HeaderMap;
use axum::http::uri::Scheme;

#[cfg(feature = "dbsc")]
use crate::config::dbsc::Missing;
use crate::config::event::{RefusalReason, SessionEventKind};
use crate::config::observed::{Waiting, observed};
use crate::config::policy::default_touch_after;
use crate::config::{ConfigInner, SessionConfig};
use crate::cookie::header::cookie_values;
use crate::cookie::signature::Verified;
use crate::error::{SessionRejection, StoreError, cause};
use crate::id::SessionId;
#[cfg(feature = "dbsc")]
use crate::record::{Record, metadata::device_of};
use crate::request::{RequestLine, Transport};
use crate::session::Session;
use crate::session::origin::Origin;
#[cfg(feature = "dbsc")]
use crate::session::proof::Proof;
use crate::session::snapshot::Snapshot;
use crate::store::loaded::Loaded;

impl SessionConfig {
    /// Loads the session that these request headers name, for code outside of a handler: a WebSocket, a job,
    /// a test.
    ///
    /// The session is not the one that the extractors of the same request share, so commit it separately.
    ///
    /// # Errors
    /// [`SessionRejection`], when the store fails.
    pub async fn session_from_headers(&self, headers: &HeaderMap) -> Result<Session, SessionRejection> {
        load(self.clone(), headers, None, RequestLine::default()).await
    }
}

/// Loads the session that a request's cookie names. A request whose cookies name none gets a new session.
pub(crate) async fn load(
    config: SessionConfig,
    headers: &HeaderMap,
    scheme: Option<&Scheme>,
    line: RequestLine,
) -> Result<Session, SessionRejection> {
    match load_now(config, headers, scheme, line) {
        Ok(session) => Ok(session),
        // Boxed to keep the handler's future small, because that future contains the futures of its
        // extractors.
        Err(session) => Box::pin(load_waiting(session, headers)).await,
    }
}

/// The same where nobody has to wait, which the memory store makes nobody do. Otherwise the session, for
/// [`load_waiting`].
///
/// Written without a future, and for what nearly every request brings: one cookie of the name, or none.
pub(crate) fn load_now(
    config: SessionConfig,
    headers: &HeaderMap,
    scheme: Option<&Scheme>,
    line: RequestLine,
) -> Result<Session, Session> {
    let transport = Transport::of(headers, scheme, config.inner().policy.trust_proxy);
    let session = Session::new(config, transport, line);
    if !is_loaded_now(&session, headers) {
        return Err(session);
    }
    tracing::debug!(origin = ?session.origin(), "a request's session");
    Ok(session)
}

/// Loads into the session, where nobody has to wait. Returns whether it did.
fn is_loaded_now(session: &Session, headers: &HeaderMap) -> bool {
    let inner = session.inner().config.inner();
    if inner.adopt.is_some() {
        return false;
    }
    let mut values = cookie_values(headers, &inner.cookie.name);
    let Some(value) = values.next() else { return true };
    #[cfg(feature = "dbsc")]
    if inner.dbsc.is_some() {
        return false;
    }
    if !inner.store.is_memory() || inner.policy.hash_ids.is_some() {
        return false;
    }
    let Some(verified) = inner.keys().signer.verify(value) else {
        if values.next().is_some() {
            return false;
        }
        session.state().not_loaded(Origin::BadSignature);
        inner.tell(SessionEventKind::Refused(RefusalReason::BadSignature), None, None);
        return true;
    };
    let loaded = inner.store.get_at_once(&verified.id).filter(|loaded| !inner.is_over(&loaded.record));
    let Some(loaded) = loaded else { return false };
    match to_snapshot(inner, verified, loaded) {
        (snapshot, None) => {
            session.state().loaded(snapshot);
            true
        }
        // The touch is due.
        (_, Some(_)) => false,
    }
}

/// Loads the session, whatever the request has brought and wherever its record is.
pub(crate) async fn load_waiting(session: Session, headers: &HeaderMap) -> Result<Session, SessionRejection> {
    let inner = session.inner().config.inner();
    let loading = || load_first_valid(&session, headers);
    let loaded = match inner.store.now_or_never(loading()) {
        Some(loaded) => loaded,
        None => observed(Waiting::Load, loading()).await,
    };
    loaded.map_err(SessionRejection::logged)?;
    if let Some(adopt) = &session.inner().config.inner().adopt
        && is_to_adopt(&session)
    {
        let adopting = adoption::adopt(&session, &**adopt, headers, MAX_LOOKUPS);
        Box::pin(adopting).await.map_err(SessionRejection::logged)?;
    }
    tracing::debug!(origin = ?session.origin(), "a request's session");
    Ok(session)
}

/// Whether the request's session may come from another library: no cookie of ours names one.
fn is_to_adopt(session: &Session) -> bool {
    // A session whose device has not shown its proof is named, and not given.
    #[cfg(feature = "dbsc")]
    if session.inner().proof.get().is_some() {
        return false;
    }
    session.origin() != Origin::Loaded
}

/// How many signed cookies of one request are looked up in the store, which bounds the store calls that a
/// request can cause. Where several are signed, all but one are left over from another path or domain of the
/// cookie.
const MAX_LOOKUPS: usize = 4;

/// Tries the cookies of the session's name in their order, until one of them is signed and names a session in
/// the store.
async fn load_first_valid(session: &Session, headers: &HeaderMap) -> Result<(), SessionRejection> {
    let inner = session.inner().config.inner();
    let mut origin = Origin::NoCookie;
    let mut refused = None;
    let mut lookups = 0;
    let keys = inner.keys();
    for value in cookie_values(headers, &inner.cookie.name) {
        let Some(mut verified) = keys.signer.verify(value) else {
            origin = origin.max(Origin::BadSignature);
            continue;
        };
        if lookups == MAX_LOOKUPS {
            break;
        }
        lookups += 1;
        match find(inner, &mut verified.id).await {
            Ok(Some(loaded)) if inner.is_over(&loaded.record) => {
                origin = origin.max(Origin::Unknown);
                refused = Some((RefusalReason::Over, verified.id));
            }
            #[cfg(feature = "dbsc")]
            Ok(Some(loaded)) if !has_proof(session, headers, &verified.id, &loaded.record)? => {
                origin = Origin::Unknown;
                refused = Some((RefusalReason::Unproven, verified.id));
                break;
            }
            Ok(Some(loaded)) => {
                let snapshot = match to_snapshot(inner, verified, loaded) {
                    (snapshot, None) => Some(snapshot),
                    (snapshot, Some(ttl)) => touch_on_load(inner, snapshot, ttl).await,
                };
                if let Some(snapshot) = snapshot {
                    session.state().loaded(snapshot);
                    return Ok(());
                }
                origin = origin.max(Origin::Unknown);
            }
            Ok(None) => {
                origin = origin.max(Origin::Unknown);
                refused = Some((RefusalReason::Unknown, verified.id));
            }
            Err(error) if error.is_corrupt() => {
                tracing::error!(
                    error = cause(&error),
                    "a stored session cannot be decoded; the request gets a new one"
                );
                origin = Origin::Undecodable;
                refused = Some((RefusalReason::Undecodable, verified.id));
            }
            Err(error) => {
                inner.tell(SessionEventKind::Refused(RefusalReason::Failed), Some(&verified.id), None);
                return Err(error.into());
            }
        }
    }
    if origin != Origin::NoCookie {
        session.state().not_loaded(origin);
        let (reason, id) = match refused {
            Some((reason, id)) => (reason, Some(id)),
            None if origin == Origin::BadSignature => (RefusalReason::BadSignature, None),
            None => (RefusalReason::Unknown, None),
        };
        inner.tell(SessionEventKind::Refused(reason), id.as_ref(), None);
    }
    Ok(())
}

/// The record of a session. The id learns under which key the record stands.
async fn find(inner: &ConfigInner, id: &mut SessionId) -> Result<Option<Loaded>, StoreError> {
    let Some(hash_ids) = inner.policy.hash_ids else { return inner.store.get(id, &inner.clock).await };
    let hashed = id.clone().hashed();
    let found = inner.store.get(&hashed, &inner.clock).await?;
    if found.is_none() && hash_ids.is_moving(inner.clock.now()) && !id.is_hash() {
        // Invariant: an id that is stored as it is never looks like a hash, so whoever has seen a hash in the
        // store, and has the secret, cannot use it as an id.
        if let Some(loaded) = inner.store.get(id, &inner.clock).await? {
            return Ok(Some(loaded));
        }
    }
    *id = hashed;
    Ok(found)
}

/// Looks whether a request to a bound session comes from its device. Returns whether the request gets the
/// session.
#[cfg(feature = "dbsc")]
fn has_proof(
    session: &Session,
    headers: &HeaderMap,
    id: &SessionId,
    record: &Record,
) -> Result<bool, SessionRejection> {
    let (inner, request) = (session.inner().config.inner(), &session.inner().request);
    let Some(options) = &inner.dbsc else { return Ok(true) };
    let Some(device) = device_of(record).filter(|device| device.key.is_some()) else { return Ok(true) };
    // Middleware may load the session of a request that goes to an endpoint.
    let is_endpoint = request.path.as_ref().is_some_and(|path| options.is_endpoint(path.path()));
    if request.brings_proof || is_endpoint {
        return Ok(true);
    }
    let proof = Proof::read(inner, options, &device, headers);
    let what = match &proof {
        Proof::Missing { skipped, what } => {
            let path = request.path.as_ref().map_or("-", |path| path.path());
            let skipped = skipped.as_deref().unwrap_or("-");
            tracing::info!(path, skipped, what = ?what, "a bound session came without its device's proof");
            Some(*what)
        }
        Proof::Proven(_) | Proof::Registering => None,
    };
    // Invariant: a session is loaded once, so nobody has noted a proof before.
    let noted = session.inner().proof.set(proof);
    debug_assert!(noted.is_ok(), "two proofs of one request");
    match what {
        None | Some(Missing::Report) => Ok(true),
        Some(Missing::Anonymous) => Ok(false),
        Some(Missing::Reject) => {
            inner.tell(SessionEventKind::Refused(RefusalReason::Unproven), Some(id), None);
            Err(SessionRejection::Unproven)
        }
    }
}

/// Makes the snapshot of a loaded record. The duration is the `ttl` to touch the record with, if a touch is
/// due.
fn to_snapshot(inner: &ConfigInner, cookie: Verified, loaded: Loaded) -> (Snapshot, Option<Duration>) {
    let ttl = inner.policy.ttl(loaded.record.max_age());
    // Where the store does not tell when the record expires, the cookie's expiry is the estimate. A record
    // without either is touched at every load.
    let expires_in = loaded.expires_in.or_else(|| {
        let expires = loaded.record.cookie_expires()?;
        Some(expires.duration_since(inner.clock.now()).unwrap_or_default())
    });
    let idle = ttl.saturating_sub(expires_in.unwrap_or_default());
    let due = is_touch_due(inner, ttl, idle);
    let Loaded { record, compare_by, seen, .. } = loaded;
    let expires = seen.after(expires_in.unwrap_or(ttl));
    (Snapshot { id: cookie.id, signature: cookie.current, record, compare_by, expires }, due.then_some(ttl))
}

/// Touches the record, and returns the snapshot with the new expiry. `None`, when the record is gone.
async fn touch_on_load(inner: &ConfigInner, snapshot: Snapshot, ttl: Duration) -> Option<Snapshot> {
    match inner.store.touch(&snapshot.id, ttl).await {
        Ok(true) => Some(snapshot.extended(inner.clock.now(), ttl)),
        Ok(false) => None,
        Err(error) => {
            // The session was loaded, so the request is served. The record keeps the expiry that it had.
            tracing::warn!(error = cause(&error), "a session's life could not be extended");
            Some(snapshot)
        }
    }
}

/// Whether a record that was last touched `idle` ago is due for a touch: after `touch_after`, and in any case
/// after half of its `ttl`, so that a session with a short max-age does not expire between two touches.
///
/// With `rolling` every commit touches the record, so a load does it no more often than by default. It still
/// does, for handlers that do not commit.
fn is_touch_due(inner: &ConfigInner, ttl: Duration, idle: Duration) -> bool {
    let least = if inner.policy.rolling { default_touch_after(ttl) } else { Duration::ZERO };
    let touch_after = inner.policy.touch_after().max(least);
    touch_after.is_zero() || idle > touch_after || idle.saturating_add(idle) > ttl
}
