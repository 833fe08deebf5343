//! axum_session, whose sessions are in its own memory, in front of a database or without one.

use axum::Router;
use axum::extract::Path;
use axum::routing::get;
use axum_session::{DatabasePool, Key, Session, SessionConfig, SessionLayer, SessionMode, SessionStore};
use std::fmt::Debug;

use super::secret::SECRET;
use crate::payload::{User, payload, shown};

/// What its memory is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Memory {
    /// It keeps sessions for an hour, the default.
    Keeps,
    /// It keeps none between two requests, so that other processes' changes are seen.
    Forgets,
}

async fn fill<P: Pool>(Path(bytes): Path<usize>, session: Session<P>) -> &'static str {
    session.create_data();
    for (key, value) in payload(bytes) {
        session.set(key, value);
    }
    "filled"
}

async fn read<P: Pool>(session: Session<P>) -> String {
    shown(session.get::<u64>("views"), session.get::<User>("user"))
}

async fn write<P: Pool>(session: Session<P>) -> String {
    let views = session.get::<u64>("views").unwrap_or(0) + 1;
    session.set("views", views);
    views.to_string()
}

async fn new<P: Pool>(session: Session<P>) -> String {
    if !session.data_exists() {
        session.create_data();
    }
    let n = session.get::<u64>("n").unwrap_or(0) + 1;
    session.set("n", n);
    n.to_string()
}

async fn renew<P: Pool>(session: Session<P>) -> &'static str {
    session.renew();
    "renewed"
}

async fn plain() -> &'static str {
    "plain"
}

pub trait Pool: DatabasePool + Clone + Debug + Send + Sync + 'static {}
impl<P: DatabasePool + Clone + Debug + Send + Sync + 'static> Pool for P {}

/// `rolling` saves to the database on every request; its cookie it sends with every answer anyway.
pub async fn axum<P: Pool>(pool: Option<P>, memory: Memory, rolling: bool, signed: bool) -> Router {
    let mut config = SessionConfig::default()
        .with_lifetime(time::Duration::days(1))
        .with_max_age(Some(time::Duration::days(1)))
        // No other contestant signs the address.
        .with_ip_and_user_agent(false)
        // Nothing is kept for visitors nothing is stored for.
        .with_mode(SessionMode::Manual)
        .with_always_save(rolling);
    if signed {
        config = config.with_key(Key::from(SECRET.as_bytes()));
    }
    if memory == Memory::Forgets {
        config = config.with_memory_lifetime(time::Duration::ZERO);
    }
    let store = SessionStore::new(pool, config).await.expect("a store");
    Router::new()
        .route("/fill/{bytes}", get(fill::<P>))
        .route("/read", get(read::<P>))
        .route("/write", get(write::<P>))
        .route("/new", get(new::<P>))
        .route("/renew", get(renew::<P>))
        .route("/plain", get(plain))
        .layer(SessionLayer::new(store))
}
