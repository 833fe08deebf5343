//! [`ErasedStore`]: a store whose type is not known, as a [`SessionConfig`](crate::SessionConfig) holds it.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::stream::BoxStream;

use super::exclusive::{ExclusiveStore, WriteError};
use super::memory::MemoryStore;
use super::{Replaced, SessionStore, Stored};
use crate::clock::ErasedClock;
use crate::error::{StoreError, cause};
use crate::id::SessionId;
use crate::record::Record;
use crate::store::joint::Member;
use crate::store::keyed_locks::{KeyedLocks, RecordLock, Turn};
use crate::store::loaded::{CompareBy, Loaded, ReplaceOutcome};
use crate::store::users::UserIndex;
use crate::store::watched::{Ended, Watched};

/// A store whose type is not known, the locks of the records that this configuration writes, and the sessions
/// whose end somebody waits for: every end in this process passes through here.
///
/// The store is asked with the [keys](SessionId::key) of ids.
pub(crate) struct ErasedStore {
    kind: Kind,
    locks: KeyedLocks,
    watched: Arc<Watched>,
}

/// The memory store is called directly: it answers when its future is polled for the first time, so no future
/// has to be allocated. Each call of any other store allocates one boxed future.
enum Kind {
    /// Invariant: the methods of a `MemoryStore` never wait.
    Memory(MemoryStore),
    Other(ExclusiveStore),
}

/// Calls a method of the store inside and awaits it.
macro_rules! dispatch {
    ($self:ident.$method:ident($($argument:ident),*)) => {
        match &$self.kind {
            Kind::Memory(store) => Ok(SessionStore::$method(store, $($argument),*).await?),
            Kind::Other(store) => store.$method($($argument),*).await,
        }
    };
}

impl ErasedStore {
    /// Recognises a memory store, also behind an `Arc`.
    pub(crate) fn new(store: impl SessionStore) -> Self {
        let locks = KeyedLocks::default();
        let any: &dyn Any = &store;
        let shared = any.downcast_ref::<Arc<MemoryStore>>().map(|shared| &**shared);
        let kind = match any.downcast_ref::<MemoryStore>().or(shared) {
            Some(memory) => Kind::Memory(memory.clone()),
            None => Kind::Other(ExclusiveStore::new(store, locks.clone())),
        };
        Self { kind, locks, watched: Arc::default() }
    }

    /// A store that is known to take one step for each write.
    #[cfg(feature = "cookie-session")]
    pub(crate) fn in_one_step(store: impl SessionStore) -> Self {
        let locks = KeyedLocks::default();
        let kind = Kind::Other(ExclusiveStore::new(store, locks.clone()).in_one_step());
        Self { kind, locks, watched: Arc::default() }
    }

    /// Runs a future that calls this store, and returns its output if it completes without waiting.
    ///
    /// Returns `None` and drops the future if it has to wait, and without polling it if the store is not the
    /// memory store. The future lives on the stack of this call, so it does not make the caller's own future
    /// larger.
    pub(crate) fn now_or_never<F: Future>(&self, work: F) -> Option<F::Output> {
        match self.kind {
            // Invariant: the memory store never waits, so the result is `None` only if something else does.
            Kind::Memory(_) => work.now_or_never(),
            Kind::Other(_) => None,
        }
    }

    /// Whether this is the memory store, which answers at once.
    pub(crate) fn is_memory(&self) -> bool {
        matches!(self.kind, Kind::Memory(_))
    }

    /// The record in the memory store. `None` says nothing of another store.
    pub(crate) fn get_at_once(&self, id: &SessionId) -> Option<Loaded> {
        let Kind::Memory(store) = &self.kind else { return None };
        store.fetch(id.key())
    }

    /// Writes over `base` in the memory store. `false`: nothing was written, here and in the next two methods.
    pub(crate) fn replace_at_once(
        &self,
        id: &SessionId,
        base: &Record,
        record: &Record,
        ttl: Duration,
    ) -> bool {
        let Kind::Memory(store) = &self.kind else { return false };
        matches!(store.swap(id.key(), |now| now.same(base), record, ttl), ReplaceOutcome::Done(_))
    }

    pub(crate) fn touch_at_once(&self, id: &SessionId, ttl: Duration) -> bool {
        matches!(&self.kind, Kind::Memory(store) if store.extend(id.key(), ttl))
    }

    pub(crate) fn create_at_once(&self, id: &SessionId, record: &Record, ttl: Duration) -> bool {
        matches!(&self.kind, Kind::Memory(store) if store.add(id.key(), record, ttl))
    }

    /// How this store detects later writes to a record that it has created without returning a version.
    pub(crate) fn compare_by(&self) -> CompareBy {
        match self.kind {
            Kind::Memory(_) => CompareBy::Record,
            // The first number of a store that counts is not known here. Such a store answers the next write
            // with a conflict, which contains the number.
            Kind::Other(_) => CompareBy::Nothing,
        }
    }

    /// Whether a writer takes the record's lock before its first attempt. In the memory store, that attempt is
    /// over before anyone could wait.
    pub(crate) fn is_locked_to_write(&self) -> bool {
        matches!(self.kind, Kind::Other(_))
    }

    /// Waits until another request has written these changes together with its own, or for the lock of the
    /// record.
    ///
    /// # Errors
    /// [`WriteError::Busy`], and [`WriteError::Store`] if nobody can tell whether the changes were written.
    pub(crate) async fn join(&self, id: &SessionId, member: Member) -> Result<Turn, WriteError> {
        Ok(self.locks.join(id.key(), member).await?)
    }

    /// The lock of a record.
    ///
    /// # Errors
    /// [`WriteError::Busy`].
    pub(crate) async fn lock(&self, id: &SessionId) -> Result<RecordLock, WriteError> {
        Ok(self.locks.lock(id.key()).await?)
    }

    pub(crate) async fn get(
        &self,
        id: &SessionId,
        clock: &ErasedClock,
    ) -> Result<Option<Loaded>, StoreError> {
        match &self.kind {
            Kind::Memory(store) => Ok(store.fetch(id.key())),
            Kind::Other(store) => {
                Ok(store.get(id.key()).await?.map(|stored| Loaded::at(clock.now(), stored)))
            }
        }
    }

    /// The record of a session that this request has loaded, as it is now.
    pub(crate) async fn get_again(
        &self,
        id: &SessionId,
        clock: &ErasedClock,
    ) -> Result<Option<Loaded>, WriteError> {
        absent_if_corrupt(self.get(id, clock).await.map_err(WriteError::from), None)
    }

    pub(crate) async fn set(&self, id: &SessionId, record: &Record, ttl: Duration) -> Result<(), WriteError> {
        let id = id.key();
        dispatch!(self.set(id, record, ttl))
    }

    /// The sessions whose end somebody waits for.
    pub(crate) fn watched(&self) -> &Arc<Watched> {
        &self.watched
    }

    pub(crate) async fn destroy(&self, id: &SessionId) -> Result<(), WriteError> {
        let id = id.key();
        let ending = self.watched.ending(id);
        let destroyed: Result<(), WriteError> = dispatch!(self.destroy(id));
        destroyed?;
        ending.confirmed(Ended::Destroyed);
        Ok(())
    }

    pub(crate) async fn touch(&self, id: &SessionId, ttl: Duration) -> Result<bool, WriteError> {
        let id = id.key();
        absent_if_corrupt(dispatch!(self.touch(id, ttl)), false)
    }

    pub(crate) async fn create(
        &self,
        id: &SessionId,
        record: &Record,
        ttl: Duration,
    ) -> Result<bool, WriteError> {
        let id = id.key();
        dispatch!(self.create(id, record, ttl))
    }

    /// Writes `record` if the store still holds `base`, as far as `compare_by` can tell. `lock` is the lock
    /// of this id, where the caller holds it.
    pub(crate) async fn replace(
        &self,
        lock: &mut Option<RecordLock>,
        id: &SessionId,
        (base, compare_by): (&Record, &CompareBy),
        record: &Record,
        ttl: Duration,
    ) -> Result<ReplaceOutcome, WriteError> {
        let id = id.key();
        match &self.kind {
            Kind::Memory(store) => Ok(store.swap(id, |now| now.same(base), record, ttl)),
            Kind::Other(store) => {
                let answer = store.replace(lock, id, (base, compare_by), record, ttl).await;
                Ok(match absent_if_corrupt(answer, Replaced::Gone)? {
                    Replaced::Done(version) => ReplaceOutcome::Done(Some(version)),
                    Replaced::Conflict(stored) => ReplaceOutcome::Conflict(stored),
                    Replaced::Gone => ReplaceOutcome::Gone,
                })
            }
        }
    }

    /// Removes the record of a session that has got another id, if the store still holds `base`, as far as
    /// `compare_by` can tell. `lock` is the lock of this id, where the caller holds it.
    pub(crate) async fn destroy_if(
        &self,
        lock: &mut Option<RecordLock>,
        id: &SessionId,
        (base, compare_by): (&Record, &CompareBy),
    ) -> Result<Replaced, WriteError> {
        let id = id.key();
        let ending = self.watched.ending(id);
        let answer = match &self.kind {
            Kind::Memory(store) => store.destroy_if(id, &compare_by.expected(base)).await?,
            Kind::Other(store) => {
                let answer = store.destroy_if(lock, id, (base, compare_by)).await;
                absent_if_corrupt(answer, Replaced::Gone)?
            }
        };
        if let Replaced::Done(_) = answer {
            ending.confirmed(Ended::Moved);
        }
        Ok(answer)
    }

    pub(crate) async fn check(&self) -> Result<(), StoreError> {
        match &self.kind {
            Kind::Memory(store) => store.check().await,
            Kind::Other(store) => store.check().await,
        }
    }

    /// The live records under these keys, in the order of the keys.
    pub(crate) async fn get_many(&self, ids: &[SessionId]) -> Result<Vec<Option<Stored>>, StoreError> {
        match &self.kind {
            Kind::Memory(store) => store.get_many(ids).await,
            Kind::Other(store) => store.get_many(ids).await,
        }
    }

    pub(crate) fn users(&self) -> Option<&dyn UserIndex> {
        match &self.kind {
            Kind::Memory(store) => store.users(),
            Kind::Other(store) => store.users(),
        }
    }

    pub(crate) fn watch(&self) -> Option<BoxStream<'static, SessionId>> {
        match &self.kind {
            Kind::Memory(store) => store.watch(),
            Kind::Other(store) => store.watch(),
        }
    }
}

/// Bytes that are no record, where one was when the request began, are no session any more: as when a request
/// loads them, the answer is that the session is `gone`, and the bytes stay.
fn absent_if_corrupt<T>(answer: Result<T, WriteError>, gone: T) -> Result<T, WriteError> {
    match answer {
        Err(WriteError::Store(error)) if error.is_corrupt() => {
            tracing::error!(
                error = cause(&error),
                "a stored session could be decoded when the request began, and cannot any more; the session is gone"
            );
            Ok(gone)
        }
        answer => answer,
    }
}
