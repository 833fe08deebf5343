//! How calls of the handler change a session's stage: a new id, its end, and what is left of a failed
//! request.

use crate::id::SessionId;
use crate::session::change::Log;
use crate::session::origin::{Origin, RequestCookie};
use crate::session::snapshot::Snapshot;
use crate::session::stage::{CommitState, NewId, PendingId, Removal, Stage, Unfinished};
use crate::session::state::{CookieAction, State};
use crate::store::watched::Ended;

impl State {
    /// Takes up a record that was created while this state was locked.
    pub(crate) fn created_in_place(&mut self, snapshot: Snapshot) {
        if let Some(unstored) = self.unstored.take() {
            unstored.stored(&snapshot.id);
        }
        self.stage = Stage::Existing(snapshot);
    }

    /// Begins and ends a commit of the whole log, while this state was locked: what `begin_commit` and `end_commit`
    /// do where others can come between. Returns the changes that it has made.
    #[must_use]
    pub(crate) fn committed_in_place(&mut self, cookie_action: Option<CookieAction>) -> Option<Log> {
        let changes = matches!(self.stage, Stage::Existing(_)).then(|| self.forget_changes());
        self.touch = false;
        self.commit_state = CommitState::Done;
        if cookie_action.is_some() {
            self.cookie_action = cookie_action;
        }
        changes
    }

    /// Continues from a record that was read again from the store, and returns the changes of this request; except
    /// that another handle has ended the session or changed its id since `stage_changes` was read.
    pub(crate) fn reloaded(&mut self, snapshot: Snapshot, stage_changes: u32) -> Option<Log> {
        (self.stage_changes == stage_changes).then(|| {
            if let Stage::NewId { id, .. } = std::mem::replace(&mut self.stage, Stage::Existing(snapshot)) {
                self.abandon(id);
            }
            self.unstored = None;
            self.forget_changes()
        })
    }

    /// Takes up a session that came from another library, by that library's cookie.
    pub(crate) fn adopted(&mut self, snapshot: Snapshot) {
        self.origin = Origin::Loaded;
        self.request_cookie = RequestCookie::Adopted;
        self.stage = Stage::Existing(snapshot);
    }

    /// Chooses the id of a session that has none yet.
    pub(crate) fn choose_id(&mut self, chosen: SessionId) {
        match &mut self.stage {
            Stage::New { id } | Stage::Destroyed { stored: None, next_id: id } => {
                id.get_or_insert(chosen);
            }
            Stage::NewId { id: id @ PendingId::NotChosen, .. } => *id = PendingId::Chosen(chosen),
            Stage::NewId { .. } | Stage::Existing(_) | Stage::Destroyed { .. } => {}
        }
    }

    /// Takes up what a commit has left that failed, or was dropped, unless another handle has changed the stage
    /// meanwhile.
    pub(crate) fn leave(&mut self, unfinished: &Unfinished) {
        if self.is_stage_changed() {
            if let Stage::NewId { removal, .. } = &mut self.stage {
                *removal = unfinished.removal.clone();
            }
            self.abandon(unfinished.id.clone());
            return;
        }
        match &mut self.stage {
            Stage::New { id } => *id = unfinished.id.get().cloned(),
            Stage::NewId { id, removal, .. } => {
                (*id, *removal) = (unfinished.id.clone(), unfinished.removal.clone());
            }
            Stage::Existing(_) | Stage::Destroyed { .. } => {}
        }
    }

    /// Leaves a new id that the session is not to have.
    fn abandon(&mut self, id: PendingId) {
        if let PendingId::Stored(id) = id {
            self.left_behind.push(id);
        }
    }

    /// Gives the session a new id from the next commit on. A destroyed session is left alone.
    pub(crate) fn change_id(&mut self, how: NewId) {
        let placeholder = Stage::New { id: None };
        let (replaces, how, removal) = match std::mem::replace(&mut self.stage, placeholder) {
            destroyed @ Stage::Destroyed { .. } => {
                self.stage = destroyed;
                return;
            }
            // Nobody was told the id, and the session may stand in its user's list under it.
            cycling @ Stage::NewId { id: PendingId::Stored(_), how: NewId::Cycle, .. }
                if how == NewId::Cycle && !self.is_in_flight() =>
            {
                self.stage = cycling;
                self.commit_state = CommitState::Pending;
                return;
            }
            Stage::New { .. } => (None, how, Removal::NotAsked),
            Stage::Existing(snapshot) => (Some(Box::new(snapshot)), how, Removal::NotAsked),
            // Regenerating prevails: after `cycle_id` it drops the data, and before `cycle_id` it leaves no
            // data to keep.
            Stage::NewId { id, replaces, how: before, removal } => {
                self.abandon(id);
                (replaces, if before == NewId::Cycle { how } else { before }, removal)
            }
        };
        self.leave_unstored(if how == NewId::Cycle { Ended::Moved } else { Ended::Destroyed });
        self.commit_state = CommitState::Pending;
        self.stage = Stage::NewId { id: PendingId::NotChosen, replaces, how, removal };
        self.stage_changes += 1;
    }

    /// Lets the next commit remove the record, and returns the changes that it drops.
    #[must_use]
    pub(crate) fn mark_destroyed(&mut self) -> Option<Log> {
        let placeholder = Stage::New { id: None };
        let stored = match std::mem::replace(&mut self.stage, placeholder) {
            Stage::Existing(snapshot) => Some(Box::new(snapshot)),
            Stage::NewId { id, replaces, .. } => {
                self.abandon(id);
                replaces
            }
            Stage::New { .. } => None,
            destroyed @ Stage::Destroyed { .. } => {
                self.stage = destroyed;
                return None;
            }
        };
        self.leave_unstored(Ended::Destroyed);
        self.stage = Stage::Destroyed { stored, next_id: None };
        self.stage_changes += 1;
        self.commit_state = CommitState::Pending;
        Some(self.forget_changes())
    }

    /// Of what this request did, keeps only that `destroy` or `regenerate` has ended an existing session.
    /// Returns whether one has ended, and the changes that it drops.
    #[must_use]
    pub(crate) fn keep_ending(&mut self) -> (bool, Option<Log>) {
        let mut changes = None;
        if let Stage::NewId {
            how: NewId::Regenerate | NewId::AfterDestroy,
            replaces: replaces @ Some(_),
            id,
            ..
        } = &mut self.stage
        {
            let (id, stored) = (id.clone(), replaces.take());
            self.abandon(id);
            self.stage = Stage::Destroyed { stored, next_id: None };
            self.leave_unstored(Ended::Destroyed);
            self.stage_changes += 1;
            self.commit_state = CommitState::Pending;
            changes = Some(self.forget_changes());
        }
        (self.is_destroyed(), changes)
    }
}
