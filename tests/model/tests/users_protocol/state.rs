//! What is stored: one user's index, and records.

use std::collections::BTreeMap;

/// One user's index and records.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct State {
    /// Changes whenever sessions are ended together. The implementation draws it at random and compares for
    /// inequality only.
    pub(crate) epoch: u8,
    /// Numbers the logins. It belongs to the index, so it needs no clock.
    pub(crate) next_place: u8,
    pub(crate) entries: BTreeMap<u8, Entry>,
    pub(crate) records: BTreeMap<u8, Record>,
}

/// An entry of the index: where to look for a session's record.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Entry {
    /// The login's number. A session that changes its id keeps it.
    pub(crate) place: u8,
    /// Somebody is ending the session: whoever is about to answer a login under this entry must not.
    pub(crate) ended: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Record {
    /// The user's epoch when the login began, or the one that `end_others` gave its survivor.
    pub(crate) epoch: u8,
    /// The user's epoch when the login began. The implementation does not keep it: it is there to be checked.
    pub(crate) born: u8,
}

impl State {
    pub(crate) fn with_sessions(count: usize) -> Self {
        let ids = 0..count as u8;
        Self {
            epoch: 0,
            next_place: count as u8,
            entries: ids.clone().map(|id| (id, Entry { place: id, ended: false })).collect(),
            records: ids.map(|id| (id, Record { epoch: 0, born: 0 })).collect(),
        }
    }

    /// The number of sessions in the index. A session that is changing its id has two entries and one place.
    pub(crate) fn places(&self) -> usize {
        let mut places: Vec<_> = self.entries.values().map(|entry| entry.place).collect();
        places.sort_unstable();
        places.dedup();
        places.len()
    }
}
