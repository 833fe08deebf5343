//! The session of a request, in its extensions: every extractor of one request gets the same one.

use std::sync::{Arc, OnceLock};

use axum::http::request::Parts;

use crate::config::SessionConfig;
use crate::session::Session;

/// The session of a request, in its extensions. Sessions of other cookie names follow it, each in the one before.
#[derive(Clone)]
pub(crate) enum RequestSession {
    Extracted(Session),
    /// The layer was there first.
    Reserved(Arc<OnceLock<Session>>),
}

impl RequestSession {
    pub(crate) fn get(&self, config: &SessionConfig) -> Option<Session> {
        let name = &config.inner().cookie.name;
        let first = match self {
            Self::Extracted(session) => Some(session),
            Self::Reserved(place) => place.get(),
        };
        let mut sessions = std::iter::successors(first, |session| session.inner().next.get());
        sessions.find(|session| session.inner().config.inner().cookie.name == *name).cloned()
    }

    pub(crate) fn find(parts: &Parts, config: &SessionConfig) -> Option<Session> {
        parts.extensions.get::<Self>()?.get(config)
    }

    pub(crate) fn add(parts: &mut Parts, session: &Session) {
        let mut place = match parts.extensions.get::<Self>() {
            None => {
                parts.extensions.insert(Self::Extracted(session.clone()));
                return;
            }
            Some(Self::Extracted(first)) => &first.inner().next,
            Some(Self::Reserved(place)) => place,
        };
        loop {
            let there = place.get_or_init(|| session.clone());
            if there.is(session) {
                return;
            }
            place = &there.inner().next;
        }
    }
}

impl Default for RequestSession {
    fn default() -> Self {
        Self::Reserved(Arc::default())
    }
}
