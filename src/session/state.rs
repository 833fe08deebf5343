//! [`State`]: what a [`Session`](crate::Session) knows between its calls. [`Stage`] lists the
//! stages of a session and the legal transitions between them.

use std::time::{Duration, SystemTime};

use crate::clock::ErasedClock;
use crate::id::SessionId;
use crate::record::Record;
use crate::session::change::{Change, Log};
use crate::session::origin::{Origin, RequestCookie};
use crate::session::snapshot::Snapshot;
use crate::session::stage::{CommitState, NewId, PendingId, Removal, Stage, Unfinished};
use crate::session::view::View;
use crate::store::joint::Sent;
use crate::store::loaded::Expiry;
use crate::store::watched::Unstored;

/// A session's stage, the changes that are not yet written, and the progress of its commit.
///
/// Every access holds the state's lock, which is never held across an `await`.
pub(crate) struct State {
    pub(crate) origin: Origin,
    pub(crate) request_cookie: RequestCookie,
    pub(crate) stage: Stage,
    /// The changes that this request made since its last completed commit, oldest first.
    pub(crate) log: Log,
    /// How often the stage was changed by a call of the handler. A running commit notices by it that another
    /// handle has changed the stage meanwhile.
    pub(super) stage_changes: u32,
    /// What the running commit writes. `None`: no commit is running, and none was dropped before its end.
    in_flight: Option<InFlight>,
    /// The writes of earlier commits that got no answer.
    ///
    /// Invariant: none of them wrote more changes than the log has, and [`State::push`] merges no change
    /// into those.
    unanswered: Vec<Attempt>,
    /// The ids of new records that commits of this request have stored before they failed, and that the session will not
    /// have: the next commit that ends the session or gives it a new id removes them.
    pub(crate) left_behind: Vec<SessionId>,
    /// Whether `touch()` was called since the last completed commit.
    pub(crate) touch: bool,
    pub(crate) commit_state: CommitState,
    /// What the response does to the cookie, as the commits of this request have decided so far.
    pub(crate) cookie_action: Option<CookieAction>,
    /// The id under which the next commit stores the session, if somebody waits for its end already.
    pub(super) unstored: Option<Box<Unstored>>,
    /// Whether this request asks the browser to bind the session to its device.
    #[cfg(feature = "dbsc")]
    pub(crate) asks_device: bool,
}

/// What a commit that has begun writes.
#[derive(Clone, Copy)]
struct InFlight {
    /// The number of changes, from the start of the log.
    ///
    /// Invariant: the number is never larger than the log's length. [`State::push`] does not merge a change
    /// into one of these, so [`State::finish_write`] can remove exactly what was written.
    changes: usize,
    /// [`State::stage_changes`] when the commit began.
    stage_changes: u32,
}

/// A write without an answer: the store may have carried it out, and may not. A later commit that learns that
/// its changes are in does not make them again.
#[derive(Clone)]
pub(crate) struct Attempt {
    pub(crate) sent: Sent,
    /// The number of changes that the write contains, from the start of the log.
    pub(crate) changes: usize,
}

/// What the response does to the session's cookie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CookieAction {
    Set,
    Expire,
}

impl Attempt {
    /// Takes away the oldest changes, which the store is known to have. Returns whether any are left.
    pub(crate) fn outlast(&mut self, written: usize) -> bool {
        self.changes = self.changes.saturating_sub(written);
        self.changes > 0
    }
}

impl State {
    /// The state before anything is loaded: a new session, from a request without a cookie.
    #[inline]
    pub(crate) fn new() -> Self {
        Self {
            origin: Origin::NoCookie,
            request_cookie: RequestCookie::Absent,
            stage: Stage::New { id: None },
            log: Log::new(),
            stage_changes: 0,
            in_flight: None,
            unanswered: Vec::new(),
            left_behind: Vec::new(),
            touch: false,
            commit_state: CommitState::Pending,
            cookie_action: None,
            unstored: None,
            #[cfg(feature = "dbsc")]
            asks_device: false,
        }
    }

    /// Takes up the record that the request's cookie names.
    pub(crate) fn loaded(&mut self, snapshot: Snapshot) {
        self.origin = Origin::Loaded;
        self.request_cookie =
            if snapshot.signature.is_some() { RequestCookie::Present } else { RequestCookie::OldSecret };
        self.stage = Stage::Existing(snapshot);
    }

    /// Notes that the request brought a cookie, and why it names no existing session: the session stays new.
    pub(crate) fn not_loaded(&mut self, origin: Origin) {
        self.origin = origin;
        self.request_cookie = RequestCookie::Present;
    }

    /// The session as this request sees it, with its changes applied.
    pub(crate) fn view(&self) -> View<'_> {
        View { base: self.base(), log: &self.log }
    }

    /// The record under the changes. A regenerated or destroyed session has none: it shows no stored data.
    fn base(&self) -> Option<&Record> {
        match &self.stage {
            Stage::Existing(snapshot) => Some(&snapshot.record),
            Stage::NewId { replaces: Some(snapshot), how: NewId::Cycle, .. } => Some(&snapshot.record),
            Stage::New { .. } | Stage::NewId { .. } | Stage::Destroyed { .. } => None,
        }
    }

    pub(crate) fn is_destroyed(&self) -> bool {
        matches!(self.stage, Stage::Destroyed { .. })
    }

    /// Whether the session was destroyed, and no commit has begun a new one since.
    pub(crate) fn has_ended(&self) -> bool {
        matches!(self.stage, Stage::Destroyed { .. } | Stage::NewId { how: NewId::AfterDestroy, .. })
    }

    /// The id under which the next commit stores the session, or the id of the record that it removes.
    /// `None`: the id is not chosen yet.
    pub(crate) fn id(&self) -> Option<&SessionId> {
        match &self.stage {
            Stage::New { id } | Stage::Destroyed { stored: None, next_id: id } => id.as_ref(),
            Stage::NewId { id, .. } => id.get(),
            Stage::Existing(snapshot) => Some(&snapshot.id),
            Stage::Destroyed { stored: Some(snapshot), .. } => Some(&snapshot.id),
        }
    }

    /// Appends a change to the log. A value set twice in a row under one key is kept once: the second change
    /// replaces the first.
    ///
    /// In a destroyed session a value or a flash message begins a new session; every other change has nothing
    /// to change.
    pub(crate) fn push(&mut self, change: Change) {
        if let Stage::Destroyed { stored, next_id } = &mut self.stage {
            if !change.adds() {
                return;
            }
            let (id, replaces) = (PendingId::chosen(next_id.take()), stored.take());
            let removal = Removal::NotAsked;
            self.stage = Stage::NewId { id, replaces, how: NewId::AfterDestroy, removal };
            self.stage_changes += 1;
        }
        self.commit_state = CommitState::Pending;
        if let (Some(Change::Set { key: last, .. }), Change::Set { key, .. }) = (self.log.last(), &change)
            && last == key
            // Invariant: the changes that a commit writes or has tried to write stay as they are (see `in_flight` and
            // `unanswered`).
            && self.log.len() > self.attempted_changes()
        {
            self.log.pop();
        }
        self.log.push(change);
    }

    /// The number of changes that a commit writes or has tried to write, from the start of the log.
    fn attempted_changes(&self) -> usize {
        let running = self.in_flight.map_or(0, |in_flight| in_flight.changes);
        self.unanswered.iter().fold(running, |most, attempt| most.max(attempt.changes))
    }

    /// Takes the changes of this request away, including those that a running commit writes. They are to be dropped
    /// when the lock on this state is free: what an `update` has captured is the program's own.
    #[must_use]
    pub(crate) fn forget_changes(&mut self) -> Log {
        self.unanswered.clear();
        self.in_flight = self.in_flight.map(|in_flight| InFlight { changes: 0, ..in_flight });
        std::mem::take(&mut self.log)
    }

    /// How often the stage was changed by a call of the handler, to notice that another handle does so
    /// meanwhile.
    pub(crate) fn stage_changes(&self) -> u32 {
        self.stage_changes
    }

    /// Begins a commit of the whole log, and returns a copy of it.
    pub(crate) fn begin_commit(&mut self) -> Log {
        // Invariant: `in_flight` is at most the log's length.
        self.in_flight = Some(InFlight { changes: self.log.len(), stage_changes: self.stage_changes });
        self.commit_state = CommitState::Running;
        self.log.clone()
    }

    /// Removes from the log the changes that the commit has written. `written` is what the store holds now.
    pub(crate) fn finish_write(&mut self, written: Snapshot) {
        let is_changed = self.is_stage_changed();
        let changes = self.in_flight.take().map_or(0, |in_flight| in_flight.changes);
        // Invariant: `push` keeps these changes, and `forget_changes` sets their number to zero.
        debug_assert!(changes <= self.log.len());
        self.log.drain(..changes.min(self.log.len()));
        self.unanswered.clear();
        if !is_changed && let Some(unstored) = self.unstored.take() {
            unstored.stored(&written.id);
        }
        self.left_behind.retain(|left| *left != written.id);
        match &mut self.stage {
            // Another handle has changed the stage during the write. The next commit continues from the
            // written record.
            Stage::Destroyed { stored, .. } if is_changed => *stored = Some(Box::new(written)),
            Stage::NewId { replaces, removal, .. } if is_changed => {
                (*replaces, *removal) = (Some(Box::new(written)), Removal::NotAsked);
            }
            Stage::New { .. } | Stage::Existing(_) | Stage::NewId { .. } | Stage::Destroyed { .. } => {
                self.stage = Stage::Existing(written)
            }
        }
    }

    /// Notes the record's new expiry after the commit has touched the record.
    pub(crate) fn expiry_extended(&mut self, expires: Expiry) {
        if let Stage::Existing(snapshot) = &mut self.stage {
            snapshot.expires = expires;
        }
    }

    /// The snapshot of this session's record in the store, if this request knows of one.
    pub(crate) fn stored(&mut self) -> Option<&mut Snapshot> {
        match &mut self.stage {
            Stage::Existing(snapshot) => Some(snapshot),
            Stage::NewId { replaces, .. } => replaces.as_deref_mut(),
            Stage::Destroyed { stored, .. } => stored.as_deref_mut(),
            Stage::New { .. } => None,
        }
    }

    /// When an existing session's record expires in the store; `None` in every other stage.
    pub(crate) fn expires(&mut self, clock: &ErasedClock) -> Option<SystemTime> {
        match &mut self.stage {
            Stage::Existing(snapshot) => Some(snapshot.expires.date(clock)),
            Stage::New { .. } | Stage::NewId { .. } | Stage::Destroyed { .. } => None,
        }
    }

    /// The writes of earlier commits that got no answer.
    pub(crate) fn unanswered(&self) -> &[Attempt] {
        &self.unanswered
    }

    /// Notes a write that a commit has begun and whose outcome it does not know. It contains every change that
    /// the commit writes.
    pub(crate) fn note_attempt(&mut self, sent: Sent) {
        // `forget_changes` sets this number to zero: the commit then wrote changes that the log no longer
        // has.
        let changes = self.in_flight.map_or(0, |in_flight| in_flight.changes);
        if changes > 0 {
            self.unanswered.push(Attempt { sent, changes });
        }
    }

    /// Notes that the commit returned an error.
    pub(crate) fn failed(&mut self, unfinished: &Unfinished) {
        self.leave(unfinished);
        self.in_flight = None;
        self.commit_state = CommitState::Failed;
    }

    /// Notes that the commit was dropped before its end.
    pub(crate) fn dropped(&mut self, unfinished: &Unfinished) {
        self.leave(unfinished);
        self.in_flight = None;
    }

    /// Whether another handle has changed the stage since the running commit began.
    pub(super) fn is_stage_changed(&self) -> bool {
        self.in_flight.is_some_and(|in_flight| in_flight.stage_changes != self.stage_changes)
    }

    /// Notes that the commit has removed the record of a destroyed session. If another handle has begun a new
    /// session meanwhile, that one has nothing to remove any more.
    pub(crate) fn record_destroyed(&mut self) {
        match &mut self.stage {
            Stage::Destroyed { stored, .. } => *stored = None,
            Stage::NewId { replaces, .. } => *replaces = None,
            Stage::New { .. } | Stage::Existing(_) => {}
        }
    }

    /// Notes that the store has said that the record is gone: no response sets a cookie for it.
    pub(crate) fn record_is_gone(&mut self) {
        self.cookie_action = self.cookie_action.filter(|action| *action == CookieAction::Expire);
    }

    /// Whether a commit is running, or was dropped before its end.
    pub(crate) fn is_in_flight(&self) -> bool {
        self.in_flight.is_some()
    }

    /// Ends a successful commit, and notes what it decided about the cookie. Changes that another handle made
    /// meanwhile stay for the next commit.
    pub(crate) fn end_commit(&mut self, cookie_action: Option<CookieAction>) {
        let is_existing = matches!(self.stage, Stage::Existing(_));
        if let Some(InFlight { changes, .. }) = self.in_flight.take()
            && is_existing
        {
            // The commit has found that they change nothing. A later one must not make them again on a record
            // that another request has written.
            self.log.drain(..changes.min(self.log.len()));
            self.unanswered.clear();
        }
        if self.commit_state == CommitState::Running {
            self.touch = false;
            self.commit_state = CommitState::Done;
        }
        if cookie_action.is_some() {
            self.cookie_action = cookie_action;
        }
    }

    /// Whether dropping the session would lose changes silently: a commit would write them, and no commit of
    /// them has failed. The drop then logs a warning.
    pub(crate) fn is_pending(&self, configured: Option<Duration>) -> bool {
        matches!(self.commit_state, CommitState::Pending | CommitState::Running)
            && match &self.stage {
                Stage::NewId { .. } | Stage::Destroyed { stored: Some(_), .. } => true,
                Stage::New { .. } | Stage::Existing(_) | Stage::Destroyed { stored: None, .. } => {
                    self.view().is_modified(configured)
                }
            }
    }
}
