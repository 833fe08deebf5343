//! What a request costs in process, on one core, over the bare handler: nanoseconds and allocations.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use crate::app::{App, Ask};
use crate::bars::Limit;
use crate::contestants::Contestant;
use crate::inner::{Core, again, completed, output};
use crate::report::{Part, Table, plus};
use crate::runtime::block_on;
use crate::scenario::Scenario;
use crate::statistics::Batches;

/// Everyone has a turn in each round, so that what disturbs the machine disturbs all of them.
const ROUNDS: usize = 15;
const BATCHES: usize = 100;
/// Far shorter than the time that the kernel gives a thread, so that most batches are not disturbed at all.
const PER_BATCH: usize = 50;
const WARM_UP: usize = 2_000;

type Figures<T> = HashMap<(Scenario, Contestant), T>;

pub fn measure() -> Part {
    let times = times(&output(Core::Only(0), &["time"]));
    let allocations = parse(&counted(), |figures| figures[0]);
    let allocations = allocations.iter().map(|(&(scenario, contestant), &figure)| {
        let bare = contestant.bare();
        let over = if bare == contestant { figure } else { figure - allocations[&(scenario, bare)] };
        ((scenario, contestant), over)
    });
    Part {
        name: "process",
        title: "What a request costs",
        text: render(&times, &allocations.collect::<Figures<f64>>()) + &other_builds(&times),
    }
}

fn times(lines: &str) -> Figures<Batches> {
    parse(lines, |figures| match *figures {
        [tenth, median] => Batches { tenth, median },
        _ => panic!("two figures, not {figures:?}"),
    })
}

/// Times everyone and prints a line each.
pub fn time_all() {
    for scenario in Scenario::ALL {
        time(scenario, &Contestant::ALL);
    }
}

/// Times a few on the kinds of request that most programs have.
pub fn time_some() {
    for scenario in [Scenario::Read, Scenario::Write] {
        time(scenario, &SOME);
    }
}

const SOME: [Contestant; 4] =
    [Contestant::BareAxum, Contestant::Hand, Contestant::Sessile, Contestant::Tower];

/// Makes one contestant's requests and nothing else, for a profiler.
pub fn drive(scenario: Scenario, contestant: Contestant, times: usize) {
    block_on(async {
        for (_, app, ask) in contest(scenario, &[contestant]).await {
            app.drive(std::slice::from_ref(&ask), times).await;
        }
    });
}

async fn contest(scenario: Scenario, among: &[Contestant]) -> Vec<(Contestant, Box<dyn App>, Ask)> {
    let mut contest = Vec::new();
    for &contestant in among.iter().filter(|&&contestant| scenario.has(contestant)) {
        let app = contestant.app(scenario).await;
        let ask = scenario.prepare(contestant, &*app).await;
        contest.push((contestant, app, ask));
    }
    contest
}

fn time(scenario: Scenario, among: &[Contestant]) {
    block_on(async {
        let contest = contest(scenario, among).await;
        for (_, app, ask) in &contest {
            app.drive(std::slice::from_ref(ask), WARM_UP).await;
        }
        let mut batches: HashMap<Contestant, Vec<f64>> = HashMap::new();
        for _ in 0..ROUNDS {
            for (contestant, app, ask) in &contest {
                let own = batches.entry(*contestant).or_default();
                for _ in 0..BATCHES {
                    let began = Instant::now();
                    app.drive(std::slice::from_ref(ask), PER_BATCH).await;
                    own.push(began.elapsed().as_nanos() as f64 / PER_BATCH as f64);
                }
            }
        }
        let batches: HashMap<_, _> =
            batches.into_iter().map(|(contestant, own)| (contestant, Batches::of(own))).collect();
        for (&contestant, &own) in &batches {
            let bare = contestant.bare();
            // A bare server's own figure is shown as it is.
            let Batches { tenth, median } = if bare == contestant { own } else { own - batches[&bare] };
            println!("{} {} {tenth} {median}", scenario.word(), contestant.word());
        }
    });
}

/// Where Debian keeps jemalloc, which takes the place of the C library's allocator when it is loaded before it.
const JEMALLOC: &str = "/usr/lib/x86_64-linux-gnu/libjemalloc.so.2";

/// The same program as Cargo builds it by default, and with another allocator.
fn other_builds(usual: &Figures<Batches>) -> String {
    let mut table = Table::new(&[
        "over the bare handler",
        "",
        "written by hand",
        "sessile",
        "of hand",
        "tower-sessions, signed",
    ]);
    let mut rows = |name: &str, times: &Figures<Batches>| {
        for scenario in [Scenario::Read, Scenario::Write] {
            let own = |contestant| times[&(scenario, contestant)].tenth;
            let (hand, sessile) = (own(Contestant::Hand), own(Contestant::Sessile));
            table.row([
                scenario.name().into(),
                name.into(),
                format!("{} ns", plus(hand)),
                format!("{} ns", plus(sessile)),
                format!("{:.2} ×", sessile / hand),
                format!("{} ns", plus(own(Contestant::Tower))),
            ]);
        }
    };
    rows("the usual", usual);
    let mut lto = Vec::new();
    if let Some(program) = built_by_default() {
        let mut command = again(Core::Only(0), &["time-some"], Some(&program));
        let times = times(&completed(&mut command));
        rows("Cargo's default release profile", &times);
        for scenario in [Scenario::Read, Scenario::Write] {
            let of = |figures: &Figures<Batches>| figures[&(scenario, Contestant::Sessile)].tenth;
            lto.push(format!("{:.2} × on a {}", of(&times) / of(usual), scenario.name()));
        }
    }
    if Path::new(JEMALLOC).exists() {
        let mut command = again(Core::Only(0), &["time-some"], None);
        command.env("LD_PRELOAD", JEMALLOC);
        rows("jemalloc", &times(&completed(&mut command)));
    }
    let lto = if lto.is_empty() {
        String::new()
    } else {
        format!("Without optimisation across crates sessile takes {} (bar: 1.20 ×).", lto.join(" and "))
    };
    format!(
        "\nThe figures above are made with the allocator of the GNU C library and `lto = \"fat\"`. The same over the bare \
         handler of the same build, otherwise:\n\n{table}{}{lto}\n",
        if lto.is_empty() { "" } else { "\n" }
    )
}

/// This program in Cargo's default release profile, which `run` builds beside it.
fn built_by_default() -> Option<PathBuf> {
    let own = std::env::current_exe().ok()?;
    let path = own.parent()?.parent()?.join("default-release").join(own.file_name()?);
    path.exists().then_some(path)
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
            for (contestant, app, ask) in contest(scenario, &Contestant::ALL).await {
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

fn render(times: &Figures<Batches>, allocations: &Figures<f64>) -> String {
    let mut bars = Table::new(&[
        "request",
        "floor",
        "sessile",
        "",
        "bar",
        "allocations",
        "bar",
        "tower-sessions, signed",
        "its time",
        "its allocations",
    ]);
    let tower = Contestant::Tower;
    for (scenario, bar) in Scenario::ALL.into_iter().filter_map(|scenario| Some((scenario, scenario.bar()?)))
    {
        let key = (scenario, bar.contestant);
        let floor = times[&(scenario, bar.time.floor())].tenth;
        let (own, theirs) = (times[&key].tenth, times[&(scenario, tower)].tenth);
        let (count, their_count) = (allocations[&key], allocations[&(scenario, tower)]);
        let (compared, limit) = match bar.time {
            Limit::TimesHand(times) => (format!("{:.2} × hand", own / floor), format!("{times} × hand")),
            Limit::OverEmptyLayer(more) => {
                (format!("{} ns over the layer", plus(own - floor)), format!("{} ns", plus(more)))
            }
        };
        let met = |met: bool| if met { "" } else { " (missed)" };
        bars.row([
            scenario.name().into(),
            format!("{} ns", plus(floor)),
            format!("{} ns", plus(own)),
            compared,
            format!("{limit}{}", met(own <= bar.time.nanoseconds(floor))),
            plus(count),
            format!("{}{}", plus(bar.allocations), met(count <= bar.allocations + 0.5)),
            format!("{} ns, {}", plus(theirs), plus(their_count)),
            share(own, theirs),
            share(count, their_count),
        ]);
    }
    let scenarios = || Scenario::ALL.into_iter().filter(|&scenario| scenario != Scenario::Login);
    let heads: Vec<_> =
        std::iter::once("over the bare handler").chain(scenarios().map(Scenario::name)).collect();
    let mut all = Table::new(&heads);
    let cell = |scenario, contestant: Contestant| match (
        times.get(&(scenario, contestant)),
        allocations.get(&(scenario, contestant)),
    ) {
        (Some(time), Some(count)) if contestant.bare() == contestant => {
            format!("{:.0} ns / {:.0}, {count:.0}", time.tenth, time.median)
        }
        (Some(time), Some(count)) => {
            format!("{} ns / {}, {}", plus(time.tenth), plus(time.median), plus(*count))
        }
        _ => "–".into(),
    };
    for contestant in Contestant::ALL
        .into_iter()
        .filter(|&contestant| Scenario::Read.has(contestant) || Scenario::Plain.has(contestant))
    {
        all.row(
            std::iter::once(contestant.name().to_owned())
                .chain(scenarios().map(|scenario| cell(scenario, contestant))),
        );
    }
    let mut login = Table::new(&["a page of a logged-in user", "over the bare handler"]);
    for contestant in [Contestant::LoginTower, Contestant::LoginSessile, Contestant::LoginOwn] {
        login.row([contestant.name().into(), cell(Scenario::Login, contestant)]);
    }
    format!(
        "In process, on one core, signed cookies, stores in memory, a session of 1 KiB in ten keys. Figures are over what \
         the same route costs without sessions on the same framework, with the same features of axum (its default ones): \
         the 10th percentile of {} batches of {PER_BATCH} requests, {ROUNDS} times {BATCHES} of each in turn. Before it \
         is timed each contestant proves that it does the work: the counter rises and the next request sees it, the \
         cookie is set, the forged cookie gets no session.\n\n\
         A read decodes a number and a struct, which the bare handler makes of constants; a write counts up in the same \
         session; a rolling read extends the session; a new session has one key; a forged cookie is over a handler that \
         answers the same; routes without a session are sent a good cookie all the same.\n\n\
         The floor is a program written by hand for these routes alone (`benches/peers/src/contestants/hand.rs`): the \
         same cookie, sessions in memory, no update lost, no layer, no store to swap, no handle that two extractors share, \
         no flash. On routes without a session it is a layer that does nothing. sessile keeps the last 512 cookies that it \
         has verified, and here one browser asks all the time; the section on how cost grows reads sessions whose \
         cookies came less lately.\n\n{bars}\n\
         Everyone: the 10th percentile and the median in nanoseconds, and allocations. The bare servers' own rows are what \
         the others are over.\n\n{all}\n\
         actix-session ships no store in memory, so the plainest one its trait allows stands in. The jar holds the \
         counter itself. tower-sessions without signatures loads what an id names, so a forged cookie costs it a look \
         into the store. axum_session sets its cookie with each answer, rolling or not, and hands each signature to a \
         thread of its own.\n\n\
         What knowing the user costs, the table of users in memory. axum-login 0.18 works with tower-sessions 0.14, and \
         over sessile through `sessile-tower-sessions`; it loads the user, and compares a hash that changes with the \
         password. tower-sessions' store in memory keeps parsed values, where sessile keeps JSON, as stores on servers \
         do, and parses it for tower-sessions' `Session`. The last row loads the user by the id in the session, after `belongs_to`.\n\n{login}",
        ROUNDS * BATCHES,
    )
}

fn share(own: f64, theirs: f64) -> String {
    if own <= 0.0 { "–".into() } else { format!("{:.1} ×", theirs / own) }
}
