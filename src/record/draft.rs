//! What is to change in a record.

use std::ops::Deref;
use std::time::Duration;

use smallvec::SmallVec;
use smol_str::SmolStr;

use super::cookie_object::CookieTemplate;
use super::{FLASH, Record};
use crate::json::object::Span;

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
    /// `None`: the member is left out.
    pub(super) value: Option<Json<'a>>,
}

impl Edit<'_> {
    pub(super) fn is_of(&self, member: usize) -> bool {
        self.member.is_some_and(|(at, _)| at == member)
    }
}

impl<'a> Draft<'a> {
    pub(crate) fn new(from: Source<'a>, max_age: Option<Duration>) -> Self {
        Self { from, max_age, kept: Kept::All, edits: SmallVec::new() }
    }

    /// The raw value under a key.
    pub(crate) fn get(&self, key: &str) -> Option<&[u8]> {
        match self.edits.iter().rfind(|edit| edit.key == key) {
            Some(edit) => edit.value.as_deref().map(str::as_bytes),
            None => self.stored(key).and_then(|_| self.from.record()?.raw(key)),
        }
    }

    /// The stored member under a key, if it is kept.
    pub(super) fn stored(&self, key: &str) -> Option<(usize, Span)> {
        self.from.record().filter(|_| self.kept == Kept::All || key == FLASH)?.member(key)
    }

    /// Puts a value under a key, in the place of the one there; a new key goes to the end. `None`: the key is left out.
    pub(crate) fn put(&mut self, key: &'a str, value: Option<Json<'a>>) {
        let known = self.edits.iter().rposition(|edit| edit.key == key);
        match (known.map(|at| (at, &mut self.edits[at])), value) {
            (Some((_, edit)), Some(value)) if edit.value.is_some() => edit.value = Some(value),
            // Left out before.
            (Some(_), Some(value)) => self.edits.push(Edit { key, member: None, value: Some(value) }),
            (Some((_, edit)), None) if edit.member.is_some() => edit.value = None,
            (Some((_, edit)), None) if edit.value.is_none() => {}
            (Some((at, _)), None) => drop(self.edits.remove(at)),
            (None, value) => {
                let member = self.stored(key);
                if member.is_some() || value.is_some() {
                    self.edits.push(Edit { key, member, value });
                }
            }
        }
    }

    /// Leaves out everything but flash messages.
    pub(crate) fn clear(&mut self) {
        self.kept = Kept::Flash;
        self.edits.retain(|edit| edit.key == FLASH);
    }
}
