//! `cargo run --release -p sessile-soak -- [--requests 2000000] [--minutes 30]`: half of it over memory, half
//! over a private Redis.

use std::process::ExitCode;
use std::time::Duration;

use sessile_soak::{Plan, Report};

fn main() -> ExitCode {
    let mut whole = Plan::default();
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let value = arguments.next();
        match (&*name, value.as_deref().map(str::parse::<f64>)) {
            ("--requests", Some(Ok(requests))) if requests >= 1.0 => {
                let share = requests / whole.requests as f64;
                let part = |of: u64| (of as f64 * share).ceil() as u64;
                whole = Plan {
                    requests: requests as u64,
                    forged: part(whole.forged),
                    vanishing: part(whole.vanishing),
                    ..whole
                };
            }
            ("--minutes", Some(Ok(minutes))) if minutes >= 0.0 => {
                whole.time = Duration::from_secs_f64(minutes * 60.0);
            }
            _ => {
                eprintln!("usage: sessile-soak [--requests 2000000] [--minutes 30]");
                return ExitCode::FAILURE;
            }
        }
    }
    // The flood and the vanishing connections come over each store in full: they are to cost the store
    // nothing.
    let plan = Plan { requests: whole.requests.div_ceil(2), time: whole.time / 2, ..whole };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime starts");
    runtime.block_on(async {
        print("memory", plan, &sessile_soak::memory(plan).await.expect("the connections hold"));
        match sessile_soak::redis(plan).await.expect("the connections hold") {
            Some(report) => print("redis", plan, &report),
            None => println!("redis: skipped, because no Redis is installed"),
        }
    });
    ExitCode::SUCCESS
}

fn print(store: &str, plan: Plan, report: &Report) {
    let Report { times, took, memory: [quarter, end], flood: [before, after], forged_per_second } = report;
    let rate = plan.requests as f64 / took.as_secs_f64();
    println!(
        "{store}: {} requests in {:.0} s, {rate:.0} a second; nothing lost",
        plan.requests,
        took.as_secs_f64()
    );
    println!("  time: p50 {:.2?}, p99 {:.2?}, p99.9 {:.2?}", times.at(0.5), times.at(0.99), times.at(0.999));
    println!("  memory: {quarter} after a quarter, {end} at the end");
    println!("  {} forged cookies: {forged_per_second:.0} a second, no store call", plan.forged);
    println!(
        "  {} connections that vanished; memory: {before} before the flood, {after} after it",
        plan.vanishing
    );
}
