//! How a login or a change of id gets its record into a list: `src/commit/membership.rs` and `new_id.rs` of
//! the crate.

use crate::LIMIT;
use crate::calls::{At, AtLimit, Call, Outcome, Way, sifted_then};
use crate::look::{Look, Place, left_over, older_places};
use crate::protocol::Context;
use crate::removal::Removal;
use crate::sift::{Sift, Sifting};
use crate::state::{Epoch, Line, Record, State, Text, bit};

/// A session that is about to get an id.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Job {
    pub(crate) id: u8,
    /// The epoch with which the login began, if it began before.
    pub(crate) seen: Option<Epoch>,
    /// The epoch when it was first noted, where a second attempt may come.
    noted: Option<Epoch>,
    old: Old,
    /// Whether it is the second attempt, with a place of its own.
    is_apart: bool,
}

/// The session that the browser had.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Old {
    None,
    /// Nobody was logged in.
    Guest(Record),
    /// It has a place in the same text, which the new record takes over.
    Place(Record),
    /// It has a place in the text of an older secret, which it leaves.
    Older(Record),
}

impl Old {
    fn record(self) -> Option<Record> {
        match self {
            Self::None => None,
            Self::Guest(record) | Self::Place(record) | Self::Older(record) => Some(record),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Entering {
    AppendMove,
    /// The sessions in the older text are counted.
    Room {
        again: bool,
    },
    FinishRoom {
        older: u8,
        again: bool,
        sift: Sift,
    },
    /// `older`: the sessions in the older text.
    AppendLogIn {
        older: u8,
        again: bool,
    },
    /// After a login was refused, what is only an entry is dropped, in every text.
    ReadFull {
        log: Text,
    },
    SiftFull {
        sift: Sift,
        log: Option<Text>,
    },
    Create {
        record: Record,
    },
    /// Only where the record is created before the entry, which is wrong.
    AppendLate,
    /// The look, which only a session without a place to move from needs, and the removal of the old record,
    /// at the same time.
    Join {
        look: Look,
        removal: Removal,
    },
    /// The session that a guest had was over: the new record must keep none of its data.
    Rewrite,
    Arrive,
    Settle {
        look: Look,
    },
    /// The tried record is destroyed, and then its entry is forgotten.
    DestroyTried,
    ForgetTried,
}

impl Job {
    pub(crate) fn new(id: u8, seen: Option<Epoch>, old: Old) -> Self {
        Self { id, seen, noted: None, old, is_apart: false }
    }

    /// The second attempt of a login. It began when it was first noted.
    fn apart(self) -> Self {
        let seen = self.seen.or(self.noted);
        Self { id: self.id + 4, seen, noted: None, old: Old::None, is_apart: true }
    }

    fn noted(self, epoch: Epoch) -> Self {
        let is_needed = matches!(self.old, Old::Place(_) | Old::Older(_)) && self.seen.is_none();
        Self { noted: self.noted.or(is_needed.then_some(epoch)), ..self }
    }

    fn text(self, state: &State) -> u8 {
        if let Old::Place(record) = self.old { record.text } else { state.newest() }
    }

    /// The first step that appends.
    pub(crate) fn begin(self, call: Call, state: &State) -> At {
        match self.old {
            Old::Place(_) => self.at(Entering::AppendMove),
            _ => self.room(call, state, false),
        }
    }

    pub(crate) fn at(self, at: Entering) -> At {
        At::Enter { job: self, at }
    }

    /// A login that is about to append its line. Where it may be refused, the sessions in the older text are
    /// counted first.
    fn room(self, call: Call, state: &State, again: bool) -> At {
        self.at(match state.newest() > 0 && at_limit(call) == Some(AtLimit::Refuse) {
            true => Entering::Room { again },
            false => Entering::AppendLogIn { older: 0, again },
        })
    }

    /// A login that found no room. `log`: the newest text, if it is still to be sifted.
    fn sift_full(self, call: Call, state: &State, sift: Sift, log: Option<Text>) -> At {
        match (sift.is_over(), log) {
            (false, _) => self.at(Entering::SiftFull { sift, log }),
            (true, Some(log)) => self.sift_full(call, state, Sift::all(state.newest(), &log), None),
            (true, None) => self.room(call, state, true),
        }
    }

    fn place(self, call: Call, state: &State) -> Place {
        let at_limit = at_limit(call);
        Place {
            id: self.id,
            text: self.text(state),
            is_limited: at_limit.is_some(),
            ends_oldest: at_limit == Some(AtLimit::EndOldest),
            leaves: self.leaves(call),
        }
    }

    /// The id in the text of the older secret whose place does not count.
    fn leaves(self, call: Call) -> Option<u8> {
        from(call).filter(|_| matches!(self.old, Old::Older(_)))
    }

    /// Goes on when both the look and the removal are over.
    fn joined(self, context: Context, call: Call, look: Look, removal: Removal) -> At {
        let Look::Over(is_held) = look else { return self.at(Entering::Join { look, removal }) };
        let needs_old = matches!(self.old, Old::Place(_) | Old::Older(_));
        match removal {
            Removal::Try { .. } | Removal::BringOver { .. } | Removal::Destroy => {
                self.at(Entering::Join { look, removal })
            }
            Removal::Elsewhere if needs_old && (context.protocol.goes_apart || !is_login(call)) => {
                self.at(Entering::DestroyTried)
            }
            Removal::Failed if needs_old && is_login(call) && context.protocol.failed_go_apart => {
                self.at(Entering::DestroyTried)
            }
            _ if !is_held => At::Done(Outcome::Nothing),
            Removal::Failed => At::Done(Outcome::Nothing),
            Removal::Elsewhere if !needs_old => self.at(Entering::Rewrite),
            Removal::Elsewhere | Removal::Done => match (self.old, from(call)) {
                (Old::Place(_), _) => self.at(Entering::Arrive),
                (Old::Older(old), Some(id)) => {
                    At::AppendLogOut { text: old.text, id, then: Outcome::Alive(self.id) }
                }
                _ => At::Done(Outcome::Alive(self.id)),
            },
        }
    }

    fn settled(self, look: Look) -> At {
        match look {
            Look::Over(true) => At::Done(Outcome::Alive(self.id)),
            Look::Over(false) => At::Done(Outcome::Nothing),
            look => self.at(Entering::Settle { look }),
        }
    }
}

/// One step: all that it may lead to.
pub(crate) fn step(context: Context, call: Call, job: Job, at: Entering, state: &State, ways: &mut Vec<Way>) {
    let protocol = context.protocol;
    let (newest, own, from_id) = (state.newest(), job.id, from(call).unwrap_or_default());
    let mut next = *state;
    // Appends a line. `None`: its text is read in a later step.
    let mut append = |text: u8, line: Line, ways: &mut Vec<Way>| {
        if !context.sent {
            next.text_mut(text).append(protocol, line);
            if protocol.reads_later {
                ways.push(Way::sent(next, job.at(at)));
                return None;
            }
        }
        Some((next, *next.text(text)))
    };
    match at {
        Entering::AppendMove => {
            let Old::Place(record) = job.old else { return };
            let line = Line::Move { from: from_id, to: own, seen: job.seen };
            let Some((next, log)) = append(record.text, line, ways) else { return };
            let at = match log.entry(own).filter(|entry| !entry.ended || !protocol.moves_ask_the_mark) {
                Some(entry) => {
                    let record = Record { place: entry.place, born: entry.born, late: entry.late, ..record };
                    job.noted(log.epoch).at(Entering::Create { record })
                }
                None if is_login(call) => job.room(call, state, false),
                None => At::Done(Outcome::Nothing),
            };
            ways.push(Way::appended(next, at));
        }
        Entering::Room { again } => {
            let older = older_places(context, state, newest, job.leaves(call)).count_ones() as u8;
            let sift = left_over(context, state, newest);
            let at = match sift.is_over() {
                true => Entering::AppendLogIn { older, again },
                false => Entering::FinishRoom { older, again, sift },
            };
            ways.push(Way::on(next, job.at(at)));
        }
        Entering::FinishRoom { older, again, sift } => sift.step(context, state, |state, now, appended| {
            let (now, sent) = match now {
                Sifting::Sent => (at, true),
                Sifting::On(sift) => (Entering::FinishRoom { older, again, sift }, false),
                Sifting::Over(_) => (Entering::AppendLogIn { older, again }, false),
            };
            ways.push(Way { appended, sent, ..Way::on(state, job.at(now)) });
        }),
        Entering::AppendLogIn { older, again } => {
            let refuses = at_limit(call) == Some(AtLimit::Refuse);
            let limit = refuses.then(|| (LIMIT as u8).saturating_sub(older));
            let line = Line::LogIn { id: own, seen: job.seen, limit, is_apart: job.is_apart };
            let Some((next, log)) = append(newest, line, ways) else { return };
            let is_stale = protocol.checks_epoch && job.seen.is_some_and(|seen| seen != log.epoch);
            let at = match log.entry(own) {
                Some(entry) if !entry.ended => {
                    let record = Record {
                        text: newest,
                        data: job.old.record().map_or(0, |old| old.data),
                        place: entry.place,
                        born: entry.born,
                        guest: false,
                        late: false,
                    };
                    job.noted(log.epoch).at(Entering::Create { record })
                }
                Some(_) => At::Done(Outcome::Nothing),
                None if is_stale => At::Done(Outcome::Nothing),
                None if again => At::Done(Outcome::Refused),
                None if newest > 0 && protocol.full_sifts => job.at(Entering::ReadFull { log }),
                None => job.sift_full(call, &next, Sift::all(newest, &log), None),
            };
            ways.push(Way::appended(next, at));
        }
        Entering::ReadFull { log } => {
            let sift = Sift::all(newest - 1, state.text(newest - 1));
            ways.push(Way::on(next, job.sift_full(call, state, sift, Some(log))));
        }
        Entering::SiftFull { sift, log } => sift.step(context, state, |next, now, appended| {
            let (now, sent) = match now {
                Sifting::Sent => (job.at(at), true),
                Sifting::On(sift) => (job.at(Entering::SiftFull { sift, log }), false),
                Sifting::Over(_) => (job.sift_full(call, &next, Sift::finish(newest, 0), log), false),
            };
            ways.push(Way { appended, sent, ..Way::on(next, now) });
        }),
        Entering::Create { record } => {
            // A session that begins anew keeps no data, which is nobody's loss.
            let base = job.old.record().map(|old| old.data);
            let data = if regenerates(call) && base.is_some() { u8::MAX } else { record.data };
            let record = Record { data, ..record };
            next.put(own, Some(record));
            let removal = match (base, job.old) {
                (None, _) => Removal::Done,
                (Some(_), Old::Guest(_)) if regenerates(call) => Removal::Destroy,
                (Some(_), _) if regenerates(call) && !protocol.logins_remove_once => Removal::Destroy,
                (Some(base), _) => Removal::Try { record, base, is_unanswered: false },
            };
            let moves = matches!(job.old, Old::Place(_));
            let look = if moves { Look::Over(true) } else { Look::Read };
            ways.push(Way::on(
                next,
                job.at(match protocol.entry_first || !is_login(call) {
                    true => Entering::Join { look, removal },
                    false => Entering::AppendLate,
                }),
            ));
        }
        Entering::AppendLate => {
            let line = Line::LogIn { id: own, seen: None, limit: None, is_apart: false };
            let Some((mut next, log)) = append(newest, line, ways) else { return };
            let place = log.entry(own).map_or(0, |entry| entry.place);
            next.put(own, next.record(own).map(|record| Record { place, ..record }));
            ways.push(Way::appended(
                next,
                job.at(Entering::Join { look: Look::Read, removal: Removal::Done }),
            ));
        }
        Entering::Join { look, removal } => {
            let place = job.place(call, state);
            look.step(context, place, state, |state, look, appended, sent| {
                let at = job.joined(context, call, look, removal);
                ways.push(Way { appended, sent, ..Way::on(state, at) });
            });
            // An append of the look that is on its way does not hinder the removal.
            removal.step(context, (from_id, own), regenerates(call), state, |state, removal, lost| {
                let at = job.joined(context, call, look, removal);
                ways.push(Way { sent: context.sent, lost, ..Way::on(state, at) });
            });
        }
        Entering::Rewrite => {
            let at = match state.record(own) {
                None => At::Done(Outcome::Nothing),
                Some(record) => {
                    next.put(own, Some(Record { data: u8::MAX, ..record }));
                    At::Done(Outcome::Alive(own))
                }
            };
            ways.push(Way::on(next, at));
        }
        Entering::Arrive => {
            let text = job.text(state);
            let Some((next, log)) = append(text, Line::Arrive { from: from_id, to: own }, ways) else {
                return;
            };
            let at = match log.is_held(own) || !protocol.looks_at_arrival {
                true => job.settled(Look::settle(context, job.place(call, state), log)),
                false => job.at(Entering::DestroyTried),
            };
            ways.push(Way::appended(next, at));
        }
        Entering::Settle { look } => {
            look.step(context, job.place(call, state), state, |state, look, appended, sent| {
                ways.push(Way { appended, sent, ..Way::on(state, job.settled(look)) });
            });
        }
        Entering::DestroyTried => {
            if protocol.destroys_the_tried {
                next.put(own, None);
            }
            ways.push(Way::on(next, job.at(Entering::ForgetTried)));
        }
        Entering::ForgetTried => {
            let line = Line::Forget { ids: bit(own) };
            let Some((next, _)) = append(job.text(state), line, ways) else { return };
            let at = match is_login(call) && protocol.goes_apart {
                true => job.apart().room(call, &next, false),
                // A guest's session under another id, or an error.
                false => At::Done(Outcome::Nothing),
            };
            ways.push(Way::appended(next, at));
        }
    }
}

/// What a login does with a text after a logout, or a logout itself.
pub(crate) fn log_out(context: Context, at: At, state: &State, ways: &mut Vec<Way>) {
    let At::AppendLogOut { text, id, then } = at else { return };
    let mut next = *state;
    if !context.sent {
        next.text_mut(text).append(context.protocol, Line::LogOut { id });
        if context.protocol.reads_later {
            return ways.push(Way::sent(next, at));
        }
    }
    let marked = if context.protocol.logout_finishes { next.text(text).marked() } else { 0 };
    ways.push(Way::appended(next, sifted_then(Sift::finish(text, marked), then)));
}

pub(crate) fn from(call: Call) -> Option<u8> {
    match call {
        Call::LogIn { from, .. } => from,
        Call::Move { from, .. } => Some(from),
        _ => None,
    }
}

pub(crate) fn is_login(call: Call) -> bool {
    matches!(call, Call::LogIn { .. })
}

fn regenerates(call: Call) -> bool {
    matches!(call, Call::LogIn { regenerates: true, .. })
}

fn at_limit(call: Call) -> Option<AtLimit> {
    if let Call::LogIn { at_limit, .. } = call { at_limit } else { None }
}
