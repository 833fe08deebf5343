//! The identity of a session: its id, changes of the id, and the end of the session.

use crate::id::SessionId;
use crate::session::Session;
use crate::session::state::{NewId, Stage};

impl Session {
    /// The id under which the next commit stores the session.
    ///
    /// For a destroyed session it is the id of the record that is removed.
    pub fn id(&self) -> SessionId {
        if let Some(id) = self.known_id() {
            return id;
        }
        // `genid` is the user's code, so it runs without the lock on the state.
        let fresh = self.0.config.inner().new_id();
        match &mut self.state().stage {
            Stage::New { id } => id.get_or_insert(fresh).clone(),
            Stage::Existing(snapshot) => snapshot.id.clone(),
            Stage::Destroyed { stored: Some(snapshot) } => snapshot.id.clone(),
            Stage::NewId { id, .. } => id.clone(),
            // Nothing is stored under any id, so any unused id is a true answer.
            Stage::Destroyed { stored: None } => fresh,
        }
    }

    /// The id, unless it has still to be generated.
    fn known_id(&self) -> Option<SessionId> {
        match &self.state().stage {
            Stage::New { id } => id.clone(),
            Stage::Existing(snapshot) => Some(snapshot.id.clone()),
            Stage::Destroyed { stored } => stored.as_ref().map(|snapshot| snapshot.id.clone()),
            Stage::NewId { id, .. } => Some(id.clone()),
        }
    }

    /// Whether the store does not yet hold this session's data: the session is new, or was given a new id
    /// without data by [`regenerate`](Self::regenerate). A destroyed session is not new.
    pub fn is_new(&self) -> bool {
        match &self.state().stage {
            Stage::New { .. } | Stage::NewId { replaces: None, .. } => true,
            Stage::NewId { how, .. } => *how == NewId::Regenerate,
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
        let id = self.0.config.inner().new_id();
        let mut state = self.state();
        if !state.is_destroyed() {
            state.forget_changes();
        }
        state.change_id(id, NewId::Regenerate);
    }

    /// Gives the session a new id, and keeps the data, the flash messages and the max-age.
    ///
    /// Call it at login: an attacker may have planted the old id in the browser before (session fixation).
    /// The next commit stores the record under the new id first and then removes the old record. After
    /// [`destroy`](Self::destroy) the call does nothing.
    pub fn cycle_id(&self) {
        let id = self.0.config.inner().new_id();
        self.state().change_id(id, NewId::Cycle);
    }

    /// Ends the session, for example at logout: the next commit removes the record and expires the cookie.
    ///
    /// Later reads in this request see an empty session, and later writes return
    /// [`SessionError::Destroyed`](crate::SessionError::Destroyed).
    pub fn destroy(&self) {
        self.state().mark_destroyed();
    }
}
