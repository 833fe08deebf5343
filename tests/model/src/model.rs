//! What sessions promise, as a simple sequential program: each load, commit, save and reload is one step on a map of
//! records.

use std::collections::{BTreeMap, BTreeSet};

use sessile::Origin;
use smol_str::{SmolStr, format_smolstr};

use crate::history::{Contents, CookieSeen, Failure, Sent, Signed, Told};
use crate::program::{KINDS, Op, Options, Update};

pub(crate) type Id = SmolStr;

const DAY_MILLIS: u64 = 86_400_000;

/// The records, and everything that each id has ever named.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct World {
    pub(crate) records: BTreeMap<Id, Contents>,
    past: BTreeMap<Id, BTreeSet<Contents>>,
}

impl World {
    /// A world with these records.
    pub(crate) fn new(records: &BTreeMap<Id, Contents>) -> Self {
        let mut world = Self::default();
        records.iter().for_each(|(id, contents)| world.put(id, contents.clone()));
        world
    }

    fn put(&mut self, id: &Id, contents: Contents) {
        self.past.entry(id.clone()).or_default().insert(contents.clone());
        self.records.insert(id.clone(), contents);
    }
}

/// How a commit came about.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Trial<'i> {
    /// By `save`.
    pub(crate) save: bool,
    /// Where it makes a record: under this id.
    pub(crate) new: Option<&'i Id>,
    /// A call of it about the record got an error, and it asked again.
    pub(crate) asked_again: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Change {
    Set(SmolStr, SmolStr),
    Remove(SmolStr),
    Clear,
    Update(SmolStr, Update),
    Push(SmolStr, SmolStr),
    Take(SmolStr, Vec<SmolStr>),
    MaxAge(Option<u64>),
}

/// An `update` has met a value that is not of its type.
struct Undecodable;

/// What an `update` leaves.
fn updated(value: Option<&SmolStr>, update: Update) -> Result<Option<SmolStr>, Undecodable> {
    let before = match value.map(SmolStr::as_str) {
        None | Some("null") => None,
        Some(value) => Some(value.parse().map_err(|_| Undecodable)?),
    };
    Ok(update.apply(before).map(|after| format_smolstr!("{after}")))
}

impl Change {
    fn apply(&self, contents: &mut Contents) -> Result<(), Undecodable> {
        match self {
            Self::Set(key, value) => drop(contents.values.insert(key.clone(), value.clone())),
            Self::Remove(key) => drop(contents.values.remove(key)),
            Self::Clear => contents.values.clear(),
            Self::Update(key, update) => match updated(contents.values.get(key), *update)? {
                Some(after) => drop(contents.values.insert(key.clone(), after)),
                None => drop(contents.values.remove(key)),
            },
            Self::Push(kind, message) => {
                contents.flash.entry(kind.clone()).or_default().push(message.clone());
            }
            Self::Take(kind, taken) => take(contents, kind, taken),
            Self::MaxAge(age) => contents.max_age = *age,
        }
        Ok(())
    }
}

/// Messages are taken by what they say: of equal ones the oldest go.
fn take(contents: &mut Contents, kind: &SmolStr, taken: &[SmolStr]) {
    let Some(messages) = contents.flash.get_mut(kind) else { return };
    let mut left = taken.to_vec();
    messages.retain(|message| match left.iter().position(|taken| taken == message) {
        Some(at) => {
            left.remove(at);
            false
        }
        None => true,
    });
    if messages.is_empty() {
        contents.flash.remove(kind);
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum How {
    Regenerate,
    Cycle,
    /// Written after `destroy`.
    Reborn,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Stage {
    New,
    Existing { id: Id, base: Contents },
    NewId { how: How, old: Option<(Id, Contents)> },
    Destroyed { stored: Option<Id> },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Cookie {
    Set,
    Expired,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum RequestCookie {
    Absent,
    Present,
    OldSecret,
}

/// A session as one request has it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Handle {
    request_cookie: RequestCookie,
    stage: Stage,
    /// What the request did since the last commit.
    log: Vec<Change>,
    /// So many of them may be in the store already, by a commit that failed.
    attempted: usize,
    /// A move that failed was carried out all the same, and this is where the session went.
    moved: Option<Id>,
    /// What `id()` said, since the stage last changed.
    promised: Option<Id>,
    /// A commit failed since then.
    disturbed: bool,
    touch: bool,
    settled: bool,
    cookie: Option<Cookie>,
}

/// What a step came to, in one of the ways it may.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Outcome {
    pub(crate) world: World,
    pub(crate) handle: Handle,
    pub(crate) result: Result<(), Failure>,
}

/// A load in progress: its cookies are tried in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Loading {
    pub(crate) next: usize,
    looked_up: u8,
    origin: u8,
}

pub(crate) enum Loaded {
    /// The next cookie is tried in a step of its own.
    Again(Loading),
    Done(Handle, Origin),
}

const ORIGINS: [Origin; 4] = [Origin::NoCookie, Origin::BadSignature, Origin::Unknown, Origin::Undecodable];

impl Loading {
    pub(crate) fn new() -> Self {
        Self { next: 0, looked_up: 0, origin: 0 }
    }

    /// Goes on to the next look into the store, which is one step.
    pub(crate) fn step(mut self, world: &World, sent: &[Sent], undecodable: &[Id]) -> Loaded {
        while let Some(cookie) = sent.get(self.next) {
            self.next += 1;
            if cookie.signature == Signed::Not {
                self.origin = self.origin.max(1);
                continue;
            }
            // Up to four that verify are looked up.
            if self.looked_up == 4 {
                continue;
            }
            self.looked_up += 1;
            let request_cookie = match cookie.signature {
                Signed::ByOldSecret => RequestCookie::OldSecret,
                _ => RequestCookie::Present,
            };
            if let Some(base) = world.records.get(&cookie.id) {
                let stage = Stage::Existing { id: cookie.id.clone(), base: base.clone() };
                return Loaded::Done(Handle::new(request_cookie, stage), Origin::Loaded);
            }
            self.origin = self.origin.max(if undecodable.contains(&cookie.id) { 3 } else { 2 });
            if self.next < sent.len() {
                return Loaded::Again(self);
            }
        }
        let request_cookie = if sent.is_empty() { RequestCookie::Absent } else { RequestCookie::Present };
        Loaded::Done(Handle::new(request_cookie, Stage::New), ORIGINS[usize::from(self.origin)])
    }
}

impl Handle {
    fn new(request_cookie: RequestCookie, stage: Stage) -> Self {
        Self {
            request_cookie,
            stage,
            log: Vec::new(),
            attempted: 0,
            moved: None,
            promised: None,
            disturbed: false,
            touch: false,
            settled: false,
            cookie: None,
        }
    }

    fn base(&self) -> Option<&Contents> {
        match &self.stage {
            Stage::Existing { base, .. } => Some(base),
            Stage::NewId { how: How::Cycle, old: Some((_, base)) } => Some(base),
            _ => None,
        }
    }

    fn replay(log: &[Change], base: Option<&Contents>, options: Options) -> Result<Contents, Undecodable> {
        let mut contents = base.cloned().unwrap_or_else(|| Contents {
            max_age: if options.browser_session { None } else { Some(DAY_MILLIS) },
            ..Contents::default()
        });
        log.iter().try_for_each(|change| change.apply(&mut contents))?;
        Ok(contents)
    }

    /// What the request sees.
    pub(crate) fn contents(&self, options: Options) -> Contents {
        // Each change was possible when it was made.
        Self::replay(&self.log, self.base(), options).unwrap_or_default()
    }

    fn is_modified(&self, options: Options) -> bool {
        self.contents(options) != Self::replay(&[], self.base(), options).unwrap_or_default()
    }

    pub(crate) fn is_new(&self) -> Option<bool> {
        match &self.stage {
            Stage::New => Some(true),
            Stage::Existing { .. } => Some(false),
            // Not decided, or about what is to come.
            Stage::NewId { .. } | Stage::Destroyed { .. } => None,
        }
    }

    pub(crate) fn id(&self) -> Option<&Id> {
        match &self.stage {
            Stage::Existing { id, .. } => Some(id),
            _ => None,
        }
    }

    /// The id that a change of id leaves behind.
    pub(crate) fn old_id(&self) -> Option<&Id> {
        match &self.stage {
            Stage::NewId { old: Some((id, _)), .. } => Some(id),
            _ => None,
        }
    }

    fn push(&mut self, change: Change) {
        self.settled = false;
        self.log.push(change);
    }

    /// Something was written: after `destroy` that begins a new session.
    fn revive(&mut self) {
        if let Stage::Destroyed { stored } = &mut self.stage {
            let old = stored.take().map(|id| (id, Contents::default()));
            self.stage = Stage::NewId { how: How::Reborn, old };
            self.promised = None;
        }
    }

    /// A call that asks no store: in each way it may be understood, what the handle is after it. Empty: it cannot have
    /// been told this.
    pub(crate) fn call(&self, op: &Op, told: &Told, options: Options) -> Vec<Self> {
        let mut after = self.clone();
        let now = self.contents(options);
        let destroyed = matches!(self.stage, Stage::Destroyed { .. });
        let right = match op {
            Op::Get(key) => Told::Value(now.values.get(*key).cloned()),
            Op::Insert(key, value) => {
                if now.values.get(*key) != Some(value) {
                    after.revive();
                    after.push(Change::Set((*key).into(), value.clone()));
                }
                Told::Nothing
            }
            Op::Remove(key) => {
                let value = now.values.get(*key).cloned();
                if value.is_some() {
                    after.push(Change::Remove((*key).into()));
                }
                Told::Value(value)
            }
            Op::Update(key, update) => match updated(now.values.get(*key), *update) {
                Ok(left) => {
                    after.revive();
                    after.push(Change::Update((*key).into(), *update));
                    Told::Value(left)
                }
                Err(Undecodable) => Told::Failed(Failure::Decode),
            },
            Op::Clear => {
                if !destroyed {
                    after.push(Change::Clear);
                }
                Told::Nothing
            }
            Op::Flash(kind, message) => {
                after.revive();
                after.push(Change::Push((*kind).into(), message.clone()));
                Told::Nothing
            }
            Op::Take(kind) => {
                let messages = now.flash.get(*kind).cloned().unwrap_or_default();
                if !messages.is_empty() {
                    after.push(Change::Take((*kind).into(), messages.clone()));
                }
                Told::Messages(messages)
            }
            Op::Peek(kind) => Told::Messages(now.flash.get(*kind).cloned().unwrap_or_default()),
            Op::TakeAll => {
                for kind in KINDS {
                    if let Some(messages) = now.flash.get(kind) {
                        after.push(Change::Take(kind.into(), messages.clone()));
                    }
                }
                Told::All(now.flash.clone())
            }
            Op::MaxAge(hours) => {
                after.revive();
                after.push(Change::MaxAge(hours.map(|hours| hours * 3_600_000)));
                Told::Nothing
            }
            Op::Touch => {
                if !destroyed {
                    after.touch = true;
                    after.settled = false;
                }
                Told::Nothing
            }
            Op::Id => {
                let Told::Id(id) = told else { return Vec::new() };
                match &self.stage {
                    Stage::Existing { id: own, .. } => return self.told(id == own),
                    Stage::Destroyed { .. } => return self.told(true),
                    // The id that is promised stays.
                    Stage::New | Stage::NewId { .. } => {
                        let kept = self.promised.as_ref().is_none_or(|promised| promised == id);
                        after.promised = Some(id.clone());
                        return if kept || self.disturbed { vec![after] } else { Vec::new() };
                    }
                }
            }
            Op::Regenerate => {
                after.new_id(How::Regenerate);
                Told::Nothing
            }
            Op::Cycle => {
                after.new_id(How::Cycle);
                Told::Nothing
            }
            Op::Destroy => {
                after.destroy();
                Told::Nothing
            }
            Op::Save | Op::Reload | Op::Commit => Told::Nothing,
        };
        if *told != right {
            return Vec::new();
        }
        // Whether these begin a new session is not said where they leave nothing behind.
        let undecided = destroyed && matches!(op, Op::Update(..) | Op::MaxAge(_));
        if undecided { vec![after, self.clone()] } else { vec![after] }
    }

    fn told(&self, right: bool) -> Vec<Self> {
        if right { vec![self.clone()] } else { Vec::new() }
    }

    fn new_id(&mut self, how: How) {
        let stage = std::mem::replace(&mut self.stage, Stage::New);
        self.stage = match stage {
            Stage::Destroyed { stored } => {
                self.stage = Stage::Destroyed { stored };
                return;
            }
            Stage::New => Stage::NewId { how, old: None },
            Stage::Existing { id, base } => Stage::NewId { how, old: Some((id, base)) },
            Stage::NewId { how: How::Cycle, old } => Stage::NewId { how, old },
            Stage::NewId { how: before, old } => Stage::NewId { how: before, old },
        };
        if how == How::Regenerate {
            self.log.clear();
            self.attempted = 0;
        }
        self.settled = false;
        self.promised = None;
    }

    fn destroy(&mut self) {
        let stage = std::mem::replace(&mut self.stage, Stage::New);
        let stored = match stage {
            Stage::Destroyed { stored } => {
                self.stage = Stage::Destroyed { stored };
                return;
            }
            Stage::New => None,
            Stage::Existing { id, .. } => Some(id),
            Stage::NewId { old, .. } => old.map(|(id, _)| id),
        };
        self.stage = Stage::Destroyed { stored };
        self.settled = false;
        self.log.clear();
        self.attempted = 0;
        self.promised = None;
    }

    /// The same handle after a failed call.
    pub(crate) fn failed(&self) -> Self {
        Self { settled: false, disturbed: true, ..self.clone() }
    }

    /// The same handle, where a call that failed was carried out after all: `done` is what it would have become.
    pub(crate) fn failed_after(&self, done: &Self) -> Self {
        let mut after = self.failed();
        after.attempted = self.log.len();
        if matches!(self.stage, Stage::NewId { .. } | Stage::New) {
            after.moved = done.id().cloned();
        }
        after
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
                if let Some(id) = stored {
                    world.records.remove(id);
                }
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
                    add_created(self, world, id, None, options, &mut add);
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
                let Some(now) = world.records.get(id) else {
                    let mut handle = self.clone();
                    let asks = modified || forced || options.rolling || self.touch || old_secret;
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
                if !modified && !forced {
                    let mut handle = self.clone();
                    let asks = options.rolling || self.touch || old_secret;
                    if asks && (options.rolling || old_secret) {
                        handle.set_cookie();
                    }
                    handle.log.clear();
                    handle.attempted = 0;
                    add(world, handle, Ok(()));
                    return outcomes;
                }
                let mut ways = vec![Self::replay(&self.log, Some(now), options)];
                if self.attempted > 0 {
                    // The writes of a failed commit may be found to be there.
                    ways.push(Self::replay(&self.log[self.attempted..], Some(now), options));
                }
                if !modified {
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
        if self.moved.is_some() && old.is_some() && there.is_none() {
            // Nobody can tell this from a logout, so the session ends: the new record as well, or it expires unread.
            add(world, self.clone(), Err(Failure::Gone));
            let mut ended = world.clone();
            self.moved.iter().for_each(|moved| drop(ended.records.remove(moved)));
            add(&ended, self.clone(), Err(Failure::Gone));
        }
        if Self::replay(&self.log, kept, options).is_err() {
            add(world, self.clone(), Err(Failure::Decode));
        }
        let Some(new) = trial.new else { return };
        if let Some(moved) = self.moved.as_ref().filter(|moved| *moved == new)
            && let Some(base) = world.records.get(moved)
        {
            // The commit that was repeated goes on with the record that the failed one made.
            for log in [&self.log[..], &self.log[self.attempted..]] {
                let mut world = world.clone();
                let Ok(contents) = Self::replay(log, Some(base), options) else {
                    add(&world, self.clone(), Err(Failure::Decode));
                    continue;
                };
                world.put(moved, contents.clone());
                if let Some((id, _)) = old {
                    world.records.remove(id);
                }
                add(&world, self.stored(moved, contents), Ok(()));
            }
            return;
        }
        let mut world = world.clone();
        if let Some((id, _)) = old {
            let kept = kept.cloned();
            world.records.remove(id);
            add_created(self, &world, new, kept.as_ref(), options, add);
            if how == How::Cycle && there.is_none() && trial.asked_again {
                // As far as the commit can tell, its own first call has removed the record.
                let past: Vec<_> = world.past.get(id).into_iter().flatten().cloned().collect();
                for kept in &past {
                    add_created(self, &world, new, Some(kept), options, add);
                }
            }
        } else {
            add_created(self, &world, new, None, options, add);
        }
    }

    fn set_cookie(&mut self) {
        self.cookie = Some(Cookie::Set);
        self.request_cookie = RequestCookie::Present;
    }

    fn existing(&self, id: &Id, contents: Contents) -> Self {
        Self {
            stage: Stage::Existing { id: id.clone(), base: contents },
            log: Vec::new(),
            attempted: 0,
            moved: None,
            promised: None,
            ..self.clone()
        }
    }

    fn stored(&self, id: &Id, contents: Contents) -> Self {
        let mut handle = self.existing(id, contents);
        handle.set_cookie();
        handle
    }

    /// Whether a guard of this handle may do this to the cookie.
    pub(crate) fn explains(&self, cookie: &CookieSeen) -> bool {
        match (self.cookie, cookie) {
            (None, CookieSeen::None) | (Some(Cookie::Expired), CookieSeen::Expired) => true,
            (Some(Cookie::Set), CookieSeen::Set(id)) => self.id() == Some(id),
            _ => false,
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

/// A new record, under an id that never named one.
fn add_created(
    handle: &Handle,
    world: &World,
    id: &Id,
    base: Option<&Contents>,
    options: Options,
    add: &mut impl FnMut(&World, Handle, Result<(), Failure>),
) {
    if world.past.contains_key(id) || !handle.may_become(world, id) {
        return;
    }
    let mut world = world.clone();
    if let Ok(contents) = Handle::replay(&handle.log, base, options) {
        world.put(id, contents.clone());
        add(&world, handle.stored(id, contents), Ok(()));
    }
}
