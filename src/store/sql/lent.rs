//! A connection that a pool lends for one statement, and what becomes of the pool's connections when one of
//! them fails.

use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::{Database, Error, Pool};
use tokio::runtime::Handle;

use super::lost::Lost;

/// When a connection that nobody uses is closed, in the pools that the stores make. The pool looks that
/// often, so that a connection is idle for at most twice as long: less than the 4 minutes after which the
/// first of the well-known load balancers forgets it (Azure; AWS, 350 seconds) and says nothing.
#[cfg(any(feature = "postgres", feature = "mysql"))]
pub(super) const IDLE_TIMEOUT: Duration = Duration::from_secs(100);

/// A connection that a pool lends for one statement.
///
/// Dropped, the connection is tested before the pool has it back, as every pool of `sqlx` does. The pool's
/// own test has no time limit: a connection that has fallen silent would never come back from it, and would
/// keep its place in the pool.
pub(super) struct Lent<DB: Database> {
    /// `None` once the connection has been closed.
    connection: Option<PoolConnection<DB>>,
    pool: Pool<DB>,
    /// How long the test may take. `None`: there is no network that could fall silent.
    limit: Option<Duration>,
}

impl<DB: Database> Lent<DB> {
    pub(super) async fn by(pool: &Pool<DB>, limit: Option<Duration>) -> Result<Self, Error> {
        Ok(Self::new(pool.acquire().await?, pool, limit))
    }

    fn new(connection: PoolConnection<DB>, pool: &Pool<DB>, limit: Option<Duration>) -> Self {
        Self { connection: Some(connection), pool: pool.clone(), limit }
    }

    pub(super) fn connection(&mut self) -> Result<&mut DB::Connection, Error> {
        self.connection.as_deref_mut().ok_or(Error::PoolClosed)
    }

    /// Passes the statement's answer on. Where it says that the connection is lost, the connection is closed,
    /// and so are the idle ones that share its fate; another attempt then gets a new one.
    pub(super) fn answered<T>(mut self, answer: Result<T, Error>) -> Result<T, Error> {
        let lost = answer.as_ref().err().and_then(Lost::by);
        if let (Some(lost), Some(_)) = (lost, self.limit) {
            match lost {
                Lost::Dropped => test_idle(&self.pool, self.limit),
                Lost::Refused => idle(&self.pool).into_iter().for_each(close),
            }
            self.connection.take().into_iter().for_each(close);
        }
        answer
    }
}

impl<DB: Database> Drop for Lent<DB> {
    fn drop(&mut self) {
        let Some(mut connection) = self.connection.take() else { return };
        let Some(limit) = self.limit else { return };
        let Ok(runtime) = Handle::try_current() else { return close(connection) };
        let (test, pool) = (connection.return_to_pool(), self.pool.clone());
        runtime.spawn(async move {
            // The connection is closed if the test is dropped before it completes.
            if tokio::time::timeout(limit, test).await.is_err() {
                test_idle(&pool, Some(limit));
            }
        });
    }
}

/// Tests all idle connections of a pool at the same time, and closes those that do not answer. Until then
/// requests get other ones.
pub(super) fn test_idle<DB: Database>(pool: &Pool<DB>, limit: Option<Duration>) {
    if limit.is_some() {
        idle(pool).into_iter().for_each(|connection| drop(Lent::new(connection, pool, limit)));
    }
}

/// Takes all idle connections out of a pool.
fn idle<DB: Database>(pool: &Pool<DB>) -> Vec<PoolConnection<DB>> {
    std::iter::from_fn(|| pool.try_acquire()).collect()
}

/// Closes the socket at once, without a farewell, which could not be sent if nobody receives.
fn close<DB: Database>(connection: PoolConnection<DB>) {
    drop(connection.detach());
}
