//! What each kind of request costs over a bare handler, counted: instructions, by valgrind, and allocations.
//!
//! `cargo bench --bench budget` fails where a count is over `benches/budget.txt`;
//! `cargo bench --bench budget -- --update` writes the counts there, as the new budget. Counts, unlike times,
//! are the same on a busy machine.
//!
//! Valgrind knows no SHA instructions, so signatures count more here than they take on most machines.

mod kinds;

use std::alloc::System;
use std::collections::BTreeMap;
use std::fmt;
use std::process::{Command, ExitCode, Stdio};

use kinds::{Case, Kind};
use sessile::MemoryStore;
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const BUDGET: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/budget.txt");
/// Counts vary by three in a hundred by themselves, with hash seeds and addresses; so one in so many may be
/// too many.
const TOLERANCE: u64 = 15;
/// The requests before those that are counted, and the counted ones.
const WARM_UP: u64 = 100;
const COUNTED: u64 = 1000;

/// What one request costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Cost {
    instructions: u64,
    allocations: u64,
}

impl Cost {
    fn within(self, budget: Self) -> bool {
        self.instructions <= budget.instructions + budget.instructions / TOLERANCE
            && self.allocations <= budget.allocations
    }
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>6} {:>3}", self.instructions, self.allocations)
    }
}

/// Whose requests are counted.
#[derive(Clone, Copy)]
enum Side {
    Bare,
    Sessions,
}

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => check(),
        ["--update"] => update(),
        ["send", side, kind, times] => send(side, kind, times),
        _ => {
            eprintln!("usage: cargo bench --bench budget [-- --update]");
            ExitCode::FAILURE
        }
    }
}

fn check() -> ExitCode {
    let text = std::fs::read_to_string(BUDGET).expect("benches/budget.txt is there");
    let budget = parse(&text);
    println!("{:<12} {:>6} {:>3}   budget", "", "instr.", "al.");
    let mut over = Vec::new();
    for kind in Kind::ALL {
        let cost = cost(kind);
        match budget.get(kind.name()) {
            Some(&allowed) => {
                println!("{:<12} {cost}   {allowed}", kind.name());
                if !cost.within(allowed) {
                    over.push(kind.name());
                }
            }
            None => panic!("benches/budget.txt has no line for {kind}"),
        }
    }
    if over.is_empty() {
        return ExitCode::SUCCESS;
    }
    eprintln!(
        "over budget: {}. Make it cheaper, or, where it is worth its price, write the new counts down with \
         `cargo bench --bench budget -- --update`",
        over.join(", ")
    );
    ExitCode::FAILURE
}

fn update() -> ExitCode {
    let mut text = String::from(
        "# Instructions and allocations of one request over a bare handler.\n\
         # Written by `cargo bench --bench budget -- --update`.\n",
    );
    for kind in Kind::ALL {
        text.push_str(&format!("{:<12} {}\n", kind.name(), cost(kind)));
    }
    std::fs::write(BUDGET, &text).expect("benches/budget.txt can be written");
    print!("{text}");
    ExitCode::SUCCESS
}

fn parse(text: &str) -> BTreeMap<&str, Cost> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let words: Vec<_> = line.split_whitespace().collect();
            let [name, instructions, allocations] = words[..] else { panic!("no line of a budget: {line}") };
            let count = |word: &str| word.parse().unwrap_or_else(|_| panic!("no line of a budget: {line}"));
            (name, Cost { instructions: count(instructions), allocations: count(allocations) })
        })
        .collect()
}

fn cost(kind: Kind) -> Cost {
    let over = |count: fn(Kind, Side) -> u64| {
        (count(kind, Side::Sessions).saturating_sub(count(kind, Side::Bare)) + COUNTED / 2) / COUNTED
    };
    Cost { instructions: over(instructions), allocations: over(allocations) }
}

/// Instructions of [`COUNTED`] requests: what so many more requests cost a process.
fn instructions(kind: Kind, side: Side) -> u64 {
    under_valgrind(kind, side, WARM_UP + COUNTED) - under_valgrind(kind, side, WARM_UP)
}

fn under_valgrind(kind: Kind, side: Side, times: u64) -> u64 {
    let side = match side {
        Side::Bare => "bare",
        Side::Sessions => "sessions",
    };
    let this = std::env::current_exe().expect("the path of this program");
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(this)
        .args(["send", side, kind.name(), &times.to_string()])
        .stdin(Stdio::null())
        .output()
        .expect("valgrind is installed");
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "valgrind: {log}");
    let collected = log.lines().find_map(|line| line.split_once("Collected : "));
    let (_, count) = collected.unwrap_or_else(|| panic!("valgrind counted nothing: {log}"));
    count.trim().parse().expect("valgrind's count is a number")
}

/// What runs under valgrind.
fn send(side: &str, kind: &str, times: &str) -> ExitCode {
    let kind = Kind::ALL.into_iter().find(|known| known.name() == kind).expect("a kind");
    let side = if side == "bare" { Side::Bare } else { Side::Sessions };
    let (runtime, case) = open(kind, side);
    runtime.block_on(repeat(&case, times.parse().expect("a number")));
    ExitCode::SUCCESS
}

fn allocations(kind: Kind, side: Side) -> u64 {
    let (runtime, case) = open(kind, side);
    runtime.block_on(async {
        repeat(&case, WARM_UP).await;
        let before = ALLOCATOR.stats();
        repeat(&case, COUNTED).await;
        let made = ALLOCATOR.stats() - before;
        (made.allocations + made.reallocations) as u64
    })
}

fn open(kind: Kind, side: Side) -> (tokio::runtime::Runtime, Case) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime starts");
    let case = runtime.block_on(Case::new(kind, MemoryStore::new()));
    let case = match side {
        Side::Bare => case.bare(),
        Side::Sessions => case,
    };
    (runtime, case)
}

async fn repeat(case: &Case, times: u64) {
    for _ in 0..times {
        drop(case.send().await);
    }
}
