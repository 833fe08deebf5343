//! [`CreatedSession`]: a session outside of a request.

use std::fmt;

use axum::http::HeaderValue;

use crate::commit::guard::SessionGuard;
use crate::config::SessionConfig;
use crate::error::SessionError;
use crate::request::{RequestLine, Transport};
use crate::session::Session;
use crate::session::handle::SessionHandle;

impl SessionConfig {
    /// Creates a session outside of a request, for tests, jobs, and logins on behalf of somebody: runs the
    /// closure on a new session, stores it, and returns its cookie.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use axum::http::{Request, header::COOKIE};
    /// use sessile::{SessionConfig, SessionError};
    ///
    /// let sessions = SessionConfig::new("a secret of at least 32 bytes, from the environment")?;
    /// let created = sessions.create_session(async |session| session.log_in(7)).await?;
    /// let request = Request::get("/profile").header(COOKIE, created.cookie()).body(())?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of the closure, and those of [`Session::commit`].
    pub async fn create_session<F, Fut>(&self, fill: F) -> Result<CreatedSession, SessionError>
    where
        F: FnOnce(Session) -> Fut + Send,
        Fut: Future<Output = Result<(), SessionError>> + Send,
    {
        // A Secure cookie can be set: nothing says that the request came over http.
        let session = Session::new(self.clone(), Transport::Https, RequestLine::default());
        fill(session.clone()).await?;
        session.save().await?;
        let guard = session.commit().await?;
        Ok(CreatedSession { guard, handle: session.handle(), cookie: self.cookie_header(&session)? })
    }

    fn cookie_header(&self, session: &Session) -> Result<HeaderValue, SessionError> {
        let text = format!("{}={}", self.name(), self.sign(&session.id()));
        HeaderValue::from_str(&text).map_err(|_| SessionError::Cookie.logged())
    }
}

/// A session that [`SessionConfig::create_session`] has stored.
#[derive(Clone)]
pub struct CreatedSession {
    guard: SessionGuard,
    handle: SessionHandle,
    cookie: HeaderValue,
}

impl CreatedSession {
    /// The value of a request's `Cookie` header.
    #[must_use]
    pub fn cookie(&self) -> HeaderValue {
        self.cookie.clone()
    }

    /// The value of a response's `Set-Cookie` header.
    #[must_use]
    pub fn set_cookie(&self) -> HeaderValue {
        // Invariant: the session was stored under a new id, so its guard sets the cookie.
        debug_assert!(self.guard.line().is_some(), "a stored session without a cookie");
        self.guard.line().cloned().unwrap_or_else(|| HeaderValue::from_static(""))
    }

    /// The public name of the session.
    #[must_use]
    pub fn handle(&self) -> SessionHandle {
        self.handle
    }
}

impl fmt::Debug for CreatedSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CreatedSession").field("handle", &self.handle).finish_non_exhaustive()
    }
}
