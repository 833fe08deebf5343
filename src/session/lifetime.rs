//! How long a session lives: its max-age, its expiry, and [`CookieState`].

use std::time::{Duration, SystemTime};

use crate::cookie::set_cookie::MAX_LIFE;
use crate::session::Session;
use crate::session::change::Change;
use crate::session::stage::CommitState;

/// The max-age and the expiry of a session's cookie, which Express keeps in `req.session.cookie`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CookieState {
    original_max_age: Option<Duration>,
    expires: Option<SystemTime>,
}

impl CookieState {
    /// The session's max-age; `None`, when the cookie ends with the browser (Express:
    /// `cookie.originalMaxAge`).
    #[must_use]
    pub fn original_max_age(&self) -> Option<Duration> {
        self.original_max_age
    }

    /// When the session expires, unless it is touched; `None`, when the cookie ends with the browser
    /// (Express: `cookie.expires`).
    #[must_use]
    pub fn expires(&self) -> Option<SystemTime> {
        self.expires
    }
}

impl Session {
    /// Extends the session's expiry in the store at the next commit, even if `touch_after` has not passed
    /// since the last touch.
    pub fn touch(&self) {
        let mut state = self.state();
        if state.is_destroyed() {
            return;
        }
        state.touch = true;
        state.commit_state = CommitState::Pending;
    }

    /// The session's max-age: how long it lives without being used. `None`, when the cookie ends with the
    /// browser.
    ///
    /// It is the configured max-age, unless [`set_max_age`](Self::set_max_age) gave the session its own.
    pub fn max_age(&self) -> Option<Duration> {
        self.state().view().max_age(self.configured_max_age())
    }

    /// Gives this session its own max-age, for example for "remember me". With `None` the cookie ends with
    /// the browser.
    ///
    /// The max-age is stored in the record and applies to later requests too. It is kept in whole
    /// milliseconds, and is at most 400 days, which is as long as browsers keep a cookie. Zero ends the
    /// session at the next commit. After [`destroy`](Self::destroy) the call does nothing.
    pub fn set_max_age(&self, max_age: Option<Duration>) {
        if let Ok(mut state) = self.writable() {
            let whole = |age: Duration| Duration::from_millis(age.as_millis() as u64);
            state.push(Change::MaxAge(max_age.map(|age| whole(age.min(MAX_LIFE)))));
        }
    }

    /// When the session expires, unless it is touched; `None`, when the cookie ends with the browser.
    pub fn expires(&self) -> Option<SystemTime> {
        let configured = self.configured_max_age();
        let clock = &self.0.config.inner().clock;
        let mut state = self.state();
        let max_age = state.view().max_age(configured)?;
        // A max-age set in this request counts from now; the expiry in the store belongs to the old one.
        let stored = if state.view().new_max_age(configured).is_some() { None } else { state.expires(clock) };
        stored.or_else(|| clock.now().checked_add(max_age))
    }

    /// The max-age and the expiry of the session's cookie.
    pub fn cookie(&self) -> CookieState {
        CookieState { original_max_age: self.max_age(), expires: self.expires() }
    }
}
