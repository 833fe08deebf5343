//! The store that both sides share, and a way into it past both: what a third program would read and write
//! there.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use redis::AsyncCommands as _;
use serde_json::{Value, json};
use sessile::{
    FileStore, MySqlStore, PostgresStore, RedisStore, SessionConfig, SessionConfigBuilder, SqliteStore,
};
use sessile_test_servers::{self as test_servers, Server};
use sqlx::Connection as _;
use tempfile::TempDir;

/// Far from UTC, so that a time written in one zone and read in another shows.
const ZONE: &str = "America/New_York";
/// How long a session without a max-age lives; `node/stores.js` says the same.
pub const TTL: Duration = Duration::from_secs(24 * 60 * 60);

/// A kind of store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    File,
    Redis,
    Postgres,
    MySql,
    Sqlite,
}

/// A store that both sides can open: a folder, a file or a running server.
pub enum SharedStore {
    File(TempDir),
    Redis(Server),
    Postgres(Server),
    MySql(Server),
    Sqlite(TempDir),
}

impl SharedStore {
    /// A new store; `None` where its server is not installed.
    pub fn start(kind: Kind) -> Option<Self> {
        let folder =
            || tempfile::Builder::new().prefix("sessile-interop-").tempdir().expect("a temporary folder");
        Some(match kind {
            Kind::File => Self::File(folder()),
            Kind::Redis => Self::Redis(test_servers::redis(&[])?),
            Kind::Postgres => Self::Postgres(test_servers::postgres(ZONE, &[])?),
            Kind::MySql => Self::MySql(test_servers::mariadb(&[])?),
            Kind::Sqlite => Self::Sqlite(folder()),
        })
    }

    /// What `node/stores.js` makes its store from.
    pub fn for_express(&self) -> Value {
        match self {
            Self::File(folder) => json!({ "kind": "file", "folder": folder.path() }),
            Self::Redis(_) => json!({ "kind": "redis", "url": self.url() }),
            Self::Postgres(_) => json!({ "kind": "postgres", "url": self.url() }),
            Self::MySql(server) => json!({
                "kind": "mysql", "host": "127.0.0.1", "port": server.port,
                "user": "sessile", "password": "sessile", "database": "test",
            }),
            Self::Sqlite(_) => json!({ "kind": "sqlite", "file": self.url() }),
        }
    }

    /// What sessile makes its store from, once Express has made the tables.
    pub fn for_axum(&self) -> Access {
        match self {
            Self::File(folder) => Access::File(folder.path().to_owned()),
            Self::Redis(_) => Access::Redis(self.url()),
            Self::Postgres(_) => Access::Postgres(self.url()),
            Self::MySql(_) => Access::MySql(self.url()),
            Self::Sqlite(_) => Access::Sqlite(self.url()),
        }
    }

    fn url(&self) -> String {
        match self {
            Self::File(folder) => folder.path().display().to_string(),
            Self::Redis(server) => format!("redis://{}/", server.address()),
            Self::Postgres(server) => format!("postgres://postgres@{}/postgres", server.address()),
            Self::MySql(server) => format!("mysql://sessile:sessile@{}/test", server.address()),
            Self::Sqlite(folder) => folder.path().join("sessions.db").display().to_string(),
        }
    }

    /// The record as it stands there; of a file, without session-file-store's `__lastAccess`.
    pub async fn raw(&self, id: &str) -> Option<String> {
        match self {
            Self::File(folder) => split(&std::fs::read_to_string(file(folder.path(), id)).ok()?).0.into(),
            Self::Redis(_) => self.redis().await.get(key(id)).await.expect("redis answers"),
            Self::Postgres(_) => self.pg_scalar("SELECT sess::text FROM session WHERE sid = $1", id).await,
            Self::MySql(_) => self.my_scalar("SELECT data FROM sessions WHERE session_id = ?", id).await,
            Self::Sqlite(_) => self.lite_scalar("SELECT sess FROM sessions WHERE sid = ?", id).await,
        }
    }

    /// How long the record has left, to a second.
    pub async fn life(&self, id: &str) -> Option<Duration> {
        let seconds = match self {
            Self::File(folder) => {
                let text = std::fs::read_to_string(file(folder.path(), id)).ok()?;
                let (record, last_access) = split(&text);
                let record: Value = serde_json::from_str(&record).expect("a record");
                let max_age =
                    record["cookie"]["originalMaxAge"].as_f64().unwrap_or(TTL.as_secs_f64() * 1000.0);
                Some((last_access? as f64 + max_age - millis_now() as f64) / 1000.0)
            }
            Self::Redis(_) => {
                let left: i64 = self.redis().await.pttl(key(id)).await.expect("redis answers");
                (left >= 0).then_some(left as f64 / 1000.0)
            }
            Self::Postgres(_) => {
                let sql =
                    "SELECT extract(epoch FROM expire - localtimestamp)::float8 FROM session WHERE sid = $1";
                self.pg_scalar(sql, id).await
            }
            Self::MySql(_) => {
                let sql = "SELECT CAST(expires - UNIX_TIMESTAMP(NOW(6)) AS DOUBLE) FROM sessions WHERE session_id = ?";
                self.my_scalar(sql, id).await
            }
            Self::Sqlite(_) => {
                let sql = "SELECT expired - unixepoch('subsec') * 1000.0 FROM sessions WHERE sid = ?";
                self.lite_scalar::<f64>(sql, id).await.map(|millis| millis / 1000.0)
            }
        };
        seconds.map(|seconds| Duration::try_from_secs_f64(seconds).unwrap_or_default())
    }

    /// Writes these bytes as a session's record, to live for `life`, which is at least a second.
    pub async fn put(&self, id: &str, record: &str, life: Duration) {
        let seconds = life.as_secs() as i64;
        match self {
            Self::File(folder) => {
                let parsed: Value = serde_json::from_str(record).unwrap_or_default();
                let max_age = parsed["cookie"]["originalMaxAge"].as_u64().unwrap_or(TTL.as_millis() as u64);
                let last = millis_now() + life.as_millis() as u64 - max_age;
                let body = record.strip_suffix('}').expect("an object");
                let text = format!("{body},\"__lastAccess\":{last}}}");
                std::fs::write(file(folder.path(), id), text).expect("it can be written");
            }
            Self::Redis(_) => {
                let _: () =
                    self.redis().await.set_ex(key(id), record, life.as_secs()).await.expect("redis answers");
            }
            Self::Postgres(_) => {
                let sql = "INSERT INTO session (sid, sess, expire) VALUES ($1, $2::json, localtimestamp + $3 * interval '1 s')
                           ON CONFLICT (sid) DO UPDATE SET sess = excluded.sess, expire = excluded.expire";
                let query = sqlx::query(sql).bind(id).bind(record).bind(seconds as f64);
                query.execute(&mut self.postgres().await).await.expect("postgres answers");
            }
            Self::MySql(_) => {
                let sql =
                    "REPLACE INTO sessions (session_id, data, expires) VALUES (?, ?, UNIX_TIMESTAMP() + ?)";
                let query = sqlx::query(sql).bind(id).bind(record).bind(seconds);
                query.execute(&mut self.mysql().await).await.expect("mariadb answers");
            }
            Self::Sqlite(_) => {
                let until = i64::try_from(millis_now()).unwrap_or(i64::MAX) + seconds * 1000;
                let query =
                    sqlx::query("INSERT OR REPLACE INTO sessions (sid, expired, sess) VALUES (?, ?, ?)");
                let query = query.bind(id).bind(until).bind(record);
                query.execute(&mut self.sqlite().await).await.expect("sqlite answers");
            }
        }
    }

    async fn redis(&self) -> redis::aio::MultiplexedConnection {
        let client = redis::Client::open(self.url()).expect("an address");
        client.get_multiplexed_async_connection().await.expect("redis answers")
    }

    /// In the server's own zone, as connect-pg-simple connects.
    async fn postgres(&self) -> sqlx::PgConnection {
        let mut connection = sqlx::PgConnection::connect(&self.url()).await.expect("postgres answers");
        let zone = format!("SET TIME ZONE '{ZONE}'");
        sqlx::raw_sql(sqlx::AssertSqlSafe(zone)).execute(&mut connection).await.expect("a zone");
        connection
    }

    async fn mysql(&self) -> sqlx::MySqlConnection {
        sqlx::MySqlConnection::connect(&self.url()).await.expect("mariadb answers")
    }

    async fn sqlite(&self) -> sqlx::SqliteConnection {
        let url = format!("sqlite://{}", self.url());
        sqlx::SqliteConnection::connect(&url).await.expect("the file is a database")
    }

    async fn pg_scalar<T>(&self, sql: &'static str, id: &str) -> Option<T>
    where
        T: for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres> + Send + Unpin,
    {
        let query = sqlx::query_scalar(sql).bind(id);
        query.fetch_optional(&mut self.postgres().await).await.expect("postgres answers")
    }

    async fn my_scalar<T>(&self, sql: &'static str, id: &str) -> Option<T>
    where
        T: for<'r> sqlx::Decode<'r, sqlx::MySql> + sqlx::Type<sqlx::MySql> + Send + Unpin,
    {
        let query = sqlx::query_scalar(sql).bind(id);
        query.fetch_optional(&mut self.mysql().await).await.expect("mariadb answers")
    }

    async fn lite_scalar<T>(&self, sql: &'static str, id: &str) -> Option<T>
    where
        T: for<'r> sqlx::Decode<'r, sqlx::Sqlite> + sqlx::Type<sqlx::Sqlite> + Send + Unpin,
    {
        let query = sqlx::query_scalar(sql).bind(id);
        query.fetch_optional(&mut self.sqlite().await).await.expect("sqlite answers")
    }
}

fn key(id: &str) -> String {
    format!("sess:{id}")
}

fn file(folder: &Path, id: &str) -> PathBuf {
    folder.join(format!("{id}.json"))
}

fn millis_now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is later than 1970");
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// A session file's record and its `__lastAccess`, which stands last until Express adds a key behind it.
fn split(text: &str) -> (String, Option<i64>) {
    const KEY: &str = ",\"__lastAccess\":";
    let Some((before, rest)) = text.split_once(KEY) else { return (text.into(), None) };
    let end = rest.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(rest.len());
    (format!("{before}{}", &rest[end..]), rest[..end].parse().ok())
}

/// How the axum side reaches a [`SharedStore`].
#[derive(Debug, Clone)]
pub enum Access {
    File(PathBuf),
    Redis(String),
    Postgres(String),
    MySql(String),
    Sqlite(String),
}

impl Access {
    /// These options over the store, whose table Express has made.
    pub async fn config(&self, builder: SessionConfigBuilder) -> SessionConfig {
        let builder = match self {
            Self::File(folder) => {
                builder.store(FileStore::builder(folder).ttl(TTL).build().expect("a folder"))
            }
            Self::Redis(url) => {
                builder.store(RedisStore::connect(url.as_str()).await.expect("redis answers"))
            }
            Self::Postgres(url) => {
                let store = PostgresStore::connect(url).await.expect("postgres answers").time_zone(ZONE);
                store.migrate().await.expect("the table is there already");
                builder.store(store)
            }
            Self::MySql(url) => {
                let store = MySqlStore::connect(url).await.expect("mariadb answers");
                store.migrate().await.expect("the table is there already");
                builder.store(store)
            }
            Self::Sqlite(file) => {
                let store = SqliteStore::open(file).await.expect("the file is a database");
                store.migrate().await.expect("the table is there already");
                builder.store(store)
            }
        };
        builder.build().expect("the options hold")
    }
}
