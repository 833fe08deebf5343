//! Promises 1, 2 and 7 over stores that write in two steps: a store of three methods whose writes outlive
//! their caller, and a wrapper that passes versions on without the methods that compare them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::task::{JoinHandle, JoinSet, yield_now};

use super::setup::{Probed, increment, open, options, user, value};
use crate::config::SessionConfig;
use crate::error::StoreError;
use crate::id::SessionId;
use crate::record::Record;
use crate::session::origin::Origin;
use crate::store::{SessionStore, Stored};
use crate::testing::probe::{Op, Probe};
use crate::testing::visitor::Visitor;

/// A store of three methods. Its driver carries a write out also when nobody waits for the answer any more.
struct Outliving<S> {
    store: Probed<S>,
    /// How many writes are not over yet.
    running: Arc<AtomicUsize>,
}

impl<S: SessionStore> Outliving<S> {
    fn new(store: S) -> Self {
        Self { store: Probe::new(Arc::new(store)), running: Arc::default() }
    }

    async fn write<F>(&self, work: F) -> Result<(), StoreError>
    where
        F: Future<Output = Result<(), StoreError>> + Send + 'static,
    {
        self.running.fetch_add(1, Ordering::SeqCst);
        let running = Arc::clone(&self.running);
        let driver = tokio::spawn(async move {
            let answer = work.await;
            running.fetch_sub(1, Ordering::SeqCst);
            answer
        });
        driver.await.map_err(StoreError::unavailable)?
    }

    /// Waits until every write is over.
    async fn idle(&self) {
        while self.running.load(Ordering::SeqCst) > 0 {
            yield_now().await;
        }
    }
}

impl<S: SessionStore> SessionStore for Outliving<S> {
    async fn get(&self, id: &SessionId) -> Result<Option<Stored>, StoreError> {
        Ok(self.store.get(id).await?.map(|stored| Stored::from(stored.record)))
    }

    async fn set(&self, id: &SessionId, record: &Record, ttl: Duration) -> Result<(), StoreError> {
        let (store, id, record) = (self.store.clone(), id.clone(), record.clone());
        self.write(async move { store.set(&id, &record, ttl).await }).await
    }

    async fn destroy(&self, id: &SessionId) -> Result<(), StoreError> {
        let (store, id) = (self.store.clone(), id.clone());
        self.write(async move { store.destroy(&id).await }).await
    }
}

/// A wrapper that writes the three required methods and nothing else.
struct Wrapper<S>(Probed<S>);

impl<S: SessionStore> SessionStore for Wrapper<S> {
    async fn get(&self, id: &SessionId) -> Result<Option<Stored>, StoreError> {
        self.0.get(id).await
    }

    async fn set(&self, id: &SessionId, record: &Record, ttl: Duration) -> Result<(), StoreError> {
        self.0.set(id, record, ttl).await
    }

    async fn destroy(&self, id: &SessionId) -> Result<(), StoreError> {
        self.0.destroy(id).await
    }
}

/// A wrapper that leaves one of the two methods that compare versions to the trait.
struct HalfWrapper<S>(Probed<S>);

impl<S: SessionStore> SessionStore for HalfWrapper<S> {
    crate::forward_store!(self => self.0, except replace);
}

fn config(store: impl SessionStore) -> SessionConfig {
    let never = Duration::from_secs(24 * 60 * 60);
    let spare = Probe::new(Arc::new(crate::MemoryStore::new()));
    options(&spare).store(store).touch_after(never).build().expect("the kit's own options")
}

/// Lets a request run to its end, if nothing stops it. A request that waits for the write that is held does
/// not end, so the wait does.
async fn let_it_run<T>(request: &JoinHandle<T>) {
    let began = Instant::now();
    while !request.is_finished() && began.elapsed() < Duration::from_millis(100) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Promises 2 and 7: the write of a request that was cut off is over before a logout is acknowledged.
pub async fn a_cut_off_write_revives_no_session<S: SessionStore>(store: S) {
    let store = Arc::new(Outliving::new(store));
    let config = config(Arc::clone(&store));
    let visitor = user(&config).await;
    let (writer, logout) = (open(&visitor).await, open(&visitor).await);
    writer.insert("late", 1).expect("insert");
    let held = store.store.hold(Op::Set);
    let request = tokio::spawn(async move { writer.commit().await.map(drop) });
    held.reached().await;
    request.abort();
    drop(request.await);

    logout.destroy();
    let ended = tokio::spawn(async move { logout.commit().await.map(drop) });
    let_it_run(&ended).await;
    drop(held);
    ended.await.expect("the logout does not panic").expect("the logout is acknowledged");
    store.idle().await;
    assert_eq!(open(&visitor).await.origin(), Origin::Unknown, "a late write has brought the session back");
}

/// Promises 1 and 7: the write of a request that was cut off is over before another request writes to the
/// record.
pub async fn a_cut_off_write_loses_no_other<S: SessionStore>(store: S) {
    let store = Arc::new(Outliving::new(store));
    let config = config(Arc::clone(&store));
    let visitor = user(&config).await;
    let (cut_off, other) = (open(&visitor).await, open(&visitor).await);
    cut_off.insert("late", 1).expect("insert");
    let held = store.store.hold(Op::Set);
    let request = tokio::spawn(async move { cut_off.commit().await.map(drop) });
    held.reached().await;
    request.abort();
    drop(request.await);

    other.insert("n", 7).expect("insert");
    let written = tokio::spawn(async move { other.commit().await.map(drop) });
    let_it_run(&written).await;
    drop(held);
    written.await.expect("the commit does not panic").expect("the commit is acknowledged");
    store.idle().await;
    assert_eq!(value(&visitor, "n").await, Some(7), "a late write has overwritten an acknowledged one");
}

/// Promise 1: a wrapper that passes versions on without overriding the methods that compare them loses no
/// update.
pub async fn a_bare_wrapper_loses_no_update<S: SessionStore>(store: S) {
    const REQUESTS: u64 = 60;
    let config = config(Wrapper(Probe::new(Arc::new(store))));
    let visitor = user(&config).await;
    let mut sessions = Vec::new();
    for _ in 0..REQUESTS {
        let session = open(&visitor).await;
        session.update("count", increment).expect("update");
        sessions.push(session);
    }
    let mut commits = JoinSet::new();
    for session in sessions {
        commits.spawn(async move { session.commit().await.map(drop) });
    }
    for done in commits.join_all().await {
        done.expect("every update succeeds");
    }
    assert_eq!(value(&visitor, "count").await, Some(REQUESTS));
}

/// Promise 2: a logout that begins before anybody has noticed that the store is such a wrapper stays.
pub async fn a_bare_wrapper_revives_no_session<S: SessionStore>(store: S) {
    let probe = Probe::new(Arc::new(store));
    let config = config(Wrapper(probe.clone()));
    let visitor = user(&config).await;
    let (logout, toucher) = (open(&visitor).await, open(&visitor).await);
    logout.destroy();
    let ending = probe.hold(Op::Destroy);
    let ended = tokio::spawn(async move { logout.commit().await.map(drop) });
    ending.reached().await;

    toucher.touch();
    let writing = probe.hold(Op::Set);
    let touched = tokio::spawn(async move { toucher.commit().await.map(drop) });
    let_it_run(&touched).await;
    drop(ending);
    ended.await.expect("the logout does not panic").expect("the logout is acknowledged");
    drop(writing);
    touched.await.expect("the touch does not panic").expect("touch");
    assert_eq!(open(&visitor).await.origin(), Origin::Unknown, "a touch has brought the session back");
}

/// Promises 1 and 2: a touch through such a wrapper writes nothing back that another request has changed or
/// ended, and a changed id takes over what another request has written.
pub async fn a_bare_wrapper_touches_and_moves_safely<S: SessionStore>(store: S) {
    let probe = Probe::new(Arc::new(store));
    let config = config(Wrapper(probe.clone()));
    for ends in [false, true] {
        let visitor = user(&config).await;
        let (toucher, other) = (open(&visitor).await, open(&visitor).await);
        toucher.touch();
        let held = probe.hold(Op::Set);
        let touched = tokio::spawn(async move { toucher.commit().await.map(drop) });
        held.reached().await;
        if ends {
            other.destroy();
        } else {
            other.insert("n", 7).expect("insert");
        }
        let written = tokio::spawn(async move { other.commit().await.map(drop) });
        let_it_run(&written).await;
        drop(held);
        touched.await.expect("the touch does not panic").expect("touch");
        written.await.expect("the commit does not panic").expect("commit");
        let now = open(&visitor).await;
        assert_eq!(now.origin() == Origin::Unknown, ends, "a touch has brought the session back");
        assert_eq!(now.get::<u64>("n").expect("a number"), (!ends).then_some(7), "a touch has lost a write");
    }
    let mut visitor = user(&config).await;
    let (login, other) = (open(&visitor).await, open(&visitor).await);
    login.cycle_id();
    other.insert("n", 7).expect("insert");
    other.commit().await.map(drop).expect("commit");
    visitor.commit(&login).await.expect("commit");
    assert_eq!(value(&visitor, "n").await, Some(7));
    let gone = Visitor::with_id(&config, &SessionId::random());
    assert_eq!(open(&gone).await.origin(), Origin::Unknown);
}

/// Promise 2: a wrapper that overrides `destroy_if` and leaves `replace` to the trait revives no session
/// either, when a logout is under way while the first write takes its two steps.
pub async fn a_half_wrapper_revives_no_session<S: SessionStore>(store: S) {
    let probe = Probe::new(Arc::new(store));
    let config = config(HalfWrapper(probe.clone()));
    let mut visitor = user(&config).await;
    let login = open(&visitor).await;
    login.cycle_id();
    visitor.commit(&login).await.expect("the store compares versions");

    let (logout, writer) = (open(&visitor).await, open(&visitor).await);
    logout.destroy();
    let ending = probe.hold(Op::Destroy);
    let ended = tokio::spawn(async move { logout.commit().await.map(drop) });
    ending.reached().await;
    writer.insert("late", 1).expect("insert");
    let writing = probe.hold(Op::Set);
    let written = tokio::spawn(async move { writer.commit().await.map(drop) });
    let_it_run(&written).await;
    drop(ending);
    ended.await.expect("the logout does not panic").expect("the logout is acknowledged");
    drop(writing);
    // The write may find the session or not.
    drop(written.await.expect("the commit does not panic"));
    assert_eq!(open(&visitor).await.origin(), Origin::Unknown, "a write has brought the session back");
}
