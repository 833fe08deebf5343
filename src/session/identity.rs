//! Which session it is: its id, new ids, and its end.

use crate::id::SessionId;
use crate::session::Session;
use crate::session::state::{NewId, Stage};

impl Session {
    /// The id this session will have after the next commit.
    pub fn id(&self) -> SessionId {
        let mut state = self.state();
        match &mut state.stage {
            Stage::New { id } => id.get_or_insert_with(|| self.0.config.inner().new_id()).clone(),
            Stage::Existing(snapshot) => snapshot.id.clone(),
            Stage::Destroyed { stored: Some(snapshot) } => snapshot.id.clone(),
            Stage::NewId { id, .. } => id.clone(),
            Stage::Destroyed { stored: None } => self.0.config.inner().new_id(),
        }
    }

    /// Whether the store holds nothing of this session yet.
    pub fn is_new(&self) -> bool {
        match &self.state().stage {
            Stage::New { .. } | Stage::NewId { replaces: None, .. } => true,
            Stage::NewId { how, .. } => *how == NewId::Regenerate,
            Stage::Existing(_) | Stage::Destroyed { .. } => false,
        }
    }

    /// Whether the store holds something of this session that this request did not end.
    pub(crate) fn is_live(&self) -> bool {
        match &self.state().stage {
            Stage::Existing(_) | Stage::NewId { replaces: Some(_), .. } => true,
            Stage::New { .. } | Stage::NewId { replaces: None, .. } | Stage::Destroyed { .. } => false,
        }
    }

    /// A new id and nothing else: no data, no flash messages, the configured max-age. At commit the new record is stored
    /// first and the old one removed after.
    pub fn regenerate(&self) {
        let mut state = self.state();
        if !state.is_destroyed() {
            state.forget_changes();
        }
        state.change_id(self.0.config.inner().new_id(), NewId::Regenerate);
    }

    /// A new id with the same data and flash messages. Call it at login, so that an id planted before is worth nothing.
    pub fn cycle_id(&self) {
        self.state().change_id(self.0.config.inner().new_id(), NewId::Cycle);
    }

    /// Ends the session: at commit the record is removed and the cookie expired. Later writes in this request give
    /// [`SessionError::Destroyed`].
    pub fn destroy(&self) {
        self.state().mark_destroyed();
    }
}
