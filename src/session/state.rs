//! What a [`Session`](crate::Session) knows between its calls, and the moves it can make.

use std::time::{Duration, SystemTime};

use crate::clock::ErasedClock;
use crate::id::SessionId;
use crate::record::Record;
use crate::session::change::{Change, Log};
use crate::session::snapshot::Snapshot;
use crate::session::view::View;
use crate::store::loaded::Expiry;

/// A session and where its next commit will take it.
pub(crate) struct State {
    pub(crate) origin: Origin,
    /// The cookie of the name in the request.
    pub(crate) request_cookie: RequestCookie,
    pub(crate) stage: Stage,
    /// What this request did since the last commit.
    pub(crate) log: Log,
    /// So many entries of the log are being written right now; they are not to be merged with later ones. `None`: no
    /// commit is under way, and none was dropped before its end.
    in_flight: Option<usize>,
    /// `touch()` was called.
    pub(crate) touch: bool,
    pub(crate) commit_state: CommitState,
    /// What commits of this request have decided of the cookie.
    pub(crate) cookie_action: Option<CookieAction>,
}

/// The session's cookie in the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RequestCookie {
    Absent,
    /// There was one of the name.
    Present,
    /// It was signed with an older secret.
    OldSecret,
}

pub(crate) enum Stage {
    /// Not in the store. The id is minted when somebody asks for it.
    New { id: Option<SessionId> },
    /// In the store.
    Existing(Snapshot),
    /// To be stored under a new id, in the place of `replaces`.
    NewId { id: SessionId, replaces: Option<Box<Snapshot>>, how: NewId },
    /// To be removed from the store, if it is there.
    Destroyed { stored: Option<Box<Snapshot>> },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NewId {
    /// With no data.
    Regenerate,
    /// With the same data.
    Cycle,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CommitState {
    /// Nothing was committed since the last change.
    Pending,
    /// A commit is under way, or was dropped before its end; nothing changed since it began.
    Running,
    /// A commit was tried and failed, and the handler was told so; or the layer gave the changes up.
    Failed,
    /// Everything is in the store.
    Done,
}

/// What the request's response is to do to the cookie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CookieAction {
    Set,
    Expire,
}

impl State {
    /// Nothing is known of the session yet.
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

    /// The request's cookie names this record.
    pub(crate) fn loaded(&mut self, snapshot: Snapshot) {
        self.origin = Origin::Loaded;
        self.request_cookie =
            if snapshot.signature.is_some() { RequestCookie::Present } else { RequestCookie::OldSecret };
        self.stage = Stage::Existing(snapshot);
    }

    /// The request's cookie names nothing that this session could be.
    pub(crate) fn not_loaded(&mut self, origin: Origin) {
        self.origin = origin;
        self.request_cookie = RequestCookie::Present;
    }

    pub(crate) fn view(&self) -> View<'_> {
        View { base: self.base(), log: &self.log }
    }

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

    /// Notes a change. One that makes the last one on the same key moot takes its place.
    pub(crate) fn push(&mut self, change: Change) {
        self.commit_state = CommitState::Pending;
        if let (Some(Change::Set { key: last, .. }), Change::Set { key, .. }) = (self.log.last(), &change)
            && last == key
            && self.log.len() > self.in_flight.unwrap_or(0)
        {
            self.log.pop();
        }
        self.log.push(change);
    }

    /// A new id at the next commit.
    pub(crate) fn change_id(&mut self, id: SessionId, how: NewId) {
        let nowhere = Stage::New { id: None };
        let (replaces, how) = match std::mem::replace(&mut self.stage, nowhere) {
            Stage::Destroyed { stored } => {
                self.stage = Stage::Destroyed { stored };
                return;
            }
            Stage::New { .. } => (None, how),
            Stage::Existing(snapshot) => (Some(Box::new(snapshot)), how),
            // Regenerating a cycled session drops its data; cycling a regenerated one has none to keep.
            Stage::NewId { replaces, how: NewId::Regenerate, .. } => (replaces, NewId::Regenerate),
            Stage::NewId { replaces, how: NewId::Cycle, .. } => (replaces, how),
        };
        self.commit_state = CommitState::Pending;
        self.stage = Stage::NewId { id, replaces, how };
    }

    /// Removed at the next commit.
    pub(crate) fn mark_destroyed(&mut self) {
        let nowhere = Stage::New { id: None };
        let stored = match std::mem::replace(&mut self.stage, nowhere) {
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

    pub(crate) fn forget_changes(&mut self) {
        self.log.clear();
        self.in_flight = self.in_flight.map(|_| 0);
    }

    /// The record was read anew; what this request did is dropped.
    pub(crate) fn reloaded(&mut self, snapshot: Snapshot) {
        self.stage = Stage::Existing(snapshot);
        self.forget_changes();
    }

    /// A commit begins with the log as it is.
    pub(crate) fn begin_commit(&mut self) -> Log {
        self.in_flight = Some(self.log.len());
        self.commit_state = CommitState::Running;
        self.log.clone()
    }

    /// A commit has written what was in flight, and this is what the store holds now.
    pub(crate) fn finish_write(&mut self, written: Snapshot) {
        let in_flight = self.in_flight.take().unwrap_or(0);
        self.log.drain(..in_flight.min(self.log.len()));
        match &mut self.stage {
            // Changed by another clone of the handle while the write was under way: the next commit goes on from here.
            Stage::Destroyed { stored } => *stored = Some(Box::new(written)),
            Stage::NewId { id, replaces, .. } if *id != written.id => *replaces = Some(Box::new(written)),
            Stage::New { .. } | Stage::Existing(_) | Stage::NewId { .. } => {
                self.stage = Stage::Existing(written)
            }
        }
    }

    /// The store extended the record's life; what else is known of it stays.
    pub(crate) fn expiry_extended(&mut self, expires: Expiry) {
        if let Stage::Existing(snapshot) = &mut self.stage {
            snapshot.expires = expires;
        }
    }

    /// What the store holds of this session, as far as this request knows.
    pub(crate) fn stored(&mut self) -> Option<&mut Snapshot> {
        match &mut self.stage {
            Stage::Existing(snapshot) => Some(snapshot),
            Stage::NewId { replaces, .. } => replaces.as_deref_mut(),
            Stage::Destroyed { stored } => stored.as_deref_mut(),
            Stage::New { .. } => None,
        }
    }

    /// When the store drops the record, if there is one that this request goes on with.
    pub(crate) fn expires(&mut self, clock: &ErasedClock) -> Option<SystemTime> {
        match &mut self.stage {
            Stage::Existing(snapshot) => Some(snapshot.expires.date(clock)),
            Stage::New { .. } | Stage::NewId { .. } | Stage::Destroyed { .. } => None,
        }
    }

    /// A commit could not be request_cookie out.
    pub(crate) fn failed(&mut self) {
        self.in_flight = None;
        self.commit_state = CommitState::Failed;
    }

    /// Whether a commit is under way, or was dropped before its end.
    pub(crate) fn is_in_flight(&self) -> bool {
        self.in_flight.is_some()
    }

    /// A commit is over. What another clone of the handle did meanwhile is left to the next one.
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

    /// Whether a commit would write something this request did.
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

/// Why a session is what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// The request request_cookie no cookie of the name.
    NoCookie,
    /// No secret signed the cookie.
    BadSignature,
    /// The cookie is signed, but the store has no such session: it expired or was destroyed.
    Unknown,
    /// The store holds something under the cookie's id that is no session. It was left as it is.
    Undecodable,
    /// The session was loaded from the store.
    Loaded,
}
