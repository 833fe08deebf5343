//! [`MySqlStore`]: sessions in express-mysql-session's table.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use sqlx::MySql;
use sqlx::mysql::{MySqlConnectOptions, MySqlPool, MySqlPoolOptions, MySqlSslMode};

use super::calls::shared_calls;
use super::encryption::{self, is_this_machine};
use super::identifier::InvalidIdentifier;
use super::layout::{self, mysql::MAX_KEY_LEN};
use super::lent::{IDLE_TIMEOUT, Lender};
use super::statement::{Param, Statement, Values};
use super::statements::{Dialect, Names, PAGE, Settings, Statements};
use super::user_table::{UserStatements, beside};
use super::users::user_calls;
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
/// # Rights
/// The store needs `SELECT`, `INSERT`, `UPDATE` and `DELETE` on its table, and [`migrate`](Self::migrate)
/// `CREATE` and `INDEX`. [`check`](crate::SessionStore::check) executes each kind of statement without
/// touching a row; its error says which one the server refuses, and the source of the error says why. It also
/// refuses a table in which two ids could meet, or a record would be cut off or changed:
/// [what a table has to be](crate::guide::deploying#tables-that-exist-already).
///
/// # TLS
/// With the feature `tls`, the URL decides, as in `sqlx`: `?ssl-mode=VERIFY_IDENTITY` checks the certificate
/// and its name against the authorities of the system, and `&ssl-ca=/path/ca.pem` adds one of your own;
/// `REQUIRED` encrypts and checks nothing. Without the feature these are an error. Without `ssl-mode`, a
/// connection to another machine is encrypted if the server has TLS; if not, or without the feature, there is
/// one warning when the store connects. `ssl-mode=DISABLED` silences it.
///
/// # Networks and fail-overs
/// - **A connection that falls silent** (no answer, no end: a load balancer has forgotten it, a host is gone)
///   costs the requests that wait for it their [`timeout`](Self::timeout), and is then closed, as are the
///   idle connections that do not answer within half of it. The store is back within two timeouts. The pool
///   that `connect` makes closes connections that were idle for 100 seconds, so that most never fall silent.
///   `sqlx` sets neither keepalive nor `TCP_USER_TIMEOUT`; the system's `net.ipv4.tcp_keepalive_time` does
///   not apply.
/// - **A fail-over behind one address**: if the server refuses to write because it is read-only (1290, 1836),
///   or ends the connection, the connection is closed, and the statement is executed once more over a new
///   one.
///
/// # A pool of your own
/// [`new`](Self::new) takes a pool of the `sqlx` that this crate re-exports. What is said above about silence
/// and fail-overs holds for it as well. TLS, the idle timeout, and its warnings are then yours. Say
/// `test_before_acquire(false)`, or each operation asks twice. Then, while operations wait for a connection,
/// one may serve 16 of them before the pool has it back, and the hooks of the pool run once. [`connect`](Self::connect) also installs, for
/// `VERIFY_CA` and `VERIFY_IDENTITY`, a `CryptoProvider` for rustls if the program has none: without it
/// `VERIFY_CA` panics where two are compiled in.
///
/// # Limits of the table
/// - Ids are compared byte for byte. An id of more than 128 characters, or with a space at its end, is stored
///   as its hash: the column cannot hold the former, and the server ignores the space when it compares.
/// - A record may be 16 MiB long, but not longer than the server's `max_allowed_packet`, less some 300 bytes
///   for the rest of the statement. That is 16 MiB on MariaDB, 64 MiB on MySQL 8 and 4 MiB on MySQL 5.7,
///   unless it is configured.
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
    lender: Lender<MySql>,
    settings: Arc<Settings>,
}

impl MySqlStore {
    /// A store over a pool of your own.
    #[must_use]
    pub fn new(pool: MySqlPool) -> Self {
        Self { lender: Lender::in_turns(pool), settings: Arc::new(Settings::new(DIALECT, "sessions")) }
    }

    /// Connects to a server, with a pool of up to 10 connections.
    ///
    /// One connection is made at once. The table is not looked at: [`check`](crate::SessionStore::check) does
    /// that, after [`migrate`](Self::migrate).
    ///
    /// # Errors
    /// [`StoreError::unavailable`] when the address or the password is wrong, when the server does not answer
    /// within 5 seconds, or when TLS cannot be had as the URL asks for it. The error's source says which.
    pub async fn connect(url: &str) -> Result<Self, StoreError> {
        let options: MySqlConnectOptions = url.parse().map_err(StoreError::unavailable)?;
        let pool = |options: MySqlConnectOptions| {
            // A ping before each statement would be a second round trip. The statement itself detects a lost
            // connection.
            let pool = MySqlPoolOptions::new().max_connections(10).test_before_acquire(false);
            pool.idle_timeout(IDLE_TIMEOUT).connect_with(options)
        };
        let is_remote = options.get_socket().is_none() && !is_this_machine(options.get_host());
        let prefers_tls = is_remote && matches!(options.get_ssl_mode(), MySqlSslMode::Preferred);
        if matches!(options.get_ssl_mode(), MySqlSslMode::VerifyCa | MySqlSslMode::VerifyIdentity) {
            encryption::prepare_for_certificates();
        }
        let pool = encryption::connect(prefers_tls, |require| match require {
            true => pool(options.clone().ssl_mode(MySqlSslMode::Required)),
            false => pool(options.clone()),
        });
        with_timeout(DEFAULT_TIMEOUT, pool).await.map(Self::new)
    }

    /// Sets the table's name (express-mysql-session: `schema.tableName`). Default: `sessions`.
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
    /// CREATE TABLE sessions_users (
    ///   `user` varchar(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
    ///   `log` longtext CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL
    /// ) ENGINE=InnoDB;
    /// ```
    ///
    /// The store needs the same rights to it. Without the second table the sessions work; only calls that are
    /// about a user fail. [`check`](crate::SessionStore::check) does not look at it.
    ///
    /// # Errors
    /// [`StoreError::unavailable`].
    pub async fn migrate(&self) -> Result<(), StoreError> {
        let (table, users) = (&self.settings.table, self.settings.quoted_users());
        let index = beside(table, "_expires");
        let sessions = format!(
            "CREATE TABLE IF NOT EXISTS `{table}` (
               `session_id` varchar(128) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
               `expires` int(11) unsigned NOT NULL,
               `data` mediumtext CHARACTER SET utf8mb4 COLLATE utf8mb4_bin,
               PRIMARY KEY (`session_id`), KEY `{index}` (`expires`)
             ) ENGINE=InnoDB"
        );
        let users = format!(
            "CREATE TABLE IF NOT EXISTS {users} (
               `user` varchar(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
               `log` longtext CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL
             ) ENGINE=InnoDB"
        );
        for sql in [sessions, users] {
            self.write(&Statement::new(sql, &[]), &Values::default()).await?;
        }
        Ok(())
    }
}

shared_calls!(MySqlStore, MySql);
user_calls!(MySqlStore, MySql);

/// How many ids one statement names at most.
const KEYS_AT_ONCE: usize = 512;

const DIALECT: Dialect = Dialect {
    quote: '`',
    statements,
    judge: layout::mysql::judge,
    key,
    is_remote: true,
    returning: false,
    keys_at_once: Some(KEYS_AT_ONCE),
};

/// The id as the column can hold it and the server compares it: at most 128 characters, and no space at the
/// end. Other ids are hashed.
fn key(id: &SessionId) -> Cow<'_, str> {
    id.or_hashed_unless(|id| id.chars().count() <= MAX_KEY_LEN && !id.ends_with(' '))
}

/// The statements over a table.
fn statements(&Names { table, users, .. }: &Names<'_>) -> Statements {
    use Param::{EachKey, ExpectedHash, Id, Record, Text, TtlSeconds};
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
        get_many: Statement::new(
            format!(
                "SELECT data, CAST((expires - {NOW}) * 1000 AS SIGNED), session_id FROM {table}
                 WHERE session_id IN (?) AND {live}"
            ),
            &[EachKey],
        ),
        ids: Statement::new(
            format!(
                "SELECT session_id FROM {table} WHERE session_id > ? AND {live} ORDER BY session_id LIMIT {PAGE}"
            ),
            &[Text],
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
        insert_nothing: Statement::new(
            format!(
                "INSERT INTO {table} (session_id, data, expires) SELECT ?, ?, {expiry} FROM DUAL WHERE 1 = 0
                 ON DUPLICATE KEY UPDATE data = VALUES(data), expires = VALUES(expires)"
            ),
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
        layout: layout::mysql::statement(table),
        users: UserStatements::mysql(users),
    }
}

impl fmt::Debug for MySqlStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MySqlStore").field("table", &self.settings.table).finish_non_exhaustive()
    }
}
