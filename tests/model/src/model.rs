//! What sessions promise, as a simple sequential program: each load, commit, save and reload is one step on a
//! map of records.
//!
//! The types stand here. What a load finds is in `load.rs`, what calls do that ask no store in `call.rs` and
//! `change.rs`, and what a commit, a save or a reload may come to in `commit.rs`.

mod call;
mod change;
mod commit;
mod load;

use std::collections::{BTreeMap, BTreeSet};

use smol_str::SmolStr;

use crate::history::{Contents, CookieSeen, Failure};
use crate::program::Options;
use change::{Change, Undecodable};

pub(crate) use load::{Loaded, Loading};

pub(crate) type Id = SmolStr;

const DAY_MILLIS: u64 = 86_400_000;

/// The records, and everything that each id has ever named.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct World {
    pub(crate) records: BTreeMap<Id, Contents>,
    past: BTreeMap<Id, BTreeSet<Contents>>,
    writes: BTreeMap<Id, u32>,
}

impl World {
    /// A world with these records.
    pub(crate) fn new(records: &BTreeMap<Id, Contents>) -> Self {
        let mut world = Self::default();
        records.iter().for_each(|(id, contents)| world.put(id, contents.clone()));
        world
    }

    fn put(&mut self, id: &Id, contents: Contents) {
        self.past.entry(id.clone()).or_default().insert(contents.clone());
        *self.writes.entry(id.clone()).or_default() += 1;
        self.records.insert(id.clone(), contents);
    }
}

impl World {
    /// Sessions are over under these ids.
    fn end<'i>(&mut self, ids: impl IntoIterator<Item = &'i Id>) {
        ids.into_iter().for_each(|ended| drop(self.records.remove(ended)));
    }

    /// How often a record was written.
    fn writes(&self, id: &Id) -> u32 {
        self.writes.get(id).copied().unwrap_or(0)
    }
}

/// How a commit came about.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Trial<'i> {
    /// By `save`.
    pub(crate) save: bool,
    /// Where it makes a record: under this id.
    pub(crate) new: Option<&'i Id>,
    /// A call of it about the record got an error, and it asked again.
    pub(crate) asked_again: bool,
    /// An earlier commit asked twice for the removal of the old record, and got two errors.
    pub(crate) removal_unanswered: bool,
    /// An earlier commit was told that it had removed the old record, and failed afterwards.
    pub(crate) removal_done: bool,
    /// After it had removed the old record, and before its session had arrived under the new id in the user's
    /// list, another request told the list that the session with the old id was logged out.
    pub(crate) ended_on_the_way: bool,
    /// The ids under which it has ended the session as well, because a change of id without an answer had left it there.
    pub(crate) followed: &'i [Id],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum How {
    Regenerate,
    Cycle,
    /// Written after `destroy`.
    Reborn,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Stage {
    New,
    Existing { id: Id, base: Contents },
    NewId { how: How, old: Option<(Id, Contents)> },
    Destroyed { stored: Option<Id> },
}

impl Stage {
    fn is_cycle(&self) -> bool {
        matches!(self, Self::NewId { how: How::Cycle, .. })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Cookie {
    Set,
    Expired,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum RequestCookie {
    Absent,
    Present,
    OldSecret,
}

/// A session as one request has it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Handle {
    request_cookie: RequestCookie,
    stage: Stage,
    /// What the request did since the last commit.
    log: Vec<Change>,
    /// So many of them may be in the store already, by a commit that failed.
    attempted: usize,
    /// The number of that commit's write among those of the record.
    written: Option<u32>,
    /// A move that failed was carried out all the same, and this is where the session went.
    moved: Option<Id>,
    /// So many of the changes it has there.
    moved_with: usize,
    /// Where a move had left the session that the request has given up since: its next commit removes that.
    left: Vec<Id>,
    /// What `id()` said, since the stage last changed.
    promised: Option<Id>,
    /// A commit failed since then.
    disturbed: bool,
    touch: bool,
    settled: bool,
    cookie: Option<Cookie>,
}

/// What a step came to, in one of the ways it may.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Outcome {
    pub(crate) world: World,
    pub(crate) handle: Handle,
    pub(crate) result: Result<(), Failure>,
}

impl Handle {
    fn new(request_cookie: RequestCookie, stage: Stage) -> Self {
        Self {
            request_cookie,
            stage,
            log: Vec::new(),
            attempted: 0,
            written: None,
            moved: None,
            moved_with: 0,
            left: Vec::new(),
            promised: None,
            disturbed: false,
            touch: false,
            settled: false,
            cookie: None,
        }
    }

    fn base(&self) -> Option<&Contents> {
        match &self.stage {
            Stage::Existing { base, .. } => Some(base),
            Stage::NewId { how: How::Cycle, old: Some((_, base)) } => Some(base),
            _ => None,
        }
    }

    fn replay(log: &[Change], base: Option<&Contents>, options: Options) -> Result<Contents, Undecodable> {
        let mut contents = base.cloned().unwrap_or_else(|| Contents {
            max_age: if options.browser_session { None } else { Some(DAY_MILLIS) },
            ..Contents::default()
        });
        log.iter().try_for_each(|change| change.apply(&mut contents))?;
        Ok(contents)
    }

    /// What the request sees.
    pub(crate) fn contents(&self, options: Options) -> Contents {
        // Each change was possible when it was made.
        Self::replay(&self.log, self.base(), options).unwrap_or_default()
    }

    fn is_modified(&self, options: Options) -> bool {
        self.contents(options) != Self::replay(&[], self.base(), options).unwrap_or_default()
    }

    pub(crate) fn is_new(&self) -> Option<bool> {
        match &self.stage {
            Stage::New => Some(true),
            Stage::Existing { .. } => Some(false),
            // Not decided, or about what is to come.
            Stage::NewId { .. } | Stage::Destroyed { .. } => None,
        }
    }

    pub(crate) fn id(&self) -> Option<&Id> {
        match &self.stage {
            Stage::Existing { id, .. } => Some(id),
            _ => None,
        }
    }

    /// The id that a change of id leaves behind.
    pub(crate) fn old_id(&self) -> Option<&Id> {
        match &self.stage {
            Stage::NewId { old: Some((id, _)), .. } => Some(id),
            _ => None,
        }
    }

    /// The id whose record the next commit removes.
    pub(crate) fn leaves(&self) -> Option<&Id> {
        match &self.stage {
            Stage::Destroyed { stored } => stored.as_ref(),
            _ => self.old_id(),
        }
    }

    fn push(&mut self, change: Change) {
        self.settled = false;
        self.log.push(change);
    }

    /// Something was written: after `destroy` that begins a new session.
    fn revive(&mut self) {
        if let Stage::Destroyed { stored } = &mut self.stage {
            let old = stored.take().map(|id| (id, Contents::default()));
            self.stage = Stage::NewId { how: How::Reborn, old };
            self.promised = None;
        }
    }

    fn set_cookie(&mut self) {
        self.cookie = Some(Cookie::Set);
        self.request_cookie = RequestCookie::Present;
    }

    fn existing(&self, id: &Id, contents: Contents) -> Self {
        Self {
            stage: Stage::Existing { id: id.clone(), base: contents },
            log: Vec::new(),
            attempted: 0,
            written: None,
            moved: None,
            promised: None,
            ..self.clone()
        }
    }

    fn stored(&self, id: &Id, contents: Contents) -> Self {
        let mut handle = self.existing(id, contents);
        handle.left.clear();
        handle.set_cookie();
        handle
    }

    /// Whether a guard of this handle may do this to the cookie.
    pub(crate) fn explains(&self, cookie: &CookieSeen) -> bool {
        match (self.cookie, cookie) {
            (None, CookieSeen::None) | (Some(Cookie::Expired), CookieSeen::Expired) => true,
            (Some(Cookie::Set), CookieSeen::Set(id)) => self.id() == Some(id),
            _ => false,
        }
    }
}
