//! The promises about users, by intervals: what was answered before something else was asked came before it.
//! No order of the steps is looked for, so that ends, which are many calls, need no moment of their own.
//!
//! Each login writes a tag into its session, and so does each impersonation. A tag names the session wherever
//! it goes.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use smol_str::SmolStr;

use super::loss::{Losses, lost, moves_elsewhere};
use super::{answered, asked_again};
use crate::history::{Contents, Effect, EffectKind, Failure, History, Step, UsersTold, Violation};
use crate::model::Id;
use crate::program::{Op, Options, Program, Visitor, seeded_id, seeded_tag};
use crate::users::USERS;

pub(super) type Tag = SmolStr;

/// A session that stands in a user's list: by a login, or because somebody acts as the user in it.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) tag: Tag,
    pub(super) user: &'static str,
    /// Whether somebody acts as the user.
    pub(super) acted: bool,
    /// The login that the session is of.
    pub(super) login: Tag,
    pub(super) visitor: usize,
    /// When its commit was first asked for, and when it was first answered well.
    pub(super) asked: u64,
    pub(super) answered: Option<u64>,
    /// When `begin_login` was answered.
    pub(super) began: Option<u64>,
    /// When its request was last answered before the login: the session is not older than that.
    since: u64,
    /// The first login of the place that it took over.
    root: Tag,
    /// The same before it got a place of its own, because its session was moved away meanwhile.
    tried: Tag,
    /// Whether it stands in the list by the older secret, where no login takes its place over.
    in_old_list: bool,
    /// What its commits were told so far.
    told: Vec<Option<Failure>>,
}

/// When a request knew what of its own session.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub(super) id: Option<Id>,
    pub(super) contents: Contents,
}

pub(super) struct Case<'h> {
    pub(super) program: &'h Program,
    pub(super) history: &'h History,
    pub(super) members: Vec<Member>,
    /// The tags that each id ever had.
    tags: BTreeMap<Id, BTreeSet<Tag>>,
    /// Of each request and step: what it knew of its session when the step began.
    pub(super) known: Vec<Vec<Option<Known>>>,
    /// Since when a member is over, and why.
    over: HashMap<Tag, (u64, String)>,
    /// Those whom a logout has ended that could not be noted in the list: the record is gone, and while the
    /// session gets another id the list may show that one.
    unnoted: BTreeSet<Tag>,
    /// The sessions that are there at last, under ids that somebody was told.
    pub(super) alive: Vec<(&'h Id, &'h Contents)>,
}

/// What is wrong with a run in which users log in.
pub(crate) fn judge(program: &Program, history: &History) -> Option<Violation> {
    let mut case = Case::new(program, history);
    case.find_ends();
    case.find_timeouts();
    let losses = Losses::of(&case);
    None.or_else(|| case.foreign_data())
        .or_else(|| case.lives_on())
        .or_else(|| case.wrong_lists())
        .or_else(|| case.not_listed())
        .or_else(|| case.over_the_limit())
        .or_else(|| case.failed_logins())
        .or_else(|| case.undying())
        .or_else(|| lost(&case, &losses).filter(|_| program.options.absolute_timeout().is_none()))
}

impl<'h> Case<'h> {
    fn new(program: &'h Program, history: &'h History) -> Self {
        let told: BTreeSet<_> = answered(history).collect();
        let alive = history.after.iter().filter(|(id, contents)| {
            told.contains(id) && contents.user.is_some() && contents.text("login").is_some()
        });
        let mut case = Self {
            program,
            history,
            members: Vec::new(),
            tags: BTreeMap::new(),
            known: Vec::new(),
            over: HashMap::new(),
            unnoted: BTreeSet::new(),
            alive: alive.collect(),
        };
        for (at, visitor) in program.visitors.iter().enumerate() {
            if let Visitor::LoggedIn { user, old_secret } = visitor {
                let tag = seeded_tag(at);
                case.members.push(Member {
                    tag: tag.clone(),
                    user: USERS[*user],
                    acted: false,
                    login: tag.clone(),
                    visitor: at,
                    asked: 0,
                    answered: Some(0),
                    began: None,
                    since: 0,
                    tried: tag.clone(),
                    root: tag,
                    in_old_list: *old_secret,
                    told: Vec::new(),
                });
            }
        }
        for (_, id, contents) in &history.writes {
            case.note_tags(id, contents);
        }
        for request in 0..history.requests.len() {
            case.follow(request);
        }
        case
    }

    fn note_tags(&mut self, id: &Id, contents: &Contents) {
        if contents.user.is_some() {
            let tags = self.tags.entry(id.clone()).or_default();
            tags.extend(contents.text("login").cloned());
            tags.extend(contents.text("act").cloned().filter(|_| contents.acted));
        }
    }

    /// Goes through the steps of a request.
    fn follow(&mut self, request: usize) {
        let visitor = self.program.requests[request].visitor;
        let mut known: Option<Known> = None;
        let mut at_each = Vec::new();
        // What the next commit makes members of.
        let mut pending = Vec::<usize>::new();
        let (mut begun, mut since) = (None, 0);
        for step in &self.history.requests[request] {
            at_each.push(known.clone());
            since = since.max(step.answered().unwrap_or(0));
            match step {
                Step::Load { sent, loaded: Some(loaded), .. } => {
                    let id = sent.last().map(|sent| sent.id.clone());
                    let is_loaded = loaded.origin == sessile::Origin::Loaded;
                    known = is_loaded.then(|| Known { id, contents: loaded.contents.clone() });
                }
                Step::Users { op: Op::BeginLogin(user), answered, result: Some(Ok(_)), .. } => {
                    begun = Some((*user, *answered));
                }
                Step::Local { op: Op::LogIn { user, begun: with, tag }, told } => {
                    let taken = begun.take_if(|(begun, _)| with & (begun == user));
                    if *told != crate::history::Told::Nothing || *with && taken.is_none() {
                        continue;
                    }
                    // The place is that of the stored session, whatever else the request has begun.
                    let stored = known.as_ref().and_then(|known| known.contents.text("login"));
                    let last = stored.and_then(|tag| self.member(tag));
                    let root = last.filter(|last| last.user == USERS[*user] && !last.in_old_list);
                    let root = root.map_or_else(|| tag.clone(), |last| last.root.clone());
                    pending.push(self.members.len());
                    self.members.push(Member {
                        tag: tag.clone(),
                        user: USERS[*user],
                        acted: false,
                        login: tag.clone(),
                        visitor,
                        asked: u64::MAX,
                        answered: None,
                        began: taken.and_then(|(_, answered)| answered),
                        since,
                        in_old_list: false,
                        tried: root.clone(),
                        root,
                        told: Vec::new(),
                    });
                }
                Step::Local { op: Op::Impersonate(user, tag), told: crate::history::Told::Nothing } => {
                    let login = pending.last().map(|at| self.members[*at].login.clone());
                    let stored = || known.as_ref().and_then(|known| known.contents.text("login").cloned());
                    let login = login.or_else(stored).unwrap_or_default();
                    pending.push(self.members.len());
                    self.members.push(Member {
                        tag: tag.clone(),
                        user: USERS[*user],
                        acted: true,
                        root: self.root(&login),
                        tried: self.root(&login),
                        login,
                        visitor,
                        asked: u64::MAX,
                        answered: None,
                        began: None,
                        since,
                        in_old_list: false,
                        told: Vec::new(),
                    });
                }
                Step::Store { op, asked, answered, result, .. } => {
                    let after = match result {
                        Some(Ok(after)) => Some(after),
                        _ => None,
                    };
                    if *op != Op::Reload {
                        for at in &pending {
                            let member = &mut self.members[*at];
                            member.asked = member.asked.min(*asked);
                            member.told.push(match result {
                                Some(Ok(_)) => None,
                                Some(Err(failure)) => Some(*failure),
                                None => Some(Failure::Store),
                            });
                            let key = if member.acted { "act" } else { "login" };
                            let is_in = |contents: &Contents| contents.text(key) == Some(&member.tag);
                            if after.is_some_and(|after| is_in(&after.contents)) {
                                member.answered = member.answered.or(*answered);
                            }
                        }
                    }
                    if let Some(after) = after {
                        if let Some(id) = &after.id {
                            self.note_tags(id, &after.contents);
                            let old = known.as_ref().and_then(|known| known.id.as_ref());
                            let until = answered.unwrap_or(u64::MAX);
                            if old.is_some_and(|old| self.went_apart(request, (old, id), until)) {
                                self.take_own_place(&pending);
                            }
                        }
                        let contents = after.contents.clone();
                        known = Some(Known { id: after.id.clone(), contents });
                        pending.clear();
                    }
                }
                _ => {}
            }
        }
        self.known.push(at_each);
    }

    /// Whether a login has got a place of its own, because another request had moved or ended the session in whose
    /// place it was to be.
    fn went_apart(&self, request: usize, (old, new): (&Id, &Id), until: u64) -> bool {
        if self.history.effects.is_empty() {
            // Nobody watches what is done to a store that is called directly.
            return moves_elsewhere(self, request, until);
        }
        let mut effects = self.history.effects.iter().filter(|effect| effect.at < until);
        let is_removed = |effect: &Effect| {
            matches!(effect.kind, EffectKind::Moved | EffectKind::Destroyed)
                && effect.id == *old
                && effect.actor != request
        };
        let is_entered = |effect: &Effect| effect.kind == EffectKind::Entered && effect.id == *new;
        effects.any(is_removed) && effects.any(is_entered)
    }

    fn take_own_place(&mut self, pending: &[usize]) {
        for at in pending {
            let login = self.members[*at].login.clone();
            if pending.iter().any(|other| self.members[*other].tag == login) {
                self.members[*at].root = login;
            }
        }
    }

    pub(super) fn member(&self, tag: &Tag) -> Option<&Member> {
        self.members.iter().find(|member| member.tag == *tag)
    }

    pub(super) fn root(&self, tag: &Tag) -> Tag {
        self.member(tag).map_or_else(|| tag.clone(), |member| member.root.clone())
    }

    /// Whether the session is the place of this login, or has taken it over.
    pub(super) fn is_of_place(&self, member: &Member, login: &Tag) -> bool {
        self.root(&member.login) == self.root(login)
    }

    /// The members of a user's list that an id may stand for. `None`: nothing is known of it.
    fn members_of(&self, user: &str, id: &Id) -> Option<Vec<&Member>> {
        let tags = self.tags.get(id).filter(|tags| !tags.is_empty())?;
        let all = tags.iter().filter_map(|tag| self.member(tag));
        Some(all.filter(|member| member.user == user).collect())
    }

    fn end(&mut self, tag: Tag, at: u64, why: String) {
        let over = self.over.entry(tag).or_insert((at, why.clone()));
        if at < over.0 {
            *over = (at, why);
        }
    }

    /// Who was over since when, as far as an answer said so.
    fn find_ends(&mut self) {
        let (mut ends, mut unnoted) = (Vec::new(), Vec::new());
        for (request, steps) in self.history.requests.iter().enumerate() {
            for (step, known) in steps.iter().zip(&self.known[request]) {
                match step {
                    Step::Users { op, asked, answered: Some(end), target, result: Some(Ok(told)) } => {
                        let ended = self.ended_by(op, target.as_ref(), known.as_ref(), told);
                        // What a login began before was answered is over as well, with `begin_login`.
                        let before = |member: &&Member| {
                            member.answered.is_some_and(|answered| answered < *asked)
                                || !matches!(op, Op::End(..))
                                    && member.began.is_some_and(|began| began < *asked)
                        };
                        for member in ended.into_iter().filter(before) {
                            ends.push((member.tag.clone(), *end, format!("request {request}, {op}")));
                        }
                    }
                    Step::Store {
                        asked, answered: Some(end), result: Some(Ok(_)), op: Op::Commit, ..
                    } => {
                        let ended = self.logged_out(request, known.as_ref(), (*asked, *end));
                        if asked_again(self.history, request, &Id::default(), &(*asked..*end)) {
                            unnoted.extend(ended.iter().map(|(tag, ..)| tag.clone()));
                        }
                        ends.extend(ended);
                    }
                    _ => {}
                }
            }
        }
        for (tag, at, why) in ends {
            self.end(tag, at, why);
        }
        self.unnoted.extend(unnoted);
    }

    /// When the clock has moved so far since this moment that a session is over which began then.
    fn timeout_of(&self, began: u64) -> Option<u64> {
        self.program.options.absolute_timeout()?;
        let calls = self.history.calls.iter().filter(|at| **at > began);
        calls.copied().nth(usize::from(self.program.options.timeout?) - 1)
    }

    /// Who was over since when because of the timeout. Of those who may be, nobody says whether they are alive.
    fn find_timeouts(&mut self) {
        let of = |member: &Member| Some((member.tag.clone(), self.timeout_of(member.asked)?));
        for (tag, at) in self.members.iter().filter(|member| !member.acted).filter_map(of).collect::<Vec<_>>()
        {
            self.end(tag, at, "its absolute timeout".into());
        }
        let may_be = |member: &Member| self.timeout_of(member.since).is_some();
        let tags: Vec<_> =
            self.members.iter().filter(|member| may_be(member)).map(|member| &member.tag).collect();
        let is_sure = |contents: &Contents| contents.text("login").is_some_and(|tag| !tags.contains(&tag));
        let alive = self.alive.iter().copied().filter(|(_, contents)| is_sure(contents)).collect();
        self.alive = alive;
    }

    /// The members whom a call has ended that was answered well.
    fn ended_by(
        &self,
        op: &Op,
        target: Option<&Id>,
        known: Option<&Known>,
        told: &UsersTold,
    ) -> Vec<&Member> {
        match op {
            Op::EndAll(user) => self.members.iter().filter(|member| member.user == USERS[*user]).collect(),
            Op::EndOthers(user) => {
                let kept = known.and_then(|known| known.contents.text("login"));
                let others = self.members.iter().filter(|member| {
                    member.user == USERS[*user] && kept.is_none_or(|kept| !self.is_of_place(member, kept))
                });
                others.collect()
            }
            Op::End(user, _) if *told == UsersTold::Ended(true) => {
                let members = target.and_then(|id| self.members_of(USERS[*user], id));
                members.unwrap_or_default()
            }
            _ => Vec::new(),
        }
    }

    /// A commit that has destroyed its session's record, as the scheduler saw, and was answered well.
    fn logged_out(
        &self,
        request: usize,
        known: Option<&Known>,
        (asked, end): (u64, u64),
    ) -> Vec<(Tag, u64, String)> {
        let Some(Known { id: Some(id), contents }) = known else { return Vec::new() };
        let Some(tag) = contents.text("login").filter(|_| contents.user.is_some()) else { return Vec::new() };
        let effects = self.history.effects.iter();
        let mut destroyed = effects.filter(|effect| {
            effect.actor == request
                && effect.kind == EffectKind::Destroyed
                && effect.id == *id
                && (asked..end).contains(&effect.at)
        });
        let Some(destroyed) = destroyed.next() else { return Vec::new() };
        // A commit that asked for the removal and was told of an error asks again, and takes the logout for
        // its own doing.
        let ambiguous = self.history.requests.iter().enumerate().any(|(at, steps)| {
            let mut commits = steps.iter().filter_map(|step| match step {
                Step::Store { asked, answered, .. } => Some(*asked..answered.unwrap_or(u64::MAX)),
                _ => None,
            });
            at != request
                && commits
                    .any(|commit| destroyed.at < commit.end && asked_again(self.history, at, id, &commit))
        });
        if ambiguous {
            Vec::new()
        } else {
            vec![(tag.clone(), end, format!("request {request}, the logout"))]
        }
    }

    /// Whose data is in a session, and whose session it is.
    fn foreign_data(&self) -> Option<Violation> {
        let seen = self.history.requests.iter().flatten().filter_map(|step| match step {
            Step::Load { loaded: Some(loaded), .. } => Some(&loaded.contents),
            Step::Store { contents: Some(contents), .. } => Some(contents),
            _ => None,
        });
        let written = self.history.writes.iter().map(|(_, _, contents)| contents);
        for contents in seen.chain(written).chain(self.history.after.values()) {
            let login = contents.text("login").and_then(|tag| self.member(tag));
            for user in USERS {
                let own = contents.user == Some(user)
                    || contents.acted && login.is_some_and(|login| login.user == user);
                if !own && contents.values.contains_key(&*format!("of-{user}")) {
                    let what = format!("{} has data of {user}", crate::request::show(contents));
                    return Some(Violation::new("data of another user", what));
                }
            }
        }
        None
    }

    pub(super) fn over_before(&self, tag: &Tag, at: u64) -> Option<&str> {
        self.over.get(tag).filter(|(over, _)| *over < at).map(|(_, why)| &**why)
    }

    /// Whether a list that is asked for at this time may no longer show a session.
    fn is_off_the_list(&self, tag: &Tag, at: u64) -> bool {
        self.over_before(tag, at).is_some() && !self.unnoted.contains(tag)
    }

    /// The session of a record, if it was over before this time, and why.
    fn over_in<'c>(&'c self, contents: &'c Contents, at: u64) -> Option<(&'c Tag, &'c str)> {
        contents.user?;
        let act = contents.text("act").filter(|_| contents.acted);
        let tags = contents.text("login").into_iter().chain(act);
        tags.into_iter().find_map(|tag| Some((tag, self.over_before(tag, at)?)))
    }

    /// Who is alive although an answer said that the session is over.
    fn lives_on(&self) -> Option<Violation> {
        for (request, steps) in self.history.requests.iter().enumerate() {
            for step in steps {
                if let Step::Load { asked, loaded: Some(loaded), .. } = step
                    && let Some((tag, why)) = self.over_in(&loaded.contents, *asked)
                {
                    let what = format!("request {request} loads {tag}, which is over: {why}");
                    return Some(Violation::new("ended session alive", what));
                }
            }
        }
        self.alive.iter().find_map(|(id, contents)| {
            let (tag, why) = self.over_in(contents, u64::MAX)?;
            let what = format!("{id} is {tag}, which is over: {why}");
            Some(Violation::new("ended session alive", what))
        })
    }

    /// Whether a member has a session at last.
    pub(super) fn is_alive(&self, member: &Member) -> bool {
        let key = if member.acted { "act" } else { "login" };
        self.alive
            .iter()
            .any(|(_, contents)| contents.text(key) == Some(&member.tag) && (!member.acted || contents.acted))
    }

    /// Whether an end of this user's sessions was begun and not finished: then a session may live that is in
    /// no list.
    fn is_unfinished(&self, user: &str) -> bool {
        let Options { per_user, clock_jumps, .. } = self.program.options;
        self.history.requests.iter().flatten().any(|step| match step {
            Step::Users { op, result: None | Some(Err(Failure::Store)), .. } => match op {
                Op::End(of, _) | Op::EndOthers(of) | Op::EndAll(of) => USERS[*of] == user,
                // Whoever reads the list ends a session whose note has become old without a record.
                Op::List(of) | Op::Count(of) => clock_jumps && USERS[*of] == user,
                _ => false,
            },
            _ => false,
        }) || per_user.is_some_and(|(_, refuses)| clock_jumps || !refuses)
            && self.members.iter().any(|member| {
                member.user == user && !member.acted && member.told.contains(&Some(Failure::Store))
            })
    }

    /// Lists and counts that were asked for.
    fn wrong_lists(&self) -> Option<Violation> {
        for (request, steps) in self.history.requests.iter().enumerate() {
            for step in steps {
                let Step::Users {
                    op: op @ (Op::List(user) | Op::Count(user)), asked, answered, result, ..
                } = step
                else {
                    continue;
                };
                let (user, until) = (USERS[*user], answered.unwrap_or(u64::MAX));
                let found = match result {
                    Some(Ok(UsersTold::Listed(ids))) => self.wrong_list(user, *asked, ids),
                    Some(Ok(UsersTold::Counted(count))) => self.wrong_count(user, (*asked, until), *count),
                    _ => None,
                };
                if let Some((kind, what)) = found {
                    return Some(Violation::new(kind, format!("request {request}, {op}: {what}")));
                }
            }
        }
        None
    }

    /// The members who are there from before this time until the end.
    fn lasting(&self, user: &str, asked: u64) -> impl Iterator<Item = &Member> {
        let unfinished = self.is_unfinished(user);
        self.members.iter().filter(move |member| {
            !unfinished
                && member.user == user
                && member.answered.is_some_and(|answered| answered < asked)
                && self.is_alive(member)
        })
    }

    fn wrong_list(&self, user: &'static str, asked: u64, ids: &[Id]) -> Option<(&'static str, String)> {
        for id in ids {
            let Some(members) = self.members_of(user, id) else { continue };
            if members.is_empty() {
                return Some(("foreign session listed", format!("{id} is no session of {user}")));
            }
            if members.iter().all(|member| self.is_off_the_list(&member.tag, asked)) {
                return Some(("ended session listed", format!("{id} is over")));
            }
        }
        let stands_for = |member: &Member, id: &Id| {
            let tags = self.tags.get(id).into_iter().flatten();
            // A login that is about to get a place of its own still stands in the other one.
            tags.filter_map(|tag| self.member(tag)).any(|other| {
                self.is_of_place(member, &other.login) || other.tried == self.root(&member.login)
            })
        };
        let mut lasting = self.lasting(user, asked);
        let missing = lasting.find(|member| !ids.iter().any(|id| stands_for(member, id)));
        missing.map(|member| ("live session not listed", format!("{} is missing", member.tag)))
    }

    fn wrong_count(
        &self,
        user: &'static str,
        (asked, answered): (u64, u64),
        count: usize,
    ) -> Option<(&'static str, String)> {
        let places = |members: &mut dyn Iterator<Item = &Member>| {
            members.map(|member| self.root(&member.login)).collect::<BTreeSet<_>>().len()
        };
        let least = places(&mut self.lasting(user, asked));
        let most = self.members.iter().filter(|member| {
            member.user == user && member.asked < answered && !self.is_off_the_list(&member.tag, asked)
        });
        // A login in the place of another one may get a place of its own.
        let most = most.count();
        (!(least..=most).contains(&count))
            .then(|| ("wrong count", format!("{count} sessions, and there are {least} to {most}")))
    }

    /// Who is alive at last and in no list.
    fn not_listed(&self) -> Option<Violation> {
        self.alive.iter().find_map(|(id, contents)| {
            let user = contents.user?;
            let actor = contents.text("login").and_then(|tag| self.member(tag)).map(|login| login.user);
            let users = || [Some(user), actor.filter(|_| contents.acted)].into_iter().flatten();
            // What an end left in one list is finished by whoever reads that one.
            if users().any(|user| self.is_unfinished(user)) {
                return None;
            }
            let is_in = |user: &str| self.history.listed.get(user).is_some_and(|listed| listed.contains(id));
            let missing = users().find(|user| !is_in(user))?;
            let what = format!("{id} is alive, and is not in the list of {missing}");
            Some(Violation::new("live session not listed", what))
        })
    }

    fn over_the_limit(&self) -> Option<Violation> {
        let (most, refuses) = self.program.options.per_user?;
        USERS.into_iter().find_map(|user| {
            let logins = || self.members.iter().filter(|member| member.user == user && !member.acted);
            // Those who were there before may have been too many, which no refusal changes.
            let before = logins().filter(|login| login.asked == 0).count();
            if refuses && before > usize::from(most) {
                return None;
            }
            let is_answered = logins().any(|login| login.asked > 0 && login.answered.is_some());
            let alive: Vec<_> = logins()
                .filter(|login| login.answered.is_some() && self.is_alive(login))
                .map(|login| login.tag.as_str())
                .collect();
            // Whoever gets no answer to the removal of a record in the list of an older secret takes what another
            // request did with it for its own doing.
            let is_unanswered = |login: &&Member| {
                let of = |effect: &Effect| {
                    effect.kind == EffectKind::RemovalUnanswered && effect.id == seeded_id(login.visitor)
                };
                login.in_old_list && self.history.effects.iter().any(of)
            };
            let beside = logins().filter(is_unanswered).count();
            (is_answered && alive.len() > usize::from(most) + beside).then(|| {
                Violation::new("over the limit", format!("{user} has the sessions {}", alive.join(", ")))
            })
        })
    }

    /// A login that was refused leaves nothing behind.
    fn failed_logins(&self) -> Option<Violation> {
        if self.program.faults.late > 0 {
            return None;
        }
        let refused = self.members.iter().filter(|member| {
            let is_no = |told: &Option<Failure>| matches!(told, Some(Failure::Gone | Failure::TooMany));
            !member.acted && !member.told.is_empty() && member.told.iter().all(is_no)
        });
        for member in refused {
            let left = self.history.after.iter().find(|(_, left)| left.text("login") == Some(&member.tag));
            if let Some((id, _)) = left {
                let what = format!("{} was refused, and {id} is there", member.tag);
                return Some(Violation::new("refused login alive", what));
            }
        }
        None
    }

    /// What no end of all sessions finds.
    fn undying(&self) -> Option<Violation> {
        let faults = self.program.faults;
        // Whoever stood still for so long that the note of its login was dropped leaves a record that is in
        // no list.
        if self.program.options.clock_jumps && faults.late + faults.drop > 0 {
            return None;
        }
        // What is over by its timeout is dropped from the lists, and expires unread.
        let (id, contents) = self.history.undying.iter().find(|(_, contents)| {
            let login = contents.text("login").and_then(|tag| self.member(tag));
            login.is_none_or(|login| self.timeout_of(login.since).is_none())
        })?;
        let what = format!("{id} outlives all ends: {}", crate::request::show(contents));
        Some(Violation::new("session in no list", what))
    }
}
