//! Stores on servers: how often each kind of request asks the server, and how many requests a second get an
//! answer.

use std::rc::Rc;
use std::time::Instant;

use crate::app::{App, Ask};
use crate::contestants::Contestant;
use crate::payload::USUAL;
use crate::proof::Proof;
use crate::report::{Table, grouped};
use crate::scenario::Scenario;
use crate::statistics::Spread;

/// As many visitors ask at a time, each with a session of their own.
pub const VISITORS: usize = 32;
pub const ROUNDS: usize = 5;
const PER_VISITOR: usize = 150;

const KINDS: [&str; 6] = ["read", "write", "rolling read", "new session", "forged cookie", "new id"];
const RATED: [Scenario; 4] = [Scenario::Read, Scenario::Write, Scenario::Rolling, Scenario::New];

/// Someone with a store on the server.
pub struct Rival {
    pub name: &'static str,
    /// Who it is in the contests in process.
    pub contestant: Contestant,
    pub plain: Rc<dyn App>,
    /// The same with rolling sessions.
    pub rolling: Rc<dyn App>,
}

impl Rival {
    fn app(&self, scenario: Scenario) -> &Rc<dyn App> {
        if scenario == Scenario::Rolling { &self.rolling } else { &self.plain }
    }

    pub async fn session(&self) -> Option<String> {
        Proof { contestant: self.contestant, app: &*self.plain }.fill(USUAL).await
    }

    /// How far the counter moves for one request of each kind.
    async fn asks(&self, counter: &impl AsyncFn() -> Vec<u64>) -> Vec<Vec<u64>> {
        let mut all = Vec::new();
        // The first of each is not counted: statements are prepared and scripts loaded at their first use.
        for (kind, counts) in KINDS.iter().flat_map(|&kind| [(kind, false), (kind, true)]) {
            let scenario = match kind {
                "read" | "new id" => Scenario::Read,
                "write" => Scenario::Write,
                "rolling read" => Scenario::Rolling,
                "new session" => Scenario::New,
                _ => Scenario::Forged,
            };
            let app = self.app(scenario);
            let mut ask = scenario.prepare(self.contestant, &**app).await;
            if kind == "new id" {
                ask.path = "/renew".into();
            }
            // What asking the counter adds to it.
            let (idle, before) = (counter().await, counter().await);
            let answer = app.ask(&ask).await;
            assert_eq!(answer.status, 200, "{} {kind}", self.name);
            if kind == "new id" {
                assert!(answer.cookie().is_some_and(|cookie| ask.cookie != Some(cookie)), "a new cookie");
            }
            let after = counter().await;
            let own = before.iter().zip(&idle).map(|(before, idle)| before - idle);
            let moved = after.iter().zip(&before).map(|(after, before)| after - before);
            let moved: Vec<_> = moved.zip(own).map(|(moved, own)| moved - own).collect();
            if counts {
                all.push(moved);
            }
        }
        all
    }

    /// Requests per second with everyone asking at a time.
    async fn rate(&self, scenario: Scenario, cookies: &[Option<String>]) -> f64 {
        let began = Instant::now();
        let mut tasks = Vec::new();
        for cookie in cookies {
            let app = Rc::clone(self.app(scenario));
            let path = if scenario == Scenario::Rolling { "read" } else { scenario.word() };
            let cookie = cookie.as_deref().filter(|_| scenario != Scenario::New);
            let asks = [Ask::new(&format!("/{path}"), cookie)];
            tasks.push(tokio::task::spawn_local(async move { app.drive(&asks, PER_VISITOR).await }));
        }
        for task in tasks {
            task.await.expect("every request is answered");
        }
        (VISITORS * PER_VISITOR) as f64 / began.elapsed().as_secs_f64()
    }
}

/// A table of how far each counter moves, with these units.
pub async fn trips(rivals: &[Rival], units: &str, counter: impl AsyncFn() -> Vec<u64>) -> Table {
    let mut table = Table::new(&[&[units], &KINDS[..]].concat());
    for rival in rivals {
        let cells = rival.asks(&counter).await.into_iter().map(|counts| {
            let counts: Vec<_> = counts.iter().map(ToString::to_string).collect();
            counts.join(" / ")
        });
        table.row(std::iter::once(rival.name.to_owned()).chain(cells));
    }
    table
}

/// A table of rates; the last column's ratio is the first rival's to the second's.
pub async fn rates(rivals: &[Rival]) -> Table {
    let heads = rivals.iter().map(|rival| rival.name);
    let heads: Vec<_> =
        std::iter::once("requests per second").chain(heads).chain(["ratio of the first two"]).collect();
    let mut table = Table::new(&heads);
    let mut cookies = Vec::new();
    for rival in rivals {
        let mut own = Vec::new();
        for _ in 0..VISITORS {
            own.push(rival.session().await);
        }
        cookies.push(own);
    }
    for scenario in RATED {
        let mut rates = vec![Vec::new(); rivals.len()];
        for _ in 0..ROUNDS {
            for ((rival, cookies), rates) in rivals.iter().zip(&cookies).zip(&mut rates) {
                rates.push(rival.rate(scenario, cookies).await);
            }
        }
        let ratios = rates[0].iter().zip(&rates[1]).map(|(ours, theirs)| ours / theirs);
        let ratio = format!("{:.2} ×", Spread::of(ratios.collect()).median);
        let cells = rates.iter().map(|rates| grouped(Spread::of(rates.clone()).median));
        let cells: Vec<_> = cells.collect();
        table.row(std::iter::once(scenario.name().to_owned()).chain(cells).chain([ratio]));
    }
    table
}
