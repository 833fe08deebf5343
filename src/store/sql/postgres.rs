//! [`PostgresStore`]: connect-pg-simple's table.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use sqlx::AssertSqlSafe;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};

use super::calls::shared_calls;
use super::identifier::{InvalidIdentifier, identifier};
use super::row::{Row, expected_text, to_stored};
use crate::error::StoreError;
use crate::id::SessionId;
use crate::record::Record;
use crate::store::remote::{self, Attempt, DEFAULT_TIMEOUT, whole_seconds, with_timeout};
use crate::store::{Replaced, SessionStore, Stored, Version};

/// Sessions in PostgreSQL, in the table of connect-pg-simple: `sid`, `sess json`, `expire timestamp(6)`.
///
/// Every operation is one prepared statement; where it meets a conflict, a second one looks at what stands there. Behind the feature `postgres`. A clone is another handle on the same pool.
///
/// # Time zones
/// `expire` is a timestamp without a zone. connect-pg-simple writes it in the zone of its connection, which is the
/// server's default, while `sqlx` connects in UTC. Where Express uses the table and the server's `timezone` is another
/// one, name it with [`time_zone`](Self::time_zone); it holds for these statements alone.
///
/// ```no_run
/// use std::time::Duration;
/// use sessile::{PostgresStore, SessionConfig};
///
/// # async fn start() -> Result<(), Box<dyn std::error::Error>> {
/// let store = PostgresStore::connect("postgres://localhost/shop").await?;
/// store.migrate().await?;
/// let sweep = store.sweep_every(Duration::from_secs(900)); // Until this is dropped.
/// let config = SessionConfig::builder("a secret of at least 32 bytes, from the environment")
///     .store(store)
///     .build()?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct PostgresStore {
    pool: PgPool,
    settings: Arc<Settings>,
}

#[derive(Clone)]
struct Settings {
    schema: Option<String>,
    table: String,
    time_zone: String,
    timeout: Duration,
    statements: Statements,
}

#[derive(Clone)]
struct Statements {
    get: Arc<str>,
    set: Arc<str>,
    destroy: Arc<str>,
    touch: Arc<str>,
    create: Arc<str>,
    replace: Arc<str>,
    destroy_if: Arc<str>,
    sweep: Arc<str>,
    len: Arc<str>,
    clear: Arc<str>,
}

impl Statements {
    /// `$1` is the id and `$2` the zone wherever they appear.
    fn new(table: &str) -> Self {
        const ENDS: &str =
            "to_timestamp(ceil(date_part('epoch', clock_timestamp()) + $3::bigint)) AT TIME ZONE $2";
        const LIVE: &str = "expire AT TIME ZONE $2 > clock_timestamp()";
        const LEFT: &str =
            "(date_part('epoch', (expire AT TIME ZONE $2) - clock_timestamp()) * 1000)::bigint";
        let sql = |text: String| Arc::from(text);
        Self {
            get: sql(format!("SELECT sess::text, {LEFT} FROM {table} WHERE sid = $1 AND {LIVE}")),
            set: sql(format!(
                "INSERT INTO {table} (sid, sess, expire) VALUES ($1, $4::json, {ENDS})
                 ON CONFLICT (sid) DO UPDATE SET sess = excluded.sess, expire = excluded.expire"
            )),
            destroy: sql(format!("DELETE FROM {table} WHERE sid = $1")),
            touch: sql(format!("UPDATE {table} SET expire = {ENDS} WHERE sid = $1 AND {LIVE}")),
            create: sql(format!(
                "INSERT INTO {table} AS t (sid, sess, expire) VALUES ($1, $4::json, {ENDS})
                 ON CONFLICT (sid) DO UPDATE SET sess = excluded.sess, expire = excluded.expire
                 WHERE NOT (t.{LIVE})"
            )),
            // Where another transaction holds the row, these wait for it, and then look at what it left there.
            replace: sql(format!(
                "UPDATE {table} SET sess = $4::json, expire = {ENDS} WHERE sid = $1 AND {LIVE} AND sess::text = $5"
            )),
            destroy_if: sql(format!("DELETE FROM {table} WHERE sid = $1 AND {LIVE} AND sess::text = $3")),
            sweep: sql(format!("DELETE FROM {table} WHERE expire AT TIME ZONE $1 <= clock_timestamp()")),
            len: sql(format!(
                "SELECT count(*) FROM {table} WHERE expire AT TIME ZONE $1 > clock_timestamp()"
            )),
            clear: sql(format!("DELETE FROM {table}")),
        }
    }
}

impl PostgresStore {
    /// Over a pool of your own.
    #[must_use]
    pub fn new(pool: PgPool) -> Self {
        let statements = Statements::new("\"session\"");
        let (table, time_zone) = ("session".into(), "UTC".into());
        let settings = Settings { schema: None, table, time_zone, timeout: DEFAULT_TIMEOUT, statements };
        Self { pool, settings: Arc::new(settings) }
    }

    /// Over a pool of its own, of up to 10 connections.
    ///
    /// # Errors
    /// [`StoreError::unavailable`] when the address is wrong or the server does not answer.
    pub async fn connect(url: &str) -> Result<Self, StoreError> {
        let options: PgConnectOptions = url.parse().map_err(StoreError::unavailable)?;
        // A ping before each statement would be a second round trip; a dropped connection is noticed by the first.
        let pool = PgPoolOptions::new().max_connections(10).test_before_acquire(false).connect_with(options);
        with_timeout(DEFAULT_TIMEOUT, async { pool.await.map_err(StoreError::unavailable) })
            .await
            .map(Self::new)
    }

    /// The table's name (connect-pg-simple: `tableName`). Default: `session`.
    ///
    /// # Errors
    /// [`InvalidIdentifier`] when it is none.
    pub fn table(mut self, name: &str) -> Result<Self, InvalidIdentifier> {
        let name = identifier(name)?;
        let settings = Arc::make_mut(&mut self.settings);
        settings.table = name.to_owned();
        settings.statements = Statements::new(&settings.qualified());
        Ok(self)
    }

    /// The schema's name (connect-pg-simple: `schemaName`). Default: the connection's search path.
    ///
    /// # Errors
    /// [`InvalidIdentifier`] when it is none.
    pub fn schema(mut self, name: &str) -> Result<Self, InvalidIdentifier> {
        let name = identifier(name)?;
        let settings = Arc::make_mut(&mut self.settings);
        settings.schema = Some(name.to_owned());
        settings.statements = Statements::new(&settings.qualified());
        Ok(self)
    }

    /// The zone that `expire` is written in, as Postgres names it (`America/New_York`): the server's `timezone`, where
    /// Express shares the table. Default: `UTC`.
    #[must_use]
    pub fn time_zone(mut self, name: impl Into<String>) -> Self {
        Arc::make_mut(&mut self.settings).time_zone = name.into();
        self
    }

    /// Makes the table and its index, if they are not there.
    ///
    /// # Errors
    /// [`StoreError::unavailable`].
    pub async fn migrate(&self) -> Result<(), StoreError> {
        let (table, index) = (self.settings.qualified(), &self.settings.table);
        // Two processes that start together would both find it missing: the lock lets one in at a time.
        let sql = format!(
            "SELECT pg_advisory_xact_lock(hashtext('sessile {index}'));
             CREATE TABLE IF NOT EXISTS {table}
               (sid varchar NOT NULL COLLATE \"default\" PRIMARY KEY, sess json NOT NULL, expire timestamp(6) NOT NULL);
             CREATE INDEX IF NOT EXISTS \"IDX_{index}_expire\" ON {table} (expire)"
        );
        let work = async {
            let mut transaction = self.pool.begin().await?;
            sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *transaction).await?;
            transaction.commit().await
        };
        with_timeout(self.settings.timeout, async { work.await.map_err(StoreError::unavailable) }).await
    }

    /// How many live sessions there are.
    ///
    /// # Errors
    /// [`StoreError::unavailable`].
    pub async fn len(&self) -> Result<u64, StoreError> {
        let operation = || {
            let query =
                sqlx::query_scalar::<_, i64>(AssertSqlSafe(Arc::clone(&self.settings.statements.len)));
            query.bind(&self.settings.time_zone).fetch_one(&self.pool)
        };
        let (count, _) = self.with_retry(operation).await?;
        Ok(u64::try_from(count).unwrap_or(0))
    }

    /// Removes every session.
    ///
    /// # Errors
    /// [`StoreError::unavailable`].
    pub async fn clear(&self) -> Result<(), StoreError> {
        let clear = &self.settings.statements.clear;
        self.with_retry(|| sqlx::query(AssertSqlSafe(Arc::clone(clear))).execute(&self.pool)).await.map(drop)
    }

    /// Removes expired sessions; returns how many.
    ///
    /// # Errors
    /// [`StoreError::unavailable`].
    pub async fn sweep(&self) -> Result<u64, StoreError> {
        let operation = || {
            let query = sqlx::query(AssertSqlSafe(Arc::clone(&self.settings.statements.sweep)));
            query.bind(&self.settings.time_zone).execute(&self.pool)
        };
        self.with_retry(operation).await.map(|(done, _)| done.rows_affected())
    }

    /// Executes a write whose first parameters are id and zone; tells how many rows it met.
    async fn write(
        &self,
        statement: &Arc<str>,
        id: &SessionId,
        values: &[Value<'_>],
    ) -> Result<(u64, Attempt), StoreError> {
        let operation = || {
            let query = sqlx::query(AssertSqlSafe(Arc::clone(statement)));
            let query = query.bind(id.as_str()).bind(&self.settings.time_zone);
            let query = values.iter().fold(query, |query, value| match value {
                Value::Text(text) => query.bind(*text),
                Value::Seconds(seconds) => query.bind(*seconds),
            });
            query.execute(&self.pool)
        };
        self.with_retry(operation).await.map(|(done, attempt)| (done.rows_affected(), attempt))
    }
}

/// A value bound to a statement.
#[derive(Clone, Copy)]
enum Value<'v> {
    Text(&'v str),
    Seconds(i64),
}

shared_calls!(PostgresStore);

impl Settings {
    fn qualified(&self) -> String {
        match &self.schema {
            Some(schema) => format!("\"{schema}\".\"{}\"", self.table),
            None => format!("\"{}\"", self.table),
        }
    }
}

impl SessionStore for PostgresStore {
    async fn get(&self, id: &SessionId) -> Result<Option<Stored>, StoreError> {
        let operation = || {
            let query = sqlx::query_as::<_, Row>(AssertSqlSafe(Arc::clone(&self.settings.statements.get)));
            query.bind(id.as_str()).bind(&self.settings.time_zone).fetch_optional(&self.pool)
        };
        let (row, _) = self.with_retry(operation).await?;
        row.map(to_stored).transpose()
    }

    async fn set(&self, id: &SessionId, record: &Record, ttl: Duration) -> Result<(), StoreError> {
        let values = [Value::Seconds(whole_seconds(ttl)), Value::Text(record.as_json())];
        self.write(&self.settings.statements.set, id, &values).await.map(drop)
    }

    async fn destroy(&self, id: &SessionId) -> Result<(), StoreError> {
        let destroy = &self.settings.statements.destroy;
        self.with_retry(|| {
            sqlx::query(AssertSqlSafe(Arc::clone(destroy))).bind(id.as_str()).execute(&self.pool)
        })
        .await
        .map(drop)
    }

    async fn touch(&self, id: &SessionId, ttl: Duration) -> Result<bool, StoreError> {
        let values = [Value::Seconds(whole_seconds(ttl))];
        self.write(&self.settings.statements.touch, id, &values).await.map(|(rows, _)| rows > 0)
    }

    async fn create(&self, id: &SessionId, record: &Record, ttl: Duration) -> Result<bool, StoreError> {
        let values = [Value::Seconds(whole_seconds(ttl)), Value::Text(record.as_json())];
        self.write(&self.settings.statements.create, id, &values).await.map(|(rows, _)| rows > 0)
    }

    async fn replace(
        &self,
        id: &SessionId,
        expected: &Version,
        record: &Record,
        ttl: Duration,
    ) -> Result<Replaced, StoreError> {
        let (new, old) = (record.as_json(), expected_text(expected));
        let values = [Value::Seconds(whole_seconds(ttl)), Value::Text(new), Value::Text(old)];
        match self.write(&self.settings.statements.replace, id, &values).await? {
            (0, attempt) => remote::confirm_replace(self.conflict_or_gone(id).await?, attempt),
            _ => Ok(Replaced::Done(Version::of(record))),
        }
    }

    async fn destroy_if(&self, id: &SessionId, expected: &Version) -> Result<Replaced, StoreError> {
        let values = [Value::Text(expected_text(expected))];
        match self.write(&self.settings.statements.destroy_if, id, &values).await? {
            (0, attempt) => remote::confirm_destroy(self.conflict_or_gone(id).await?, attempt),
            _ => Ok(Replaced::Done(expected.clone())),
        }
    }
}

impl fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresStore")
            .field("table", &self.settings.qualified())
            .field("time_zone", &self.settings.time_zone)
            .finish_non_exhaustive()
    }
}
