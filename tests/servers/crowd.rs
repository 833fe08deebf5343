//! Crowds: many requests that write to one session at the same time.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use sessile::testing::Visitor;
use sessile::{
    MemoryStore, Record, Replaced, SessionConfig, SessionId, SessionStore, StoreError, Stored, Version,
};
#[cfg(any(feature = "redis", feature = "postgres", feature = "mysql", feature = "sqlite"))]
use tokio::sync::Barrier;
use tokio::task::JoinSet;

const SECRET: &str = "a secret of at least 32 bytes, for tests";

fn config(store: impl SessionStore) -> SessionConfig {
    SessionConfig::builder(SECRET).store(store).save_uninitialized(false).build().unwrap()
}

/// One request that writes; how long it took.
async fn write(visitor: &Visitor) -> Duration {
    let began = Instant::now();
    let session = visitor.open().await.unwrap();
    session.update("n", |n: Option<u64>| Some(n.unwrap_or(0) + 1)).unwrap();
    session.commit().await.map(drop).unwrap();
    began.elapsed()
}

async fn visitor(config: &SessionConfig) -> Visitor {
    let mut visitor = Visitor::new(config);
    let session = visitor.open().await.unwrap();
    session.insert("n", 0).unwrap();
    visitor.commit(&session).await.unwrap();
    visitor
}

/// How long requests took, in order.
struct Times(Vec<Duration>);

impl Times {
    fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        Self(times)
    }

    fn percentile(&self, percent: usize) -> Duration {
        self.0[(self.0.len() - 1) * percent / 100]
    }

    #[cfg(any(feature = "redis", feature = "postgres", feature = "mysql", feature = "sqlite"))]
    fn mean(&self) -> Duration {
        self.0.iter().sum::<Duration>() / u32::try_from(self.0.len()).unwrap()
    }

    fn print(&self, what: &str) {
        let [median, p99, longest] = [50, 99, 100].map(|percent| self.percentile(percent));
        println!("{what}: {} requests, p50 {median:.2?}, p99 {p99:.2?}, longest {longest:.2?}", self.0.len());
    }
}

/// 32 connections write to one session: each write is counted once, and none is refused or waits for long.
///
/// The variable `SESSILE_CROWD_WRITES` asks for a measurement, and says how many writes each connection
/// makes. `p99` must then hold as well, on a machine that does nothing else.
#[cfg(any(feature = "redis", feature = "postgres", feature = "mysql", feature = "sqlite"))]
pub(crate) async fn on_one_session(name: &str, store: impl SessionStore, p99: Option<Duration>) {
    const CONNECTIONS: usize = 32;
    let measured = std::env::var("SESSILE_CROWD_WRITES").ok().map(|writes| writes.parse().unwrap());
    let writes: u64 = measured.unwrap_or(50);
    let visitor = visitor(&config(store)).await;
    let together = Arc::new(Barrier::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    for _ in 0..CONNECTIONS {
        let (visitor, together) = (visitor.clone(), Arc::clone(&together));
        connections.spawn(async move {
            together.wait().await;
            let mut times = Vec::new();
            for _ in 0..writes {
                times.push(write(&visitor).await);
            }
            times
        });
    }
    let began = Instant::now();
    let times = Times::of(connections.join_all().await.concat());
    let rate = times.0.len() as f64 / began.elapsed().as_secs_f64();
    times.print(&format!("{name}, {CONNECTIONS} connections on one session, {rate:.0} writes a second"));
    let stored = visitor.open().await.unwrap().get::<u64>("n").unwrap();
    assert_eq!(stored, Some(writes * CONNECTIONS as u64), "a write was lost, or counted twice");
    assert!(times.percentile(100) < Duration::from_secs(1));
    // Requests that overtake others take almost no time. They must not be half of all.
    assert!(times.percentile(50) >= times.mean() / 4, "the mean is {:?}", times.mean());
    if let (Some(p99), Some(_)) = (p99, measured) {
        assert!(times.percentile(99) <= p99);
    }
}

/// A store in which another process writes to the record whenever a writer waits, and before its first four
/// attempts.
#[derive(Clone, Default)]
struct WithRival {
    records: MemoryStore,
    attempts: Arc<AtomicUsize>,
    /// When the last attempt was answered.
    answered: Arc<Mutex<Option<tokio::time::Instant>>>,
}

/// What says that the methods of a store are atomic.
fn with_version(stored: Stored) -> Stored {
    let version = Version::of(&stored.record);
    stored.with_version(version)
}

impl SessionStore for WithRival {
    sessile::forward_store!(self => self.records, except get, replace);

    async fn get(&self, id: &SessionId) -> Result<Option<Stored>, StoreError> {
        Ok(self.records.get(id).await?.map(with_version))
    }

    async fn replace(
        &self,
        id: &SessionId,
        expected: &Version,
        record: &Record,
        ttl: Duration,
    ) -> Result<Replaced, StoreError> {
        let attempt = self.attempts.fetch_add(1, Ordering::Relaxed);
        let answered = *self.answered.lock().unwrap();
        if attempt < 4 || answered.is_some_and(|answered| answered < tokio::time::Instant::now()) {
            let rivals = Record::from_json(format!(r#"{{"cookie":{{}},"n":{attempt}}}"#)).unwrap();
            self.records.set(id, &rivals, ttl).await?;
        }
        let answer = self.records.replace(id, expected, record, ttl).await?;
        *self.answered.lock().unwrap() = Some(tokio::time::Instant::now());
        Ok(match answer {
            Replaced::Conflict(stored) => Replaced::Conflict(with_version(stored)),
            answer => answer,
        })
    }
}

/// A writer that has lost to another process writes over the record that the conflict returned before it
/// waits: after the wait, that record is stale.
#[tokio::test(start_paused = true)]
async fn a_busy_process_does_not_starve_another_one() {
    let store = WithRival::default();
    let config = config(store.clone());
    let visitor = visitor(&config).await;
    let session = visitor.open().await.unwrap();
    session.update("n", |n: Option<u64>| n.map(|n| n + 1)).unwrap();
    session.commit().await.map(drop).unwrap();
    assert_eq!(
        visitor.open().await.unwrap().get("n").unwrap(),
        Some(store.attempts.load(Ordering::Relaxed) - 1)
    );
}

/// A store of three methods, each of which takes a millisecond, as that of a server nearby. To write a session
/// that says so takes a hundred.
#[derive(Clone, Default)]
struct Nearby {
    records: MemoryStore,
    gets: Arc<AtomicUsize>,
}

/// The key of a session that is slow to write.
const SLOW: &str = "slow";

async fn a_round_trip() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

impl SessionStore for Nearby {
    async fn get(&self, id: &SessionId) -> Result<Option<Stored>, StoreError> {
        self.gets.fetch_add(1, Ordering::Relaxed);
        a_round_trip().await;
        // Without a version, as a store has it that takes two steps to compare and write.
        Ok(self.records.get(id).await?.map(|stored| Stored::from(stored.record)))
    }

    async fn set(&self, id: &SessionId, record: &Record, ttl: Duration) -> Result<(), StoreError> {
        let is_slow = record.as_json().contains(SLOW);
        for _ in 0..if is_slow { 100 } else { 1 } {
            a_round_trip().await;
        }
        self.records.set(id, record, ttl).await
    }

    async fn destroy(&self, id: &SessionId) -> Result<(), StoreError> {
        a_round_trip().await;
        self.records.destroy(id).await
    }
}

/// How long the writes of many users take, each to a session of their own.
async fn others(visitors: &[Visitor]) -> Times {
    const EACH: usize = 8;
    /// More than any write takes that nobody holds up.
    const LONGEST: Duration = Duration::from_secs(2);
    let mut tasks = JoinSet::new();
    for group in visitors.chunks(visitors.len() / 8) {
        let group = group.to_vec();
        tasks.spawn(async move {
            let mut times = Vec::new();
            for visitor in group.iter().cycle().take(group.len() * EACH) {
                times.push(tokio::time::timeout(LONGEST, write(visitor)).await.unwrap_or(LONGEST));
            }
            times
        });
    }
    Times::of(tasks.join_all().await.concat())
}

/// 3,000 updates wait for one session, and other users do not notice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_on_one_session_holds_nobody_else_up() {
    const UPDATES: usize = 3000;
    // Other programs of this machine may hold up a round. A lock that the others wait for holds up each.
    const ROUNDS: usize = 5;
    let store = Nearby::default();
    let config = config(store.clone());
    // So many that some would share a lock with the one session, if there were a fixed number of locks.
    let mut visitors = Vec::new();
    for _ in 0..256 {
        visitors.push(visitor(&config).await);
    }
    for round in 1..=ROUNDS {
        let quiet = others(&visitors).await;
        quiet.print("others, quiet");
        let mut one = visitor(&config).await;
        let session = one.open().await.unwrap();
        session.insert(SLOW, true).unwrap();
        one.commit(&session).await.unwrap();
        let before = store.gets.load(Ordering::Relaxed);
        let mut crowd = JoinSet::new();
        for _ in 0..UPDATES {
            let one = one.clone();
            crowd.spawn(async move {
                let session = one.open().await.unwrap();
                session.update("n", |n: Option<u64>| Some(n.unwrap_or(0) + 1)).unwrap();
                session.commit().await.map(drop)
            });
        }
        while store.gets.load(Ordering::Relaxed) < before + UPDATES {
            tokio::task::yield_now().await;
        }
        let busy = others(&visitors).await;
        busy.print("others, beside a crowd on one session");
        let done = std::iter::from_fn(|| crowd.try_join_next()).count();
        crowd.shutdown().await;
        if busy.percentile(99) <= quiet.percentile(99) * 2 {
            assert!(done < UPDATES, "the crowd was gone before the others were");
            return;
        }
        println!("round {round} of {ROUNDS}: others were held up");
    }
    panic!("a crowd on one session holds others up");
}
