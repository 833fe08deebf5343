//! The calls of a SQL store that are about a user's sessions, or about many sessions.

use std::borrow::Cow;
use std::collections::HashMap;
use std::error::Error as _;

use sqlx::{ColumnIndex, Decode, Row, Type};

use super::row::to_stored;
use crate::error::StoreError;
use crate::store::Stored;

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
        // Postgres' `undefined_table`, MySQL's `ER_NO_SUCH_TABLE`; SQLite has one code for all faults of a
        // statement.
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

/// How many pages of ids are asked for at the same time, over a connection each.
pub(super) const PAGES_AT_ONCE: usize = 2;

/// Puts what was found into the order in which it was asked for. A key may have been asked for more than
/// once.
pub(super) fn in_order(keys: &[Cow<'_, str>], found: HashMap<String, Option<Stored>>) -> Vec<Option<Stored>> {
    keys.iter().map(|key| found.get(&**key).cloned().flatten()).collect()
}

/// Implements [`UserIndex`](crate::store::users::UserIndex), and what `get_many` calls, for a store with
/// [`shared_calls`](super::calls::shared_calls).
macro_rules! user_calls {
    ($store:ident, $database:ty) => {
        const _: () = {
            use std::borrow::Cow;

            use futures_util::future::BoxFuture;
            use futures_util::{FutureExt as _, StreamExt as _, TryStreamExt as _, stream};
            use sqlx::{Connection as _, Row as _};

            use crate::error::StoreError;
            use crate::id::SessionId;
            use crate::store::sql::calls::{corrupt_if_no_text, is_id_taken};
            use crate::store::sql::statement::{Statement, Values};
            use crate::store::sql::users::{PAGES_AT_ONCE, in_order, say_if_missing, to_keyed, too_long};
            use crate::store::users::UserIndex;
            use crate::store::{SessionStore as _, Stored};

            impl $store {
                /// What `get` returns for each of these ids, and `None` for what is no record.
                async fn find_many(&self, ids: &[SessionId]) -> Result<Vec<Option<Stored>>, StoreError> {
                    let keys: Vec<_> = ids.iter().map(|id| self.settings.key(id)).collect();
                    // Boxed, because the compiler cannot show otherwise that this future can be sent between
                    // threads.
                    let pages: Vec<BoxFuture<'_, _>> = keys
                        .chunks(self.settings.keys_at_once())
                        .map(|page| self.find_page(page).boxed())
                        .collect();
                    let found = stream::iter(pages).buffer_unordered(PAGES_AT_ONCE).try_concat().await;
                    match found {
                        Ok(found) => Ok(in_order(&keys, found.into_iter().collect())),
                        // One record has bytes that the server cannot send. Which one shows when each is read.
                        Err(error) if error.is_corrupt() => self.find_each(ids).await,
                        Err(error) => Err(error),
                    }
                }

                async fn find_page(
                    &self,
                    keys: &[Cow<'_, str>],
                ) -> Result<Vec<(String, Option<Stored>)>, StoreError> {
                    let values = Values { keys, ..Values::default() };
                    let statement = self.settings.get_many(keys.len());
                    // Each record is read while the server sends the next ones.
                    let select = || self.select_all(&statement, values, |row| to_keyed(row));
                    let (rows, _) = self.with_retry(select).await.map_err(corrupt_if_no_text)?;
                    rows.into_iter().collect()
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

                /// The keys of a page of live sessions after this key.
                async fn keys_after(&self, text: &str) -> Result<Vec<String>, StoreError> {
                    let values = Values { text, ..Values::default() };
                    let statement = &self.settings.statements.ids;
                    let select = || self.select_all(statement, values, |row| row.try_get_unchecked(0));
                    let (keys, _) = self.with_retry(select).await?;
                    keys.into_iter().collect::<Result<_, _>>().map_err(StoreError::unavailable)
                }

                /// Executes a statement that returns rows, and reads each of them.
                async fn select_all<T: Send>(
                    &self,
                    statement: &Statement,
                    values: Values<'_>,
                    read: fn(&<$database as sqlx::Database>::Row) -> T,
                ) -> Result<Vec<T>, sqlx::Error> {
                    let mut lent = self.lend().await?;
                    let answer = async {
                        let query = self.settings.query::<$database>(statement, &values);
                        let connection = lent.connection()?;
                        let read = |row| read(&row);
                        if self.settings.prepared {
                            return query.fetch(connection).map_ok(read).try_collect().await;
                        }
                        let mut transaction = connection.begin().await?;
                        let rows = query.persistent(false).fetch(&mut *transaction).map_ok(read);
                        let rows = rows.try_collect().await?;
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
