//! What every check of a promise needs: a configuration over a probed store, and a visitor with a session.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use crate::config::SessionConfig;
use crate::config::builder::SessionConfigBuilder;
use crate::id::{HashIds, SessionId};
use crate::session::Session;
use crate::session::origin::Origin;
use crate::store::SessionStore;
use crate::testing::hashed_ids::HashedIds;
use crate::testing::probe::Probe;
use crate::testing::visitor::{Answer, Visitor};

const SECRET: &str = "the conformance kit's secret, longer than 32 bytes";

/// Something that a request does to its session.
pub(super) type Act = fn(&Session);

/// The store under test, with a probe around it.
pub(super) type Probed<S> = Probe<Arc<S>>;

pub(super) fn options<S: SessionStore>(probe: &Probed<S>) -> SessionConfigBuilder {
    // Loads do not touch the session, so that a check can count its own calls.
    let touch_after = Duration::from_secs(24 * 60 * 60);
    let builder = SessionConfig::builder(SECRET).store(probe.clone());
    let builder = builder.save_uninitialized(false).touch_after(touch_after);
    let store: &dyn Any = &**probe.inner();
    if store.is::<HashedIds>() { builder.hash_ids(HashIds::On) } else { builder }
}

/// The id under which the store has the record of a session.
pub(super) fn key(config: &SessionConfig, id: &SessionId) -> SessionId {
    config.inner().keyed(id.clone()).key().clone()
}

pub(super) fn setup<S: SessionStore>(store: S) -> (SessionConfig, Probed<S>) {
    let probe = Probe::new(Arc::new(store));
    let config = options(&probe).build().expect("the kit's own options");
    (config, probe)
}

/// A visitor who is logged in: the session is stored and has the key `user`.
pub(super) async fn user(config: &SessionConfig) -> Visitor {
    let mut visitor = Visitor::new(config);
    let session = open(&visitor).await;
    session.insert("user", "ada").expect("insert");
    assert_eq!(visitor.commit(&session).await.expect("commit"), Answer::Set);
    visitor
}

pub(super) async fn open(visitor: &Visitor) -> Session {
    visitor.open().await.expect("the session loads")
}

pub(super) async fn origin(visitor: &Visitor) -> Origin {
    open(visitor).await.origin()
}

pub(super) async fn value(visitor: &Visitor, key: &str) -> Option<u64> {
    open(visitor).await.get(key).expect("a number")
}

pub(super) fn increment(count: Option<u64>) -> Option<u64> {
    Some(count.unwrap_or(0) + 1)
}
