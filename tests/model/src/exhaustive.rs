//! Every order of small programs.

use crate::checker::{Checker, Found, choices};
use crate::chooser::Chooser;
use crate::program::{Faults, Op, Options, Program, Request, Update, Visitor};
use crate::scheduler::Grain;

/// Which programs are run in every order.
#[derive(Debug, Clone, Copy)]
pub struct Scope {
    /// What it is called.
    pub name: &'static str,
    /// How many requests of one visitor run at the same time.
    pub requests: usize,
    /// How many calls each of them makes before its commit, at most.
    pub calls: usize,
    /// What happens to each program, at every place where it can.
    pub faults: Faults,
}

const NONE: Faults = Faults { fail: 0, lose: 0, late: 0, drop: 0, outlive: false };

impl Scope {
    /// The scopes that are small enough.
    pub const ALL: [Self; 8] = [
        Self { name: "two requests of up to two calls", requests: 2, calls: 2, faults: NONE },
        Self { name: "three requests of up to one call", requests: 3, calls: 1, faults: NONE },
        Self {
            name: "two requests of up to one call, a call fails",
            requests: 2,
            calls: 1,
            faults: Faults { fail: 1, ..NONE },
        },
        Self {
            name: "two requests of up to one call, an answer is lost",
            requests: 2,
            calls: 1,
            faults: Faults { lose: 1, ..NONE },
        },
        Self {
            name: "two requests of up to one call, two answers are lost",
            requests: 2,
            calls: 1,
            faults: Faults { lose: 2, ..NONE },
        },
        Self {
            name: "two requests of up to one call, a call is late",
            requests: 2,
            calls: 1,
            faults: Faults { late: 1, ..NONE },
        },
        Self {
            name: "two requests of up to one call, one is dropped with its call",
            requests: 2,
            calls: 1,
            faults: Faults { drop: 1, ..NONE },
        },
        Self {
            name: "two requests of up to one call, one is dropped and its call is not",
            requests: 2,
            calls: 1,
            faults: Faults { drop: 1, outlive: true, ..NONE },
        },
    ];
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
fn alphabet() -> Vec<Op> {
    vec![
        Op::Get("a"),
        Op::Insert("a", "\"new\"".into()),
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
    ]
}

/// Runs every program of a scope in every order.
pub fn exhaust(checker: &Checker, scope: Scope, mut report: impl FnMut(&Exhausted)) -> Exhausted {
    let mut lists: Vec<Vec<Op>> = vec![Vec::new()];
    let mut longest = lists.clone();
    for _ in 0..scope.calls {
        let longer = longest.iter().flat_map(|list| {
            alphabet().into_iter().map(move |op| list.iter().cloned().chain([op]).collect::<Vec<_>>())
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

fn program<'o>(checker: &Checker, scope: Scope, lists: impl Iterator<Item = &'o [Op]>) -> Program {
    // Where a call fails, the commit is repeated.
    let commits = if scope.faults.fail + scope.faults.lose + scope.faults.late > 0 { 2 } else { 1 };
    let request = |ops: &[Op]| Request {
        visitor: 0,
        process: 0,
        planted: Vec::new(),
        optional: false,
        stop_on_error: false,
        ops: ops.iter().cloned().chain(std::iter::repeat_n(Op::Commit, commits)).collect(),
    };
    Program {
        store: checker.store(),
        options: Options::default(),
        faults: scope.faults,
        visitors: vec![Visitor::Known { record: 3, old_secret: false }],
        requests: lists.map(request).collect(),
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
