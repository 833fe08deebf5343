//! [`HashedIds`]: a store whose sessions the kit checks with hashed ids.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::BoxStream;

use crate::error::StoreError;
use crate::id::SessionId;
use crate::record::Record;
use crate::store::forward::DynStore;
use crate::store::users::UserIndex;
use crate::store::version::Version;
use crate::store::{Replaced, SessionStore, Stored};

/// The same store, for which the checks of [`promises`](crate::testing::promises) set
/// [`hash_ids`](crate::SessionConfigBuilder::hash_ids).
#[derive(Clone)]
pub struct HashedIds(Arc<dyn DynStore>);

impl HashedIds {
    /// The promises are checked over this store with hashed ids.
    pub fn new(store: impl SessionStore) -> Self {
        Self(Arc::new(store))
    }
}

// Written by hand, because the macro forwards to a `SessionStore`, which is no trait object.
impl SessionStore for HashedIds {
    async fn get(&self, id: &SessionId) -> Result<Option<Stored>, StoreError> {
        self.0.get(id).await
    }

    async fn set(&self, id: &SessionId, record: &Record, ttl: Duration) -> Result<(), StoreError> {
        self.0.set(id, record, ttl).await
    }

    async fn destroy(&self, id: &SessionId) -> Result<(), StoreError> {
        self.0.destroy(id).await
    }

    async fn touch(&self, id: &SessionId, ttl: Duration) -> Result<bool, StoreError> {
        self.0.touch(id, ttl).await
    }

    async fn create(&self, id: &SessionId, record: &Record, ttl: Duration) -> Result<bool, StoreError> {
        self.0.create(id, record, ttl).await
    }

    async fn replace(
        &self,
        id: &SessionId,
        expected: &Version,
        record: &Record,
        ttl: Duration,
    ) -> Result<Replaced, StoreError> {
        self.0.replace(id, expected, record, ttl).await
    }

    async fn destroy_if(&self, id: &SessionId, expected: &Version) -> Result<Replaced, StoreError> {
        self.0.destroy_if(id, expected).await
    }

    async fn check(&self) -> Result<(), StoreError> {
        self.0.check().await
    }

    async fn get_many(&self, ids: &[SessionId]) -> Result<Vec<Option<Stored>>, StoreError> {
        self.0.get_many(ids).await
    }

    fn users(&self) -> Option<&dyn UserIndex> {
        self.0.users()
    }

    fn watch(&self) -> Option<BoxStream<'static, SessionId>> {
        self.0.watch()
    }

    fn ids(&self) -> Option<BoxStream<'_, Result<SessionId, StoreError>>> {
        self.0.ids()
    }
}

impl fmt::Debug for HashedIds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HashedIds").finish_non_exhaustive()
    }
}
