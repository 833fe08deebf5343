//! [`Binding`]: whether the session is bound to the browser's device; asking for a binding, and for a proof.

use std::sync::{Arc, MutexGuard};
use std::time::SystemTime;

use axum::http::header::{CACHE_CONTROL, LOCATION, SET_COOKIE, VARY};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use smol_str::SmolStr;
use uuid::Uuid;

use crate::config::dbsc::Missing;
use crate::cookie::stamp::Purpose;
use crate::error::SessionError;
use crate::record::metadata::{Device, device_of, from_millis, to_millis};
use crate::session::change::Change;
use crate::session::metadata_change::MetadataChange;
use crate::session::proof::Proof;
use crate::session::stage::Stage;
use crate::session::state::{CookieAction, State};
use crate::session::{Session, SessionInner};

/// Whether a session is bound to the browser's device: returned by [`Session::binding`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Binding {
    /// Nobody has asked for a binding, with [`bind_device`](Session::bind_device).
    Unbound,
    /// The browser was asked, and has not registered a key. It stays so in browsers that know nothing of it.
    /// Requests that come within ten seconds after a registration, without the proof, count as this too.
    Pending,
    /// The request came from the device.
    Bound {
        /// When the device was registered.
        since: SystemTime,
        /// When the device last proved itself.
        proven: SystemTime,
    },
    /// The session is bound, and the request came without the device's proof. It may be a thief's, or the
    /// browser could not refresh the proof.
    Missing {
        /// Why the browser says that it could not refresh: `quota_exceeded`, `server_error` or
        /// `unreachable`. A thief can say so as well.
        skipped: Option<String>,
    },
}

impl Session {
    /// Asks the browser to bind the session to its device: call it at login, beside [`log_in`](Self::log_in).
    /// The guard of the commit then adds the header `Secure-Session-Registration`, which browsers that
    /// know nothing of it ignore. In a session that is bound already the call does nothing, and neither
    /// does it without the option [`dbsc`](crate::SessionConfigBuilder::dbsc).
    ///
    /// `log_in` and [`regenerate`](Self::regenerate) end the binding, and ask for another one if there was
    /// one; [`cycle_id`](Self::cycle_id) keeps it.
    pub fn bind_device(&self) {
        self.bind_anew(self.state(), true);
    }

    /// The device that the session is bound to, or is to be bound to.
    pub(crate) fn device(&self) -> Option<Box<Device>> {
        self.state().view().metadata().dbsc
    }

    /// Binds the session to this device, if that is still asked for at the commit.
    pub(crate) fn register(&self, device: Device) {
        self.state().push(Change::Metadata(Arc::new(MetadataChange::BindDevice(device))));
    }

    /// Asks for a binding if `asks`, unless the session has one.
    pub(super) fn bind_anew(&self, mut state: MutexGuard<'_, State>, asks: bool) {
        let config = self.inner().config.inner();
        if !asks || config.dbsc.is_none() || state.is_destroyed() {
            return;
        }
        state.asks_device = true;
        if state.view().metadata().dbsc.is_none() {
            let id = SmolStr::from(Uuid::new_v4().simple().to_string());
            let device = Device { id, key: None, at: to_millis(config.clock.now()) };
            state.push(Change::Metadata(Arc::new(MetadataChange::AskDevice(device))));
        }
    }

    /// Whether the session is bound to the browser's device, and whether this request came from it.
    pub fn binding(&self) -> Binding {
        let inner = self.inner();
        let proof = inner.proof.get();
        let state = self.state();
        if let Some(Proof::Missing { skipped, .. }) = proof
            && inner.is_read_only(&state)
        {
            return Binding::Missing { skipped: skipped.clone() };
        }
        let device = inner.config.inner().dbsc.as_ref().and_then(|_| state.view().metadata().dbsc);
        match (device, proof) {
            (None, _) => Binding::Unbound,
            (Some(device), _) if device.key.is_none() => Binding::Pending,
            (Some(device), Some(Proof::Proven(proven))) => {
                Binding::Bound { since: from_millis(device.at), proven: from_millis(*proven) }
            }
            (Some(_), Some(Proof::Missing { skipped, .. })) => Binding::Missing { skipped: skipped.clone() },
            // Another request has registered the device since this one came.
            (Some(_), Some(Proof::Registering) | None) => Binding::Pending,
        }
    }

    /// Asks the device for a fresh proof, before something that matters: returns a redirect (307) to the same
    /// place that expires the bound cookie, so that the browser gets a new proof before it comes again.
    /// 307 repeats the method and the body of the request.
    ///
    /// ```
    /// # use sessile::Session;
    /// use std::time::Duration;
    /// use axum::http::StatusCode;
    /// use axum::response::{IntoResponse, Response};
    /// use sessile::dbsc::Binding;
    ///
    /// async fn transfer(session: Session) -> Response {
    ///     match session.binding() {
    ///         Binding::Bound { proven, .. } if proven.elapsed().is_ok_and(|ago| ago < Duration::from_secs(60)) => {
    ///             "transferred".into_response()
    ///         }
    ///         Binding::Bound { .. } => session.prove_device(),
    ///         // Another browser: ask for the password.
    ///         _ => StatusCode::FORBIDDEN.into_response(),
    ///     }
    /// }
    /// ```
    ///
    /// Where no redirect can help, the response is 403: the session is not bound, or the browser says that it
    /// could not refresh. A session from
    /// [`session_from_headers`](crate::SessionConfig::session_from_headers) does not know the place; the
    /// response is then 500. The session is not committed.
    #[must_use = "the response sends the browser for a proof"]
    pub fn prove_device(&self) -> Response {
        let config = self.inner().config.inner();
        let can_help = matches!(self.binding(), Binding::Bound { .. } | Binding::Missing { skipped: None });
        let Some(options) = config.dbsc.as_ref().filter(|_| can_help) else {
            return StatusCode::FORBIDDEN.into_response();
        };
        let location = self.inner().request.path.as_ref().map(|path| local(path.as_str()));
        let Some(location) = location.and_then(|path| HeaderValue::try_from(path).ok()) else {
            tracing::error!(
                "a session that was loaded from headers alone cannot send its browser for a proof"
            );
            return StatusCode::INTERNAL_SERVER_ERROR.into_response();
        };
        match options.set_cookie.expire(self.inner().transport) {
            Err(error) => error.into_response(),
            Ok(cookie) => {
                let fresh = HeaderValue::from_static("no-store");
                let vary = HeaderValue::from_static("Cookie");
                let headers =
                    [(LOCATION, location), (SET_COOKIE, cookie), (CACHE_CONTROL, fresh), (VARY, vary)];
                (StatusCode::TEMPORARY_REDIRECT, headers).into_response()
            }
        }
    }
}

impl SessionInner {
    /// Whether nothing of this request is stored: its cookie names a bound session, it came without the
    /// device's proof, and it has not logged in.
    pub(crate) fn is_read_only(&self, state: &State) -> bool {
        let has_no_record = match &state.stage {
            Stage::New { .. } => true,
            Stage::NewId { replaces: old, .. } | Stage::Destroyed { stored: old, .. } => old.is_none(),
            Stage::Existing(_) => false,
        };
        has_no_record
            && matches!(self.proof.get(), Some(Proof::Missing { what: Missing::Anonymous, .. }))
            && state.log.login().is_none()
    }
}

/// A path of this host. Two slashes at the start would name another host.
fn local(path: &str) -> String {
    let is_local = path.starts_with('/') && !path[1..].starts_with(['/', '\\']);
    format!("{}{path}", if is_local { "" } else { "/." })
}

/// What a commit adds to its response about the device.
#[derive(Debug, Clone, Default)]
pub(crate) struct DeviceHeaders {
    /// Asks the browser to register its device.
    pub(crate) registration: Option<HeaderValue>,
    /// Expires the bound cookie.
    pub(crate) cookie: Option<HeaderValue>,
}

impl DeviceHeaders {
    /// What the response after a commit says of the device. `None`: nothing.
    pub(crate) fn of(session: &SessionInner, state: &mut State) -> Result<Option<Box<Self>>, SessionError> {
        let config = session.config.inner();
        let Some(options) = &config.dbsc else { return Ok(None) };
        let mut headers = Self::default();
        if state.cookie_action == Some(CookieAction::Expire) && session.proof.get().is_some() {
            headers.cookie = Some(options.set_cookie.expire(session.transport)?);
        }
        if state.asks_device
            && let Some(device) = state.stored().and_then(|stored| device_of(&stored.record))
            && device.key.is_none()
        {
            let challenge =
                Purpose::Register.stamp(&config.keys().derived, &device.id, to_millis(config.clock.now()));
            let line = format!(r#"(ES256 RS256);path="{}";challenge="{challenge}""#, options.register);
            headers.registration = Some(HeaderValue::try_from(line).map_err(|_| SessionError::Cookie)?);
        }
        let is_empty = headers.cookie.is_none() && headers.registration.is_none();
        Ok((!is_empty).then(|| Box::new(headers)))
    }
}
