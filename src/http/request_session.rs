//! [`RequestSession`]: keeps a request's session in its extensions, so that every extractor of the request
//! gets the same session.

use std::sync::{Arc, OnceLock};

use axum::http::request::Parts;

use crate::config::SessionConfig;
use crate::session::Session;

/// The session of a request, in the request's extensions.
///
/// A request has one session for each cookie name. They are a linked list: each session holds the next one in
/// `next`.
#[derive(Clone)]
pub(crate) enum RequestSession {
    /// An extractor has added the first session.
    Extracted(Session),
    /// The layer has reserved the place before the extractors run, so that it sees the session that they add.
    Reserved(Arc<OnceLock<Session>>),
}

impl RequestSession {
    /// The session of the configuration's cookie name, if it was extracted already.
    pub(crate) fn get(&self, config: &SessionConfig) -> Option<Session> {
        let name = &config.inner().cookie.name;
        let first = match self {
            Self::Extracted(session) => Some(session),
            Self::Reserved(place) => place.get(),
        };
        let mut sessions = std::iter::successors(first, |session| session.inner().next.get());
        sessions.find(|session| session.inner().config.inner().cookie.name == *name).cloned()
    }

    /// The same, from a request's extensions.
    pub(crate) fn find(parts: &Parts, config: &SessionConfig) -> Option<Session> {
        parts.extensions.get::<Self>()?.get(config)
    }

    /// Adds a session at the end of the request's list.
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
            let occupant = place.get_or_init(|| session.clone());
            if occupant.is(session) {
                return;
            }
            place = &occupant.inner().next;
        }
    }
}

impl Default for RequestSession {
    fn default() -> Self {
        Self::Reserved(Arc::default())
    }
}
