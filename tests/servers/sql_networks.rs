//! What an SQL store has to do when its connections fall silent or end, and when its address moves from one
//! server to another.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use sessile::{Record, Replaced, SessionId, SessionStore};
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use crate::proxy::Switch;

const MINUTE: Duration = Duration::from_secs(60);
/// More than a pool has connections, so that every one of them is in use.
const TASKS: usize = 16;

/// Asks with all connections of the pool at the same time.
async fn warm_up(store: &(impl SessionStore + Clone)) {
    let together = Arc::new(Barrier::new(TASKS));
    let mut tasks = JoinSet::new();
    for _ in 0..TASKS {
        let (store, together) = (store.clone(), Arc::clone(&together));
        tasks.spawn(async move {
            for _ in 0..5 {
                together.wait().await;
                store.set(&SessionId::random(), &Record::default(), MINUTE).await.unwrap();
            }
        });
    }
    tasks.join_all().await;
    // What was asked last goes back to the pool.
    tokio::time::sleep(Duration::from_millis(50)).await;
}

/// What became of the writes of several tasks.
struct Writes {
    /// When the last one failed.
    last: Duration,
    failures: u32,
    slowest: Duration,
}

/// Writes with several tasks for some time.
async fn write_for(store: &(impl SessionStore + Clone), long: Duration) -> Writes {
    let began = Instant::now();
    let mut tasks = JoinSet::new();
    for _ in 0..TASKS {
        let store = store.clone();
        tasks.spawn(async move {
            let id = SessionId::random();
            let mut writes = Writes { last: Duration::ZERO, failures: 0, slowest: Duration::ZERO };
            while began.elapsed() < long {
                let asked = Instant::now();
                let written = store.set(&id, &Record::default(), MINUTE).await;
                writes.slowest = writes.slowest.max(asked.elapsed());
                if written.is_err() {
                    (writes.last, writes.failures) = (began.elapsed(), writes.failures + 1);
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            store.set(&id, &Record::default(), MINUTE).await.unwrap();
            writes
        });
    }
    let all = tasks.join_all().await;
    Writes {
        last: all.iter().map(|writes| writes.last).max().unwrap(),
        failures: all.iter().map(|writes| writes.failures).sum(),
        slowest: all.iter().map(|writes| writes.slowest).max().unwrap(),
    }
}

/// Checks that a store with this timeout is back within two timeouts when its connections have fallen silent:
/// one visitor alone, and many at the same time.
pub(crate) async fn survives_silence(
    what: &str,
    store: impl SessionStore + Clone,
    timeout: Duration,
    switch: &Switch,
) {
    warm_up(&store).await;
    switch.silence();
    let (id, began) = (SessionId::random(), Instant::now());
    let mut failures = 0;
    while store.set(&id, &Record::default(), MINUTE).await.is_err() {
        failures += 1;
        assert!(began.elapsed() < 10 * timeout, "not back after {:?}", began.elapsed());
    }
    let alone = began.elapsed();
    // A connection that is found silent when it is lent costs half of the timeout, and no failure.
    let is_felt = |slowest| slowest > timeout / 4;
    assert!(is_felt(alone), "no connection was silent: this tested nothing");
    println!("{what}, silence: alone, back after {alone:?} and {failures} failures");
    assert!(alone < 2 * timeout, "{alone:?}");
    warm_up(&store).await;
    switch.silence();
    let Writes { last, failures, slowest } = write_for(&store, 4 * timeout).await;
    println!(
        "{what}, silence: {TASKS} tasks, the last of {failures} failures after {last:?}, slowest {slowest:?}"
    );
    assert!(is_felt(slowest), "no connection was silent: this tested nothing");
    assert!(last < 2 * timeout, "{last:?}");
}

/// Checks that a store is back within two seconds when its address leads to another server, while the old one
/// stays up and refuses writes. `refuse_writes` makes the old server do so. `new` is a store on the new
/// server.
pub(crate) async fn survives_failover(
    what: &str,
    store: impl SessionStore + Clone,
    refuse_writes: impl AsyncFnOnce(),
    new: &impl SessionStore,
    (switch, to): (&Switch, String),
) {
    let id = SessionId::random();
    let of = |n: u32| Record::from_json(format!(r#"{{"cookie":{{}},"n":{n}}}"#)).unwrap();
    warm_up(&store).await;
    refuse_writes().await;
    // Until the address moves, a write fails, and says why.
    let refused = store.set(&id, &of(0), MINUTE).await.unwrap_err();
    assert!(refused.is_unavailable(), "{refused:?}");
    assert!(store.get(&id).await.unwrap().is_none(), "reads go on");
    warm_reads(&store).await;
    switch.lead_to(&to);
    // The very first write goes to the new server. It was refused and never carried out, so that what the
    // second attempt finds is no riddle.
    assert!(new.create(&id, &of(1), MINUTE).await.unwrap());
    let version = new.get(&id).await.unwrap().unwrap().version.unwrap();
    new.set(&id, &of(2), MINUTE).await.unwrap();
    let conflict = store.replace(&id, &version, &of(3), MINUTE).await.unwrap();
    let Replaced::Conflict(stored) = conflict else { panic!("{conflict:?}") };
    assert_eq!(stored.record.as_json(), of(2).as_json());
    let Writes { last, failures, .. } = write_for(&store, Duration::from_secs(3)).await;
    println!("{what}, fail-over: {TASKS} tasks, the last of {failures} failures after {last:?}");
    assert!(last < Duration::from_secs(2), "{last:?}");
}

/// Reads with all connections of the pool at the same time.
async fn warm_reads(store: &(impl SessionStore + Clone)) {
    let mut tasks = JoinSet::new();
    for _ in 0..TASKS {
        let store = store.clone();
        tasks.spawn(async move {
            for _ in 0..5 {
                assert!(store.get(&SessionId::random()).await.unwrap().is_none());
            }
        });
    }
    tasks.join_all().await;
    tokio::time::sleep(Duration::from_millis(50)).await;
}

/// Checks that no request fails when the server has ended all connections of a pool that were idle.
pub(crate) async fn survives_ended_connections(store: impl SessionStore + Clone, end_all: impl AsyncFn()) {
    for _ in 0..3 {
        warm_up(&store).await;
        end_all().await;
        warm_up(&store).await;
    }
}

/// A pool of one connection, and a count of how often it has the connection back.
pub(crate) fn one_connection<DB: sqlx::Database>() -> (sqlx::pool::PoolOptions<DB>, impl Fn() -> usize) {
    let released = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&released);
    let one = sqlx::pool::PoolOptions::new().max_connections(1).test_before_acquire(false);
    let one = one.after_release(move |_, _| {
        counter.fetch_add(1, Ordering::Relaxed);
        Box::pin(async { Ok(true) })
    });
    (one, move || released.load(Ordering::Relaxed))
}

/// Checks that reads which wait for the only connection of a pool hand it on to each other, and that others who
/// use the pool have it before all of them are served. `released` counts how often the pool has it back.
pub(crate) async fn hands_a_connection_on<DB: sqlx::Database>(
    store: impl SessionStore + Clone,
    pool: sqlx::Pool<DB>,
    released: impl Fn() -> usize,
) {
    const READS: usize = 160;
    let (before, done) = (released(), Arc::new(AtomicUsize::new(0)));
    let mut tasks = JoinSet::new();
    for _ in 0..READS {
        let (store, done) = (store.clone(), Arc::clone(&done));
        tasks.spawn(async move {
            assert!(store.get(&SessionId::random()).await.unwrap().is_none());
            done.fetch_add(1, Ordering::Relaxed);
        });
    }
    // Until all of them wait.
    while done.load(Ordering::Relaxed) == 0 {
        tokio::task::yield_now().await;
    }
    drop(pool.acquire().await.unwrap());
    let served = done.load(Ordering::Relaxed);
    assert!(served < READS / 2, "{served} reads were served before another user of the pool");
    tasks.join_all().await;
    let released = released() - before;
    assert!(released < READS / 8, "{READS} reads, and the pool had the connection back {released} times");
}
