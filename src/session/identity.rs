//! The identity of a session: its id, changes of the id, and the end of the session.

use crate::id::SessionId;
use crate::session::Session;
use crate::session::stage::{NewId, Stage};

impl Session {
    /// The id under which the next commit stores the session.
    ///
    /// The commit takes another one if that id is taken, or if the session has ended meanwhile and a new one
    /// begins, and after a commit whose new record got no answer from the store it is another one; ask again
    /// after each commit. For a destroyed session it is the id of the record that is removed.
    pub fn id(&self) -> SessionId {
        loop {
            if let Some(id) = self.state().id() {
                return id.clone();
            }
            // `genid` is the program's own code, so it runs without the state's lock. If another handle has
            // chosen an id meanwhile, that id stays.
            let id = self.0.config.inner().new_id();
            self.state().choose_id(id);
        }
    }

    /// Whether the store does not yet hold this session's data: the session is new, or was given a new id
    /// without data by [`regenerate`](Self::regenerate). A destroyed session is not new.
    pub fn is_new(&self) -> bool {
        match &self.state().stage {
            Stage::New { .. } | Stage::NewId { replaces: None, .. } => true,
            Stage::NewId { how, .. } => *how != NewId::Cycle,
            Stage::Existing(_) | Stage::Destroyed { .. } => false,
        }
    }

    /// Whether the store holds a record of this session, and this request did not destroy the session.
    pub(crate) fn is_live(&self) -> bool {
        match &self.state().stage {
            Stage::Existing(_) | Stage::NewId { replaces: Some(_), .. } => true,
            Stage::New { .. } | Stage::NewId { replaces: None, .. } | Stage::Destroyed { .. } => false,
        }
    }

    /// Starts over under a new id: without data, without flash messages, and with the configured max-age.
    ///
    /// The next commit stores the new record first and then removes the old one, so that an error in between
    /// leaves the old session working. To keep the data, use [`cycle_id`](Self::cycle_id). After
    /// [`destroy`](Self::destroy) the call does nothing.
    pub fn regenerate(&self) {
        // Declared before the lock, so dropped after it.
        let _changes;
        let mut state = self.state();
        #[cfg(feature = "dbsc")]
        let is_bound = state.view().metadata().dbsc.is_some();
        if !state.is_destroyed() {
            _changes = state.forget_changes();
        }
        state.change_id(NewId::Regenerate);
        #[cfg(feature = "dbsc")]
        self.bind_anew(state, is_bound);
    }

    /// Gives the session a new id, and keeps the data, the flash messages and the max-age.
    ///
    /// Call it at login: an attacker may have planted the old id in the browser before (session fixation).
    /// The next commit stores the record under the new id first and then removes the old record. After
    /// [`destroy`](Self::destroy) the call does nothing.
    pub fn cycle_id(&self) {
        self.state().change_id(NewId::Cycle);
    }

    /// Ends the session, for example at logout: the next commit removes the record and expires the cookie.
    ///
    /// Later reads in this request see an empty session. A value or a flash message that is written
    /// afterwards begins a new session under a new id, and the old record is removed all the same:
    ///
    /// ```
    /// # use sessile::{Session, SessionError, SessionGuard};
    /// async fn log_out(session: Session) -> Result<SessionGuard, SessionError> {
    ///     session.destroy();
    ///     session.flash("info", "You are logged out.")?;
    ///     session.commit().await
    /// }
    /// ```
    ///
    /// Until the next commit, [`save`](Self::save) and [`reload`](Self::reload) return
    /// [`SessionError::Destroyed`](crate::SessionError::Destroyed);
    /// [`touch`](Self::touch), [`clear`](Self::clear), [`regenerate`](Self::regenerate) and
    /// [`cycle_id`](Self::cycle_id) do nothing.
    pub fn destroy(&self) {
        let _changes = self.state().mark_destroyed();
    }

    /// Logs the user out: the same as [`destroy`](Self::destroy).
    pub fn log_out(&self) {
        self.destroy();
    }
}
