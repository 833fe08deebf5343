//! What is to change in a record.

use std::collections::HashMap;
use std::ops::Deref;
use std::time::Duration;

use foldhash::quality::RandomState;
use smallvec::SmallVec;
use smol_str::SmolStr;

use super::cookie_object::CookieTemplate;
use super::member_table::MemberTable;
use super::{FLASH, Record};
use crate::json::object::{FEW, Span};

/// The raw JSON of a value.
#[derive(Debug, Clone)]
pub(crate) enum Json<'a> {
    Kept(&'a str),
    Made(SmolStr),
}

impl Deref for Json<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            Self::Kept(text) => text,
            Self::Made(text) => text,
        }
    }
}

/// A record about to be composed: what was stored, and what is to be another way in it.
pub(crate) struct Draft<'a> {
    pub(super) from: Source<'a>,
    pub(super) max_age: Option<Duration>,
    pub(super) kept: Kept,
    pub(super) edits: SmallVec<[Edit<'a>; 2]>,
    /// `None`, while there are [`FEW`] edits.
    tables: Option<Box<Tables<'a>>>,
}

/// What finds an edit and a stored member by key when there are many edits: without it, each edit would be compared
/// with all others.
struct Tables<'a> {
    /// The place of a key's last edit.
    edits: HashMap<&'a str, usize, RandomState>,
    members: MemberTable,
}

/// What a draft starts from.
#[derive(Clone, Copy)]
pub(crate) enum Source<'a> {
    Record(&'a Record),
    /// No record is there yet; this is the cookie object of a new one.
    Nothing(&'a CookieTemplate<'static>),
}

impl<'a> Source<'a> {
    pub(super) fn record(self) -> Option<&'a Record> {
        match self {
            Self::Record(record) => Some(record),
            Self::Nothing(_) => None,
        }
    }

    pub(super) fn cookie(self) -> CookieTemplate<'a> {
        match self {
            Self::Record(record) => record.cookie_template(),
            Self::Nothing(cookie) => cookie.borrowed(),
        }
    }
}

/// What is left of the stored members that no edit names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kept {
    All,
    Flash,
}

pub(super) struct Edit<'a> {
    pub(super) key: &'a str,
    /// The stored member it is about, and where its value stands; `None`: it goes to the end.
    pub(super) member: Option<(usize, Span)>,
    /// `None`: the member is left out. Without a `member` as well, the edit has been undone.
    pub(super) value: Option<Json<'a>>,
}

impl Edit<'_> {
    pub(super) fn is_of(&self, member: usize) -> bool {
        self.member.is_some_and(|(at, _)| at == member)
    }
}

impl<'a> Draft<'a> {
    pub(crate) fn new(from: Source<'a>, max_age: Option<Duration>) -> Self {
        Self { from, max_age, kept: Kept::All, edits: SmallVec::new(), tables: None }
    }

    /// The raw value under a key.
    pub(crate) fn get(&self, key: &str) -> Option<&[u8]> {
        match self.last_edit(key) {
            Some(at) => self.edits[at].value.as_deref().map(str::as_bytes),
            None => self.stored(key).and_then(|(_, value)| Some(self.from.record()?.within(value))),
        }
    }

    fn last_edit(&self, key: &str) -> Option<usize> {
        match &self.tables {
            None => self.edits.iter().rposition(|edit| edit.key == key),
            Some(tables) => tables.edits.get(key).copied(),
        }
    }

    /// The stored member under a key, if it is kept.
    pub(super) fn stored(&self, key: &str) -> Option<(usize, Span)> {
        let record = self.from.record().filter(|_| self.kept == Kept::All || key == FLASH)?;
        self.tables.as_ref().map_or_else(|| record.member(key), |tables| tables.members.find(key))
    }

    /// Puts a value under a key, in the place of the one there; a new key goes to the end. `None`: the key is left out.
    pub(crate) fn put(&mut self, key: &'a str, value: Option<Json<'a>>) {
        match (self.last_edit(key).map(|at| &mut self.edits[at]), value) {
            (Some(edit), Some(value)) if edit.value.is_some() => edit.value = Some(value),
            // Left out before.
            (Some(_), Some(value)) => self.push(Edit { key, member: None, value: Some(value) }),
            // The edit stays: to remove it would move all that came after it.
            (Some(edit), None) => edit.value = None,
            (None, value) => {
                let member = self.stored(key);
                if member.is_some() || value.is_some() {
                    self.push(Edit { key, member, value });
                }
            }
        }
    }

    fn push(&mut self, edit: Edit<'a>) {
        if let Some(tables) = &mut self.tables {
            tables.edits.insert(edit.key, self.edits.len());
        }
        self.edits.push(edit);
        if self.tables.is_none() && self.edits.len() > FEW {
            let edits = self.edits.iter().zip(0..).map(|(edit, at)| (edit.key, at)).collect();
            let members = self.from.record().map(MemberTable::new).unwrap_or_default();
            self.tables = Some(Box::new(Tables { edits, members }));
        }
    }

    /// Leaves out everything but flash messages.
    pub(crate) fn clear(&mut self) {
        self.kept = Kept::Flash;
        self.edits.retain(|edit| edit.key == FLASH);
        if let Some(tables) = &mut self.tables {
            tables.edits = self.edits.iter().zip(0..).map(|(edit, at)| (edit.key, at)).collect();
        }
    }
}
