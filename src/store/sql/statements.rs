//! The settings of a SQL store: its options, and the statements that follow from them.

#![cfg_attr(
    not(all(feature = "postgres", feature = "mysql", feature = "sqlite")),
    allow(dead_code, reason = "no database uses all parameters and options")
)]

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use sqlx::query::Query;
use sqlx::{AssertSqlSafe, Database, Encode, Type};

use super::identifier::{InvalidIdentifier, identifier};
use super::layout::{Layout, Misfit};
use super::row::{expected_hash, expected_text, record_text, text_hash};
use super::statement::{Param, Statement, Values};
use super::user_table::{UserStatements, beside};
use crate::clock::{Clock as _, SystemClock};
use crate::id::SessionId;
use crate::store::retry::{DEFAULT_TIMEOUT, whole_seconds};

/// How many ids one statement of `get_many` names, where it can name any number.
const IDS_PER_PAGE: usize = 2500;

/// How many keys a statement of `ids` selects.
pub(super) const PAGE: usize = 1000;

/// What follows the name of the sessions' table in that of the users' texts.
const USERS: &str = "_users";

/// The statements over one table.
#[derive(Clone)]
pub(super) struct Statements {
    /// Selects what [`to_stored`](super::row::to_stored) reads: the record of a live session, and the
    /// milliseconds until it expires.
    pub(super) get: Statement,
    /// Selects the same for many ids, and the key of each row.
    pub(super) get_many: Statement,
    /// Selects the keys of live sessions after a key, in their order, a page of them.
    pub(super) ids: Statement,
    /// Inserts a record, or overwrites the one that is stored.
    pub(super) set: Statement,
    /// Removes a record.
    pub(super) destroy: Statement,
    /// Sets the expiry of a live record.
    pub(super) touch: Statement,
    /// Inserts a record unless a live one has the id. Overwrites an expired one, unless there is a
    /// `take_over`.
    pub(super) create: Statement,
    /// Inserts no row, with the rights and columns that an insertion needs, and only into a table whose ids
    /// are unique if the server can tell.
    pub(super) insert_nothing: Statement,
    /// Overwrites an expired record. MySQL needs it as the second statement of a `create` whose id is taken.
    pub(super) take_over: Option<Statement>,
    /// Overwrites a live record that is still the expected one.
    pub(super) replace: Statement,
    /// Removes a live record that is still the expected one.
    pub(super) destroy_if: Statement,
    /// Removes all expired records.
    pub(super) sweep: Statement,
    /// Counts the live records.
    pub(super) len: Statement,
    /// Removes all records.
    pub(super) clear: Statement,
    /// Asks the database's catalog what [`Layout::from_row`] reads.
    pub(super) layout: Statement,
    pub(super) users: UserStatements,
}

/// What is particular to one database.
#[derive(Clone, Copy)]
pub(super) struct Dialect {
    /// The character before and after a name.
    pub(super) quote: char,
    /// Makes the statements over a table.
    pub(super) statements: fn(&Names<'_>) -> Statements,
    /// Finds what keeps a table from holding sessions. The table's name is in quotes.
    pub(super) judge: fn(&Layout, &str) -> Result<(), Misfit>,
    /// Makes the key of a row from a session's id.
    pub(super) key: fn(&SessionId) -> Cow<'_, str>,
    /// Whether connections lead to a server, over a network that may fall silent.
    pub(super) is_remote: bool,
    /// Whether a statement can return what it has written.
    pub(super) returning: bool,
    /// How many keys one statement can name. `None`: any number, as one parameter.
    pub(super) keys_at_once: Option<usize>,
}

/// The names that stand in statements.
pub(super) struct Names<'n> {
    /// The sessions' table, in quotes.
    pub(super) table: &'n str,
    /// The table of the users' texts, in quotes.
    pub(super) users: &'n str,
    /// The channel on which the ends of sessions are announced, if they are. Only Postgres has channels.
    pub(super) ends: Option<&'n str>,
}

/// The options of a store, and the statements that follow from them.
#[derive(Clone)]
pub(super) struct Settings {
    dialect: Dialect,
    /// The schema of the table. `None` if the option is not set, and always in MySQL and SQLite.
    schema: Option<String>,
    pub(super) table: String,
    /// The time zone of Postgres' `expire` column. The other stores do not use it.
    pub(super) time_zone: String,
    pub(super) timeout: Duration,
    /// Whether connections keep their prepared statements. An option of Postgres; always on in the other
    /// stores.
    pub(super) prepared: bool,
    /// Whether the ends of sessions are announced. An option of Postgres.
    announce_ends: bool,
    pub(super) statements: Statements,
}

impl Settings {
    /// The default settings of a store.
    pub(super) fn new(dialect: Dialect, table: &str) -> Self {
        let [sessions, users] =
            [table.to_owned(), beside(table, USERS)].map(|name| quoted(dialect.quote, None, &name));
        let statements = (dialect.statements)(&Names { table: &sessions, users: &users, ends: None });
        Self {
            dialect,
            schema: None,
            table: table.to_owned(),
            time_zone: "UTC".to_owned(),
            timeout: DEFAULT_TIMEOUT,
            prepared: true,
            announce_ends: false,
            statements,
        }
    }

    /// Makes the statements again, after an option has changed that they depend on.
    fn make_statements(&mut self) {
        let (table, users, ends) = (self.quoted_table(), self.quoted_users(), self.ends_channel());
        let names = Names { table: &table, users: &users, ends: ends.as_deref() };
        self.statements = (self.dialect.statements)(&names);
    }

    pub(super) fn set_table(&mut self, name: &str) -> Result<(), InvalidIdentifier> {
        self.table = identifier(name)?.to_owned();
        self.make_statements();
        Ok(())
    }

    pub(super) fn set_schema(&mut self, name: &str) -> Result<(), InvalidIdentifier> {
        self.schema = Some(identifier(name)?.to_owned());
        self.make_statements();
        Ok(())
    }

    pub(super) fn set_announce_ends(&mut self, announce: bool) {
        self.announce_ends = announce;
        self.make_statements();
    }

    /// The channel on which the ends of sessions are announced, if they are.
    ///
    /// Without the schema's name, because one store may name it and another one find the table by its search
    /// path.
    pub(super) fn ends_channel(&self) -> Option<String> {
        self.announce_ends.then(|| beside(&self.table, "_ends"))
    }

    pub(super) fn key<'i>(&self, id: &'i SessionId) -> Cow<'i, str> {
        (self.dialect.key)(id)
    }

    /// How many ids a statement of [`get_many`](Self::get_many) names at most.
    pub(super) fn keys_at_once(&self) -> usize {
        self.dialect.keys_at_once.unwrap_or(IDS_PER_PAGE)
    }

    /// The statement that reads this many ids.
    pub(super) fn get_many(&self, keys: usize) -> Cow<'_, Statement> {
        let statement = &self.statements.get_many;
        if self.dialect.keys_at_once.is_none() {
            return Cow::Borrowed(statement);
        }
        let marks = format!("(?{})", ", ?".repeat(padded(keys) - 1));
        Cow::Owned(Statement::new(statement.sql.replacen("(?)", &marks, 1), statement.params))
    }

    /// Finds what keeps the table from holding sessions.
    pub(super) fn judge(&self, layout: &Layout) -> Result<(), Misfit> {
        (self.dialect.judge)(layout, &self.quoted_table())
    }

    pub(super) fn returns_what_it_writes(&self) -> bool {
        self.dialect.returning
    }

    /// How long a connection may take to answer before it goes back to its pool. `None` if it leads to no
    /// server.
    ///
    /// Half of the timeout: the connections that have fallen silent are closed when one and a half of it has
    /// passed, and the requests that wait for a place in the pool still have the other half to connect.
    pub(super) fn test_limit(&self) -> Option<Duration> {
        self.dialect.is_remote.then_some(self.timeout / 2)
    }

    /// The table's name in quotes, after its schema's if that is named.
    pub(super) fn quoted_table(&self) -> String {
        quoted(self.dialect.quote, self.schema.as_deref(), &self.table)
    }

    /// The name of the table of the users' texts, in the same way.
    pub(super) fn quoted_users(&self) -> String {
        quoted(self.dialect.quote, self.schema.as_deref(), &beside(&self.table, USERS))
    }

    /// A statement with its parameters bound, to be executed once.
    pub(super) fn query<DB>(
        &self,
        statement: &Statement,
        values: &Values<'_>,
    ) -> Query<'static, DB, DB::Arguments>
    where
        DB: Database,
        for<'v> &'v str: Encode<'v, DB> + Type<DB>,
        for<'v> String: Encode<'v, DB> + Type<DB>,
        for<'v> i64: Encode<'v, DB> + Type<DB>,
    {
        // Invariant: every name in the text has passed `identifier`, so callers cannot inject SQL.
        let query = sqlx::query(AssertSqlSafe(Arc::clone(&statement.sql)));
        statement.params.iter().fold(query, |query, param| match param {
            Param::Id => query.bind(&*provided(values.id).map(self.dialect.key).unwrap_or_default()),
            Param::Record => query.bind(provided(values.record).map_or("", record_text)),
            Param::Expected => query.bind(provided(values.expected).map_or("", expected_text)),
            Param::ExpectedHash => {
                query.bind(provided(values.expected).map(expected_hash).unwrap_or_default())
            }
            Param::TtlSeconds => query.bind(whole_seconds(values.ttl)),
            Param::TtlMillis => query.bind(i64::try_from(values.ttl.as_millis()).unwrap_or(i64::MAX)),
            Param::Now => query.bind(now()),
            Param::TimeZone => query.bind(&*self.time_zone),
            Param::KeyList => query.bind(&*serde_json::to_string(values.keys).unwrap_or_default()),
            Param::EachKey => {
                let last = values.keys.last().map(|last| &**last).unwrap_or_default();
                let count = padded(values.keys.len()) - values.keys.len();
                let keys = values.keys.iter().map(|key| &**key);
                keys.chain(std::iter::repeat_n(last, count)).fold(query, |query, key| query.bind(key))
            }
            Param::User => query.bind(values.user),
            Param::Text => query.bind(values.text),
            Param::Was => query.bind(values.was),
            Param::WasHash => query.bind(text_hash(values.was.as_bytes())),
        })
    }
}

/// How many parameters a statement has for this many keys. The last key fills the rest, so that a connection
/// prepares few statements however many keys there are.
fn padded(keys: usize) -> usize {
    keys.max(1).next_power_of_two()
}

fn quoted(quote: char, schema: Option<&str>, table: &str) -> String {
    match schema {
        Some(schema) => format!("{quote}{schema}{quote}.{quote}{table}{quote}"),
        None => format!("{quote}{table}{quote}"),
    }
}

/// Invariant: a call provides every value that its statement has a parameter for.
fn provided<T>(value: Option<T>) -> Option<T> {
    debug_assert!(value.is_some(), "the call has no value for a parameter of its statement");
    value
}

/// The wall clock, in milliseconds since 1970, as JavaScript's `Date.now()`. No other code of the SQL stores
/// reads it.
fn now() -> i64 {
    let since_1970 = SystemClock.now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_1970.as_millis()).unwrap_or(i64::MAX)
}
