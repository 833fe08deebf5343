//! [`ExclusiveStore`]: a store outside of this process' memory, with one writer at a time for each record
//! where the store does not compare and write in one step.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use futures_util::stream::BoxStream;

use super::forward::DynStore;
use super::run_to_end::run_to_end;
use super::{Replaced, SessionStore, Stored};
use crate::error::{SessionError, StoreError};
use crate::id::SessionId;
use crate::record::Record;
use crate::store::keyed_locks::{KeyedLocks, NoTurn, RecordLock};
use crate::store::loaded::CompareBy;
use crate::store::users::UserIndex;
use crate::store::version::Version;

/// A store of any type but the memory store.
///
/// A store that compares and writes in one atomic step is called as it is. Every other store gets one writer
/// at a time for each record, and what a writer has begun runs to its end before the next one begins, also
/// when its request is dropped.
pub(crate) struct ExclusiveStore {
    store: Arc<SteppedStore>,
    locks: KeyedLocks,
}

/// A store, and in how many steps it writes.
struct SteppedStore {
    store: Box<dyn DynStore>,
    /// A [`Steps`], learnt from the store's answers.
    steps: AtomicU8,
}

/// In how many steps a store compares and writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Steps {
    /// The store has returned no record yet.
    Unknown,
    /// `get` returns versions, and no method has compared one yet: they may be a wrapper's.
    Claimed,
    /// As before, but `replace` has compared versions.
    ReplaceCompares,
    /// As before, but `destroy_if` has compared versions, and `replace` has not.
    DestroyIfCompares,
    /// `get` returns versions, and both methods have compared them: every method is one atomic step.
    One,
    /// `get` returns no versions.
    Two,
    /// `get` returns versions without the methods that belong to them: a wrapper passes on what the store
    /// inside returns, and leaves the methods to the trait.
    TwoDespiteVersions,
}

impl Steps {
    /// What is known once a method has compared versions.
    const COMPARING: [Self; 3] = [Self::ReplaceCompares, Self::DestroyIfCompares, Self::One];
}

/// Why a write was not made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WriteError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("other requests kept the record's lock for too long")]
    Busy,
}

impl From<NoTurn> for WriteError {
    fn from(none: NoTurn) -> Self {
        let NoTurn::Lost = none else { return Self::Busy };
        Self::Store(StoreError::unavailable("the task that wrote the record has ended, or does not go on"))
    }
}

impl From<WriteError> for SessionError {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Store(error) => Self::Store(error),
            WriteError::Busy => Self::Conflict,
        }
    }
}

impl ExclusiveStore {
    pub(super) fn new(store: impl SessionStore, locks: KeyedLocks) -> Self {
        let steps = AtomicU8::new(Steps::Unknown as u8);
        Self { store: Arc::new(SteppedStore { store: Box::new(store), steps }), locks }
    }

    /// The same for a store that is known to take one step.
    #[cfg(feature = "cookie-session")]
    pub(super) fn in_one_step(self) -> Self {
        self.store.steps.store(Steps::One as u8, Ordering::Relaxed);
        self
    }

    pub(super) async fn get(&self, id: &SessionId) -> Result<Option<Stored>, StoreError> {
        self.store.get(id).await
    }

    pub(super) async fn set(&self, id: &SessionId, record: &Record, ttl: Duration) -> Result<(), WriteError> {
        if self.store.takes_one_step() {
            return Ok(self.store.store.set(id, record, ttl).await?);
        }
        let (at, record) = (id.clone(), record.clone());
        let work = |store: Arc<SteppedStore>| async move { store.store.set(&at, &record, ttl).await };
        self.alone(&mut None, id, work).await
    }

    pub(super) async fn destroy(&self, id: &SessionId) -> Result<(), WriteError> {
        if self.store.takes_one_step() {
            return Ok(self.store.store.destroy(id).await?);
        }
        let at = id.clone();
        let work = |store: Arc<SteppedStore>| async move { store.store.destroy(&at).await };
        self.alone(&mut None, id, work).await
    }

    pub(super) async fn touch(&self, id: &SessionId, ttl: Duration) -> Result<bool, WriteError> {
        if self.store.takes_one_step() {
            let answer = self.store.store.touch(id, ttl).await;
            if !self.store.is_not_overridden(&answer) {
                return Ok(answer?);
            }
        }
        let at = id.clone();
        let work = |store: Arc<SteppedStore>| async move { store.touch(&at, ttl).await };
        self.alone(&mut None, id, work).await
    }

    pub(super) async fn create(
        &self,
        id: &SessionId,
        record: &Record,
        ttl: Duration,
    ) -> Result<bool, WriteError> {
        if self.store.takes_one_step() {
            return Ok(self.store.store.create(id, record, ttl).await?);
        }
        let (at, record) = (id.clone(), record.clone());
        let work = |store: Arc<SteppedStore>| async move { store.store.create(&at, &record, ttl).await };
        self.alone(&mut None, id, work).await
    }

    /// `lock` is the lock of this id, where the caller holds it.
    pub(super) async fn replace(
        &self,
        lock: &mut Option<RecordLock>,
        id: &SessionId,
        (base, compare_by): (&Record, &CompareBy),
        record: &Record,
        ttl: Duration,
    ) -> Result<Replaced, WriteError> {
        let expected = compare_by.expected(base);
        if self.store.takes_one_step() {
            let answer = self.store.store.replace(id, &expected, record, ttl).await;
            if !self.store.is_not_overridden(&answer) {
                return Ok(answer?);
            }
        }
        let (at, base, record) = (id.clone(), base.clone(), record.clone());
        let work = |store: Arc<SteppedStore>| async move {
            store.replace(&at, (&base, &expected), &record, ttl).await
        };
        self.alone(lock, id, work).await
    }

    /// `lock` is the lock of this id, where the caller holds it.
    pub(super) async fn destroy_if(
        &self,
        lock: &mut Option<RecordLock>,
        id: &SessionId,
        (base, compare_by): (&Record, &CompareBy),
    ) -> Result<Replaced, WriteError> {
        let expected = compare_by.expected(base);
        if self.store.takes_one_step() {
            let answer = self.store.store.destroy_if(id, &expected).await;
            if !self.store.is_not_overridden(&answer) {
                return Ok(answer?);
            }
        }
        let (at, base) = (id.clone(), base.clone());
        let work = |store: Arc<SteppedStore>| async move { store.destroy_if(&at, (&base, &expected)).await };
        self.alone(lock, id, work).await
    }

    pub(super) async fn check(&self) -> Result<(), StoreError> {
        self.store.store.check().await
    }

    pub(super) async fn get_many(&self, ids: &[SessionId]) -> Result<Vec<Option<Stored>>, StoreError> {
        let mut found = self.store.store.get_many(ids).await?;
        found.iter_mut().flatten().for_each(|stored| self.store.learn(stored));
        Ok(found)
    }

    pub(super) fn users(&self) -> Option<&dyn UserIndex> {
        self.store.store.users()
    }

    pub(super) fn watch(&self) -> Option<BoxStream<'static, SessionId>> {
        self.store.store.watch()
    }

    /// Does `work` as the only writer of a record, to its end.
    async fn alone<T, F>(
        &self,
        lock: &mut Option<RecordLock>,
        id: &SessionId,
        work: impl FnOnce(Arc<SteppedStore>) -> F,
    ) -> Result<T, WriteError>
    where
        T: Send,
        F: Future<Output = Result<T, StoreError>> + Send + 'static,
    {
        let held = match lock.take() {
            Some(held) => held,
            None => self.locks.lock(id).await?,
        };
        let work = work(Arc::clone(&self.store));
        // Invariant: the work owns the lock, so the lock is free only when the work is over.
        let (answer, held) = run_to_end(async move { (work.await, held) }).await;
        *lock = Some(held);
        Ok(answer?)
    }
}

/// The calls, in two steps where a provided method has noticed that it was not overridden.
impl SteppedStore {
    async fn get(&self, id: &SessionId) -> Result<Option<Stored>, StoreError> {
        let mut stored = self.store.get(id).await?;
        if let Some(stored) = &mut stored {
            self.learn(stored);
        }
        Ok(stored)
    }

    async fn touch(&self, id: &SessionId, ttl: Duration) -> Result<bool, StoreError> {
        let answer = self.store.touch(id, ttl).await;
        if !self.is_not_overridden(&answer) {
            return answer;
        }
        let Some(stored) = self.get(id).await? else { return Ok(false) };
        self.store.set(id, &stored.record, ttl).await?;
        Ok(true)
    }

    async fn replace(
        &self,
        id: &SessionId,
        (base, expected): (&Record, &Version),
        record: &Record,
        ttl: Duration,
    ) -> Result<Replaced, StoreError> {
        let answer = self.store.replace(id, expected, record, ttl).await;
        if !self.is_not_overridden(&answer) {
            self.learn_from(&answer, Steps::ReplaceCompares);
            return answer;
        }
        match self.get(id).await? {
            None => Ok(Replaced::Gone),
            Some(stored) if !stored.record.same(base) => Ok(Replaced::Conflict(stored)),
            Some(_) => self.store.set(id, record, ttl).await.map(|()| Replaced::Done(Version::of(record))),
        }
    }

    async fn destroy_if(
        &self,
        id: &SessionId,
        (base, expected): (&Record, &Version),
    ) -> Result<Replaced, StoreError> {
        let answer = self.store.destroy_if(id, expected).await;
        if !self.is_not_overridden(&answer) {
            self.learn_from(&answer, Steps::DestroyIfCompares);
            return answer;
        }
        match self.get(id).await? {
            None => Ok(Replaced::Gone),
            Some(stored) if !stored.record.same(base) => Ok(Replaced::Conflict(stored)),
            Some(_) => self.store.destroy(id).await.map(|()| Replaced::Done(expected.clone())),
        }
    }

    fn takes_one_step(&self) -> bool {
        self.steps.load(Ordering::Relaxed) == Steps::One as u8
    }

    /// Learns from a record that the store has returned. Versions that the store does not compare are
    /// dropped.
    fn learn(&self, stored: &mut Stored) {
        let known = self.steps.load(Ordering::Relaxed);
        if known == Steps::TwoDespiteVersions as u8 {
            stored.version = None;
            return;
        }
        let steps = match &stored.version {
            Some(_) if Steps::COMPARING.iter().any(|steps| known == *steps as u8) => return,
            Some(_) => Steps::Claimed,
            None => Steps::Two,
        };
        if known != steps as u8 {
            self.steps.store(steps as u8, Ordering::Relaxed);
        }
    }

    /// Learns from a method that compares versions, which is `seen`. Until both methods have compared them,
    /// every write holds the record's lock: a write that began without it could come between the two
    /// steps of another request that notices meanwhile that a wrapper leaves a method to the trait.
    fn learn_from(&self, answer: &Result<Replaced, StoreError>, seen: Steps) {
        let compares = match answer {
            Ok(Replaced::Done(_)) => true,
            Ok(Replaced::Conflict(stored)) => stored.version.is_some(),
            // A provided method says this as well.
            Ok(Replaced::Gone) | Err(_) => false,
        };
        if compares {
            let both = |known: u8| match known {
                _ if known == Steps::Claimed as u8 => Some(seen as u8),
                // The other method has compared them before.
                _ if known != seen as u8 && Steps::COMPARING.iter().any(|steps| known == *steps as u8) => {
                    Some(Steps::One as u8)
                }
                // In every other state the answer says nothing new.
                _ => None,
            };
            let _ = self.steps.fetch_update(Ordering::Relaxed, Ordering::Relaxed, both);
        }
    }

    /// Whether a provided method has noticed that the versions come without the methods that belong to them.
    fn is_not_overridden<T>(&self, answer: &Result<T, StoreError>) -> bool {
        if !answer.as_ref().is_err_and(StoreError::is_not_overridden) {
            return false;
        }
        let two = Steps::TwoDespiteVersions as u8;
        if self.steps.swap(two, Ordering::Relaxed) != two {
            tracing::error!(
                "the session store returns versions but does not override the methods that compare them; sessions \
                 keep their promises within this process only: forward every method with `sessile::forward_store!`"
            );
        }
        true
    }
}
