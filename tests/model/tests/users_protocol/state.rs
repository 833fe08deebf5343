//! What is stored: the texts of one user, each as the state that its lines amount to, and records. Everything
//! is small and of a fixed size, because millions of states are looked at.

use crate::protocol::Protocol;

/// Sessions have the ids 0 to 7.
pub(crate) const IDS: usize = 8;

/// A set of ids: a bit for each.
pub(crate) type Ids = u8;

pub(crate) fn bit(id: u8) -> Ids {
    1 << id
}

/// The ids of a set, one by one.
pub(crate) fn each(ids: Ids) -> impl Iterator<Item = u8> {
    (0..IDS as u8).filter(move |id| ids & bit(*id) != 0)
}

/// The oldest key's text comes first. New logins go to the last one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct State {
    texts: [Text; 2],
    /// One text or two.
    pub(crate) count: u8,
    pub(crate) records: [Option<Record>; IDS],
}

/// What the lines of one text amount to.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) struct Text {
    pub(crate) epoch: Epoch,
    /// Numbers the logins, so that their order needs no clock.
    pub(crate) next_place: u8,
    pub(crate) entries: [Option<Entry>; IDS],
}

/// What `begin_login` reads, and what changes whenever sessions are ended together.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) struct Epoch {
    /// Each call that ends sessions together draws its own. Zero: there was none.
    pub(crate) drawn: u8,
    /// How many such lines have had an effect.
    pub(crate) ends: u8,
}

/// An entry: where to look for a session's record.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Entry {
    /// The login's number. A session that changes its id keeps it.
    pub(crate) place: u8,
    /// The session is over: whoever is about to answer a login under this entry must not.
    pub(crate) ended: bool,
    /// How many ends there were when the login began. The crate does not keep it: it is there to be checked.
    pub(crate) born: u8,
    /// The id that the session moves away from. `None`: it has arrived.
    pub(crate) from: Option<u8>,
    /// Whether the session was noted after an end that came after its login began. There to be checked.
    pub(crate) late: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Record {
    /// Which text the session's entry is in. The crate keeps the keyed hash of the user.
    pub(crate) text: u8,
    /// How often the session was written to.
    pub(crate) data: u8,
    /// These three of the entry are there to be checked.
    pub(crate) place: u8,
    pub(crate) born: u8,
    pub(crate) late: bool,
    /// Nobody is logged in.
    pub(crate) guest: bool,
}

/// A line that is appended.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Line {
    LogIn {
        id: u8,
        seen: Option<Epoch>,
        limit: Option<u8>,
        /// Whether it is a second attempt.
        is_apart: bool,
    },
    Move {
        from: u8,
        to: u8,
        seen: Option<Epoch>,
    },
    Arrive {
        from: u8,
        to: u8,
    },
    LogOut {
        id: u8,
    },
    EndAll {
        drawn: u8,
    },
    /// `keep`: a place.
    EndOthers {
        keep: u8,
        drawn: u8,
    },
    /// `places`: a set.
    End {
        places: u8,
    },
    /// Ends these ids alone, and not the place.
    Close {
        ids: Ids,
    },
    Forget {
        ids: Ids,
    },
}

impl State {
    /// Sessions 0, 1 and so on are logged in, and those after them are guests'. With two texts, all of them are
    /// in the older one.
    pub(crate) fn with_sessions(sessions: u8, guests: u8, count: u8) -> Self {
        let mut state = Self { texts: [Text::default(); 2], count, records: [None; IDS] };
        state.texts[0].next_place = sessions;
        for id in 0..sessions {
            state.texts[0].entries[usize::from(id)] = Some(Entry::new(id, 0));
        }
        for id in 0..sessions + guests {
            let guest = id >= sessions;
            // No session has the last place.
            let place = if guest { u8::MAX } else { id };
            let record = Record { text: 0, data: 0, place, born: 0, late: false, guest };
            state.records[usize::from(id)] = Some(record);
        }
        state
    }

    pub(crate) fn newest(&self) -> u8 {
        self.count - 1
    }

    pub(crate) fn text(&self, text: u8) -> &Text {
        &self.texts[usize::from(text)]
    }

    pub(crate) fn text_mut(&mut self, text: u8) -> &mut Text {
        &mut self.texts[usize::from(text)]
    }

    pub(crate) fn record(&self, id: u8) -> Option<Record> {
        self.records[usize::from(id)]
    }

    pub(crate) fn put(&mut self, id: u8, record: Option<Record>) {
        self.records[usize::from(id)] = record;
    }
}

impl Entry {
    fn new(place: u8, born: u8) -> Self {
        Self { place, ended: false, born, from: None, late: false }
    }
}

impl Text {
    pub(crate) fn entry(&self, id: u8) -> Option<Entry> {
        self.entries[usize::from(id)]
    }

    pub(crate) fn is_held(&self, id: u8) -> bool {
        self.entry(id).is_some_and(|entry| !entry.ended)
    }

    pub(crate) fn ids(&self, wanted: impl Fn(&Entry) -> bool) -> Ids {
        (0..IDS as u8).filter(|id| self.entry(*id).is_some_and(|entry| wanted(&entry))).map(bit).sum()
    }

    pub(crate) fn marked(&self) -> Ids {
        self.ids(|entry| entry.ended)
    }

    /// The places of sessions that are not ended, as a set. A session that is changing its id has two entries
    /// and one place.
    pub(crate) fn places(&self) -> u8 {
        self.entries
            .iter()
            .flatten()
            .filter(|entry| !entry.ended)
            .fold(0, |places, entry| places | bit(entry.place))
    }

    /// The lowest places that are not ended, so many of them.
    pub(crate) fn lowest(&self, places: u32) -> u8 {
        each(self.places()).take(places as usize).map(bit).sum()
    }

    /// The ids of these places.
    pub(crate) fn ids_at(&self, places: u8) -> Ids {
        self.ids(|entry| places & bit(entry.place) != 0)
    }

    /// Appends a line. What it does depends on the lines before it alone.
    pub(crate) fn append(&mut self, protocol: &Protocol, line: Line) {
        match line {
            Line::LogIn { id, seen, limit, is_apart } => {
                let is_asked = protocol.checks_epoch && (protocol.apart_keeps_epoch || !is_apart);
                let is_full = limit.is_some_and(|limit| self.places().count_ones() >= u32::from(limit));
                if (self.is_current(protocol, seen) || !is_asked) && !is_full && self.entry(id).is_none() {
                    let born = seen.map_or(self.epoch.ends, |seen| seen.ends);
                    self.entries[usize::from(id)] = Some(Entry::new(self.next_place, born));
                    self.next_place += 1;
                }
            }
            Line::Move { from, to, seen } => {
                let Some(old) = self.entry(from) else { return };
                let is_stale = protocol.moves_check_epoch && !self.is_current(protocol, seen);
                if is_stale || (old.ended && protocol.moves_ask_the_mark) || self.entry(to).is_some() {
                    return;
                }
                let place = if protocol.moves_keep_place { old.place } else { self.next_place };
                self.next_place += u8::from(!protocol.moves_keep_place);
                let late = seen.is_some_and(|seen| seen.ends < self.epoch.ends);
                let entry = Entry { place, ended: false, from: Some(from), late, ..old };
                self.entries[usize::from(to)] = Some(entry);
            }
            Line::Arrive { from, to } => {
                let own = self.entries[usize::from(to)].as_mut();
                let moves = |own: &&mut Entry| {
                    (!own.ended || !protocol.arrivals_ask_the_mark)
                        && (own.from == Some(from) || !protocol.arrivals_ask_the_move)
                };
                if let Some(own) = own.filter(moves) {
                    own.from = None;
                    let place = own.place;
                    let others = self.ids_at(bit(place)) & !bit(to);
                    self.mark(if protocol.arrivals_end_others { others } else { 0 });
                }
                self.entries[usize::from(from)] = None;
            }
            Line::LogOut { id } => {
                let own = self.entries[usize::from(id)].take().map(|entry| entry.place);
                let moves = |entry: &Entry| protocol.logout_asks_for_moves && entry.from == Some(id);
                let others = self.ids(|entry| Some(entry.place) == own || moves(entry));
                self.mark(if protocol.logout_ends_place { others } else { 0 });
            }
            Line::EndAll { drawn } => self.end_together(protocol, drawn, None),
            Line::EndOthers { keep, drawn } => {
                if self.places() & bit(keep) != 0 || !protocol.condemned_end_nobody {
                    self.end_together(protocol, drawn, Some(keep));
                }
            }
            Line::End { places } => {
                let all = self.ids(|entry| places & bit(entry.place) != 0);
                let ids = if protocol.ends_whole_places { all } else { all & all.wrapping_neg() };
                self.mark(if protocol.marks { ids } else { 0 });
            }
            Line::Close { ids } => {
                let places = each(ids)
                    .filter_map(|id| self.entry(id))
                    .fold(0, |places, entry| places | bit(entry.place));
                self.mark(match protocol.closes_ids_alone {
                    true => ids,
                    false => self.ids(|entry| places & bit(entry.place) != 0),
                });
            }
            Line::Forget { ids } => each(ids).for_each(|id| self.entries[usize::from(id)] = None),
        }
    }

    /// Whether no end has come since this epoch was read.
    fn is_current(&self, protocol: &Protocol, seen: Option<Epoch>) -> bool {
        seen.is_none_or(|seen| match protocol.epochs_count && protocol.epoch_outlives_entries {
            true => seen == self.epoch,
            false => seen.drawn == self.epoch.drawn,
        })
    }

    fn mark(&mut self, ids: Ids) {
        for id in each(ids) {
            if let Some(entry) = &mut self.entries[usize::from(id)] {
                entry.ended = true;
            }
        }
    }

    fn end_together(&mut self, protocol: &Protocol, drawn: u8, keep: Option<u8>) {
        if self.epoch.drawn == drawn && protocol.repeats_are_ignored {
            return;
        }
        self.epoch = Epoch { drawn, ends: self.epoch.ends + 1 };
        let over = self.ids(|entry| Some(entry.place) != keep);
        self.mark(if protocol.marks { over } else { 0 });
    }
}
