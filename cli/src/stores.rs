//! The stores that a URL can name, as one type.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, bail};
use futures_util::stream::BoxStream;
use sessile::sqlx::{self, Connection as _, Row as _};
use sessile::{
    FileStore, MySqlStore, PostgresStore, Record, RedisStore, Replaced, Sealed, SessionId, SessionStore,
    SqliteStore, StoreError, Stored, UserIndex, Version, redis,
};

use crate::args::StoreOptions;
use crate::secrets;
use crate::urls::public_name;

/// A store and its name.
pub(crate) struct Opened {
    pub(crate) store: AnyStore,
    /// The URL without what must not be shown.
    pub(crate) name: String,
    url: String,
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
            Some(file) => AnyStore::Sealed(Sealed::new(plain.clone(), secrets::from_file(file)?), plain),
        };
        Ok(Self { store, name, url: url.to_owned() })
    }

    pub(crate) fn is(&self, other: &Self) -> bool {
        self.url == other.url
    }

    /// What the store's server says the time is, and the time here when it answered. `None`: the store has no clock
    /// but this machine's.
    pub(crate) async fn server_time(&self) -> anyhow::Result<Option<(SystemTime, SystemTime)>> {
        let millis: i64 = match self.store.plain() {
            Plain::File(_) | Plain::Sqlite(_) => return Ok(None),
            Plain::Redis(_) => {
                let client = redis::Client::open(self.url.as_str())?;
                let mut connection = client.get_multiplexed_async_connection().await?;
                let (seconds, micros): (i64, i64) = redis::cmd("TIME").query_async(&mut connection).await?;
                seconds * 1000 + micros / 1000
            }
            Plain::Postgres(_) => {
                // PgBouncer refuses this option.
                let options: sqlx::postgres::PgConnectOptions = self.url.parse()?;
                let options = options.extra_float_digits(None);
                let mut connection = sqlx::PgConnection::connect_with(&options).await?;
                let sql = "SELECT (extract(epoch from clock_timestamp()) * 1000)::bigint";
                sqlx::raw_sql(sql).fetch_one(&mut connection).await?.try_get(0)?
            }
            Plain::MySql(_) => {
                let mut connection = sqlx::MySqlConnection::connect(&self.url).await?;
                let sql = "SELECT CAST(UNIX_TIMESTAMP(NOW(6)) * 1000 AS SIGNED)";
                sqlx::raw_sql(sql).fetch_one(&mut connection).await?.try_get(0)?
            }
        };
        let there = UNIX_EPOCH + Duration::from_millis(u64::try_from(millis).unwrap_or_default());
        Ok(Some((there, SystemTime::now())))
    }
}

async fn plain(url: &str, options: &StoreOptions, if_missing: IfMissing) -> anyhow::Result<Plain> {
    let (scheme, rest) = url.split_once(':').unwrap_or((url, ""));
    let StoreOptions { table, .. } = options;
    Ok(match scheme {
        "file" => Plain::File(file(Path::new(rest), options, if_missing)?),
        "redis" | "rediss" | "redis+unix" | "unix" => {
            let mut builder = RedisStore::builder().announce_ends(options.announce_ends);
            if let Some(prefix) = &options.prefix {
                builder = builder.prefix(prefix);
            }
            if let Some(file) = &options.root_certificates {
                builder = builder.root_certificates(std::fs::read(file).with_context(|| named(file))?);
            }
            Plain::Redis(builder.connect(url).await?)
        }
        "postgres" | "postgresql" => {
            let mut store = PostgresStore::connect(url).await?.announce_ends(options.announce_ends);
            if options.unprepared {
                store = store.prepared(false);
            }
            if let Some(zone) = &options.time_zone {
                store = store.time_zone(zone);
            }
            if let Some(schema) = &options.schema {
                store = store.schema(schema)?;
            }
            if let Some(table) = table {
                store = store.table(table)?;
            }
            Plain::Postgres(store)
        }
        "mysql" | "mariadb" => {
            let store = MySqlStore::connect(url).await?;
            Plain::MySql(match table {
                Some(table) => store.table(table)?,
                None => store,
            })
        }
        "sqlite" => {
            let is_url = rest.starts_with("//");
            let path = rest.strip_prefix("//").unwrap_or(rest).split('?').next().unwrap_or_default();
            if if_missing == IfMissing::Fail && !Path::new(path).is_file() {
                bail!("there is no file {path:?}");
            }
            let store = SqliteStore::open(if is_url { url } else { rest }).await?;
            Plain::Sqlite(match table {
                Some(table) => store.table(table)?,
                None => store,
            })
        }
        "memory" => bail!("the sessions of a memory store are in the app's own process"),
        _ => bail!(
            "a store is named by file:DIR, sqlite:FILE, redis://HOST, rediss://HOST, postgres://HOST/DB or mysql://HOST/DB"
        ),
    })
}

fn file(folder: &Path, options: &StoreOptions, if_missing: IfMissing) -> anyhow::Result<FileStore> {
    if if_missing == IfMissing::Fail && !folder.is_dir() {
        bail!("there is no folder {folder:?}");
    }
    let mut builder = FileStore::builder(folder).shared_folder(options.shared_folder);
    if let Some(ttl) = options.express_ttl {
        builder = builder.ttl(ttl);
    }
    Ok(builder.build()?)
}

fn named(file: &PathBuf) -> String {
    format!("cannot read {file:?}")
}

/// Calls a method of the store inside.
macro_rules! each {
    ($plain:expr, $store:ident => $call:expr) => {
        match $plain {
            Plain::File($store) => $call,
            Plain::Redis($store) => $call,
            Plain::Postgres($store) => $call,
            Plain::MySql($store) => $call,
            Plain::Sqlite($store) => $call,
        }
    };
}

impl AnyStore {
    fn plain(&self) -> &Plain {
        match self {
            Self::Plain(plain) | Self::Sealed(_, plain) => plain,
        }
    }

    /// Removes expired sessions. `None`: the server does it by itself.
    pub(crate) async fn sweep(&self) -> Result<Option<u64>, StoreError> {
        match self.plain() {
            Plain::Redis(_) => Ok(None),
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
            Plain::Redis(_) | Plain::Postgres(_) | Plain::Sqlite(_) => 0,
        })
    }

    /// Creates the tables that are missing, if the store cannot serve as it is.
    pub(crate) async fn prepare(&self) -> Result<(), StoreError> {
        let is_ready = self.check().await.is_ok() && self.users_are_readable().await.is_ok();
        if is_ready {
            return Ok(());
        }
        match self.plain() {
            Plain::File(_) | Plain::Redis(_) => {}
            Plain::Postgres(store) => store.migrate().await?,
            Plain::MySql(store) => store.migrate().await?,
            Plain::Sqlite(store) => store.migrate().await?,
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
