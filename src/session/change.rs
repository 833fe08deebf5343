//! [`Change`]: one change that a request makes to its session, and [`Log`]: all of them.

use std::ops::{Deref, RangeTo};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use smallvec::SmallVec;
use smol_str::SmolStr;

use crate::error::SessionError;
use crate::json::object::{FEW, Span};
use crate::record::Record;
use crate::record::metadata::Metadata;
use crate::session::flash_queue::FlashQueues;
use crate::session::key_index::KeyIndex;
use crate::session::metadata_change::{LoggedIn, MetadataChange};
use crate::sync::lock;

/// The closure of an `update`, on raw JSON: computes a new value from the current one.
pub(crate) type UpdateFn = dyn Fn(Option<&[u8]>) -> Result<Option<SmolStr>, SessionError> + Send + Sync;

/// One change that a request makes to its session. Values and messages are raw JSON.
///
/// A commit applies the changes to the newest record in the store, which need not be the record that this
/// request loaded.
#[derive(Clone)]
pub(crate) enum Change {
    Set {
        key: SmolStr,
        value: SmolStr,
    },
    Remove {
        key: SmolStr,
    },
    /// Removes every key. Flash messages stay.
    Clear,
    /// `now` is the result on the value that this request sees; a commit runs `apply` again on the newest
    /// value.
    Update {
        key: SmolStr,
        apply: Arc<UpdateFn>,
        now: Option<SmolStr>,
    },
    /// Queues a message. Of more than `most` messages of the kind, the oldest go.
    FlashPush {
        kind: SmolStr,
        message: SmolStr,
        most: usize,
    },
    /// Takes these messages, and leaves those that other requests have queued meanwhile.
    FlashTake {
        kind: SmolStr,
        messages: Vec<SmolStr>,
    },
    /// Sets the session's own max-age; `None` lets the cookie end with the browser.
    MaxAge(Option<Duration>),
    /// Changes what this crate itself keeps of the session.
    Metadata(Arc<MetadataChange>),
}

impl Change {
    /// The key whose value is changed. `Clear` names no key.
    pub(crate) fn key(&self) -> Option<&SmolStr> {
        match self {
            Self::Set { key, .. } | Self::Remove { key } | Self::Update { key, .. } => Some(key),
            Self::Clear | Self::FlashPush { .. } | Self::FlashTake { .. } => None,
            Self::MaxAge(_) | Self::Metadata(_) => None,
        }
    }

    /// The value that the change leaves under its key.
    pub(crate) fn value(&self) -> Option<&SmolStr> {
        match self {
            Self::Set { value, .. } => Some(value),
            Self::Update { now, .. } => now.as_ref(),
            _ => None,
        }
    }

    /// Whether a session without data has some after this change.
    pub(crate) fn adds(&self) -> bool {
        match self {
            Self::Set { .. } | Self::Update { now: Some(_), .. } | Self::FlashPush { .. } => true,
            Self::Metadata(change) => matches!(**change, MetadataChange::LogIn(_)),
            Self::Remove { .. } | Self::Clear | Self::Update { now: None, .. } => false,
            Self::FlashTake { .. } | Self::MaxAge(_) => false,
        }
    }

    /// Makes the change to what this crate itself keeps of the session, if it is one of that.
    fn apply_to_metadata(&self, metadata: &mut Metadata) {
        match self {
            Self::Metadata(change) => change.apply(metadata),
            Self::Clear => metadata.forget_user(),
            _ => {}
        }
    }

    /// Makes the change to the flash messages, if it is one of theirs.
    pub(crate) fn apply_to_flash(&self, queues: &mut FlashQueues) {
        match self {
            Self::FlashPush { kind, message, most } => queues.push(kind, message, *most),
            Self::FlashTake { kind, messages } => queues.take(kind, messages),
            _ => {}
        }
    }
}

/// The changes of a request, oldest first. There is room inline for one change, since most requests make one
/// at most.
///
/// The log has an index for those who ask what many changes come to. Each part of the index is made when it
/// is first asked, and takes up later changes when it is asked again.
#[derive(Default)]
pub(crate) struct Log {
    changes: SmallVec<[Change; 1]>,
    /// The place of the last change of the max-age.
    max_age: Option<usize>,
    /// The number of changes of flash messages.
    flash: usize,
    /// The places of the changes of metadata. Of several `Clear`s in a row the first one stands for all.
    metadata: SmallVec<[usize; 2]>,
    /// Whether a commit has put another record under changes that were made before it.
    rebased: bool,
    /// Whether a change was taken back.
    undone: bool,
    /// Boxed, because most requests never ask for it, and each of them copies its log.
    index: Mutex<Option<Box<Index>>>,
}

#[derive(Default)]
struct Index {
    /// The number of searches for a member of a large record, until there is an index of the keys.
    searches: usize,
    keys: Option<Box<KeyIndex>>,
    /// The number of changes that `keys` has taken up.
    keys_noted: usize,
    /// Whether the last change was removed after `keys` had taken it up.
    reopened: bool,
    flash: Option<Box<FlashQueues>>,
    /// The number of changes that `flash` has taken up.
    flash_noted: usize,
}

impl Log {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn push(&mut self, change: Change) {
        match &change {
            Change::MaxAge(_) => self.max_age = Some(self.changes.len()),
            Change::FlashPush { .. } | Change::FlashTake { .. } => self.flash += 1,
            Change::Metadata(_) | Change::Clear => self.note_metadata(self.changes.len(), &change),
            _ => {}
        }
        self.changes.push(change);
    }

    /// Notes the place of a change of metadata.
    fn note_metadata(&mut self, place: usize, change: &Change) {
        let is_clear = |change: &Change| matches!(change, Change::Clear);
        let follows_clear = self.metadata.last().is_some_and(|&last| is_clear(&self.changes[last]));
        if !(follows_clear && is_clear(change)) {
            self.metadata.push(place);
        }
    }

    /// Removes the last change.
    pub(crate) fn pop(&mut self) -> Option<Change> {
        let change = self.changes.pop()?;
        self.undone = true;
        if change.key().is_none() {
            self.start_over();
            return Some(change);
        }
        let left = self.changes.len();
        if let Some(index) = self.index.get_mut().unwrap_or_else(PoisonError::into_inner) {
            index.reopened |= index.keys_noted > left;
            index.keys_noted = index.keys_noted.min(left);
            index.flash_noted = index.flash_noted.min(left);
        }
        Some(change)
    }

    /// Removes the oldest changes.
    pub(crate) fn drain(&mut self, oldest: RangeTo<usize>) {
        if oldest.end == self.changes.len() {
            // Nearly every commit writes all changes. This saves moving none of them.
            return self.clear();
        }
        self.rebased = true;
        if oldest.end > 0 {
            self.changes.drain(oldest);
            self.start_over();
        }
    }

    pub(crate) fn clear(&mut self) {
        self.changes.clear();
        (self.max_age, self.flash) = (None, 0);
        self.metadata.clear();
        (self.rebased, self.undone) = (false, false);
        *self.index.get_mut().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Drops the index, and counts anew.
    fn start_over(&mut self) {
        let changes = std::mem::take(&mut self.changes);
        *self = Self { rebased: self.rebased, undone: self.undone, ..Self::new() };
        changes.into_iter().for_each(|change| self.push(change));
    }

    /// The max-age that the changes set, if they set one.
    pub(crate) fn max_age(&self) -> Option<Option<Duration>> {
        match self.changes[self.max_age?] {
            Change::MaxAge(max_age) => Some(max_age),
            _ => None,
        }
    }

    /// Whether a change is one of flash messages.
    pub(crate) fn has_flash(&self) -> bool {
        self.flash > 0
    }

    /// The last login of these changes.
    pub(crate) fn login(&self) -> Option<&LoggedIn> {
        self.changes.iter().rev().find_map(|change| match change {
            Change::Metadata(change) => match &**change {
                MetadataChange::LogIn(login) => Some(login),
                _ => None,
            },
            _ => None,
        })
    }

    /// Makes the changes to what this crate itself keeps of the session.
    pub(crate) fn apply_to_metadata(&self, metadata: &mut Metadata) {
        self.metadata.iter().for_each(|&place| self.changes[place].apply_to_metadata(metadata));
    }

    /// Whether a change may be one of metadata.
    pub(crate) fn changes_metadata(&self) -> bool {
        !self.metadata.is_empty()
    }

    /// Whether the results of `update` are those on the record that the session has now.
    pub(crate) fn updates_hold(&self) -> bool {
        !self.rebased
    }

    /// Whether the changes are one value that is not the record's: `insert` makes no other. To look would take 4 % of
    /// a write.
    pub(crate) fn is_one_new_value(&self) -> bool {
        matches!(*self.changes, [Change::Set { .. }]) && !self.rebased && !self.undone
    }

    /// Where a record has the value of a key. Of a large record only the first searches go through all
    /// members.
    pub(crate) fn find_stored(&self, base: &Record, key: &str) -> Option<Span> {
        if base.count() > FEW {
            let mut index = lock(&self.index);
            let index = index.get_or_insert_default();
            if index.keys.is_some() || index.searches >= FEW {
                return index.keys(Some(base), &self.changes).find_stored(key);
            }
            index.searches += 1;
        }
        base.member(key).map(|(_, value)| value)
    }

    /// Asks what the changes have made of the keys of this record.
    pub(crate) fn keys<R>(&self, base: Option<&Record>, ask: impl FnOnce(&KeyIndex) -> R) -> R {
        ask(lock(&self.index).get_or_insert_default().keys(base, &self.changes))
    }

    /// Asks what the changes have made of the flash messages of this record.
    pub(crate) fn flash<R>(&self, base: Option<&Record>, ask: impl FnOnce(&mut FlashQueues) -> R) -> R {
        ask(lock(&self.index).get_or_insert_default().flash(base, &self.changes))
    }
}

impl Index {
    fn keys(&mut self, base: Option<&Record>, changes: &[Change]) -> &KeyIndex {
        let reopened = std::mem::take(&mut self.reopened);
        let next = || changes.get(self.keys_noted).and_then(Change::key);
        // A removed change is harmless if another change of the same key has taken its place.
        let broken = |keys: &KeyIndex| reopened && !next().is_some_and(|key| keys.has(key, self.keys_noted));
        let keys = self.keys.take().filter(|keys| is_one(keys.base(), base) && !broken(keys));
        if keys.is_none() {
            self.keys_noted = 0;
        }
        let keys = self.keys.insert(keys.unwrap_or_else(|| Box::new(KeyIndex::new(base))));
        for (place, change) in changes.iter().enumerate().skip(self.keys_noted) {
            match change.key() {
                Some(key) => keys.note(place, key, change.value()),
                None if matches!(change, Change::Clear) => keys.note_clear(),
                None => {}
            }
        }
        self.keys_noted = changes.len();
        keys
    }

    fn flash(&mut self, base: Option<&Record>, changes: &[Change]) -> &mut FlashQueues {
        let queues = self.flash.take().filter(|queues| is_one(queues.base(), base));
        if queues.is_none() {
            self.flash_noted = 0;
        }
        let queues = self.flash.insert(queues.unwrap_or_else(|| Box::new(FlashQueues::new(base))));
        for change in &changes[self.flash_noted..] {
            change.apply_to_flash(queues);
        }
        self.flash_noted = changes.len();
        queues
    }
}

/// Whether both are the same record in memory, or both are none.
fn is_one(one: Option<&Record>, other: Option<&Record>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => one.is(other),
        (one, other) => one.is_none() && other.is_none(),
    }
}

impl Clone for Log {
    /// The index stays behind: a commit replays the changes and asks nothing.
    fn clone(&self) -> Self {
        if self.changes.is_empty() {
            return Self::new();
        }
        let Self { changes, max_age, flash, metadata, rebased, undone, index: _ } = self;
        let (max_age, flash, rebased, undone) = (*max_age, *flash, *rebased, *undone);
        let (changes, metadata, index) = (changes.clone(), metadata.clone(), Mutex::default());
        Self { changes, max_age, flash, metadata, rebased, undone, index }
    }
}

impl Deref for Log {
    type Target = [Change];

    fn deref(&self) -> &[Change] {
        &self.changes
    }
}
