//! What the stores on servers share: an end to waiting, a second try, and what that second try cannot know.

#![cfg_attr(
    not(any(feature = "redis", feature = "postgres", feature = "mysql")),
    allow(dead_code, reason = "SQLite has no connection to lose")
)]

use std::error::Error as StdError;
use std::pin::pin;
use std::time::Duration;

use super::Replaced;
use crate::error::{StoreError, cause};

/// Long enough for a busy server, short enough for a waiting user.
pub(super) const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);

/// Whether an answer came at the first asking. At the second, the first may have been carried out unseen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Attempt {
    First,
    Retry,
}

/// Asks, and once more when the connection dropped, all within the timeout.
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
    // Pinned where it is made: every future around it that took it over would have room for it twice.
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

pub(super) async fn with_timeout<T>(
    timeout: Duration,
    work: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    tokio::time::timeout(timeout, work).await.unwrap_or_else(|elapsed| Err(StoreError::unavailable(elapsed)))
}

/// The answer of a `replace`. A conflict at the second try may be with our own first write, and doing the work again on
/// top of it could count a step twice.
pub(super) fn confirm_replace(answer: Replaced, attempt: Attempt) -> Result<Replaced, StoreError> {
    match (answer, attempt) {
        (Replaced::Conflict(_), Attempt::Retry) => Err(unknown_outcome()),
        (answer, _) => Ok(answer),
    }
}

/// The answer of a `destroy_if`. What is gone at the second try may have been removed by our own first one.
pub(super) fn confirm_destroy(answer: Replaced, attempt: Attempt) -> Result<Replaced, StoreError> {
    match (answer, attempt) {
        (Replaced::Gone, Attempt::Retry) => Err(unknown_outcome()),
        (answer, _) => Ok(answer),
    }
}

fn unknown_outcome() -> StoreError {
    StoreError::unavailable("the connection dropped, and whether the write was carried out is not known")
}

/// Whole seconds, rounded up, as the Express stores count.
pub(super) fn whole_seconds(ttl: Duration) -> i64 {
    let seconds = ttl.as_secs() + u64::from(ttl.subsec_nanos() > 0);
    i64::try_from(seconds).unwrap_or(i64::MAX)
}
