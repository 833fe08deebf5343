//! [`MySqlStore`]: express-mysql-session's table.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use sqlx::AssertSqlSafe;
use sqlx::mysql::{MySqlConnectOptions, MySqlPool, MySqlPoolOptions};

use super::calls::shared_calls;
use super::identifier::{InvalidIdentifier, identifier};
use super::row::{Row, expected_text, to_stored};
use crate::error::StoreError;
use crate::id::SessionId;
use crate::record::Record;
use crate::store::remote::{self, Attempt, DEFAULT_TIMEOUT, whole_seconds, with_timeout};
use crate::store::{Replaced, SessionStore, Stored, Version};

/// Sessions in MySQL 8 or MariaDB, in the table of express-mysql-session: `session_id`, `expires` in whole seconds,
/// `data`.
///
/// A load is one statement and so is a write that no other one got in the way of; a conflict takes a second. Ids are
/// compared byte for byte; one that the column cannot hold, or tells from another only by spaces at its end, is stored as
/// its hash. A record may have 16 MiB. Times last until 2106. Behind the feature `mysql`. A clone is another handle on the
/// same pool.
///
/// ```no_run
/// use sessile::{MySqlStore, SessionConfig};
///
/// # async fn start() -> Result<(), Box<dyn std::error::Error>> {
/// let store = MySqlStore::connect("mysql://localhost/shop").await?;
/// store.migrate().await?;
/// let config = SessionConfig::builder("a secret of at least 32 bytes, from the environment")
///     .store(store)
///     .build()?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct MySqlStore {
    pool: MySqlPool,
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
    take_over: Arc<str>,
    replace: Arc<str>,
    destroy_if: Arc<str>,
    sweep: Arc<str>,
    len: Arc<str>,
    clear: Arc<str>,
}

impl Statements {
    fn new(table: &str) -> Self {
        const NOW: &str = "UNIX_TIMESTAMP(NOW(6))";
        let ends = format!("CEIL({NOW} + ?)");
        let live = format!("expires > {NOW}");
        let sql = |text: String| Arc::from(text);
        Self {
            get: sql(format!(
                "SELECT data, CAST((expires - {NOW}) * 1000 AS SIGNED) FROM `{table}` WHERE session_id = ? AND {live}"
            )),
            set: sql(format!(
                "INSERT INTO `{table}` (session_id, data, expires) VALUES (?, ?, {ends})
                 ON DUPLICATE KEY UPDATE data = VALUES(data), expires = VALUES(expires)"
            )),
            destroy: sql(format!("DELETE FROM `{table}` WHERE session_id = ?")),
            touch: sql(format!("UPDATE `{table}` SET expires = {ends} WHERE session_id = ? AND {live}")),
            create: sql(format!("INSERT INTO `{table}` (session_id, data, expires) VALUES (?, ?, {ends})")),
            take_over: sql(format!(
                "UPDATE `{table}` SET data = ?, expires = {ends} WHERE session_id = ? AND NOT ({live})"
            )),
            replace: sql(format!(
                "UPDATE `{table}` SET data = ?, expires = {ends} WHERE session_id = ? AND data = ? AND {live}"
            )),
            destroy_if: sql(format!("DELETE FROM `{table}` WHERE session_id = ? AND data = ? AND {live}")),
            sweep: sql(format!("DELETE FROM `{table}` WHERE expires <= {NOW}")),
            len: sql(format!("SELECT COUNT(*) FROM `{table}` WHERE {live}")),
            clear: sql(format!("DELETE FROM `{table}`")),
        }
    }
}

impl MySqlStore {
    /// Over a pool of your own.
    #[must_use]
    pub fn new(pool: MySqlPool) -> Self {
        let settings = Settings {
            table: "sessions".into(),
            timeout: DEFAULT_TIMEOUT,
            statements: Statements::new("sessions"),
        };
        Self { pool, settings: Arc::new(settings) }
    }

    /// Over a pool of its own, of up to 10 connections.
    ///
    /// # Errors
    /// [`StoreError::unavailable`] when the address is wrong or the server does not answer.
    pub async fn connect(url: &str) -> Result<Self, StoreError> {
        let options: MySqlConnectOptions = url.parse().map_err(StoreError::unavailable)?;
        // A ping before each statement would be a second round trip; a dropped connection is noticed by the first.
        let pool =
            MySqlPoolOptions::new().max_connections(10).test_before_acquire(false).connect_with(options);
        with_timeout(DEFAULT_TIMEOUT, async { pool.await.map_err(StoreError::unavailable) })
            .await
            .map(Self::new)
    }

    /// The table's name (express-mysql-session: `schema.tableName`). Default: `sessions`.
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

    /// Makes the table, if it is not there.
    ///
    /// # Errors
    /// [`StoreError::unavailable`].
    pub async fn migrate(&self) -> Result<(), StoreError> {
        let table = &self.settings.table;
        let sql: Arc<str> = Arc::from(format!(
            "CREATE TABLE IF NOT EXISTS `{table}` (
               `session_id` varchar(128) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
               `expires` int(11) unsigned NOT NULL,
               `data` mediumtext CHARACTER SET utf8mb4 COLLATE utf8mb4_bin,
               PRIMARY KEY (`session_id`), KEY `{table}_expires` (`expires`)
             ) ENGINE=InnoDB"
        ));
        self.with_retry(|| sqlx::query(AssertSqlSafe(Arc::clone(&sql))).execute(&self.pool)).await.map(drop)
    }

    /// How many live sessions there are.
    ///
    /// # Errors
    /// [`StoreError::unavailable`].
    pub async fn len(&self) -> Result<u64, StoreError> {
        let len = &self.settings.statements.len;
        let operation = || sqlx::query_scalar::<_, i64>(AssertSqlSafe(Arc::clone(len))).fetch_one(&self.pool);
        let (count, _) = self.with_retry(operation).await?;
        Ok(u64::try_from(count).unwrap_or(0))
    }

    /// Removes every session.
    ///
    /// # Errors
    /// [`StoreError::unavailable`].
    pub async fn clear(&self) -> Result<(), StoreError> {
        self.write(&self.settings.statements.clear, &[]).await.map(drop)
    }

    /// Removes expired sessions; returns how many.
    ///
    /// # Errors
    /// [`StoreError::unavailable`].
    pub async fn sweep(&self) -> Result<u64, StoreError> {
        self.write(&self.settings.statements.sweep, &[]).await.map(|(rows, _)| rows)
    }

    /// Executes a write; tells how many rows it met.
    async fn write(&self, statement: &Arc<str>, values: &[Value<'_>]) -> Result<(u64, Attempt), StoreError> {
        let operation = || {
            let mut query = sqlx::query(AssertSqlSafe(Arc::clone(statement)));
            for value in values {
                query = match *value {
                    Value::Text(text) => query.bind(text),
                    Value::Seconds(seconds) => query.bind(seconds),
                };
            }
            query.execute(&self.pool)
        };
        let (done, attempt) = self.with_retry(operation).await?;
        Ok((done.rows_affected(), attempt))
    }
}

shared_calls!(MySqlStore);

/// A value bound to a statement.
#[derive(Clone, Copy)]
enum Value<'v> {
    Text(&'v str),
    Seconds(i64),
}

/// The id as the column can hold it and the server compares it: at most 128 characters, none of them a space at the end.
fn key(id: &SessionId) -> Cow<'_, str> {
    id.or_hash(|id| id.chars().count() <= 128 && !id.ends_with(' '))
}

impl SessionStore for MySqlStore {
    async fn get(&self, id: &SessionId) -> Result<Option<Stored>, StoreError> {
        let (get, id) = (&self.settings.statements.get, key(id));
        let operation =
            || sqlx::query_as::<_, Row>(AssertSqlSafe(Arc::clone(get))).bind(&*id).fetch_optional(&self.pool);
        let (row, _) = self.with_retry(operation).await?;
        row.map(to_stored).transpose()
    }

    async fn set(&self, id: &SessionId, record: &Record, ttl: Duration) -> Result<(), StoreError> {
        let values =
            [Value::Text(&key(id)), Value::Text(record.as_json()), Value::Seconds(whole_seconds(ttl))];
        self.write(&self.settings.statements.set, &values).await.map(drop)
    }

    async fn destroy(&self, id: &SessionId) -> Result<(), StoreError> {
        self.write(&self.settings.statements.destroy, &[Value::Text(&key(id))]).await.map(drop)
    }

    async fn touch(&self, id: &SessionId, ttl: Duration) -> Result<bool, StoreError> {
        let values = [Value::Seconds(whole_seconds(ttl)), Value::Text(&key(id))];
        self.write(&self.settings.statements.touch, &values).await.map(|(rows, _)| rows > 0)
    }

    async fn create(&self, id: &SessionId, record: &Record, ttl: Duration) -> Result<bool, StoreError> {
        let (id, json, ttl) = (key(id), record.as_json(), whole_seconds(ttl));
        let operation = || {
            let query = sqlx::query(AssertSqlSafe(Arc::clone(&self.settings.statements.create)));
            let query = query.bind(&*id).bind(json).bind(ttl);
            async {
                match query.execute(&self.pool).await {
                    Err(sqlx::Error::Database(error)) if error.is_unique_violation() => Ok(false),
                    done => done.map(|_| true),
                }
            }
        };
        if self.with_retry(operation).await?.0 {
            return Ok(true);
        }
        let values = [Value::Text(json), Value::Seconds(ttl), Value::Text(&id)];
        self.write(&self.settings.statements.take_over, &values).await.map(|(rows, _)| rows > 0)
    }

    async fn replace(
        &self,
        id: &SessionId,
        expected: &Version,
        record: &Record,
        ttl: Duration,
    ) -> Result<Replaced, StoreError> {
        let (key, new, old) = (key(id), record.as_json(), expected_text(expected));
        let values =
            [Value::Text(new), Value::Seconds(whole_seconds(ttl)), Value::Text(&key), Value::Text(old)];
        match self.write(&self.settings.statements.replace, &values).await? {
            (0, attempt) => remote::confirm_replace(self.conflict_or_gone(id).await?, attempt),
            _ => Ok(Replaced::Done(Version::of(record))),
        }
    }

    async fn destroy_if(&self, id: &SessionId, expected: &Version) -> Result<Replaced, StoreError> {
        let values = [Value::Text(&key(id)), Value::Text(expected_text(expected))];
        match self.write(&self.settings.statements.destroy_if, &values).await? {
            (0, attempt) => remote::confirm_destroy(self.conflict_or_gone(id).await?, attempt),
            _ => Ok(Replaced::Done(expected.clone())),
        }
    }
}

impl fmt::Debug for MySqlStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MySqlStore").field("table", &self.settings.table).finish_non_exhaustive()
    }
}
