//! [`FlashQueue`]: the flash messages of one kind, as stored and with a request's changes.

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

/// The flash messages of one kind: the stored list, and the changes that the request made to it.
pub(crate) struct FlashQueue<'a> {
    kind: FlashKind<'a>,
    /// The stored list, as raw JSON, if there is one.
    pub(crate) stored: Option<&'a str>,
    /// The changes that the request made to this kind, oldest first.
    changes: SmallVec<[&'a Change; 1]>,
}

/// The name of a kind of flash messages.
enum FlashKind<'a> {
    /// A stored kind, as the JSON has it between its quotes, with its escapes.
    Raw(&'a str),
    /// A kind of which no list is stored, as plain text.
    New(&'a str),
}

impl<'a> FlashQueue<'a> {
    fn new(kind: FlashKind<'a>, stored: Option<&'a str>) -> Self {
        Self { kind, stored, changes: SmallVec::new() }
    }

    /// The kind's name. `None`, when the stored name is not valid Unicode.
    pub(crate) fn kind(&self) -> Option<Cow<'a, str>> {
        match self.kind {
            FlashKind::Raw(raw) => unescape(raw),
            FlashKind::New(kind) => Some(Cow::Borrowed(kind)),
        }
    }

    /// The kind's name as JSON has it between its quotes, with its escapes.
    pub(crate) fn raw_kind(&self) -> Cow<'a, str> {
        match self.kind {
            FlashKind::Raw(raw) => Cow::Borrowed(raw),
            FlashKind::New(kind) => escape(kind),
        }
    }

    /// Whether the request made changes to this kind.
    pub(crate) fn has_changes(&self) -> bool {
        !self.changes.is_empty()
    }

    /// The messages before the request's changes, as raw JSON, oldest first.
    fn stored_messages(&self) -> Result<Vec<&'a str>, SessionError> {
        let Some(list) = self.stored else { return Ok(Vec::new()) };
        list_of(&self.kind().unwrap_or_default(), list)
    }

    /// The messages after the request's changes, as raw JSON, oldest first.
    pub(crate) fn messages(&self) -> Result<Vec<&'a str>, SessionError> {
        Ok(apply(self.stored_messages()?, self.changes.iter().copied()))
    }

    /// Whether the request's changes make a difference. An unreadable list counts as modified, so that the
    /// commit reports it.
    pub(crate) fn is_modified(&self) -> bool {
        self.has_changes()
            && match (self.messages(), self.stored_messages()) {
                (Ok(now), Ok(then)) => now != then,
                _ => true,
            }
    }
}

/// The queues of every kind: the stored kinds in their stored order, then the new kinds in the order of the
/// log.
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

/// The messages of one kind after the changes in the log, as raw JSON, oldest first.
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

/// Applies the changes of one kind to its messages.
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

/// Removes the taken messages. Where several waiting messages are equal, the oldest are removed.
fn remove_taken(messages: &mut Vec<&str>, taken: &[SmolStr]) {
    // The usual case: the taken messages are the oldest. They are not, when another request has taken some of
    // them too.
    if messages.get(..taken.len()).is_some_and(|oldest| oldest.iter().eq(taken)) {
        messages.drain(..taken.len());
        return;
    }
    let mut remaining = HashMap::<&str, usize, RandomState>::default();
    for message in taken {
        *remaining.entry(message).or_default() += 1;
    }
    messages.retain(|message| match remaining.get_mut(message) {
        Some(count) if *count > 0 => {
            *count -= 1;
            false
        }
        _ => true,
    });
}

/// The kinds in a stored `flash` object, with their lists.
fn members(flash: &str) -> Result<Vec<Member>, SessionError> {
    object::members(flash)
        .map_err(|_| SessionError::Decode { key: FLASH.to_owned(), source: Refused::ForeignFlash.into() })
}

/// The messages in the stored list of a kind, as raw JSON. A `null` counts as an empty list, as in
/// connect-flash.
fn list_of<'j>(kind: &str, json: &'j str) -> Result<Vec<&'j str>, SessionError> {
    object::list(json).map_err(|_| SessionError::Decode {
        key: format!("{FLASH}.{kind}"),
        source: Refused::ForeignFlash.into(),
    })
}
