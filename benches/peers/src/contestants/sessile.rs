//! sessile, in its two styles: handlers that commit and return the guard, or a layer that does it for them.

use axum::Router;
use axum::extract::{FromRef, Path};
use axum::routing::get;
use sessile::{Session, SessionConfig, SessionError, SessionGuard, SessionLayer, SessionStore};

use super::secret::SECRET;
use crate::payload::{User, payload, shown};

#[derive(Clone)]
struct State(SessionConfig);

impl FromRef<State> for SessionConfig {
    fn from_ref(state: &State) -> Self {
        state.0.clone()
    }
}

type Answer = Result<(SessionGuard, String), SessionError>;

fn filled(session: &Session, bytes: usize) -> Result<&'static str, SessionError> {
    for (key, value) in payload(bytes) {
        session.insert(key, value)?;
    }
    Ok("filled")
}

fn seen(session: &Session) -> Result<String, SessionError> {
    Ok(shown(session.get::<u64>("views")?, session.get::<User>("user")?))
}

fn counted(session: &Session, key: &str) -> Result<String, SessionError> {
    let views = session.get::<u64>(key)?.unwrap_or(0) + 1;
    session.insert(key, views)?;
    Ok(views.to_string())
}

mod committing {
    use super::*;

    pub(super) async fn fill(Path(bytes): Path<usize>, session: Session) -> Answer {
        let body = filled(&session, bytes)?.into();
        Ok((session.commit().await?, body))
    }

    pub(super) async fn read(session: Session) -> Answer {
        let body = seen(&session)?;
        Ok((session.commit().await?, body))
    }

    pub(super) async fn write(session: Session) -> Answer {
        let body = counted(&session, "views")?;
        Ok((session.commit().await?, body))
    }

    pub(super) async fn new(session: Session) -> Answer {
        let body = counted(&session, "n")?;
        Ok((session.commit().await?, body))
    }

    pub(super) async fn renew(session: Session) -> Result<(SessionGuard, &'static str), SessionError> {
        session.cycle_id();
        Ok((session.commit().await?, "renewed"))
    }
}

mod layered {
    use super::*;

    pub(super) async fn fill(
        Path(bytes): Path<usize>,
        session: Session,
    ) -> Result<&'static str, SessionError> {
        filled(&session, bytes)
    }

    pub(super) async fn read(session: Session) -> Result<String, SessionError> {
        seen(&session)
    }

    pub(super) async fn write(session: Session) -> Result<String, SessionError> {
        counted(&session, "views")
    }

    pub(super) async fn new(session: Session) -> Result<String, SessionError> {
        counted(&session, "n")
    }

    pub(super) async fn renew(session: Session) -> &'static str {
        session.cycle_id();
        "renewed"
    }
}

async fn plain() -> &'static str {
    "plain"
}

fn config(store: impl SessionStore, rolling: bool) -> SessionConfig {
    let options = SessionConfig::builder(SECRET).store(store).rolling(rolling);
    // As with the others, nothing is kept for visitors nothing is stored for.
    options.save_uninitialized(false).build().expect("options that agree")
}

/// Handlers that commit.
pub fn extractor(store: impl SessionStore, rolling: bool) -> Router {
    Router::new()
        .route("/fill/{bytes}", get(committing::fill))
        .route("/read", get(committing::read))
        .route("/write", get(committing::write))
        .route("/new", get(committing::new))
        .route("/renew", get(committing::renew))
        .route("/plain", get(plain))
        .with_state(State(config(store, rolling)))
}

/// A layer that commits.
pub fn layer(store: impl SessionStore, rolling: bool) -> Router {
    let config = config(store, rolling);
    Router::new()
        .route("/fill/{bytes}", get(layered::fill))
        .route("/read", get(layered::read))
        .route("/write", get(layered::write))
        .route("/new", get(layered::new))
        .route("/renew", get(layered::renew))
        .route("/plain", get(plain))
        .layer(SessionLayer::new(config.clone()))
        .with_state(State(config))
}

/// Handlers that only read and leave the guard out: no `Vary`, which is right where no cache sees the answer.
pub fn unguarded(store: impl SessionStore) -> Router {
    Router::new()
        .route("/fill/{bytes}", get(committing::fill))
        .route("/read", get(layered::read))
        .with_state(State(config(store, false)))
}
