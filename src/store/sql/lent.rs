//! A connection that a pool lends for one statement, and what becomes of the pool's connections when one of
//! them fails.

use std::sync::Arc;
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::{Database, Error, Pool};
use tokio::runtime::Handle;
use tokio::sync::OwnedSemaphorePermit;

use super::lost::Lost;
use super::turns::Turns;

/// When a connection that nobody uses is closed, in the pools that the stores make. The pool looks that
/// often, so that a connection is idle for at most twice as long: less than the 4 minutes after which the
/// first of the well-known load balancers forgets it (Azure; AWS, 350 seconds) and says nothing.
#[cfg(any(feature = "postgres", feature = "mysql"))]
pub(super) const IDLE_TIMEOUT: Duration = Duration::from_secs(100);

/// How many statements may follow each other on a connection before its pool has it back, which closes it
/// when it is old, and lends it to others who use the pool as well.
const IN_A_ROW: u32 = 16;

/// A pool, and who is next to have one of its connections.
///
/// A pool of `sqlx` asks the server whether a connection is well before it takes it back. While statements
/// wait for a connection, that is a round trip for each of them. So a connection that has just answered goes
/// to the next one that waits, and back to the pool when none does.
pub(super) struct Lender<DB: Database> {
    pub(super) pool: Pool<DB>,
    /// `None`: the pool tests each connection before it lends it.
    turns: Option<Arc<Turns<Lent<DB>>>>,
}

impl<DB: Database> Lender<DB> {
    /// A pool that tests each connection before it lends it is left to do so.
    #[cfg(any(feature = "postgres", feature = "mysql"))]
    pub(super) fn in_turns(pool: Pool<DB>) -> Self {
        let options = pool.options();
        let places = options.get_max_connections() as usize;
        let turns = (!options.get_test_before_acquire()).then(|| Arc::new(Turns::new(places)));
        Self { pool, turns }
    }

    #[cfg(feature = "sqlite")]
    pub(super) fn without_turns(pool: Pool<DB>) -> Self {
        Self { pool, turns: None }
    }

    /// `limit` is how long the test may take before the pool has the connection back.
    pub(super) async fn lend(&self, limit: Option<Duration>) -> Result<Lent<DB>, Error> {
        let Some(turns) = &self.turns else { return Ok(Lent::new(self.pool.acquire().await?, self, limit)) };
        let lent = async {
            let (place, handed) = turns.next().await;
            let mut lent = match handed {
                Some(lent) => lent,
                None => Lent::new(self.pool.acquire().await?, self, limit),
            };
            lent.place = place;
            Ok(lent)
        };
        let wait = tokio::time::timeout(self.pool.options().get_acquire_timeout(), lent);
        wait.await.unwrap_or(Err(Error::PoolTimedOut))
    }
}

impl<DB: Database> Clone for Lender<DB> {
    fn clone(&self) -> Self {
        Self { pool: self.pool.clone(), turns: self.turns.clone() }
    }
}

/// A connection that a pool lends for one statement.
///
/// Dropped, the connection is tested before the pool has it back, as every pool of `sqlx` does. The pool's
/// own test has no time limit: a connection that has fallen silent would never come back from it, and would
/// keep its place in the pool.
pub(super) struct Lent<DB: Database> {
    /// `None` once the connection has been closed.
    connection: Option<PoolConnection<DB>>,
    lender: Lender<DB>,
    /// How long the test may take. `None`: there is no network that could fall silent.
    limit: Option<Duration>,
    /// Kept until the pool has the connection back.
    place: Option<OwnedSemaphorePermit>,
    /// How many statements the connection has answered since the pool lent it.
    answered: u32,
}

impl<DB: Database> Lent<DB> {
    fn new(connection: PoolConnection<DB>, lender: &Lender<DB>, limit: Option<Duration>) -> Self {
        Self { connection: Some(connection), lender: lender.clone(), limit, place: None, answered: 0 }
    }

    pub(super) fn connection(&mut self) -> Result<&mut DB::Connection, Error> {
        self.connection.as_deref_mut().ok_or(Error::PoolClosed)
    }

    /// Passes the statement's answer on. Where it says that the connection is lost, the connection is closed,
    /// and so are the idle ones that share its fate; another attempt then gets a new one.
    pub(super) fn answered<T>(mut self, answer: Result<T, Error>) -> Result<T, Error> {
        let lost = match &answer {
            Ok(_) => {
                self.hand_on();
                return answer;
            }
            Err(error) => Lost::by(error),
        };
        if let (Some(lost), Some(_)) = (lost, self.limit) {
            match lost {
                Lost::Dropped => test_idle(&self.lender, self.limit),
                Lost::Refused => idle(&self.lender.pool).into_iter().for_each(close),
            }
            self.connection.take().into_iter().for_each(close);
        }
        answer
    }

    /// Lets the next statement that waits have the connection, which has answered. What is left of an answer, the end of
    /// one of MySQL, is read before the next statement is sent.
    fn hand_on(mut self) {
        self.answered += 1;
        let Some(turns) = self.lender.turns.clone() else { return };
        if self.answered < IN_A_ROW && !self.lender.pool.is_closed() {
            let place = self.place.take();
            if let Some(mut own) = turns.hand(self) {
                own.place = place;
            }
        }
    }
}

impl<DB: Database> Drop for Lent<DB> {
    fn drop(&mut self) {
        let Some(mut connection) = self.connection.take() else { return };
        let Some(limit) = self.limit else { return };
        let Ok(runtime) = Handle::try_current() else { return close(connection) };
        let (test, lender, place) = (connection.return_to_pool(), self.lender.clone(), self.place.take());
        runtime.spawn(async move {
            // The connection is closed if the test is dropped before it completes.
            if tokio::time::timeout(limit, test).await.is_err() {
                test_idle(&lender, Some(limit));
            }
            drop(place);
        });
    }
}

/// Tests all idle connections of a pool at the same time, and closes those that do not answer. Until then
/// requests get other ones.
pub(super) fn test_idle<DB: Database>(lender: &Lender<DB>, limit: Option<Duration>) {
    if limit.is_some() {
        idle(&lender.pool).into_iter().for_each(|connection| drop(Lent::new(connection, lender, limit)));
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
