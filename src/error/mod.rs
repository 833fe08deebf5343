//! All errors of this crate, and how they become responses.
//!
//! A response's body is the text of its status and nothing else; the details go to `tracing`. No error prints
//! an id, a cookie, a secret or session data. Errors of `serde_json` quote the value that they are about, so
//! [`JsonError`](value::JsonError) keeps only their kind and position.

pub(crate) mod config;
mod report;
pub(crate) mod value;

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use crate::error::report::{log_failure, opaque};
use crate::error::value::ValueError;

pub(crate) type BoxError = Box<dyn StdError + Send + Sync>;

/// What a [`SessionStore`](crate::SessionStore) returns when it cannot read or write.
///
/// A missing session is not an error: `get` returns `Ok(None)`, and `replace` returns
/// [`Replaced::Gone`](crate::Replaced::Gone).
#[derive(Debug)]
pub struct StoreError {
    kind: StoreErrorKind,
    source: Arc<dyn StdError + Send + Sync>,
    logged: Logged,
}

/// Whether an error has been logged, so that it is logged once however often it is passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Logged {
    NotYet,
    Yes,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
enum StoreErrorKind {
    #[error("the session store is unavailable")]
    Unavailable,
    #[error("a stored session record cannot be decoded")]
    Corrupt,
    #[error("the session store returns versions but does not override the methods that compare them")]
    NotOverridden,
    #[error("the session store does not support this")]
    Unsupported,
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kind.fmt(f)
    }
}

impl StdError for StoreError {
    /// The error itself and not the `Arc` around it, so that callers can downcast it.
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&*self.source)
    }
}

impl StoreError {
    fn new(kind: StoreErrorKind, source: impl Into<BoxError>) -> Self {
        Self { kind, source: source.into().into(), logged: Logged::NotYet }
    }

    /// The same error, for another request whose changes were in the same call.
    pub(crate) fn share(&self) -> Self {
        Self { kind: self.kind, source: Arc::clone(&self.source), logged: self.logged }
    }

    /// The store could not be reached, refused the call, or did not answer in time. Requests are answered
    /// with 503.
    pub fn unavailable(source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::new(StoreErrorKind::Unavailable, source)
    }

    /// The store holds something under this id that is not a session record. The request gets a new session
    /// under a new id, and the bytes in the store stay as they are.
    pub fn corrupt(source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::new(StoreErrorKind::Corrupt, source)
    }

    /// A provided method that takes two steps was called on a store whose `get` returns versions.
    pub(crate) fn not_overridden() -> Self {
        let what_to_do = "forward every method to the store inside with `sessile::forward_store!`";
        Self::new(StoreErrorKind::NotOverridden, what_to_do)
    }

    pub(crate) fn is_not_overridden(&self) -> bool {
        self.kind == StoreErrorKind::NotOverridden
    }

    /// The store cannot do this at all, whatever its state; `what` says what was asked of it. Requests are
    /// answered with 501.
    pub fn unsupported(what: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::new(StoreErrorKind::Unsupported, what)
    }

    /// Whether this error was made by [`StoreError::unavailable`].
    #[must_use]
    pub fn is_unavailable(&self) -> bool {
        self.kind == StoreErrorKind::Unavailable
    }

    /// Whether this error was made by [`StoreError::corrupt`].
    #[must_use]
    pub fn is_corrupt(&self) -> bool {
        self.kind == StoreErrorKind::Corrupt
    }

    /// Whether this error was made by [`StoreError::unsupported`].
    #[must_use]
    pub fn is_unsupported(&self) -> bool {
        self.kind == StoreErrorKind::Unsupported
    }

    /// Logs the error, unless that was done before.
    pub(crate) fn logged(mut self) -> Self {
        if self.logged == Logged::NotYet {
            log_failure(self.status(), &self);
            self.logged = Logged::Yes;
        }
        self
    }

    fn status(&self) -> StatusCode {
        match self.kind {
            StoreErrorKind::Unavailable | StoreErrorKind::Corrupt | StoreErrorKind::NotOverridden => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            StoreErrorKind::Unsupported => StatusCode::NOT_IMPLEMENTED,
        }
    }
}

/// Why a call of a [`Session`](crate::Session) method failed.
///
/// As a response, `Store` is 503, or 501 for [`StoreError::unsupported`]; `Gone`, `Conflict` and
/// `TooManySessions` are 409, `NotLoggedIn` and `Unproven` are 401, and all others are 500. The body is the
/// text of the status and does not name the error. [`status`](Self::status) is for an error type of your own.
///
/// The call that fails logs the error through `tracing`, so it is in the log whatever the program makes of
/// it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// The store failed. If it refused the call, nothing of it was written. If it did not answer in time, or
    /// if its connection dropped, it may have carried the call out. The same session can be committed again:
    /// if the store then holds exactly what the failed commit sent, its changes are not made again. An
    /// [`update`](crate::Session::update) counts twice only if another request has written the record in
    /// between, and not at all if that request has written the very same record in the same millisecond.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The value cannot be written as JSON, or its key is reserved (`cookie`, `flash`,
    /// `__lastAccess`).
    #[error("the session value under `{key}` cannot be encoded")]
    Encode {
        /// The key of the value.
        key: String,
        /// Why the value cannot be encoded. The error does not contain the value.
        source: Box<dyn StdError + Send + Sync>,
    },
    /// The stored value is not of the requested type. It stays in the store as it is.
    #[error("the session value under `{key}` cannot be decoded")]
    Decode {
        /// The key of the value; for flash messages, `flash.` and the kind.
        key: String,
        /// Why the value cannot be decoded. The error does not contain the value.
        source: Box<dyn StdError + Send + Sync>,
    },
    /// [`destroy`](crate::Session::destroy) was called earlier in this request.
    #[error("the session was destroyed in this request")]
    Destroyed,
    /// The session ended during this request, by a logout in another request or because it expired. Nothing
    /// was written.
    #[error("the session ended while this request was under way")]
    Gone,
    /// Other requests wrote the record before every retry of this one, or every id that
    /// [`genid`](crate::SessionConfigBuilder::genid) made was taken. Nothing was written.
    #[error("the session was changed by too many other requests at once")]
    Conflict,
    /// The record would be longer than
    /// [`max_record_bytes`](crate::SessionConfigBuilder::max_record_bytes) allows, or the cookie of a
    /// `CookieSession` (feature `cookie-session`) than browsers take. Nothing was written.
    #[error("the session record of {bytes} bytes is over the limit of {limit} bytes")]
    TooLarge {
        /// How long the record would be, in bytes.
        bytes: usize,
        /// The longest record that is written, in bytes.
        limit: usize,
    },
    /// The user has as many sessions as [`per_user`](crate::SessionConfigBuilder::per_user) allows, and
    /// further logins are refused. Nothing was written.
    #[error("the user has as many sessions as are allowed")]
    TooManySessions,
    /// Nobody is logged in who could act as another user.
    #[error("nobody is logged in")]
    NotLoggedIn,
    /// The session is bound to a device, and the request came without the device's proof. Only with
    /// `Missing::Reject` of the feature `dbsc`.
    #[error("the session is bound to a device, and the request came without its proof")]
    Unproven,
    /// The session's cookie is not a legal header value.
    #[error("the session cookie cannot be written as a header")]
    Cookie,
}

impl SessionError {
    /// A value cannot be written. Logs the error.
    pub(crate) fn encode(key: &str, source: impl Into<ValueError>) -> Self {
        let source = Box::new(source.into());
        let error = Self::Encode { key: key.to_owned(), source };
        log_failure(error.status(), &error);
        error
    }

    /// A value cannot be read. Logs the error.
    pub(crate) fn decode(key: &str, source: impl Into<ValueError>) -> Self {
        let source = Box::new(source.into());
        let error = Self::Decode { key: key.to_owned(), source };
        log_failure(error.status(), &error);
        error
    }

    /// Logs the error of a call that reaches the store, unless that was done before. Such a call logs its
    /// error before it returns, because the program may make a response of its own of it.
    pub(crate) fn logged(self) -> Self {
        match self {
            Self::Store(error) => Self::Store(error.logged()),
            // The errors of values are logged where they are made.
            Self::Encode { .. } | Self::Decode { .. } => self,
            Self::Destroyed
            | Self::Gone
            | Self::Conflict
            | Self::TooLarge { .. }
            | Self::TooManySessions
            | Self::NotLoggedIn
            | Self::Unproven
            | Self::Cookie => {
                log_failure(self.status(), &self);
                self
            }
        }
    }

    /// The status of the response that this error becomes.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Store(error) => error.status(),
            Self::Gone | Self::Conflict | Self::TooManySessions => StatusCode::CONFLICT,
            Self::NotLoggedIn | Self::Unproven => StatusCode::UNAUTHORIZED,
            Self::Encode { .. }
            | Self::Decode { .. }
            | Self::Destroyed
            | Self::TooLarge { .. }
            | Self::Cookie => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl IntoResponse for SessionError {
    fn into_response(self) -> Response {
        let status = self.status();
        match self {
            // The error of a store that the program has called itself is not logged yet.
            Self::Store(error) => drop(error.logged()),
            Self::Encode { ref source, .. } | Self::Decode { ref source, .. }
                if !source.is::<ValueError>() =>
            {
                // The program has made this error itself.
                log_failure(status, &self);
            }
            // The call that failed has logged it.
            _ => {}
        }
        opaque(status)
    }
}

/// Why a [`Session`](crate::Session) could not be extracted. As a response it has the
/// [`status`](Self::status), and the body does not name the error. The error is logged before the rejection
/// is returned.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SessionRejection {
    /// The store failed while the session was loaded.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The session is bound to a device, and the request came without the device's proof. Only with
    /// `Missing::Reject` of the feature `dbsc`.
    #[error("the session is bound to a device, and the request came without its proof")]
    Unproven,
}

impl SessionRejection {
    /// The status of the response that this rejection becomes: 503, or 501 for [`StoreError::unsupported`];
    /// 401 for `Unproven`.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Store(error) => error.status(),
            Self::Unproven => StatusCode::UNAUTHORIZED,
        }
    }

    /// Logs the error, unless that was done before.
    pub(crate) fn logged(self) -> Self {
        match self {
            Self::Store(error) => Self::Store(error.logged()),
            // The event about the missing proof tells it.
            Self::Unproven => Self::Unproven,
        }
    }
}

impl IntoResponse for SessionRejection {
    fn into_response(self) -> Response {
        let rejection = self.logged();
        opaque(rejection.status())
    }
}

impl From<SessionRejection> for SessionError {
    fn from(rejection: SessionRejection) -> Self {
        match rejection {
            SessionRejection::Store(error) => Self::Store(error),
            SessionRejection::Unproven => Self::Unproven,
        }
    }
}

/// An error in the form in which `tracing` records it with its sources.
pub(crate) fn cause(error: &(impl StdError + 'static)) -> &(dyn StdError + 'static) {
    error
}
