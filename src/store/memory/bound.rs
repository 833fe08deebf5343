//! [`Bound`]: how many sessions a store keeps, and which of them goes when it is full.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard};

use super::clock::Tick;
use crate::id::SessionId;
use crate::record::Record;
use crate::sync::lock;

/// The limit of a bounded store, and the order in which its sessions go.
pub(super) struct Bound {
    /// Invariant: at least 1.
    pub(super) limit: usize,
    order: Mutex<Order>,
}

/// The sessions of a bounded store, in the order in which they go: a session without data, such as a visitor
/// who never logged in leaves behind, goes before every session with data. So a flood of visitors without a
/// cookie logs nobody out. Among equals the session closest to its expiry goes first.
///
/// Invariant: every write to a bounded store and its sweep hold the order's lock, so the order names exactly
/// the entries of the map.
#[derive(Default)]
pub(super) struct Order {
    blank: BTreeSet<Place>,
    with_data: BTreeSet<Place>,
}

/// Where a session stands in the order.
#[derive(PartialEq, Eq)]
pub(super) struct Place {
    pub(super) expires: Tick,
    pub(super) id: SessionId,
}

impl Bound {
    pub(super) fn new(limit: usize) -> Self {
        debug_assert_ne!(limit, 0, "a limit is at least 1");
        Self { limit, order: Mutex::default() }
    }

    pub(super) fn order(&self) -> MutexGuard<'_, Order> {
        lock(&self.order)
    }
}

impl Order {
    /// The number of sessions.
    pub(super) fn len(&self) -> usize {
        self.blank.len() + self.with_data.len()
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Takes up a session that is in the map with this record and this expiry.
    pub(super) fn insert(&mut self, id: &SessionId, record: &Record, expires: Tick) {
        self.part_of(record).insert(Place { expires, id: id.clone() });
    }

    /// Removes a session that was in the map with this record and this expiry.
    pub(super) fn remove(&mut self, id: &SessionId, record: &Record, expires: Tick) {
        self.part_of(record).remove(&Place { expires, id: id.clone() });
    }

    /// Removes the place of the session that goes first: an expired one if there is one.
    pub(super) fn pop(&mut self, now: Tick) -> Option<Place> {
        if let Some(expired) = self.pop_expired(now) {
            return Some(expired);
        }
        self.blank.pop_first().or_else(|| self.with_data.pop_first())
    }

    /// Removes the place of an expired session.
    pub(super) fn pop_expired(&mut self, now: Tick) -> Option<Place> {
        let mut parts = [&mut self.blank, &mut self.with_data].into_iter();
        parts.find(|part| part.first().is_some_and(|first| first.expires <= now))?.pop_first()
    }

    /// When the next session expires.
    pub(super) fn next_expiry(&self) -> Option<Tick> {
        [&self.blank, &self.with_data]
            .into_iter()
            .filter_map(BTreeSet::first)
            .map(|first| first.expires)
            .min()
    }

    /// Every place, and whether its session is without data.
    #[cfg(test)]
    pub(super) fn places(&self) -> impl Iterator<Item = (bool, &Place)> {
        let blank = self.blank.iter().map(|place| (true, place));
        blank.chain(self.with_data.iter().map(|place| (false, place)))
    }

    fn part_of(&mut self, record: &Record) -> &mut BTreeSet<Place> {
        if record.count() == 0 { &mut self.blank } else { &mut self.with_data }
    }
}

impl Ord for Place {
    fn cmp(&self, other: &Self) -> Ordering {
        self.expires.cmp(&other.expires).then_with(|| self.id.as_str().cmp(other.id.as_str()))
    }
}

impl PartialOrd for Place {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
