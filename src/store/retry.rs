//! Timeout and retry for the stores on servers.
//!
//! An operation is retried once if its connection drops, or if the server refuses it because another server
//! behind the same address is to serve it. A server that refuses has executed nothing. If the connection
//! drops, the server may have executed the first attempt nevertheless, so the answer of a `create`, a
//! `replace` or a `destroy_if` may be ambiguous after a retry. A `create` or a `replace` that finds exactly
//! the record that it writes has written it. Any other ambiguous answer becomes an error.

#![cfg_attr(
    not(any(feature = "redis", feature = "postgres", feature = "mysql")),
    allow(dead_code, reason = "SQLite has no connection to lose")
)]

use std::error::Error as StdError;
use std::pin::pin;
use std::time::Duration;

use super::{Replaced, Stored};
use crate::error::{StoreError, cause};
use crate::record::Record;
use crate::store::version::Version;

/// The longest that an operation may take, unless the application sets another limit. 5 seconds are long
/// enough for a busy server and short enough for a waiting visitor.
pub(super) const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);

/// The attempt that an answer belongs to. Of two statements the later attempt counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Attempt {
    /// The only attempt that a server can have executed.
    First,
    /// The attempt after a dropped connection. The server may have executed the first attempt as well.
    Retry,
}

/// An error of a driver.
pub(super) trait DriverError: StdError + Send + Sync + 'static {
    /// Whether the connection is lost, so that a retry over another one may succeed.
    fn is_connection_dropped(&self) -> bool;

    /// Whether the server has refused the operation, and has executed nothing of it, because another server
    /// is to serve it: it is a replica now, or it is starting. A retry over a new connection may reach
    /// that other server.
    ///
    /// Invariant: the operation replaces its connection before it returns such an error.
    fn is_refused_by_replica(&self) -> bool {
        false
    }

    /// The error that the operation returns.
    fn into_store_error(self) -> StoreError;
}

/// Runs an operation, and retries it once if its connection dropped or if a replica refused it. The timeout
/// limits both attempts together.
pub(super) async fn with_retry<T, E, F>(
    timeout: Duration,
    operation: impl Fn() -> F + Send,
) -> Result<(T, Attempt), StoreError>
where
    T: Send,
    E: DriverError,
    F: Future<Output = Result<T, E>> + Send,
{
    // Pinned here to keep the future small: a future that is passed on by value takes its room twice, in the
    // function that makes it and in the function that awaits it. The box around the retry has the same
    // purpose, and a retry is rare. Both helped to shrink `RedisStore`'s `get` from 1,240 to 712 bytes and
    // its `replace` from 1,568 to 928.
    let attempts = pin!(async {
        match operation().await {
            Ok(answer) => Ok((answer, Attempt::First)),
            Err(error) if error.is_connection_dropped() => {
                tracing::debug!(
                    error = cause(&error),
                    "the connection to the session store dropped; asking once more"
                );
                let answer = Box::pin(operation()).await.map_err(E::into_store_error)?;
                Ok((answer, Attempt::Retry))
            }
            Err(error) if error.is_refused_by_replica() => {
                tracing::debug!(
                    error = cause(&error),
                    "the server of the session store is no primary; asking once more"
                );
                let answer = Box::pin(operation()).await.map_err(E::into_store_error)?;
                Ok((answer, Attempt::First))
            }
            Err(error) => Err(error.into_store_error()),
        }
    });
    with_timeout(timeout, attempts).await
}

/// Runs an operation, and gives it up when the timeout has passed.
pub(super) async fn with_timeout<T>(
    timeout: Duration,
    operation: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    tokio::time::timeout(timeout, operation)
        .await
        .unwrap_or_else(|elapsed| Err(StoreError::unavailable(elapsed)))
}

/// The answer of a `create` whose retry found the id taken. `stored` is what the store then holds under it.
///
/// The record that has taken the id may be the one that the first attempt wrote. It is if its bytes are those
/// of `record`: the id is new, so another record under it would have other bytes.
pub(super) fn confirm_create(
    stored: Result<Option<Stored>, StoreError>,
    record: &Record,
) -> Result<bool, StoreError> {
    match stored {
        Ok(stored) => Ok(stored.is_some_and(|stored| stored.record.same(record))),
        // The first attempt wrote a record, so it did not write this.
        Err(error) if error.is_corrupt() => Ok(false),
        Err(error) => Err(error),
    }
}

/// The answer of a `replace`, or an error if the answer is ambiguous. `own` is the version that it writes.
///
/// The record that a retry conflicts with may be the one that the first attempt wrote. If the session then
/// applied its changes to that record, an increment would count twice. If its version is `own`, the first
/// attempt has written it, unless versions are bytes and another process wrote the very same bytes over the
/// same version while the connection dropped. With another version it cannot be told: a later write may
/// stand over the first attempt's.
pub(super) fn confirm_replace(
    answer: Replaced,
    attempt: Attempt,
    own: &Version,
) -> Result<Replaced, StoreError> {
    match (answer, attempt) {
        (Replaced::Conflict(stored), Attempt::Retry) => {
            if stored.version.as_ref() == Some(own) {
                Ok(Replaced::Done(own.clone()))
            } else {
                Err(unknown_outcome())
            }
        }
        (answer, _) => Ok(answer),
    }
}

/// The answer of a `destroy_if`, or an error if the answer is ambiguous.
///
/// A record that a retry does not find may have been removed by the first attempt, or by a logout in another
/// request. There are no bytes left to tell which. Taken for the first attempt's removal, a session that
/// changes its id would keep the data of one that was logged out; taken for a logout, it would lose its data.
pub(super) fn confirm_destroy(answer: Replaced, attempt: Attempt) -> Result<Replaced, StoreError> {
    match (answer, attempt) {
        (Replaced::Gone, Attempt::Retry) => Err(unknown_outcome()),
        (answer, _) => Ok(answer),
    }
}

fn unknown_outcome() -> StoreError {
    StoreError::unavailable("the connection dropped, and whether the write was carried out is not known")
}

/// A time to live in whole seconds, rounded up as in the Express stores.
pub(super) fn whole_seconds(ttl: Duration) -> i64 {
    let seconds = ttl.as_secs() + u64::from(ttl.subsec_nanos() > 0);
    i64::try_from(seconds).unwrap_or(i64::MAX)
}
