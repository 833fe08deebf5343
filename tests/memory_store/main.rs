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
/// A million sessions take a minute in a build without optimisation.
const SESSIONS: usize = if cfg!(debug_assertions) { 200_000 } else { 1_000_000 };
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
    a_flood_of_visitors_ends_no_login().await;
    a_full_store_never_stands_still().await;
    the_sweep_ends_with_the_store().await;
    a_later_record_that_expires_sooner_is_swept_in_time().await;
    many_expired_sessions_give_their_memory_back().await;
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
        assert_eq!(store.len(), limit.max(1), "fewer sessions than the limit allows");
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

fn with_data() -> Record {
    Record::from_json(DATA).unwrap()
}

async fn a_flood_of_visitors_ends_no_login() {
    let store = MemoryStore::with_capacity_limit(100);
    for n in 0..50 {
        // The logins are closer to their expiry than any visitor.
        store.create(&id(n), &with_data(), HOUR / 60).await.unwrap();
    }
    for n in 1_000..11_000 {
        assert!(store.create(&id(n), &Record::default(), HOUR).await.unwrap());
    }
    for n in 0..50 {
        assert!(
            store.get(&id(n)).await.unwrap().is_some(),
            "login {n} was thrown out by visitors without data"
        );
    }
    assert_eq!(store.len(), 100);
    // A visitor who logs in is safe from then on, and one whose data is removed no longer is.
    let visitor = id(10_999);
    let loaded = store.get(&visitor).await.unwrap().unwrap();
    let replaced = store.replace(&visitor, &loaded.version.unwrap(), &with_data(), HOUR / 60).await.unwrap();
    assert!(matches!(replaced, Replaced::Done(_)), "{replaced:?}");
    store.set(&id(0), &Record::default(), HOUR / 60).await.unwrap();
    store.touch(&id(1), HOUR).await.unwrap();
    for n in 20_000..20_100 {
        store.create(&id(n), &Record::default(), HOUR).await.unwrap();
    }
    assert!(store.get(&visitor).await.unwrap().is_some(), "a visitor who logged in was thrown out");
    assert!(store.get(&id(0)).await.unwrap().is_none(), "a session without data outlived the flood");
    // Where every session has data, the one closest to its expiry goes.
    for n in 30_000..30_099 {
        store.create(&id(n), &with_data(), 2 * HOUR).await.unwrap();
    }
    assert!(store.get(&id(1)).await.unwrap().is_some(), "a session that was touched went first");
    assert!(store.get(&id(2)).await.unwrap().is_none());
    // What was destroyed takes no room.
    store.destroy(&id(1)).await.unwrap();
    let loaded = store.get(&id(30_000)).await.unwrap().unwrap();
    store.destroy_if(&id(30_000), &loaded.version.unwrap()).await.unwrap();
    store.create(&id(40_000), &Record::default(), HOUR).await.unwrap();
    store.create(&id(40_001), &Record::default(), HOUR).await.unwrap();
    assert!(store.get(&id(40_000)).await.unwrap().is_some(), "room for two was counted as room for one");
    store.clear();
    for n in 0..100 {
        store.create(&id(n), &Record::default(), HOUR).await.unwrap();
    }
    assert_eq!(store.len(), 100, "a store that was cleared has less room");
}

/// The work for a session that takes another one's place does not grow with their number.
async fn a_full_store_never_stands_still() {
    const LIMIT: usize = 100_000;
    let store = MemoryStore::with_capacity_limit(LIMIT);
    for n in 0..LIMIT {
        store.create(&id(n), &with_data(), HOUR).await.unwrap();
    }
    // The machine may hold any one call up, but not one of each stretch. A walk through all sessions, once
    // for a 64th of them, would be in every stretch and take over 25 ms.
    let mut calmest = Duration::MAX;
    for stretch in 1..=16 {
        let mut longest = Duration::ZERO;
        for n in 0..LIMIT / 64 {
            let (id, before) = (id(stretch * LIMIT + n), Instant::now());
            store.create(&id, &Record::default(), HOUR).await.unwrap();
            longest = longest.max(before.elapsed());
        }
        calmest = calmest.min(longest);
    }
    assert!(calmest < Duration::from_millis(10), "one of {} calls takes {calmest:?}", LIMIT / 64);
    eprintln!("a new session in a full store of {LIMIT}: at most {calmest:?}");
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

/// A store with many sessions that expire together, at a time when all of them are there, and one
/// session that stays; the time at which they expire.
async fn many_sessions_and(kept: &SessionId) -> (MemoryStore, Instant) {
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

async fn many_expired_sessions_give_their_memory_back() {
    let before = live_bytes();
    let kept = id(SESSIONS);
    let (store, end) = many_sessions_and(&kept).await;
    let full = live_bytes() - before;
    assert!(full > SESSIONS * DATA.len(), "{SESSIONS} sessions take {full} bytes");
    // No call reaches the store from here on.
    std::thread::sleep(end.saturating_duration_since(Instant::now()));
    let emptied = before + full / 100;
    wait_for_fall("expired sessions keep their memory", emptied, live_bytes);
    assert_eq!(store.all_ids(), [kept]);
}
