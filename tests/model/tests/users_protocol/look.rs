//! The last look of a login or a change of id, which keeps the limit as well: `look` and `settle` of the crate.

use crate::LIMIT;
use crate::protocol::Context;
use crate::sift::{Sift, Sifting};
use crate::state::{Ids, Line, State, Text, bit, each};

/// `log`: the newest text as it was read last.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Look {
    Read,
    DestroyOwn,
    /// What somebody has ended who was killed is destroyed before the sessions are counted.
    FinishRead(Sift, Text),
    /// The sessions in the older text are counted.
    CountOlder(Text),
    FinishCount {
        sift: Sift,
        older: u8,
        log: Text,
    },
    /// There are too many. First, sessions that have expired are dropped.
    ReadOlder(Text),
    SiftOlder(Sift, Text),
    SiftNewest(Sift, Text),
    FinishSifted(Sift, Text),
    CountAgain(Text),
    FinishCountAgain {
        sift: Sift,
        older: u8,
        log: Text,
    },
    EndOlder {
        left: Ids,
        places: u8,
        log: Text,
    },
    FinishOlder {
        sift: Sift,
        left: Ids,
        places: u8,
        log: Text,
    },
    EndNewest {
        places: u8,
    },
    FinishNewest(Sift, Text),
    /// Whether the session still stands in the list.
    Over(bool),
}

/// Where a look is made.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    pub(crate) id: u8,
    pub(crate) text: u8,
    /// Whether the sessions are limited, and whether what is beyond the limit is ended.
    pub(crate) is_limited: bool,
    pub(crate) ends_oldest: bool,
    /// An id in the older text whose place does not count, because the session leaves it.
    pub(crate) leaves: Option<u8>,
}

impl Look {
    pub(crate) fn step(
        self,
        context: Context,
        place: Place,
        state: &State,
        mut add: impl FnMut(State, Self, bool, bool),
    ) {
        let protocol = context.protocol;
        let (mut next, text) = (*state, place.text);
        let counted = |state: &State| older_places(context, state, text, place.leaves);
        match self {
            Self::Read => {
                let log = *next.text(text);
                let now = match log.is_held(place.id) || !protocol.looks_last {
                    false => Self::DestroyOwn,
                    true => Self::settle(context, place, log),
                };
                add(next, now, false, false);
            }
            Self::FinishRead(sift, log) => sift.step(context, state, |state, now, appended| match now {
                Sifting::Sent => add(state, self, appended, true),
                Sifting::On(sift) => add(state, Self::FinishRead(sift, log), appended, false),
                Sifting::Over(_) => add(state, Self::counting(place, log), appended, false),
            }),
            Self::DestroyOwn => {
                next.put(place.id, None);
                add(next, Self::Over(false), false, false);
            }
            Self::CountOlder(log) => {
                let (older, sift) = (counted(state), left_over(context, state, text));
                let now = match sift.is_over() {
                    true => Self::are_few(older, log).unwrap_or(Self::ReadOlder(log)),
                    false => Self::FinishCount { sift, older, log },
                };
                add(next, now, false, false);
            }
            Self::FinishCount { sift, older, log } => {
                sift.step(context, state, |state, now, appended| match now {
                    Sifting::Sent => add(state, self, appended, true),
                    Sifting::On(sift) => add(state, Self::FinishCount { sift, older, log }, appended, false),
                    Sifting::Over(_) => {
                        add(
                            state,
                            Self::are_few(older, log).unwrap_or(Self::ReadOlder(log)),
                            appended,
                            false,
                        );
                    }
                })
            }
            Self::ReadOlder(log) => {
                let sift = Sift::all(text - 1, state.text(text - 1));
                let now =
                    if sift.is_over() { Self::sift_newest(text, log) } else { Self::SiftOlder(sift, log) };
                add(next, now, false, false);
            }
            Self::SiftOlder(sift, log) => sift.step(context, state, |state, now, appended| match now {
                Sifting::Sent => add(state, self, appended, true),
                Sifting::On(sift) => add(state, Self::SiftOlder(sift, log), appended, false),
                Sifting::Over(_) => add(state, Self::sift_newest(text, log), appended, false),
            }),
            Self::SiftNewest(sift, log) => sift.step(context, state, |state, now, appended| match now {
                Sifting::Sent => add(state, self, appended, true),
                Sifting::On(sift) => add(state, Self::SiftNewest(sift, log), appended, false),
                Sifting::Over(read) => {
                    let log = read.unwrap_or(log);
                    let sift = Sift::finish(text, if protocol.limit_finishes { log.marked() } else { 0 });
                    let now =
                        if sift.is_over() { Self::again(place, log) } else { Self::FinishSifted(sift, log) };
                    add(state, now, appended, false);
                }
            }),
            Self::FinishSifted(sift, log) => sift.step(context, state, |state, now, appended| match now {
                Sifting::Sent => add(state, self, appended, true),
                Sifting::On(sift) => add(state, Self::FinishSifted(sift, log), appended, false),
                Sifting::Over(_) => add(state, Self::again(place, log), appended, false),
            }),
            Self::CountAgain(log) => {
                let (older, sift) = (counted(state), left_over(context, state, text));
                let now = match sift.is_over() {
                    true => Self::surplus(older, place, log),
                    false => Self::FinishCountAgain { sift, older, log },
                };
                add(next, now, false, false);
            }
            Self::FinishCountAgain { sift, older, log } => {
                sift.step(context, state, |state, now, appended| match now {
                    Sifting::Sent => add(state, self, appended, true),
                    Sifting::On(sift) => {
                        add(state, Self::FinishCountAgain { sift, older, log }, appended, false)
                    }
                    Sifting::Over(_) => add(state, Self::surplus(older, place, log), appended, false),
                })
            }
            Self::EndOlder { left, places, log } => {
                // One place after the other, the lowest first.
                let ended = left & left.wrapping_neg();
                if !context.sent {
                    next.text_mut(text - 1).append(protocol, Line::End { places: ended });
                    if protocol.reads_later {
                        return add(next, self, true, true);
                    }
                }
                let ids = next.text(text - 1).ids(|entry| match protocol.marks {
                    true => entry.ended,
                    false => bit(entry.place) == ended,
                });
                let (sift, left) = (Sift::finish(text - 1, ids), left & !ended);
                let now = match sift.is_over() {
                    true => Self::next_older(left, places, place, log),
                    false => Self::FinishOlder { sift, left, places, log },
                };
                add(next, now, true, false);
            }
            Self::FinishOlder { sift, left, places, log } => {
                sift.step(context, state, |state, now, appended| match now {
                    Sifting::Sent => add(state, self, appended, true),
                    Sifting::On(sift) => {
                        add(state, Self::FinishOlder { sift, left, places, log }, appended, false)
                    }
                    Sifting::Over(_) => {
                        add(state, Self::next_older(left, places, place, log), appended, false)
                    }
                })
            }
            Self::EndNewest { places } => {
                if !context.sent {
                    next.text_mut(text).append(protocol, Line::End { places });
                    if protocol.reads_later {
                        return add(next, self, true, true);
                    }
                }
                let log = *next.text(text);
                let sift = Sift::finish(text, if protocol.marks { log.marked() } else { log.ids_at(places) });
                let now = match sift.is_over() {
                    true => Self::Over(log.is_held(place.id)),
                    false => Self::FinishNewest(sift, log),
                };
                add(next, now, true, false);
            }
            Self::FinishNewest(sift, log) => sift.step(context, state, |state, now, appended| match now {
                Sifting::Sent => add(state, self, appended, true),
                Sifting::On(sift) => add(state, Self::FinishNewest(sift, log), appended, false),
                Sifting::Over(_) => add(state, Self::Over(log.is_held(place.id)), appended, false),
            }),
            Self::Over(_) => {}
        }
    }

    /// What comes after the session was found in the text.
    pub(crate) fn settle(context: Context, place: Place, log: Text) -> Self {
        let is_limited = place.is_limited && context.protocol.limit_finishes;
        let sift = Sift::finish(place.text, if is_limited { log.marked() } else { 0 });
        if sift.is_over() { Self::counting(place, log) } else { Self::FinishRead(sift, log) }
    }

    fn counting(place: Place, log: Text) -> Self {
        match (place.ends_oldest, place.text) {
            (false, _) => Self::Over(true),
            (true, 0) => Self::are_few(0, log).unwrap_or(Self::sift_newest(0, log)),
            (true, _) => Self::CountOlder(log),
        }
    }

    /// `None`: no.
    fn are_few(older: u8, log: Text) -> Option<Self> {
        (older.count_ones() + log.places().count_ones() <= LIMIT).then_some(Self::Over(true))
    }

    fn sift_newest(text: u8, log: Text) -> Self {
        Self::SiftNewest(Sift::all(text, &log), log)
    }

    fn surplus(older: u8, place: Place, log: Text) -> Self {
        let surplus = (older.count_ones() + log.places().count_ones()).saturating_sub(LIMIT);
        let left: u8 = each(older).take(surplus as usize).map(bit).sum();
        if surplus == 0 {
            return Self::Over(log.is_held(place.id));
        }
        let places = (surplus - left.count_ones()) as u8;
        if left != 0 {
            Self::EndOlder { left, places, log }
        } else {
            Self::EndNewest { places: log.lowest(places.into()) }
        }
    }

    /// The sessions are counted once more.
    fn again(place: Place, log: Text) -> Self {
        if place.text > 0 { Self::CountAgain(log) } else { Self::surplus(0, place, log) }
    }

    fn next_older(left: Ids, places: u8, place: Place, log: Text) -> Self {
        if left != 0 {
            return Self::EndOlder { left, places, log };
        }
        match log.lowest(places.into()) {
            0 => Self::Over(log.is_held(place.id)),
            places => Self::EndNewest { places },
        }
    }
}

/// The places in the text before this one that count.
pub(crate) fn older_places(context: Context, state: &State, text: u8, leaves: Option<u8>) -> u8 {
    if text == 0 || !context.protocol.limit_counts_older {
        return 0;
    }
    let older = state.text(text - 1);
    let own = leaves.and_then(|id| older.entry(id)).map_or(0, |entry| bit(entry.place));
    older.places() & !own
}

/// What somebody has ended in the older text who was killed.
pub(crate) fn left_over(context: Context, state: &State, text: u8) -> Sift {
    let marked = if context.protocol.limit_finishes { state.text(text - 1).marked() } else { 0 };
    Sift::finish(text - 1, marked)
}
