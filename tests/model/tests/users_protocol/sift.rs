//! How records of a text's entries are looked up and destroyed, and how entries are dropped: `sift`,
//! `finish_ended` and `drop_entries` of the crate.

use crate::protocol::Context;
use crate::state::{Ids, Line, State, Text, bit, each};

/// A sifting that is under way.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Sift {
    text: u8,
    /// Still to be looked up.
    look: Ids,
    /// What is destroyed if it is there.
    marked: Ids,
    /// What is dropped if it is not there. `None`: the ages are not looked at yet.
    old: Option<Ids>,
    destroy: Ids,
    dead: Ids,
    is_closed: bool,
}

/// What a step of a sifting leads to.
pub(crate) enum Sifting {
    /// The append was carried out, and its text is still to be read.
    Sent,
    On(Sift),
    /// With the text that was read last, if entries were dropped.
    Over(Option<Text>),
}

impl Sift {
    /// All entries: what is marked is destroyed, and what is old and has no record is dropped.
    pub(crate) fn all(text: u8, log: &Text) -> Self {
        let (look, marked) = (log.ids(|_| true), log.marked());
        Self { text, look, marked, old: None, destroy: 0, dead: 0, is_closed: false }
    }

    /// These are destroyed if they are there, and nothing is dropped.
    pub(crate) fn finish(text: u8, ids: Ids) -> Self {
        Self { text, look: ids, marked: ids, old: Some(0), destroy: 0, dead: 0, is_closed: false }
    }

    pub(crate) fn is_over(&self) -> bool {
        self.look == 0 && self.destroy == 0 && self.dead == 0
    }

    fn now(self) -> Sifting {
        if self.is_over() { Sifting::Over(None) } else { Sifting::On(self) }
    }

    pub(crate) fn step(mut self, context: Context, state: &State, mut add: impl FnMut(State, Sifting, bool)) {
        let protocol = context.protocol;
        if self.look != 0 {
            let old = self.old.unwrap_or_else(|| match protocol.age_before_absence {
                true => protocol.old(self.look, context.pending),
                false => self.look,
            });
            self.old = Some(old);
            let looked_up =
                if protocol.looks_up_at_once { self.look } else { self.look & self.look.wrapping_neg() };
            self.look &= !looked_up;
            let found: Ids = each(looked_up).filter(|id| state.record(*id).is_some()).map(bit).sum();
            self.destroy |= found & self.marked;
            let dead = match protocol.forgets_the_absent_only {
                true => looked_up & !found & old,
                false => looked_up & (!found | self.marked) & old,
            };
            // Any of those that may be old is old.
            let mut some = dead;
            loop {
                add(*state, Self { dead: self.dead | some, ..self }.now(), false);
                if some == 0 {
                    return;
                }
                some = (some - 1) & dead;
            }
        }
        let drops_first = !protocol.forgets_the_absent_only && self.dead != 0;
        if self.destroy != 0 && !drops_first {
            for id in each(self.destroy) {
                let mut next = *state;
                next.put(id, None);
                add(next, Self { destroy: self.destroy & !bit(id), ..self }.now(), false);
            }
            return;
        }
        let closes = protocol.closes_before_forgetting && !self.is_closed && !drops_first;
        if !protocol.age_before_absence && !self.is_closed {
            // The age that is asked for too late.
            self.dead = protocol.old(self.dead, context.pending);
        }
        let (mut next, ids) = (*state, self.dead);
        if !context.sent {
            let line = if closes { Line::Close { ids } } else { Line::Forget { ids } };
            next.text_mut(self.text).append(protocol, line);
            if protocol.reads_later {
                return add(next, Sifting::Sent, true);
            }
        }
        let now = match closes {
            true => {
                let look = if protocol.looks_after_closing { ids } else { 0 };
                Self { look, marked: ids, old: Some(0), is_closed: true, ..self }.now()
            }
            false if self.destroy != 0 => Self { dead: 0, ..self }.now(),
            false => Sifting::Over(Some(*next.text(self.text))),
        };
        add(next, now, true);
    }
}
