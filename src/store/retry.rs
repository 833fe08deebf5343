//! Timeout and retry for the stores on servers.
//!
//! An operation is retried once if its connection drops. The server may have executed the first attempt
//! nevertheless, so the answer of a `replace` or a `destroy_if` may be ambiguous after a retry. An ambiguous
//! answer becomes an error. A `create` needs no such care: if a retry finds the id taken by the first
//! attempt, the session takes another id, and the record under the first one expires unread.

#![cfg_attr(
    not(any(feature = "redis", feature = "postgres", feature = "mysql")),
    allow(dead_code, reason = "SQLite has no connection to lose")
)]

use std::error::Error as StdError;
use std::pin::pin;
use std::time::Duration;

use super::Replaced;
use crate::error::{StoreError, cause};

/// The longest that an operation may take, unless the application sets another limit. 5 seconds are long
/// enough for a busy server and short enough for a waiting visitor.
pub(super) const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);

/// The attempt that an answer belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Attempt {
    First,
    /// The attempt after a dropped connection. The server may have executed the first attempt as well.
    Retry,
}

/// Runs an operation, and retries it once if `is_dropped` says that its connection dropped. The timeout
/// limits both attempts together.
pub(super) async fn with_retry<T, E, F>(
    timeout: Duration,
    is_dropped: impl Fn(&E) -> bool + Send,
    operation: impl Fn() -> F + Send,
) -> Result<(T, Attempt), StoreError>
where
    T: Send,
    E: StdError + Send + Sync + 'static,
    F: Future<Output = Result<T, E>> + Send,
{
    // Pinned here to keep the future small: a future that is passed on by value takes its room twice, in the
    // function that makes it and in the function that awaits it. The box around the retry has the same
    // purpose, and a retry is rare. Both helped to shrink `RedisStore`'s `get` from 1,240 to 712 bytes and
    // its `replace` from 1,568 to 928.
    let attempts = pin!(async {
        match operation().await {
            Ok(answer) => Ok((answer, Attempt::First)),
            Err(error) if is_dropped(&error) => {
                tracing::debug!(
                    error = cause(&error),
                    "the connection to the session store dropped; asking once more"
                );
                let answer = Box::pin(operation()).await.map_err(StoreError::unavailable)?;
                Ok((answer, Attempt::Retry))
            }
            Err(error) => Err(StoreError::unavailable(error)),
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

/// The answer of a `replace`, or an error if the answer is ambiguous.
///
/// The record that a retry conflicts with may be the one that the first attempt wrote. If the session then
/// applied its changes to that record, an increment would count twice.
pub(super) fn confirm_replace(answer: Replaced, attempt: Attempt) -> Result<Replaced, StoreError> {
    match (answer, attempt) {
        (Replaced::Conflict(_), Attempt::Retry) => Err(unknown_outcome()),
        (answer, _) => Ok(answer),
    }
}

/// The answer of a `destroy_if`, or an error if the answer is ambiguous.
///
/// A record that a retry does not find may have been removed by the first attempt.
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
