//! The calls that are the same in every SQL store.

use std::error::Error as _;

use sqlx::Error;
use tokio::time::error::Elapsed;

use crate::error::StoreError;

/// Implements the calls of a store with the fields `lender: Lender<$database>` and `settings: Arc<Settings>`.
///
/// This is a macro and not a generic type because the latter would repeat, at every call, the bounds under
/// which `sqlx` executes statements in any database.
macro_rules! shared_calls {
    ($store:ident, $database:ty $(, watch: $watch:path)?) => {
        // The block holds the imports of the calls.
        const _: () = {
            use std::sync::Arc;
            use std::time::Duration;

            use futures_util::stream::{self, BoxStream, StreamExt as _, TryStreamExt as _};
            use sqlx::{Connection as _, FromRow as _};

            use crate::error::StoreError;
            use crate::id::SessionId;
            use crate::record::Record;
            use crate::store::retry::{self, Attempt, DriverError};
            use crate::store::sql::calls::{corrupt_if_no_text, is_id_taken, is_timeout};
            use crate::store::sql::check::CheckFailed;
            use crate::store::sql::layout::Layout;
            use crate::store::sql::lent::{Lent, test_idle};
            use crate::store::sql::row::to_stored;
            use crate::store::sql::statement::{Statement, Values};
            use crate::store::sql::statements::Statements;
            use crate::store::sweeper::SweepHandle;
            use crate::store::users::UserIndex;
            use crate::store::version::Version;
            use crate::store::{Replaced, SessionStore, Stored};

            impl $store {
                /// Sets the longest that one operation may take, a retry included. Default: 5 seconds.
                #[must_use]
                pub fn timeout(mut self, timeout: Duration) -> Self {
                    Arc::make_mut(&mut self.settings).timeout = timeout;
                    self
                }

                /// How many live sessions there are.
                ///
                /// # Errors
                /// [`StoreError::unavailable`](crate::StoreError::unavailable).
                pub async fn len(&self) -> Result<u64, StoreError> {
                    let count = || self.select(&self.settings.statements.len, Values::default());
                    let (row, _) = self.with_retry(count).await?;
                    let count = row.map(|row| <(i64,)>::from_row(&row)).transpose();
                    let (count,) = count.map_err(StoreError::unavailable)?.unwrap_or_default();
                    Ok(u64::try_from(count).unwrap_or(0))
                }

                /// Whether there is no live session.
                ///
                /// # Errors
                /// [`StoreError::unavailable`](crate::StoreError::unavailable).
                pub async fn is_empty(&self) -> Result<bool, StoreError> {
                    Ok(self.len().await? == 0)
                }

                /// Removes every session.
                ///
                /// # Errors
                /// [`StoreError::unavailable`](crate::StoreError::unavailable).
                pub async fn clear(&self) -> Result<(), StoreError> {
                    self.write(&self.settings.statements.clear, &Values::default()).await.map(drop)
                }

                /// Removes the expired sessions, and returns how many there were.
                ///
                /// # Errors
                /// [`StoreError::unavailable`](crate::StoreError::unavailable).
                pub async fn sweep(&self) -> Result<u64, StoreError> {
                    self.write(&self.settings.statements.sweep, &Values::default())
                        .await
                        .map(|(rows, _)| rows)
                }

                /// Sweeps every `period` until the returned handle is dropped. An error is logged, and the
                /// next sweep happens as planned.
                ///
                /// # Panics
                /// Outside of a Tokio runtime.
                pub fn sweep_every(&self, period: Duration) -> SweepHandle {
                    let store = self.clone();
                    SweepHandle::start(period, move || {
                        let store = store.clone();
                        async move { store.sweep().await }
                    })
                }

                /// Executes a statement that changes rows, and returns how many it changed.
                async fn write(
                    &self,
                    statement: &Statement,
                    values: &Values<'_>,
                ) -> Result<(u64, Attempt), StoreError> {
                    self.with_retry(|| self.execute(statement, *values)).await
                }

                /// Executes a statement that changes rows once, and returns how many it changed.
                async fn execute(
                    &self,
                    statement: &Statement,
                    values: Values<'_>,
                ) -> Result<u64, sqlx::Error> {
                    let mut lent = self.lend().await?;
                    let answer = async {
                        let query = self.settings.query::<$database>(statement, &values);
                        let connection = lent.connection()?;
                        if self.settings.prepared {
                            return query.execute(connection).await;
                        }
                        let mut transaction = connection.begin().await?;
                        let done = query.persistent(false).execute(&mut *transaction).await?;
                        transaction.commit().await.map(|()| done)
                    }
                    .await;
                    lent.answered(answer.map(|done| done.rows_affected()))
                }

                /// Executes a statement that returns one row at most.
                async fn select(
                    &self,
                    statement: &Statement,
                    values: Values<'_>,
                ) -> Result<Option<<$database as sqlx::Database>::Row>, sqlx::Error> {
                    let mut lent = self.lend().await?;
                    let answer = async {
                        let query = self.settings.query::<$database>(statement, &values);
                        let connection = lent.connection()?;
                        if self.settings.prepared {
                            return query.fetch_optional(connection).await;
                        }
                        let mut transaction = connection.begin().await?;
                        let row = query.persistent(false).fetch_optional(&mut *transaction).await?;
                        transaction.commit().await.map(|()| row)
                    }
                    .await;
                    lent.answered(answer)
                }

                async fn lend(&self) -> Result<Lent<$database>, sqlx::Error> {
                    self.lender.lend(self.settings.test_limit()).await
                }

                /// The answer of a conditional write that changed no row.
                async fn conflict_or_gone(&self, id: &SessionId) -> Result<Replaced, StoreError> {
                    let stored = self.get(id).await?;
                    Ok(stored.map_or(Replaced::Gone, Replaced::Conflict))
                }

                async fn with_retry<T: Send, E: DriverError, F>(
                    &self,
                    operation: impl Fn() -> F + Send,
                ) -> Result<(T, Attempt), StoreError>
                where
                    F: Future<Output = Result<T, E>> + Send,
                {
                    let answer = retry::with_retry(self.settings.timeout, operation).await;
                    if answer.as_ref().is_err_and(is_timeout) {
                        test_idle(&self.lender, self.settings.test_limit());
                    }
                    answer
                }
            }

            impl SessionStore for $store {
                async fn get(&self, id: &SessionId) -> Result<Option<Stored>, StoreError> {
                    let values = Values { id: Some(id), ..Values::default() };
                    let select = || self.select(&self.settings.statements.get, values);
                    let (row, _) = self.with_retry(select).await.map_err(corrupt_if_no_text)?;
                    row.as_ref().map(to_stored).transpose()
                }

                async fn set(
                    &self,
                    id: &SessionId,
                    record: &Record,
                    ttl: Duration,
                ) -> Result<(), StoreError> {
                    let values = Values { id: Some(id), record: Some(record), ttl, ..Values::default() };
                    self.write(&self.settings.statements.set, &values).await.map(drop)
                }

                async fn destroy(&self, id: &SessionId) -> Result<(), StoreError> {
                    let values = Values { id: Some(id), ..Values::default() };
                    self.write(&self.settings.statements.destroy, &values).await.map(drop)
                }

                async fn touch(&self, id: &SessionId, ttl: Duration) -> Result<bool, StoreError> {
                    let values = Values { id: Some(id), ttl, ..Values::default() };
                    self.write(&self.settings.statements.touch, &values).await.map(|(rows, _)| rows > 0)
                }

                async fn create(
                    &self,
                    id: &SessionId,
                    record: &Record,
                    ttl: Duration,
                ) -> Result<bool, StoreError> {
                    let Statements { create, take_over, .. } = &self.settings.statements;
                    let values = Values { id: Some(id), record: Some(record), ttl, ..Values::default() };
                    let insert = || async {
                        match self.execute(create, values).await {
                            // Read here, so that it is known which attempt found the id taken.
                            Err(error) if take_over.is_some() && is_id_taken(&error) => Ok(0),
                            done => done,
                        }
                    };
                    let (mut rows, mut attempt) = self.with_retry(insert).await?;
                    if rows == 0
                        && let Some(take_over) = take_over
                    {
                        let (taken_over, at) = self.write(take_over, &values).await?;
                        rows = taken_over;
                        attempt = attempt.max(at);
                    }
                    if rows > 0 || attempt == Attempt::First {
                        return Ok(rows > 0);
                    }
                    retry::confirm_create(Box::pin(self.get(id)).await, record)
                }

                async fn replace(
                    &self,
                    id: &SessionId,
                    expected: &Version,
                    record: &Record,
                    ttl: Duration,
                ) -> Result<Replaced, StoreError> {
                    let values = Values {
                        id: Some(id),
                        record: Some(record),
                        expected: Some(expected),
                        ttl,
                        ..Values::default()
                    };
                    match self.write(&self.settings.statements.replace, &values).await? {
                        (0, attempt) => {
                            let own = Version::of(record);
                            retry::confirm_replace(self.conflict_or_gone(id).await?, attempt, &own)
                        }
                        _ => Ok(Replaced::Done(Version::of(record))),
                    }
                }

                async fn destroy_if(
                    &self,
                    id: &SessionId,
                    expected: &Version,
                ) -> Result<Replaced, StoreError> {
                    let values = Values { id: Some(id), expected: Some(expected), ..Values::default() };
                    match self.write(&self.settings.statements.destroy_if, &values).await? {
                        (0, attempt) => retry::confirm_destroy(self.conflict_or_gone(id).await?, attempt),
                        _ => Ok(Replaced::Done(expected.clone())),
                    }
                }

                /// Executes each kind of statement in a form that touches no row, and looks at the table's
                /// columns.
                async fn check(&self) -> Result<(), StoreError> {
                    let (id, record) = (&SessionId::random(), &Record::default());
                    let (expected, ttl) = (&Version::of(record), Duration::from_secs(1));
                    let (id, record, expected) = (Some(id), Some(record), Some(expected));
                    let values = Values { id, record, expected, ttl, ..Values::default() };
                    let Statements { get, insert_nothing, replace, destroy, .. } = &self.settings.statements;
                    let failed = |what| {
                        let table = self.settings.quoted_table();
                        move |source| CheckFailed { what, table: table.clone(), source }
                    };
                    let layout = &self.settings.statements.layout;
                    let look =
                        || async { self.select(layout, values).await.map_err(failed("look at")) };
                    let (row, _) = self.with_retry(look).await?;
                    if let Some(layout) = row.as_ref().map(Layout::from_row).transpose()?.flatten() {
                        self.settings.judge(&layout).map_err(StoreError::unavailable)?;
                    }
                    let read = || async { self.select(get, values).await.map_err(failed("read")) };
                    self.with_retry(read).await?;
                    // An insertion comes last, because Postgres wants the right to update for it as well.
                    for (what, statement) in
                        [("update", replace), ("delete from", destroy), ("insert into", insert_nothing)]
                    {
                        let write = || async { self.execute(statement, values).await.map_err(failed(what)) };
                        self.with_retry(write).await?;
                    }
                    Ok(())
                }

                async fn get_many(&self, ids: &[SessionId]) -> Result<Vec<Option<Stored>>, StoreError> {
                    self.find_many(ids).await
                }

                fn users(&self) -> Option<&dyn UserIndex> {
                    Some(self)
                }

                fn ids(&self) -> Option<BoxStream<'_, Result<SessionId, StoreError>>> {
                    let pages = stream::try_unfold(Some(String::new()), async move |after| {
                        let Some(after) = after else { return Ok(None) };
                        let keys = self.keys_after(&after).await?;
                        // A key that is a hash is none that its text has as an id.
                        let id = |key: &String| {
                            SessionId::parse(key).ok().filter(|id| *self.settings.key(id) == *key)
                        };
                        let ids: Vec<_> = keys.iter().filter_map(id).map(Ok).collect();
                        Ok::<_, StoreError>(Some((stream::iter(ids), keys.into_iter().next_back())))
                    });
                    Some(pages.try_flatten().boxed())
                }

                $(fn watch(&self) -> Option<futures_util::stream::BoxStream<'static, SessionId>> {
                    $watch(&self.lender.pool, &self.settings)
                })?
            }
        };
    };
}
pub(super) use shared_calls;

/// The error of a statement that reads a record.
///
/// A Postgres database in another encoding than UTF-8 refuses to send a text that it cannot convert, or, in
/// SQL_ASCII, one that is not UTF-8: `character_not_in_repertoire` and `untranslatable_character`.
pub(super) fn corrupt_if_no_text(error: StoreError) -> StoreError {
    let source = error.source().and_then(|source| source.downcast_ref::<Error>());
    let code = source.and_then(Error::as_database_error).and_then(|error| error.code());
    let is_no_text = code.is_some_and(|code| matches!(&*code, "22021" | "22P05"));
    if is_no_text { StoreError::corrupt(error) } else { error }
}

/// Whether a database has refused a row because another one has its key.
pub(super) fn is_id_taken(error: &Error) -> bool {
    error.as_database_error().is_some_and(|error| error.is_unique_violation())
}

/// Whether an operation was given up when its time was over.
pub(super) fn is_timeout(error: &StoreError) -> bool {
    error.source().is_some_and(<dyn std::error::Error>::is::<Elapsed>)
}
