//! The calls, each as a machine that makes one atomic step at a time: what the crate does in
//! `src/store/users` and `src/commit`.

use crate::enter::{self, Entering, Job, Old, from, is_login};
use crate::protocol::Context;
use crate::sift::{Sift, Sifting};
use crate::state::{Epoch, Line, Record, State, Text, bit};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum AtLimit {
    EndOldest,
    Refuse,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Call {
    /// `begins`: the epoch is read first, by `begin_login`. `from`: the browser has a session already, of the
    /// user or of a guest. `regenerates`: the data of that one is not kept.
    LogIn {
        id: u8,
        from: Option<u8>,
        begins: bool,
        regenerates: bool,
        at_limit: Option<AtLimit>,
    },
    Move {
        from: u8,
        to: u8,
    },
    /// A request that changes the session's data.
    Write {
        id: u8,
    },
    LogOut {
        id: u8,
    },
    End {
        id: u8,
    },
    EndOthers {
        keep: u8,
    },
    EndAll,
    List,
    /// Makes the newest text short, and removes one that says nothing.
    Shorten,
}

/// Where a call stands. Each step leads from one of these to others.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum At {
    Begin,
    /// The record of the session that the browser has is loaded.
    Load {
        seen: Option<Epoch>,
    },
    /// A login or a change of id, once it knows which session the browser has.
    Enter {
        job: Job,
        at: Entering,
    },
    /// `then`: how the call is answered.
    AppendLogOut {
        text: u8,
        id: u8,
        then: Outcome,
    },
    Destroy {
        record: Record,
    },
    /// Only where a logout appends its line first, which is wrong.
    Forget {
        text: u8,
        id: u8,
    },
    Rewrite {
        data: u8,
    },
    Find {
        text: u8,
    },
    AppendEnd {
        text: u8,
        place: u8,
    },
    /// The texts before were marked and their records destroyed.
    Mark {
        done: u8,
        ends: [u8; 2],
        keep: Option<(u8, u8)>,
    },
    ReadList {
        text: u8,
    },
    Replace {
        expected: Text,
    },
    Sift {
        sift: Sift,
        then: Then,
    },
    Done(Outcome),
    Killed,
}

/// What comes after a sifting.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Then {
    Mark { done: u8, ends: [u8; 2], keep: Option<(u8, u8)> },
    ReadList { text: u8 },
    Replace { expected: Text },
    Done(Outcome),
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Outcome {
    /// The browser has this session.
    Alive(u8),
    /// The call was answered with an error, or found nothing to do.
    Nothing,
    Refused,
    /// A text and a place whose record the call has destroyed.
    LoggedOut {
        text: u8,
        place: u8,
    },
    Wrote {
        text: u8,
        place: u8,
    },
    /// The sessions of this place are ended.
    Ended {
        text: u8,
        place: u8,
    },
    /// All sessions are ended that began before these ends (one number for each text), but for one place.
    EndedBefore {
        ends: [u8; 2],
        keep: Option<(u8, u8)>,
    },
    /// Who had no live session has ended others.
    EndedByNobody,
}

/// What a step may lead to. `appended`: the step was an append, whose answer may be lost. `sent`: its text is
/// still to be read.
#[derive(Clone, Copy)]
pub(crate) struct Way {
    pub(crate) state: State,
    pub(crate) at: At,
    pub(crate) appended: bool,
    pub(crate) sent: bool,
    /// The answer to a removal was lost.
    pub(crate) lost: bool,
}

impl Way {
    pub(crate) fn on(state: State, at: At) -> Self {
        Self { state, at, appended: false, sent: false, lost: false }
    }

    pub(crate) fn appended(state: State, at: At) -> Self {
        Self { appended: true, ..Self::on(state, at) }
    }

    pub(crate) fn sent(state: State, at: At) -> Self {
        Self { appended: true, sent: true, ..Self::on(state, at) }
    }
}

/// The id that a call gives to a session.
pub(crate) fn own(call: Call) -> Option<u8> {
    match call {
        Call::LogIn { id, .. } | Call::Move { to: id, .. } => Some(id),
        _ => None,
    }
}

/// One step of a call: all that it may lead to.
pub(crate) fn step(context: Context, call: Call, at: At, state: &State, ways: &mut Vec<Way>) {
    let protocol = context.protocol;
    let newest = state.newest();
    let mut next = *state;
    // Appends a line. `None`: its text is read in a later step.
    let mut append = |text: u8, line: Line, ways: &mut Vec<Way>| {
        if !context.sent {
            next.text_mut(text).append(protocol, line);
            if protocol.reads_later {
                ways.push(Way::sent(next, at));
                return None;
            }
        }
        Some((next, *next.text(text)))
    };
    let mut add = |state: State, at: At| ways.push(Way::on(state, at));
    match at {
        At::Done(_) | At::Killed => {}
        At::Begin => begin(context, call, state, ways),
        At::Load { seen } => {
            let (id, is_login) = (own(call).unwrap_or_default(), is_login(call));
            let old = match from(call).and_then(|from| state.record(from)) {
                None if !is_login => return add(next, At::Done(Outcome::Nothing)),
                None => Old::None,
                Some(record) if record.guest => Old::Guest(record),
                Some(record) if record.text == newest || !is_login => Old::Place(record),
                Some(record) => Old::Older(record),
            };
            add(next, Job::new(id, seen, old).begin(call, state));
        }
        At::Enter { job, at } => enter::step(context, call, job, at, state, ways),
        At::AppendLogOut { .. } => enter::log_out(context, at, state, ways),
        At::Rewrite { data } => {
            let id = match call {
                Call::Write { id } => id,
                _ => return,
            };
            let at = match state.record(id) {
                None => At::Done(Outcome::Nothing),
                Some(record) if record.data != data => At::Rewrite { data: record.data },
                Some(record) => {
                    next.put(id, Some(Record { data: record.data + 1, ..record }));
                    At::Done(Outcome::Wrote { text: record.text, place: record.place })
                }
            };
            add(next, at);
        }
        At::Destroy { record } => {
            let id = match call {
                Call::LogOut { id } => id,
                _ => return,
            };
            let then = match state.record(id) {
                Some(_) => Outcome::LoggedOut { text: record.text, place: record.place },
                None => Outcome::Nothing,
            };
            next.put(id, None);
            let at = match protocol.logout_destroys_first && !record.guest {
                true => At::AppendLogOut { text: record.text, id, then },
                false => At::Done(then),
            };
            add(next, at);
        }
        At::Forget { text, id } => {
            let Some((next, _)) = append(text, Line::LogOut { id }, ways) else { return };
            let at = next.record(id).map_or(At::Done(Outcome::Nothing), |record| At::Destroy { record });
            ways.push(Way::appended(next, at));
        }
        At::Find { text } => {
            let id = match call {
                Call::End { id } => id,
                _ => return,
            };
            let at = match state.text(text).entry(id) {
                Some(entry) => At::AppendEnd { text, place: entry.place },
                None if text < newest => At::Find { text: text + 1 },
                None => At::Done(Outcome::Nothing),
            };
            add(next, at);
        }
        At::AppendEnd { text, place } => {
            let marked_before = state.text(text).marked();
            let Some((next, log)) = append(text, Line::End { places: bit(place) }, ways) else { return };
            let ids = match (protocol.marks, protocol.finishes_others) {
                (false, _) => log.ids_at(bit(place)),
                (true, true) => log.marked(),
                (true, false) => log.marked() & !marked_before,
            };
            let at = sifted(Sift::finish(text, ids), Then::Done(Outcome::Ended { text, place }));
            ways.push(Way::appended(next, at));
        }
        At::Mark { done, mut ends, keep } => {
            let text = if protocol.newest_text_last { done } else { newest - done };
            let own = keep.filter(|(own, _)| *own == text).map(|(_, place)| place);
            let line = own.map_or(Line::EndAll { drawn: context.drawn }, |keep| Line::EndOthers {
                keep,
                drawn: context.drawn,
            });
            let is_over = own.is_some_and(|own| !context.sent && state.text(text).places() & bit(own) == 0);
            if !context.sent {
                next.text_mut(text).append(protocol, line);
                ends[usize::from(text)] = next.text(text).epoch.ends;
                if is_over && next.text(text).epoch != state.text(text).epoch {
                    ways.push(Way::appended(next, At::Done(Outcome::EndedByNobody)));
                    return;
                }
                if protocol.reads_later {
                    let at = At::Mark { done, ends, keep };
                    ways.push(Way::sent(next, at));
                    return;
                }
            }
            let log = *next.text(text);
            // Whether the line had no effect, as far as the text tells. What is marked is destroyed all the
            // same.
            let is_gone =
                own.is_some_and(|own| log.places() & bit(own) == 0) && log.epoch.drawn != context.drawn;
            let others = log.ids(|entry| Some((text, entry.place)) != keep);
            let ids = if protocol.marks { log.marked() } else { others };
            let then = match done < newest {
                _ if is_gone && protocol.condemned_end_nobody => Then::Done(Outcome::Nothing),
                true => Then::Mark { done: done + 1, ends, keep },
                false => Then::Done(Outcome::EndedBefore { ends, keep }),
            };
            let at = sifted(Sift::finish(text, ids), then);
            ways.push(Way::appended(next, at));
        }
        At::ReadList { text } => {
            let then = match text < newest {
                true => Then::ReadList { text: text + 1 },
                false => Then::Done(Outcome::Nothing),
            };
            add(next, sifted(Sift::all(text, state.text(text)), then));
        }
        At::Replace { expected } => {
            let text = next.text_mut(newest);
            let says_nothing =
                text.ids(|_| true) == 0 && (text.epoch.ends == 0 || !protocol.epoch_outlives_entries);
            if *text == expected && says_nothing {
                // The number of ends is kept because the promises are checked by it. No login compares it
                // then.
                text.epoch.drawn = 0;
                text.next_place = 0;
            }
            add(next, At::Done(Outcome::Nothing));
        }
        At::Sift { sift, then } => sift.step(context, state, |state, now, appended| {
            let (at, sent) = match now {
                Sifting::Sent => (at, true),
                Sifting::On(sift) => (At::Sift { sift, then }, false),
                Sifting::Over(log) => (after(then, log), false),
            };
            ways.push(Way { appended, sent, ..Way::on(state, at) });
        }),
    }
}

/// The first step of a call.
fn begin(context: Context, call: Call, state: &State, ways: &mut Vec<Way>) {
    let newest = state.newest();
    let log = state.text(newest);
    let mut go = |at: At| ways.push(Way::on(*state, at));
    // What asks the store for nothing is no step of its own.
    let on = |at: At, ways: &mut Vec<Way>| step(context, call, at, state, ways);
    match call {
        Call::LogIn { id, .. } if !context.protocol.entry_first => {
            let born = log.epoch.ends;
            let record = Record { text: newest, data: 0, place: 0, born, guest: false, late: false };
            go(Job::new(id, None, Old::None).at(Entering::Create { record }));
        }
        Call::LogIn { id, from, begins: true, .. } => {
            let seen = Some(log.epoch);
            go(match from {
                Some(_) => At::Load { seen },
                None => Job::new(id, seen, Old::None).begin(call, state),
            });
        }
        Call::LogIn { id, from: None, .. } => on(Job::new(id, None, Old::None).begin(call, state), ways),
        Call::LogIn { from: Some(_), .. } | Call::Move { .. } => on(At::Load { seen: None }, ways),
        Call::Write { id } => {
            go(state
                .record(id)
                .map_or(At::Done(Outcome::Nothing), |record| At::Rewrite { data: record.data }));
        }
        Call::LogOut { id } => {
            go(state.record(id).map_or(At::Done(Outcome::Nothing), |record| {
                match context.protocol.logout_destroys_first {
                    false if !record.guest => At::Forget { text: record.text, id },
                    _ => At::Destroy { record },
                }
            }));
        }
        Call::End { .. } => on(At::Find { text: 0 }, ways),
        Call::EndAll => on(At::Mark { done: 0, ends: [0; 2], keep: None }, ways),
        Call::EndOthers { keep } => {
            let own = state.text(0).entry(keep).filter(|entry| !entry.ended);
            go(own.map_or(At::Done(Outcome::Nothing), |entry| At::Mark {
                done: 0,
                ends: [0; 2],
                keep: Some((0, entry.place)),
            }));
        }
        Call::List => on(At::ReadList { text: 0 }, ways),
        Call::Shorten => go(sifted(Sift::all(newest, log), Then::Replace { expected: *log })),
    }
}

/// A sifting that begins, if it has anything to do, and the call's answer after it.
pub(crate) fn sifted_then(sift: Sift, outcome: Outcome) -> At {
    sifted(sift, Then::Done(outcome))
}

/// A sifting that begins, if it has anything to do.
fn sifted(sift: Sift, then: Then) -> At {
    if sift.is_over() { after(then, None) } else { At::Sift { sift, then } }
}

fn after(then: Then, log: Option<Text>) -> At {
    match then {
        Then::Mark { done, ends, keep } => At::Mark { done, ends, keep },
        Then::ReadList { text } => At::ReadList { text },
        Then::Replace { expected } => At::Replace { expected: log.unwrap_or(expected) },
        Then::Done(outcome) => At::Done(outcome),
    }
}
