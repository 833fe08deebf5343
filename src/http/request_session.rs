//! [`RequestSession`]: keeps a request's sessions in its extensions, so that every extractor of the request
//! gets the same session of a configuration.

use std::sync::{Arc, OnceLock};

use axum::http::request::Parts;

use crate::config::SessionConfig;
use crate::session::Session;

/// The sessions of a request, in the request's extensions.
///
/// A request has one session for each configuration that it asks for, also where two configurations have the
/// same cookie name: their secrets and stores are their own. The sessions are a linked list: each holds the
/// next one in `next`.
#[derive(Clone)]
pub(crate) enum RequestSession {
    /// An extractor has added the first session.
    Extracted(Session),
    /// The layer has reserved the place before the extractors run, so that it sees the session that they add.
    Reserved(Arc<OnceLock<Session>>),
}

impl RequestSession {
    /// The session that was extracted first, if any was.
    pub(crate) fn first(&self) -> Option<&Session> {
        match self {
            Self::Extracted(session) => Some(session),
            Self::Reserved(place) => place.get(),
        }
    }

    /// The session of this configuration, if it was extracted already.
    pub(crate) fn get(&self, config: &SessionConfig) -> Option<Session> {
        let mut sessions = std::iter::successors(self.first(), |session| session.inner().next.get());
        sessions.find(|session| session.inner().config.is(config)).cloned()
    }

    /// The same, from a request's extensions.
    pub(crate) fn find(parts: &Parts, config: &SessionConfig) -> Option<Session> {
        parts.extensions.get::<Self>()?.get(config)
    }

    /// Adds a session at the end of the request's list, and returns the session of its configuration: another
    /// one, if a clone of the request has added that meanwhile.
    pub(crate) fn add(parts: &mut Parts, session: Session) -> Session {
        let mut place = match parts.extensions.get::<Self>() {
            None => {
                parts.extensions.insert(Self::Extracted(session.clone()));
                return session;
            }
            Some(Self::Extracted(first)) => &first.inner().next,
            Some(Self::Reserved(place)) => place,
        };
        loop {
            let occupant = place.get_or_init(|| session.clone());
            if occupant.inner().config.is(&session.inner().config) {
                return occupant.clone();
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
