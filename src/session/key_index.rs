//! [`KeyIndex`]: what the changes of a request have made of each key, for requests with many changes.

use std::collections::HashMap;

use foldhash::quality::RandomState;
use smol_str::SmolStr;

use crate::json::object::Span;
use crate::record::member_table::MemberTable;
use crate::record::{FLASH, METADATA, Record, is_reserved};

/// What a log of changes over a record has made of each key. Without it, each call would search the whole
/// log, or the whole record, and a request that changes many keys would take the square of their number.
pub(crate) struct KeyIndex {
    base: Option<Record>,
    stored: MemberTable,
    /// What became of each key that a change names, since the last `Clear`.
    changed: HashMap<SmolStr, Latest, RandomState>,
    /// Whether there was a `Clear`, which removes every key.
    cleared: bool,
    effects: Effects,
}

/// Where the log has the last change of a key, and what that change came to.
struct Latest {
    place: usize,
    effect: Effect,
}

/// The value of a key after the changes, compared with the stored one.
#[derive(Clone, Copy)]
enum Effect {
    /// The stored value, in the same bytes.
    Same,
    /// Another value than the stored one.
    Other,
    /// A value where none is stored.
    Added,
    /// No value where one is stored.
    Removed,
    /// No value, and none is stored.
    Absent,
}

/// How many of the changed keys have each effect.
#[derive(Default)]
struct Effects([usize; 5]);

impl Effects {
    fn of(&self, effect: Effect) -> usize {
        self.0[effect as usize]
    }
}

/// Where the value of a key is.
pub(crate) enum Place {
    /// In the change at this place of the log, or removed by it.
    Log(usize),
    Record(Span),
    Nowhere,
}

impl KeyIndex {
    /// The index of an empty log.
    pub(crate) fn new(base: Option<&Record>) -> Self {
        Self {
            base: base.cloned(),
            stored: base.map(MemberTable::new).unwrap_or_default(),
            changed: HashMap::default(),
            cleared: false,
            effects: Effects::default(),
        }
    }

    /// The record that the changes are compared with.
    pub(crate) fn base(&self) -> Option<&Record> {
        self.base.as_ref()
    }

    /// Whether the change at `place` is the last one of this key.
    pub(crate) fn has(&self, key: &str, place: usize) -> bool {
        self.changed.get(key).is_some_and(|latest| latest.place == place)
    }

    /// Notes that the change at `place` has left this value under a key.
    pub(crate) fn note(&mut self, place: usize, key: &SmolStr, value: Option<&SmolStr>) {
        let stored = self.stored(key).and_then(|span| Some(self.base.as_ref()?.within(span)));
        let effect = match (value, stored) {
            (Some(value), Some(stored)) if value.as_bytes() == stored => Effect::Same,
            (Some(_), Some(_)) => Effect::Other,
            (Some(_), None) => Effect::Added,
            (None, Some(_)) => Effect::Removed,
            (None, None) => Effect::Absent,
        };
        self.effects.0[effect as usize] += 1;
        if let Some(before) = self.changed.insert(key.clone(), Latest { place, effect }) {
            self.effects.0[before.effect as usize] -= 1;
        }
    }

    /// Notes a `Clear`.
    pub(crate) fn note_clear(&mut self) {
        self.cleared = true;
        self.effects = Effects::default();
        // To empty a table takes as long as it is wide, so an empty one is left alone.
        if !self.changed.is_empty() {
            self.changed = HashMap::default();
        }
    }

    pub(crate) fn find(&self, key: &str) -> Place {
        match self.changed.get(key) {
            Some(latest) => Place::Log(latest.place),
            None if self.cleared => Place::Nowhere,
            None => self.stored(key).map_or(Place::Nowhere, Place::Record),
        }
    }

    /// Where the record has the value of a key.
    fn stored(&self, key: &str) -> Option<Span> {
        if is_reserved(key) { None } else { self.find_stored(key) }
    }

    /// The same, where flash messages and metadata count as a value.
    pub(crate) fn find_stored(&self, key: &str) -> Option<Span> {
        self.stored.find(key).map(|(_, value)| value)
    }

    /// How many keys have a value.
    pub(crate) fn len(&self) -> usize {
        let added = self.effects.of(Effect::Added);
        if self.cleared {
            return added + self.effects.of(Effect::Same) + self.effects.of(Effect::Other);
        }
        self.stored.len() - self.reserved() + added - self.effects.of(Effect::Removed)
    }

    /// Whether a key has another value than the stored one.
    pub(crate) fn is_modified(&self) -> bool {
        let [other, added] = [Effect::Other, Effect::Added].map(|effect| self.effects.of(effect));
        // After a `Clear`, each stored key is removed that did not get its value back. A key that is not
        // valid Unicode cannot get it back.
        let members = self.base.as_ref().map_or(0, Record::count);
        let removed = match self.cleared {
            true => members - self.reserved() > self.effects.of(Effect::Same),
            false => self.effects.of(Effect::Removed) > 0,
        };
        other + added > 0 || removed
    }

    /// How many stored members are no data: the flash messages and the metadata.
    fn reserved(&self) -> usize {
        [FLASH, METADATA].into_iter().filter(|key| self.stored.find(key).is_some()).count()
    }
}
