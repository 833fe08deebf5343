//! Whether some order of the steps of a run explains every answer, every cookie and the records that are
//! left.
//!
//! A step takes effect at one moment between its call and its answer. One that failed, or whose request was
//! dropped, took effect at such a moment or never; with calls that are carried out late, at any moment after
//! it began.

use std::collections::HashSet;
use std::hash::{BuildHasher as _, RandomState};
use std::ops::Range;

use crate::history::{After, CookieSeen, EffectKind, Failure, History, Step, Told, Violation};
use crate::model::{Handle, Id, Loaded, Loading, Outcome, Trial, World};
use crate::program::{Op, Options, Program};
use crate::promises::{
    answered, asked_again, ended_on_the_way, followed, gave_up, logout_undone, not_listed, removal_done,
    removal_unanswered, users,
};
use crate::request::show;

/// Past so many states an order is given up on, and the run counts as explained. No run comes near it.
const STATES: usize = 2_000_000;

/// A request, as far as its steps are in the order.
#[derive(Debug, Clone, Hash)]
struct Progress {
    at: usize,
    loading: Option<Loading>,
    handle: Option<Handle>,
}

/// A step that may take effect later, or never.
#[derive(Debug, Clone, Hash)]
struct Floating {
    request: usize,
    handle: Handle,
    save: bool,
    asked: u64,
}

#[derive(Debug, Clone, Hash)]
struct State {
    world: World,
    requests: Vec<Progress>,
    floating: Vec<Floating>,
}

struct Search<'h> {
    history: &'h History,
    options: Options,
    late: bool,
    seen: HashSet<u64>,
    hasher: RandomState,
    /// The ids that an answer or a cookie named.
    answered: HashSet<&'h Id>,
    /// The longest order that was found, and what stood against a longer one.
    best: (usize, Option<Violation>),
}

/// What is wrong with a run, if anything is.
pub(crate) fn judge(program: &Program, history: &History) -> Option<Violation> {
    if let Some(offence) = &history.offence {
        return Some(offence.clone());
    }
    if program.users {
        return users::judge(program, history);
    }
    let broken =
        logout_undone(history).or_else(|| gave_up(history, program.store)).or_else(|| not_listed(history));
    if let Some(broken) = broken {
        return Some(broken);
    }
    let mut search = Search {
        history,
        options: program.options,
        late: program.faults.late > 0,
        seen: HashSet::new(),
        hasher: RandomState::new(),
        answered: answered(history).collect(),
        best: (0, None),
    };
    let world = World::new(&history.before);
    let request = Progress { at: 0, loading: None, handle: None };
    let state = State { world, requests: vec![request; history.requests.len()], floating: Vec::new() };
    if search.explains(state) {
        return None;
    }
    let unknown = || Violation::new("unexplained", "no order explains the run");
    Some(search.best.1.take().unwrap_or_else(unknown))
}

impl Search<'_> {
    fn blame(&mut self, depth: usize, kind: &'static str, what: impl FnOnce() -> String) {
        if self.best.1.is_none() || depth > self.best.0 {
            self.best = (depth, Some(Violation::new(kind, what())));
        }
    }

    /// Whether the rest of the steps can be ordered from here.
    fn explains(&mut self, state: State) -> bool {
        let mut ready = Vec::new();
        self.advance(state, 0, &mut ready);
        ready.into_iter().any(|state| self.explains_next(&state))
    }

    /// Lets every request do what needs no order: calls that ask no store, and steps without an effect.
    fn advance(&mut self, mut state: State, from: usize, ready: &mut Vec<State>) {
        for at in from..state.requests.len() {
            loop {
                let progress = &mut state.requests[at];
                let Some(step) = self.history.requests[at].get(progress.at) else { break };
                match step {
                    Step::Load { loaded: None, .. } => progress.at += 1,
                    Step::Load { .. } => break,
                    Step::Local { op, told } => {
                        let Some(handle) = &progress.handle else { break };
                        let mut ways = handle.call(op, told, self.options);
                        if ways.is_empty() {
                            let right = show(&handle.contents(self.options));
                            let depth = depth(&state);
                            let ended = *told == Told::Failed(Failure::Destroyed);
                            let kind = if ended { "write after destroy" } else { "told" };
                            self.blame(depth, kind, || {
                                format!("request {at} was told {told:?} by {op}; it has {right}")
                            });
                            return;
                        }
                        progress.at += 1;
                        for way in ways.drain(1..) {
                            let mut other = state.clone();
                            other.requests[at].handle = Some(way);
                            self.advance(other, at, ready);
                        }
                        state.requests[at].handle = ways.pop();
                    }
                    Step::Store { op, asked, result: None, .. } => {
                        if let (Some(handle), Op::Commit | Op::Save) = (progress.handle.take(), op) {
                            let save = *op == Op::Save;
                            state.floating.push(Floating { request: at, handle, save, asked: *asked });
                        }
                        state.requests[at].at += 1;
                    }
                    Step::Store { .. } | Step::Users { .. } => break,
                }
            }
        }
        ready.push(state);
    }

    fn explains_next(&mut self, state: &State) -> bool {
        if !self.seen.insert(self.hasher.hash_one(state)) || self.seen.len() > STATES {
            return self.seen.len() > STATES;
        }
        let ends: Vec<_> =
            state.requests.iter().enumerate().map(|(at, progress)| self.answered_at(at, progress)).collect();
        let earliest_but = |at: usize| {
            let others = ends.iter().enumerate().filter(|(other, _)| *other != at);
            others.map(|(_, end)| *end).min().unwrap_or(u64::MAX)
        };
        if ends.iter().all(|end| *end == u64::MAX) && self.is_final(state) {
            return true;
        }
        for at in 0..state.requests.len() {
            let Some(step) = self.history.requests[at].get(state.requests[at].at) else { continue };
            let (Step::Load { asked, .. } | Step::Store { asked, .. }) = step else { continue };
            if *asked > earliest_but(at) {
                continue;
            }
            let done = match step {
                Step::Load { .. } => self.load(state, at),
                _ => self.store(state, at),
            };
            if done {
                return true;
            }
        }
        for at in 0..state.floating.len() {
            if state.floating[at].asked <= earliest_but(usize::MAX) && self.land(state, at) {
                return true;
            }
        }
        false
    }

    /// When the next step of a request was answered.
    fn answered_at(&self, at: usize, progress: &Progress) -> u64 {
        match self.history.requests[at].get(progress.at) {
            Some(Step::Load { answered, .. } | Step::Store { answered, .. }) => answered.unwrap_or(u64::MAX),
            Some(Step::Local { .. } | Step::Users { .. }) | None => u64::MAX,
        }
    }

    fn load(&mut self, state: &State, at: usize) -> bool {
        let progress = &state.requests[at];
        let Some(Step::Load { sent, loaded: Some(loaded), .. }) = self.history.requests[at].get(progress.at)
        else {
            return false;
        };
        let loading = progress.loading.unwrap_or_else(Loading::new);
        let mut next = state.clone();
        match loading.step(&state.world, sent, &self.history.undecodable) {
            Loaded::Again(loading) => {
                next.requests[at].loading = Some(loading);
                self.explains(next)
            }
            Loaded::Done(handle, origin) => {
                let contents = handle.contents(self.options);
                if origin != loaded.origin || contents != loaded.contents {
                    let (seen, right) = (show(&loaded.contents), show(&contents));
                    self.blame(depth(state), "load", || {
                        format!("request {at} loaded {:?} {seen}; right is {origin:?} {right}", loaded.origin)
                    });
                    return false;
                }
                next.requests[at] = Progress { at: progress.at + 1, loading: None, handle: Some(*handle) };
                self.explains(next)
            }
        }
    }

    fn store(&mut self, state: &State, at: usize) -> bool {
        let progress = &state.requests[at];
        let history = self.history;
        let Some(Step::Store { op, asked, answered, result: Some(result), contents }) =
            history.requests[at].get(progress.at)
        else {
            return false;
        };
        let Some(handle) = progress.handle.clone() else { return false };
        let mut next = state.clone();
        next.requests[at].at += 1;
        let save = *op == Op::Save;
        match result {
            Err(Failure::Store) => {
                if contents.as_ref() != Some(&handle.contents(self.options)) {
                    self.blame(depth(state), "contents", || {
                        format!("a failed {op} changed what request {at} sees")
                    });
                    return false;
                }
                if *op == Op::Reload {
                    return self.explains(next);
                }
                let mut failed = next.clone();
                failed.requests[at].handle = Some(handle.failed());
                if self.explains(failed.clone()) {
                    return true;
                }
                if self.late {
                    failed.floating.push(Floating {
                        request: at,
                        handle: handle.clone(),
                        save,
                        asked: *asked,
                    });
                    if self.explains(failed) {
                        return true;
                    }
                }
                let time = *asked..answered.unwrap_or(u64::MAX);
                self.effects(&state.world, &handle, (at, save), time).into_iter().any(|outcome| {
                    let mut next = next.clone();
                    let failed = handle.failed_after(&outcome.handle, &outcome.world);
                    next.requests[at].handle = Some(failed);
                    next.world = outcome.world;
                    self.explains(next)
                })
            }
            // Time was let pass until the library gave up.
            Err(Failure::Conflict) if history.waits > 0 => {
                next.requests[at].handle = Some(handle.failed());
                self.explains(next)
            }
            result => {
                let until = answered.unwrap_or(u64::MAX);
                let time = *asked..until;
                let old = handle.old_id();
                let asked_again = old.is_some_and(|id| asked_again(history, at, id, &time));
                let removal_unanswered = old.is_some_and(|id| removal_unanswered(history, at, id, *asked));
                let ended_on_the_way = old.is_some_and(|id| ended_on_the_way(history, at, id, &time));
                let followed = handle.leaves().map(|id| followed(history, at, id, &time)).unwrap_or_default();
                let followed = &followed[..];
                let removal_done = old.is_some_and(|id| removal_done(history, at, id, *asked));
                let trial = |new| Trial {
                    save,
                    new,
                    asked_again,
                    removal_unanswered,
                    removal_done,
                    ended_on_the_way,
                    followed,
                };
                let outcomes = match (op, result) {
                    (Op::Reload, _) => handle.reload(&state.world),
                    (_, Ok(After { id: Some(id), .. })) => {
                        handle.commit(&state.world, trial(Some(id)), self.options)
                    }
                    _ => {
                        let ids = self.created(until);
                        let each = ids.iter().map(Some).chain([None]);
                        each.flat_map(|id| handle.commit(&state.world, trial(id), self.options)).collect()
                    }
                };
                let none = outcomes.is_empty();
                if none {
                    self.blame(depth(state), "id", || {
                        format!("request {at}, {op}: no new record can be what {result:?} says")
                    });
                }
                outcomes.into_iter().any(|outcome| {
                    if let Some((kind, what)) = self.differs(&outcome, result, contents.as_ref()) {
                        self.blame(depth(state), kind, || format!("request {at}, {op}: {what}"));
                        return false;
                    }
                    let mut next = next.clone();
                    next.world = outcome.world;
                    next.requests[at].handle = Some(outcome.handle);
                    self.explains(next)
                })
            }
        }
    }

    /// What an answer and an outcome differ in.
    fn differs(
        &self,
        outcome: &Outcome,
        result: &Result<After, Failure>,
        contents: Option<&crate::history::Contents>,
    ) -> Option<(&'static str, String)> {
        let handle = &outcome.handle;
        let right = handle.contents(self.options);
        match (result, outcome.result) {
            (Ok(after), Ok(())) => {
                if let Some(cookie) = after.cookie.as_ref().filter(|cookie| !handle.explains(cookie)) {
                    let kind = match cookie {
                        CookieSeen::None => "cookie missing",
                        CookieSeen::Expired => "cookie expired",
                        CookieSeen::Set(_) if handle.is_new() == Some(true) => "cookie over a cookie",
                        CookieSeen::Set(id) if !outcome.world.records.contains_key(id) => {
                            "cookie of a gone session"
                        }
                        CookieSeen::Set(_) => "cookie not due",
                    };
                    return Some((kind, format!("the cookie {cookie:?} is wrong")));
                }
                if handle.is_new().is_some_and(|is_new| is_new != after.is_new) {
                    return Some(("id", format!("is_new() says {}", after.is_new)));
                }
                if let (Some(id), Some(own)) = (&after.id, handle.id())
                    && id != own
                {
                    return Some(("id", format!("id() says {id}, and it is {own}")));
                }
                (after.contents != right).then(|| {
                    (
                        "contents",
                        format!("the session has {}; right is {}", show(&after.contents), show(&right)),
                    )
                })
            }
            (Err(failure), Err(other)) if *failure == other => (contents != Some(&right))
                .then(|| ("contents", "an error changed what the request sees".into())),
            (Ok(_), Err(other)) => Some(("answer", format!("it succeeded; right is {other:?}"))),
            (Err(failure), _) => Some(("answer", format!("it failed with {failure:?}"))),
        }
    }

    /// The ids of the records that were created until then.
    fn created(&self, until: u64) -> Vec<Id> {
        if self.history.effects.is_empty() {
            // Nobody watches what is done to a store that is called directly.
            let unnamed = |id: &&Id| !self.answered.contains(*id);
            return self.history.minted.iter().filter(unnamed).cloned().collect();
        }
        let effects = self.history.effects.iter();
        let created = effects.filter(|effect| effect.kind == EffectKind::Created && effect.at < until);
        let mut ids: Vec<_> = created.map(|effect| effect.id.clone()).collect();
        ids.dedup();
        ids
    }

    /// In each way it may have happened: what a step did that nobody was told of.
    fn effects(
        &self,
        world: &World,
        handle: &Handle,
        (request, save): (usize, bool),
        time: Range<u64>,
    ) -> Vec<Outcome> {
        let ids = self.created(time.end);
        let is_ended = |id: &Id| ended_on_the_way(self.history, request, id, &time);
        let ended_on_the_way = handle.old_id().is_some_and(is_ended);
        let nowhere = handle.ended_on_the_way(world).filter(|_| ended_on_the_way);
        let followed =
            handle.leaves().map(|id| followed(self.history, request, id, &time)).unwrap_or_default();
        let (asked_again, removal_unanswered, followed) = (false, false, &followed[..]);
        let removal_done = false;
        let trial = Trial {
            save,
            new: None,
            asked_again,
            removal_unanswered,
            removal_done,
            ended_on_the_way,
            followed,
        };
        let trials = ids.iter().map(Some).chain([None]).map(|new| Trial { new, ..trial });
        let outcomes = trials.flat_map(|trial| handle.commit(world, trial, self.options));
        let outcomes = outcomes.filter(|outcome| outcome.result.is_ok() && outcome.world != *world);
        outcomes.chain(nowhere).chain(handle.without_left(world)).collect()
    }

    /// A floating step takes effect.
    fn land(&mut self, state: &State, at: usize) -> bool {
        let mut next = state.clone();
        let Floating { request, handle, save, asked } = next.floating.remove(at);
        self.effects(&state.world, &handle, (request, save), asked..u64::MAX).into_iter().any(|outcome| {
            let mut next = next.clone();
            // The request may have gone on after an error.
            if let Some(live) = &mut next.requests[request].handle {
                live.carried_out(&handle, &outcome.handle, &outcome.world);
            }
            next.world = outcome.world;
            self.explains(next)
        })
    }

    /// Whether the store holds what it should at last.
    fn is_final(&mut self, state: &State) -> bool {
        let (world, after) = (&state.world.records, &self.history.after);
        let wrong = world.iter().find(|(id, contents)| after.get(*id) != Some(contents));
        if let Some((id, contents)) = wrong {
            let (kind, there) = match after.get(id) {
                Some(there) => ("record wrong", show(there)),
                None => ("record lost", "nothing".into()),
            };
            let what = format!("the store holds {there} under {id}; right is {}", show(contents));
            self.blame(depth(state) + 1, kind, || what);
            return false;
        }
        // A record under an id that nobody was told may stay behind after a failure.
        let left = after.keys().find(|id| !world.contains_key(*id) && self.answered.contains(*id));
        if let Some(id) = left {
            let what = format!("the store holds {id}, which was ended");
            self.blame(depth(state) + 1, "record revived", || what);
        }
        left.is_none()
    }
}

/// How many steps are in the order.
fn depth(state: &State) -> usize {
    state.requests.iter().map(|progress| progress.at).sum()
}
