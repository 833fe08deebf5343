//! [`Probe`]: a store that counts its calls, and lets them fail or wait on request.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use tokio::sync::Semaphore;

use crate::error::StoreError;
use crate::id::SessionId;
use crate::record::Record;
use crate::store::users::UserIndex;
use crate::store::version::Version;
use crate::store::{Replaced, SessionStore, Stored};
use crate::sync::lock;

/// A method of [`SessionStore`] or of its [`UserIndex`].
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
    Check,
    GetMany,
    /// [`UserIndex::read`].
    ReadUser,
    /// [`UserIndex::append`].
    AppendUser,
    /// [`UserIndex::replace`].
    ReplaceUser,
}

/// A wrapper around a store, for tests. It counts the calls, can make a chosen one fail or wait, and yields
/// to other tasks before and after each.
///
/// A clone is another handle: its calls are counted together with those of the original.
#[derive(Debug, Clone)]
pub struct Probe<S> {
    store: S,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug, Default)]
struct Shared {
    calls: HashMap<Op, u64>,
    /// The interventions that are still to happen, each of them once.
    plans: Vec<Plan>,
}

#[derive(Debug)]
struct Plan {
    /// The method whose calls are meant; `None`: every method.
    op: Option<Op>,
    /// How many of these calls pass before the intervention.
    skip: u64,
    intervention: Intervention,
}

/// What a probe does to a call.
#[derive(Debug, Clone)]
enum Intervention {
    /// The call fails as unavailable; the store is not called.
    Fail,
    /// The store is called, and the call fails as unavailable.
    LoseAnswer,
    /// The call fails as corrupt; the store is not called.
    Corrupt,
    /// The call waits at the gate before it reaches the store.
    Hold(Arc<Gate>),
    /// The call waits at the gate after the store has answered.
    HoldAnswer(Arc<Gate>),
}

/// Where a call waits. Each semaphore starts with no permit.
#[derive(Debug)]
struct Gate {
    reached: Semaphore,
    released: Semaphore,
}

impl Gate {
    fn new() -> Arc<Self> {
        Arc::new(Self { reached: Semaphore::new(0), released: Semaphore::new(0) })
    }

    async fn pass(&self) {
        self.reached.add_permits(1);
        let permit = self.released.acquire().await.expect("the semaphore is never closed");
        permit.forget();
    }
}

/// A call of a [`Probe`] that waits. Dropping the `Hold` lets the call continue.
#[derive(Debug)]
#[must_use = "the call continues when the `Hold` is dropped"]
pub struct Hold(Arc<Gate>);

impl Hold {
    /// Waits until the call has arrived at the probe and waits there.
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

    /// How many times this method was called.
    pub fn calls(&self, op: Op) -> u64 {
        self.shared().calls.get(&op).copied().unwrap_or(0)
    }

    /// How many calls there were, of all methods together.
    pub fn total(&self) -> u64 {
        self.shared().calls.values().sum()
    }

    /// Sets all counts to zero. What is planned for later calls stays planned.
    pub fn reset(&self) {
        self.shared().calls.clear();
    }

    /// Makes the `n`-th call from now (0: the next one) fail as unavailable, without calling the store.
    /// `None` counts the calls of every method.
    pub fn fail(&self, op: impl Into<Option<Op>>, n: u64) {
        self.plan(op.into(), n, Intervention::Fail);
    }

    /// Lets the store carry out the `n`-th call from now and makes the call fail all the same, as it does
    /// when the connection drops before the answer.
    pub fn lose_answer(&self, op: impl Into<Option<Op>>, n: u64) {
        self.plan(op.into(), n, Intervention::LoseAnswer);
    }

    /// Makes the `n`-th `get` from now find a record that cannot be decoded.
    pub fn corrupt(&self, n: u64) {
        self.plan(Some(Op::Get), n, Intervention::Corrupt);
    }

    /// Makes the next call of this method wait, before it reaches the store, until the [`Hold`] is dropped.
    pub fn hold(&self, op: Op) -> Hold {
        self.hold_nth(op, 0)
    }

    /// Makes the `n`-th call from now (0: the next one) wait, before it reaches the store, until the [`Hold`]
    /// is dropped. `None` counts the calls of every method.
    pub fn hold_nth(&self, op: impl Into<Option<Op>>, n: u64) -> Hold {
        let gate = Gate::new();
        self.plan(op.into(), n, Intervention::Hold(Arc::clone(&gate)));
        Hold(gate)
    }

    /// Lets the store carry out the next call of this method, and makes its answer wait until the [`Hold`] is
    /// dropped.
    pub fn hold_answer(&self, op: Op) -> Hold {
        let gate = Gate::new();
        self.plan(Some(op), 0, Intervention::HoldAnswer(Arc::clone(&gate)));
        Hold(gate)
    }

    fn plan(&self, op: Option<Op>, skip: u64, intervention: Intervention) {
        self.shared().plans.push(Plan { op, skip, intervention });
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        lock(&self.shared)
    }

    /// Counts a call and returns what is planned for it. If several plans are due, the others wait for the
    /// next call.
    fn begin_call(&self, op: Op) -> Option<Intervention> {
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
        due.map(|at| shared.plans.remove(at).intervention)
    }

    async fn call<T>(
        &self,
        op: Op,
        work: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let intervention = self.begin_call(op);
        tokio::task::yield_now().await;
        match &intervention {
            Some(Intervention::Fail) => return Err(StoreError::unavailable("the probe failed this call")),
            Some(Intervention::Corrupt) => return Err(StoreError::corrupt("the probe spoilt this record")),
            Some(Intervention::Hold(gate)) => gate.pass().await,
            Some(Intervention::LoseAnswer | Intervention::HoldAnswer(_)) | None => {}
        }
        let answer = work.await;
        tokio::task::yield_now().await;
        match intervention {
            Some(Intervention::LoseAnswer) => Err(StoreError::unavailable("the probe lost this answer")),
            Some(Intervention::HoldAnswer(gate)) => {
                gate.pass().await;
                answer
            }
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

    async fn check(&self) -> Result<(), StoreError> {
        self.call(Op::Check, self.store.check()).await
    }

    async fn get_many(&self, ids: &[SessionId]) -> Result<Vec<Option<Stored>>, StoreError> {
        self.call(Op::GetMany, self.store.get_many(ids)).await
    }

    fn users(&self) -> Option<&dyn UserIndex> {
        self.store.users().map(|_| self as &dyn UserIndex)
    }

    fn watch(&self) -> Option<BoxStream<'static, SessionId>> {
        self.store.watch()
    }

    fn ids(&self) -> Option<BoxStream<'_, Result<SessionId, StoreError>>> {
        self.store.ids()
    }
}

impl<S: SessionStore> Probe<S> {
    fn index(&self) -> Result<&dyn UserIndex, StoreError> {
        self.store.users().ok_or_else(|| StoreError::unsupported("a list of a user's sessions"))
    }
}

impl<S: SessionStore> UserIndex for Probe<S> {
    fn read<'a>(&'a self, user: &'a str) -> BoxFuture<'a, Result<String, StoreError>> {
        Box::pin(self.call(Op::ReadUser, async move { self.index()?.read(user).await }))
    }

    fn append<'a>(&'a self, user: &'a str, line: &'a str) -> BoxFuture<'a, Result<String, StoreError>> {
        Box::pin(self.call(Op::AppendUser, async move { self.index()?.append(user, line).await }))
    }

    fn replace<'a>(
        &'a self,
        user: &'a str,
        expected: &'a str,
        text: &'a str,
    ) -> BoxFuture<'a, Result<bool, StoreError>> {
        Box::pin(self.call(Op::ReplaceUser, async move { self.index()?.replace(user, expected, text).await }))
    }
}
