//! Long runs of the model checker.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use sessile_model::{Checker, FEATURES, Found, Program, Scope, StoreKind, exhaust};

const USAGE: &str = "\
cargo run --release -p sessile-model --features sqlite -- [OPTIONS]
  --minutes N     run for so long, over all stores in turn (default: 1)
  --schedules N   run so many of each store instead
  --store NAME    this store only
  --without A,B   leave out programs with these features
  --start N       begin with this seed (default: 0)
  --seed N        replay this one, step by step
  --exhaustive    every order of small programs, over the wrapped memory store unless another is named
  --scope TEXT    of these, only those in whose name the text is";

#[derive(Default)]
struct Arguments {
    minutes: Option<f64>,
    schedules: Option<u64>,
    store: Option<StoreKind>,
    start: u64,
    seed: Option<u64>,
    exhaustive: bool,
    scope: String,
    without: Vec<fn(&Program) -> bool>,
}

fn arguments() -> Result<Arguments, String> {
    let mut given = std::env::args().skip(1);
    let mut arguments = Arguments::default();
    while let Some(name) = given.next() {
        let mut value = || given.next().ok_or_else(|| format!("{name} needs a value"));
        let wrong = |error: &dyn std::fmt::Display| error.to_string();
        match &*name {
            "--minutes" => arguments.minutes = Some(value()?.parse().map_err(|error| wrong(&error))?),
            "--schedules" => arguments.schedules = Some(value()?.parse().map_err(|error| wrong(&error))?),
            "--store" => arguments.store = Some(value()?.parse()?),
            "--start" => arguments.start = value()?.parse().map_err(|error| wrong(&error))?,
            "--seed" => arguments.seed = Some(value()?.parse().map_err(|error| wrong(&error))?),
            "--without" => {
                for name in value()?.split(',') {
                    let feature = FEATURES.iter().find(|(known, _)| *known == name);
                    let known: Vec<_> = FEATURES.iter().map(|(known, _)| *known).collect();
                    let (_, has) = feature.ok_or_else(|| format!("features are {}", known.join(", ")))?;
                    arguments.without.push(*has);
                }
            }
            "--scope" => arguments.scope = value()?,
            "--exhaustive" => arguments.exhaustive = true,
            _ => return Err(USAGE.into()),
        }
    }
    Ok(arguments)
}

fn main() -> ExitCode {
    let arguments = match arguments() {
        Ok(arguments) => arguments,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(2);
        }
    };
    let clean = if let Some(seed) = arguments.seed {
        replay(seed, arguments.store)
    } else if arguments.exhaustive {
        exhaustive(arguments.store, &arguments.scope)
    } else {
        long_run(&arguments)
    };
    if clean { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn replay(seed: u64, store: Option<StoreKind>) -> bool {
    let Some(checker) = Checker::new(store.unwrap_or(StoreKind::of_seed(seed))) else { return true };
    println!("seed {seed}\n{}", checker.narrate(seed));
    let Some(found) = checker.check(seed) else { return true };
    println!("the smallest program that was found:\n{}", checker.shrink(&found));
    false
}

fn exhaustive(store: Option<StoreKind>, only: &str) -> bool {
    let Some(checker) = Checker::new(store.unwrap_or(StoreKind::WrappedMemory)) else { return true };
    let mut clean = true;
    let (mut rows, mut all) = (String::new(), 0);
    for scope in Scope::ALL.into_iter().filter(|scope| scope.to_string().contains(only)) {
        let mut shown = Instant::now();
        let exhausted = exhaust(&checker, scope, |so_far| {
            if shown.elapsed() > Duration::from_secs(20) {
                shown = Instant::now();
                eprintln!("{scope}: {} programs, {} orders", so_far.programs, so_far.orders);
            }
        });
        let mut kinds = BTreeMap::<_, u64>::new();
        for found in &exhausted.found {
            let count = kinds.entry(found.violation.kind).or_default();
            *count += 1;
            if *count == 1 {
                println!("\n== {scope}: {}\n{found}", found.violation.kind);
            }
        }
        let kinds: Vec<_> = kinds.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
        let kinds = if kinds.is_empty() { "none".into() } else { kinds.join(", ") };
        rows += &format!("| {scope} | {} | {} | {kinds} |\n", exhausted.programs, exhausted.orders);
        all += exhausted.orders;
        clean &= exhausted.found.is_empty();
    }
    println!(
        "\n{}\n| scope | programs | orders | programs with a violation |\n|---|---|---|---|",
        checker.store()
    );
    println!("{rows}\n{all} orders in all");
    clean
}

/// After so many programs in a row that were left out, a store has no others.
const ALL_LEFT_OUT: u64 = 10_000;

/// How many there were, and the first of them with their seeds.
type Violations = (u64, Vec<(u64, Found)>);

/// What was run over one store.
struct Tally {
    checker: Checker,
    next: u64,
    schedules: u64,
    /// How many programs were left out since the last one that was run.
    left_out: u64,
    spent: Duration,
    /// By kind: how many, and the first seeds.
    found: BTreeMap<&'static str, Violations>,
}

fn long_run(arguments: &Arguments) -> bool {
    let stores: Vec<_> = arguments.store.map_or(StoreKind::ALL.to_vec(), |only| vec![only]);
    let all = StoreKind::ALL.len() as u64;
    let mut tallies: Vec<_> = stores
        .into_iter()
        .filter_map(|kind| {
            let is_own = |seed: &u64| kind == StoreKind::Moving || StoreKind::of_seed(*seed) == kind;
            let first = (arguments.start..).find(is_own)?;
            Some(Tally {
                checker: Checker::new(kind)?,
                next: first,
                schedules: 0,
                left_out: 0,
                spent: Duration::ZERO,
                found: BTreeMap::new(),
            })
        })
        .collect();
    let begun = Instant::now();
    let minutes = Duration::from_secs_f64(60.0 * arguments.minutes.unwrap_or(1.0));
    loop {
        for tally in &mut tallies {
            let slice = Instant::now();
            while slice.elapsed() < Duration::from_millis(500)
                && arguments.schedules.is_none_or(|most| tally.schedules < most)
                && tally.left_out < ALL_LEFT_OUT
            {
                let seed = tally.next;
                tally.next += all;
                let left_out = |program: &Program| arguments.without.iter().any(|has| has(program));
                let Some(found) = tally.checker.check_unless(seed, left_out) else {
                    tally.left_out += 1;
                    continue;
                };
                tally.left_out = 0;
                tally.schedules += 1;
                if let Some(found) = found {
                    let (count, first) = tally.found.entry(found.violation.kind).or_default();
                    *count += 1;
                    if first.len() < 3 {
                        first.push((seed, found));
                    }
                }
            }
            tally.spent += slice.elapsed();
        }
        let over = match arguments.schedules {
            Some(most) => {
                tallies.iter().all(|tally| tally.schedules >= most || tally.left_out >= ALL_LEFT_OUT)
            }
            None => begun.elapsed() >= minutes,
        };
        if over {
            break;
        }
    }
    report(&tallies)
}

fn report(tallies: &[Tally]) -> bool {
    for tally in tallies {
        for (kind, (count, first)) in &tally.found {
            let seeds: Vec<_> = first.iter().map(|(seed, _)| seed.to_string()).collect();
            println!(
                "\n== {} {kind}: {count}, first with the seeds {}",
                tally.checker.store(),
                seeds.join(", ")
            );
            if let Some((seed, found)) = first.first() {
                println!("-- seed {seed}, shrunk\n{}", tally.checker.shrink(found));
            }
        }
    }
    println!("\n| store | schedules | a second | violations |\n|---|---|---|---|");
    for tally in tallies {
        let kinds: Vec<_> = tally.found.iter().map(|(kind, (count, _))| format!("{count} {kind}")).collect();
        let kinds = if kinds.is_empty() { "none".into() } else { kinds.join(", ") };
        let rate = tally.schedules as f64 / tally.spent.as_secs_f64().max(0.001);
        println!("| {} | {} | {rate:.0} | {kinds} |", tally.checker.store(), tally.schedules);
    }
    let schedules: u64 = tallies.iter().map(|tally| tally.schedules).sum();
    println!("\n{schedules} schedules in all");
    tallies.iter().all(|tally| tally.found.is_empty())
}
