//! The stores under test.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sessile::{
    FileStore, MemoryStore, Moving, Record, Replaced, SessionId, SessionStore, StoreError, Stored, UserIndex,
    Version,
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
    /// `Moving` over two memory stores, while another process drains the old one. No seed names it.
    Moving,
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

    /// Whether it keeps lists of users' sessions.
    #[must_use]
    pub fn has_users(self) -> bool {
        // Wrappers of three methods have none.
        self.has_versions()
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
            Self::Moving => "moving",
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
        let all = || Self::ALL.into_iter().chain([Self::Moving]);
        let names: Vec<_> = all().map(Self::name).collect();
        all()
            .find(|kind| kind.name() == text)
            .ok_or_else(|| format!("no store is called {text}; there are {}", names.join(", ")))
    }
}

/// The store behind the gates.
#[derive(Debug, Clone)]
pub(crate) enum Base {
    Memory(MemoryStore),
    Map(MapStore),
    Moving(TwoStores),
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
            Base::Moving($store) => $call,
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
        each!(self, store => SessionStore::replace(store, id, expected, record, ttl).await)
    }

    async fn destroy_if(&self, id: &SessionId, expected: &Version) -> Result<Replaced, StoreError> {
        each!(self, store => store.destroy_if(id, expected).await)
    }

    async fn get_many(&self, ids: &[SessionId]) -> Result<Vec<Option<Stored>>, StoreError> {
        each!(self, store => store.get_many(ids).await)
    }

    fn users(&self) -> Option<&dyn UserIndex> {
        each!(self, store => store.users())
    }
}

/// Two stores between which sessions move.
#[derive(Debug, Clone)]
pub(crate) struct TwoStores {
    pub(crate) old: MemoryStore,
    pub(crate) new: MemoryStore,
    /// What a process sees that asks them without gates.
    pub(crate) seen: Moving,
    /// Before it, there is the old one alone.
    pub(crate) has_begun: Arc<AtomicBool>,
}

impl TwoStores {
    pub(crate) fn new() -> Self {
        let (old, new) = (MemoryStore::new(), MemoryStore::new());
        let seen = Moving::new(old.clone(), new.clone());
        Self { old, new, seen, has_begun: Arc::default() }
    }
}

macro_rules! seen {
    ($self:ident, $store:ident => $call:expr) => {
        if $self.has_begun.load(Ordering::Relaxed) {
            let $store = &$self.seen;
            $call
        } else {
            let $store = &$self.old;
            $call
        }
    };
}

impl SessionStore for TwoStores {
    async fn get(&self, id: &SessionId) -> Result<Option<Stored>, StoreError> {
        seen!(self, store => store.get(id).await)
    }

    async fn set(&self, id: &SessionId, record: &Record, ttl: Duration) -> Result<(), StoreError> {
        seen!(self, store => store.set(id, record, ttl).await)
    }

    async fn destroy(&self, id: &SessionId) -> Result<(), StoreError> {
        seen!(self, store => store.destroy(id).await)
    }

    async fn touch(&self, id: &SessionId, ttl: Duration) -> Result<bool, StoreError> {
        seen!(self, store => store.touch(id, ttl).await)
    }

    async fn create(&self, id: &SessionId, record: &Record, ttl: Duration) -> Result<bool, StoreError> {
        seen!(self, store => store.create(id, record, ttl).await)
    }

    async fn replace(
        &self,
        id: &SessionId,
        expected: &Version,
        record: &Record,
        ttl: Duration,
    ) -> Result<Replaced, StoreError> {
        seen!(self, store => SessionStore::replace(store, id, expected, record, ttl).await)
    }

    async fn destroy_if(&self, id: &SessionId, expected: &Version) -> Result<Replaced, StoreError> {
        seen!(self, store => store.destroy_if(id, expected).await)
    }

    async fn get_many(&self, ids: &[SessionId]) -> Result<Vec<Option<Stored>>, StoreError> {
        seen!(self, store => store.get_many(ids).await)
    }

    fn users(&self) -> Option<&dyn UserIndex> {
        seen!(self, store => store.users())
    }
}

/// What only takes the place of a session that moves is none.
pub(crate) fn is_session(record: &Record) -> bool {
    !record.as_json().contains("\"adopting\":")
}

/// Which of two stores a call is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Side {
    /// The only one, or the old one.
    #[default]
    Old,
    New,
}

impl Base {
    /// The store that a call of this side is for.
    pub(crate) fn side(&self, side: Side) -> Self {
        match (self, side) {
            (Self::Moving(stores), Side::Old) => Self::Memory(stores.old.clone()),
            (Self::Moving(stores), Side::New) => Self::Memory(stores.new.clone()),
            (base, _) => base.clone(),
        }
    }

    /// Whether a session is there, wherever it is.
    pub(crate) async fn is_alive(&self, id: &SessionId) -> bool {
        let Self::Moving(TwoStores { old, new, .. }) = self else {
            return self.get(id).await.ok().flatten().is_some();
        };
        let [old, new] = [old.get(id).await, new.get(id).await].map(|found| found.ok().flatten());
        old.is_some() || new.is_some_and(|stored| is_session(&stored.record))
    }

    /// What a run begins with: two stores are made anew, because of what one knows of a move.
    pub(crate) fn fresh(&self) -> Self {
        match self {
            Self::Moving(_) => Self::Moving(TwoStores::new()),
            base => base.clone(),
        }
    }

    /// The lists of users.
    pub(crate) fn index(&self) -> &dyn UserIndex {
        self.users().expect("every store of the checker keeps lists")
    }
}

/// Records in a map, with or without a version that counts the writes. Each call is one step.
#[derive(Debug, Clone)]
pub(crate) struct MapStore {
    records: Arc<Mutex<HashMap<SessionId, (Record, u64)>>>,
    texts: Arc<Mutex<HashMap<String, String>>>,
    versions: bool,
    writes: Arc<AtomicU64>,
}

impl MapStore {
    pub(crate) fn new(versions: bool) -> Self {
        Self { records: Arc::default(), texts: Arc::default(), versions, writes: Arc::default() }
    }

    /// The number of a write.
    fn next(&self) -> u64 {
        self.writes.fetch_add(1, Ordering::Relaxed)
    }

    fn with<T>(&self, work: impl FnOnce(&mut HashMap<SessionId, (Record, u64)>) -> T) -> T {
        work(&mut self.records.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn texts(&self) -> MutexGuard<'_, HashMap<String, String>> {
        self.texts.lock().unwrap_or_else(PoisonError::into_inner)
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
            records.insert(id.clone(), (record.clone(), self.next()));
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
            records.insert(id.clone(), (record.clone(), self.next()));
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
            *entry = (record.clone(), self.next());
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

    fn users(&self) -> Option<&dyn UserIndex> {
        Some(self)
    }
}

type Boxed<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

impl UserIndex for MapStore {
    fn read<'a>(&'a self, user: &'a str) -> Boxed<'a, String> {
        let text = self.texts().get(user).cloned().unwrap_or_default();
        Box::pin(std::future::ready(Ok(text)))
    }

    fn append<'a>(&'a self, user: &'a str, line: &'a str) -> Boxed<'a, String> {
        let mut texts = self.texts();
        let text = texts.entry(user.to_owned()).or_default();
        text.push_str(line);
        Box::pin(std::future::ready(Ok(text.clone())))
    }

    fn replace<'a>(&'a self, user: &'a str, expected: &'a str, text: &'a str) -> Boxed<'a, bool> {
        let mut texts = self.texts();
        let is_expected = texts.get(user).map(String::as_str).unwrap_or_default() == expected;
        if is_expected && text.is_empty() {
            texts.remove(user);
        } else if is_expected {
            texts.insert(user.to_owned(), text.to_owned());
        }
        Box::pin(std::future::ready(Ok(is_expected)))
    }
}
