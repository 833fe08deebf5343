//! Measures what it is told to, or everything, and writes `docs/benchmarks.md`.

use std::process::ExitCode;

use sessile_peers::contestants::Contestant;
use sessile_peers::inner::INNER;
use sessile_peers::report::{PARTS, Part, publish};
use sessile_peers::scenario::Scenario;
use sessile_peers::{files, growth, hot, http, memory, postgres, process, redis, serve};

fn measure(part: &str) -> Option<Part> {
    Some(match part {
        "process" => process::measure(),
        "memory" => memory::measure(),
        "http" => http::measure(),
        "redis" => redis::measure(),
        "postgres" => postgres::measure(),
        "hot" => hot::measure(),
        "files" => files::measure(),
        "growth" => growth::measure(),
        _ => return None,
    })
}

/// What one of the processes does that this program starts for a single measurement.
fn inner(arguments: &[&str]) -> Option<()> {
    match *arguments {
        ["time"] => process::time_all(),
        ["time-some"] => process::time_some(),
        ["drive", scenario, word, times] => {
            process::drive(Scenario::parse(scenario)?, Contestant::parse(word)?, times.parse().ok()?)
        }
        ["resident", word, path] => println!("{}", memory::per_session(Contestant::parse(word)?, path)),
        ["serve", word] => serve::serve(Contestant::parse(word)?),
        ["serve-files", store, folder] => serve::serve_files(store, folder),
        ["redis"] => redis::serve(),
        ["redis-contest", url] => redis::contest(url),
        ["postgres"] => postgres::serve(),
        ["postgres-contest", url] => postgres::contest(url),
        ["hot-redis"] => hot::serve_redis(),
        ["hot-redis-contest", url] => hot::contest_redis(url),
        ["hot-postgres"] => hot::serve_postgres(),
        ["hot-postgres-contest", url] => hot::contest_postgres(url),
        ["growth-size", scenario, word] => {
            growth::by_size(Contestant::parse(word)?, Scenario::parse(scenario)?)
        }
        ["growth-stored", word] => growth::by_number(Contestant::parse(word)?),
        ["sweep"] => println!("{}", memory::sweep().map(|figure| figure.to_string()).join(" ")),
        ["threads", word, sessions, count] => {
            let (contestant, sessions) = (Contestant::parse(word)?, sessions.parse().ok()?);
            println!("{}", memory::threads(contestant, sessions, count.parse().ok()?))
        }
        _ => return None,
    }
    Some(())
}

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    if let [INNER, rest @ ..] = arguments.as_slice() {
        return if inner(rest).is_some() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    let parts = if arguments.is_empty() { PARTS.to_vec() } else { arguments };
    for name in parts {
        let Some(part) = measure(name) else {
            eprintln!("no part is called {name}; there are {}", PARTS.join(", "));
            return ExitCode::FAILURE;
        };
        publish(&part);
    }
    ExitCode::SUCCESS
}
