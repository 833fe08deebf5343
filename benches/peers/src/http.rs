//! What is left of a server's rate, over HTTP on this machine.

use crate::contestants::Contestant;
use crate::payload::USUAL;
use crate::proof::Proof;
use crate::report::{Part, Table, grouped};
use crate::runtime::block_on;
use crate::scenario::Scenario;
use crate::serve::Server;
use crate::statistics::Spread;
use crate::wrk::{Load, SERVERS, SESSIONS, Sample, load};

const ROUNDS: usize = 5;
const LOAD: Load = Load { connections: 32, seconds: 1 };

const AXUM: [Contestant; 8] = [
    Contestant::BareAxum,
    Contestant::HeadersOnly,
    Contestant::Hand,
    Contestant::Sessile,
    Contestant::SessileLayer,
    Contestant::Tower,
    Contestant::AxumSessionPlain,
    Contestant::AxumSession,
];
const ACTIX: [Contestant; 2] = [Contestant::BareActix, Contestant::Actix];

/// A server in the contest, with cookies of sessions it keeps.
pub struct Racer {
    pub name: String,
    server: Server,
    cookies: Vec<String>,
}

impl Racer {
    /// Proves that the server does the work, and starts its sessions.
    pub fn new(name: impl Into<String>, contestant: Contestant, server: Server) -> Self {
        let cookies = block_on(async {
            for scenario in [Scenario::Read, Scenario::Write] {
                scenario.prepare(contestant, &server).await;
            }
            sessions(contestant, &server, USUAL).await
        });
        Self { name: name.into(), server, cookies }
    }
}

/// Cookies of as many sessions as are asked for in turn.
pub async fn sessions(contestant: Contestant, server: &Server, bytes: usize) -> Vec<String> {
    let proof = Proof { contestant, app: server };
    let mut cookies = Vec::new();
    for _ in 0..SESSIONS {
        cookies.push(proof.fill(bytes).await.expect("a cookie, or what stands for one"));
    }
    cookies
}

pub fn measure() -> Part {
    let start = |&contestant: &Contestant| {
        Racer::new(contestant.name(), contestant, Server::contestant(SERVERS, contestant))
    };
    let mut fields: Vec<Vec<Racer>> =
        vec![AXUM.iter().map(start).collect(), ACTIX.iter().map(start).collect()];
    for (program, name) in [("node", "Node.js"), ("bun", "Bun")] {
        let express = |sessions| Server::express(SERVERS, program, sessions);
        if let (Some(bare), Some(session)) = (express("none"), express("memory")) {
            fields.push(vec![
                Racer::new(format!("bare Express, {name}"), Contestant::BareAxum, bare),
                Racer::new(format!("express-session, {name}"), Contestant::Sessile, session),
            ]);
        }
    }
    let mut table = Table::new(&[
        "",
        "reads per second",
        "of bare",
        "CPU each",
        "of bare",
        "writes per second",
        "of bare",
        "CPU each",
        "of bare",
    ]);
    for field in &fields {
        let [reads, writes] = ["/read", "/write"].map(|path| race(field, path));
        for (nth, racer) in field.iter().enumerate() {
            let cells = [&reads, &writes].map(|samples| {
                let own = || samples[nth].iter();
                let pairs = || own().zip(&samples[0]);
                let rates = Spread::of(own().map(|own| own.per_second).collect());
                let shares =
                    Spread::of(pairs().map(|(own, bare)| own.per_second / bare.per_second).collect());
                let times = Spread::of(own().map(|own| own.processor).collect());
                let capacity =
                    Spread::of(pairs().map(|(own, bare)| bare.processor / own.processor).collect());
                [
                    grouped(rates.median),
                    format!("{:.2}", shares.median),
                    format!("{:.2} µs", times.median),
                    format!("{:.2}", capacity.median),
                ]
            });
            table.row([vec![racer.name.clone()], cells.concat()].concat());
        }
    }
    let text = format!(
        "Loaded by `wrk` over {} connections, {ROUNDS} interleaved rounds of {} s; the server on one core, `wrk` on the other \
         ({SESSIONS} sessions of 1 KiB asked for in turn; stores in memory). The share is of the rate of the bare server of \
         the same framework in the same round, the median of the rounds. Bars for sessile: 0.88 of bare \
         axum's on reads, 0.79 on writes. A bare server may keep `wrk` as busy as itself, which flatters those over it; the CPU time that the server's own \
         threads take for a request does not, so its share is the share of what a full core answers: that is the one to \
         compare.\n\n{table}",
        LOAD.connections, LOAD.seconds,
    );
    Part { name: "http", title: "Over HTTP", text }
}

/// What everyone did, round by round.
pub fn race(field: &[Racer], path: &str) -> Vec<Vec<Sample>> {
    race_for(field, path, SESSIONS)
}

/// The same for so many of the sessions.
pub fn race_for(field: &[Racer], path: &str, sessions: usize) -> Vec<Vec<Sample>> {
    let mut rates = vec![Vec::new(); field.len()];
    for _ in 0..ROUNDS {
        for (racer, rates) in field.iter().zip(&mut rates) {
            rates.push(load(&racer.server, path, &racer.cookies[..sessions], LOAD));
        }
    }
    rates
}
