//! The texts in which a SQL store notes each user's sessions: a table beside that of the sessions.

use std::borrow::Cow;
use std::collections::HashMap;
use std::error::Error as _;

use sha2::{Digest as _, Sha256};
use sqlx::{ColumnIndex, Decode, Row, Type};

use super::row::to_stored;
use super::statements::{Param, Statement};
use crate::error::StoreError;
use crate::store::Stored;

/// The longest name that each of the databases takes.
const MAX_NAME_LEN: usize = 63;

/// The statements over the table of the users' texts, which has the columns `user` and `log`.
#[derive(Clone)]
pub(super) struct UserStatements {
    pub(super) read: Statement,
    /// Returns the text, or, where the database cannot, is followed by `read`.
    pub(super) append: Statement,
    pub(super) replace: Statement,
    /// Inserts a text where there is none.
    pub(super) insert: Statement,
    pub(super) remove: Statement,
}

impl UserStatements {
    /// For a database that returns what it has written.
    #[cfg(any(feature = "postgres", feature = "sqlite"))]
    pub(super) fn returning(users: &str) -> Self {
        use Param::{Text, User, Was};
        let insert = format!("INSERT INTO {users} AS t (\"user\", log) VALUES ($1, $2)");
        let append = "ON CONFLICT (\"user\") DO UPDATE SET log = t.log || excluded.log RETURNING log";
        Self {
            read: Statement::new(format!("SELECT log FROM {users} WHERE \"user\" = $1"), &[User]),
            append: Statement::new(format!("{insert} {append}"), &[User, Text]),
            replace: Statement::new(
                format!("UPDATE {users} SET log = $2 WHERE \"user\" = $1 AND log = $3"),
                &[User, Text, Was],
            ),
            insert: Statement::new(format!("{insert} ON CONFLICT (\"user\") DO NOTHING"), &[User, Text]),
            remove: Statement::new(
                format!("DELETE FROM {users} WHERE \"user\" = $1 AND log = $2"),
                &[User, Was],
            ),
        }
    }

    #[cfg(feature = "mysql")]
    pub(super) fn mysql(users: &str) -> Self {
        use Param::{Text, User, WasHash};
        // The hash stands for the old text because `max_allowed_packet` limits the length of a statement.
        const SAME: &str = "SHA2(CONVERT(`log` USING utf8mb4), 256) = ?";
        let insert = format!("INSERT INTO {users} (`user`, `log`) VALUES (?, ?)");
        // A text that is longer than a packet is NULL. In place of it the old one stays, and the caller notices.
        let append = "ON DUPLICATE KEY UPDATE `log` = COALESCE(CONCAT(`log`, VALUES(`log`)), `log`)";
        Self {
            read: Statement::new(format!("SELECT `log` FROM {users} WHERE `user` = ?"), &[User]),
            append: Statement::new(format!("{insert} {append}"), &[User, Text]),
            replace: Statement::new(
                format!("UPDATE {users} SET `log` = ? WHERE `user` = ? AND {SAME}"),
                &[Text, User, WasHash],
            ),
            insert: Statement::new(insert, &[User, Text]),
            remove: Statement::new(
                format!("DELETE FROM {users} WHERE `user` = ? AND {SAME}"),
                &[User, WasHash],
            ),
        }
    }
}

/// The name of something that belongs to a table. Where it would be too long, the end of the table's name is
/// replaced by a hash: Postgres would cut the name off, and take two for the same.
pub(super) fn beside(table: &str, suffix: &str) -> String {
    if table.len() + suffix.len() <= MAX_NAME_LEN {
        return format!("{table}{suffix}");
    }
    let hash = base16ct::lower::encode_string(&Sha256::digest(table)[..4]);
    // Invariant: a table's name is ASCII.
    let kept = table.get(..MAX_NAME_LEN - suffix.len() - hash.len() - 1).unwrap_or_default();
    format!("{kept}_{hash}{suffix}")
}

/// The table of the users' texts is missing, as in a database that an earlier version has set up.
#[derive(Debug, thiserror::Error)]
#[error(
    "the session store has no table {table}, in which it keeps which sessions a user has: `migrate()` creates it, and its documentation says how to create it by hand"
)]
struct UsersTableMissing {
    table: String,
    source: StoreError,
}

/// Says what to do if an error says that the table is missing.
pub(super) fn say_if_missing(error: StoreError, table: String) -> StoreError {
    let source = error.source().and_then(|source| source.downcast_ref::<sqlx::Error>());
    let is_missing = source.and_then(sqlx::Error::as_database_error).is_some_and(|error| {
        // Postgres' `undefined_table`, MySQL's `ER_NO_SUCH_TABLE`; SQLite has one code for all faults of a statement.
        error.code().is_some_and(|code| matches!(&*code, "42P01" | "42S02"))
            || error.message().starts_with("no such table")
    });
    if is_missing { StoreError::unavailable(UsersTableMissing { table, source: error }) } else { error }
}

/// What an append returned that was not carried out.
pub(super) fn too_long() -> StoreError {
    StoreError::unavailable(
        "the text of a user's sessions would be longer than `max_allowed_packet` of the server allows",
    )
}

/// Reads a row of `get_many`: what [`to_stored`] reads, and the key of the row. What is no record is `None`.
pub(super) fn to_keyed<'r, R>(row: &'r R) -> Result<(String, Option<Stored>), StoreError>
where
    R: Row,
    usize: ColumnIndex<R>,
    Option<Vec<u8>>: Decode<'r, R::Database>,
    String: Decode<'r, R::Database>,
    i64: Decode<'r, R::Database> + Type<R::Database>,
{
    let key = row.try_get_unchecked(2).map_err(StoreError::unavailable)?;
    match to_stored(row) {
        Err(error) if error.is_corrupt() => Ok((key, None)),
        stored => Ok((key, Some(stored?))),
    }
}

/// Puts what was found into the order in which it was asked for. A key may have been asked for more than once.
pub(super) fn in_order(
    keys: &[Cow<'_, str>],
    found: &HashMap<String, Option<Stored>>,
) -> Vec<Option<Stored>> {
    keys.iter().map(|key| found.get(&**key).cloned().flatten()).collect()
}

/// Implements [`UserIndex`](crate::store::users::UserIndex), and what `get_many` calls, for a store with
/// [`shared_calls`](super::calls::shared_calls).
macro_rules! user_calls {
    ($store:ident, $database:ty) => {
        const _: () = {
            use std::collections::HashMap;

            use futures_util::future::BoxFuture;
            use sqlx::{Connection as _, Row as _};

            use crate::error::StoreError;
            use crate::id::SessionId;
            use crate::store::sql::calls::{corrupt_if_no_text, is_id_taken};
            use crate::store::sql::statements::{Statement, Values};
            use crate::store::sql::users::{in_order, say_if_missing, to_keyed, too_long};
            use crate::store::users::UserIndex;
            use crate::store::{SessionStore as _, Stored};

            impl $store {
                /// What `get` returns for each of these ids, and `None` for what is no record.
                async fn find_many(&self, ids: &[SessionId]) -> Result<Vec<Option<Stored>>, StoreError> {
                    let keys: Vec<_> = ids.iter().map(|id| self.settings.key(id)).collect();
                    let mut found = HashMap::with_capacity(keys.len());
                    for keys in keys.chunks(self.settings.keys_at_once()) {
                        let values = Values { keys, ..Values::default() };
                        let statement = self.settings.get_many(keys.len());
                        let select = || self.select_all(&statement, values);
                        match self.with_retry(select).await.map_err(corrupt_if_no_text) {
                            Ok((rows, _)) => {
                                for row in &rows {
                                    let (key, stored) = to_keyed(row)?;
                                    found.insert(key, stored);
                                }
                            }
                            // One record has bytes that the server cannot send. Which one shows when each is read.
                            Err(error) if error.is_corrupt() => return self.find_each(ids).await,
                            Err(error) => return Err(error),
                        }
                    }
                    Ok(in_order(&keys, &found))
                }

                async fn find_each(&self, ids: &[SessionId]) -> Result<Vec<Option<Stored>>, StoreError> {
                    let mut found = Vec::with_capacity(ids.len());
                    for id in ids {
                        found.push(match self.get(id).await {
                            Err(error) if error.is_corrupt() => None,
                            answer => answer?,
                        });
                    }
                    Ok(found)
                }

                /// Executes a statement that returns rows.
                async fn select_all(
                    &self,
                    statement: &Statement,
                    values: Values<'_>,
                ) -> Result<Vec<<$database as sqlx::Database>::Row>, sqlx::Error> {
                    let mut lent = self.lend().await?;
                    let answer = async {
                        let query = self.settings.query::<$database>(statement, &values);
                        let connection = lent.connection()?;
                        if self.settings.prepared {
                            return query.fetch_all(connection).await;
                        }
                        let mut transaction = connection.begin().await?;
                        let rows = query.persistent(false).fetch_all(&mut *transaction).await?;
                        transaction.commit().await.map(|()| rows)
                    }
                    .await;
                    lent.answered(answer)
                }

                async fn read_text(&self, user: &str) -> Result<String, StoreError> {
                    let values = Values { user, ..Values::default() };
                    let select = || self.select(&self.settings.statements.users.read, values);
                    let (row, _) = self.with_retry(select).await?;
                    let text = row.map(|row| row.try_get_unchecked(0)).transpose();
                    Ok(text.map_err(StoreError::unavailable)?.unwrap_or_default())
                }

                async fn append_line(&self, user: &str, text: &str) -> Result<String, StoreError> {
                    let values = Values { user, text, ..Values::default() };
                    let (row, _) = self.with_retry(|| self.append_once(values)).await?;
                    let text = row.map(|row| row.try_get_unchecked(0)).transpose();
                    text.map_err(StoreError::unavailable)?.ok_or_else(too_long)
                }

                /// The row of the text with the line, or `None` if the line was not appended.
                async fn append_once(
                    &self,
                    values: Values<'_>,
                ) -> Result<Option<<$database as sqlx::Database>::Row>, sqlx::Error> {
                    let users = &self.settings.statements.users;
                    if self.settings.returns_what_it_writes() {
                        return self.select(&users.append, values).await;
                    }
                    let mut lent = self.lend().await?;
                    let answer = async {
                        // In one transaction, so that nobody can replace the text before it is read.
                        let mut transaction = lent.connection()?.begin().await?;
                        let append = self.settings.query::<$database>(&users.append, &values);
                        let done = append.execute(&mut *transaction).await?;
                        let read = self.settings.query::<$database>(&users.read, &values);
                        let row = read.fetch_one(&mut *transaction).await?;
                        // A row that was there and has changed counts as two.
                        let has_changed = done.rows_affected() == 2;
                        if !has_changed && row.try_get_unchecked::<String, _>(0)? != values.text {
                            return transaction.rollback().await.map(|()| None);
                        }
                        transaction.commit().await.map(|()| Some(row))
                    }
                    .await;
                    lent.answered(answer)
                }

                async fn replace_text(&self, user: &str, was: &str, text: &str) -> Result<bool, StoreError> {
                    let users = &self.settings.statements.users;
                    let values = Values { user, text, was, ..Values::default() };
                    let statement = match (was, text) {
                        ("", "") => return Ok(self.read_text(user).await?.is_empty()),
                        ("", _) => &users.insert,
                        (_, "") => &users.remove,
                        _ => &users.replace,
                    };
                    let write = || async {
                        match self.execute(statement, values).await {
                            Err(error) if was.is_empty() && is_id_taken(&error) => Ok(0),
                            done => done,
                        }
                    };
                    self.with_retry(write).await.map(|(rows, _)| rows > 0)
                }

                fn say_if_missing(&self) -> impl Fn(StoreError) -> StoreError {
                    |error| say_if_missing(error, self.settings.quoted_users())
                }
            }

            impl UserIndex for $store {
                fn read<'a>(&'a self, user: &'a str) -> BoxFuture<'a, Result<String, StoreError>> {
                    Box::pin(async { self.read_text(user).await.map_err(self.say_if_missing()) })
                }

                fn append<'a>(
                    &'a self,
                    user: &'a str,
                    line: &'a str,
                ) -> BoxFuture<'a, Result<String, StoreError>> {
                    Box::pin(async { self.append_line(user, line).await.map_err(self.say_if_missing()) })
                }

                fn replace<'a>(
                    &'a self,
                    user: &'a str,
                    expected: &'a str,
                    text: &'a str,
                ) -> BoxFuture<'a, Result<bool, StoreError>> {
                    Box::pin(async move {
                        self.replace_text(user, expected, text).await.map_err(self.say_if_missing())
                    })
                }
            }
        };
    };
}
pub(super) use user_calls;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_beside_a_long_one_is_its_own_and_no_longer_than_allowed() {
        assert_eq!(beside("session", "_users"), "session_users");
        let mut names = Vec::new();
        for table in ["x".repeat(57), "x".repeat(58), "x".repeat(62) + "y", "x".repeat(63)] {
            for suffix in ["_users", "_ends"] {
                names.push(beside(&table, suffix));
            }
            names.push(table);
        }
        assert!(names.iter().all(|name| name.len() <= MAX_NAME_LEN), "{names:?}");
        let distinct: std::collections::HashSet<_> = names.iter().collect();
        assert_eq!(distinct.len(), names.len());
    }
}
