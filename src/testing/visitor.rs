//! [`Visitor`]: a small browser that keeps one cookie and opens sessions with it.

use axum::http::header::{COOKIE, SET_COOKIE};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::IntoResponse as _;

use crate::commit::guard::SessionGuard;
use crate::config::SessionConfig;
use crate::error::{SessionError, SessionRejection};
use crate::id::SessionId;
use crate::session::Session;

/// A visitor of a site: keeps the session cookie of one configuration and sends it with every request.
#[derive(Debug, Clone)]
pub struct Visitor {
    config: SessionConfig,
    cookie: Option<String>,
}

/// What a response did to the session's cookie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// The response has no session cookie.
    NoCookie,
    /// The response sets the cookie.
    Set,
    /// The response removes the cookie.
    Expired,
}

impl Visitor {
    /// A visitor without a cookie.
    #[must_use]
    pub fn new(config: &SessionConfig) -> Self {
        Self { config: config.clone(), cookie: None }
    }

    /// A visitor with the signed cookie of this id.
    #[must_use]
    pub fn with_id(config: &SessionConfig, id: &SessionId) -> Self {
        Self { config: config.clone(), cookie: Some(config.sign(id)) }
    }

    /// The headers of the visitor's next request.
    #[must_use]
    pub fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if let Some(value) = &self.cookie {
            let line = format!("{}={value}", self.config.inner().cookie.name);
            headers.insert(COOKIE, HeaderValue::try_from(line).expect("a signed cookie is a header value"));
        }
        headers
    }

    /// Begins a request: loads the session that the cookie names.
    ///
    /// # Errors
    /// Those of the extractor.
    pub async fn open(&self) -> Result<Session, SessionRejection> {
        self.config.session_from_headers(&self.headers()).await
    }

    /// Commits the session and keeps the cookie of the response.
    ///
    /// # Errors
    /// Those of the commit; the visitor's cookie then stays as it is.
    ///
    /// # Panics
    /// As [`receive`](Self::receive) does.
    pub async fn commit(&mut self, session: &Session) -> Result<Answer, SessionError> {
        let guard = session.commit().await?;
        Ok(self.receive(guard))
    }

    /// Keeps the cookie of a response, or forgets the one it removes.
    ///
    /// # Panics
    /// When the response sets more than one session cookie.
    pub fn receive(&mut self, guard: SessionGuard) -> Answer {
        self.receive_response(guard.into_response().headers())
    }

    /// Keeps the session cookie in the headers of a response, or forgets the one it removes: for responses of
    /// the whole application. Cookies of other names are ignored.
    ///
    /// ```
    /// use axum::Router;
    /// use axum::body::Body;
    /// use axum::http::Request;
    /// use axum::routing::get;
    /// use sessile::testing::{Answer, Visitor};
    /// use sessile::{Session, SessionConfig, SessionError, SessionGuard};
    /// use tower::ServiceExt as _;
    ///
    /// async fn login(session: Session) -> Result<SessionGuard, SessionError> {
    ///     session.insert("user", "alice")?;
    ///     session.commit().await
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let sessions = SessionConfig::new("a secret of at least 32 bytes, for tests")?;
    /// let app = Router::new().route("/login", get(login)).with_state(sessions.clone());
    ///
    /// let mut alice = Visitor::new(&sessions);
    /// let mut request = Request::get("/login").body(Body::empty())?;
    /// request.headers_mut().extend(alice.headers());
    /// let mut response = app.oneshot(request).await?;
    /// # response.headers_mut().append("set-cookie", "theme=dark".parse()?);
    /// assert_eq!(alice.receive_response(response.headers()), Answer::Set);
    /// assert_eq!(alice.open().await?.get::<String>("user")?.as_deref(), Some("alice"));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Panics
    /// When the response sets more than one session cookie.
    pub fn receive_response(&mut self, headers: &HeaderMap) -> Answer {
        let lines = headers.get_all(SET_COOKIE).iter();
        let values: Vec<_> = lines.filter_map(|line| self.value_in(line)).collect();
        assert!(values.len() <= 1, "one response set {} session cookies", values.len());
        let Some(value) = values.first() else { return Answer::NoCookie };
        if value.is_empty() {
            self.cookie = None;
            Answer::Expired
        } else {
            self.cookie = Some(value.clone());
            Answer::Set
        }
    }

    /// The value in a `Set-Cookie` line, if the line is that of the session's cookie.
    fn value_in(&self, line: &HeaderValue) -> Option<String> {
        let (name, value) = line.to_str().ok()?.split(';').next()?.split_once('=')?;
        (name == self.config.name()).then(|| value.to_owned())
    }

    /// The id in the visitor's cookie, if there is a cookie and its signature is valid.
    #[must_use]
    pub fn id(&self) -> Option<SessionId> {
        self.config.verify(self.cookie.as_deref()?)
    }
}
