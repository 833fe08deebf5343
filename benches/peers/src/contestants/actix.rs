//! actix-session. It ships no store in memory, so here is the plainest one its trait allows.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use actix_session::config::{CookieContentSecurity, PersistentSession, TtlExtensionPolicy};
use actix_session::storage::{
    LoadError, SaveError, SessionKey, SessionStore, UpdateError, generate_session_key,
};
use actix_session::{Session, SessionMiddleware};
use actix_web::cookie::{Key, SameSite, time::Duration};
use actix_web::web;

use super::secret::SECRET;
use crate::payload::{User, payload, shown};

type State = HashMap<String, String>;
type Shared = Mutex<HashMap<String, (State, Instant)>>;

#[derive(Clone, Default)]
pub struct MemoryStore(Arc<Shared>);

impl MemoryStore {
    fn sessions<T>(&self, act: impl FnOnce(&mut HashMap<String, (State, Instant)>) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn deadline(ttl: &Duration) -> Instant {
    Instant::now() + ttl.unsigned_abs()
}

impl SessionStore for MemoryStore {
    async fn load(&self, key: &SessionKey) -> Result<Option<State>, LoadError> {
        let live = |(state, expires): &(State, Instant)| (Instant::now() < *expires).then(|| state.clone());
        Ok(self.sessions(|sessions| sessions.get(key.as_ref()).and_then(live)))
    }

    async fn save(&self, state: State, ttl: &Duration) -> Result<SessionKey, SaveError> {
        let key = generate_session_key();
        self.sessions(|sessions| sessions.insert(key.as_ref().to_owned(), (state, deadline(ttl))));
        Ok(key)
    }

    async fn update(&self, key: SessionKey, state: State, ttl: &Duration) -> Result<SessionKey, UpdateError> {
        let new = (state, deadline(ttl));
        self.sessions(|sessions| match sessions.get_mut(key.as_ref()) {
            Some(held) => *held = new,
            None => drop(sessions.insert(key.as_ref().to_owned(), new)),
        });
        Ok(key)
    }

    async fn update_ttl(&self, key: &SessionKey, ttl: &Duration) -> Result<(), anyhow::Error> {
        self.sessions(|sessions| {
            if let Some((_, expires)) = sessions.get_mut(key.as_ref()) {
                *expires = deadline(ttl);
            }
        });
        Ok(())
    }

    async fn delete(&self, key: &SessionKey) -> Result<(), anyhow::Error> {
        self.sessions(|sessions| sessions.remove(key.as_ref()));
        Ok(())
    }
}

async fn fill(bytes: web::Path<usize>, session: Session) -> actix_web::Result<&'static str> {
    for (key, value) in payload(*bytes) {
        session.insert(key, value)?;
    }
    Ok("filled")
}

async fn read(session: Session) -> actix_web::Result<String> {
    let views = session.get::<u64>("views")?;
    Ok(shown(views, session.get::<User>("user")?))
}

async fn write(session: Session) -> actix_web::Result<String> {
    let views = session.get::<u64>("views")?.unwrap_or(0) + 1;
    session.insert("views", views)?;
    Ok(views.to_string())
}

async fn new(session: Session) -> actix_web::Result<String> {
    let n = session.get::<u64>("n")?.unwrap_or(0) + 1;
    session.insert("n", n)?;
    Ok(n.to_string())
}

async fn renew(session: Session) -> &'static str {
    session.renew();
    "renewed"
}

async fn plain() -> &'static str {
    "plain"
}

pub fn routes(config: &mut web::ServiceConfig) {
    config
        .route("/fill/{bytes}", web::get().to(fill))
        .route("/read", web::get().to(read))
        .route("/write", web::get().to(write))
        .route("/new", web::get().to(new))
        .route("/renew", web::get().to(renew))
        .route("/plain", web::get().to(plain));
}

pub fn middleware<S: SessionStore>(store: S, rolling: bool) -> SessionMiddleware<S> {
    let policy =
        if rolling { TtlExtensionPolicy::OnEveryRequest } else { TtlExtensionPolicy::OnStateChanges };
    SessionMiddleware::builder(store, Key::from(SECRET.as_bytes()))
        .cookie_secure(false)
        .cookie_same_site(SameSite::Lax)
        // Its default encrypts the cookie; the other contestants sign it.
        .cookie_content_security(CookieContentSecurity::Signed)
        .session_lifecycle(
            PersistentSession::default().session_ttl(Duration::days(1)).session_ttl_extension_policy(policy),
        )
        .build()
}
