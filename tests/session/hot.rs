//! Many requests that write to one session at the same time, over a store that is some way off: they share the
//! store's calls.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sessile::{
    MemoryStore, Origin, Record, Replaced, Session, SessionConfig, SessionError, SessionId, SessionStore,
    StoreError, Stored, Version,
};
use tokio::sync::oneshot::{self, Sender};
use tokio::task::{JoinHandle, JoinSet, yield_now};
use tokio::time::sleep;

use crate::common::stores::DAY;
use crate::common::{TestClient, builder, id};

const WRITERS: usize = 32;

/// A store whose calls that write wait until the test lets them through, one trip after the other.
#[derive(Clone, Default)]
struct Remote(Arc<Calls>);

#[derive(Default)]
struct Calls {
    records: MemoryStore,
    waiting: Mutex<VecDeque<Sender<()>>>,
    /// How many calls were let through.
    trips: AtomicUsize,
    /// The state of a generator of random numbers, by which the call is chosen that is let through. 0: the
    /// oldest is.
    random: AtomicUsize,
    /// The next call is carried out, and gets no answer.
    loses_answer: AtomicBool,
}

/// Lets everybody go on who can.
async fn idle() {
    for _ in 0..400 {
        yield_now().await;
    }
}

impl Remote {
    /// A store with the session `hot`, which holds `{"n": 0}`.
    async fn with_session() -> Self {
        let store = Self::default();
        store.plant(r#"{"cookie":{},"n":0}"#).await;
        store
    }

    /// Writes to the session as another process does.
    async fn plant(&self, json: &str) {
        self.0.records.set(&id("hot"), &Record::from_json(json).unwrap(), DAY).await.unwrap();
    }

    async fn call<T>(&self, work: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        let (pass, passed) = oneshot::channel();
        self.0.waiting.lock().unwrap().push_back(pass);
        passed.await.unwrap();
        let answer = work.await;
        match self.0.loses_answer.swap(false, Relaxed) {
            true => Err(StoreError::unavailable("no answer")),
            false => answer,
        }
    }

    /// Whether anybody asks the store, after everybody has come as far as they can.
    async fn is_asked(&self) -> bool {
        idle().await;
        let mut waiting = self.0.waiting.lock().unwrap();
        waiting.retain(|pass| !pass.is_closed());
        !waiting.is_empty()
    }

    /// Lets one call through.
    async fn trip(&self) {
        assert!(self.is_asked().await, "nobody asks the store");
        {
            let mut waiting = self.0.waiting.lock().unwrap();
            let random = self.0.random.load(Relaxed).wrapping_mul(6_364_136_223_846_793_005);
            self.0.random.store(random, Relaxed);
            let chosen = (random >> 33) % waiting.len();
            let pass = waiting.remove(chosen).unwrap();
            pass.send(()).unwrap();
        }
        self.0.trips.fetch_add(1, Relaxed);
        idle().await;
    }

    /// Lets all calls through until nobody asks any more, and returns how many there were.
    async fn trips(&self) -> usize {
        let before = self.0.trips.load(Relaxed);
        while self.is_asked().await {
            self.trip().await;
        }
        self.0.trips.load(Relaxed) - before
    }
}

fn with_version(stored: Stored) -> Stored {
    let version = Version::of(&stored.record);
    stored.with_version(version)
}

impl SessionStore for Remote {
    sessile::forward_store!(self => self.0.records, except get, set, create, destroy, replace, destroy_if);

    async fn get(&self, id: &SessionId) -> Result<Option<Stored>, StoreError> {
        Ok(self.0.records.get(id).await?.map(with_version))
    }

    async fn set(&self, id: &SessionId, record: &Record, ttl: Duration) -> Result<(), StoreError> {
        self.call(self.0.records.set(id, record, ttl)).await
    }

    async fn create(&self, id: &SessionId, record: &Record, ttl: Duration) -> Result<bool, StoreError> {
        self.call(self.0.records.create(id, record, ttl)).await
    }

    async fn destroy(&self, id: &SessionId) -> Result<(), StoreError> {
        self.0.records.destroy(id).await
    }

    async fn replace(
        &self,
        id: &SessionId,
        expected: &Version,
        record: &Record,
        ttl: Duration,
    ) -> Result<Replaced, StoreError> {
        let replaced = self.call(self.0.records.replace(id, expected, record, ttl)).await?;
        Ok(versioned(replaced))
    }

    async fn destroy_if(&self, id: &SessionId, expected: &Version) -> Result<Replaced, StoreError> {
        Ok(versioned(self.call(self.0.records.destroy_if(id, expected)).await?))
    }
}

fn versioned(replaced: Replaced) -> Replaced {
    match replaced {
        Replaced::Conflict(stored) => Replaced::Conflict(with_version(stored)),
        other => other,
    }
}

/// The same store with the three required methods alone.
struct ThreeMethods(Remote);

impl SessionStore for ThreeMethods {
    async fn get(&self, id: &SessionId) -> Result<Option<Stored>, StoreError> {
        let stored = self.0.get(id).await?;
        // A record whose life is not known would be touched at each request.
        Ok(stored.map(|stored| Stored::from(stored.record).with_expires_in(DAY)))
    }

    async fn set(&self, id: &SessionId, record: &Record, ttl: Duration) -> Result<(), StoreError> {
        self.0.set(id, record, ttl).await
    }

    async fn destroy(&self, id: &SessionId) -> Result<(), StoreError> {
        self.0.destroy(id).await
    }
}

fn config(store: impl SessionStore) -> SessionConfig {
    builder().store(store).touch_after(DAY).build().unwrap()
}

async fn open(config: &SessionConfig) -> Session {
    TestClient::holding(config, &id("hot")).open(config).await
}

async fn number(store: &Remote) -> u64 {
    open(&config(store.clone())).await.get("n").unwrap().unwrap()
}

const COUNT: fn(&Session) = count;

fn count(session: &Session) {
    session.update("n", |n: Option<u64>| n.map(|n| n + 1)).unwrap();
}

/// Shows the configuration that the store compares versions. Until then every write takes the record's lock.
async fn learn(config: &SessionConfig, store: &Remote) {
    let mut client = TestClient::new();
    for _ in 0..3 {
        let session = client.open(config).await;
        session.insert("n", 0).unwrap();
        session.cycle_id();
        let committed = commit(&session);
        store.trips().await;
        committed.await.unwrap().unwrap();
        client = TestClient::holding(config, &session.id());
        session.insert("n", 1).unwrap();
        let committed = commit(&session);
        store.trips().await;
        committed.await.unwrap().unwrap();
    }
}

type Commit = JoinHandle<Result<(), SessionError>>;

fn commit(session: &Session) -> Commit {
    let session = session.clone();
    tokio::spawn(async move { session.commit().await.map(drop) })
}

/// Commits that wait while a first one is on its way to the store.
struct Crowd {
    first: Commit,
    sessions: Vec<Session>,
    waiting: Vec<Commit>,
}

impl Crowd {
    /// Each of `changes` is what one of those does that wait.
    async fn of(config: &SessionConfig, changes: &[fn(&Session)]) -> Self {
        let first = open(config).await;
        count(&first);
        let mut sessions = Vec::new();
        for change in changes {
            let session = open(config).await;
            change(&session);
            sessions.push(session);
        }
        let first = commit(&first);
        idle().await;
        let waiting = sessions.iter().map(commit).collect();
        idle().await;
        Self { first, sessions, waiting }
    }
}

async fn dropped(commit: Commit) {
    commit.abort();
    assert!(commit.await.unwrap_err().is_cancelled());
}

/// How many calls `writers` need for `each` writes, and how many of them a write waits for at most.
async fn measure(store: &Remote, configs: &[SessionConfig], writers: usize, each: usize) -> (usize, usize) {
    let mut tasks = JoinSet::new();
    for writer in 0..writers {
        let (config, store) = (configs[writer % configs.len()].clone(), store.clone());
        tasks.spawn(async move {
            let mut longest = 0;
            for _ in 0..each {
                let session = open(&config).await;
                count(&session);
                let before = store.0.trips.load(Relaxed);
                session.commit().await.map(drop).unwrap();
                longest = longest.max(store.0.trips.load(Relaxed) - before);
            }
            longest
        });
    }
    let before = store.0.trips.load(Relaxed);
    let mut longest = 0;
    while !tasks.is_empty() {
        match store.is_asked().await {
            true => store.trip().await,
            // Somebody waits after a conflict.
            false => sleep(Duration::from_millis(1)).await,
        }
        while let Some(done) = tasks.try_join_next() {
            longest = longest.max(done.unwrap());
        }
    }
    let calls = store.0.trips.load(Relaxed) - before;
    println!("{calls} calls for {} writes, of which none waited for more than {longest}", writers * each);
    (calls, longest)
}

#[tokio::test]
async fn a_crowd_writes_together() {
    for three_methods in [false, true] {
        let store = Remote::with_session().await;
        let config = match three_methods {
            false => config(store.clone()),
            true => config(ThreeMethods(store.clone())),
        };
        let (calls, longest) = measure(&store, &[config], WRITERS, 20).await;
        assert_eq!(number(&store).await, 640, "a write was lost, or counted twice");
        assert!(calls <= 80, "{calls} calls for 640 writes");
        assert!(longest <= 2, "a write waited for {longest} calls");
    }
}

/// The calls of the two arrive in a random order, as they do from two processes.
#[tokio::test(start_paused = true)]
async fn crowds_in_two_processes_need_few_calls() {
    let store = Remote::with_session().await;
    store.0.random.store(1, Relaxed);
    let configs = [config(store.clone()), config(store.clone())];
    let (calls, longest) = measure(&store, &configs, 2 * WRITERS, 10).await;
    assert_eq!(number(&store).await, 640);
    assert!(calls <= 320, "{calls} calls for 640 writes");
    assert!(longest <= 32, "a write waited for {longest} calls");
}

#[tokio::test]
async fn each_session_holds_what_it_has_written_and_goes_on_from_there() {
    let store = Remote::with_session().await;
    let crowd = Crowd::of(&config(store.clone()), &[COUNT; 3]).await;
    assert_eq!(store.trips().await, 2);
    for (commit, (session, n)) in crowd.waiting.into_iter().zip(crowd.sessions.iter().zip(2..)) {
        commit.await.unwrap().unwrap();
        assert_eq!(session.get::<u64>("n").unwrap(), Some(n));
    }
    let again = crowd.sessions.iter().map(|session| {
        count(session);
        commit(session)
    });
    let again: Vec<_> = again.collect();
    store.trips().await;
    for commit in again {
        commit.await.unwrap().unwrap();
    }
    assert_eq!(number(&store).await, 7);
}

#[tokio::test]
async fn a_request_that_is_dropped_while_it_waits_writes_nothing() {
    let store = Remote::with_session().await;
    let mut crowd = Crowd::of(&config(store.clone()), &[COUNT; 3]).await;
    dropped(crowd.waiting.remove(1)).await;
    assert_eq!(store.trips().await, 2);
    assert_eq!(number(&store).await, 3);
    // Nothing of it was written, so a commit of the same session writes all of it.
    let again = commit(&crowd.sessions[1]);
    store.trips().await;
    again.await.unwrap().unwrap();
    assert_eq!(number(&store).await, 4);
}

/// The first that waits is the one that writes for the others; the last is one of those.
#[tokio::test]
async fn a_request_that_is_dropped_during_the_write_costs_nobody_anything() {
    for dropped_one in [0, 2] {
        let store = Remote::with_session().await;
        let config = config(store.clone());
        let mut crowd = Crowd::of(&config, &[COUNT; 3]).await;
        store.trip().await;
        dropped(crowd.waiting.remove(dropped_one)).await;
        assert_eq!(store.trips().await, 1, "the write goes on");
        for commit in crowd.waiting {
            commit.await.unwrap().unwrap();
        }
        assert_eq!(number(&store).await, 4);
        // Others write over the record, and the dropped request is still counted once.
        let other = open(&config).await;
        count(&other);
        let (other, again) = (commit(&other), commit(&crowd.sessions[dropped_one]));
        store.trips().await;
        other.await.unwrap().unwrap();
        again.await.unwrap().unwrap();
        assert_eq!(number(&store).await, 5);
    }
}

#[tokio::test]
async fn a_request_that_is_dropped_during_a_conflict_is_left_out_of_the_next_attempt() {
    for dropped_one in [0, 2] {
        let store = Remote::with_session().await;
        let mut crowd = Crowd::of(&config(store.clone()), &[COUNT; 3]).await;
        store.trip().await;
        store.plant(r#"{"cookie":{},"n":10}"#).await;
        dropped(crowd.waiting.remove(dropped_one)).await;
        assert_eq!(store.trips().await, 2);
        assert_eq!(number(&store).await, 12);
        let again = commit(&crowd.sessions[dropped_one]);
        store.trips().await;
        again.await.unwrap().unwrap();
        assert_eq!(number(&store).await, 13);
    }
}

#[tokio::test]
async fn an_error_of_the_store_goes_to_all_and_all_can_commit_again() {
    let store = Remote::with_session().await;
    let crowd = Crowd::of(&config(store.clone()), &[COUNT; 3]).await;
    store.trip().await;
    store.0.loses_answer.store(true, Relaxed);
    store.trip().await;
    for commit in crowd.waiting {
        assert!(matches!(commit.await.unwrap(), Err(SessionError::Store(_))));
    }
    assert_eq!(number(&store).await, 4, "the store has carried it out");
    let again: Vec<_> = crowd.sessions.iter().map(commit).collect();
    store.trips().await;
    for commit in again {
        commit.await.unwrap().unwrap();
    }
    assert_eq!(number(&store).await, 4, "each is counted once");
}

#[tokio::test]
async fn changes_that_cannot_be_made_fail_alone() {
    let store = Remote::with_session().await;
    let config = builder().store(store.clone()).touch_after(DAY).max_record_bytes(1_000).build().unwrap();
    let changes: [fn(&Session); 6] = [
        count,
        |session| session.insert("a", "x".repeat(600)).unwrap(),
        // Each of the two would fit without the other one.
        |session| session.insert("b", "x".repeat(600)).unwrap(),
        |session| session.insert("a", "short").unwrap(),
        // By now it is a text.
        |session| session.update("a", |a: Option<u64>| Some(a.unwrap_or(0) + 1)).map(drop).unwrap(),
        count,
    ];
    let crowd = Crowd::of(&config, &changes).await;
    assert_eq!(store.trips().await, 2);
    let mut errors = Vec::new();
    for commit in crowd.waiting {
        errors.push(commit.await.unwrap().err());
    }
    assert!(matches!(errors[2], Some(SessionError::TooLarge { .. })), "{errors:?}");
    assert!(matches!(errors[4], Some(SessionError::Decode { .. })), "{errors:?}");
    assert_eq!(errors.iter().flatten().count(), 2);
    let now = open(&config).await;
    assert_eq!((now.get("n").unwrap(), now.get("a").unwrap()), (Some(3), Some("short".to_owned())));
    assert!(!now.contains_key("b"));
}

tokio::task_local! {
    static OWN: u64;
}

/// The closure of an `update` may run in the task of the request that writes. One that panics there runs again
/// in its own.
#[tokio::test]
async fn a_panic_reaches_no_other_request() {
    let store = Remote::with_session().await;
    let config = config(store.clone());
    let crowd = Crowd::of(&config, &[COUNT]).await;
    let [own, panics] = [open(&config).await, open(&config).await];
    own.update("n", |n: Option<u64>| {
        let own = if n == Some(0) { 1 } else { OWN.get() };
        n.map(|n| n + own)
    })
    .unwrap();
    panics
        .update("n", |n: Option<u64>| if n == Some(0) { Some(1) } else { panic!("not over {n:?}") })
        .unwrap();
    let own = tokio::spawn(OWN.scope(100, async move { own.commit().await.map(drop) }));
    let panics = commit(&panics);
    idle().await;
    let last = open(&config).await;
    count(&last);
    let last = commit(&last);
    store.trips().await;
    crowd.first.await.unwrap().unwrap();
    last.await.unwrap().unwrap();
    own.await.unwrap().unwrap();
    assert!(panics.await.unwrap_err().is_panic());
    for commit in crowd.waiting {
        commit.await.unwrap().unwrap();
    }
    assert_eq!(number(&store).await, 103);
}

#[tokio::test]
async fn a_logout_beats_everybody_who_waits() {
    for three_methods in [false, true] {
        let store = Remote::with_session().await;
        let config = match three_methods {
            false => config(store.clone()),
            true => config(ThreeMethods(store.clone())),
        };
        learn(&config, &store).await;
        let crowd = Crowd::of(&config, &[COUNT; 8]).await;
        let logout = open(&config).await;
        logout.destroy();
        let logout = commit(&logout);
        store.trips().await;
        logout.await.unwrap().unwrap();
        for commit in crowd.waiting {
            // With three methods the logout waits for the write that is under way, and so may be the last.
            assert!(matches!(commit.await.unwrap(), Err(SessionError::Gone)) || three_methods);
        }
        assert_eq!(open(&config).await.origin(), Origin::Unknown);
    }
}

#[tokio::test]
async fn a_change_of_id_gets_its_turn_beside_a_crowd() {
    for three_methods in [false, true] {
        let store = Remote::with_session().await;
        let config = match three_methods {
            false => config(store.clone()),
            true => config(ThreeMethods(store.clone())),
        };
        let mover = open(&config).await;
        mover.cycle_id();
        let mut tasks = JoinSet::new();
        for _ in 0..WRITERS {
            let config = config.clone();
            tasks.spawn(async move {
                let mut written = 0_u64;
                loop {
                    let session = open(&config).await;
                    if session.origin() != Origin::Loaded {
                        return written;
                    }
                    count(&session);
                    match session.commit().await {
                        Ok(_) => written += 1,
                        Err(SessionError::Gone) => return written,
                        Err(error) => panic!("{error}"),
                    }
                }
            });
        }
        for _ in 0..10 {
            store.trip().await;
        }
        let before = store.0.trips.load(Relaxed);
        let moved = commit(&mover);
        let mut trips = 0;
        while !moved.is_finished() {
            store.trip().await;
            trips = store.0.trips.load(Relaxed) - before;
            assert!(trips < 200, "the change of id gets no turn");
        }
        moved.await.unwrap().unwrap();
        store.trips().await;
        println!("a change of id beside a crowd took {trips} calls");
        assert!(trips <= 8, "it took {trips} calls");
        let written: u64 = tasks.join_all().await.into_iter().sum();
        assert_eq!(mover.get::<u64>("n").unwrap(), Some(written), "an acknowledged write is lost");
        assert!(written > 0);
    }
}

type Boxed = Pin<Box<dyn Future<Output = ()>>>;

/// The commits of one task, which is dropped as a whole.
#[tokio::test]
async fn nobody_waits_for_requests_that_are_gone() {
    let store = Remote::with_session().await;
    let config = config(store.clone());
    let crowd = Crowd::of(&config, &[]).await;
    let mut gone: Vec<Boxed> = Vec::new();
    for _ in 0..3_000 {
        let session = open(&config).await;
        count(&session);
        gone.push(Box::pin(async move { drop(session.commit().await) }));
    }
    let gone = tokio::time::timeout(Duration::ZERO, futures_util::future::join_all(gone)).await;
    assert!(gone.is_err());
    let last = open(&config).await;
    count(&last);
    let last = commit(&last);
    assert_eq!(store.trips().await, 2);
    crowd.first.await.unwrap().unwrap();
    last.await.unwrap().unwrap();
    assert_eq!(number(&store).await, 2);
}
