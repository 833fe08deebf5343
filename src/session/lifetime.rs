//! How long a session lives.

use std::time::{Duration, SystemTime};

use crate::cookie::set_cookie::MAX_LIFE;
use crate::session::Session;
use crate::session::change::Change;
use crate::session::state::CommitState;

/// The lifetime of a session's cookie: what Express keeps in `req.session.cookie`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CookieState {
    original_max_age: Option<Duration>,
    expires: Option<SystemTime>,
}

impl CookieState {
    /// The session's own max-age; `None`: until the browser closes (Express: `cookie.originalMaxAge`).
    #[must_use]
    pub fn original_max_age(&self) -> Option<Duration> {
        self.original_max_age
    }

    /// When the session ends unless it is touched; `None`: when the browser closes (Express: `cookie.expires`).
    #[must_use]
    pub fn expires(&self) -> Option<SystemTime> {
        self.expires
    }
}

impl Session {
    /// Extends the session's life at commit, however short ago that was done last.
    pub fn touch(&self) {
        let mut state = self.state();
        state.touch = true;
        state.commit_state = CommitState::Pending;
    }

    /// The session's own lifetime without activity; `None`: until the browser closes.
    pub fn max_age(&self) -> Option<Duration> {
        self.state().view().max_age(self.configured_max_age())
    }

    /// Gives this session its own lifetime ("remember me"); `None`: until the browser closes. It is kept in the record
    /// and holds for later requests, up to 400 days, in milliseconds. Zero ends the session at the next commit.
    pub fn set_max_age(&self, max_age: Option<Duration>) {
        if let Ok(mut state) = self.writable() {
            let whole = |age: Duration| Duration::from_millis(age.as_millis() as u64);
            state.push(Change::MaxAge(max_age.map(|age| whole(age.min(MAX_LIFE)))));
        }
    }

    /// When the session ends unless it is touched; `None`: when the browser closes.
    pub fn expires(&self) -> Option<SystemTime> {
        let configured = self.configured_max_age();
        let clock = &self.0.config.inner().clock;
        let mut state = self.state();
        let max_age = state.view().max_age(configured)?;
        let stored = if state.view().new_max_age(configured).is_some() { None } else { state.expires(clock) };
        stored.or_else(|| clock.now().checked_add(max_age))
    }

    /// The lifetime of the session's cookie.
    pub fn cookie(&self) -> CookieState {
        CookieState { original_max_age: self.max_age(), expires: self.expires() }
    }
}
