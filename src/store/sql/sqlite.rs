//! [`SqliteStore`]: sessions in connect-sqlite3's table.

use std::borrow::Cow;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{AssertSqlSafe, Sqlite};

use super::calls::shared_calls;
use super::file_watch::FileWatch;
use super::identifier::InvalidIdentifier;
use super::layout;
use super::lent::Lender;
use super::statement::{Param, Statement};
use super::statements::{Dialect, Names, PAGE, Settings, Statements};
use super::user_table::UserStatements;
use super::users::user_calls;
use crate::error::StoreError;
use crate::store::retry::{DEFAULT_TIMEOUT, with_timeout};

/// Sessions in an SQLite file, in the table of connect-sqlite3: `sid`, `expired` in milliseconds, `sess`.
///
/// Behind the feature `sqlite`, which needs a C compiler. Several processes on one machine can share the
/// file. Every operation is one statement; only a `replace` or `destroy_if` that meets a conflict needs a
/// second one, which reads the stored record. A clone is another handle on the same pool.
///
/// [`check`](crate::SessionStore::check) refuses a table in which two ids could meet:
/// [what a table has to be](crate::guide::deploying#tables-that-exist-already).
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
    lender: Lender<Sqlite>,
    settings: Arc<Settings>,
}

impl SqliteStore {
    /// A store over a pool of your own.
    #[must_use]
    pub fn new(pool: SqlitePool) -> Self {
        Self { lender: Lender::without_turns(pool), settings: Arc::new(Settings::new(DIALECT, "sessions")) }
    }

    /// Opens a file, and creates it if it does not exist. The file is named by its path, or by a URL as
    /// `sqlx` reads it: `sqlite:sessions.db`, `sqlite:///var/lib/shop/sessions.db`.
    ///
    /// The file has a write-ahead log, so that readers do not wait for writers. It is synchronized to the
    /// disk at each checkpoint only, so that a power cut may lose the last writes but nothing else.
    ///
    /// On Unix the store notices when the file is removed, replaced or made read-only while it is open: it
    /// reads and writes no file but the one under this name. A pool of your own (see [`new`](Self::new)) goes
    /// on with the file that it has opened.
    ///
    /// `:memory:` (also `sqlite::memory:` and `file::memory:`) is a database in memory, for tests. It belongs
    /// to this store and its clones, and ends with them. [`MemoryStore`](crate::MemoryStore) does the same
    /// without SQL.
    ///
    /// # Errors
    /// [`StoreError::unavailable`] when the file cannot be opened.
    pub async fn open(file: impl AsRef<Path>) -> Result<Self, StoreError> {
        let file = file.as_ref();
        let name = file.to_str().unwrap_or_default();
        let options = match name {
            ":memory:" => "sqlite::memory:".parse(),
            url if url.starts_with("sqlite:") => url.parse(),
            _ => Ok(SqliteConnectOptions::new().filename(file)),
        };
        let options = options
            .map_err(StoreError::unavailable)?
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Normal)
            .busy_timeout(DEFAULT_TIMEOUT);
        let pool = match is_in_memory(name) {
            // Each connection would have a database of its own, which ends with the connection. A request
            // that is dropped while its connection is tested would close the connection.
            true => SqlitePoolOptions::new().max_connections(1).idle_timeout(None).max_lifetime(None),
            false => FileWatch::over(
                SqlitePoolOptions::new().max_connections(4),
                options.get_filename().to_owned(),
            ),
        };
        let pool = pool.test_before_acquire(false).connect_with(options);
        with_timeout(DEFAULT_TIMEOUT, async { pool.await.map_err(StoreError::unavailable) })
            .await
            .map(Self::new)
    }

    /// Sets the table's name (connect-sqlite3: `table`). Default: `sessions`.
    ///
    /// # Errors
    /// [`InvalidIdentifier`] when the name is not a table name.
    pub fn table(mut self, name: &str) -> Result<Self, InvalidIdentifier> {
        Arc::make_mut(&mut self.settings).set_table(name)?;
        Ok(self)
    }

    /// Creates the tables and their index, if they do not exist: that of the sessions, and one beside it,
    /// named after it, in which the store keeps which sessions a user has
    /// ([`UserIndex`](crate::UserIndex)). By hand:
    ///
    /// ```sql
    /// CREATE TABLE sessions_users ("user" TEXT NOT NULL PRIMARY KEY, log TEXT NOT NULL);
    /// ```
    ///
    /// Without the second table the sessions work; only calls that are about a user fail.
    /// [`check`](crate::SessionStore::check) does not look at it.
    ///
    /// # Errors
    /// [`StoreError::unavailable`].
    pub async fn migrate(&self) -> Result<(), StoreError> {
        let (table, users) = (&self.settings.table, self.settings.quoted_users());
        let sql: Arc<str> = Arc::from(format!(
            "CREATE TABLE IF NOT EXISTS \"{table}\" (sid PRIMARY KEY, expired, sess);
             CREATE INDEX IF NOT EXISTS \"{table}_expired\" ON \"{table}\" (expired);
             CREATE TABLE IF NOT EXISTS {users} (\"user\" TEXT NOT NULL PRIMARY KEY, log TEXT NOT NULL)"
        ));
        self.with_retry(|| sqlx::raw_sql(AssertSqlSafe(Arc::clone(&sql))).execute(&self.lender.pool))
            .await
            .map(drop)
    }
}

/// Whether a path or URL names a database that no file holds: in memory, or, as SQLite takes an empty name,
/// in a temporary file of the connection.
fn is_in_memory(name: &str) -> bool {
    let scheme = ["sqlite:", "file:"].iter().find_map(|scheme| name.strip_prefix(scheme));
    let Some(url) = scheme else { return matches!(name, ":memory:" | "") };
    let (path, options) = url.split_once('?').unwrap_or((url, ""));
    let path = path.strip_prefix("//").unwrap_or(path);
    matches!(path, ":memory:" | "") || options.split('&').any(|option| option == "mode=memory")
}

shared_calls!(SqliteStore, Sqlite);
user_calls!(SqliteStore, Sqlite);

const DIALECT: Dialect = Dialect {
    quote: '"',
    statements,
    judge: layout::sqlite::judge,
    key: |id| Cow::Borrowed(id.as_str()),
    is_remote: false,
    returning: true,
    keys_at_once: None,
};

/// The statements over a table. `?1` is the current time and `?2` the id, wherever they appear.
fn statements(&Names { table, users, .. }: &Names<'_>) -> Statements {
    use Param::{Expected, Id, KeyList, Now, Record, Text, TtlMillis};
    Statements {
        // Cast to an integer because Node.js binds numbers as reals.
        get: Statement::new(
            format!("SELECT sess, CAST(expired - ?1 AS INTEGER) FROM {table} WHERE sid = ?2 AND expired > ?1"),
            &[Now, Id],
        ),
        get_many: Statement::new(
            format!(
                "SELECT sess, CAST(expired - ?1 AS INTEGER), sid FROM {table}
                 WHERE sid IN (SELECT value FROM json_each(?2)) AND expired > ?1"
            ),
            &[Now, KeyList],
        ),
        ids: Statement::new(
            format!("SELECT sid FROM {table} WHERE sid > ?2 AND expired > ?1 ORDER BY sid LIMIT {PAGE}"),
            &[Now, Text],
        ),
        set: Statement::new(
            format!(
                "INSERT INTO {table} (sid, expired, sess) VALUES (?2, ?1 + ?3, ?4)
                 ON CONFLICT (sid) DO UPDATE SET expired = excluded.expired, sess = excluded.sess"
            ),
            &[Now, Id, TtlMillis, Record],
        ),
        destroy: Statement::new(format!("DELETE FROM {table} WHERE sid = ?2"), &[Now, Id]),
        touch: Statement::new(
            format!("UPDATE {table} SET expired = ?1 + ?3 WHERE sid = ?2 AND expired > ?1"),
            &[Now, Id, TtlMillis],
        ),
        create: Statement::new(
            format!(
                "INSERT INTO {table} (sid, expired, sess) VALUES (?2, ?1 + ?3, ?4)
                 ON CONFLICT (sid) DO UPDATE SET expired = excluded.expired, sess = excluded.sess WHERE expired <= ?1"
            ),
            &[Now, Id, TtlMillis, Record],
        ),
        insert_nothing: Statement::new(
            format!(
                "INSERT INTO {table} (sid, expired, sess) SELECT ?2, ?1 + ?3, ?4 WHERE 0
                 ON CONFLICT (sid) DO UPDATE SET expired = excluded.expired, sess = excluded.sess"
            ),
            &[Now, Id, TtlMillis, Record],
        ),
        take_over: None,
        // A text and a BLOB are never equal in SQLite, and a program may have written either. Their bytes can
        // be compared.
        replace: Statement::new(
            format!(
                "UPDATE {table} SET expired = ?1 + ?3, sess = ?4
                 WHERE sid = ?2 AND CAST(sess AS BLOB) = CAST(?5 AS BLOB) AND expired > ?1"
            ),
            &[Now, Id, TtlMillis, Record, Expected],
        ),
        destroy_if: Statement::new(
            format!("DELETE FROM {table} WHERE sid = ?2 AND CAST(sess AS BLOB) = CAST(?3 AS BLOB) AND expired > ?1"),
            &[Now, Id, Expected],
        ),
        sweep: Statement::new(format!("DELETE FROM {table} WHERE expired <= ?1"), &[Now]),
        len: Statement::new(format!("SELECT count(*) FROM {table} WHERE expired > ?1"), &[Now]),
        clear: Statement::new(format!("DELETE FROM {table}"), &[]),
        layout: layout::sqlite::statement(table),
        users: UserStatements::returning(users),
    }
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore").field("table", &self.settings.table).finish_non_exhaustive()
    }
}
