//! The calls, each as a machine that makes one atomic step at a time: what the crate does in `src/store/users` and
//! `src/commit`.

use crate::LIMIT;
use crate::look::{Look, Place, Removal, left_over};
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
    /// `begins`: the epoch is read first, by `begin_login`. `from`: the browser has a session of the user already.
    LogIn {
        id: u8,
        from: Option<u8>,
        begins: bool,
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
    AppendMove {
        record: Record,
        seen: Option<Epoch>,
    },
    /// The sessions in the older text are counted.
    Room {
        seen: Option<Epoch>,
        old: Option<Record>,
        again: bool,
    },
    FinishRoom {
        seen: Option<Epoch>,
        old: Option<Record>,
        older: u8,
        again: bool,
        sift: Sift,
    },
    /// `older`: the sessions in the older text.
    AppendLogIn {
        seen: Option<Epoch>,
        old: Option<Record>,
        older: u8,
        again: bool,
    },
    /// After a login was refused, what is only an entry is dropped, in every text.
    ReadFull {
        seen: Option<Epoch>,
        old: Option<Record>,
        log: Text,
    },
    SiftFull {
        seen: Option<Epoch>,
        old: Option<Record>,
        sift: Sift,
        log: Option<Text>,
    },
    Create {
        record: Record,
        replaces: bool,
    },
    /// Only where the record is created before the entry, which is wrong.
    AppendLate,
    /// The look and the removal of the old record, at the same time.
    Join {
        look: Look,
        removal: Removal,
        text: u8,
    },
    /// `leaves`: this id as well.
    Forget {
        text: u8,
        id: u8,
        leaves: Option<u8>,
        then: Outcome,
    },
    Destroy {
        record: Record,
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

/// What a step may lead to. `appended`: the step was an append, whose answer may be lost. `sent`: its text is still to be
/// read.
#[derive(Clone, Copy)]
pub(crate) struct Way {
    pub(crate) state: State,
    pub(crate) at: At,
    pub(crate) appended: bool,
    pub(crate) sent: bool,
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
    let (newest, own) = (state.newest(), own(call).unwrap_or_default());
    let from = match call {
        Call::LogIn { from, .. } => from,
        Call::Move { from, .. } => Some(from),
        _ => None,
    };
    let mut next = *state;
    // Appends a line. `None`: its text is read in a later step.
    let mut append = |text: u8, line: Line, ways: &mut Vec<Way>| {
        if !context.sent {
            next.text_mut(text).append(protocol, line);
            if protocol.reads_later {
                ways.push(Way { state: next, at, appended: true, sent: true });
                return None;
            }
        }
        Some((next, *next.text(text)))
    };
    let mut add = |state: State, at: At, appended: bool| ways.push(Way { state, at, appended, sent: false });
    match at {
        At::Done(_) | At::Killed => {}
        At::Begin => begin(context, call, state, ways),
        At::Load { seen } => {
            let at = state.record(from.unwrap_or_default()).map_or(At::Done(Outcome::Nothing), |record| {
                match record.text == newest || !is_login(call) {
                    true => At::AppendMove { record, seen },
                    false => room(call, state, seen, Some(record), false),
                }
            });
            add(next, at, false);
        }
        At::AppendMove { record, seen } => {
            let line = Line::Move { from: from.unwrap_or_default(), to: own };
            let Some((next, log)) = append(record.text, line, ways) else { return };
            let at = match log.entry(own).filter(|entry| !entry.ended || !protocol.moves_ask_the_mark) {
                Some(entry) => At::Create {
                    record: Record { place: entry.place, born: entry.born, ..record },
                    replaces: true,
                },
                None if is_login(call) => room(call, state, seen, Some(record), false),
                None => At::Done(Outcome::Nothing),
            };
            ways.push(Way { state: next, at, appended: true, sent: false });
        }
        At::Room { seen, old, again } => {
            let older = if protocol.limit_counts_older { state.text(newest - 1).places() } else { 0 };
            let (older, sift) = (older.count_ones() as u8, left_over(context, state, newest));
            let at = match sift.is_over() {
                true => At::AppendLogIn { seen, old, older, again },
                false => At::FinishRoom { seen, old, older, again, sift },
            };
            add(next, at, false);
        }
        At::FinishRoom { seen, old, older, again, sift } => {
            sift.step(context, state, |state, now, appended| {
                let (at, sent) = match now {
                    Sifting::Sent => (at, true),
                    Sifting::On(sift) => (At::FinishRoom { seen, old, older, again, sift }, false),
                    Sifting::Over(_) => (At::AppendLogIn { seen, old, older, again }, false),
                };
                ways.push(Way { state, at, appended, sent });
            })
        }
        At::AppendLogIn { seen, old, older, again } => {
            let limit = refuses(call).then(|| (LIMIT as u8).saturating_sub(older));
            let Some((next, log)) = append(newest, Line::LogIn { id: own, seen, limit }, ways) else {
                return;
            };
            let is_stale = protocol.checks_epoch && seen.is_some_and(|seen| seen != log.epoch);
            let at = match log.entry(own) {
                Some(entry) if !entry.ended => At::Create {
                    record: Record {
                        text: newest,
                        data: old.map_or(0, |old| old.data),
                        place: entry.place,
                        born: entry.born,
                        guest: false,
                    },
                    replaces: old.is_some(),
                },
                Some(_) => At::Done(Outcome::Nothing),
                None if is_stale => At::Done(Outcome::Nothing),
                None if again => At::Done(Outcome::Refused),
                None if newest > 0 && protocol.full_sifts => At::ReadFull { seen, old, log },
                None => sift_full(call, &next, seen, old, Sift::all(newest, &log), None),
            };
            ways.push(Way { state: next, at, appended: true, sent: false });
        }
        At::ReadFull { seen, old, log } => {
            let sift = Sift::all(newest - 1, state.text(newest - 1));
            add(next, sift_full(call, state, seen, old, sift, Some(log)), false);
        }
        At::SiftFull { seen, old, sift, log } => sift.step(context, state, |next, now, appended| {
            let (at, sent) = match now {
                Sifting::Sent => (at, true),
                Sifting::On(sift) => (At::SiftFull { seen, old, sift, log }, false),
                Sifting::Over(_) => {
                    let sift = Sift::finish(newest, 0);
                    (sift_full(call, &next, seen, old, sift, log), false)
                }
            };
            ways.push(Way { state: next, at, appended, sent });
        }),
        At::Create { record, replaces } => {
            next.put(own, Some(record));
            let removal = if replaces { Removal::Try(record) } else { Removal::Over };
            let at = match protocol.entry_first || !is_login(call) {
                true => At::Join { look: Look::Read, removal, text: record.text },
                false => At::AppendLate,
            };
            add(next, at, false);
        }
        At::AppendLate => {
            let line = Line::LogIn { id: own, seen: None, limit: None };
            let Some((mut next, log)) = append(newest, line, ways) else { return };
            let place = log.entry(own).map_or(0, |entry| entry.place);
            next.put(own, next.record(own).map(|record| Record { place, ..record }));
            let at = At::Join { look: Look::Read, removal: Removal::Over, text: newest };
            ways.push(Way { state: next, at, appended: true, sent: false });
        }
        At::Join { look, removal, text } => {
            let ends_oldest = matches!(call, Call::LogIn { at_limit: Some(AtLimit::EndOldest), .. });
            let is_limited = ends_oldest || refuses(call);
            look.step(
                context,
                Place { id: own, text, is_limited, ends_oldest },
                state,
                |state, look, appended, sent| {
                    let at = joined(&state, own, from, look, removal, text);
                    ways.push(Way { state, at, appended, sent });
                },
            );
            // An append of the look that is on its way does not hinder the removal.
            let removed = removal.step(context, from.unwrap_or_default(), own, is_login(call), state);
            if let Some((state, removal)) = removed {
                let at = joined(&state, own, from, look, removal, text);
                ways.push(Way { state, at, appended: false, sent: context.sent });
            }
        }
        At::Forget { text, id, leaves, then } => {
            let Some((next, _)) = append(text, Line::Forget { ids: bit(id) }, ways) else { return };
            let at = match (leaves, call) {
                (Some(id), _) => At::Forget { text, id, leaves: None, then },
                (None, Call::LogOut { id }) if !protocol.logout_destroys_first => {
                    next.record(id).map_or(At::Done(Outcome::Nothing), |record| At::Destroy { record })
                }
                _ => At::Done(then),
            };
            ways.push(Way { state: next, at, appended: true, sent: false });
        }
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
            add(next, at, false);
        }
        At::Destroy { record: Record { text, place, .. } } => {
            let id = match call {
                Call::LogOut { id } => id,
                _ => return,
            };
            let then = match state.record(id) {
                Some(_) => Outcome::LoggedOut { text, place },
                None => Outcome::Nothing,
            };
            next.put(id, None);
            let at = match protocol.logout_destroys_first {
                true => At::Forget { text, id, leaves: None, then },
                false => At::Done(then),
            };
            add(next, at, false);
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
            add(next, at, false);
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
            ways.push(Way { state: next, at, appended: true, sent: false });
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
                    ways.push(Way {
                        state: next,
                        at: At::Done(Outcome::EndedByNobody),
                        appended: true,
                        sent: false,
                    });
                    return;
                }
                if protocol.reads_later {
                    let at = At::Mark { done, ends, keep };
                    ways.push(Way { state: next, at, appended: true, sent: true });
                    return;
                }
            }
            let log = *next.text(text);
            // Whether the line had no effect, as far as the text tells. What is marked is destroyed all the same.
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
            ways.push(Way { state: next, at, appended: true, sent: false });
        }
        At::ReadList { text } => {
            let then = match text < newest {
                true => Then::ReadList { text: text + 1 },
                false => Then::Done(Outcome::Nothing),
            };
            add(next, sifted(Sift::all(text, state.text(text)), then), false);
        }
        At::Replace { expected } => {
            let text = next.text_mut(newest);
            let says_nothing =
                text.ids(|_| true) == 0 && (text.epoch.ends == 0 || !protocol.epoch_outlives_entries);
            if *text == expected && says_nothing {
                // The number of ends is kept because the promises are checked by it. No login compares it then.
                text.epoch.drawn = 0;
                text.next_place = 0;
            }
            add(next, At::Done(Outcome::Nothing), false);
        }
        At::Sift { sift, then } => sift.step(context, state, |state, now, appended| {
            let (at, sent) = match now {
                Sifting::Sent => (at, true),
                Sifting::On(sift) => (At::Sift { sift, then }, false),
                Sifting::Over(log) => (after(then, log), false),
            };
            ways.push(Way { state, at, appended, sent });
        }),
    }
}

/// The first step of a call.
fn begin(context: Context, call: Call, state: &State, ways: &mut Vec<Way>) {
    let newest = state.newest();
    let log = state.text(newest);
    let mut go = |at: At| ways.push(Way { state: *state, at, appended: false, sent: false });
    // What asks the store for nothing is no step of its own.
    let on = |at: At, ways: &mut Vec<Way>| step(context, call, at, state, ways);
    match call {
        Call::LogIn { .. } if !context.protocol.entry_first => {
            let record = Record { text: newest, data: 0, place: 0, born: log.epoch.ends, guest: false };
            go(At::Create { record, replaces: false });
        }
        Call::LogIn { from, begins: true, .. } => {
            let seen = Some(log.epoch);
            go(match from {
                Some(_) => At::Load { seen },
                None => room(call, state, seen, None, false),
            });
        }
        Call::LogIn { from: None, .. } => on(room(call, state, None, None, false), ways),
        Call::LogIn { from: Some(_), .. } | Call::Move { .. } => on(At::Load { seen: None }, ways),
        Call::Write { id } => {
            go(state
                .record(id)
                .map_or(At::Done(Outcome::Nothing), |record| At::Rewrite { data: record.data }));
        }
        Call::LogOut { id } => {
            go(state.record(id).map_or(At::Done(Outcome::Nothing), |record| {
                match context.protocol.logout_destroys_first {
                    true => At::Destroy { record },
                    false => At::Forget { text: record.text, id, leaves: None, then: Outcome::Nothing },
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

fn is_login(call: Call) -> bool {
    matches!(call, Call::LogIn { .. })
}

fn refuses(call: Call) -> bool {
    matches!(call, Call::LogIn { at_limit: Some(AtLimit::Refuse), .. })
}

/// A login that is about to append its line. Where it may be refused, the sessions in the older text are counted first.
fn room(call: Call, state: &State, seen: Option<Epoch>, old: Option<Record>, again: bool) -> At {
    match state.newest() > 0 && refuses(call) {
        true => At::Room { seen, old, again },
        false => At::AppendLogIn { seen, old, older: 0, again },
    }
}

/// A login that found no room. `log`: the newest text, if it is still to be sifted.
fn sift_full(
    call: Call,
    state: &State,
    seen: Option<Epoch>,
    old: Option<Record>,
    sift: Sift,
    log: Option<Text>,
) -> At {
    match (sift.is_over(), log) {
        (false, _) => At::SiftFull { seen, old, sift, log },
        (true, Some(log)) => sift_full(call, state, seen, old, Sift::all(state.newest(), &log), None),
        (true, None) => room(call, state, seen, old, true),
    }
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

/// Goes on when both the look and the removal are over.
fn joined(state: &State, own: u8, from: Option<u8>, look: Look, removal: Removal, text: u8) -> At {
    let old_text = from.map_or(text, |from| if state.text(0).entry(from).is_some() { 0 } else { text });
    match (look, removal) {
        (Look::Over(false), Removal::Over | Removal::OverAsGuest | Removal::Failed)
        | (Look::Over(true), Removal::Failed) => At::Done(Outcome::Nothing),
        (Look::Over(true), Removal::OverAsGuest) => {
            At::Forget { text, id: own, leaves: from, then: Outcome::Nothing }
        }
        (Look::Over(true), Removal::Over) => match from {
            Some(id) => At::Forget { text: old_text, id, leaves: None, then: Outcome::Alive(own) },
            None => At::Done(Outcome::Alive(own)),
        },
        _ => At::Join { look, removal, text },
    }
}
