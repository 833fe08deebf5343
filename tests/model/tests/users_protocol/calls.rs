//! The calls, each as a machine that makes one atomic step at a time.

use crate::LIMIT;
use crate::state::{Epoch, Line, Record, State};

/// What the protocol consists of. A test takes out one part after the other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Protocol {
    pub(crate) looks_last: bool,
    pub(crate) entry_first: bool,
    pub(crate) marks: bool,
    pub(crate) moves_keep_place: bool,
    pub(crate) moves_ask_the_mark: bool,
    pub(crate) forgets_the_old_only: bool,
    pub(crate) age_before_absence: bool,
    pub(crate) forgets_the_absent_only: bool,
    pub(crate) replaces: bool,
    pub(crate) ends_look_again: bool,
    pub(crate) ends_whole_places: bool,
    pub(crate) checks_epoch: bool,
    pub(crate) epochs_count: bool,
    pub(crate) epoch_outlives_entries: bool,
    pub(crate) repeats_are_ignored: bool,
    pub(crate) condemned_end_nobody: bool,
    pub(crate) logout_destroys_first: bool,
    pub(crate) gone_ends_the_move: bool,
    pub(crate) limit_looks_again: bool,
    pub(crate) limit_counts_older: bool,
    pub(crate) newest_text_last: bool,
    pub(crate) marks_before_forgetting: bool,
    pub(crate) ages: Ages,
}

impl Default for Protocol {
    fn default() -> Self {
        Self {
            looks_last: true,
            entry_first: true,
            marks: true,
            moves_keep_place: true,
            moves_ask_the_mark: true,
            forgets_the_old_only: true,
            age_before_absence: true,
            forgets_the_absent_only: true,
            replaces: true,
            ends_look_again: true,
            ends_whole_places: true,
            checks_epoch: true,
            epochs_count: true,
            epoch_outlives_entries: true,
            repeats_are_ignored: true,
            condemned_end_nobody: true,
            logout_destroys_first: true,
            gone_ends_the_move: true,
            limit_looks_again: true,
            limit_counts_older: true,
            newest_text_last: true,
            marks_before_forgetting: true,
            ages: Ages::InTime,
        }
    }
}

/// When an entry without a record is old enough to be forgotten.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Ages {
    Never,
    /// When nobody can create its record any more: the time to wait is longer than a call to the store can take.
    InTime,
    /// At any time, as where a process stands still between two steps.
    TooSoon,
}

impl Protocol {
    fn may_be_old(self, id: u8, pending: &[u8]) -> bool {
        match self.ages {
            Ages::Never => false,
            Ages::InTime => !pending.contains(&id) || !self.forgets_the_old_only,
            Ages::TooSoon => true,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum AtLimit {
    EndOldest,
    Refuse,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Call {
    /// `begins`: the epoch is read first, by `begin_login`.
    LogIn {
        id: u8,
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
    /// Removes a text that has no entries.
    Compact,
}

/// Where a call stands. Each step leads from one of these to others.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) enum At {
    Begin,
    /// `older`: the sessions in older texts.
    AppendLogIn {
        seen: Option<Epoch>,
        older: usize,
    },
    /// After a login was refused: what is only an entry is forgotten, and the line is appended once more.
    AppendAgain {
        seen: Option<Epoch>,
        older: usize,
        before: usize,
    },
    AppendMove(Record),
    Create(Record),
    /// Only where the record is created before the entry, which is wrong.
    AppendLate,
    RemoveOld(Record),
    BringOver(Record),
    LastLook(Record),
    /// The own record is destroyed: the session is over.
    GiveUp,
    /// The texts are read, and what is beyond the limit is ended.
    Surplus {
        forgotten: Vec<u8>,
        known: Option<Vec<(usize, u8, u8)>>,
    },
    EndSurplus {
        own: u8,
        ends: Vec<(usize, Vec<u8>)>,
    },
    Rewrite {
        data: u8,
    },
    Forget {
        text: usize,
        id: u8,
        then: Outcome,
    },
    DestroyLast(u8),
    /// The texts before this one are marked.
    Mark {
        done: Vec<Swept>,
        ended: Vec<u8>,
        keep: Option<(usize, u8)>,
    },
    AppendEnd {
        text: usize,
        place: u8,
        ids: Vec<u8>,
    },
    LookAgain {
        text: usize,
        place: u8,
    },
    ReadList {
        text: usize,
    },
    Replace {
        text: usize,
        expected: crate::state::Text,
    },
    Sweep(Swept, Box<At>),
    Done(Outcome),
    Killed,
}

/// The records of entries that are destroyed, or looked up, one after the other and in any order.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) struct Swept {
    text: usize,
    destroyed: Vec<u8>,
    looked_up: Vec<u8>,
    /// Those that were old enough when the text was read.
    old: Vec<u8>,
    /// Without a mark and without a record: these are marked before they are forgotten.
    doubtful: Vec<u8>,
    forgotten: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Outcome {
    /// The browser has this session.
    Alive(u8),
    /// The call was answered with an error.
    Failed,
    Refused,
    LoggedOut(u8),
    Wrote {
        text: usize,
        place: u8,
    },
    /// The sessions of this place are ended.
    Ended {
        text: usize,
        place: u8,
    },
    /// All sessions are ended that began before these ends (one number for each text), but for one place.
    EndedBefore {
        ends: [u8; 2],
        keep: Option<(usize, u8)>,
    },
    Nothing,
}

/// What a step may lead to. `appended`: the step was an append, whose answer may be lost.
pub(crate) struct Way {
    pub(crate) state: State,
    pub(crate) at: At,
    pub(crate) appended: bool,
}

/// One step of a call: all that it may lead to.
///
/// `pending` are the sessions whose record somebody is about to create; `drawn` is the call's own random epoch.
pub(crate) fn step(
    protocol: Protocol,
    call: Call,
    drawn: u8,
    at: &At,
    state: &State,
    pending: &[u8],
) -> Vec<Way> {
    if let At::Sweep(swept, then) = at {
        return sweep(protocol, state, swept, then, pending);
    }
    let mut next = state.clone();
    let newest = next.texts.len() - 1;
    let append = |next: &mut State, text: usize, line: Line| next.texts[text].append(protocol, &line);
    let mut appended = false;
    let at = match (call, at.clone()) {
        (_, At::Done(_) | At::Killed) => return Vec::new(),

        (Call::LogIn { begins, .. }, At::Begin) => {
            let seen = begins.then_some(next.texts[newest].epoch);
            let older = next.texts[..newest].iter().map(|text| text.places().len()).sum();
            match protocol.entry_first {
                true => At::AppendLogIn { seen, older },
                false => At::Create(Record {
                    text: newest,
                    data: 0,
                    place: 0,
                    born: next.texts[newest].epoch.ends,
                }),
            }
        }
        (Call::LogIn { id, at_limit, .. }, At::AppendLogIn { seen, older }) => {
            append(&mut next, newest, log_in(protocol, id, seen, at_limit, older));
            appended = true;
            match next.texts[newest].entries.get(&id).copied() {
                Some(entry) => created(newest, entry),
                None if is_stale(protocol, &next, seen) => At::Done(Outcome::Failed),
                None => {
                    let text = &next.texts[newest];
                    let before = text.entries.len();
                    let ids = text.ids(|entry| !entry.ended);
                    let swept = Swept {
                        text: newest,
                        old: old(protocol, &ids, pending),
                        looked_up: ids,
                        ..Swept::default()
                    };
                    At::Sweep(swept, Box::new(At::AppendAgain { seen, older, before }))
                }
            }
        }
        (Call::LogIn { id, at_limit, .. }, At::AppendAgain { seen, older, before }) => {
            if next.texts[newest].entries.len() == before {
                At::Done(Outcome::Refused)
            } else {
                append(&mut next, newest, log_in(protocol, id, seen, at_limit, older));
                appended = true;
                match next.texts[newest].entries.get(&id).copied() {
                    Some(entry) => created(newest, entry),
                    None => At::Done(Outcome::Refused),
                }
            }
        }
        (Call::LogIn { id, .. } | Call::Move { to: id, .. }, At::Create(record)) => {
            next.records.insert(id, record);
            match call {
                Call::Move { .. } => At::RemoveOld(record),
                _ if protocol.entry_first => At::LastLook(record),
                _ => At::AppendLate,
            }
        }
        (Call::LogIn { id, .. }, At::AppendLate) => {
            append(&mut next, newest, log_in(protocol, id, None, None, 0));
            let place = next.texts[newest].entries[&id].place;
            if let Some(record) = next.records.get_mut(&id) {
                record.place = place;
            }
            At::LastLook(Record { text: newest, data: 0, place, born: 0 })
        }
        (Call::LogIn { id, at_limit, .. }, At::LastLook(record)) => {
            match next.texts[record.text].is_held(id) || !protocol.looks_last {
                false => At::GiveUp,
                true if at_limit == Some(AtLimit::EndOldest) => {
                    At::Surplus { forgotten: Vec::new(), known: None }
                }
                true => At::Done(Outcome::Alive(id)),
            }
        }
        (Call::LogIn { id, .. } | Call::Move { to: id, .. }, At::GiveUp) => {
            next.records.remove(&id);
            At::Done(Outcome::Failed)
        }
        // The first time: the records are looked up, if there are too many sessions. The second time they are ended.
        (Call::LogIn { id, .. }, At::Surplus { forgotten, known }) => {
            let entries =
                known.clone().filter(|_| !protocol.limit_looks_again).unwrap_or_else(|| open(&next));
            let beyond = beyond_the_limit(protocol, &entries, newest);
            match (beyond.is_empty(), known) {
                (true, _) => At::Done(Outcome::Alive(id)),
                (false, None) => {
                    let then = Box::new(At::Surplus { forgotten, known: Some(entries.clone()) });
                    (0..=newest).fold(*then, |then, text| {
                        let ids: Vec<u8> =
                            entries.iter().filter(|entry| entry.0 == text).map(|entry| entry.2).collect();
                        let old = old(protocol, &ids, pending);
                        At::Sweep(Swept { text, looked_up: ids, old, ..Swept::default() }, Box::new(then))
                    })
                }
                (false, Some(_)) => At::EndSurplus { own: id, ends: beyond },
            }
        }
        (Call::LogIn { .. }, At::EndSurplus { own, mut ends }) => {
            let Some((text, ids)) = ends.pop() else { unreachable!("no session is beyond the limit") };
            append(&mut next, text, Line::End { ids: ids.clone() });
            appended = true;
            let then = match (ends.is_empty(), ids.contains(&own)) {
                (true, true) => At::Done(Outcome::Failed),
                (true, false) => At::Done(Outcome::Alive(own)),
                (false, _) => At::EndSurplus { own, ends },
            };
            // Whatever is marked now is destroyed, and with it other ids of the same place.
            let marked = if protocol.marks { next.texts[text].marked() } else { ids };
            At::Sweep(destroying(protocol, text, marked, pending), Box::new(then))
        }

        (Call::Move { from, .. }, At::Begin) => match next.records.get(&from) {
            None => At::Done(Outcome::Failed),
            Some(record) => At::AppendMove(*record),
        },
        (Call::Move { from, to }, At::AppendMove(record)) => {
            append(&mut next, record.text, Line::Move { from, to });
            appended = true;
            match next.texts[record.text].entries.get(&to) {
                None => At::Done(Outcome::Failed),
                Some(entry) => At::Create(Record { place: entry.place, ..record }),
            }
        }
        (Call::Move { from, .. }, At::RemoveOld(record)) => match next.records.get(&from) {
            None if protocol.gone_ends_the_move => At::GiveUp,
            Some(fresh) if fresh.data != record.data => At::BringOver(Record { data: fresh.data, ..record }),
            _ => {
                next.records.remove(&from);
                At::LastLook(record)
            }
        },
        (Call::Move { to, .. }, At::BringOver(record)) => {
            if next.records.contains_key(&to) || !protocol.replaces {
                next.records.insert(to, record);
                At::RemoveOld(record)
            } else {
                At::Done(Outcome::Failed)
            }
        }
        (Call::Move { from, to }, At::LastLook(record)) => {
            match next.texts[record.text].is_held(to) || !protocol.looks_last {
                true => At::Forget { text: record.text, id: from, then: Outcome::Alive(to) },
                false => At::GiveUp,
            }
        }

        (Call::Write { id }, At::Begin) => match next.records.get(&id) {
            None => At::Done(Outcome::Failed),
            Some(record) => At::Rewrite { data: record.data },
        },
        (Call::Write { id }, At::Rewrite { data }) => match next.records.get_mut(&id) {
            None => At::Done(Outcome::Failed),
            Some(record) if record.data != data => At::Begin,
            Some(record) => {
                record.data += 1;
                At::Done(Outcome::Wrote { text: record.text, place: record.place })
            }
        },

        (Call::LogOut { id }, At::Begin) => match next.records.get(&id).copied() {
            None => At::Done(Outcome::Nothing),
            Some(record) => {
                if protocol.logout_destroys_first {
                    At::DestroyLast(record.text as u8)
                } else {
                    At::Forget { text: record.text, id, then: Outcome::Nothing }
                }
            }
        },
        (Call::LogOut { id }, At::DestroyLast(text)) => {
            next.records.remove(&id);
            match protocol.logout_destroys_first {
                true => At::Forget { text: text.into(), id, then: Outcome::LoggedOut(id) },
                false => At::Done(Outcome::LoggedOut(id)),
            }
        }
        (_, At::Forget { text, id, then }) => {
            append(&mut next, text, Line::Forget { ids: vec![id] });
            appended = true;
            match call {
                Call::LogOut { .. } if !protocol.logout_destroys_first => At::DestroyLast(text as u8),
                _ => At::Done(then),
            }
        }

        (Call::End { id }, At::Begin) => {
            let found =
                next.texts.iter().enumerate().find_map(|(at, text)| Some((at, *text.entries.get(&id)?)));
            match found {
                None => At::Done(Outcome::Nothing),
                Some((text, entry)) => At::AppendEnd { text, place: entry.place, ids: vec![id] },
            }
        }
        (Call::End { .. }, At::AppendEnd { text, place, ids }) => {
            append(&mut next, text, Line::End { ids: ids.clone() });
            appended = true;
            let marked = match protocol.marks {
                true => next.texts[text].ids(|entry| entry.ended && entry.place == place),
                false => ids,
            };
            let then = match protocol.ends_look_again {
                true => At::LookAgain { text, place },
                false => At::Done(Outcome::Ended { text, place }),
            };
            At::Sweep(destroying(protocol, text, marked, pending), Box::new(then))
        }
        (Call::End { .. }, At::LookAgain { text, place }) => {
            let ids = next.texts[text].ids(|entry| !entry.ended && entry.place == place);
            match ids.is_empty() || !protocol.marks {
                true => At::Done(Outcome::Ended { text, place }),
                false => At::AppendEnd { text, place, ids },
            }
        }

        (Call::EndAll | Call::EndOthers { .. }, At::Begin) => {
            let keep = match call {
                Call::EndOthers { keep } => match next.records.get(&keep) {
                    None => return vec![Way { state: next, at: At::Done(Outcome::Nothing), appended }],
                    Some(record) => Some((record.text, record.place)),
                },
                _ => None,
            };
            At::Mark { done: Vec::new(), ended: vec![0; newest + 1], keep }
        }
        (Call::EndAll | Call::EndOthers { .. }, At::Mark { mut done, mut ended, keep }) => {
            let text = if protocol.newest_text_last { done.len() } else { newest - done.len() };
            let line = match call {
                Call::EndOthers { keep: id } => {
                    Line::EndOthers { keep: id, is_here: keep.is_some_and(|keep| keep.0 == text), drawn }
                }
                _ => Line::EndAll { drawn },
            };
            append(&mut next, text, line);
            appended = true;
            if next.texts[text].epoch.drawn != drawn {
                // The caller's own session is over, so that it ends nobody.
                At::Done(Outcome::Nothing)
            } else {
                ended[text] = next.texts[text].epoch.ends;
                let others = next.texts[text].ids(|entry| Some((text, entry.place)) != keep);
                let marked = if protocol.marks { next.texts[text].marked() } else { others };
                done.push(destroying(protocol, text, marked, pending));
                match done.len() > newest {
                    false => At::Mark { done, ended, keep },
                    true => {
                        let ends = [ended[0], ended.get(1).copied().unwrap_or(0)];
                        let end = At::Done(Outcome::EndedBefore { ends, keep });
                        done.into_iter().rev().fold(end, |then, swept| At::Sweep(swept, Box::new(then)))
                    }
                }
            }
        }

        (Call::List, At::Begin) => At::ReadList { text: 0 },
        (Call::List, At::ReadList { text }) => {
            let then = match text < newest {
                true => At::ReadList { text: text + 1 },
                false => At::Done(Outcome::Nothing),
            };
            let looked_up = next.texts[text].ids(|entry| !entry.ended);
            let mut swept = destroying(protocol, text, next.texts[text].marked(), pending);
            swept.old.extend(old(protocol, &looked_up, pending));
            At::Sweep(Swept { looked_up, ..swept }, Box::new(then))
        }
        (Call::Compact, At::Begin) => {
            let text = &next.texts[newest];
            let may_go =
                text.entries.is_empty() && (text.epoch.drawn == 0 || !protocol.epoch_outlives_entries);
            match may_go {
                true => At::Replace { text: newest, expected: text.clone() },
                false => At::Done(Outcome::Nothing),
            }
        }
        (Call::Compact, At::Replace { text, expected }) => {
            if next.texts[text] == expected {
                // The number of ends is kept because the promises are checked by it.
                next.texts[text].epoch.drawn = 0;
                next.texts[text].next_place = 0;
            }
            At::Done(Outcome::Nothing)
        }
        (call, at) => unreachable!("{call:?} never stands at {at:?}"),
    };
    vec![Way { state: next, at, appended }]
}

fn log_in(protocol: Protocol, id: u8, seen: Option<Epoch>, at_limit: Option<AtLimit>, older: usize) -> Line {
    let older = if protocol.limit_counts_older { older } else { 0 };
    let limit = (at_limit == Some(AtLimit::Refuse)).then(|| LIMIT.saturating_sub(older));
    Line::LogIn { id, seen, limit }
}

/// Whether a login was refused because sessions were ended together since it began.
fn is_stale(protocol: Protocol, state: &State, seen: Option<Epoch>) -> bool {
    let newest = &state.texts[state.texts.len() - 1];
    protocol.checks_epoch && seen.is_some_and(|seen| seen != newest.epoch)
}

fn created(text: usize, entry: crate::state::Entry) -> At {
    At::Create(Record { text, data: 0, place: entry.place, born: entry.born })
}

/// Of all sessions that are not ended: the text, the place, and the id.
fn open(state: &State) -> Vec<(usize, u8, u8)> {
    let texts = state.texts.iter().enumerate();
    let entries = texts.flat_map(|(text, found)| {
        let open = found.entries.iter().filter(|(_, entry)| !entry.ended);
        open.map(move |(id, entry)| (text, entry.place, *id))
    });
    let mut entries: Vec<_> = entries.collect();
    entries.sort_unstable();
    entries
}

/// The ids of the oldest places beyond the limit, for each text.
fn beyond_the_limit(protocol: Protocol, entries: &[(usize, u8, u8)], newest: usize) -> Vec<(usize, Vec<u8>)> {
    let counted = |text: usize| protocol.limit_counts_older || text == newest;
    let mut places: Vec<_> =
        entries.iter().filter(|entry| counted(entry.0)).map(|entry| (entry.0, entry.1)).collect();
    places.dedup();
    places.truncate(places.len().saturating_sub(LIMIT));
    let ids = |text: usize| {
        let meant = entries.iter().filter(|entry| entry.0 == text && places.contains(&(entry.0, entry.1)));
        meant.map(|entry| entry.2).collect::<Vec<u8>>()
    };
    (0..=newest).map(|text| (text, ids(text))).filter(|(_, ids)| !ids.is_empty()).collect()
}

fn old(protocol: Protocol, ids: &[u8], pending: &[u8]) -> Vec<u8> {
    match protocol.age_before_absence {
        true => ids.iter().copied().filter(|id| protocol.may_be_old(*id, pending)).collect(),
        false => Vec::new(),
    }
}

fn destroying(protocol: Protocol, text: usize, ids: Vec<u8>, pending: &[u8]) -> Swept {
    let old = old(protocol, &ids, pending);
    let forgotten = if protocol.forgets_the_absent_only { Vec::new() } else { old.clone() };
    Swept { text, destroyed: ids, looked_up: Vec::new(), old, doubtful: Vec::new(), forgotten }
}

/// Destroys any one of the records, or looks the next one up, and at the end forgets, in one step, entries whose record is absent. An entry without
/// a record stays until it is old, so that what a killed login leaves behind can be found.
fn sweep(protocol: Protocol, state: &State, swept: &Swept, then: &At, pending: &[u8]) -> Vec<Way> {
    let to = |state: State, swept: Swept| Way {
        state,
        at: At::Sweep(swept, Box::new(then.clone())),
        appended: false,
    };
    let is_over = swept.destroyed.is_empty() && swept.looked_up.is_empty();
    if is_over && !swept.doubtful.is_empty() {
        let (mut state, ids) = (state.clone(), swept.doubtful.clone());
        state.texts[swept.text].append(protocol, &Line::Mark { ids: ids.clone() });
        let Way { state, at, .. } =
            to(state, Swept { doubtful: Vec::new(), destroyed: ids, ..swept.clone() });
        return vec![Way { state, at, appended: true }];
    }
    if swept.forgotten.is_empty() && is_over {
        return vec![Way { state: state.clone(), at: then.clone(), appended: false }];
    }
    if is_over || (!protocol.forgets_the_absent_only && !swept.forgotten.is_empty()) {
        let mut state = state.clone();
        let mut ids = swept.forgotten.clone();
        // The age that is asked for too late.
        ids.retain(|id| protocol.age_before_absence || !pending.contains(id));
        state.texts[swept.text].append(protocol, &Line::Forget { ids });
        let Way { state, at, .. } = to(state, Swept { forgotten: Vec::new(), ..swept.clone() });
        return vec![Way { state, at, appended: true }];
    }
    let mut ways = Vec::new();
    for id in swept.destroyed.iter().chain(swept.looked_up.first()).copied() {
        let mut left = swept.clone();
        left.destroyed.retain(|other| *other != id);
        left.looked_up.retain(|other| *other != id);
        let mut next = state.clone();
        if swept.destroyed.contains(&id) {
            next.records.remove(&id);
        }
        let is_old = swept.old.contains(&id) || !protocol.age_before_absence;
        if !next.records.contains_key(&id) && is_old && protocol.forgets_the_absent_only {
            let mut forgotten = left.clone();
            match swept.destroyed.contains(&id) || !protocol.marks_before_forgetting {
                true => forgotten.forgotten.push(id),
                false => forgotten.doubtful.push(id),
            }
            forgotten.forgotten.sort_unstable();
            ways.push(to(next.clone(), forgotten));
        }
        ways.push(to(next, left));
    }
    ways
}
