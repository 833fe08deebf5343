//! How cost grows: with the record, with the number of sessions, with the number of connections.

use std::time::Instant;

use crate::app::{App, Ask};
use crate::contestants::Contestant;
use crate::http::sessions;
use crate::inner::{Core, output};
use crate::payload::USUAL;
use crate::picture::{Line, Picture};
use crate::proof::Proof;
use crate::report::Part;
use crate::runtime::block_on;
use crate::scenario::Scenario;
use crate::serve::Server;
use crate::statistics::Spread;
use crate::wrk::{Load, SERVERS, Sample, load};

const BYTES: [usize; 4] = [100, 1024, 10 * 1024, 100 * 1024];
const STORED: [usize; 6] = [10, 100, 1_000, 10_000, 100_000, 1_000_000];
const CONNECTIONS: [usize; 5] = [1, 4, 16, 64, 256];

const SIZED: [Contestant; 4] = [Contestant::Hand, Contestant::Sessile, Contestant::Tower, Contestant::Actix];
const CROWDED: [Contestant; 4] =
    [Contestant::Hand, Contestant::Sessile, Contestant::Tower, Contestant::AxumSessionPlain];
const CONNECTED: [Contestant; 4] =
    [Contestant::BareAxum, Contestant::Hand, Contestant::Sessile, Contestant::Tower];

const ROUNDS: usize = 7;
const PER_ROUND: usize = 2_000;

pub fn measure() -> Part {
    let [reads, writes] = [
        ("record-size.svg", "A read, over the bare handler", Scenario::Read),
        ("record-size-write.svg", "A write, over the bare handler", Scenario::Write),
    ]
    .map(|(file, title, scenario)| Picture {
        file,
        title,
        x: "bytes of JSON in the session",
        y: "nanoseconds",
        lines: SIZED.map(|contestant| line(contestant, &["growth-size", scenario.word()])).to_vec(),
    });
    let number = Picture {
        file: "stored-sessions.svg",
        title: "A read, with that many sessions in memory",
        x: "stored sessions",
        y: "nanoseconds",
        lines: CROWDED.map(|contestant| line(contestant, &["growth-stored"])).to_vec(),
    };
    let (rates, processor) = connected();
    let connections = Picture {
        file: "connections.svg",
        title: "Reads over HTTP",
        x: "connections",
        y: "requests per second",
        lines: rates,
    };
    let processor = Picture {
        file: "connections-cpu.svg",
        title: "Reads over HTTP, the server's processor",
        x: "connections",
        y: "nanoseconds of CPU a request",
        lines: processor,
    };
    let pictures = [&reads, &writes, &number, &connections, &processor].map(|picture| {
        picture.draw();
        picture.markdown()
    });
    let text = format!(
        "A read of a number and a struct, and a write that counts the number up, in process, from a session of 100 bytes to one of 100 KiB (what it costs over the \
         bare handler), and from one of 10 sessions to one of a million (the whole request; each session three keys). Over HTTP, \
         as above, the rate of reads with 1 to 256 connections, and the time that the server's threads ran for each. With few \
         connections server and client sleep and wake each other between requests: the rate then says how long the kernel \
         takes for that, and differs from run to run (an earlier one had tower-sessions above bare axum at 4). The \
         processor's time puts them in order.\n\n{}",
        pictures.join("\n")
    );
    Part { name: "growth", title: "How cost grows", text }
}

fn line(contestant: Contestant, measurement: &[&str]) -> Line {
    let text = output(Core::Only(0), &[measurement, &[contestant.word()]].concat());
    let points = text.lines().map(|line| {
        let (x, y) = line.split_once(' ').expect("two figures");
        (x.parse().expect("a number"), y.parse().expect("a number"))
    });
    Line { name: contestant.name(), points: points.collect() }
}

async fn time(app: &dyn App, asks: &[Ask]) -> f64 {
    let began = Instant::now();
    app.drive(asks, PER_ROUND).await;
    began.elapsed().as_nanos() as f64 / PER_ROUND as f64
}

/// Prints what such a request costs over the bare handler, by the size of the session.
pub fn by_size(contestant: Contestant, scenario: Scenario) {
    block_on(async {
        let (app, bare) = (contestant.app(scenario).await, contestant.bare().app(scenario).await);
        for bytes in BYTES {
            let cookie = Proof { contestant, app: &*app }.fill(bytes).await;
            let read = Ask::new("/read", cookie.as_deref());
            assert_eq!(app.ask(&read).await.body, "7 Ada");
            let asks = [Ask { path: format!("/{}", scenario.word()), ..read }];
            app.drive(&asks, PER_ROUND).await;
            let mut over = Vec::new();
            for _ in 0..ROUNDS {
                over.push(time(&*app, &asks).await - time(&*bare, &asks).await);
            }
            println!("{bytes} {}", Spread::of(over).median);
        }
    });
}

/// Prints what a read costs, by the number of sessions.
pub fn by_number(contestant: Contestant) {
    // As many of each step's sessions are read.
    const SAMPLE: usize = 500;
    block_on(async {
        let app = contestant.app(Scenario::Read).await;
        let fill = [Ask::new(&format!("/fill/{}", BYTES[0]), None)];
        let (mut stored, mut asks) = (0, Vec::new());
        for goal in STORED {
            for _ in 0..(goal - stored).min(SAMPLE) {
                let cookie = Proof { contestant, app: &*app }.fill(BYTES[0]).await;
                asks.push(Ask::new("/read", cookie.as_deref()));
                stored += 1;
            }
            app.drive(&fill, goal - stored).await;
            stored = goal;
            assert_eq!(app.ask(&asks[0]).await.body, "7 Ada");
            let mut times = Vec::new();
            for _ in 0..ROUNDS {
                times.push(time(&*app, &asks).await);
            }
            println!("{goal} {}", Spread::of(times).median);
        }
    });
}

/// The rates, and the CPU time of a request in nanoseconds.
fn connected() -> (Vec<Line>, Vec<Line>) {
    const ROUNDS: usize = 5;
    let mut rates = CONNECTED.map(|contestant| Line { name: contestant.name(), points: Vec::new() });
    let mut processor = rates.clone();
    let servers = CONNECTED.map(|contestant| {
        let server = Server::contestant(SERVERS, contestant);
        let cookies = block_on(sessions(contestant, &server, USUAL));
        (server, cookies)
    });
    for connections in CONNECTIONS {
        let one_second = Load { connections, seconds: 1 };
        let mut samples = CONNECTED.map(|_| Vec::new());
        for _ in 0..ROUNDS {
            for ((server, cookies), samples) in servers.iter().zip(&mut samples) {
                samples.push(load(server, "/read", cookies, one_second));
            }
        }
        for (nth, samples) in samples.iter().enumerate() {
            let median = |of: fn(&Sample) -> f64| Spread::of(samples.iter().map(of).collect()).median;
            rates[nth].points.push((connections as f64, median(|sample| sample.per_second)));
            processor[nth].points.push((connections as f64, median(|sample| sample.processor * 1e3)));
        }
    }
    (rates.to_vec(), processor.to_vec())
}
