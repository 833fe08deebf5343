//! Makes a failing program smaller, as long as it breaks the same promise.

use fastrand::Rng;

use crate::checker::{Checker, Found, choices};
use crate::chooser::Chooser;
use crate::history::Violation;
use crate::program::{Faults, Options, Program, Visitor};
use crate::scheduler::Grain;

/// A smaller program is tried in so many orders.
const ORDERS: u64 = 300;
/// And so many programs are tried.
const PROGRAMS: usize = 400;

pub(crate) fn shrink(checker: &Checker, found: &Found) -> Found {
    let mut best = (found.program.clone(), found.violation.clone(), found.choices.clone());
    let mut tried = 0;
    'smaller: while tried < PROGRAMS {
        for program in smaller(&best.0) {
            tried += 1;
            if let Some((violation, order)) = fails(checker, &program, &best.2, best.1.kind) {
                best = (program, violation, order);
                continue 'smaller;
            }
        }
        break;
    }
    let (program, mut violation, mut order) = best;
    // Of the choices, those that can be the first possibility become it.
    for at in 0..order.len() {
        if order.get(at).is_none_or(|choice| *choice == 0) {
            continue;
        }
        let mut simpler = order.clone();
        simpler[at] = 0;
        if let Some((found, made)) = replay(checker, &program, simpler, violation.kind) {
            (violation, order) = (found, made);
        }
    }
    checker.found(program, violation, (Grain::Fine, order))
}

fn replay(
    checker: &Checker,
    program: &Program,
    order: Vec<u16>,
    kind: &str,
) -> Option<(Violation, Vec<u16>)> {
    let mut chooser = Chooser::replay(order);
    let (_, violation) = checker.judged(program, &mut chooser, (Grain::Fine, false));
    violation.filter(|found| found.kind == kind).map(|found| (found, choices(&chooser)))
}

/// An order in which the program breaks the promise: first the given one.
fn fails(checker: &Checker, program: &Program, order: &[u16], kind: &str) -> Option<(Violation, Vec<u16>)> {
    replay(checker, program, order.to_vec(), kind).or_else(|| {
        (0..ORDERS).find_map(|seed| {
            let mut chooser = Chooser::random(Rng::with_seed(seed));
            let (_, violation) = checker.judged(program, &mut chooser, (Grain::Fine, false));
            violation.filter(|found| found.kind == kind).map(|found| (found, choices(&chooser)))
        })
    })
}

/// Programs with one thing less.
fn smaller(program: &Program) -> Vec<Program> {
    let mut all = Vec::new();
    let mut add = |change: &dyn Fn(&mut Program)| {
        let mut other = program.clone();
        change(&mut other);
        all.push(other);
    };
    for at in 0..program.requests.len() {
        add(&|program| drop(program.requests.remove(at)));
    }
    let faults = program.faults;
    let fewer = [
        Faults { fail: faults.fail.saturating_sub(1), ..faults },
        Faults { lose: faults.lose.saturating_sub(1), ..faults },
        Faults { late: faults.late.saturating_sub(1), ..faults },
        Faults { drop: faults.drop.saturating_sub(1), ..faults },
        Faults { outlive: false, ..faults },
    ];
    for fewer in fewer.into_iter().filter(|fewer| *fewer != faults) {
        add(&|program| program.faults = fewer);
    }
    for (at, request) in program.requests.iter().enumerate() {
        for op in (0..request.ops.len()).rev() {
            add(&|program| drop(program.requests[at].ops.remove(op)));
        }
        for cookie in 0..request.planted.len() {
            add(&|program| {
                program.requests[at].planted.remove(cookie);
            });
        }
        if request.process > 0 {
            add(&|program| program.requests[at].process = 0);
        }
        if request.optional {
            add(&|program| program.requests[at].optional = false);
        }
        if !request.stop_on_error {
            add(&|program| program.requests[at].stop_on_error = true);
        }
        if request.visitor > 0 {
            add(&|program| program.requests[at].visitor = 0);
        }
    }
    if !program.taken.is_empty() {
        add(&|program| program.taken.clear());
    }
    let options = program.options;
    let plainer = [
        Options { save_uninitialized: false, ..options },
        Options { rolling: false, ..options },
        Options { resave: false, ..options },
        Options { touch_always: false, ..options },
        Options { browser_session: false, ..options },
        Options { clock_moves: false, ..options },
        Options { timeout: None, ..options },
    ];
    for plainer in plainer.into_iter().filter(|plainer| *plainer != options) {
        add(&|program| program.options = plainer);
    }
    for (at, visitor) in program.visitors.iter().enumerate() {
        let plain = Visitor::Known { record: 0, old_secret: false };
        if *visitor != plain {
            add(&|program| program.visitors[at] = plain);
        }
    }
    let used = |at: usize| program.requests.iter().any(|request| request.visitor == at);
    if program.visitors.len() > 1 && !used(program.visitors.len() - 1) {
        let planted = program.requests.iter().flat_map(|request| &request.planted);
        let last = program.visitors.len() - 1;
        if !planted.into_iter().any(|planted| *planted == crate::program::Planted::Of(last)) {
            add(&|program| {
                program.visitors.pop();
            });
        }
    }
    all
}
