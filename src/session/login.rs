//! Whose session it is: login, confirmation, and acting as another user.

use std::fmt::{self, Display};
use std::sync::Arc;
use std::time::Duration;

use smol_str::SmolStr;

use crate::error::SessionError;
use crate::error::value::Refused;
use crate::id::SessionId;
use crate::record::METADATA;
use crate::record::metadata::{Metadata, from_millis, to_millis};
use crate::session::Session;
use crate::session::change::Change;
use crate::session::metadata_change::{LoggedIn, MetadataChange};
use crate::session::stage::NewId;

/// The longest device label, in bytes.
const MAX_LABEL: usize = 256;

/// A login that has begun: made by `begin_login` before the password is checked, and taken by
/// [`Session::log_in_with`] after it. If the user's sessions are all ended in between, the login fails.
#[must_use = "a login takes place with `Session::log_in_with`"]
pub struct Login {
    /// The hashes of the user, newest first.
    pub(crate) user: Vec<SmolStr>,
    /// The epoch of the user's list when the login began.
    pub(crate) epoch: SmolStr,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Login(REDACTED)")
    }
}

impl Session {
    /// Logs a user in: the one call to make at login, before anything is written for the user.
    ///
    /// The session gets a new id, so that an id that an attacker planted before is worth nothing. Data and
    /// flash messages of a guest, or of the same user, stay. If another user was logged in, that session
    /// ends, and everything in it is dropped, with what this request has written before.
    ///
    /// `user` is what tells your users apart for good: the primary key rather than the name. The record keeps
    /// a keyed hash of it and never the text, so put what your handlers need into the session as well:
    ///
    /// ```
    /// use sessile::{Session, SessionError, SessionGuard, SessionKey};
    ///
    /// const USER: SessionKey<u64> = SessionKey::new("user");
    ///
    /// async fn log_in(session: Session, user: u64) -> Result<SessionGuard, SessionError> {
    ///     session.log_in(user)?;
    ///     USER.insert(&session, user)?;
    ///     session.commit().await
    /// }
    /// ```
    ///
    /// The login begins with the commit. If all sessions of the user are ended while the password is checked,
    /// as after a change of the password, that end does not reach this login;
    /// [`log_in_with`](Self::log_in_with) closes the gap.
    ///
    /// A session that was written without this call, by Express or by an earlier version of the program,
    /// counts as a guest's: call [`regenerate`](Self::regenerate) first, if its data must not go over.
    ///
    /// # Errors
    /// [`Encode`](SessionError::Encode), when the user is an empty text. The commit returns
    /// [`TooManySessions`](SessionError::TooManySessions), when the user has as many sessions as
    /// [`per_user`](crate::SessionConfigBuilder::per_user) allows, and [`Gone`](SessionError::Gone), when all
    /// sessions of the user are ended meanwhile.
    pub fn log_in(&self, user: impl Display) -> Result<(), SessionError> {
        self.log_in_as(self.hashes(user)?, None);
        Ok(())
    }

    /// Logs a user in like [`log_in`](Self::log_in), with a login that began earlier: `begin_login` comes
    /// before the password is checked. If the user's sessions are all ended in between, the commit
    /// returns [`Gone`](SessionError::Gone), and nobody is logged in with a password that is no longer
    /// right.
    ///
    /// # Errors
    /// [`Encode`](SessionError::Encode), when the login was begun with the secrets of another configuration:
    /// nobody could find the session in the user's list. The commit returns the errors that `log_in`
    /// names.
    pub fn log_in_with(&self, login: Login) -> Result<(), SessionError> {
        let Login { user, epoch } = login;
        let newest = user.first();
        if !newest.is_some_and(|user| self.0.config.inner().keys().derived.is_newest(user)) {
            return Err(SessionError::encode(METADATA, Refused::ForeignLogin));
        }
        self.log_in_as(user, Some(epoch));
        Ok(())
    }

    /// `user` are the hashes of the user, newest first.
    fn log_in_as(&self, user: Vec<SmolStr>, epoch: Option<SmolStr>) {
        let at = to_millis(self.0.config.inner().clock.now());
        // Declared before the lock, so dropped after it.
        let _changes;
        let mut state = self.state();
        let metadata = state.view().metadata();
        #[cfg(feature = "dbsc")]
        let is_bound = metadata.dbsc.is_some();
        let is_other =
            metadata.user.is_some_and(|before| metadata.actor.is_some() || !user.contains(&before));
        if is_other {
            _changes = state.forget_changes();
        }
        state.change_id(if is_other { NewId::Regenerate } else { NewId::Cycle });
        state.push(Change::Metadata(Arc::new(MetadataChange::LogIn(LoggedIn { user, at, epoch }))));
        #[cfg(feature = "dbsc")]
        self.bind_anew(state, is_bound);
    }

    /// Whether a user is logged in, by [`log_in`](Self::log_in).
    pub fn is_logged_in(&self) -> bool {
        self.state().view().ask_user(|_| ()).is_some()
    }

    /// Whether this user is logged in.
    pub fn belongs_to(&self, user: impl Display) -> bool {
        // The program's own code, which must not run under the state's lock.
        let user = user.to_string();
        let keys = self.0.config.inner().keys();
        self.state().view().ask_user(|own| keys.derived.is_user(&user, own)) == Some(true)
    }

    /// Notes that the user has just proved who they are, for instance by the password.
    /// [`log_in`](Self::log_in) notes it as well. If nobody is logged in, the call does nothing.
    pub fn confirm(&self) {
        let at = to_millis(self.0.config.inner().clock.now());
        self.push_metadata(MetadataChange::Confirm { at });
    }

    /// Whether the user has proved who they are at most this long ago ("sudo mode"). If not, ask for the
    /// password, and then call [`confirm`](Self::confirm).
    pub fn confirmed_within(&self, duration: Duration) -> bool {
        let confirmed = self.state().view().metadata().confirmed.map(from_millis);
        let now = self.0.config.inner().clock.now();
        // A time in the future, after the clock was set back, is no confirmation.
        confirmed.is_some_and(|at| now.duration_since(at).is_ok_and(|ago| ago <= duration))
    }

    /// Gives the session's device a name for the user's list of sessions, such as "Firefox on Linux": call it
    /// beside [`log_in`](Self::log_in). A longer text is cut at 256 bytes. It is personal data, and
    /// nothing is noted unless this is called. If nobody is logged in, the call does nothing.
    pub fn set_device_label(&self, label: impl AsRef<str>) {
        let mut label = label.as_ref();
        while label.len() > MAX_LABEL {
            let end = (0..=MAX_LABEL).rev().find(|&at| label.is_char_boundary(at));
            label = &label[..end.unwrap_or(0)];
        }
        self.push_metadata(MetadataChange::Label(label.into()));
    }

    /// Lets the logged-in user act as another one, as support staff do. The session gets a new id and keeps
    /// its data; [`belongs_to`](Self::belongs_to) is true for the other user, whose list shows the
    /// session and whose end of all sessions ends it. So does the end of all sessions of the logged-in
    /// user. To act as oneself changes nothing.
    ///
    /// # Errors
    /// - [`NotLoggedIn`](SessionError::NotLoggedIn), when nobody is logged in, or the user acts as another
    ///   one already.
    /// - [`Encode`](SessionError::Encode), when the user is an empty text.
    pub fn impersonate(&self, user: impl Display) -> Result<(), SessionError> {
        let hashes = self.hashes(user)?;
        // Under one lock, as the other calls that change the user: a commit between the two steps would leave
        // the user's change to a write that keeps no lists.
        let mut state = self.state();
        let metadata = state.view().metadata();
        let (Some(actor), None) = (metadata.user, metadata.actor) else {
            drop(state);
            return Err(SessionError::NotLoggedIn.logged());
        };
        // By none of the secrets, so that no session stands in two lists of one user.
        let Some(user) = hashes.first().filter(|_| !hashes.contains(&actor)).cloned() else { return Ok(()) };
        state.change_id(NewId::Cycle);
        state.push(Change::Metadata(Arc::new(MetadataChange::Impersonate { actor, user })));
        Ok(())
    }

    /// Ends [`impersonate`](Self::impersonate): the session gets a new id and belongs to the user who has
    /// logged in. If nobody is impersonated, the call does nothing.
    pub fn stop_impersonating(&self) {
        let mut state = self.state();
        let actor = state.view().metadata().actor;
        if let Some(actor) = actor {
            state.change_id(NewId::Cycle);
            state.push(Change::Metadata(Arc::new(MetadataChange::StopImpersonating { actor })));
        }
    }

    /// Whether the logged-in user acts as another one.
    pub fn is_impersonated(&self) -> bool {
        self.state().view().metadata().actor.is_some()
    }

    /// The id of this session's record in the store, and what this crate keeps in it.
    pub(crate) fn stored_metadata(&self) -> Option<(SessionId, Metadata)> {
        let mut state = self.state();
        let stored = state.stored()?;
        Some((stored.id.clone(), Metadata::of(&stored.record)))
    }

    fn push_metadata(&self, change: MetadataChange) {
        self.state().push(Change::Metadata(Arc::new(change)));
    }

    /// The hashes of a user, newest first.
    fn hashes(&self, user: impl Display) -> Result<Vec<SmolStr>, SessionError> {
        let user = user.to_string();
        if user.is_empty() {
            return Err(SessionError::encode(METADATA, Refused::NoUser));
        }
        Ok(self.0.config.inner().keys().derived.users(&user))
    }
}
