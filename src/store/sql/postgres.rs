//! [`PostgresStore`]: sessions in connect-pg-simple's table.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions, PgSslMode};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, Postgres};

use super::announced;
use super::calls::shared_calls;
use super::encryption::{self, is_this_machine};
use super::identifier::InvalidIdentifier;
use super::layout;
use super::lent::{IDLE_TIMEOUT, Lender};
use super::statement::{Param, Statement, keeps_no_statements};
use super::statements::{Dialect, Names, PAGE, Settings, Statements};
use super::user_table::UserStatements;
use super::users::user_calls;
use crate::error::StoreError;
use crate::store::retry::{DEFAULT_TIMEOUT, with_timeout};

/// Sessions in PostgreSQL, in the table of connect-pg-simple: `sid`, `sess json`, `expire timestamp(6)`.
///
/// Behind the feature `postgres`. Every operation is one prepared statement; only a `replace` or `destroy_if`
/// that meets a conflict needs a second one, which reads the stored record. A clone is another handle on the
/// same pool.
///
/// # Rights
/// The store needs `SELECT`, `INSERT`, `UPDATE` and `DELETE` on its table, and [`migrate`](Self::migrate)
/// `CREATE` on the schema. [`check`](crate::SessionStore::check) executes each kind of statement without
/// touching a row; its error says which one the server refuses, and the source of the error says why. It also
/// refuses a table in which two ids could meet, or a record would be changed:
/// [what a table has to be](crate::guide::deploying#tables-that-exist-already).
///
/// # TLS
/// With the feature `tls`, the URL decides, as in `sqlx`: `?sslmode=verify-full` checks the certificate and
/// its name against the authorities of the system, and `&sslrootcert=/path/ca.pem` (or the PEM text itself)
/// adds one of your own; `require` encrypts and checks nothing. Without the feature these are an error.
/// Without `sslmode`, a connection to another machine is encrypted if the server has TLS; if not, or without
/// the feature, there is one warning when the store connects. `sslmode=disable` silences it.
///
/// # Networks and fail-overs
/// - **A connection that falls silent** (no answer, no end: a load balancer has forgotten it, a host is gone)
///   costs the requests that wait for it their [`timeout`](Self::timeout), and is then closed, as are the
///   idle connections that do not answer within half of it. The store is back within two timeouts. The pool
///   that `connect` makes closes connections that were idle for 100 seconds, so that most never fall silent.
///   `sqlx` sets neither keepalive nor `TCP_USER_TIMEOUT`; the system's `net.ipv4.tcp_keepalive_time` does
///   not apply.
/// - **A fail-over behind one address**: if the server refuses to write because it is read-only (25006), or
///   ends the connection (57P01 and its like), the connection is closed, and the statement is executed once
///   more over a new one.
///
/// # Poolers
/// PgBouncer and Supavisor in session mode need nothing. In transaction mode they need
/// [`prepared(false)`](Self::prepared), except PgBouncer from 1.21 on with `max_prepared_statements`.
///
/// # A pool of your own
/// [`new`](Self::new) takes a pool of the `sqlx` that this crate re-exports. What is said above about silence
/// and fail-overs holds for it as well. TLS, the idle timeout, and its warnings are then yours. Say
/// `test_before_acquire(false)`, or each operation asks twice. Then, while operations wait for a connection,
/// one may serve 16 of them before the pool has it back, and the hooks of the pool run once. [`connect`](Self::connect) also sets
/// `client_connection_check_interval`, so that a statement that was given up ends at the server, and, for
/// `verify-ca` and `verify-full`, installs a `CryptoProvider` for rustls if the program has none: without it
/// `verify-ca` panics where two are compiled in.
///
/// # Time zones
/// `expire` is a timestamp without a time zone. connect-pg-simple writes it in the time zone of its
/// connection, which is the server's default, while `sqlx` connects in UTC. If Express uses the table and the
/// server's `timezone` is not UTC, name the server's with [`time_zone`](Self::time_zone). It applies to the
/// statements of this store alone.
///
/// # Limits of the server
/// The server reads a record as JSON, with a parser that `max_stack_depth` limits: it refuses values that are
/// nested thousands of levels deep. The error is [`StoreError::unavailable`], and nothing is written.
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
    lender: Lender<Postgres>,
    settings: Arc<Settings>,
}

impl PostgresStore {
    /// A store over a pool of your own. If its `statement_cache_capacity` is 0, say
    /// [`prepared(false)`](Self::prepared) as well.
    #[must_use]
    pub fn new(pool: PgPool) -> Self {
        Self { lender: Lender::in_turns(pool), settings: Arc::new(Settings::new(DIALECT, "session")) }
    }

    /// Connects to a server, with a pool of up to 10 connections.
    ///
    /// With `statement-cache-capacity=0` among the options of the URL, statements are not
    /// [`prepared`](Self::prepared).
    ///
    /// One connection is made at once. The table is not looked at: [`check`](crate::SessionStore::check) does
    /// that, after [`migrate`](Self::migrate).
    ///
    /// # Errors
    /// [`StoreError::unavailable`] when the address or the password is wrong, when the server does not answer
    /// within 5 seconds, or when TLS cannot be had as the URL asks for it. The error's source says which.
    pub async fn connect(url: &str) -> Result<Self, StoreError> {
        let options: PgConnectOptions = url.parse().map_err(StoreError::unavailable)?;
        // The store reads no floats, and PgBouncer refuses this option unless it is told to ignore it.
        let options = options.extra_float_digits(None);
        let pool = |options: PgConnectOptions| {
            // A ping before each statement would be a second round trip. The statement itself detects a lost
            // connection.
            let pool = PgPoolOptions::new().max_connections(10).test_before_acquire(false);
            let pool = pool.idle_timeout(IDLE_TIMEOUT).after_connect(|connection, _| {
                Box::pin(async move { end_abandoned_statements(connection).await })
            });
            pool.connect_with(options)
        };
        let is_remote = options.get_socket().is_none() && !is_this_machine(options.get_host());
        let prefers_tls = is_remote && matches!(options.get_ssl_mode(), PgSslMode::Prefer);
        if matches!(options.get_ssl_mode(), PgSslMode::VerifyCa | PgSslMode::VerifyFull) {
            encryption::prepare_for_certificates();
        }
        let pool = encryption::connect(prefers_tls, |require| match require {
            true => pool(options.clone().ssl_mode(PgSslMode::Require)),
            false => pool(options.clone()),
        });
        let pool = with_timeout(DEFAULT_TIMEOUT, pool).await?;
        Ok(Self::new(pool).prepared(!keeps_no_statements(url)))
    }

    /// Whether connections keep their prepared statements, so that an operation is one round trip. Default:
    /// `true`.
    ///
    /// Say `false` behind a pooler that gives each transaction another connection and forgets prepared
    /// statements: PgBouncer with `pool_mode=transaction` before 1.21, or with `max_prepared_statements=0`,
    /// and Supavisor on its port 6543. Each operation is then a transaction of its own, of four round trips.
    #[must_use]
    pub fn prepared(mut self, prepared: bool) -> Self {
        Arc::make_mut(&mut self.settings).prepared = prepared;
        self
    }

    /// Sets the table's name (connect-pg-simple: `tableName`). Default: `session`.
    ///
    /// # Errors
    /// [`InvalidIdentifier`] when the name is not a table name.
    pub fn table(mut self, name: &str) -> Result<Self, InvalidIdentifier> {
        Arc::make_mut(&mut self.settings).set_table(name)?;
        Ok(self)
    }

    /// Sets the schema's name (connect-pg-simple: `schemaName`). Default: the connection's search path.
    ///
    /// # Errors
    /// [`InvalidIdentifier`] when the name is not a schema name.
    pub fn schema(mut self, name: &str) -> Result<Self, InvalidIdentifier> {
        Arc::make_mut(&mut self.settings).set_schema(name)?;
        Ok(self)
    }

    /// Sets the time zone that `expire` is written in, as Postgres names it (`America/New_York`). Default:
    /// `UTC`.
    ///
    /// If Express shares the table, this has to be the server's `timezone`.
    #[must_use]
    pub fn time_zone(mut self, name: impl Into<String>) -> Self {
        Arc::make_mut(&mut self.settings).time_zone = name.into();
        self
    }

    /// Whether the store announces the end of each session, for [`watch`](crate::SessionStore::watch).
    /// Default: `false`.
    ///
    /// `destroy` and `destroy_if` then also notify a channel that is named after the table, `session_ends`,
    /// and `watch` listens to it, on a connection of its own beside the pool. Say it in every process.
    /// Every user of the database may listen to the channel, and hears ids of sessions that are over.
    /// Listening works through no pooler in transaction mode: `watch` then hears nothing.
    #[must_use]
    pub fn announce_ends(mut self, announce: bool) -> Self {
        Arc::make_mut(&mut self.settings).set_announce_ends(announce);
        self
    }

    /// Creates the tables and their index, if they do not exist: that of the sessions, and one beside it,
    /// named after it, in which the store keeps which sessions a user has
    /// ([`UserIndex`](crate::UserIndex)). By hand:
    ///
    /// ```sql
    /// CREATE TABLE session_users ("user" varchar COLLATE "C" PRIMARY KEY, log text NOT NULL);
    /// ```
    ///
    /// The store needs the same rights to it. Without the second table the sessions work; only calls that are
    /// about a user fail. [`check`](crate::SessionStore::check) does not look at it.
    ///
    /// # Errors
    /// [`StoreError::unavailable`].
    pub async fn migrate(&self) -> Result<(), StoreError> {
        let (table, index) = (self.settings.quoted_table(), &self.settings.table);
        let users = self.settings.quoted_users();
        // Two processes that start together could both find the table missing. The lock admits one at a time.
        let sql = format!(
            "SELECT pg_advisory_xact_lock(hashtext('sessile {index}'));
             CREATE TABLE IF NOT EXISTS {table}
               (sid varchar NOT NULL COLLATE \"default\" PRIMARY KEY, sess json NOT NULL, expire timestamp(6) NOT NULL);
             CREATE INDEX IF NOT EXISTS \"IDX_{index}_expire\" ON {table} (expire);
             CREATE TABLE IF NOT EXISTS {users} (\"user\" varchar COLLATE \"C\" PRIMARY KEY, log text NOT NULL)"
        );
        let work = async {
            let mut lent = self.lender.lend(self.settings.test_limit()).await?;
            let mut transaction = lent.connection()?.begin().await?;
            sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *transaction).await?;
            transaction.commit().await
        };
        with_timeout(self.settings.timeout, async { work.await.map_err(StoreError::unavailable) }).await
    }
}

/// Makes the server end a statement that the store has given up, because of a lock say. The connections that
/// replace those of the pool would otherwise use up what the server has.
async fn end_abandoned_statements(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    // PostgreSQL 14, as `server_version_num` says it.
    if connection.server_version_num() >= Some(140_000) {
        let set = connection.execute("SET client_connection_check_interval = 1000").await;
        // Only Linux has what the setting needs.
        if set.as_ref().is_err_and(|error| error.as_database_error().is_none()) {
            return set.map(drop);
        }
    }
    Ok(())
}

shared_calls!(PostgresStore, Postgres, watch: announced::ends);
user_calls!(PostgresStore, Postgres);

const DIALECT: Dialect = Dialect {
    quote: '"',
    statements,
    judge: layout::postgres::judge,
    key: |id| Cow::Borrowed(id.as_str()),
    is_remote: true,
    returning: true,
    keys_at_once: None,
};

/// The statements over a table. `$1` is the id and `$2` the time zone, except in `sweep` and `len`, which
/// have no id.
fn statements(&Names { table, users, ends }: &Names<'_>) -> Statements {
    use Param::{Expected, Id, KeyList, Record, Text, TimeZone, TtlSeconds};
    const EXPIRY: &str =
        "to_timestamp(ceil(date_part('epoch', clock_timestamp()) + $3::bigint)) AT TIME ZONE $2";
    const LIVE: &str = "expire AT TIME ZONE $2 > clock_timestamp()";
    const REMAINING: &str =
        "(date_part('epoch', (expire AT TIME ZONE $2) - clock_timestamp()) * 1000)::bigint";
    let announced = |delete: String| match ends {
        Some(channel) => {
            format!("WITH gone AS ({delete} RETURNING sid) SELECT pg_notify('{channel}', sid) FROM gone")
        }
        None => delete,
    };
    Statements {
        get: Statement::new(
            format!("SELECT sess::text, {REMAINING} FROM {table} WHERE sid = $1 AND {LIVE}"),
            &[Id, TimeZone],
        ),
        get_many: Statement::new(
            format!(
                "SELECT sess::text, {REMAINING}, sid FROM {table}
                 WHERE sid = ANY (ARRAY(SELECT json_array_elements_text($1::json))) AND {LIVE}"
            ),
            &[KeyList, TimeZone],
        ),
        ids: Statement::new(
            format!("SELECT sid FROM {table} WHERE sid > $1 AND {LIVE} ORDER BY sid LIMIT {PAGE}"),
            &[Text, TimeZone],
        ),
        set: Statement::new(
            format!(
                "INSERT INTO {table} (sid, sess, expire) VALUES ($1, $4::json, {EXPIRY})
                 ON CONFLICT (sid) DO UPDATE SET sess = excluded.sess, expire = excluded.expire"
            ),
            &[Id, TimeZone, TtlSeconds, Record],
        ),
        destroy: Statement::new(announced(format!("DELETE FROM {table} WHERE sid = $1")), &[Id]),
        touch: Statement::new(
            format!("UPDATE {table} SET expire = {EXPIRY} WHERE sid = $1 AND {LIVE}"),
            &[Id, TimeZone, TtlSeconds],
        ),
        create: Statement::new(
            format!(
                "INSERT INTO {table} AS t (sid, sess, expire) VALUES ($1, $4::json, {EXPIRY})
                 ON CONFLICT (sid) DO UPDATE SET sess = excluded.sess, expire = excluded.expire
                 WHERE NOT (t.{LIVE})"
            ),
            &[Id, TimeZone, TtlSeconds, Record],
        ),
        insert_nothing: Statement::new(
            format!(
                "INSERT INTO {table} (sid, sess, expire) SELECT $1, $4::json, {EXPIRY} WHERE false
                 ON CONFLICT (sid) DO UPDATE SET sess = excluded.sess, expire = excluded.expire"
            ),
            &[Id, TimeZone, TtlSeconds, Record],
        ),
        take_over: None,
        // If another transaction has locked the row, `replace` and `destroy_if` wait for its end. Postgres
        // then checks their conditions again, on the row as that transaction has left it.
        replace: Statement::new(
            format!(
                "UPDATE {table} SET sess = $4::json, expire = {EXPIRY} WHERE sid = $1 AND {LIVE} AND sess::text = $5"
            ),
            &[Id, TimeZone, TtlSeconds, Record, Expected],
        ),
        destroy_if: Statement::new(
            announced(format!("DELETE FROM {table} WHERE sid = $1 AND {LIVE} AND sess::text = $3")),
            &[Id, TimeZone, Expected],
        ),
        sweep: Statement::new(
            format!("DELETE FROM {table} WHERE expire AT TIME ZONE $1 <= clock_timestamp()"),
            &[TimeZone],
        ),
        len: Statement::new(
            format!("SELECT count(*) FROM {table} WHERE expire AT TIME ZONE $1 > clock_timestamp()"),
            &[TimeZone],
        ),
        clear: Statement::new(format!("DELETE FROM {table}"), &[]),
        layout: layout::postgres::statement(table),
        users: UserStatements::returning(users),
    }
}

impl fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresStore")
            .field("table", &self.settings.quoted_table())
            .field("time_zone", &self.settings.time_zone)
            .finish_non_exhaustive()
    }
}
