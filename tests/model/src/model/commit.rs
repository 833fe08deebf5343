//! Commit, save and reload: the commit table over a map of records, and the places where more than one
//! outcome is right.

use super::change::{Change, Undecodable};
use super::{Cookie, Handle, How, Id, Outcome, RequestCookie, Stage, Trial, World};
use crate::history::{Contents, Failure};
use crate::program::Options;

/// Whether a repeated commit that finds exactly what a failed one has written makes its changes no more.
/// Where another request has written since, they may be made twice in any case.
const FINDS_OWN_WRITES: bool = true;

impl Handle {
    /// The same handle after a failed call. The next commit may take another id than the promised one.
    pub(crate) fn failed(&self) -> Self {
        Self { settled: false, disturbed: true, promised: None, ..self.clone() }
    }

    /// The same handle, where a call that failed was carried out after all: `done` is what it would have
    /// become in this world.
    pub(crate) fn failed_after(&self, done: &Self, world: &World) -> Self {
        let mut after = self.failed();
        after.carried_out(self, done, world);
        after
    }

    /// A call that `asked` made and that failed was carried out after all, perhaps after the request had gone
    /// on.
    pub(crate) fn carried_out(&mut self, asked: &Self, done: &Self, world: &World) {
        let is_same = match (&asked.stage, &self.stage) {
            (Stage::Existing { id, base }, Stage::NewId { how: How::Cycle, old: Some((old, loaded)) }) => {
                (id, base) == (old, loaded)
            }
            (asked, now) => asked == now,
        };
        if !is_same || !self.log.starts_with(&asked.log) {
            return;
        }
        if let (Stage::NewId { .. } | Stage::New, Some(id)) = (&asked.stage, done.id()) {
            (self.moved, self.moved_with) = (Some(id.clone()), asked.log.len());
        }
        if let Stage::Existing { .. } | Stage::New = asked.stage {
            self.attempted = asked.log.len();
            self.written = done.id().map(|id| world.writes(id));
        }
    }

    /// In each way that is right: which of its changes a commit makes on what the record holds now. All of
    /// them, or those that no failed commit of this handle has made.
    fn changes_to_make(&self, world: &World, id: &Id) -> Vec<&[Change]> {
        let (all, rest) = (&self.log[..], &self.log[self.attempted..]);
        match self.written.filter(|_| self.attempted > 0) {
            None => vec![all],
            Some(written) if FINDS_OWN_WRITES && written == world.writes(id) => vec![rest],
            Some(_) => vec![all, rest],
        }
    }

    /// Which changes are left where a rival has written exactly what a failed commit of this handle was to
    /// write, in the same millisecond: nobody can tell the two apart, and the handle takes the record for
    /// its own.
    fn left_beside_a_rival(&self, base: &Contents, now: &Contents, options: Options) -> Vec<&[Change]> {
        let is_own = |log| Self::replay(log, Some(base), options).is_ok_and(|own| own == *now);
        (1..=self.log.len()).filter(|made| is_own(&self.log[..*made])).map(|made| &self.log[made..]).collect()
    }

    /// Where a move of this handle got no answer, or another one than it asked for: the session was removed under
    /// the old id and ended by a logout before it had arrived under the new one.
    pub(crate) fn ended_on_the_way(&self, world: &World) -> Option<Outcome> {
        let Stage::NewId { how: How::Cycle, old: Some((id, _)) } = &self.stage else { return None };
        let mut world = world.clone();
        world.records.remove(id)?;
        Some(Outcome { world, handle: self.clone(), result: Ok(()) })
    }

    /// A commit of this handle has removed where a move had left the session, and nothing more.
    pub(crate) fn without_left(&self, world: &World) -> Option<Outcome> {
        let mut ended = world.clone();
        ended.end(&self.left);
        (ended != *world).then(|| Outcome { world: ended, handle: self.clone(), result: Ok(()) })
    }

    /// What the store's word "it is not there" makes of the cookie.
    fn denied(&mut self) {
        if self.cookie == Some(Cookie::Set) {
            self.cookie = None;
        }
    }

    pub(crate) fn reload(&self, world: &World) -> Vec<Outcome> {
        let mut handle = self.clone();
        let failed = |failure, handle: &Self| Outcome {
            world: world.clone(),
            handle: handle.clone(),
            result: Err(failure),
        };
        match &self.stage {
            Stage::Destroyed { .. } | Stage::NewId { how: How::Reborn, .. } => {
                vec![failed(Failure::Destroyed, self)]
            }
            Stage::New | Stage::NewId { old: None, .. } => vec![failed(Failure::Gone, self)],
            Stage::Existing { id, .. } | Stage::NewId { old: Some((id, _)), .. } => {
                match world.records.get(id) {
                    Some(fresh) => {
                        handle.stage = Stage::Existing { id: id.clone(), base: fresh.clone() };
                        handle.log.clear();
                        handle.attempted = 0;
                        handle.promised = None;
                        vec![Outcome { world: world.clone(), handle, result: Ok(()) }]
                    }
                    None => {
                        handle.denied();
                        vec![failed(Failure::Gone, &handle)]
                    }
                }
            }
        }
    }

    /// What a commit (or save) may come to in this world.
    pub(crate) fn commit(&self, world: &World, trial: Trial<'_>, options: Options) -> Vec<Outcome> {
        let Trial { save, new, .. } = trial;
        if self.settled && !save {
            return vec![Outcome { world: world.clone(), handle: self.clone(), result: Ok(()) }];
        }
        let mut outcomes = Vec::new();
        let mut add = |world: &World, handle: Self, result: Result<(), Failure>| {
            let handle = match result {
                Ok(()) => Self { settled: true, touch: false, disturbed: false, ..handle },
                Err(_) => Self { settled: false, ..handle },
            };
            outcomes.push(Outcome { world: world.clone(), handle, result });
        };
        match &self.stage {
            Stage::Destroyed { .. } | Stage::NewId { how: How::Reborn, .. } if save => {
                add(world, self.clone(), Err(Failure::Destroyed));
            }
            Stage::Destroyed { stored } => {
                let (mut world, mut handle) = (world.clone(), self.clone());
                world.end(stored.iter().chain(trial.followed).chain(&self.left));
                handle.left.clear();
                if stored.is_some() || self.request_cookie != RequestCookie::Absent {
                    handle.cookie = Some(Cookie::Expired);
                }
                handle.stage = Stage::Destroyed { stored: None };
                add(&world, handle, Ok(()));
            }
            Stage::NewId { how, old } => {
                self.change_id(world, (*how, old.as_ref()), trial, options, &mut add)
            }
            Stage::New => {
                let untouched = !self.is_modified(options) && !save;
                // An untouched session is sent only to requests that carried no cookie of the name.
                let anonymous = options.save_uninitialized && self.request_cookie == RequestCookie::Absent;
                if untouched && !anonymous {
                    let mut handle = self.clone();
                    handle.log.clear();
                    add(world, handle, Ok(()));
                } else if let Some(id) = new {
                    if !world.past.contains_key(id) && self.may_become(world, id) {
                        let mut world = world.clone();
                        if let Ok(contents) = Self::replay(&self.log, None, options) {
                            world.put(id, contents.clone());
                            add(&world, self.stored(id, contents), Ok(()));
                        }
                    }
                    // A create that was asked twice and finds its own bytes has created.
                    if self.moved.as_ref() == Some(id) && world.records.contains_key(id) {
                        let log = &self.log[self.attempted..];
                        let (mut world, base) = (world.clone(), world.records[id].clone());
                        match Self::replay(log, Some(&base), options) {
                            Ok(contents) => {
                                world.put(id, contents.clone());
                                add(&world, self.stored(id, contents), Ok(()));
                            }
                            Err(Undecodable) => add(&world, self.clone(), Err(Failure::Decode)),
                        }
                    }
                }
            }
            Stage::Existing { id, base } => {
                let modified = self.is_modified(options);
                let old_secret = self.request_cookie == RequestCookie::OldSecret;
                let forced = options.resave || save;
                // What a failed commit may have written is written over.
                let taken_back = self.disturbed && !self.log.is_empty() && !modified;
                let Some(now) = world.records.get(id) else {
                    let mut handle = self.clone();
                    let asks = modified || forced || options.rolling || self.touch || old_secret;
                    if taken_back && !asks {
                        let mut asked = Self { log: Vec::new(), ..self.clone() };
                        asked.denied();
                        add(world, asked, Ok(()));
                    }
                    if asks {
                        handle.denied();
                    }
                    if modified {
                        add(world, handle, Err(Failure::Gone));
                    } else {
                        if save {
                            add(world, handle.clone(), Err(Failure::Gone));
                        }
                        handle.log.clear();
                        add(world, handle, Ok(()));
                    }
                    return outcomes;
                };
                if !modified && !forced && self.attempted == 0 {
                    let mut handle = self.clone();
                    let asks = options.rolling || self.touch || old_secret;
                    if asks && (options.rolling || old_secret) {
                        handle.set_cookie();
                    }
                    handle.log.clear();
                    add(world, handle, Ok(()));
                    if !taken_back {
                        return outcomes;
                    }
                }
                let mut changes = self.changes_to_make(world, id);
                if self.disturbed {
                    changes.extend(self.left_beside_a_rival(base, now, options));
                }
                let mut ways: Vec<_> =
                    changes.into_iter().map(|log| Self::replay(log, Some(now), options)).collect();
                if !modified && self.attempted == 0 {
                    ways.push(Ok(now.clone()));
                }
                for contents in ways {
                    let Ok(contents) = contents else {
                        add(world, self.clone(), Err(Failure::Decode));
                        continue;
                    };
                    let mut world = world.clone();
                    world.put(id, contents.clone());
                    let after = self.existing(id, contents.clone());
                    let seen = self.contents(options);
                    let due = |age: &Contents| {
                        options.rolling
                            || old_secret
                            || modified && (age.max_age.is_some() || seen.max_age != base.max_age)
                    };
                    let mut with_cookie = after.clone();
                    with_cookie.set_cookie();
                    match (due(&seen), due(&contents)) {
                        (true, true) => add(&world, with_cookie, Ok(())),
                        (false, false) => add(&world, after, Ok(())),
                        // Another request changed the max-age meanwhile.
                        _ => {
                            add(&world, with_cookie, Ok(()));
                            add(&world, after, Ok(()));
                        }
                    }
                }
            }
        }
        outcomes
    }

    fn change_id(
        &self,
        world: &World,
        (how, old): (How, Option<&(Id, Contents)>),
        trial: Trial<'_>,
        options: Options,
        add: &mut impl FnMut(&World, Self, Result<(), Failure>),
    ) {
        let there = old.and_then(|(id, _)| world.records.get(id));
        let kept = there.filter(|_| how == How::Cycle);
        let is_there = |moved: &Id| world.records.contains_key(moved);
        let is_unsure = trial.removal_unanswered
            || self.moved.as_ref().is_some_and(|moved| !trial.removal_done || !is_there(moved));
        if how == How::Cycle && is_unsure && old.is_some() && there.is_none() {
            // Nobody can tell this from a logout, so the session ends: the new record as well, or it expires
            // unread.
            add(world, self.clone(), Err(Failure::Gone));
            let mut ended = world.clone();
            self.moved.iter().for_each(|moved| drop(ended.records.remove(moved)));
            add(&ended, self.clone(), Err(Failure::Gone));
        }
        // A session that stands in a user's list moves in that list first. Whoever has ended it by then, or
        // has forgotten its login, has taken it out.
        if let Some((_, loaded)) = old
            && how == How::Cycle
            && loaded.user.is_some()
            && there.is_none_or(|there| there.user != loaded.user)
        {
            add(world, self.clone(), Err(Failure::Gone));
        }
        if Self::replay(&self.log, kept, options).is_err() {
            add(world, self.clone(), Err(Failure::Decode));
        }
        let Some(new) = trial.new else { return };
        if let Some((id, _)) = old
            && how == How::Cycle
            && trial.ended_on_the_way
            && !world.past.contains_key(new)
        {
            // The logout has ended the session under both ids: what is left is what this request has set.
            let mut world = world.clone();
            self.moved.iter().chain([id]).for_each(|ended| drop(world.records.remove(ended)));
            if let Ok(contents) = Self::replay(&self.log, None, options) {
                world.put(new, contents.clone());
                add(&world, self.stored(new, contents), Ok(()));
            }
        }
        let ended = there.is_none();
        let mut bases = vec![kept.cloned()];
        if let Some((id, _)) = old
            && how == How::Cycle
            && ended
            && trial.asked_again
        {
            // As far as the commit can tell, its own first call has removed the record.
            bases.extend(world.past.get(id).into_iter().flatten().cloned().map(Some));
        }
        // A commit that is repeated writes the record again that the failed one made.
        let again = self.moved.as_ref() == Some(new) && world.records.contains_key(new);
        // A session that has lost its place in a user's list is another one: whoever ended the old one may be about
        // to remove the record under the id that was promised.
        let is_another = how == How::Cycle && ended && old.is_some_and(|(_, loaded)| loaded.user.is_some());
        if !again && (world.past.contains_key(new) || !is_another && !self.may_become(world, new)) {
            return;
        }
        for base in bases {
            if again && how == How::Cycle && old.is_some() && base.is_none() {
                // It goes on with what is there under the new id.
                let mut world = world.clone();
                let rest = &self.log[self.moved_with.min(self.log.len())..];
                match Self::replay(rest, world.records.get(new), options) {
                    Ok(contents) => {
                        world.put(new, contents.clone());
                        add(&world, self.stored(new, contents), Ok(()));
                    }
                    Err(Undecodable) => add(&world, self.clone(), Err(Failure::Decode)),
                }
                continue;
            }
            let changes = match (old, &base) {
                (Some((id, loaded)), Some(now)) => {
                    let mut changes = self.changes_to_make(world, id);
                    if self.disturbed {
                        changes.extend(self.left_beside_a_rival(loaded, now, options));
                    }
                    changes
                }
                _ => vec![&self.log[..]],
            };
            for log in changes {
                let mut world = world.clone();
                world.end(old.map(|(id, _)| id).into_iter().chain(trial.followed).chain(&self.left));
                if let Ok(contents) = Self::replay(log, base.as_ref(), options) {
                    world.put(new, contents.clone());
                    add(&world, self.stored(new, contents), Ok(()));
                }
            }
        }
    }

    /// Whether the record under `new` may be what this handle promised.
    fn may_become(&self, world: &World, new: &Id) -> bool {
        match &self.promised {
            Some(promised) if !self.disturbed => promised == new || world.records.contains_key(promised),
            _ => true,
        }
    }
}
