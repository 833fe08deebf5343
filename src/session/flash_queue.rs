//! Flash messages of every kind, taken apart: the stored `flash` object, and what a request did to each kind.

use std::borrow::Cow;
use std::collections::HashMap;
use std::collections::hash_map::Entry;

use foldhash::quality::RandomState;
use smallvec::SmallVec;
use smol_str::SmolStr;

use crate::error::{Refused, SessionError};
use crate::json::object::{self, Member};
use crate::json::text::{escape, unescape};
use crate::record::FLASH;
use crate::session::change::Change;

/// The messages of one kind.
pub(crate) struct FlashQueue<'a> {
    kind: FlashKind<'a>,
    /// The raw value under the kind, if there is one.
    pub(crate) stored: Option<&'a str>,
    /// What the request did, oldest first.
    changes: SmallVec<[&'a Change; 1]>,
}

enum FlashKind<'a> {
    /// As it stands between its quotes.
    Raw(&'a str),
    /// One that nothing is stored of.
    New(&'a str),
}

impl<'a> FlashQueue<'a> {
    fn new(kind: FlashKind<'a>, stored: Option<&'a str>) -> Self {
        Self { kind, stored, changes: SmallVec::new() }
    }

    /// `None` for a kind that is no Unicode.
    pub(crate) fn kind(&self) -> Option<Cow<'a, str>> {
        match self.kind {
            FlashKind::Raw(raw) => unescape(raw),
            FlashKind::New(kind) => Some(Cow::Borrowed(kind)),
        }
    }

    /// The kind as it stands, or is to stand, between its quotes.
    pub(crate) fn raw_kind(&self) -> Cow<'a, str> {
        match self.kind {
            FlashKind::Raw(raw) => Cow::Borrowed(raw),
            FlashKind::New(kind) => escape(kind),
        }
    }

    pub(crate) fn is_touched(&self) -> bool {
        !self.changes.is_empty()
    }

    /// The waiting messages before the request, as raw JSON, oldest first.
    fn stored_messages(&self) -> Result<Vec<&'a str>, SessionError> {
        let Some(list) = self.stored else { return Ok(Vec::new()) };
        list_of(&self.kind().unwrap_or_default(), list)
    }

    /// The waiting messages now.
    pub(crate) fn messages(&self) -> Result<Vec<&'a str>, SessionError> {
        Ok(apply(self.stored_messages()?, self.changes.iter().copied()))
    }

    pub(crate) fn is_modified(&self) -> bool {
        self.is_touched()
            && match (self.messages(), self.stored_messages()) {
                (Ok(now), Ok(then)) => now != then,
                _ => true,
            }
    }
}

/// Every kind that has or had messages, in the order they are stored in.
pub(crate) fn all<'a>(
    flash: Option<&'a str>,
    log: &'a [Change],
) -> Result<Vec<FlashQueue<'a>>, SessionError> {
    let mut queues = Vec::new();
    if let Some(flash) = flash {
        for member in members(flash)? {
            queues.push(FlashQueue::new(FlashKind::Raw(member.key.of(flash)), Some(member.value.of(flash))));
        }
    }
    let mut places: HashMap<Cow<'a, str>, usize, RandomState> = HashMap::default();
    for change in log {
        let Some(kind) = change.flash_kind() else { continue };
        if places.is_empty() {
            places =
                queues.iter().zip(0..).filter_map(|(queue, place)| Some((queue.kind()?, place))).collect();
        }
        let place = match places.entry(Cow::Borrowed(kind)) {
            Entry::Occupied(place) => *place.get(),
            Entry::Vacant(place) => {
                queues.push(FlashQueue::new(FlashKind::New(kind), None));
                *place.insert(queues.len() - 1)
            }
        };
        queues[place].changes.push(change);
    }
    Ok(queues)
}

/// The messages of one kind.
pub(crate) fn messages<'a>(
    kind: &str,
    flash: Option<&'a str>,
    log: &'a [Change],
) -> Result<Vec<&'a str>, SessionError> {
    let stored = match flash {
        None => Vec::new(),
        Some(flash) => match members(flash)?.iter().find(|member| member.is(flash, kind)) {
            None => Vec::new(),
            Some(member) => list_of(kind, member.value.of(flash))?,
        },
    };
    Ok(apply(stored, log.iter().filter(|change| change.flash_kind() == Some(kind))))
}

/// What is left of the messages of a kind after these changes to it.
fn apply<'a>(mut messages: Vec<&'a str>, changes: impl Iterator<Item = &'a Change>) -> Vec<&'a str> {
    for change in changes {
        match change {
            Change::FlashPush { message, .. } => messages.push(message),
            Change::FlashTake { messages: taken, .. } => remove_taken(&mut messages, taken),
            _ => {}
        }
    }
    messages
}

/// Removes messages; of equal ones the oldest go.
fn remove_taken(messages: &mut Vec<&str>, taken: &[SmolStr]) {
    // Unless another request took some as well.
    if messages.get(..taken.len()).is_some_and(|oldest| oldest.iter().eq(taken)) {
        messages.drain(..taken.len());
        return;
    }
    let mut left = HashMap::<&str, usize, RandomState>::default();
    for message in taken {
        *left.entry(message).or_default() += 1;
    }
    messages.retain(|message| match left.get_mut(message) {
        Some(left) if *left > 0 => {
            *left -= 1;
            false
        }
        _ => true,
    });
}

fn members(flash: &str) -> Result<Vec<Member>, SessionError> {
    object::members(flash)
        .map_err(|_| SessionError::Decode { key: FLASH.to_owned(), source: Refused::ForeignFlash.into() })
}

fn list_of<'j>(kind: &str, json: &'j str) -> Result<Vec<&'j str>, SessionError> {
    object::list(json).map_err(|_| SessionError::Decode {
        key: format!("{FLASH}.{kind}"),
        source: Refused::ForeignFlash.into(),
    })
}
