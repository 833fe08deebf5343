//! [`ErasedStore`]: a store whose type is not known, as a [`SessionConfig`](crate::SessionConfig) holds it.
//! Every method of the contract is forwarded here, in the order of [`SessionStore`].

use std::any::Any;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;

use super::memory::MemoryStore;
use super::{Replaced, SessionStore, Stored};
use crate::clock::ErasedClock;
use crate::error::StoreError;
use crate::id::SessionId;
use crate::record::Record;
use crate::store::loaded::{CompareBy, Loaded, ReplaceOutcome};
use crate::store::version::Version;

/// A store behind an `Arc` is a store.
impl<S: SessionStore> SessionStore for Arc<S> {
    async fn get(&self, id: &SessionId) -> Result<Option<Stored>, StoreError> {
        (**self).get(id).await
    }

    async fn set(&self, id: &SessionId, record: &Record, ttl: Duration) -> Result<(), StoreError> {
        (**self).set(id, record, ttl).await
    }

    async fn destroy(&self, id: &SessionId) -> Result<(), StoreError> {
        (**self).destroy(id).await
    }

    async fn touch(&self, id: &SessionId, ttl: Duration) -> Result<bool, StoreError> {
        (**self).touch(id, ttl).await
    }

    async fn create(&self, id: &SessionId, record: &Record, ttl: Duration) -> Result<bool, StoreError> {
        (**self).create(id, record, ttl).await
    }

    async fn replace(
        &self,
        id: &SessionId,
        expected: &Version,
        record: &Record,
        ttl: Duration,
    ) -> Result<Replaced, StoreError> {
        (**self).replace(id, expected, record, ttl).await
    }

    async fn destroy_if(&self, id: &SessionId, expected: &Version) -> Result<Replaced, StoreError> {
        (**self).destroy_if(id, expected).await
    }
}

/// A store whose type is not known.
///
/// The memory store is called directly: it answers when its future is polled for the first time, so no future
/// has to be allocated. Each call of any other store allocates one boxed future.
pub(crate) enum ErasedStore {
    /// Invariant: the methods of a `MemoryStore` never wait.
    Memory(MemoryStore),
    Other(Box<dyn DynStore>),
}

/// Calls a method of the store inside and awaits it.
macro_rules! dispatch {
    ($self:ident.$method:ident($($argument:ident),*)) => {
        match $self {
            Self::Memory(store) => SessionStore::$method(store, $($argument),*).await,
            Self::Other(store) => store.$method($($argument),*).await,
        }
    };
}

impl ErasedStore {
    /// Recognises a memory store, also behind an `Arc`.
    pub(crate) fn new(store: impl SessionStore) -> Self {
        let any: &dyn Any = &store;
        let shared = any.downcast_ref::<Arc<MemoryStore>>().map(|shared| &**shared);
        match any.downcast_ref::<MemoryStore>().or(shared) {
            Some(memory) => Self::Memory(memory.clone()),
            None => Self::Other(Box::new(store)),
        }
    }

    /// Runs a future that calls this store, and returns its output if it completes without waiting.
    ///
    /// Returns `None` and drops the future if it has to wait, and without polling it if the store is not the
    /// memory store. The future lives on the stack of this call, so it does not make the caller's own future
    /// larger.
    pub(crate) fn now_or_never<F: Future>(&self, work: F) -> Option<F::Output> {
        match self {
            // Invariant: the memory store never waits, so the result is `None` only if something else does.
            Self::Memory(_) => work.now_or_never(),
            Self::Other(_) => None,
        }
    }

    pub(crate) async fn get(
        &self,
        id: &SessionId,
        clock: &ErasedClock,
    ) -> Result<Option<Loaded>, StoreError> {
        match self {
            Self::Memory(store) => Ok(store.fetch(id)),
            Self::Other(store) => Ok(store.get(id).await?.map(|stored| Loaded::at(clock.now(), stored))),
        }
    }

    /// How this store detects later writes to a record that it has created without returning a version.
    pub(crate) fn compare_by(&self) -> CompareBy {
        match self {
            Self::Memory(_) => CompareBy::Record,
            // The first number of a store that counts is not known here. Such a store answers the next write
            // with a conflict, which contains the number.
            Self::Other(_) => CompareBy::Nothing,
        }
    }

    pub(crate) async fn set(&self, id: &SessionId, record: &Record, ttl: Duration) -> Result<(), StoreError> {
        dispatch!(self.set(id, record, ttl))
    }

    pub(crate) async fn destroy(&self, id: &SessionId) -> Result<(), StoreError> {
        dispatch!(self.destroy(id))
    }

    pub(crate) async fn touch(&self, id: &SessionId, ttl: Duration) -> Result<bool, StoreError> {
        dispatch!(self.touch(id, ttl))
    }

    pub(crate) async fn create(
        &self,
        id: &SessionId,
        record: &Record,
        ttl: Duration,
    ) -> Result<bool, StoreError> {
        dispatch!(self.create(id, record, ttl))
    }

    /// Writes `record` if the store still holds `base`, as far as `compare_by` can tell.
    pub(crate) async fn replace(
        &self,
        id: &SessionId,
        (base, compare_by): (&Record, &CompareBy),
        record: &Record,
        ttl: Duration,
    ) -> Result<ReplaceOutcome, StoreError> {
        match self {
            Self::Memory(store) => Ok(store.swap(id, |now| now.same(base), record, ttl)),
            Self::Other(store) => {
                Ok(match store.replace(id, &compare_by.expected(base), record, ttl).await? {
                    Replaced::Done(version) => ReplaceOutcome::Done(Some(version)),
                    Replaced::Conflict(stored) => ReplaceOutcome::Conflict(stored),
                    Replaced::Gone => ReplaceOutcome::Gone,
                })
            }
        }
    }

    pub(crate) async fn destroy_if(
        &self,
        id: &SessionId,
        expected: &Version,
    ) -> Result<Replaced, StoreError> {
        dispatch!(self.destroy_if(id, expected))
    }
}

type Boxed<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// [`SessionStore`] with boxed futures, so that it can be a trait object.
pub(crate) trait DynStore: Send + Sync {
    fn get<'a>(&'a self, id: &'a SessionId) -> Boxed<'a, Option<Stored>>;
    fn set<'a>(&'a self, id: &'a SessionId, record: &'a Record, ttl: Duration) -> Boxed<'a, ()>;
    fn destroy<'a>(&'a self, id: &'a SessionId) -> Boxed<'a, ()>;
    fn touch<'a>(&'a self, id: &'a SessionId, ttl: Duration) -> Boxed<'a, bool>;
    fn create<'a>(&'a self, id: &'a SessionId, record: &'a Record, ttl: Duration) -> Boxed<'a, bool>;
    fn replace<'a>(
        &'a self,
        id: &'a SessionId,
        expected: &'a Version,
        record: &'a Record,
        ttl: Duration,
    ) -> Boxed<'a, Replaced>;
    fn destroy_if<'a>(&'a self, id: &'a SessionId, expected: &'a Version) -> Boxed<'a, Replaced>;
}

impl<S: SessionStore> DynStore for S {
    fn get<'a>(&'a self, id: &'a SessionId) -> Boxed<'a, Option<Stored>> {
        Box::pin(SessionStore::get(self, id))
    }

    fn set<'a>(&'a self, id: &'a SessionId, record: &'a Record, ttl: Duration) -> Boxed<'a, ()> {
        Box::pin(SessionStore::set(self, id, record, ttl))
    }

    fn destroy<'a>(&'a self, id: &'a SessionId) -> Boxed<'a, ()> {
        Box::pin(SessionStore::destroy(self, id))
    }

    fn touch<'a>(&'a self, id: &'a SessionId, ttl: Duration) -> Boxed<'a, bool> {
        Box::pin(SessionStore::touch(self, id, ttl))
    }

    fn create<'a>(&'a self, id: &'a SessionId, record: &'a Record, ttl: Duration) -> Boxed<'a, bool> {
        Box::pin(SessionStore::create(self, id, record, ttl))
    }

    fn replace<'a>(
        &'a self,
        id: &'a SessionId,
        expected: &'a Version,
        record: &'a Record,
        ttl: Duration,
    ) -> Boxed<'a, Replaced> {
        Box::pin(SessionStore::replace(self, id, expected, record, ttl))
    }

    fn destroy_if<'a>(&'a self, id: &'a SessionId, expected: &'a Version) -> Boxed<'a, Replaced> {
        Box::pin(SessionStore::destroy_if(self, id, expected))
    }
}
