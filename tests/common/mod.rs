//! What the tests share: a client that keeps cookies, stores that record their calls and fail on demand,
//! captured logs.
#![allow(dead_code, reason = "every test target uses a part of this module")]

pub(crate) mod logs;
pub(crate) mod stores;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::FromRef;
use axum::handler::Handler;
use axum::http::header::{COOKIE, SET_COOKIE};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};
use axum::response::IntoResponse as _;
use axum::routing::any;
use sessile::{Session, SessionConfig, SessionConfigBuilder, SessionId};
use tower::ServiceExt as _;

pub(crate) const SECRET: &str = "a secret of at least 32 bytes, for tests";

#[derive(Clone, FromRef)]
pub(crate) struct App {
    pub(crate) sessions: SessionConfig,
}

pub(crate) fn builder() -> SessionConfigBuilder {
    SessionConfig::builder(SECRET)
}

pub(crate) fn id(text: &str) -> SessionId {
    SessionId::new(text).unwrap()
}

/// One handler under every path.
pub(crate) fn router<H: Handler<T, App>, T: 'static>(config: &SessionConfig, handler: H) -> Router {
    Router::new().fallback_service(any(handler).with_state(App { sessions: config.clone() }))
}

/// One line of `Set-Cookie`, parsed.
#[derive(Debug, Clone)]
pub(crate) struct SetCookie {
    pub(crate) line: String,
    pub(crate) name: String,
    pub(crate) value: String,
    attributes: Vec<(String, String)>,
}

impl SetCookie {
    fn parse(line: &str) -> Self {
        let mut parts = line.split("; ");
        let (name, value) = parts.next().unwrap().split_once('=').unwrap();
        let attributes = parts.map(|part| {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            (name.to_owned(), value.to_owned())
        });
        let (name, value) = (name.to_owned(), value.to_owned());
        Self { line: line.to_owned(), name, value, attributes: attributes.collect() }
    }

    pub(crate) fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(at, _)| at == name).map(|(_, value)| &**value)
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.attribute(name).is_some()
    }

    /// The attributes' names, sorted.
    pub(crate) fn names(&self) -> Vec<&str> {
        let mut names: Vec<_> = self.attributes.iter().map(|(name, _)| &**name).collect();
        names.sort_unstable();
        names
    }
}

/// A response whose body has been read.
#[derive(Debug)]
pub(crate) struct TestResponse {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl TestResponse {
    pub(crate) async fn of(response: Response<Body>) -> Self {
        let (parts, body) = response.into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap();
        let body = String::from_utf8(body.to_vec()).unwrap();
        Self { status: parts.status, headers: parts.headers, body }
    }

    pub(crate) fn lines(&self, name: &str) -> Vec<&str> {
        self.headers.get_all(name).iter().map(|line| line.to_str().unwrap()).collect()
    }

    pub(crate) fn cookies(&self) -> Vec<SetCookie> {
        self.lines(SET_COOKIE.as_str()).into_iter().map(SetCookie::parse).collect()
    }

    /// The cookie of the response, which sets one at most.
    pub(crate) fn cookie(&self) -> Option<SetCookie> {
        let mut cookies = self.cookies();
        assert!(cookies.len() < 2, "more than one cookie: {cookies:?}");
        cookies.pop()
    }
}

/// A client that keeps cookies between requests, as a browser does, and drops the expired ones.
#[derive(Debug, Clone, Default)]
pub(crate) struct TestClient {
    jar: Vec<(String, String)>,
    sent: HeaderMap,
}

impl TestClient {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// A client that holds the cookie of this session.
    pub(crate) fn holding(config: &SessionConfig, id: &SessionId) -> Self {
        Self { jar: vec![("connect.sid".into(), config.sign(id))], sent: HeaderMap::new() }
    }

    /// Sends a header with every request.
    pub(crate) fn header(mut self, name: &'static str, value: &'static str) -> Self {
        self.sent.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        self
    }

    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        self.jar.iter().find(|(at, _)| at == name).map(|(_, value)| &**value)
    }

    pub(crate) fn headers(&self) -> HeaderMap {
        let mut headers = self.sent.clone();
        let pairs: Vec<_> = self.jar.iter().map(|(name, value)| format!("{name}={value}")).collect();
        if !pairs.is_empty() {
            headers.insert(COOKIE, pairs.join("; ").try_into().unwrap());
        }
        headers
    }

    /// The session of a request with these cookies.
    pub(crate) async fn open(&self, config: &SessionConfig) -> Session {
        config.session_from_headers(&self.headers()).await.unwrap()
    }

    /// Commits, and takes the guard for the whole response.
    pub(crate) async fn commit(&mut self, session: &Session) -> TestResponse {
        let guard = session.commit().await.unwrap();
        self.receive(guard.into_response()).await
    }

    pub(crate) async fn get(&mut self, app: &Router, uri: &str) -> TestResponse {
        let mut request = Request::get(uri).body(Body::empty()).unwrap();
        *request.headers_mut() = self.headers();
        let response = app.clone().oneshot(request).await.unwrap();
        self.receive(response).await
    }

    async fn receive(&mut self, response: Response<Body>) -> TestResponse {
        let answer = TestResponse::of(response).await;
        for cookie in answer.cookies() {
            self.jar.retain(|(name, _)| *name != cookie.name);
            if cookie.attribute("Max-Age") != Some("0") {
                self.jar.push((cookie.name, cookie.value));
            }
        }
        answer
    }
}

/// A `Cookie` header of these lines.
pub(crate) fn cookie_lines<L: AsRef<[u8]>>(lines: impl IntoIterator<Item = L>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in lines {
        headers.append(COOKIE, HeaderValue::from_bytes(line.as_ref()).unwrap());
    }
    headers
}
