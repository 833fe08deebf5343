//! The removal of the record that a new one replaces: `remove_old` of the crate.

use crate::protocol::Context;
use crate::state::{Record, State};

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Removal {
    /// Removes the record if its data is still `base`. `record`: the new one, as it was written last.
    Try {
        record: Record,
        base: u8,
        is_unanswered: bool,
    },
    BringOver {
        record: Record,
        base: u8,
    },
    /// Removes it whatever it holds.
    Destroy,
    /// The record is gone, by this call as far as it can tell.
    Done,
    /// It was gone already.
    Elsewhere,
    Failed,
}

impl Removal {
    /// `add` is told whether the answer was lost.
    pub(crate) fn step(
        self,
        context: Context,
        (from, to): (u8, u8),
        regenerates: bool,
        state: &State,
        mut add: impl FnMut(State, Self, bool),
    ) {
        let mut next = *state;
        match self {
            Self::Try { record, base, is_unanswered } => {
                let now = match state.record(from) {
                    None if is_unanswered || !context.protocol.gone_ends_the_move => Self::Done,
                    None => Self::Elsewhere,
                    Some(Record { data, .. }) if data != base && regenerates => {
                        Self::Try { record, base: data, is_unanswered: false }
                    }
                    Some(Record { data, .. }) if data != base => {
                        Self::BringOver { record: Record { data, ..record }, base: data }
                    }
                    Some(_) => {
                        next.put(from, None);
                        Self::Done
                    }
                };
                add(next, now, false);
                if context.may_lose && !is_unanswered {
                    let again = Self::Try { record, base, is_unanswered: true };
                    add(next, again, true);
                    add(*state, again, true);
                }
            }
            Self::BringOver { record, base } => {
                let is_there = state.record(to).is_some() || !context.protocol.replaces;
                if is_there {
                    next.put(to, Some(record));
                }
                let again = Self::Try { record, base, is_unanswered: false };
                add(next, if is_there { again } else { Self::Failed }, false);
            }
            Self::Destroy => {
                next.put(from, None);
                add(next, Self::Done, false);
            }
            Self::Done | Self::Elsewhere | Self::Failed => {}
        }
    }
}
