//! A soak: visitors of every kind over HTTP for a long time, then a flood of forged cookies, then connections
//! that open and vanish. It panics at the first thing that is not as it must be.

mod app;
mod client;
mod flood;
mod measure;
mod visitor;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use app::{App, Slow};
pub use measure::{Memory, Times};
use sessile::testing::Probe;
use sessile::{MemoryStore, RedisStore, SessionConfig, SessionStore};
use tokio::net::TcpListener;
use visitor::{Schedule, Visitor};

/// How many visitors there are at a time, each with up to three connections.
const VISITORS: u64 = 64;

/// How long the slow handler works. A browser that is cut off is gone after 0 to 5 ms.
const SLOW: Duration = Duration::from_millis(3);

/// How much more memory may be held at the end than after a quarter: the buffers of requests that were under
/// way.
const MEMORY_SLACK: usize = 2 << 20;

/// How much is done over one store.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// How many requests the visitors send, spread evenly over `time`.
    pub requests: u64,
    /// How long that takes; zero: as fast as it goes.
    pub time: Duration,
    /// How many requests with forged cookies follow, as fast as they go.
    pub forged: u64,
    /// How many connections open and vanish then.
    pub vanishing: u64,
}

/// The default: two million requests within 30 minutes.
impl Default for Plan {
    fn default() -> Self {
        Self { requests: 2_000_000, time: Duration::from_secs(30 * 60), forged: 1_000_000, vanishing: 10_000 }
    }
}

/// What a run over one store measured.
#[derive(Debug)]
pub struct Report {
    /// The times of the requests that visitors waited for.
    pub times: Times,
    /// How long the requests took together.
    pub took: Duration,
    /// The memory after a quarter of the requests, and after all of them.
    pub memory: [Memory; 2],
    /// The memory before the flood, and after the flood and the vanishing connections.
    pub flood: [Memory; 2],
    /// How many forged cookies a second were answered.
    pub forged_per_second: f64,
}

/// Runs the plan over a memory store.
///
/// # Errors
/// When a connection fails.
pub async fn memory(plan: Plan) -> io::Result<Report> {
    let store = MemoryStore::new();
    let report = run(plan, store.clone()).await?;
    assert_eq!(store.len(), 0, "everybody has logged out, and records are left");
    Ok(report)
}

/// Runs the plan over a private Redis; `None`, where none is installed.
///
/// # Errors
/// When a connection fails.
pub async fn redis(plan: Plan) -> io::Result<Option<Report>> {
    let Some(server) = sessile_test_servers::redis(&[]) else { return Ok(None) };
    let store =
        RedisStore::connect(format!("redis://{}", server.address())).await.map_err(io::Error::other)?;
    let report = run(plan, store.clone()).await?;
    assert_eq!(
        store.len().await.map_err(io::Error::other)?,
        0,
        "everybody has logged out, and records are left"
    );
    Ok(Some(report))
}

async fn run<S: SessionStore + Clone>(plan: Plan, store: S) -> io::Result<Report> {
    let probe = Probe::new(store);
    let sessions = SessionConfig::builder("a secret of at least 32 bytes, for the soak")
        .store(probe.clone())
        .save_uninitialized(false)
        .build()
        .expect("the options are legal");
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let server =
        tokio::spawn(
            async move { axum::serve(listener, app::router(App { sessions, slow: Slow(SLOW) })).await },
        );

    let started = tokio::time::Instant::now();
    let schedule = Arc::new(Schedule::new(plan.requests, plan.time));
    let visitors =
        (0..VISITORS).map(|user| tokio::spawn(Visitor::new(user, address, Arc::clone(&schedule)).run()));
    let visitors: Vec<_> = visitors.collect();
    while !schedule.is_at(0.25) && !visitors.iter().any(|visitor| visitor.is_finished()) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let quarter = Memory::now();
    while !schedule.is_at(1.0) && !visitors.iter().any(|visitor| visitor.is_finished()) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let end = Memory::now();
    for visitor in visitors {
        visitor.await.expect("what a visitor must see")?;
    }
    let took = started.elapsed();
    assert!(
        end.live < quarter.live + MEMORY_SLACK,
        "memory grows: {quarter} after a quarter, {end} at the end"
    );

    // Writes that were cut off may still be under way.
    settle(&probe).await;
    let before = Memory::now();
    let calls = probe.total();
    let forged_per_second = flood::forged(address, plan.forged).await?;
    flood::vanish(address, plan.vanishing).await?;
    assert_eq!(probe.total(), calls, "a forged cookie has reached the store");
    let after = Memory::now();
    assert!(
        after.live < before.live + MEMORY_SLACK,
        "the flood takes memory: {before} before, {after} after"
    );
    server.abort();

    let times = Arc::into_inner(schedule).expect("every visitor is gone").times;
    Ok(Report { times, took, memory: [quarter, end], flood: [before, after], forged_per_second })
}

/// Waits until no request calls the store any more.
async fn settle<S>(probe: &Probe<S>) {
    let mut calls = probe.total();
    loop {
        tokio::time::sleep(Duration::from_millis(100)).await;
        if std::mem::replace(&mut calls, probe.total()) == calls {
            return;
        }
    }
}
