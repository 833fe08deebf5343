//! The calls, each as a machine that makes one atomic step at a time.

use crate::LIMIT;
use crate::state::{Entry, Record, State};

/// What the protocol consists of. A test takes out one part after the other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Protocol {
    pub(crate) looks_at_epoch: bool,
    pub(crate) looks_at_entry: bool,
    pub(crate) entry_first: bool,
    pub(crate) marks: bool,
    pub(crate) moves_keep_epoch: bool,
    pub(crate) moves_keep_place: bool,
    pub(crate) ends_look_again: bool,
    pub(crate) survivor_rewritten: bool,
    pub(crate) condemned_are_left: bool,
    pub(crate) ages: Ages,
}

/// When an entry without a record is old enough to be dropped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Ages {
    Never,
    /// When nobody can create its record any more: the time to wait is longer than a call to the store can take.
    InTime,
    /// At any time, as where a process stands still between two steps.
    TooSoon,
}

impl Default for Protocol {
    fn default() -> Self {
        Self {
            looks_at_epoch: true,
            looks_at_entry: true,
            entry_first: true,
            marks: true,
            moves_keep_epoch: true,
            moves_keep_place: true,
            ends_look_again: true,
            survivor_rewritten: true,
            condemned_are_left: true,
            ages: Ages::InTime,
        }
    }
}

impl Protocol {
    fn may_be_old(self, id: u8, pending: &[u8]) -> bool {
        match self.ages {
            Ages::Never => false,
            Ages::InTime => !pending.contains(&id),
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
    LogIn { id: u8, limit: Option<(usize, AtLimit)> },
    Move { from: u8, to: u8 },
    End { id: u8 },
    EndOthers { survivor: u8 },
    EndAll,
    List,
}

/// Where a call stands. Each step leads from one of these to others.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) enum At {
    Begin,
    Insert {
        epoch: u8,
        born: u8,
    },
    Create {
        epoch: u8,
        born: u8,
    },
    /// Only where the record is created before the entry, which is wrong.
    InsertLate {
        epoch: u8,
    },
    RemoveOld {
        epoch: u8,
    },
    LastLook {
        epoch: u8,
    },
    ForgetOld,
    /// The entries are read.
    ListForLimit,
    /// The records of these entries, each an id and its place, are looked up.
    LookUp {
        entries: Vec<(u8, u8)>,
        then: Box<At>,
    },
    /// After a look-up that has dropped nothing: ends what is beyond the limit.
    Surplus {
        places: Vec<u8>,
    },
    Rewrite {
        before: u8,
        epoch: u8,
    },
    ListToEnd {
        epoch: u8,
    },
    /// Ends a place, whatever ids it moves to meanwhile.
    EndPlace {
        place: u8,
        finished: Vec<u8>,
        then: Box<At>,
    },
    FinishOff {
        ids: Vec<u8>,
        step: Finish,
        then: Box<At>,
    },
    Done(Outcome),
    Killed,
}

/// How one session is ended.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Finish {
    Mark,
    /// `is_old`: the entry was older, when it was marked, than the creation of its record can take.
    Destroy {
        is_old: bool,
    },
    Remove,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Outcome {
    /// The browser has this session.
    Alive(u8),
    /// The login, or the change of id, was answered with an error.
    Failed,
    Refused,
    /// The sessions of this place are ended.
    Ended(u8),
    /// All sessions are ended that began before this epoch, but for one place.
    EndedBefore {
        epoch: u8,
        survivor: Option<u8>,
    },
    Nothing,
}

/// One step of a call: every state that it may lead to.
///
/// `pending` are the sessions whose record somebody is about to create.
pub(crate) fn step(
    protocol: Protocol,
    call: Call,
    at: &At,
    state: &State,
    pending: &[u8],
) -> Vec<(State, At)> {
    let mut next = state.clone();
    let done = |state: State, outcome| vec![(state, At::Done(outcome))];
    match (call, at.clone()) {
        (_, At::Done(_) | At::Killed) => Vec::new(),
        (Call::LogIn { .. }, At::Begin) => {
            let (epoch, born) = (next.epoch, next.epoch);
            let at =
                if protocol.entry_first { At::Insert { epoch, born } } else { At::Create { epoch, born } };
            vec![(next, at)]
        }
        (Call::LogIn { id, limit }, At::Insert { epoch, born }) => {
            if matches!(limit, Some((most, AtLimit::Refuse)) if next.places() >= most) {
                let at = Box::new(At::Insert { epoch, born });
                return look_up(&next, at);
            }
            insert(&mut next, id, None);
            vec![(next, At::Create { epoch, born })]
        }
        (Call::LogIn { id, .. } | Call::Move { to: id, .. }, At::Create { epoch, born }) => {
            next.records.insert(id, Record { epoch, born });
            let at = match call {
                Call::Move { .. } => At::RemoveOld { epoch },
                _ if protocol.entry_first => At::LastLook { epoch },
                _ => At::InsertLate { epoch },
            };
            vec![(next, at)]
        }
        (Call::LogIn { id, .. }, At::InsertLate { epoch }) => {
            insert(&mut next, id, None);
            vec![(next, At::LastLook { epoch })]
        }
        (Call::LogIn { id, limit }, At::LastLook { epoch }) => match holds(protocol, &next, id, epoch) {
            false => vec![(next, finish_off(vec![id], At::Done(Outcome::Failed)))],
            true if matches!(limit, Some((_, AtLimit::EndOldest))) => vec![(next, At::ListForLimit)],
            true => done(next, Outcome::Alive(id)),
        },
        (Call::LogIn { .. }, At::ListForLimit) => look_up(&next, Box::new(At::ListForLimit)),
        (Call::LogIn { id, .. }, At::Surplus { places }) => {
            let Some((own, surplus)) = split(&next, id, &places) else {
                return done(next, Outcome::Failed);
            };
            let ends_itself = surplus.contains(&own);
            let then = if ends_itself { Outcome::Failed } else { Outcome::Alive(id) };
            let at = surplus.into_iter().fold(At::Done(then), |then, place| end_place(place, then));
            vec![(next, at)]
        }

        (Call::Move { from, .. }, At::Begin) => match next.records.get(&from) {
            None => done(next, Outcome::Failed),
            Some(&Record { epoch, born }) => {
                let epoch = if protocol.moves_keep_epoch { epoch } else { next.epoch };
                vec![(next, At::Insert { epoch, born })]
            }
        },
        (Call::Move { from, to }, At::Insert { epoch, born }) => {
            match next.entries.get(&from).filter(|entry| !entry.ended).copied() {
                None => done(next, Outcome::Failed),
                Some(old) => {
                    insert(&mut next, to, protocol.moves_keep_place.then_some(old.place));
                    vec![(next, At::Create { epoch, born })]
                }
            }
        }
        (Call::Move { from, to }, At::RemoveOld { epoch }) => match next.records.get(&from).copied() {
            None => vec![(next, finish_off(vec![to], At::Done(Outcome::Failed)))],
            // The record was rewritten meanwhile: its new epoch is brought over.
            Some(fresh) if protocol.moves_keep_epoch && fresh.epoch != epoch => {
                if let Some(record) = next.records.get_mut(&to) {
                    record.epoch = fresh.epoch;
                }
                vec![(next, At::RemoveOld { epoch: fresh.epoch })]
            }
            Some(_) => {
                next.records.remove(&from);
                vec![(next, At::LastLook { epoch })]
            }
        },
        (Call::Move { to, .. }, At::LastLook { epoch }) => match holds(protocol, &next, to, epoch) {
            true => vec![(next, At::ForgetOld)],
            false => vec![(next, finish_off(vec![to], At::Done(Outcome::Failed)))],
        },
        (Call::Move { from, to }, At::ForgetOld) => {
            next.entries.remove(&from);
            done(next, Outcome::Alive(to))
        }

        (Call::End { id }, At::Begin) => match next.entries.get(&id).copied() {
            None => done(next, Outcome::Nothing),
            Some(entry) => vec![(next, end_place(entry.place, At::Done(Outcome::Ended(entry.place))))],
        },
        (Call::EndAll, At::Begin) => {
            next.epoch += 1;
            let epoch = next.epoch;
            vec![(next, At::ListToEnd { epoch })]
        }
        (Call::EndOthers { .. }, At::Begin) => {
            let before = next.epoch;
            next.epoch += 1;
            let epoch = next.epoch;
            vec![(next, At::Rewrite { before, epoch })]
        }
        (Call::EndOthers { survivor }, At::Rewrite { before, epoch }) => {
            let Some(record) = next.records.get_mut(&survivor) else {
                // The caller's own session is over.
                return done(next, Outcome::Nothing);
            };
            if record.epoch != before && protocol.condemned_are_left {
                // Another call is about to end it.
                return done(next, Outcome::Nothing);
            }
            if protocol.survivor_rewritten {
                record.epoch = epoch;
            }
            vec![(next, At::ListToEnd { epoch })]
        }
        (Call::EndAll | Call::EndOthers { .. }, At::ListToEnd { epoch }) => {
            let survivor = match call {
                Call::EndOthers { survivor } => next.entries.get(&survivor).map(|entry| entry.place),
                _ => None,
            };
            let others = next.entries.iter().filter(|(_, entry)| Some(entry.place) != survivor);
            let ids: Vec<_> = others.map(|(id, _)| *id).collect();
            vec![(next, finish_off(ids, At::Done(Outcome::EndedBefore { epoch, survivor })))]
        }
        (Call::List, At::Begin) => look_up(&next, Box::new(At::Done(Outcome::Nothing))),

        (_, At::LookUp { entries, then }) => {
            let missing = entries.iter().map(|(id, _)| *id).filter(|id| !next.records.contains_key(id));
            let missing: Vec<_> = missing.filter(|id| protocol.may_be_old(*id, pending)).collect();
            let mut ways = Vec::new();
            if !missing.is_empty() {
                ways.push((next.clone(), finish_off(missing, *then.clone())));
            }
            // The missing ones are young: they count, and stay.
            let at = match (call, *then) {
                (Call::LogIn { limit: Some((_, AtLimit::Refuse)), .. }, _) => At::Done(Outcome::Refused),
                (Call::LogIn { .. }, _) => {
                    At::Surplus { places: entries.into_iter().map(|(_, place)| place).collect() }
                }
                (_, then) => then,
            };
            ways.push((next, at));
            ways
        }
        (_, At::EndPlace { place, mut finished, then }) => {
            let looks = finished.is_empty() || protocol.ends_look_again;
            let found =
                next.entries.iter().filter(|(id, entry)| entry.place == place && !finished.contains(id));
            let ids: Vec<_> = found.map(|(id, _)| *id).filter(|_| looks).collect();
            if ids.is_empty() {
                return vec![(next, *then)];
            }
            finished.extend(&ids);
            vec![(next, finish_off(ids, At::EndPlace { place, finished, then }))]
        }
        (_, At::FinishOff { ids, step, then }) => finish(protocol, next, ids, step, *then, pending),
        (call, at) => unreachable!("{call:?} never stands at {at:?}"),
    }
}

fn insert(state: &mut State, id: u8, place: Option<u8>) {
    let place = place.unwrap_or_else(|| {
        state.next_place += 1;
        state.next_place - 1
    });
    state.entries.insert(id, Entry { place, ended: false });
}

/// The last step of a login or a change of id: in one step, whether all is as it was.
fn holds(protocol: Protocol, state: &State, id: u8, epoch: u8) -> bool {
    let entry = state.entries.get(&id).is_some_and(|entry| !entry.ended);
    (state.epoch == epoch || !protocol.looks_at_epoch) && (entry || !protocol.looks_at_entry)
}

fn look_up(state: &State, then: Box<At>) -> Vec<(State, At)> {
    let entries = state.entries.iter().map(|(id, entry)| (*id, entry.place)).collect();
    vec![(state.clone(), At::LookUp { entries, then })]
}

/// Of these places, the own one and those beyond the limit, oldest first. `None`: the own entry is gone.
fn split(state: &State, id: u8, places: &[u8]) -> Option<(u8, Vec<u8>)> {
    let own = state.entries.get(&id)?.place;
    let mut places = places.to_vec();
    places.sort_unstable();
    places.dedup();
    places.truncate(places.len().saturating_sub(LIMIT));
    Some((own, places))
}

fn end_place(place: u8, then: At) -> At {
    At::EndPlace { place, finished: Vec::new(), then: Box::new(then) }
}

fn finish_off(ids: Vec<u8>, then: At) -> At {
    match ids.is_empty() {
        true => then,
        false => At::FinishOff { ids, step: Finish::Mark, then: Box::new(then) },
    }
}

/// Ends the last of these sessions, step by step: whoever is about to answer a login under its entry is told first,
/// then the record is destroyed, then the entry goes. An entry without a record stays until it is old, so that what a
/// killed login leaves behind can be found.
fn finish(
    protocol: Protocol,
    mut state: State,
    mut ids: Vec<u8>,
    step: Finish,
    then: At,
    pending: &[u8],
) -> Vec<(State, At)> {
    let Some(&id) = ids.last() else { return vec![(state, then)] };
    match step {
        Finish::Mark => {
            if let (Some(entry), true) = (state.entries.get_mut(&id), protocol.marks) {
                entry.ended = true;
            }
            let ages = [true, false].into_iter().filter(|is_old| !is_old || protocol.may_be_old(id, pending));
            ages.map(|is_old| {
                let (ids, then) = (ids.clone(), Box::new(then.clone()));
                (state.clone(), At::FinishOff { ids, step: Finish::Destroy { is_old }, then })
            })
            .collect()
        }
        Finish::Destroy { is_old } => {
            let existed = state.records.remove(&id).is_some();
            if existed || is_old {
                return vec![(state, At::FinishOff { ids, step: Finish::Remove, then: Box::new(then) })];
            }
            ids.pop();
            vec![(state, finish_off(ids, then))]
        }
        Finish::Remove => {
            state.entries.remove(&id);
            ids.pop();
            vec![(state, finish_off(ids, then))]
        }
    }
}
