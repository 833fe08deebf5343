//! [`Side`]: one of the two stores between which sessions move.

use std::sync::Arc;
use std::time::Duration;

use crate::error::StoreError;
use crate::id::SessionId;
use crate::record::Record;
use crate::store::exclusive::{ExclusiveStore, WriteError};
use crate::store::forward::DynStore;
use crate::store::keyed_locks::KeyedLocks;
use crate::store::loaded::CompareBy;
use crate::store::version::Version;
use crate::store::{Replaced, SessionStore, Stored};

/// How many sessions are read in one call, and moved before a drain's figures are returned.
pub(super) const PAGE: usize = 256;

/// How often a conditional write is asked for at most, where the store holds the expected bytes under another
/// version.
const ATTEMPTS: u32 = 64;

/// How long a session lives on where the store does not say how long it still would, and the session itself
/// does not either.
const UNKNOWN_LIFE: Duration = Duration::from_secs(86_400);

/// One of the two stores. Where it cannot compare and write in one step, one caller at a time writes to a
/// record, and what was begun is carried to its end: the writes of one process are atomic among each other.
pub(super) struct Side {
    exclusive: ExclusiveStore,
    pub(super) store: Arc<dyn DynStore>,
}

impl Side {
    pub(super) fn new(store: impl SessionStore) -> Self {
        let store = Arc::new(store);
        Self { exclusive: ExclusiveStore::new(Arc::clone(&store), KeyedLocks::default()), store }
    }

    pub(super) async fn get(&self, id: &SessionId) -> Result<Option<Stored>, StoreError> {
        self.exclusive.get(id).await
    }

    pub(super) async fn get_many(&self, ids: &[SessionId]) -> Result<Vec<Option<Stored>>, StoreError> {
        self.exclusive.get_many(ids).await
    }

    pub(super) async fn set(&self, id: &SessionId, record: &Record, ttl: Duration) -> Result<(), StoreError> {
        self.exclusive.set(id, record, ttl).await.map_err(store_error)
    }

    pub(super) async fn create(
        &self,
        id: &SessionId,
        record: &Record,
        ttl: Duration,
    ) -> Result<bool, StoreError> {
        self.exclusive.create(id, record, ttl).await.map_err(store_error)
    }

    pub(super) async fn touch(&self, id: &SessionId, ttl: Duration) -> Result<bool, StoreError> {
        self.exclusive.touch(id, ttl).await.map_err(store_error)
    }

    pub(super) async fn destroy(&self, id: &SessionId) -> Result<(), StoreError> {
        self.exclusive.destroy(id).await.map_err(store_error)
    }

    /// Writes over what was read, if it is still there.
    pub(super) async fn replace(
        &self,
        id: &SessionId,
        base: &Stored,
        record: &Record,
        ttl: Duration,
    ) -> Result<Replaced, StoreError> {
        self.write_if(id, base, Some((record, ttl))).await
    }

    /// Removes what was read, if it is still there.
    pub(super) async fn destroy_if(&self, id: &SessionId, base: &Stored) -> Result<Replaced, StoreError> {
        self.write_if(id, base, None).await
    }

    /// Writes a record, or removes what is there. The store is asked again where it counts writes, and has the
    /// expected bytes under a number that is not known yet, as after a `create`.
    async fn write_if(
        &self,
        id: &SessionId,
        base: &Stored,
        write: Option<(&Record, Duration)>,
    ) -> Result<Replaced, StoreError> {
        let mut base = base.clone();
        for _ in 0..ATTEMPTS {
            let compare_by = base.version.clone().map_or(CompareBy::Nothing, CompareBy::Version);
            let expected = (&base.record, &compare_by);
            let answer = match write {
                Some((record, ttl)) => self.exclusive.replace(&mut None, id, expected, record, ttl).await,
                None => self.exclusive.destroy_if(&mut None, id, expected).await,
            };
            match answer.map_err(store_error)? {
                Replaced::Conflict(now) if now.record.same(&base.record) && now.version != base.version => {
                    base = now;
                }
                answer => return Ok(answer),
            }
        }
        Err(StoreError::unavailable(WriteError::Busy))
    }
}

/// Other requests kept the record's lock for too long.
fn store_error(error: WriteError) -> StoreError {
    match error {
        WriteError::Store(error) => error,
        busy @ WriteError::Busy => StoreError::unavailable(busy),
    }
}

/// Whether a later write may take this record for the one that it was made from.
pub(super) fn is_expected(stored: &Stored, expected: &Version) -> bool {
    stored.version.as_ref() == Some(expected) || expected.is_of(&stored.record)
}

/// How long a record still lives.
pub(super) fn rest(stored: &Stored) -> Duration {
    let rest = stored.expires_in.or(stored.record.max_age()).unwrap_or(UNKNOWN_LIFE);
    // It was there a moment ago, and some stores take no life of zero.
    rest.max(Duration::from_secs(1))
}
