//! Every order of small programs.

use std::fmt;

use crate::checker::{Checker, Found, choices};
use crate::chooser::Chooser;
use crate::program::{Faults, Op, Options, Program, Request, Target, Update, Visitor};
use crate::scheduler::Grain;

use smol_str::{SmolStr, format_smolstr};

/// Which programs are run in every order.
#[derive(Debug, Clone, Copy)]
pub struct Scope {
    /// What it is called.
    pub name: &'static str,
    /// What happens beside it.
    pub fault: &'static str,
    /// How many requests of one visitor run at the same time.
    pub requests: usize,
    /// How many calls each of them makes before its commit, at most.
    pub calls: usize,
    /// What happens to each program, at every place where it can.
    pub faults: Faults,
    /// Whose session it is, and what is done with it.
    pub world: Sessions,
}

/// What the requests of a scope work on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sessions {
    /// A guest's session.
    Guest,
    /// A session in which a user is logged in, and that gets other ids.
    Listed,
    /// The same, beside logins and ends of the user's sessions.
    Ended,
}

const NONE: Faults = Faults { fail: 0, lose: 0, late: 0, drop: 0, outlive: false };

impl Scope {
    /// The scopes that are small enough.
    pub const ALL: [Self; 20] = {
        let two = Self::of("two requests of up to one call", 2, 1);
        let listed = Self { world: Sessions::Listed, ..two };
        let ended = Self { world: Sessions::Ended, ..two };
        [
            Self::of("two requests of up to two calls", 2, 2),
            Self::of("three requests of up to one call", 3, 1),
            two.beside("a call fails", Faults { fail: 1, ..NONE }),
            two.beside("an answer is lost", Faults { lose: 1, ..NONE }),
            two.beside("two answers are lost", Faults { lose: 2, ..NONE }),
            two.beside("a call is late", Faults { late: 1, ..NONE }),
            two.beside("one is dropped with its call", Faults { drop: 1, ..NONE }),
            two.beside("one is dropped and its call is not", Faults { drop: 1, outlive: true, ..NONE }),
            listed,
            listed.beside("a call fails", Faults { fail: 1, ..NONE }),
            listed.beside("an answer is lost", Faults { lose: 1, ..NONE }),
            listed.beside("a call is late", Faults { late: 1, ..NONE }),
            listed.beside("one is dropped with its call", Faults { drop: 1, ..NONE }),
            listed.beside("one is dropped and its call is not", Faults { drop: 1, outlive: true, ..NONE }),
            ended,
            ended.beside("a call fails", Faults { fail: 1, ..NONE }),
            ended.beside("an answer is lost", Faults { lose: 1, ..NONE }),
            ended.beside("a call is late", Faults { late: 1, ..NONE }),
            ended.beside("one is dropped with its call", Faults { drop: 1, ..NONE }),
            ended.beside("one is dropped and its call is not", Faults { drop: 1, outlive: true, ..NONE }),
        ]
    };

    const fn of(name: &'static str, requests: usize, calls: usize) -> Self {
        Self { name, fault: "", requests, calls, faults: NONE, world: Sessions::Guest }
    }

    const fn beside(self, fault: &'static str, faults: Faults) -> Self {
        Self { fault, faults, ..self }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.world {
            Sessions::Guest => "",
            Sessions::Listed => "a user's session, ",
            Sessions::Ended => "a user's sessions and their ends, ",
        })?;
        f.write_str(self.name)?;
        if self.fault.is_empty() { Ok(()) } else { write!(f, ", {}", self.fault) }
    }
}

/// What was run.
#[derive(Debug, Default)]
pub struct Exhausted {
    /// Sets of requests.
    pub programs: u64,
    /// Orders of their store calls and faults.
    pub orders: u64,
    /// What broke a promise: of each program the first.
    pub found: Vec<Found>,
}

/// What a request may do before its commit.
fn alphabet(world: Sessions) -> Vec<Op> {
    let insert = Op::Insert("a", "\"new\"".into());
    match world {
        Sessions::Guest => vec![
            Op::Get("a"),
            insert,
            Op::Remove("a"),
            Op::Update("n", Update::Increment),
            Op::Clear,
            Op::Flash("info", "\"new\"".into()),
            Op::Take("info"),
            Op::Regenerate,
            Op::Cycle,
            Op::Destroy,
            Op::Touch,
            Op::MaxAge(Some(1)),
            Op::Save,
            Op::Reload,
            Op::Commit,
        ],
        Sessions::Listed => vec![
            insert,
            Op::Update("n", Update::Increment),
            Op::Clear,
            Op::Regenerate,
            Op::Cycle,
            Op::Destroy,
            Op::Confirm,
        ],
        Sessions::Ended => vec![
            insert,
            Op::Cycle,
            Op::Destroy,
            Op::LogIn { user: 0, begun: false, tag: SmolStr::default() },
            Op::LogIn { user: 1, begun: false, tag: SmolStr::default() },
            Op::Impersonate(1, SmolStr::default()),
            Op::List(0),
            Op::End(0, Target::First(0)),
            Op::EndOthers(0),
            Op::EndAll(0),
        ],
    }
}

/// The same call, with a tag of its own.
fn tagged(op: &Op, request: usize) -> Op {
    match op.clone() {
        Op::LogIn { user, begun, .. } => {
            Op::LogIn { user, begun, tag: format_smolstr!("\"login {request}\"") }
        }
        Op::Impersonate(user, _) => Op::Impersonate(user, format_smolstr!("\"act {request}\"")),
        op => op,
    }
}

/// Runs every program of a scope in every order.
pub fn exhaust(checker: &Checker, scope: Scope, mut report: impl FnMut(&Exhausted)) -> Exhausted {
    let mut lists: Vec<Vec<Op>> = vec![Vec::new()];
    let mut longest = lists.clone();
    for _ in 0..scope.calls {
        let longer = longest.iter().flat_map(|list| {
            alphabet(scope.world)
                .into_iter()
                .map(move |op| list.iter().cloned().chain([op]).collect::<Vec<_>>())
        });
        longest = longer.collect();
        lists.extend(longest.iter().cloned());
    }
    let mut exhausted = Exhausted::default();
    // Each choice of as many lists, in no order.
    let mut chosen = vec![0; scope.requests];
    loop {
        let program = program(checker, scope, chosen.iter().map(|at| &lists[*at][..]));
        exhausted.programs += 1;
        exhausted.found.extend(every_order(checker, &program, &mut exhausted.orders));
        report(&exhausted);
        let Some(next) = chosen.iter().rposition(|at| at + 1 < lists.len()) else { return exhausted };
        let value = chosen[next] + 1;
        chosen[next..].fill(value);
    }
}

/// Runs one program of a scope in every order.
pub fn exhaust_one(checker: &Checker, scope: Scope, lists: &[&[Op]]) -> Exhausted {
    let program = program(checker, scope, lists.iter().copied());
    let mut exhausted = Exhausted { programs: 1, ..Exhausted::default() };
    exhausted.found.extend(every_order(checker, &program, &mut exhausted.orders));
    exhausted
}

fn program<'o>(checker: &Checker, scope: Scope, lists: impl Iterator<Item = &'o [Op]>) -> Program {
    // Where a call fails, the commit is repeated.
    let commits = if scope.faults.fail + scope.faults.lose + scope.faults.late > 0 { 2 } else { 1 };
    let request = |(at, ops): (usize, &[Op])| Request {
        // A login of the second request is another device's; whatever else it does, it does to the same one.
        visitor: usize::from(at > 0 && ops.iter().any(|op| matches!(op, Op::LogIn { .. }))),
        process: 0,
        planted: Vec::new(),
        optional: false,
        stop_on_error: false,
        ops: ops.iter().map(|op| tagged(op, at)).chain(std::iter::repeat_n(Op::Commit, commits)).collect(),
    };
    let first = match scope.world {
        Sessions::Guest => Visitor::Known { record: 3, old_secret: false },
        Sessions::Listed | Sessions::Ended => Visitor::LoggedIn { user: 0, old_secret: false },
    };
    let mut visitors = vec![first];
    if scope.world == Sessions::Ended {
        visitors.push(Visitor::New);
    }
    Program {
        store: checker.store(),
        users: scope.world == Sessions::Ended,
        options: Options::default(),
        faults: scope.faults,
        visitors,
        requests: lists.enumerate().map(request).collect(),
        taken: Vec::new(),
    }
}

/// Runs a program in every order; returns the first that breaks a promise.
fn every_order(checker: &Checker, program: &Program, orders: &mut u64) -> Option<Found> {
    let mut given = Vec::new();
    let mut found = None;
    loop {
        let mut chooser = Chooser::replay(given);
        let (_, violation) = checker.judged(program, &mut chooser, (Grain::WholeCalls, false));
        *orders += 1;
        if let (Some(violation), None) = (violation, &found) {
            let order = (Grain::WholeCalls, choices(&chooser));
            found = Some(checker.found(program.clone(), violation, order));
        }
        // The next order: the last choice that has another possibility takes it.
        let mut made = chooser.made;
        while made.last().is_some_and(|(choice, all)| choice + 1 >= *all) {
            made.pop();
        }
        let Some((choice, _)) = made.last_mut() else { return found };
        *choice += 1;
        given = made.into_iter().map(|(choice, _)| choice).collect();
    }
}
