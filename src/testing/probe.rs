//! A store that counts, yields, fails and waits on request.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;

use crate::error::StoreError;
use crate::id::SessionId;
use crate::record::Record;
use crate::store::version::Version;
use crate::store::{Replaced, SessionStore, Stored};

/// A method of [`SessionStore`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Op {
    Get,
    Set,
    Destroy,
    Touch,
    Create,
    Replace,
    DestroyIf,
}

/// Wraps a store: counts the calls, lets one fail, gives way to other tasks at each, and can hold one at a barrier.
///
/// A clone is another handle on the same probe.
#[derive(Debug, Clone)]
pub struct Probe<S> {
    store: S,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug, Default)]
struct Shared {
    calls: HashMap<Op, u64>,
    /// What is to happen to the calls to come, each once.
    plans: Vec<Plan>,
}

#[derive(Debug)]
struct Plan {
    /// `None`: calls of every kind count.
    op: Option<Op>,
    /// So many matching calls pass before.
    skip: u64,
    what: What,
}

#[derive(Debug, Clone)]
enum What {
    /// Unavailable; the store is not asked.
    Fail,
    /// The store does it, and the answer is lost.
    LoseAnswer,
    /// The record cannot be decoded; the store is not asked.
    Corrupt,
    Hold(Arc<Gate>),
}

#[derive(Debug)]
struct Gate {
    reached: Semaphore,
    released: Semaphore,
}

/// A call of a [`Probe`] that waits. Dropping this lets it go on.
#[derive(Debug)]
#[must_use = "the call goes on when this is dropped"]
pub struct Hold(Arc<Gate>);

impl Hold {
    /// Waits until the call is there.
    pub async fn reached(&self) {
        let permit = self.0.reached.acquire().await.expect("the semaphore is never closed");
        permit.forget();
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.0.released.add_permits(1);
    }
}

impl<S> Probe<S> {
    /// A probe around a store.
    pub fn new(store: S) -> Self {
        Self { store, shared: Arc::default() }
    }

    /// The store inside.
    pub fn inner(&self) -> &S {
        &self.store
    }

    /// How many calls of this method there were.
    pub fn calls(&self, op: Op) -> u64 {
        self.shared().calls.get(&op).copied().unwrap_or(0)
    }

    /// How many calls there were of all methods.
    pub fn total(&self) -> u64 {
        self.shared().calls.values().sum()
    }

    /// Counts anew from zero.
    pub fn reset(&self) {
        self.shared().calls.clear();
    }

    /// The `n`-th call from now (0: the next), of this method or of any, fails as unavailable without reaching the store.
    pub fn fail(&self, op: impl Into<Option<Op>>, n: u64) {
        self.plan(op.into(), n, What::Fail);
    }

    /// The `n`-th call from now is request_cookie out and fails all the same, as when the connection drops before the answer.
    pub fn lose_answer(&self, op: impl Into<Option<Op>>, n: u64) {
        self.plan(op.into(), n, What::LoseAnswer);
    }

    /// The `n`-th `get` from now finds a record that cannot be decoded.
    pub fn corrupt(&self, n: u64) {
        self.plan(Some(Op::Get), n, What::Corrupt);
    }

    /// The next call of this method waits, before it reaches the store, until the [`Hold`] is dropped.
    pub fn hold(&self, op: Op) -> Hold {
        let gate = Arc::new(Gate { reached: Semaphore::new(0), released: Semaphore::new(0) });
        self.plan(Some(op), 0, What::Hold(Arc::clone(&gate)));
        Hold(gate)
    }

    fn plan(&self, op: Option<Op>, skip: u64, what: What) {
        self.shared().plans.push(Plan { op, skip, what });
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a call and says what is to happen to it.
    fn enter(&self, op: Op) -> Option<What> {
        let mut shared = self.shared();
        *shared.calls.entry(op).or_default() += 1;
        let mut due = None;
        for (at, plan) in shared.plans.iter_mut().enumerate() {
            if plan.op.is_some_and(|planned| planned != op) {
                continue;
            }
            if plan.skip == 0 && due.is_none() {
                due = Some(at);
            }
            plan.skip = plan.skip.saturating_sub(1);
        }
        due.map(|at| shared.plans.remove(at).what)
    }

    async fn call<T>(
        &self,
        op: Op,
        work: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let what = self.enter(op);
        tokio::task::yield_now().await;
        match &what {
            Some(What::Fail) => return Err(StoreError::unavailable("the probe failed this call")),
            Some(What::Corrupt) => return Err(StoreError::corrupt("the probe spoilt this record")),
            Some(What::Hold(gate)) => {
                gate.reached.add_permits(1);
                let permit = gate.released.acquire().await.expect("the semaphore is never closed");
                permit.forget();
            }
            Some(What::LoseAnswer) | None => {}
        }
        let answer = work.await;
        tokio::task::yield_now().await;
        match what {
            Some(What::LoseAnswer) => Err(StoreError::unavailable("the probe lost this answer")),
            _ => answer,
        }
    }
}

impl<S: SessionStore> SessionStore for Probe<S> {
    async fn get(&self, id: &SessionId) -> Result<Option<Stored>, StoreError> {
        self.call(Op::Get, self.store.get(id)).await
    }

    async fn set(&self, id: &SessionId, record: &Record, ttl: Duration) -> Result<(), StoreError> {
        self.call(Op::Set, self.store.set(id, record, ttl)).await
    }

    async fn destroy(&self, id: &SessionId) -> Result<(), StoreError> {
        self.call(Op::Destroy, self.store.destroy(id)).await
    }

    async fn touch(&self, id: &SessionId, ttl: Duration) -> Result<bool, StoreError> {
        self.call(Op::Touch, self.store.touch(id, ttl)).await
    }

    async fn create(&self, id: &SessionId, record: &Record, ttl: Duration) -> Result<bool, StoreError> {
        self.call(Op::Create, self.store.create(id, record, ttl)).await
    }

    async fn replace(
        &self,
        id: &SessionId,
        expected: &Version,
        record: &Record,
        ttl: Duration,
    ) -> Result<Replaced, StoreError> {
        self.call(Op::Replace, self.store.replace(id, expected, record, ttl)).await
    }

    async fn destroy_if(&self, id: &SessionId, expected: &Version) -> Result<Replaced, StoreError> {
        self.call(Op::DestroyIf, self.store.destroy_if(id, expected)).await
    }
}
