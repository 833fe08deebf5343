//! [`SqliteStore`]: connect-sqlite3's table.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sqlx::AssertSqlSafe;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};

use super::calls::shared_calls;
use super::identifier::{InvalidIdentifier, identifier};
use super::row::{Row, expected_text, to_stored};
use crate::error::StoreError;
use crate::id::SessionId;
use crate::record::Record;
use crate::store::remote::{DEFAULT_TIMEOUT, with_timeout};
use crate::store::{Replaced, SessionStore, Stored, Version};

/// Sessions in an SQLite file, in the table of connect-sqlite3: `sid`, `expired` in milliseconds, `sess`.
///
/// Several processes of one machine can share the file. A load is one statement and so is a write that no other one got
/// in the way of; a conflict takes a second. Behind the feature `sqlite`, which needs a C compiler. A clone is another
/// handle on the same pool.
///
/// ```no_run
/// use sessile::{SessionConfig, SqliteStore};
///
/// # async fn start() -> Result<(), Box<dyn std::error::Error>> {
/// let store = SqliteStore::open("sessions.db").await?;
/// store.migrate().await?;
/// let config = SessionConfig::builder("a secret of at least 32 bytes, from the environment")
///     .store(store)
///     .build()?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct SqliteStore {
    pool: SqlitePool,
    settings: Arc<Settings>,
}

#[derive(Clone)]
struct Settings {
    table: String,
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
    /// `?1` is now, in milliseconds, wherever it appears.
    fn new(table: &str) -> Self {
        let sql = |text: String| Arc::from(text);
        Self {
            // Node.js binds numbers as reals.
            get: sql(format!(
                "SELECT sess, CAST(expired - ?1 AS INTEGER) FROM \"{table}\" WHERE sid = ?2 AND expired > ?1"
            )),
            set: sql(format!(
                "INSERT INTO \"{table}\" (sid, expired, sess) VALUES (?2, ?1 + ?3, ?4)
                 ON CONFLICT (sid) DO UPDATE SET expired = excluded.expired, sess = excluded.sess"
            )),
            destroy: sql(format!("DELETE FROM \"{table}\" WHERE sid = ?2")),
            touch: sql(format!("UPDATE \"{table}\" SET expired = ?1 + ?3 WHERE sid = ?2 AND expired > ?1")),
            create: sql(format!(
                "INSERT INTO \"{table}\" (sid, expired, sess) VALUES (?2, ?1 + ?3, ?4)
                 ON CONFLICT (sid) DO UPDATE SET expired = excluded.expired, sess = excluded.sess WHERE expired <= ?1"
            )),
            replace: sql(format!(
                "UPDATE \"{table}\" SET expired = ?1 + ?3, sess = ?4 WHERE sid = ?2 AND sess = ?5 AND expired > ?1"
            )),
            destroy_if: sql(format!("DELETE FROM \"{table}\" WHERE sid = ?2 AND sess = ?3 AND expired > ?1")),
            sweep: sql(format!("DELETE FROM \"{table}\" WHERE expired <= ?1")),
            len: sql(format!("SELECT count(*) FROM \"{table}\" WHERE expired > ?1")),
            clear: sql(format!("DELETE FROM \"{table}\"")),
        }
    }
}

impl SqliteStore {
    /// Over a pool of your own.
    #[must_use]
    pub fn new(pool: SqlitePool) -> Self {
        let settings = Settings {
            table: "sessions".into(),
            timeout: DEFAULT_TIMEOUT,
            statements: Statements::new("sessions"),
        };
        Self { pool, settings: Arc::new(settings) }
    }

    /// Over a file, which is made if it is not there: with a write-ahead log, so that readers do not wait for writers,
    /// and written to the disk at each checkpoint, so that a power cut may take the last writes and no more.
    ///
    /// # Errors
    /// [`StoreError::unavailable`] when the file cannot be opened.
    pub async fn open(file: impl AsRef<Path>) -> Result<Self, StoreError> {
        let options = SqliteConnectOptions::new()
            .filename(file)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Normal)
            .busy_timeout(DEFAULT_TIMEOUT);
        let pool = SqlitePoolOptions::new().max_connections(4).connect_with(options);
        with_timeout(DEFAULT_TIMEOUT, async { pool.await.map_err(StoreError::unavailable) })
            .await
            .map(Self::new)
    }

    /// The table's name (connect-sqlite3: `table`). Default: `sessions`.
    ///
    /// # Errors
    /// [`InvalidIdentifier`] when it is none.
    pub fn table(mut self, name: &str) -> Result<Self, InvalidIdentifier> {
        let name = identifier(name)?;
        let settings = Arc::make_mut(&mut self.settings);
        settings.table = name.to_owned();
        settings.statements = Statements::new(name);
        Ok(self)
    }

    /// Makes the table and its index, if they are not there.
    ///
    /// # Errors
    /// [`StoreError::unavailable`].
    pub async fn migrate(&self) -> Result<(), StoreError> {
        let table = &self.settings.table;
        let sql: Arc<str> = Arc::from(format!(
            "CREATE TABLE IF NOT EXISTS \"{table}\" (sid PRIMARY KEY, expired, sess);
             CREATE INDEX IF NOT EXISTS \"{table}_expired\" ON \"{table}\" (expired)"
        ));
        self.with_retry(|| sqlx::raw_sql(AssertSqlSafe(Arc::clone(&sql))).execute(&self.pool)).await.map(drop)
    }

    /// How many live sessions there are.
    ///
    /// # Errors
    /// [`StoreError::unavailable`].
    pub async fn len(&self) -> Result<u64, StoreError> {
        let len = &self.settings.statements.len;
        let operation =
            || sqlx::query_scalar::<_, i64>(AssertSqlSafe(Arc::clone(len))).bind(now()).fetch_one(&self.pool);
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
        self.write(&self.settings.statements.sweep, &[]).await
    }

    /// Executes a write, `?1` being now; tells how many rows it met.
    async fn write(&self, statement: &Arc<str>, values: &[Value<'_>]) -> Result<u64, StoreError> {
        let operation = || {
            let mut query = sqlx::query(AssertSqlSafe(Arc::clone(statement))).bind(now());
            for value in values {
                query = match *value {
                    Value::Text(text) => query.bind(text),
                    Value::Millis(life) => query.bind(i64::try_from(life.as_millis()).unwrap_or(i64::MAX)),
                };
            }
            query.execute(&self.pool)
        };
        // A file has no connection that drops, so there is no second try.
        self.with_retry(operation).await.map(|(done, _)| done.rows_affected())
    }
}

shared_calls!(SqliteStore);

/// A value bound to a statement.
#[derive(Clone, Copy)]
enum Value<'v> {
    Text(&'v str),
    Millis(Duration),
}

/// Milliseconds since 1970, as JavaScript's `Date.now()`.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

impl SessionStore for SqliteStore {
    async fn get(&self, id: &SessionId) -> Result<Option<Stored>, StoreError> {
        let get = &self.settings.statements.get;
        let operation = || {
            let query = sqlx::query_as::<_, Row>(AssertSqlSafe(Arc::clone(get)));
            query.bind(now()).bind(id.as_str()).fetch_optional(&self.pool)
        };
        let (row, _) = self.with_retry(operation).await?;
        row.map(to_stored).transpose()
    }

    async fn set(&self, id: &SessionId, record: &Record, ttl: Duration) -> Result<(), StoreError> {
        let values = [Value::Text(id.as_str()), Value::Millis(ttl), Value::Text(record.as_json())];
        self.write(&self.settings.statements.set, &values).await.map(drop)
    }

    async fn destroy(&self, id: &SessionId) -> Result<(), StoreError> {
        self.write(&self.settings.statements.destroy, &[Value::Text(id.as_str())]).await.map(drop)
    }

    async fn touch(&self, id: &SessionId, ttl: Duration) -> Result<bool, StoreError> {
        let values = [Value::Text(id.as_str()), Value::Millis(ttl)];
        self.write(&self.settings.statements.touch, &values).await.map(|rows| rows > 0)
    }

    async fn create(&self, id: &SessionId, record: &Record, ttl: Duration) -> Result<bool, StoreError> {
        let values = [Value::Text(id.as_str()), Value::Millis(ttl), Value::Text(record.as_json())];
        self.write(&self.settings.statements.create, &values).await.map(|rows| rows > 0)
    }

    async fn replace(
        &self,
        id: &SessionId,
        expected: &Version,
        record: &Record,
        ttl: Duration,
    ) -> Result<Replaced, StoreError> {
        let (new, old) = (record.as_json(), expected_text(expected));
        let values = [Value::Text(id.as_str()), Value::Millis(ttl), Value::Text(new), Value::Text(old)];
        match self.write(&self.settings.statements.replace, &values).await? {
            0 => self.conflict_or_gone(id).await,
            _ => Ok(Replaced::Done(Version::of(record))),
        }
    }

    async fn destroy_if(&self, id: &SessionId, expected: &Version) -> Result<Replaced, StoreError> {
        let values = [Value::Text(id.as_str()), Value::Text(expected_text(expected))];
        match self.write(&self.settings.statements.destroy_if, &values).await? {
            0 => self.conflict_or_gone(id).await,
            _ => Ok(Replaced::Done(expected.clone())),
        }
    }
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore").field("table", &self.settings.table).finish_non_exhaustive()
    }
}
