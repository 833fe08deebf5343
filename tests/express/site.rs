//! A site as express-session's tests set it up: the secret `keyboard cat`, a max-age of a minute, the session
//! committed by the layer.

use axum::Router;
use axum::handler::Handler;
use sessile::{Session, SessionConfig, SessionConfigBuilder, SessionError, SessionId, SessionLayer};
use std::time::{Duration, SystemTime};

use crate::common::stores::RecordingStore;
use crate::common::{App, SetCookie, TestClient, TestResponse, router};

pub(crate) const MINUTE: Duration = Duration::from_secs(60);

/// What that suite gives every server that does not ask for something else.
pub(crate) fn options() -> SessionConfigBuilder {
    SessionConfig::builder("keyboard cat").max_age(MINUTE)
}

/// One handler under every path, over a store that watches.
pub(crate) struct Site {
    pub(crate) config: SessionConfig,
    pub(crate) store: RecordingStore,
    pub(crate) app: Router,
}

impl Site {
    pub(crate) fn new<H: Handler<T, App>, T: 'static>(options: SessionConfigBuilder, handler: H) -> Self {
        let store = RecordingStore::default();
        let config = options.store(store.clone()).build().unwrap();
        let app = layered(&config, handler);
        Self { config, store, app }
    }

    /// A request of this client.
    pub(crate) async fn get(&self, client: &mut TestClient, uri: &str) -> TestResponse {
        client.get(&self.app, uri).await
    }

    /// A request of someone who was never here.
    pub(crate) async fn first(&self, uri: &str) -> TestResponse {
        TestClient::new().get(&self.app, uri).await
    }

    /// The id that a cookie names.
    pub(crate) fn id(&self, cookie: &SetCookie) -> SessionId {
        self.config.verify(&cookie.value).unwrap()
    }

    /// The calls since the last time this was asked, but for the loading.
    pub(crate) fn writes(&self) -> Vec<&'static str> {
        let mut calls = self.store.calls();
        calls.retain(|call| *call != "get");
        calls
    }
}

/// One handler under every path, its session committed by the layer.
pub(crate) fn layered<H: Handler<T, App>, T: 'static>(config: &SessionConfig, handler: H) -> Router {
    router(config, handler).layer(SessionLayer::new(config.clone()))
}

/// Counts the visits of a session.
pub(crate) async fn count(session: Session) -> Result<String, SessionError> {
    let views = session.update("views", |views: Option<u64>| Some(views.unwrap_or(0) + 1))?;
    Ok(views.unwrap_or(0).to_string())
}

/// Looks at the session and leaves it alone.
pub(crate) async fn look(session: Session) -> Result<String, SessionError> {
    Ok(format!("{:?}", session.get::<u64>("views")?))
}

/// Never asks for the session.
pub(crate) async fn hello() -> &'static str {
    "hello, world"
}

/// When the browser is told to drop the cookie, in whole seconds.
pub(crate) fn expires(cookie: &SetCookie) -> SystemTime {
    let cookie = cookie::Cookie::parse(cookie.line.as_str()).unwrap();
    cookie.expires_datetime().unwrap().into()
}

/// What Express would read as `cookie` in a stored session.
pub(crate) fn stored_cookie(record: &str) -> serde_json::Value {
    serde_json::from_str::<serde_json::Value>(record).unwrap()["cookie"].take()
}
