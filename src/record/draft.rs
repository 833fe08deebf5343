//! [`Draft`]: the changes to be made to a record.

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

/// A value's raw JSON.
#[derive(Debug, Clone)]
pub(crate) enum Json<'a> {
    /// The value is borrowed from the request's list of changes.
    Kept(&'a str),
    /// The value was computed while the changes were replayed.
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

/// A record to be composed: the stored record, and how the new record differs from it.
pub(crate) struct Draft<'a> {
    pub(super) from: Source<'a>,
    pub(super) max_age: Option<Duration>,
    pub(super) kept: Kept,
    /// At most one edit stands for each stored member, and at most one for each key at the end. Two edits
    /// need no allocation.
    pub(super) edits: SmallVec<[Edit<'a>; 2]>,
    /// `None`, while there are [`FEW`] edits.
    tables: Option<Box<Tables<'a>>>,
}

/// What finds an edit and a stored member by key when there are many edits: without it, each edit would be
/// compared with all others.
struct Tables<'a> {
    /// The place of a key's last edit.
    edits: HashMap<&'a str, usize, RandomState>,
    members: MemberTable,
}

/// What a draft starts from.
#[derive(Clone, Copy)]
pub(crate) enum Source<'a> {
    /// The record in the store.
    Record(&'a Record),
    /// No record is stored yet; a new one has this `cookie` object.
    Nothing(&'a CookieTemplate<'static>),
}

impl<'a> Source<'a> {
    pub(super) fn record(self) -> Option<&'a Record> {
        match self {
            Self::Record(record) => Some(record),
            Self::Nothing(_) => None,
        }
    }

    /// The `cookie` object that the new record gets, without its two times.
    pub(super) fn cookie(self) -> CookieTemplate<'a> {
        match self {
            Self::Record(record) => record.cookie_template(),
            Self::Nothing(cookie) => cookie.borrowed(),
        }
    }
}

/// Which stored members the new record keeps, where no edit names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kept {
    /// All of them.
    All,
    /// The flash messages only, after the session was cleared.
    Flash,
}

/// One member that the new record has with another value, or does not have.
pub(super) struct Edit<'a> {
    pub(super) key: &'a str,
    /// The stored member under the key: its number, and the span of its value. `None` for a key that the
    /// edit adds at the record's end.
    pub(super) member: Option<(usize, Span)>,
    /// The new value. `None` leaves the member out; without a `member` as well, the edit has been undone.
    pub(super) value: Option<Json<'a>>,
}

impl Edit<'_> {
    /// Whether the edit is for the stored member with this number.
    pub(super) fn is_of(&self, member: usize) -> bool {
        self.member.is_some_and(|(at, _)| at == member)
    }
}

impl<'a> Draft<'a> {
    pub(crate) fn new(from: Source<'a>, max_age: Option<Duration>) -> Self {
        Self { from, max_age, kept: Kept::All, edits: SmallVec::new(), tables: None }
    }

    /// The raw value that the new record has under a key.
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

    /// The number of the stored member under a key, and the span of its value, unless clearing the session
    /// removed it.
    pub(super) fn stored(&self, key: &str) -> Option<(usize, Span)> {
        let record = self.from.record().filter(|_| self.kept == Kept::All || key == FLASH)?;
        self.tables.as_ref().map_or_else(|| record.member(key), |tables| tables.members.find(key))
    }

    /// Puts a value under a key. It replaces a stored value in its place; a new key is added at the end.
    /// `None` leaves the key out.
    pub(crate) fn put(&mut self, key: &'a str, value: Option<Json<'a>>) {
        match (self.last_edit(key).map(|at| &mut self.edits[at]), value) {
            (Some(edit), Some(value)) if edit.value.is_some() => edit.value = Some(value),
            // The key was left out earlier in the request, so it is a new key now, as in a JavaScript object.
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

    /// Leaves out all data. Flash messages stay.
    pub(crate) fn clear(&mut self) {
        self.kept = Kept::Flash;
        self.edits.retain(|edit| edit.key == FLASH);
        if let Some(tables) = &mut self.tables {
            tables.edits = self.edits.iter().zip(0..).map(|(edit, at)| (edit.key, at)).collect();
        }
    }
}
