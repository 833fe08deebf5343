//! The stores under test.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sessile::{
    FileStore, MemoryStore, Record, Replaced, SessionId, SessionStore, StoreError, Stored, Version,
};

const DAY: Duration = Duration::from_secs(86_400);

/// A store, and the way to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StoreKind {
    /// `MemoryStore` as it is: no call waits.
    Memory,
    /// `MemoryStore` behind a wrapper that overrides everything.
    WrappedMemory,
    /// A store that counts a record's writes.
    Versioned,
    /// A store of three methods.
    ThreeMethods,
    /// A wrapper of three methods around a store that counts writes: it passes the versions on.
    PassingWrapper,
    /// `FileStore`.
    File,
    /// `RedisStore`, on a real server.
    Redis,
    /// `SqliteStore`.
    Sqlite,
}

impl StoreKind {
    /// All of them. A seed's remainder by their number names one.
    pub const ALL: [Self; 8] = [
        Self::Memory,
        Self::WrappedMemory,
        Self::Versioned,
        Self::ThreeMethods,
        Self::PassingWrapper,
        Self::File,
        Self::Redis,
        Self::Sqlite,
    ];

    /// The store that a seed is about.
    #[must_use]
    pub fn of_seed(seed: u64) -> Self {
        Self::ALL[(seed % Self::ALL.len() as u64) as usize]
    }

    /// Whether its conditional writes are atomic among processes.
    #[must_use]
    pub fn has_versions(self) -> bool {
        !matches!(self, Self::ThreeMethods | Self::PassingWrapper)
    }

    fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::WrappedMemory => "wrapped-memory",
            Self::Versioned => "versioned",
            Self::ThreeMethods => "three-methods",
            Self::PassingWrapper => "passing-wrapper",
            Self::File => "file",
            Self::Redis => "redis",
            Self::Sqlite => "sqlite",
        }
    }
}

impl fmt::Display for StoreKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for StoreKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let names: Vec<_> = Self::ALL.iter().map(|kind| kind.name()).collect();
        Self::ALL
            .into_iter()
            .find(|kind| kind.name() == text)
            .ok_or_else(|| format!("no store is called {text}; there are {}", names.join(", ")))
    }
}

/// The store behind the gates.
#[derive(Debug, Clone)]
pub(crate) enum Base {
    Memory(MemoryStore),
    Map(MapStore),
    File(FileStore),
    #[cfg(feature = "redis")]
    Redis(sessile::RedisStore),
    #[cfg(feature = "sqlite")]
    Sqlite(sessile::SqliteStore),
}

macro_rules! each {
    ($self:ident, $store:ident => $call:expr) => {
        match $self {
            Base::Memory($store) => $call,
            Base::Map($store) => $call,
            Base::File($store) => $call,
            #[cfg(feature = "redis")]
            Base::Redis($store) => $call,
            #[cfg(feature = "sqlite")]
            Base::Sqlite($store) => $call,
        }
    };
}

impl SessionStore for Base {
    async fn get(&self, id: &SessionId) -> Result<Option<Stored>, StoreError> {
        each!(self, store => store.get(id).await)
    }

    async fn set(&self, id: &SessionId, record: &Record, ttl: Duration) -> Result<(), StoreError> {
        each!(self, store => store.set(id, record, ttl).await)
    }

    async fn destroy(&self, id: &SessionId) -> Result<(), StoreError> {
        each!(self, store => store.destroy(id).await)
    }

    async fn touch(&self, id: &SessionId, ttl: Duration) -> Result<bool, StoreError> {
        each!(self, store => store.touch(id, ttl).await)
    }

    async fn create(&self, id: &SessionId, record: &Record, ttl: Duration) -> Result<bool, StoreError> {
        each!(self, store => store.create(id, record, ttl).await)
    }

    async fn replace(
        &self,
        id: &SessionId,
        expected: &Version,
        record: &Record,
        ttl: Duration,
    ) -> Result<Replaced, StoreError> {
        each!(self, store => store.replace(id, expected, record, ttl).await)
    }

    async fn destroy_if(&self, id: &SessionId, expected: &Version) -> Result<Replaced, StoreError> {
        each!(self, store => store.destroy_if(id, expected).await)
    }
}

/// Records in a map, with or without a version that counts their writes. Each call is one step.
#[derive(Debug, Clone)]
pub(crate) struct MapStore {
    records: Arc<Mutex<HashMap<SessionId, (Record, u64)>>>,
    versions: bool,
}

impl MapStore {
    pub(crate) fn new(versions: bool) -> Self {
        Self { records: Arc::default(), versions }
    }

    fn with<T>(&self, work: impl FnOnce(&mut HashMap<SessionId, (Record, u64)>) -> T) -> T {
        work(&mut self.records.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn stored(&self, (record, version): &(Record, u64)) -> Stored {
        let stored = Stored::from(record.clone()).with_expires_in(DAY);
        if self.versions { stored.with_version(*version) } else { stored }
    }
}

impl SessionStore for MapStore {
    async fn get(&self, id: &SessionId) -> Result<Option<Stored>, StoreError> {
        Ok(self.with(|records| records.get(id).map(|entry| self.stored(entry))))
    }

    async fn set(&self, id: &SessionId, record: &Record, _ttl: Duration) -> Result<(), StoreError> {
        self.with(|records| {
            let version = records.get(id).map_or(1, |(_, version)| version + 1);
            records.insert(id.clone(), (record.clone(), version));
        });
        Ok(())
    }

    async fn destroy(&self, id: &SessionId) -> Result<(), StoreError> {
        self.with(|records| records.remove(id));
        Ok(())
    }

    async fn touch(&self, id: &SessionId, _ttl: Duration) -> Result<bool, StoreError> {
        Ok(self.with(|records| records.contains_key(id)))
    }

    async fn create(&self, id: &SessionId, record: &Record, _ttl: Duration) -> Result<bool, StoreError> {
        Ok(self.with(|records| {
            if records.contains_key(id) {
                return false;
            }
            records.insert(id.clone(), (record.clone(), 1));
            true
        }))
    }

    async fn replace(
        &self,
        id: &SessionId,
        expected: &Version,
        record: &Record,
        _ttl: Duration,
    ) -> Result<Replaced, StoreError> {
        Ok(self.with(|records| {
            let Some(entry) = records.get_mut(id) else { return Replaced::Gone };
            if Version::from(entry.1) != *expected {
                return Replaced::Conflict(self.stored(entry));
            }
            *entry = (record.clone(), entry.1 + 1);
            Replaced::Done(Version::from(entry.1))
        }))
    }

    async fn destroy_if(&self, id: &SessionId, expected: &Version) -> Result<Replaced, StoreError> {
        Ok(self.with(|records| {
            let Some(entry) = records.get(id) else { return Replaced::Gone };
            if Version::from(entry.1) != *expected {
                return Replaced::Conflict(self.stored(entry));
            }
            records.remove(id);
            Replaced::Done(expected.clone())
        }))
    }
}
