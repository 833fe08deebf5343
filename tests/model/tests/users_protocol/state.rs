//! What is stored: the texts of one user, each as the state that its lines amount to, and records.

use std::collections::{BTreeMap, BTreeSet};

use crate::calls::Protocol;

/// The oldest key's text comes first. New logins go to the last one.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct State {
    pub(crate) texts: Vec<Text>,
    pub(crate) records: BTreeMap<u8, Record>,
}

/// What the lines of one text amount to.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) struct Text {
    pub(crate) epoch: Epoch,
    /// Numbers the logins, so that their order needs no clock.
    pub(crate) next_place: u8,
    pub(crate) entries: BTreeMap<u8, Entry>,
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
    /// How many ends there were when the login began. The implementation does not keep it: it is there to be checked.
    pub(crate) born: u8,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Record {
    /// Which text the session's entry is in. The implementation keeps the keyed hash of the user.
    pub(crate) text: usize,
    /// How often the session was written to.
    pub(crate) data: u8,
    /// These two of the entry are there to be checked.
    pub(crate) place: u8,
    pub(crate) born: u8,
}

/// A line that is appended.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Line {
    LogIn {
        id: u8,
        seen: Option<Epoch>,
        limit: Option<usize>,
    },
    Move {
        from: u8,
        to: u8,
    },
    EndAll {
        drawn: u8,
    },
    EndOthers {
        keep: u8,
        is_here: bool,
        drawn: u8,
    },
    End {
        ids: Vec<u8>,
    },
    /// Ends these ids alone, and not the place.
    Mark {
        ids: Vec<u8>,
    },
    Forget {
        ids: Vec<u8>,
    },
}

impl State {
    /// Sessions 0, 1 and so on are logged in. With two texts, all of them are in the older one.
    pub(crate) fn with_sessions(count: usize, texts: usize) -> Self {
        let ids = 0..count as u8;
        let mut state = Self { texts: vec![Text::default(); texts], records: BTreeMap::new() };
        state.texts[0].next_place = count as u8;
        for id in ids {
            state.texts[0].entries.insert(id, Entry { place: id, ended: false, born: 0 });
            state.records.insert(id, Record { text: 0, data: 0, place: id, born: 0 });
        }
        state
    }
}

impl Text {
    /// The places of sessions that are not ended. A session that is changing its id has two entries and one place.
    pub(crate) fn places(&self) -> BTreeSet<u8> {
        self.entries.values().filter(|entry| !entry.ended).map(|entry| entry.place).collect()
    }

    pub(crate) fn is_held(&self, id: u8) -> bool {
        self.entries.get(&id).is_some_and(|entry| !entry.ended)
    }

    pub(crate) fn marked(&self) -> Vec<u8> {
        self.ids(|entry| entry.ended)
    }

    pub(crate) fn ids(&self, wanted: impl Fn(&Entry) -> bool) -> Vec<u8> {
        self.entries.iter().filter(|(_, entry)| wanted(entry)).map(|(id, _)| *id).collect()
    }

    /// Appends a line. What it does depends on the lines before it alone.
    pub(crate) fn append(&mut self, protocol: Protocol, line: &Line) {
        match line {
            Line::LogIn { id, seen, limit } => {
                let is_current = seen.is_none_or(|seen| match protocol.epochs_count {
                    true => seen == self.epoch,
                    false => seen.drawn == self.epoch.drawn,
                });
                let is_full = limit.is_some_and(|limit| self.places().len() >= limit);
                if (is_current || !protocol.checks_epoch) && !is_full && !self.entries.contains_key(id) {
                    let born = seen.map_or(self.epoch.ends, |seen| seen.ends);
                    self.entries.insert(*id, Entry { place: self.next_place, ended: false, born });
                    self.next_place += 1;
                }
            }
            Line::Move { from, to } => {
                let Some(old) = self.entries.get(from).copied() else { return };
                if (old.ended && protocol.moves_ask_the_mark) || self.entries.contains_key(to) {
                    return;
                }
                let place = if protocol.moves_keep_place { old.place } else { self.next_place };
                self.next_place += u8::from(!protocol.moves_keep_place);
                self.entries.insert(*to, Entry { place, ended: false, ..old });
            }
            Line::EndAll { drawn } => self.end_together(protocol, *drawn, None),
            Line::EndOthers { keep, is_here, drawn } => {
                let place = self.entries.get(keep).filter(|entry| !entry.ended).map(|entry| entry.place);
                if place.is_some() || !is_here || !protocol.condemned_end_nobody {
                    self.end_together(protocol, *drawn, place);
                }
            }
            Line::End { ids } => {
                let places: Vec<u8> =
                    ids.iter().filter_map(|id| self.entries.get(id)).map(|entry| entry.place).collect();
                for (id, entry) in &mut self.entries {
                    let is_meant = match protocol.ends_whole_places {
                        true => places.contains(&entry.place),
                        false => ids.contains(id),
                    };
                    entry.ended |= is_meant && protocol.marks;
                }
            }
            Line::Mark { ids } => {
                for (id, entry) in &mut self.entries {
                    entry.ended |= ids.contains(id);
                }
            }
            Line::Forget { ids } => self.entries.retain(|id, _| !ids.contains(id)),
        }
    }

    fn end_together(&mut self, protocol: Protocol, drawn: u8, keep: Option<u8>) {
        if self.epoch.drawn == drawn && protocol.repeats_are_ignored {
            return;
        }
        self.epoch = Epoch { drawn, ends: self.epoch.ends + 1 };
        for entry in self.entries.values_mut() {
            entry.ended |= Some(entry.place) != keep && protocol.marks;
        }
    }
}
