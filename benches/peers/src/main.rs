//! Measures what it is told to, or everything, and writes `docs/benchmarks.md`.

use std::process::ExitCode;

use sessile_peers::process;
use sessile_peers::report::{PARTS, Part, publish};

fn measure(part: &str) -> Option<Part> {
    Some(match part {
        "process" => process::measure(),
        _ => return None,
    })
}

fn main() -> ExitCode {
    let asked: Vec<_> = std::env::args().skip(1).collect();
    let parts = if asked.is_empty() { PARTS.map(str::to_owned).to_vec() } else { asked };
    for name in &parts {
        let Some(part) = measure(name) else {
            eprintln!("no part is called {name}; there are {}", PARTS.join(", "));
            return ExitCode::FAILURE;
        };
        publish(&part);
    }
    ExitCode::SUCCESS
}
