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
    /// When the response sets more than one cookie.
    pub fn receive(&mut self, guard: SessionGuard) -> Answer {
        let response = guard.into_response();
        let lines: Vec<_> = response.headers().get_all(SET_COOKIE).iter().collect();
        assert!(lines.len() <= 1, "one response set {} session cookies", lines.len());
        let Some(line) = lines.first() else { return Answer::NoCookie };
        let line = line.to_str().expect("a Set-Cookie line is text");
        let (_, value) = line.split(';').next().and_then(|pair| pair.split_once('=')).expect("a cookie pair");
        if value.is_empty() {
            self.cookie = None;
            Answer::Expired
        } else {
            self.cookie = Some(value.to_owned());
            Answer::Set
        }
    }

    /// The id in the visitor's cookie, if there is a cookie and its signature is valid.
    #[must_use]
    pub fn id(&self) -> Option<SessionId> {
        self.config.verify(self.cookie.as_deref()?)
    }
}
