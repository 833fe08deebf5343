//! What a stored session takes, what a sweep of many holds up, and what a second thread adds.

use std::sync::Barrier;
use std::time::{Duration, Instant};

use ::sessile::{MemoryStore, Record, SessionId, SessionStore as _};
use axum::Router;

use crate::app::{App, Ask, Axum};
use crate::contestants::{Contestant, sessile};
use crate::inner::{Core, figure, output};
use crate::payload::USUAL;
use crate::proof::Proof;
use crate::report::{Part, Table, grouped};
use crate::runtime::block_on;
use crate::scenario::Scenario;
use crate::statistics::Spread;

const STORED: usize = 200_000;
const SWEPT: usize = 1_000_000;
const THREAD_ROUNDS: usize = 5;
const PER_THREAD: usize = 60_000;

const STORES: [Contestant; 5] = [
    Contestant::Hand,
    Contestant::Sessile,
    Contestant::Tower,
    Contestant::AxumSessionPlain,
    Contestant::Actix,
];

/// Sessions that a thread writes to in turn; one for all threads, or as many for each.
const SESSIONS: usize = 64;

pub fn measure() -> Part {
    let mut sizes = Table::new(&["resident bytes per session", "1 KiB in ten keys", "one small key"]);
    for contestant in STORES {
        let size = |path: &str| grouped(figure(Core::Any, &["resident", contestant.word(), path]));
        sizes.row([contestant.name().into(), size(&format!("/fill/{USUAL}")), size("/new")]);
    }
    sizes.row(["bar for sessile".into(), "1,420".into(), "320".into()]);
    let sweep = output(Core::Any, &["sweep"]);
    let sweep: Vec<f64> = sweep.split_whitespace().map(|figure| figure.parse().expect("a number")).collect();
    let distinct = table_of_threads(SESSIONS);
    let shared = table_of_threads(1);
    let text = format!(
        "Stores in memory, holding {} sessions that requests left there: growth of the process' resident memory over \
         their number, each in a process of its own. actix-session's is the stand-in described above.\n\n{sizes}\n\
         A sweep of {} expired sessions beside {LIVE} live ones: the longest of the requests that read a live one \
         took {:.2} ms while it ran, and {:.2} ms in the second before (bar: 5 ms), without what it waited for a core. The sweep was seen to end {:.1} s \
         after they expired.\n\n\
         Writes on distinct sessions, the same store under one thread and under two (bar for sessile: 1.6 ×):\n\n{distinct}\n\
         The same when all of them go to one session (bar for sessile: 1.0 ×). tower-sessions and axum_session lose \
         most of these writes where there are two threads; the others merge them.\n\n{shared}",
        grouped(STORED as f64),
        grouped(SWEPT as f64),
        sweep[1],
        sweep[0],
        sweep[2],
    );
    Part { name: "memory", title: "Memory, sweeping, threads", text }
}

/// Writes under one thread and under two, on sessions of each thread's own or on a single one.
fn table_of_threads(sessions: usize) -> Table {
    let mut table = Table::new(&["writes per second", "one thread", "two threads", "ratio"]);
    let sessions = sessions.to_string();
    for contestant in STORES.into_iter().filter(|&contestant| contestant != Contestant::Actix) {
        let mut rates: [Vec<f64>; 2] = Default::default();
        for _ in 0..THREAD_ROUNDS {
            for (threads, rates) in ["1", "2"].into_iter().zip(&mut rates) {
                rates.push(figure(Core::Any, &["threads", contestant.word(), &sessions, threads]));
            }
        }
        let ratios = rates[0].iter().zip(&rates[1]).map(|(one, two)| two / one);
        let ratio = format!("{:.2} ×", Spread::of(ratios.collect()).median);
        let [one, two] = rates.map(|rates| grouped(Spread::of(rates).median));
        table.row([contestant.name().into(), one, two, ratio]);
    }
    table
}

/// Resident bytes of this process.
fn resident() -> usize {
    const PAGE: usize = 4096;
    let text = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    text.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()).expect("a number of pages") * PAGE
}

/// How long this thread stood ready to run so far while the kernel ran something else.
fn waited_for_core() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let waited = text.split(' ').nth(1).and_then(|nanoseconds| nanoseconds.parse().ok());
    Duration::from_nanos(waited.unwrap_or(0))
}

/// Bytes per session, of those that requests to this path leave behind.
pub fn per_session(contestant: Contestant, path: &str) -> f64 {
    block_on(async {
        let app = contestant.app(Scenario::Read).await;
        let asks = [Ask::new(path, None)];
        app.drive(&asks, 100).await;
        let before = resident();
        app.drive(&asks, STORED).await;
        (resident() - before) as f64 / STORED as f64
    })
}

const LIVE: usize = 1_000;

/// The longest request before a sweep and during it, in milliseconds, and how long after the expiry it was
/// over, in seconds.
pub fn sweep() -> [f64; 3] {
    block_on(async {
        let store = MemoryStore::new();
        let app = Axum(sessile::extractor(store.clone(), false));
        let proof = Proof { contestant: Contestant::Sessile, app: &app };
        let mut asks = Vec::new();
        for _ in 0..LIVE {
            asks.push(Ask::new("/read", proof.fill(USUAL).await.as_deref()));
        }
        let empty = resident();
        let expiry = Instant::now() + Duration::from_secs(8);
        let record = Record::from_json(r#"{"cookie":{"originalMaxAge":8000},"n":1}"#).expect("a record");
        for _ in 0..SWEPT {
            let ttl = expiry.saturating_duration_since(Instant::now());
            assert!(store.create(&SessionId::random(), &record, ttl).await.expect("memory"), "a fresh id");
        }
        let full = resident() - empty;
        assert!(Instant::now() + Duration::from_secs(1) < expiry, "all are stored before they expire");
        let mut longest = [Duration::ZERO; 2];
        let mut asks = asks.chunks(1).cycle();
        // The store gives the memory back, which is how one sees from outside that the sweep is over.
        let mut checked = Instant::now();
        while checked.elapsed() < Duration::from_millis(50) || resident() - empty > full / 2 {
            if checked.elapsed() >= Duration::from_millis(50) {
                checked = Instant::now();
            }
            assert!(expiry.elapsed() < Duration::from_secs(60), "the sweep gives memory back");
            let (waited, began) = (waited_for_core(), Instant::now());
            app.drive(asks.next().expect("a cycle"), 1).await;
            let (took, waited) = (began.elapsed(), waited_for_core() - waited);
            let phase = usize::from(began > expiry);
            longest[phase] = longest[phase].max(took.saturating_sub(waited));
        }
        let [before, during] = longest.map(|longest| longest.as_secs_f64() * 1e3);
        [before, during, expiry.elapsed().as_secs_f64()]
    })
}

/// Writes per second of that many threads, each on so many sessions of its own, or all on the one.
pub fn threads(contestant: Contestant, sessions: usize, threads: usize) -> f64 {
    let router = block_on(contestant.router(Scenario::Read)).expect("an application of axum's");
    let fill = async |router: &Router| {
        let app = Axum(router.clone());
        let cookie = Proof { contestant, app: &app }.fill(USUAL).await;
        Ask::new("/write", cookie.as_deref())
    };
    let one = (sessions == 1).then(|| block_on(fill(&router)));
    let (ready, done) = (Barrier::new(threads + 1), Barrier::new(threads + 1));
    let work = |router: Router| {
        block_on(async {
            let mut asks: Vec<_> = one.iter().cloned().collect();
            while asks.len() < sessions {
                asks.push(fill(&router).await);
            }
            let app = Axum(router);
            app.drive(&asks, PER_THREAD / 10).await;
            ready.wait();
            app.drive(&asks, PER_THREAD).await;
            done.wait();
        });
    };
    std::thread::scope(|scope| {
        for _ in 0..threads {
            let router = router.clone();
            scope.spawn(|| work(router));
        }
        ready.wait();
        let began = Instant::now();
        done.wait();
        (PER_THREAD * threads) as f64 / began.elapsed().as_secs_f64()
    })
}
