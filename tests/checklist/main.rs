//! Items of the checklist in `docs/security.md` that no other test shows. A test here is named after what it
//! shows.

mod cookie;
mod life;
mod page;

use axum::body::Body;
use axum::http::header::{COOKIE, SET_COOKIE};
use axum::http::{Request, Response, StatusCode};
use axum::response::IntoResponse as _;
use axum::routing::any;
use axum::{Router, handler::Handler};
use sessile::testing::{Probe, Visitor};
use sessile::{MemoryStore, Session, SessionConfig, SessionConfigBuilder, SessionId};
use tower::ServiceExt as _;

fn builder() -> SessionConfigBuilder {
    SessionConfig::builder("a secret of at least 32 bytes, for tests").save_uninitialized(false)
}

/// A configuration over a memory store whose calls are counted.
fn counted(
    options: impl FnOnce(SessionConfigBuilder) -> SessionConfigBuilder,
) -> (SessionConfig, Probe<MemoryStore>) {
    let store = Probe::new(MemoryStore::new());
    (options(builder()).store(store.clone()).build().unwrap(), store)
}

/// A visitor of a session in which `user` is `ada`.
async fn ada(config: &SessionConfig) -> Visitor {
    let session = Visitor::new(config).open().await.unwrap();
    session.insert("user", "ada").unwrap();
    session.commit().await.map(drop).unwrap();
    Visitor::with_id(config, &session.id())
}

async fn user(visitor: &Visitor) -> Option<String> {
    visitor.open().await.unwrap().get("user").unwrap()
}

/// One handler under every path.
fn router<T: 'static>(config: &SessionConfig, handler: impl Handler<T, SessionConfig>) -> Router {
    Router::new().fallback_service(any(handler).with_state(config.clone()))
}

async fn ask(app: &Router, request: Request<Body>) -> Response<Body> {
    app.clone().oneshot(request).await.unwrap()
}

/// How many cookies a response sets.
fn cookies<B>(response: &Response<B>) -> usize {
    response.headers().get_all(SET_COOKIE).iter().count()
}
