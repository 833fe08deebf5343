//! Every order of small programs.

use crate::checker::{Checker, Found, choices};
use crate::chooser::Chooser;
use crate::scheduler::Grain;
use crate::program::{Faults, Op, Options, Program, Request, Update, Visitor};

/// What was run.
#[derive(Debug, Default)]
pub struct Exhausted {
    /// Pairs of requests.
    pub programs: u64,
    /// Orders of their steps and store calls.
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

/// All orders of all pairs of requests of one visitor with up to `calls` calls each before the commit.
pub fn exhaust(checker: &Checker, calls: usize, mut report: impl FnMut(&Exhausted)) -> Exhausted {
    let mut lists: Vec<Vec<Op>> = vec![Vec::new()];
    let mut longest = lists.clone();
    for _ in 0..calls {
        let longer = longest.iter().flat_map(|list| {
            alphabet().into_iter().map(move |op| list.iter().cloned().chain([op]).collect::<Vec<_>>())
        });
        longest = longer.collect();
        lists.extend(longest.iter().cloned());
    }
    let mut exhausted = Exhausted::default();
    for (at, one) in lists.iter().enumerate() {
        for other in &lists[at..] {
            let program = pair(checker, one, other);
            exhausted.programs += 1;
            exhausted.found.extend(every_order(checker, &program, &mut exhausted.orders));
        }
        report(&exhausted);
    }
    exhausted
}

fn pair(checker: &Checker, one: &[Op], other: &[Op]) -> Program {
    let request = |ops: &[Op]| Request {
        visitor: 0,
        process: 0,
        planted: Vec::new(),
        optional: false,
        stop_on_error: true,
        ops: ops.iter().cloned().chain([Op::Commit]).collect(),
    };
    Program {
        store: checker.store(),
        options: Options::default(),
        faults: Faults::default(),
        visitors: vec![Visitor::Known { record: 3, old_secret: false }],
        requests: vec![request(one), request(other)],
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
            found = Some(checker.found(program.clone(), violation, (Grain::WholeCalls, choices(&chooser))));
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
