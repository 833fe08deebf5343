//! The moves: which are possible, and what each of them does.

use std::sync::atomic::Ordering;

use sessile::{Replaced, SessionId, StoreError};
use smol_str::SmolStr;

use super::{Grain, Scheduler, WAIT};
use crate::gates::{Call, Entry, Reply, Stage, lock};
use crate::history::{Contents, Effect, EffectKind};
use crate::request::Gate;
use crate::stores::is_session;

#[derive(Debug, Clone, Copy)]
pub(super) enum Move {
    /// A request begins its next step.
    Step(usize),
    CarryOut(usize),
    Answer(usize),
    Wait,
    /// A call that nobody waits for is never carried out.
    Discard(usize),
    Fail(usize),
    LoseAnswer(usize),
    FailLate(usize),
    Drop(usize),
    /// With whole calls: a call is carried out, and its answer reaches nobody, because the request is
    /// dropped.
    DropAfter(usize),
}

impl Scheduler<'_> {
    /// The moves that are possible: first those of whoever moved last, then the others'; and the faults.
    pub(super) fn moves(&self) -> (Vec<Move>, Vec<Move>) {
        let board = lock(&self.shared);
        let scene = self.scene.borrow();
        let (mut progress, mut faults) = (Vec::new(), Vec::new());
        let requests = self.running.len();
        let mut blocked = false;
        for actor in (0..requests).map(|at| (board.current + at) % requests) {
            let live = self.running[actor].future.is_some();
            let mut moves = live && scene.gates[actor] == Gate::Closed;
            if moves {
                progress.push(Move::Step(actor));
            }
            for (ticket, entry) in board.calls.iter().enumerate() {
                if entry.actor != actor || entry.abandoned {
                    continue;
                }
                match entry.stage {
                    Stage::Waiting => {
                        progress.push(Move::CarryOut(ticket));
                        moves = true;
                        if self.left.fail > 0 {
                            faults.push(Move::Fail(ticket));
                        }
                        if self.left.late > 0 && !entry.call.only_reads() {
                            faults.push(Move::FailLate(ticket));
                        }
                        if self.grain == Grain::WholeCalls && self.left.lose > 0 {
                            faults.push(Move::LoseAnswer(ticket));
                        }
                        if self.grain == Grain::WholeCalls && self.left.drop > 0 {
                            faults.push(Move::DropAfter(ticket));
                        }
                    }
                    Stage::CarriedOut(_) => {
                        progress.push(Move::Answer(ticket));
                        moves = true;
                        if self.left.lose > 0 {
                            faults.push(Move::LoseAnswer(ticket));
                        }
                    }
                    Stage::Answered(_) | Stage::Over => {}
                }
            }
            let has_begun = !scene.steps[actor].is_empty() || actor == self.program.requests.len();
            if live && self.left.drop > 0 && has_begun {
                faults.push(Move::Drop(actor));
            }
            blocked |= live && !moves;
        }
        let abandoned = |entry: &Entry| entry.abandoned && matches!(entry.stage, Stage::Waiting);
        for (ticket, _) in board.calls.iter().enumerate().filter(|(_, entry)| abandoned(entry)) {
            progress.push(Move::CarryOut(ticket));
            progress.push(Move::Discard(ticket));
        }
        // Who waits for something else may wait for time to pass. With whole calls, time passes where nothing
        // else can.
        if blocked && progress.is_empty() {
            progress.push(Move::Wait);
        } else if blocked && self.grain == Grain::Fine {
            faults.push(Move::Wait);
        }
        (progress, faults)
    }

    pub(super) async fn make(&mut self, chosen: Move) {
        match chosen {
            Move::Step(at) => {
                lock(&self.shared).current = at;
                self.scene.borrow_mut().gates[at] = Gate::Open;
                self.running[at].woken.0.store(true, Ordering::Relaxed);
            }
            Move::CarryOut(ticket) => {
                self.carry_out(ticket).await;
                if self.grain == Grain::WholeCalls {
                    self.answer(ticket);
                }
            }
            Move::Answer(ticket) => self.answer(ticket),
            Move::Wait => {
                self.waits += 1;
                tokio::time::sleep(WAIT).await;
            }
            Move::Discard(ticket) => {
                self.say_call(ticket, "is never carried out");
                lock(&self.shared).calls[ticket].stage = Stage::Over;
            }
            Move::Fail(ticket) => {
                self.left.fail -= 1;
                self.say_call(ticket, "FAILS before it is carried out");
                self.refuse(ticket, "the scheduler failed this call");
            }
            Move::LoseAnswer(ticket) => {
                self.left.lose -= 1;
                if self.grain == Grain::WholeCalls {
                    self.carry_out(ticket).await;
                }
                self.say_call(ticket, "is answered with an ERROR, though it was carried out");
                self.refuse(ticket, "the scheduler lost this answer");
            }
            Move::FailLate(ticket) => {
                self.left.late -= 1;
                self.say_call(ticket, "is answered with an ERROR, and may be carried out later");
                self.refuse(ticket, "the scheduler lost this call");
                let mut board = lock(&self.shared);
                let Entry { actor, call, side, .. } = &board.calls[ticket];
                let late = Entry::abandoned(*actor, call.clone(), *side);
                board.calls.push(late);
            }
            Move::Drop(at) => self.drop_request(at),
            Move::DropAfter(ticket) => {
                self.carry_out(ticket).await;
                let actor = lock(&self.shared).calls[ticket].actor;
                self.drop_request(actor);
                // Where a task of the library made the call, it goes on.
                self.answer(ticket);
            }
        }
    }

    pub(super) fn drop_request(&mut self, at: usize) {
        self.left.drop -= 1;
        lock(&self.shared).current = at;
        self.running[at].future = None;
        self.scene.borrow_mut().gates[at] = Gate::Passed;
        self.say(Some(at), || "is DROPPED".into());
    }

    pub(super) fn answer(&mut self, ticket: usize) {
        let mut board = lock(&self.shared);
        board.current = board.calls[ticket].actor;
        match std::mem::replace(&mut board.calls[ticket].stage, Stage::Over) {
            Stage::CarriedOut(reply) => board.answer(ticket, reply),
            stage => board.calls[ticket].stage = stage,
        }
    }

    /// The caller is told that the store could not do it.
    pub(super) fn refuse(&mut self, ticket: usize, why: &'static str) {
        let at = self.scene.borrow_mut().tick();
        let mut board = lock(&self.shared);
        let entry = &board.calls[ticket];
        let actor = entry.actor;
        let id = SmolStr::from(entry.call.id().map(SessionId::as_str).unwrap_or_default());
        let kind = match entry.call {
            Call::Destroy(_) | Call::DestroyIf(..) => EffectKind::RemovalUnanswered,
            _ => EffectKind::Unanswered,
        };
        self.history.effects.push(Effect { at, actor, kind, id });
        board.current = actor;
        board.answer(ticket, Err(StoreError::unavailable(why)));
    }

    pub(super) async fn carry_out(&mut self, ticket: usize) {
        if self.grain == Grain::WholeCalls {
            let actor = lock(&self.shared).calls[ticket].actor;
            self.scene.borrow_mut().asks_now(actor);
        }
        let (actor, call, side) = {
            let mut board = lock(&self.shared);
            let Entry { actor, call, side, .. } = &board.calls[ticket];
            let (actor, call, side) = (*actor, call.clone(), *side);
            board.current = actor;
            (actor, call, side)
        };
        let store = self.base.side(side);
        self.clock.advance(self.program.options.step());
        let undecodable = call.id().is_some_and(|id| lock(&self.shared).undecodable.contains(id.as_str()));
        let before = match (&call, call.id()) {
            (Call::Set(..) | Call::Create(..) | Call::Destroy(_), Some(id)) if !undecodable => {
                self.base.is_alive(id).await
            }
            _ => false,
        };
        let reply = match call {
            Call::Get(_) if undecodable => Err(StoreError::corrupt("the scheduler's own")),
            _ => call.carry_out(&store).await,
        };
        let at = self.scene.borrow_mut().tick();
        self.history.calls.push(at);
        let kind = match (&call, &reply) {
            (_, Err(error)) if !error.is_corrupt() => {
                self.offend("store", format!("{} failed by itself: {error}", call.name()));
                None
            }
            (Call::Destroy(_), _) if before => Some(EffectKind::Destroyed),
            (Call::DestroyIf(..), Ok(Reply::Replaced(Replaced::Done(_)))) => Some(EffectKind::Moved),
            (Call::Create(..), Ok(Reply::Bool(true))) => Some(EffectKind::Created),
            (Call::Set(..), _) if !before => Some(EffectKind::Created),
            _ => None,
        };
        if let Call::Append(_, line) = &call {
            self.history.effects.extend(told_to_list(line).map(|(kind, id)| Effect { at, actor, kind, id }));
        }
        // Of a session that moves, one of the two records is removed.
        let is_removal = |kind: &EffectKind| matches!(kind, EffectKind::Destroyed | EffectKind::Moved);
        let kind = match call.id() {
            Some(id) if kind.as_ref().is_some_and(is_removal) && self.base.is_alive(id).await => None,
            _ => kind,
        };
        if let Some(id) = call.id() {
            let id = SmolStr::from(id.as_str());
            let is_written =
                matches!(reply, Ok(Reply::Done | Reply::Bool(true) | Reply::Replaced(Replaced::Done(_))));
            if let Some(record) =
                call.record().filter(|record| self.program.users && is_written && is_session(record))
            {
                let contents = Contents::of_json(record.as_json()).unwrap_or_default();
                self.history.writes.push((at, id.clone(), contents));
            }
            self.history.effects.extend(kind.map(|kind| Effect { at, actor, kind, id }));
        }
        self.say_done(&call, actor, ticket, &reply);
        let mut board = lock(&self.shared);
        board.activity += 1;
        let entry = &mut board.calls[ticket];
        entry.stage = if entry.abandoned { Stage::Over } else { Stage::CarriedOut(reply) };
    }
}

/// What a line of a user's text says, where the oracles need to know it.
fn told_to_list(line: &str) -> Option<(EffectKind, SmolStr)> {
    let event: serde_json::Value = serde_json::from_str(line).ok()?;
    let kinds = [("log_out", EffectKind::LoggedOut), ("log_in", EffectKind::Entered)];
    kinds.into_iter().find_map(|(name, kind)| Some((kind, event.get(name)?.get("id")?.as_str()?.into())))
}
