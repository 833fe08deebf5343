//! `MemoryStore`: its own calls, its bound, and the memory it gives back.
//!
//! This is a program of its own, because the test counts the allocations and the threads of its process.

use std::alloc::System;
use std::time::{Duration, Instant};

use sessile::{MemoryStore, Record, Replaced, SessionId, SessionStore, Version};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const HOUR: Duration = Duration::from_secs(3600);
const SESSIONS: usize = 1_000_000;
const DATA: &str = r#"{"cookie":{"originalMaxAge":60000,"expires":null,"httpOnly":true,"path":"/"},"n":1}"#;
/// The sweep rests for a hundred times as long as its round took: this is its rest after a round of six
/// seconds.
const STANDSTILL: Duration = Duration::from_secs(600);

fn id(n: usize) -> SessionId {
    SessionId::new(format!("session-{n}")).unwrap()
}

/// Bytes allocated and not freed.
fn live_bytes() -> usize {
    let stats = ALLOCATOR.stats();
    stats.bytes_allocated - stats.bytes_deallocated
}

fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").map_or(0, Iterator::count)
}

/// Waits until `measure` has fallen to `goal`.
///
/// The wait lasts as long as the measure keeps falling, so that it depends on no machine's speed: the test
/// fails where the measure has not fallen for [`STANDSTILL`].
fn wait_for_fall(what: &str, goal: usize, measure: impl Fn() -> usize) {
    let (mut lowest, mut fell) = (usize::MAX, Instant::now());
    loop {
        let now = measure();
        if now <= goal {
            return;
        }
        if now < lowest {
            (lowest, fell) = (now, Instant::now());
        }
        assert!(fell.elapsed() < STANDSTILL, "{what}: {lowest} has not fallen to {goal}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The tests count this process' allocations and threads, so they run one after the other.
#[tokio::test]
async fn memory_store() {
    the_calls_of_the_seed().await;
    a_bound_holds().await;
    a_bound_lets_the_oldest_go().await;
    a_bounded_store_replaces_what_is_there().await;
    the_sweep_ends_with_the_store().await;
    a_later_record_that_expires_sooner_is_swept_in_time().await;
    a_million_expired_sessions_give_their_memory_back().await;
}

async fn the_calls_of_the_seed() {
    let store = MemoryStore::new();
    let record = Record::default();
    assert!(store.is_empty());
    store.set(&id(1), &record, HOUR).await.unwrap();
    store.set(&id(2), &record, HOUR).await.unwrap();
    store.set(&id(3), &record, Duration::ZERO).await.unwrap();
    assert_eq!(store.len(), 2, "an expired session counts");
    let mut ids = store.all_ids();
    ids.sort_by(|a, b| a.as_str().cmp(b.as_str()));
    assert_eq!(ids, [id(1), id(2)]);
    assert!(store.get(&id(1)).await.unwrap().is_some());
    assert!(store.touch(&id(1), HOUR).await.unwrap());
    store.destroy(&id(1)).await.unwrap();
    assert_eq!(store.len(), 1);
    let handle = store.clone();
    handle.clear();
    assert!(store.is_empty(), "a clone is another store");
    assert!(!MemoryStore::default().touch(&id(2), HOUR).await.unwrap(), "two stores share sessions");
}

async fn a_bound_holds() {
    for limit in [0_usize, 1, 2, 100, 1000] {
        let store = MemoryStore::with_capacity_limit(limit);
        for n in 0..3 * limit.max(1) {
            assert!(store.create(&id(n), &Record::default(), HOUR).await.unwrap());
            assert!(store.len() <= limit.max(1), "{} sessions in a store for {limit}", store.len());
            assert!(store.get(&id(n)).await.unwrap().is_some(), "the newest session was thrown out");
        }
        assert!(store.len() >= limit - limit / 64, "far fewer sessions than the limit allows");
    }
    // From many threads at once.
    let store = MemoryStore::with_capacity_limit(10);
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..64 {
        let store = store.clone();
        tasks.spawn(async move { store.set(&id(n), &Record::default(), HOUR).await.unwrap() });
    }
    tasks.join_all().await;
    assert_eq!(store.len(), 10);
}

async fn a_bound_lets_the_oldest_go() {
    let store = MemoryStore::with_capacity_limit(3);
    store.set(&id(1), &Record::default(), HOUR).await.unwrap();
    store.set(&id(2), &Record::default(), HOUR / 2).await.unwrap();
    store.set(&id(3), &Record::default(), HOUR / 3).await.unwrap();
    assert!(store.touch(&id(3), 2 * HOUR).await.unwrap());
    store.set(&id(4), &Record::default(), HOUR).await.unwrap();
    assert!(store.get(&id(2)).await.unwrap().is_none(), "the session closest to its expiry stays");
    assert_eq!(store.len(), 3);
    // An expired one goes before a live one.
    store.set(&id(1), &Record::default(), Duration::ZERO).await.unwrap();
    store.set(&id(5), &Record::default(), HOUR).await.unwrap();
    for n in [3, 4, 5] {
        assert!(store.get(&id(n)).await.unwrap().is_some(), "session {n} was thrown out for an expired one");
    }
}

async fn a_bounded_store_replaces_what_is_there() {
    let store = MemoryStore::with_capacity_limit(2);
    store.set(&id(1), &Record::default(), HOUR).await.unwrap();
    store.set(&id(2), &Record::default(), HOUR / 2).await.unwrap();
    let loaded = store.get(&id(1)).await.unwrap().unwrap();
    store.set(&id(1), &Record::default(), HOUR).await.unwrap();
    let version = loaded.version.unwrap_or(Version::from(0));
    let replaced = store.replace(&id(1), &version, &Record::default(), HOUR).await.unwrap();
    assert!(matches!(replaced, Replaced::Done(_)) || matches!(replaced, Replaced::Conflict(_)));
    assert_eq!(store.len(), 2, "writing over a session threw another one out");
}

async fn the_sweep_ends_with_the_store() {
    if !cfg!(target_os = "linux") {
        eprintln!("skipped: threads are counted in /proc");
        return;
    }
    wait_for_fall("the sweeps of the stores before go on", 2, threads);
    let before = threads();
    let idle = MemoryStore::new();
    assert_eq!(threads(), before, "a store that holds nothing has a thread");
    let stores: Vec<_> = (0..10).map(|_| MemoryStore::new()).collect();
    for store in &stores {
        for n in 0..3 {
            store.set(&id(n), &Record::default(), HOUR).await.unwrap();
        }
    }
    assert_eq!(threads(), before + 10);
    drop(stores);
    wait_for_fall("a sweep outlives its store", before, threads);
    drop(idle);
}

async fn a_later_record_that_expires_sooner_is_swept_in_time() {
    let store = MemoryStore::new();
    store.set(&id(0), &Record::default(), HOUR).await.unwrap();
    let before = live_bytes();
    let big = Record::from_json(format!(r#"{{"cookie":{{}},"pad":"{}"}}"#, "x".repeat(1 << 20))).unwrap();
    store.set(&id(1), &big, Duration::from_millis(50)).await.unwrap();
    drop(big);
    assert!(live_bytes() > before + (1 << 20));
    wait_for_fall("an expired record keeps its memory", before + (1 << 16), live_bytes);
    assert_eq!(store.len(), 1);
}

/// A store with a million sessions that expire together, at a time when all of them are there, and one
/// session that stays; the time at which they expire.
async fn a_million_sessions_and(kept: &SessionId) -> (MemoryStore, Instant) {
    let mut life = Duration::from_secs(20);
    loop {
        let store = MemoryStore::new();
        store.set(kept, &Record::default(), HOUR).await.unwrap();
        let end = Instant::now() + life;
        for n in 0..SESSIONS {
            let record = Record::from_json(DATA).unwrap();
            let left = end.saturating_duration_since(Instant::now());
            store.set(&id(n), &record, left).await.unwrap();
        }
        if Instant::now() < end {
            return (store, end);
        }
        // The sweep began before all were there: this machine needs longer.
        life *= 2;
    }
}

async fn a_million_expired_sessions_give_their_memory_back() {
    let before = live_bytes();
    let kept = id(SESSIONS);
    let (store, end) = a_million_sessions_and(&kept).await;
    let full = live_bytes() - before;
    assert!(full > SESSIONS * DATA.len(), "a million sessions take {full} bytes");
    // No call reaches the store from here on.
    std::thread::sleep(end.saturating_duration_since(Instant::now()));
    let emptied = before + full / 100;
    wait_for_fall("a million expired sessions keep their memory", emptied, live_bytes);
    assert_eq!(store.all_ids(), [kept]);
}
