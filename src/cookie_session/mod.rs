//! [`CookieSession`]: a session that the browser keeps.

mod browser;
pub(crate) mod config;
mod data;
mod seal;

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use axum::extract::{FromRef, FromRequestParts};
use axum::http::HeaderMap;
use axum::http::request::Parts;
use axum::http::uri::Scheme;

use crate::commit::guard::SessionGuard;
use crate::cookie::header::cookie_values;
use crate::cookie_session::config::CookieConfig;
use crate::error::{SessionError, cause};
use crate::id::SessionId;
use crate::record::Record;
use crate::request::{RequestLine, Transport};
use crate::session::Session;
use crate::session::origin::Origin;
use crate::session::snapshot::Snapshot;
use crate::session::state::CookieAction;
use crate::store::loaded::{CompareBy, Expiry};

/// The longest `Set-Cookie` line, in bytes. Browsers drop a cookie whose name and value are longer (RFC
/// 6265bis, section 5.6), and some of them count the attributes as well.
const MAX_LINE: usize = 4096;

/// **A session that the browser keeps: of two requests at the same time one loses what it wrote, and a
/// logout does not end a copy of the cookie.** Where either matters, use [`Session`].
///
/// It is for programs without a store: the steps of a form, a theme, a language, flash messages for visitors
/// who never log in. The data is encrypted with a `Key` of axum-extra, in a cookie of its private jar, so
/// the visitor can neither read nor change it. Reading and writing is the same as with [`Session`], and
/// [`SessionKey`](crate::SessionKey) and [`FlashKey`](crate::FlashKey) work on both. Every extractor of a
/// request gets the same session; [`SessionLayer`](crate::SessionLayer) does not commit it, so
/// return the guard.
///
/// # What it cannot promise
/// - **Parallel requests:** the response that arrives last decides, and what the other one wrote is lost.
/// - **Logout:** the browser forgets its cookie. Whoever has a copy can use it until the time that is sealed
///   in it, which each use moves by [`max_age`](crate::CookieConfigBuilder::max_age), unless there is an
///   [`absolute_timeout`](crate::CookieConfigBuilder::absolute_timeout). Nor can all sessions of a user be
///   listed or ended.
/// - **Replay:** for the same time, an older cookie brings back what it held. So keep nothing here that is used
///   up, as a voucher is, or a number of attempts.
///
/// # Size
/// Browsers take 4,096 bytes with the name and the attributes, which is room for some 2,700 bytes of JSON. A
/// commit that would send more is [`SessionError::TooLarge`], which says how many they would be.
///
/// ```
/// use axum::Router;
/// use axum::routing::post;
/// use axum_extra::extract::cookie::Key;
/// use sessile::{CookieConfig, CookieSession, SessionError, SessionGuard};
///
/// async fn dark(session: CookieSession) -> Result<SessionGuard, SessionError> {
///     session.insert("theme", "dark")?;
///     session.flash("info", "It is dark now.")?;
///     session.commit().await
/// }
///
/// // 64 random bytes from where you keep secrets.
/// let config = CookieConfig::new(Key::generate())?;
/// let app: Router = Router::new().route("/dark", post(dark)).with_state(config);
/// # Ok::<(), sessile::ConfigError>(())
/// ```
#[derive(Clone)]
#[must_use = "a session that is not committed is not sent"]
pub struct CookieSession {
    config: CookieConfig,
    session: Session,
    /// Whether a commit of this request has had something to send.
    sends: Arc<AtomicBool>,
}

/// The sessions of a request, one for each configuration.
#[derive(Clone, Default)]
struct Extracted(Vec<CookieSession>);

impl<S> FromRequestParts<S> for CookieSession
where
    CookieConfig: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Infallible> {
        Ok(CookieConfig::from_ref(state).extract(parts))
    }
}

impl CookieConfig {
    /// The request's session of this configuration, where the application's state does not name the
    /// configuration. Every call and every extractor of one request shares it.
    pub fn extract(&self, parts: &mut Parts) -> CookieSession {
        let extracted = parts.extensions.get::<Extracted>().cloned().unwrap_or_default();
        if let Some(session) = extracted.0.iter().find(|session| Arc::ptr_eq(&session.config.0, &self.0)) {
            return session.clone();
        }
        let line = self.0.sessions.inner().request_line(&parts.method, &parts.uri, &parts.extensions);
        let session = self.load(&parts.headers, parts.uri.scheme(), line);
        let Extracted(mut sessions) = extracted;
        sessions.push(session.clone());
        parts.extensions.insert(Extracted(sessions));
        session
    }

    /// The session in these request headers, for code outside of a handler. It is not the one that the
    /// extractors of the same request share, so commit it separately.
    pub fn session_from_headers(&self, headers: &HeaderMap) -> CookieSession {
        self.load(headers, None, RequestLine::default())
    }

    fn load(&self, headers: &HeaderMap, scheme: Option<&Scheme>, line: RequestLine) -> CookieSession {
        let (sessions, keys) = (&self.0.sessions, &self.0.keys);
        let inner = sessions.inner();
        let transport = Transport::of(headers, scheme, inner.policy.trust_proxy);
        let session = Session::new(sessions.clone(), transport, line);
        let (mut origin, now) = (Origin::NoCookie, inner.clock.now());
        for value in cookie_values(headers, self.name()) {
            let Some((place, opened)) = seal::open(keys, self.name(), value) else {
                origin = origin.max(Origin::BadSignature);
                continue;
            };
            match opened.record {
                Ok(record) if opened.expires > now && !inner.is_over(&record) => {
                    let left = opened.expires.duration_since(now).unwrap_or_default();
                    let idle = inner.policy.ttl(record.max_age()).saturating_sub(left);
                    session.state().loaded(snapshot(inner, place, record, opened.expires));
                    if idle > inner.policy.touch_after() {
                        // The next commit sends the cookie again, with a later end.
                        session.touch();
                    }
                    return self.session(session);
                }
                Ok(_) => origin = origin.max(Origin::Unknown),
                Err(error) => {
                    tracing::error!(
                        error = cause(&error),
                        "a session in a cookie cannot be decoded; the request gets a new one"
                    );
                    origin = Origin::Undecodable;
                }
            }
        }
        if origin != Origin::NoCookie {
            session.state().not_loaded(origin);
        }
        self.session(session)
    }

    fn session(&self, session: Session) -> CookieSession {
        CookieSession { config: self.clone(), session, sends: Arc::default() }
    }
}

/// The snapshot of what a cookie has brought. One that an old key has sealed is sealed anew.
fn snapshot(
    config: &crate::config::ConfigInner,
    place: usize,
    record: Record,
    expires: SystemTime,
) -> Snapshot {
    let id = SessionId::random();
    let signature = (place == 0).then(|| config.keys().signer.sign(&id));
    Snapshot { id, signature, record, compare_by: CompareBy::Nothing, expires: Expiry::Wall(expires) }
}

impl CookieSession {
    /// Seals what this request did, and returns the guard that sets the cookie. Return the guard as a part of
    /// the response.
    ///
    /// The cookie is sent when something has changed, when it was sealed with an old key, when a hundredth of
    /// its life has passed, and always with [`rolling`](crate::CookieConfigBuilder::rolling).
    ///
    /// # Errors
    /// - [`TooLarge`](SessionError::TooLarge), when the `Set-Cookie` line would be longer than 4,096 bytes.
    ///   `bytes` is how long it would be. The browser keeps the cookie that it has. After something was
    ///   removed from the session, the commit can be made again.
    /// - [`Cookie`](SessionError::Cookie), when the cookie is not a legal header value.
    pub async fn commit(&self) -> Result<SessionGuard, SessionError> {
        let before = self.stored();
        let guard = self.session.commit().await?;
        if guard.action() == Some(CookieAction::Expire) {
            self.sends.store(false, Ordering::Relaxed);
            return Ok(guard);
        }
        let Some((record, expires)) = self.stored() else { return Ok(guard) };
        let is_same = before.is_some_and(|(before, until)| before.same(&record) && until == expires);
        if !is_same || guard.action().is_some() {
            self.sends.store(true, Ordering::Relaxed);
        }
        if !self.sends.load(Ordering::Relaxed) {
            return Ok(guard);
        }
        self.seal(&record, expires).map_err(SessionError::logged)
    }

    fn seal(&self, record: &Record, expires: SystemTime) -> Result<SessionGuard, SessionError> {
        let config = self.config.0.sessions.inner();
        let key = self.config.0.keys.first().ok_or(SessionError::Cookie)?;
        let value = seal::seal(key, self.config.name(), record, expires).ok_or(SessionError::Cookie)?;
        let max_age: Option<Duration> = config.policy.cookie_age(record, config.clock.now());
        let transport = self.session.inner().transport;
        let line = config.set_cookie.set_value(&value, transport, max_age, config.clock.now())?;
        if line.len() > MAX_LINE {
            return Err(SessionError::TooLarge { bytes: line.len(), limit: MAX_LINE });
        }
        Ok(SessionGuard::new(Some((CookieAction::Set, line))))
    }

    /// The record as the last load or commit has left it, and when it ends.
    fn stored(&self) -> Option<(Record, SystemTime)> {
        let clock = &self.session.inner().config.inner().clock;
        let mut state = self.session.state();
        let expires = state.expires(clock)?;
        let record = state.stored()?.record.clone();
        Some((record, expires))
    }
}

impl fmt::Debug for CookieSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.session.fmt(f)
    }
}
