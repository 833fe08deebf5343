//! The options for sessions that belong to users, to devices, or to another library until they move over: one method
//! each.

use std::time::Duration;

use crate::config::ConfigInner;
use crate::config::adopt::Adopt;
use crate::config::builder::SessionConfigBuilder;
#[cfg(feature = "dbsc")]
use crate::config::dbsc::Dbsc;
use crate::config::policy::AtLimit;
use crate::error::config::ConfigError;
use crate::record::Record;
use crate::record::metadata::Owner;
use crate::store::erased::ErasedStore;

impl SessionConfigBuilder {
    /// How long a session lives at most, however much it is used (no such option in Express). Default: no
    /// limit.
    ///
    /// The time counts from the session's birth: its creation, [`log_in`](crate::Session::log_in) or
    /// [`regenerate`](crate::Session::regenerate). A later change of the id does not move it. Afterwards the
    /// session is [`Origin::Unknown`](crate::Origin::Unknown), and the cookie's max-age never reaches
    /// past it. A record without a birth, written by Express or before the option was set, gets one when
    /// it is next written.
    ///
    /// [`build`](Self::build) refuses a time of less than a millisecond.
    pub fn absolute_timeout(mut self, timeout: Duration) -> Self {
        self.policy.absolute_timeout = Some(timeout);
        self
    }

    /// How many sessions a user has at most, and what happens at a login beyond that (no such option in
    /// Express). Default: no limit.
    ///
    /// The limit holds once the logins are answered, also where many come at the same time. Sessions that
    /// have expired do not count, nor do those in which somebody [acts as](crate::Session::impersonate)
    /// the user.
    ///
    /// [`build`](Self::build) refuses a limit of zero, and a store that does not keep lists of users'
    /// sessions.
    pub fn per_user(mut self, limit: usize, at_limit: AtLimit) -> Self {
        self.policy.per_user = Some((limit, at_limit));
        self
    }

    /// How often the store is asked whether the sessions have ended that somebody waits for with
    /// [`Session::ended`](crate::Session::ended). Default: 5 seconds.
    ///
    /// All sessions are asked for together. Within a process, and where the store tells of ends, nobody has
    /// to wait for it. [`build`](Self::build) refuses less than a millisecond.
    pub fn look_every(mut self, interval: Duration) -> Self {
        self.policy.look_every = interval;
        self
    }

    /// Binds sessions to the browser's device (feature `dbsc`, not an option of Express). Default: off. The
    /// module [`dbsc`](crate::dbsc) says how. [`build`](Self::build) refuses partitioned cookies,
    /// endpoints outside of the cookie's [`path`](Self::path), and what [`Dbsc`] refuses.
    #[cfg(feature = "dbsc")]
    pub fn dbsc(mut self, dbsc: Dbsc) -> Self {
        self.dbsc = Some(dbsc);
        self
    }

    /// Lets live sessions of another library move over (no such option in Express). Default: none do.
    ///
    /// A request whose cookies name no session here, but one of the old library, gets that session: its data
    /// is stored here under a new id, the old record is removed after that, and the next commit sets the
    /// cookie and expires the old one. The new id is made of the old one with the newest secret, so that
    /// parallel requests meet in one session, and a session that was moved halfway is moved on by the next
    /// request. From then on the session is one of this configuration's: how long it lives is what the
    /// options say.
    ///
    /// Until its first commit has been answered, the old cookie leads to the session as well: it is worth as
    /// much as it was. A logout, a login or any other change of the id ends that.
    ///
    /// A second call replaces the first. Remove the option when the old sessions have expired.
    pub fn adopt(mut self, adopt: impl Adopt) -> Self {
        self.adopt = Some(Box::new(adopt));
        self
    }

    /// Refuses what the options of users cannot mean.
    pub(super) fn check_users(&self, store: &ErasedStore) -> Result<(), ConfigError> {
        let is_zero = |duration: Duration| duration.as_millis() == 0;
        if self.policy.absolute_timeout.is_some_and(is_zero) {
            return Err(ConfigError::AbsoluteTimeout);
        }
        if is_zero(self.policy.look_every) {
            return Err(ConfigError::LookEvery);
        }
        match self.policy.per_user {
            Some((0, _)) => Err(ConfigError::NoSessionsPerUser),
            Some(_) if store.users().is_none() => Err(ConfigError::PerUser),
            _ => Ok(()),
        }
    }
}

impl ConfigInner {
    /// Whether a session is over although its record is there: after its absolute timeout, or because it
    /// belongs to a user whose hash none of the secrets has made. Nobody could find the latter in that
    /// user's list. A placeholder of a session that is about to be adopted is none yet.
    pub(crate) fn is_over(&self, record: &Record) -> bool {
        let Some(owner) = Owner::of(record) else { return false };
        let is_past = |end| end <= self.clock.now();
        let keys = self.keys();
        owner.is_adopting()
            || owner.users().any(|user| !keys.derived.knows(user))
            || owner.end(self.policy.absolute_timeout).is_some_and(is_past)
    }
}
