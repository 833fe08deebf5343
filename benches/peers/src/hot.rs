//! A hot session: many connections that write to one session on Redis at the same time.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::app::Ask;
use crate::inner::{Core, output};
use crate::redis::rivals;
use crate::remote::{ROUNDS, Rival, VISITORS};
use crate::report::{Part, Table, grouped};
use crate::runtime::block_on;
use crate::statistics::Spread;

/// How many writes each connection makes in a round.
const EACH: usize = 300;

/// What a client waits for an answer.
const PATIENCE: Duration = Duration::from_secs(2);

pub fn measure() -> Part {
    Part { name: "hot", title: "A hot session", text: output(Core::Only(1), &["hot"]) }
}

/// Starts a server on the core of this process, and everyone else on the other one.
pub fn serve() {
    let server = sessile_test_servers::redis(&[]).expect("Redis is installed");
    print!("{}", output(Core::Only(0), &["hot-contest", &format!("redis://{}/", server.address())]));
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

pub fn contest(url: &str) {
    block_on(async {
        // The first two: sessile, and who is compared with it.
        let rivals: Vec<_> = rivals(url).await.into_iter().take(2).collect();
        let mut figures = [Figures::default(), Figures::default()];
        // The first round is not counted.
        for round in 0..=ROUNDS {
            for (rival, figures) in rivals.iter().zip(&mut figures) {
                let mut own = Figures::default();
                run(rival, if round == 0 { &mut own } else { figures }).await;
            }
        }
        let mut table =
            Table::new(&["one session", "writes per second", "p50", "p99", "longest", "409", "over 2 s"]);
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
        println!(
            "A private Redis on one core, everyone else on the other: {VISITORS} connections, each of which writes {EACH} \
             times to one session of 1 KiB, in process; {ROUNDS} interleaved rounds.\n\n{table}\n\
             sessile makes {:.2} × the writes of tower-sessions in the same time (bar: 0.35 ×; p99 10 ms, no 409, none \
             over 2 s). It merges the requests' changes, and tower-sessions keeps those of the request that writes last.",
            Spread::of(ratios.collect()).median
        );
    });
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
