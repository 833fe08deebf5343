//! What a request costs in process, on one core, over the bare handler: nanoseconds and allocations.

use std::collections::HashMap;
use std::process::Command;
use std::time::Instant;

use crate::app::{App, Ask};
use crate::contestants::Contestant;
use crate::inner::{Core, output};
use crate::report::{Part, Table, plus};
use crate::runtime::block_on;
use crate::scenario::Scenario;
use crate::statistics::Spread;

/// Everyone has a turn in each round, so that what disturbs the machine disturbs all of them.
const ROUNDS: usize = 21;
const PER_ROUND: usize = 5_000;
const WARM_UP: usize = 2_000;

type Figures<T> = HashMap<(Scenario, Contestant), T>;

pub fn measure() -> Part {
    let times = parse(&output(Core::Only(0), &["time"]), |figures| match *figures {
        [low, median, high] => Spread { low, median, high },
        _ => panic!("three figures, not {figures:?}"),
    });
    let allocations = parse(&counted(), |figures| figures[0]);
    let allocations = allocations.iter().map(|(&(scenario, contestant), &figure)| {
        let bare = contestant.bare();
        let over = if bare == contestant { figure } else { figure - allocations[&(scenario, bare)] };
        ((scenario, contestant), over)
    });
    Part {
        name: "process",
        title: "What a request costs",
        text: render(&times, &allocations.collect::<Figures<f64>>()),
    }
}

/// Times everyone and prints a line each.
pub fn time_all() {
    for scenario in Scenario::ALL {
        for (contestant, Spread { low, median, high }) in block_on(time(scenario)) {
            println!("{} {} {low} {median} {high}", scenario.word(), contestant.word());
        }
    }
}

async fn contest(scenario: Scenario) -> Vec<(Contestant, Box<dyn App>, Ask)> {
    let mut contest = Vec::new();
    for contestant in Contestant::ALL.into_iter().filter(|&contestant| scenario.has(contestant)) {
        let app = contestant.app(scenario).await;
        let ask = scenario.prepare(contestant, &*app).await;
        contest.push((contestant, app, ask));
    }
    contest
}

async fn time(scenario: Scenario) -> HashMap<Contestant, Spread> {
    let contest = contest(scenario).await;
    for (_, app, ask) in &contest {
        app.drive(std::slice::from_ref(ask), WARM_UP).await;
    }
    let mut rounds: HashMap<Contestant, Vec<f64>> = HashMap::new();
    for _ in 0..ROUNDS {
        for (contestant, app, ask) in &contest {
            let began = Instant::now();
            app.drive(std::slice::from_ref(ask), PER_ROUND).await;
            let each = began.elapsed().as_nanos() as f64 / PER_ROUND as f64;
            rounds.entry(*contestant).or_default().push(each);
        }
    }
    let over = |contestant: Contestant| {
        let bare = contestant.bare();
        let own = &rounds[&contestant];
        // A bare server's own figure is shown as it is.
        let over = own
            .iter()
            .zip(&rounds[&bare])
            .map(|(own, bare_one)| if bare == contestant { *own } else { own - bare_one });
        Spread::of(over.collect())
    };
    rounds.keys().map(|&contestant| (contestant, over(contestant))).collect()
}

/// Counts with the given function, which tells how many allocations there were so far, and prints a line
/// each.
///
/// A program of its own does this: counting takes time at each allocation, most of it from those that make
/// many.
pub fn count(allocations: impl Fn() -> usize) {
    const TIMES: usize = 1_000;
    for scenario in Scenario::ALL {
        block_on(async {
            for (contestant, app, ask) in contest(scenario).await {
                let asks = [ask];
                app.drive(&asks, WARM_UP).await;
                let one_pass = async || {
                    let before = allocations();
                    app.drive(&asks, TIMES).await;
                    allocations() - before
                };
                // What the loop itself allocates is in a pass of none as well.
                let before = allocations();
                app.drive(&asks, 0).await;
                let own = allocations() - before;
                let each = (one_pass().await - own) as f64 / TIMES as f64;
                println!("{} {} {each}", scenario.word(), contestant.word());
            }
        });
    }
}

/// What the program that counts prints.
fn counted() -> String {
    let beside =
        std::env::current_exe().expect("this program has a path").with_file_name("sessile-peers-count");
    let output =
        Command::new(&beside).output().unwrap_or_else(|error| panic!("{}: {error}", beside.display()));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

/// Lines of a scenario, a contestant and figures.
fn parse<T>(lines: &str, figures: impl Fn(&[f64]) -> T) -> Figures<T> {
    let line = |line: &str| {
        let mut words = line.split(' ');
        let scenario = Scenario::parse(words.next()?)?;
        let contestant = Contestant::parse(words.next()?)?;
        let numbers: Result<Vec<f64>, _> = words.map(str::parse).collect();
        Some(((scenario, contestant), figures(&numbers.ok()?)))
    };
    lines.lines().map(|text| line(text).unwrap_or_else(|| panic!("{text:?}"))).collect()
}

fn render(times: &Figures<Spread>, allocations: &Figures<f64>) -> String {
    let mut bars = Table::new(&[
        "request",
        "style",
        "bar",
        "sessile",
        "bar",
        "sessile",
        "tower-sessions, signed",
        "its time",
        "its allocations",
    ]);
    let tower = Contestant::Tower;
    for scenario in Scenario::ALL {
        for bar in scenario.bars() {
            let key = (scenario, bar.contestant);
            let (own, theirs) = (times[&key].median, times[&(scenario, tower)].median);
            let (count, their_count) = (allocations[&key], allocations[&(scenario, tower)]);
            bars.row([
                scenario.name().into(),
                if bar.contestant == Contestant::SessileLayer { "layer" } else { "extractor" }.into(),
                format!("{} ns", plus(bar.nanoseconds)),
                format!("{} ns", plus(own)),
                format!("{} allocations", plus(bar.allocations)),
                format!("{} allocations", plus(count)),
                format!("{} ns, {} allocations", plus(theirs), plus(their_count)),
                if bar.nanoseconds > 0.0 { share(own, theirs) } else { "–".into() },
                if bar.allocations > 0.0 { share(count, their_count) } else { "–".into() },
            ]);
        }
    }
    let mut all = Table::new(&[
        "over the bare handler",
        "read",
        "write",
        "rolling read",
        "new session",
        "forged cookie",
        "no session",
    ]);
    for contestant in Contestant::ALL {
        let cell =
            |scenario| match (times.get(&(scenario, contestant)), allocations.get(&(scenario, contestant))) {
                (Some(time), Some(count)) if contestant.bare() == contestant => {
                    format!("{:.0} ns, {count:.0}", time.median)
                }
                (Some(time), Some(count)) => {
                    format!(
                        "{} ns ({:.0} to {:.0}), {}",
                        plus(time.median),
                        time.low,
                        time.high,
                        plus(*count)
                    )
                }
                _ => "–".into(),
            };
        let cells = Scenario::ALL.map(cell);
        all.row(std::iter::once(contestant.name().to_owned()).chain(cells));
    }
    format!(
        "In process, on one core, signed cookies, stores in memory, a session of 1 KiB in ten keys. Figures are over what \
         the same route costs without sessions on the same framework: the median of {ROUNDS} interleaved rounds of \
         {PER_ROUND} requests. Before it is timed each contestant proves that it does the work: the counter rises and the \
         next request sees it, the cookie is set, the forged cookie gets no session.\n\n\
         A read decodes a number and a struct, which the bare handler makes of constants; a write counts up in the same \
         session; a rolling read extends the session; a new session has one key; routes without a session are sent a \
         good cookie all the same.\n\n{bars}\n\
         Everyone; nanoseconds with their quartiles, and allocations. The bare servers' own rows are what the others are \
         over.\n\n{all}\n\
         actix-session ships no store in memory, so the plainest one its trait allows stands in. The jar holds the \
         counter itself. tower-sessions without signatures loads what an id names, so a forged cookie costs it a look \
         into the store. axum_session sets its cookie with each answer, rolling or not, and hands each signature to a \
         thread of its own.\n"
    )
}

fn share(own: f64, theirs: f64) -> String {
    if own <= 0.0 { "–".into() } else { format!("{:.1} ×", theirs / own) }
}
