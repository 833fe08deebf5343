//! The stores that a URL can name, as one type: see [`open`](crate::open) for how they are opened.

use std::time::Duration;

use anyhow::Context as _;
use futures_util::stream::BoxStream;
use sessile::redis::aio::MultiplexedConnection;
use sessile::redis::cluster_async::ClusterConnection;
use sessile::{
    FileStore, MySqlStore, PostgresStore, Record, RedisStore, Replaced, Sealed, SessionId, SessionStore,
    SqliteStore, StoreError, Stored, UserIndex, Version,
};

use crate::open::plain;
use crate::secrets;
use crate::store_options::StoreOptions;
use crate::urls::public_name;

/// A store and its name.
pub(crate) struct Opened {
    pub(crate) store: AnyStore,
    /// The URL without what must not be shown.
    pub(crate) name: String,
    pub(crate) options: StoreOptions,
    pub(crate) url: String,
}

/// A store whose records are sealed, or not.
#[derive(Clone)]
pub(crate) enum AnyStore {
    Plain(Plain),
    Sealed(Sealed<Plain>, Plain),
}

#[derive(Clone)]
pub(crate) enum Plain {
    File(FileStore),
    Redis(RedisStore),
    RedisCluster(RedisStore<ClusterConnection>),
    RedisSentinel(RedisStore<MultiplexedConnection>),
    Postgres(PostgresStore),
    MySql(MySqlStore),
    Sqlite(SqliteStore),
}

/// Whether a store is created where there is none.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum IfMissing {
    Fail,
    Create,
}

impl Opened {
    pub(crate) async fn open(
        url: &str,
        options: &StoreOptions,
        if_missing: IfMissing,
    ) -> anyhow::Result<Self> {
        let name = public_name(url);
        let plain = plain(url, options, if_missing).await.with_context(|| format!("cannot open {name}"))?;
        let store = match &options.sealing_key_file {
            None => AnyStore::Plain(plain),
            Some(file) => {
                let keys = secrets::keys(file, options.sealing_key_encoding)?;
                AnyStore::Sealed(Sealed::new(plain.clone(), keys), plain)
            }
        };
        Ok(Self { store, name, options: options.clone(), url: url.to_owned() })
    }

    pub(crate) fn is(&self, other: &Self) -> bool {
        self.url == other.url
    }
}

/// Calls a method of the store inside.
macro_rules! each {
    ($plain:expr, $store:ident => $call:expr) => {
        match $plain {
            Plain::File($store) => $call,
            Plain::Redis($store) => $call,
            Plain::RedisCluster($store) => $call,
            Plain::RedisSentinel($store) => $call,
            Plain::Postgres($store) => $call,
            Plain::MySql($store) => $call,
            Plain::Sqlite($store) => $call,
        }
    };
}

impl AnyStore {
    pub(crate) fn plain(&self) -> &Plain {
        match self {
            Self::Plain(plain) | Self::Sealed(_, plain) => plain,
        }
    }

    /// Removes expired sessions. `None`: the server does it by itself.
    pub(crate) async fn sweep(&self) -> Result<Option<u64>, StoreError> {
        match self.plain() {
            Plain::Redis(_) | Plain::RedisCluster(_) | Plain::RedisSentinel(_) => Ok(None),
            Plain::File(store) => store.sweep().await.map(Some),
            Plain::Postgres(store) => store.sweep().await.map(Some),
            Plain::MySql(store) => store.sweep().await.map(Some),
            Plain::Sqlite(store) => store.sweep().await.map(Some),
        }
    }

    /// How many of the live sessions `ids` has not named, because the store keeps no more than the hash of an id that
    /// it cannot hold. `named` is how many it has named, among them the `unreadable` ones.
    pub(crate) async fn unnamed(&self, named: u64, unreadable: u64) -> Result<u64, StoreError> {
        Ok(match self.plain() {
            Plain::File(store) => (store.len().await? as u64 + unreadable).saturating_sub(named),
            Plain::MySql(store) => store.len().await?.saturating_sub(named),
            _ => 0,
        })
    }

    /// Creates the tables that are missing, if the store cannot serve as it is.
    pub(crate) async fn prepare(&self) -> Result<(), StoreError> {
        let is_ready = self.check().await.is_ok() && self.users_are_readable().await.is_ok();
        if is_ready {
            return Ok(());
        }
        match self.plain() {
            Plain::Postgres(store) => store.migrate().await?,
            Plain::MySql(store) => store.migrate().await?,
            Plain::Sqlite(store) => store.migrate().await?,
            Plain::File(_) | Plain::Redis(_) | Plain::RedisCluster(_) | Plain::RedisSentinel(_) => {}
        }
        self.check().await
    }

    /// Whether the lists of users can be read and written. It writes nothing: no user has this name, and no text is
    /// the expected one.
    pub(crate) async fn users_are_readable(&self) -> Result<(), StoreError> {
        let Some(users) = self.users() else { return Ok(()) };
        let (nobody, no_text) = ("sessile-check", "{}\n");
        users.read(nobody).await?;
        users.replace(nobody, no_text, no_text).await?;
        users.replace(nobody, no_text, "").await.map(drop)
    }
}

impl SessionStore for Plain {
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

    async fn check(&self) -> Result<(), StoreError> {
        each!(self, store => store.check().await)
    }

    async fn get_many(&self, ids: &[SessionId]) -> Result<Vec<Option<Stored>>, StoreError> {
        each!(self, store => store.get_many(ids).await)
    }

    fn users(&self) -> Option<&dyn UserIndex> {
        each!(self, store => store.users())
    }

    fn ids(&self) -> Option<BoxStream<'_, Result<SessionId, StoreError>>> {
        each!(self, store => store.ids())
    }
}

/// Calls a method of the store, which is sealed or not.
macro_rules! either {
    ($any:expr, $store:ident => $call:expr) => {
        match $any {
            AnyStore::Plain($store) => $call,
            AnyStore::Sealed($store, _) => $call,
        }
    };
}

impl SessionStore for AnyStore {
    async fn get(&self, id: &SessionId) -> Result<Option<Stored>, StoreError> {
        either!(self, store => store.get(id).await)
    }

    async fn set(&self, id: &SessionId, record: &Record, ttl: Duration) -> Result<(), StoreError> {
        either!(self, store => store.set(id, record, ttl).await)
    }

    async fn destroy(&self, id: &SessionId) -> Result<(), StoreError> {
        either!(self, store => store.destroy(id).await)
    }

    async fn touch(&self, id: &SessionId, ttl: Duration) -> Result<bool, StoreError> {
        either!(self, store => store.touch(id, ttl).await)
    }

    async fn create(&self, id: &SessionId, record: &Record, ttl: Duration) -> Result<bool, StoreError> {
        either!(self, store => store.create(id, record, ttl).await)
    }

    async fn replace(
        &self,
        id: &SessionId,
        expected: &Version,
        record: &Record,
        ttl: Duration,
    ) -> Result<Replaced, StoreError> {
        either!(self, store => store.replace(id, expected, record, ttl).await)
    }

    async fn destroy_if(&self, id: &SessionId, expected: &Version) -> Result<Replaced, StoreError> {
        either!(self, store => store.destroy_if(id, expected).await)
    }

    async fn check(&self) -> Result<(), StoreError> {
        either!(self, store => store.check().await)
    }

    async fn get_many(&self, ids: &[SessionId]) -> Result<Vec<Option<Stored>>, StoreError> {
        either!(self, store => store.get_many(ids).await)
    }

    fn users(&self) -> Option<&dyn UserIndex> {
        either!(self, store => store.users())
    }

    fn ids(&self) -> Option<BoxStream<'_, Result<SessionId, StoreError>>> {
        either!(self, store => store.ids())
    }
}
