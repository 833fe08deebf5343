//! [`State`]: what a [`Session`](crate::Session) knows between its calls. The stages of a session and the
//! legal transitions between them are listed at [`Stage`].

use std::time::{Duration, SystemTime};

use crate::clock::ErasedClock;
use crate::id::SessionId;
use crate::record::Record;
use crate::session::change::{Change, Log};
use crate::session::snapshot::Snapshot;
use crate::session::view::View;
use crate::store::loaded::Expiry;

/// A session's stage, the changes that are not yet written, and the progress of its commit.
///
/// Every access holds the state's lock, which is never held across an `await`.
pub(crate) struct State {
    pub(crate) origin: Origin,
    pub(crate) request_cookie: RequestCookie,
    pub(crate) stage: Stage,
    /// The changes that this request made since its last completed commit, oldest first.
    pub(crate) log: Log,
    /// The number of changes, from the start of the log, that the running commit writes. `None`: no commit is
    /// running, and none was dropped before its end.
    ///
    /// Invariant: the number is never larger than the log's length. [`push`](Self::push) does not merge a
    /// change into one of these, so [`finish_write`](Self::finish_write) can remove exactly what was written.
    in_flight: Option<usize>,
    /// Whether `touch()` was called since the last completed commit.
    pub(crate) touch: bool,
    pub(crate) commit_state: CommitState,
    /// What the response does to the cookie, as the commits of this request have decided so far.
    pub(crate) cookie_action: Option<CookieAction>,
}

/// The session's cookie in the browser, as far as this request knows: as the request brought it, and
/// `Present` once a commit has set it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RequestCookie {
    /// The request brought no cookie of the session's name.
    Absent,
    /// The request brought a cookie of the session's name, valid or not, or a commit has set one.
    Present,
    /// The cookie names this session but is signed with an older secret, so the next commit sets it again.
    OldSecret,
}

/// Where a session stands between the request and the store.
///
/// A session begins as `New`. The legal transitions, each with the method of [`State`] that makes it:
///
/// - `New` → `Existing`: `loaded`, when the request's cookie names a record in the store; `finish_write`,
///   when the commit has created the record.
/// - `New`, `Existing` → `NewId`: `change_id`. `replaces` is the existing session's snapshot, if there is
///   one.
/// - `NewId` → `NewId`: `change_id`. Another id takes the place of the unused one, `replaces` stays, and
///   `Regenerate` prevails over `Cycle`.
/// - `NewId` → `Existing`: `finish_write`, when the commit has stored the record under the new id;
///   `reloaded`, which drops the change of id.
/// - `Existing` → `Existing`: `finish_write` and `expiry_extended`, when the commit has replaced or touched
///   the record; `reloaded`, when the record was read again.
/// - `New`, `Existing`, `NewId` → `Destroyed`: `mark_destroyed`; `keep_ending`, when a request that has
///   regenerated an existing session fails. `stored` is the existing session's snapshot, if there is one.
/// - `Destroyed` → `Destroyed`: the commit that has removed the record clears `stored`. Apart from that the
///   stage is final: `change_id` and `mark_destroyed` do nothing, and `Session::reload` refuses.
///
/// Another handle may change the stage while a commit runs. `finish_write` then keeps the new stage, and puts
/// the snapshot of what was written into `replaces` or `stored`, so that the next commit removes that record.
///
/// Use these methods to change the stage. Only two other places write to it: `Session::id`, which fills in
/// the id of a `New` session, and the commit that has removed a destroyed session's record.
pub(crate) enum Stage {
    /// The session is not in the store. Its id is generated when it is first needed.
    New { id: Option<SessionId> },
    /// The session is in the store.
    Existing(Snapshot),
    /// The next commit stores the session under a new id, and removes the record that it `replaces`.
    NewId { id: SessionId, replaces: Option<Box<Snapshot>>, how: NewId },
    /// The next commit removes the record, if the session is in the store.
    Destroyed { stored: Option<Box<Snapshot>> },
}

/// What a session under a new id keeps of its data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NewId {
    /// Nothing: `regenerate()`.
    Regenerate,
    /// Everything: `cycle_id()`.
    Cycle,
}

/// How far the changes of this request have been committed.
///
/// The transitions:
///
/// - any → `Pending`: the session is changed or touched (`push`, `change_id`, `mark_destroyed`,
///   `Session::touch`).
/// - any → `Running`: a commit begins (`begin_commit`, or a commit that has nothing to write).
/// - `Running` → `Done`: the commit is complete (`end_commit`). Where another handle made a change meanwhile,
///   the state is `Pending`, and stays so.
/// - any → `Failed`: the commit returned an error (`failed`).
/// - any but `Done` → `Failed`: the layer gives the changes up after a server error.
///
/// A commit that is dropped before its end leaves `Running` behind, and the next commit starts from there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CommitState {
    /// There may be changes that no commit has taken up yet.
    Pending,
    /// A commit is running, or was dropped before its end. No change was made since it began.
    Running,
    /// The last commit failed and its caller has the error, or the layer has given the changes up. Dropping
    /// the session then logs no warning about lost changes.
    Failed,
    /// The last commit is complete, and no change was made since it began.
    Done,
}

/// What the response does to the session's cookie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CookieAction {
    Set,
    Expire,
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
            in_flight: None,
            touch: false,
            commit_state: CommitState::Pending,
            cookie_action: None,
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

    /// Appends a change to the log. A value set twice in a row under one key is kept once: the second change
    /// replaces the first.
    pub(crate) fn push(&mut self, change: Change) {
        self.commit_state = CommitState::Pending;
        if let (Some(Change::Set { key: last, .. }), Change::Set { key, .. }) = (self.log.last(), &change)
            && last == key
            // Invariant: the changes that the running commit writes stay as they are (see `in_flight`).
            && self.log.len() > self.in_flight.unwrap_or(0)
        {
            self.log.pop();
        }
        self.log.push(change);
    }

    /// Gives the session a new id from the next commit on. A destroyed session is left alone.
    pub(crate) fn change_id(&mut self, id: SessionId, how: NewId) {
        let placeholder = Stage::New { id: None };
        let (replaces, how) = match std::mem::replace(&mut self.stage, placeholder) {
            Stage::Destroyed { stored } => {
                self.stage = Stage::Destroyed { stored };
                return;
            }
            Stage::New { .. } => (None, how),
            Stage::Existing(snapshot) => (Some(Box::new(snapshot)), how),
            // Regenerating prevails: after `cycle_id` it drops the data, and before `cycle_id` it leaves no
            // data to keep.
            Stage::NewId { replaces, how: NewId::Regenerate, .. } => (replaces, NewId::Regenerate),
            Stage::NewId { replaces, how: NewId::Cycle, .. } => (replaces, how),
        };
        self.commit_state = CommitState::Pending;
        self.stage = Stage::NewId { id, replaces, how };
    }

    /// Drops the changes, and lets the next commit remove the record.
    pub(crate) fn mark_destroyed(&mut self) {
        let placeholder = Stage::New { id: None };
        let stored = match std::mem::replace(&mut self.stage, placeholder) {
            Stage::Existing(snapshot) => Some(Box::new(snapshot)),
            Stage::NewId { replaces, .. } => replaces,
            Stage::New { .. } => None,
            Stage::Destroyed { stored } => {
                self.stage = Stage::Destroyed { stored };
                return;
            }
        };
        self.stage = Stage::Destroyed { stored };
        self.commit_state = CommitState::Pending;
        self.forget_changes();
    }

    /// Of what this request did, keeps only that `destroy` or `regenerate` has ended an existing session.
    /// Returns whether one has ended.
    pub(crate) fn keep_ending(&mut self) -> bool {
        if let Stage::NewId { how: NewId::Regenerate, replaces: replaces @ Some(_), .. } = &mut self.stage {
            self.stage = Stage::Destroyed { stored: replaces.take() };
            self.commit_state = CommitState::Pending;
            self.forget_changes();
        }
        self.is_destroyed()
    }

    /// Drops the changes of this request, including those that a running commit writes.
    pub(crate) fn forget_changes(&mut self) {
        self.log.clear();
        self.in_flight = self.in_flight.map(|_| 0);
    }

    /// Continues from a record that was read again from the store. The changes of this request are dropped.
    pub(crate) fn reloaded(&mut self, snapshot: Snapshot) {
        self.stage = Stage::Existing(snapshot);
        self.forget_changes();
    }

    /// Begins a commit of the whole log, and returns a copy of it.
    pub(crate) fn begin_commit(&mut self) -> Log {
        // Invariant: `in_flight` is at most the log's length.
        self.in_flight = Some(self.log.len());
        self.commit_state = CommitState::Running;
        self.log.clone()
    }

    /// Removes from the log the changes that the commit has written. `written` is what the store holds now.
    pub(crate) fn finish_write(&mut self, written: Snapshot) {
        let in_flight = self.in_flight.take().unwrap_or(0);
        // Invariant: `push` keeps these changes, and `forget_changes` sets their number to zero.
        debug_assert!(in_flight <= self.log.len());
        self.log.drain(..in_flight.min(self.log.len()));
        match &mut self.stage {
            // Another handle has changed the stage during the write. The next commit continues from the
            // written record.
            Stage::Destroyed { stored } => *stored = Some(Box::new(written)),
            Stage::NewId { id, replaces, .. } if *id != written.id => *replaces = Some(Box::new(written)),
            Stage::New { .. } | Stage::Existing(_) | Stage::NewId { .. } => {
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
            Stage::Destroyed { stored } => stored.as_deref_mut(),
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

    /// Notes that the commit returned an error.
    pub(crate) fn failed(&mut self) {
        self.in_flight = None;
        self.commit_state = CommitState::Failed;
    }

    /// Whether a commit is running, or was dropped before its end.
    pub(crate) fn is_in_flight(&self) -> bool {
        self.in_flight.is_some()
    }

    /// Ends a successful commit, and notes what it decided about the cookie. Changes that another handle made
    /// meanwhile stay for the next commit.
    pub(crate) fn end_commit(&mut self, cookie_action: Option<CookieAction>) {
        self.in_flight = None;
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
                Stage::NewId { .. } | Stage::Destroyed { stored: Some(_) } => true,
                Stage::New { .. } | Stage::Existing(_) | Stage::Destroyed { stored: None } => {
                    self.view().is_modified(configured)
                }
            }
    }
}

/// Where a session comes from: the store, or why it is a new one.
///
/// When a request brings several cookies of the session's name and none of them can be loaded, each cookie
/// has an origin, and the session has the last of them in the order of the variants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// The request carried no cookie of the session's name.
    NoCookie,
    /// None of the secrets signed the cookie.
    BadSignature,
    /// The cookie is signed, but the store has no record under its id: the session expired or was destroyed.
    Unknown,
    /// The store holds something under the cookie's id that cannot be read as a session record. The stored
    /// bytes are left as they are, and the session gets a new id.
    Undecodable,
    /// The session was loaded from the store: it is an existing session.
    Loaded,
}
