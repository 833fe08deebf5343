//! What a [`Session`](crate::Session) knows between its calls, and the moves it can make.

use std::time::{Duration, SystemTime};

use crate::id::SessionId;
use crate::record::Record;
use crate::session::change::{Change, Log};
use crate::session::snapshot::Held;
use crate::session::view::View;
use crate::store::loaded::Moment;

/// A session and where its next commit will take it.
pub(crate) struct State {
    pub(crate) origin: Origin,
    /// The cookie as the request carried it.
    pub(crate) cookie: Carried,
    pub(crate) stage: Stage,
    /// What this request did since the last commit.
    pub(crate) log: Log,
    /// So many entries of the log are being written right now; they are not to be merged with later ones. `None`: no
    /// commit is under way, and none was dropped before its end.
    in_flight: Option<usize>,
    /// `touch()` was called.
    pub(crate) touch: bool,
    pub(crate) progress: Progress,
    /// What commits of this request have decided of the cookie.
    pub(crate) issued: Option<Issued>,
}

/// The session's cookie in the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Carried {
    No,
    /// There was one of the name.
    Yes,
    /// It was signed with an older secret.
    OldSecret,
}

pub(crate) enum Stage {
    /// Not in the store. The id is minted when somebody asks for it.
    New { id: Option<SessionId> },
    /// In the store.
    Live(Held),
    /// To be stored under a new id, in the place of `from`.
    Moved { id: SessionId, from: Option<Box<Held>>, how: Move },
    /// To be removed from the store, if it is there.
    Destroyed { stored: Option<Box<Held>> },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Move {
    /// With no data.
    Regenerate,
    /// With the same data.
    Cycle,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    /// Nothing was committed since the last change.
    Open,
    /// A commit is under way, or was dropped before its end; nothing changed since it began.
    Underway,
    /// A commit was tried and failed, and the handler was told so; or the layer gave the changes up.
    Failed,
    /// Everything is in the store.
    Settled,
}

/// What the request's response is to do to the cookie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Issued {
    Set,
    Expire,
}

impl State {
    /// Nothing is known of the session yet.
    #[inline]
    pub(crate) fn new() -> Self {
        Self {
            origin: Origin::NoCookie,
            cookie: Carried::No,
            stage: Stage::New { id: None },
            log: Log::new(),
            in_flight: None,
            touch: false,
            progress: Progress::Open,
            issued: None,
        }
    }

    /// The request's cookie names this record.
    pub(crate) fn loaded(&mut self, held: Held) {
        self.origin = Origin::Loaded;
        self.cookie = if held.signature.is_some() { Carried::Yes } else { Carried::OldSecret };
        self.stage = Stage::Live(held);
    }

    /// The request's cookie names nothing that this session could be.
    pub(crate) fn unknown(&mut self, origin: Origin) {
        self.origin = origin;
        self.cookie = Carried::Yes;
    }

    pub(crate) fn view(&self) -> View<'_> {
        View { base: self.base(), log: &self.log }
    }

    fn base(&self) -> Option<&Record> {
        match &self.stage {
            Stage::Live(held) => Some(&held.record),
            Stage::Moved { from: Some(held), how: Move::Cycle, .. } => Some(&held.record),
            Stage::New { .. } | Stage::Moved { .. } | Stage::Destroyed { .. } => None,
        }
    }

    pub(crate) fn is_destroyed(&self) -> bool {
        matches!(self.stage, Stage::Destroyed { .. })
    }

    /// Notes a change. One that makes the last one on the same key moot takes its place.
    pub(crate) fn push(&mut self, change: Change) {
        self.progress = Progress::Open;
        if let (Some(Change::Set { key: last, .. }), Change::Set { key, .. }) = (self.log.last(), &change)
            && last == key
            && self.log.len() > self.in_flight.unwrap_or(0)
        {
            self.log.pop();
        }
        self.log.push(change);
    }

    /// A new id at the next commit.
    pub(crate) fn relocate(&mut self, id: SessionId, how: Move) {
        let nowhere = Stage::New { id: None };
        let (from, how) = match std::mem::replace(&mut self.stage, nowhere) {
            Stage::Destroyed { stored } => {
                self.stage = Stage::Destroyed { stored };
                return;
            }
            Stage::New { .. } => (None, how),
            Stage::Live(held) => (Some(Box::new(held)), how),
            // Regenerating a cycled session drops its data; cycling a regenerated one has none to keep.
            Stage::Moved { from, how: Move::Regenerate, .. } => (from, Move::Regenerate),
            Stage::Moved { from, how: Move::Cycle, .. } => (from, how),
        };
        self.progress = Progress::Open;
        self.stage = Stage::Moved { id, from, how };
    }

    /// Removed at the next commit.
    pub(crate) fn end(&mut self) {
        let nowhere = Stage::New { id: None };
        let stored = match std::mem::replace(&mut self.stage, nowhere) {
            Stage::Live(held) => Some(Box::new(held)),
            Stage::Moved { from, .. } => from,
            Stage::New { .. } => None,
            Stage::Destroyed { stored } => {
                self.stage = Stage::Destroyed { stored };
                return;
            }
        };
        self.stage = Stage::Destroyed { stored };
        self.progress = Progress::Open;
        self.forget_changes();
    }

    pub(crate) fn forget_changes(&mut self) {
        self.log.clear();
        self.in_flight = self.in_flight.map(|_| 0);
    }

    /// The record was read anew; what this request did is dropped.
    pub(crate) fn reloaded(&mut self, held: Held) {
        self.stage = Stage::Live(held);
        self.forget_changes();
    }

    /// A commit begins with the log as it is.
    pub(crate) fn depart(&mut self) -> Log {
        self.in_flight = Some(self.log.len());
        self.progress = Progress::Underway;
        self.log.clone()
    }

    /// A commit has written what was in flight, and this is what the store holds now.
    pub(crate) fn arrive(&mut self, written: Held) {
        let in_flight = self.in_flight.take().unwrap_or(0);
        self.log.drain(..in_flight.min(self.log.len()));
        match &mut self.stage {
            // Changed by another clone of the handle while the write was under way: the next commit goes on from here.
            Stage::Destroyed { stored } => *stored = Some(Box::new(written)),
            Stage::Moved { id, from, .. } if *id != written.id => *from = Some(Box::new(written)),
            Stage::New { .. } | Stage::Live(_) | Stage::Moved { .. } => self.stage = Stage::Live(written),
        }
    }

    /// The store extended the record's life; what else is known of it stays.
    pub(crate) fn touched(&mut self, expires: Moment) {
        if let Stage::Live(held) = &mut self.stage {
            held.expires = expires;
        }
    }

    /// What the store holds of this session, as far as this request knows.
    pub(crate) fn stored(&mut self) -> Option<&mut Held> {
        match &mut self.stage {
            Stage::Live(held) => Some(held),
            Stage::Moved { from, .. } => from.as_deref_mut(),
            Stage::Destroyed { stored } => stored.as_deref_mut(),
            Stage::New { .. } => None,
        }
    }

    /// When the store drops the record, if there is one that this request goes on with.
    pub(crate) fn expires(&mut self) -> Option<SystemTime> {
        match &mut self.stage {
            Stage::Live(held) => Some(held.expires.date()),
            Stage::New { .. } | Stage::Moved { .. } | Stage::Destroyed { .. } => None,
        }
    }

    /// A commit could not be carried out.
    pub(crate) fn failed(&mut self) {
        self.in_flight = None;
        self.progress = Progress::Failed;
    }

    /// Whether a commit is under way, or was dropped before its end.
    pub(crate) fn is_in_flight(&self) -> bool {
        self.in_flight.is_some()
    }

    /// A commit is over. What another clone of the handle did meanwhile is left to the next one.
    pub(crate) fn settle(&mut self, issued: Option<Issued>) {
        self.in_flight = None;
        if self.progress == Progress::Underway {
            self.touch = false;
            self.progress = Progress::Settled;
        }
        if issued.is_some() {
            self.issued = issued;
        }
    }

    /// Whether a commit would write something this request did.
    pub(crate) fn is_pending(&self, configured: Option<Duration>) -> bool {
        matches!(self.progress, Progress::Open | Progress::Underway)
            && match &self.stage {
                Stage::Moved { .. } | Stage::Destroyed { stored: Some(_) } => true,
                Stage::New { .. } | Stage::Live(_) | Stage::Destroyed { stored: None } => {
                    self.view().is_modified(configured)
                }
            }
    }
}

/// Why a session is what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// The request carried no cookie of the name.
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
