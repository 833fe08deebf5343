//! A hot session: many connections that write to one session at the same time.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::app::Ask;
use crate::contestants::Contestant;
use crate::http::{Racer, race_for};
use crate::inner::{Core, output};
use crate::remote::{ROUNDS, Rival, VISITORS};
use crate::report::{Part, Table, grouped};
use crate::runtime::block_on;
use crate::serve::Server;
use crate::statistics::Spread;
use crate::wrk::{SERVERS, SESSIONS, Sample};
use crate::{postgres, redis};

/// How many writes each connection makes in a round.
const EACH: usize = 300;

/// What a client waits for an answer.
const PATIENCE: Duration = Duration::from_secs(2);

pub fn measure() -> Part {
    let [redis, postgres] = ["hot-redis", "hot-postgres"].map(|server| output(Core::Only(1), &[server]));
    let text = format!(
        "{VISITORS} connections that write to *one* session of 1 KiB, each {EACH} times, in process; a private server on \
         one core, everyone else on the other; {ROUNDS} interleaved rounds. Bars on Redis: 0.35 × the writes of \
         tower-sessions, p99 10 ms, no 409, no answer later than 2 s. sessile merges the changes of requests that wait \
         for each other; tower-sessions keeps those of the request that writes last, and loses the others'.\n\n\
         {redis}\n{postgres}\n\
         In memory and over HTTP as above: one cookie for all 32 connections, and 64 in turn.\n\n{}",
        in_memory()
    );
    Part { name: "hot", title: "A hot session", text }
}

/// Writes over HTTP to a session in memory, and to many.
fn in_memory() -> Table {
    const FIELD: [Contestant; 3] = [Contestant::Hand, Contestant::Sessile, Contestant::Tower];
    let racers = FIELD
        .map(|contestant| Racer::new(contestant.name(), contestant, Server::contestant(SERVERS, contestant)));
    let [one, many] = [1, SESSIONS].map(|sessions| race_for(&racers, "/write", sessions));
    let mut table = Table::new(&["writes", "one session", "CPU each", "64 sessions", "CPU each"]);
    for (nth, racer) in racers.iter().enumerate() {
        let cells = [&one, &many].map(|samples| {
            let median = |of: fn(&Sample) -> f64| Spread::of(samples[nth].iter().map(of).collect()).median;
            [
                grouped(median(|sample| sample.per_second)),
                format!("{:.2} µs", median(|sample| sample.processor)),
            ]
        });
        table.row([vec![racer.name.clone()], cells.concat()].concat());
    }
    table
}

/// Starts a server on the core of this process, and everyone else on the other one.
pub fn serve_redis() {
    let server = sessile_test_servers::redis(&[]).expect("Redis is installed");
    print!("{}", output(Core::Only(0), &["hot-redis-contest", &format!("redis://{}/", server.address())]));
}

pub fn serve_postgres() {
    let server = sessile_test_servers::postgres("UTC", &[]).expect("PostgreSQL is installed");
    let url = format!("postgres://postgres@{}/postgres", server.address());
    print!("{}", output(Core::Only(0), &["hot-postgres-contest", &url]));
}

/// What one rival did in all rounds.
#[derive(Default)]
struct Figures {
    rates: Vec<f64>,
    milliseconds: Vec<f64>,
    conflicts: usize,
    late: usize,
}

impl Figures {
    fn percentile(&self, percent: usize) -> String {
        let mut times = self.milliseconds.clone();
        times.sort_by(f64::total_cmp);
        format!("{:.1} ms", times[(times.len() - 1) * percent / 100])
    }
}

pub fn contest_redis(url: &str) {
    block_on(async { contest("Redis", &redis::rivals(url).await[..2]).await });
}

pub fn contest_postgres(url: &str) {
    block_on(async { contest("PostgreSQL", &postgres::rivals(url).await[..2]).await });
}

/// Prints what sessile did, and who comes next.
async fn contest(server: &str, rivals: &[Rival]) {
    let mut figures = [Figures::default(), Figures::default()];
    // The first round is not counted.
    for round in 0..=ROUNDS {
        for (rival, figures) in rivals.iter().zip(&mut figures) {
            let mut own = Figures::default();
            run(rival, if round == 0 { &mut own } else { figures }).await;
        }
    }
    let mut table = Table::new(&[server, "writes per second", "p50", "p99", "longest", "409", "over 2 s"]);
    for (rival, figures) in rivals.iter().zip(&figures) {
        table.row([
            rival.name.to_owned(),
            grouped(Spread::of(figures.rates.clone()).median),
            figures.percentile(50),
            figures.percentile(99),
            figures.percentile(100),
            figures.conflicts.to_string(),
            figures.late.to_string(),
        ]);
    }
    let ratios = figures[0].rates.iter().zip(&figures[1].rates).map(|(ours, theirs)| ours / theirs);
    let ratio = Spread::of(ratios.collect()).median;
    println!("{table}\nThat is {ratio:.2} × the writes of tower-sessions.");
}

async fn run(rival: &Rival, figures: &mut Figures) {
    let cookie = rival.session().await;
    let all = Rc::new(RefCell::new(Figures::default()));
    let began = Instant::now();
    let mut tasks = Vec::new();
    for _ in 0..VISITORS {
        let (app, all) = (Rc::clone(&rival.plain), Rc::clone(&all));
        let ask = Ask::new("/write", cookie.as_deref());
        tasks.push(tokio::task::spawn_local(async move {
            for _ in 0..EACH {
                let began = Instant::now();
                let answer = tokio::time::timeout(PATIENCE, app.ask(&ask)).await;
                let mut all = all.borrow_mut();
                all.milliseconds.push(began.elapsed().as_secs_f64() * 1e3);
                match answer.map(|answer| answer.status) {
                    Ok(200) => {}
                    Ok(409) => all.conflicts += 1,
                    Ok(status) => panic!("status {status}"),
                    Err(_) => all.late += 1,
                }
            }
        }));
    }
    for task in tasks {
        task.await.expect("it does not panic");
    }
    figures.rates.push((VISITORS * EACH) as f64 / began.elapsed().as_secs_f64());
    let all = all.take();
    figures.milliseconds.extend(all.milliseconds);
    figures.conflicts += all.conflicts;
    figures.late += all.late;
}
