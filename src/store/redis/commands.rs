//! What [`RedisStore`](super::RedisStore) sends in one round trip, and what its driver's errors mean.

use redis::aio::ConnectionLike;
use redis::{
    Cmd, ErrorKind, FromRedisValue, Pipeline, RedisError, RedisResult, ServerErrorKind, from_redis_value,
};

use super::asking::{Asking, is_elsewhere};
use super::conditional::{Conditional, Ways};
use crate::error::StoreError;
use crate::store::retry::DriverError;

/// What is sent to the server in one round trip. It is borrowed, so that a retry can send it again.
#[derive(Clone, Copy)]
pub(super) enum Command<'c> {
    Plain(&'c Cmd),
    Pipeline(&'c Pipeline),
    Conditional(&'c Conditional<'c>),
}

impl Command<'_> {
    /// `ways` is what the server at the other end knows of conditional commands.
    pub(super) async fn send<T: FromRedisValue>(
        self,
        connection: &mut (impl ConnectionLike + Send),
        ways: &Ways,
    ) -> RedisResult<T> {
        match self.send_once(connection, ways).await {
            // Boxed to keep the future small: only a cluster that moves keys answers so.
            Err(error) if is_elsewhere(&error) => {
                Box::pin(self.send_once(&mut Asking(connection), ways)).await
            }
            answer => answer,
        }
    }

    async fn send_once<T: FromRedisValue>(
        self,
        connection: &mut impl ConnectionLike,
        ways: &Ways,
    ) -> RedisResult<T> {
        match self {
            Self::Plain(command) => command.query_async(connection).await,
            Self::Pipeline(pipeline) => pipeline.query_async(connection).await,
            Self::Conditional(conditional) => {
                Ok(from_redis_value(conditional.send(connection, ways).await?)?)
            }
        }
    }
}

impl DriverError for RedisError {
    fn is_connection_dropped(&self) -> bool {
        // The method of the driver, which has the same name.
        Self::is_connection_dropped(self)
    }

    fn is_refused_by_replica(&self) -> bool {
        use ServerErrorKind::{BusyLoading, ClusterDown, MasterDown, ReadOnly, TryAgain};
        let ErrorKind::Server(kind) = self.kind() else { return false };
        matches!(kind, BusyLoading | ClusterDown | MasterDown | ReadOnly | TryAgain)
    }

    /// A key that holds a list or a hash is the key of another program. Its value is no record.
    fn into_store_error(self) -> StoreError {
        let answers = self.clone().into_server_errors();
        let is_foreign =
            answers.is_some_and(|errors| errors.iter().any(|(_, error)| error.code() == "WRONGTYPE"));
        if is_foreign { StoreError::corrupt(self) } else { StoreError::unavailable(self) }
    }
}
