//! [`MySqlStore`]: sessions in express-mysql-session's table.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use sqlx::MySql;
use sqlx::mysql::{MySqlConnectOptions, MySqlPool, MySqlPoolOptions};

use super::calls::shared_calls;
use super::identifier::InvalidIdentifier;
use super::lent::IDLE_TIMEOUT;
use super::statements::{Dialect, Param, Settings, Statement, Statements, Values};
use crate::error::StoreError;
use crate::id::SessionId;
use crate::store::retry::{DEFAULT_TIMEOUT, with_timeout};

/// Sessions in MySQL 8 or MariaDB, in the table of express-mysql-session: `session_id`, `expires` in whole
/// seconds, `data`.
///
/// Behind the feature `mysql`. Every operation is one statement; a second one is needed only by a `replace`
/// or `destroy_if` that meets a conflict, which then reads the stored record, and by a `create` whose id is
/// taken. A clone is another handle on the same pool.
///
/// # Limits of the table
/// - Ids are compared byte for byte. An id of more than 128 characters, or with a space at its end, is stored
///   as its hash: the column cannot hold the former, and the server ignores the space when it compares.
/// - A record may be 16 MiB long, but not longer than the server's `max_allowed_packet`, less some 300 bytes
///   for the rest of the statement. That is 16 MiB on MariaDB, 64 MiB on MySQL 8 and 4 MiB on MySQL 5.7, unless
///   it is configured.
/// - No expiry lies beyond the year 2106.
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

impl MySqlStore {
    /// A store over a pool of your own.
    #[must_use]
    pub fn new(pool: MySqlPool) -> Self {
        Self { pool, settings: Arc::new(Settings::new(DIALECT, "sessions")) }
    }

    /// Connects to a server, with a pool of up to 10 connections.
    ///
    /// # Errors
    /// [`StoreError::unavailable`] when the address is wrong or the server does not answer.
    pub async fn connect(url: &str) -> Result<Self, StoreError> {
        let options: MySqlConnectOptions = url.parse().map_err(StoreError::unavailable)?;
        // A ping before each statement would be a second round trip. The statement itself detects a lost
        // connection.
        let pool = MySqlPoolOptions::new().max_connections(10).test_before_acquire(false);
        let pool = pool.idle_timeout(IDLE_TIMEOUT).connect_with(options);
        with_timeout(DEFAULT_TIMEOUT, async { pool.await.map_err(StoreError::unavailable) })
            .await
            .map(Self::new)
    }

    /// Sets the table's name (express-mysql-session: `schema.tableName`). Default: `sessions`.
    ///
    /// # Errors
    /// [`InvalidIdentifier`] when the name is not a table name.
    pub fn table(mut self, name: &str) -> Result<Self, InvalidIdentifier> {
        Arc::make_mut(&mut self.settings).set_table(name)?;
        Ok(self)
    }

    /// Creates the table and its index, if they do not exist.
    ///
    /// # Errors
    /// [`StoreError::unavailable`].
    pub async fn migrate(&self) -> Result<(), StoreError> {
        let table = &self.settings.table;
        let sql = format!(
            "CREATE TABLE IF NOT EXISTS `{table}` (
               `session_id` varchar(128) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
               `expires` int(11) unsigned NOT NULL,
               `data` mediumtext CHARACTER SET utf8mb4 COLLATE utf8mb4_bin,
               PRIMARY KEY (`session_id`), KEY `{table}_expires` (`expires`)
             ) ENGINE=InnoDB"
        );
        self.write(&Statement::new(sql, &[]), &Values::default()).await.map(drop)
    }
}

shared_calls!(MySqlStore, MySql);

const DIALECT: Dialect = Dialect { quote: '`', statements, key, is_remote: true };

/// The id as the column can hold it and the server compares it: at most 128 characters, and no space at the
/// end. Other ids are hashed.
fn key(id: &SessionId) -> Cow<'_, str> {
    id.or_hashed_unless(|id| id.chars().count() <= 128 && !id.ends_with(' '))
}

/// The statements over a table.
fn statements(table: &str) -> Statements {
    use Param::{ExpectedHash, Id, Record, TtlSeconds};
    const NOW: &str = "UNIX_TIMESTAMP(NOW(6))";
    // Bytes are compared, because the column's collation may take different letters for the same. A column of
    // binary strings is not converted, because it may hold bytes that are no text. The hash stands for them
    // because the old record would double the length of the statement, which `max_allowed_packet` limits.
    const SAME: &str =
        "SHA2(CASE CHARSET(data) WHEN 'binary' THEN data ELSE CONVERT(data USING utf8mb4) END, 256) = ?";
    let expiry = format!("CEIL({NOW} + ?)");
    let live = format!("expires > {NOW}");
    Statements {
        get: Statement::new(
            format!(
                "SELECT data, CAST((expires - {NOW}) * 1000 AS SIGNED) FROM {table} WHERE session_id = ? AND {live}"
            ),
            &[Id],
        ),
        set: Statement::new(
            format!(
                "INSERT INTO {table} (session_id, data, expires) VALUES (?, ?, {expiry})
                 ON DUPLICATE KEY UPDATE data = VALUES(data), expires = VALUES(expires)"
            ),
            &[Id, Record, TtlSeconds],
        ),
        destroy: Statement::new(format!("DELETE FROM {table} WHERE session_id = ?"), &[Id]),
        touch: Statement::new(
            format!("UPDATE {table} SET expires = {expiry} WHERE session_id = ? AND {live}"),
            &[TtlSeconds, Id],
        ),
        create: Statement::new(
            format!("INSERT INTO {table} (session_id, data, expires) VALUES (?, ?, {expiry})"),
            &[Id, Record, TtlSeconds],
        ),
        take_over: Some(Statement::new(
            format!("UPDATE {table} SET data = ?, expires = {expiry} WHERE session_id = ? AND NOT ({live})"),
            &[Record, TtlSeconds, Id],
        )),
        replace: Statement::new(
            format!(
                "UPDATE {table} SET data = ?, expires = {expiry} WHERE session_id = ? AND {SAME} AND {live}"
            ),
            &[Record, TtlSeconds, Id, ExpectedHash],
        ),
        destroy_if: Statement::new(
            format!("DELETE FROM {table} WHERE session_id = ? AND {SAME} AND {live}"),
            &[Id, ExpectedHash],
        ),
        sweep: Statement::new(format!("DELETE FROM {table} WHERE expires <= {NOW}"), &[]),
        len: Statement::new(format!("SELECT COUNT(*) FROM {table} WHERE {live}"), &[]),
        clear: Statement::new(format!("DELETE FROM {table}"), &[]),
    }
}

impl fmt::Debug for MySqlStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MySqlStore").field("table", &self.settings.table).finish_non_exhaustive()
    }
}
