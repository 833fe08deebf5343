//! `get_many` of [`RedisStore`].

use std::error::Error as _;

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use redis::aio::ConnectionLike;
use redis::{ErrorKind, Pipeline, RedisError, ServerErrorKind, Value, from_redis_value};

use super::RedisStore;
use super::commands::Command;
use super::wire::{command, to_stored};
use crate::error::StoreError;
use crate::id::SessionId;
use crate::store::{SessionStore as _, Stored};

/// How many records one pipeline asks for: so few that the requests of others over the same connection need
/// not wait long.
const CHUNK: usize = 1000;

/// How many records are asked for at the same time where each takes a command of its own. The driver sends
/// what waits for the same server together.
const AT_ONCE: usize = 250;

impl<C: ConnectionLike + Clone + Send + Sync + 'static> RedisStore<C> {
    pub(super) async fn find_many(&self, ids: &[SessionId]) -> Result<Vec<Option<Stored>>, StoreError> {
        let connections = self.connections.count();
        let chunks: Vec<_> =
            ids.chunks(CHUNK).enumerate().map(|(at, ids)| self.find_chunk(at % connections, ids)).collect();
        stream::iter(chunks).buffered(connections).try_concat().await
    }

    async fn find_chunk(&self, slot: usize, ids: &[SessionId]) -> Result<Vec<Option<Stored>>, StoreError> {
        let mut pipeline = Pipeline::with_capacity(2 * ids.len());
        for id in ids {
            let key = self.key(id);
            pipeline.add_command(command(&[b"GET", key.as_bytes()]));
            pipeline.add_command(command(&[b"PTTL", key.as_bytes()]));
        }
        let answers = match self.send_over::<Vec<Value>>(slot, Command::Pipeline(&pipeline)).await {
            Ok((answers, _)) => answers,
            Err(error) if error.is_corrupt() || is_for_several_nodes(&error) => {
                return self.find_one_by_one(ids).await;
            }
            Err(error) => return Err(error),
        };
        let mut answers = answers.into_iter();
        let mut found = Vec::with_capacity(ids.len());
        while let (Some(value), Some(remaining)) = (answers.next(), answers.next()) {
            let value: Option<Vec<u8>> = from_redis_value(value).map_err(StoreError::unavailable)?;
            let remaining = from_redis_value(remaining).map_err(StoreError::unavailable)?;
            found.push(none_if_corrupt(value.map_or(Ok(None), |value| to_stored(value, remaining)))?);
        }
        if found.len() != ids.len() {
            return Err(StoreError::unavailable("the Redis server answered another number of commands"));
        }
        Ok(found)
    }

    /// Asks for each record by itself: on a cluster, where they are on different nodes, and where a key of
    /// another type makes an error of the whole pipeline.
    async fn find_one_by_one(&self, ids: &[SessionId]) -> Result<Vec<Option<Stored>>, StoreError> {
        let gets: Vec<_> = ids.iter().map(|id| async { none_if_corrupt(self.get(id).await) }).collect();
        stream::iter(gets).buffered(AT_ONCE).try_collect().await
    }
}

/// What is no record is no session.
fn none_if_corrupt(answer: Result<Option<Stored>, StoreError>) -> Result<Option<Stored>, StoreError> {
    match answer {
        Err(error) if error.is_corrupt() => Ok(None),
        answer => answer,
    }
}

/// Whether the driver has sent nothing, because the keys of the pipeline belong to different parts of a
/// cluster.
fn is_for_several_nodes(error: &StoreError) -> bool {
    let error = error.source().and_then(|source| source.downcast_ref::<RedisError>());
    error.is_some_and(|error| error.kind() == ErrorKind::Server(ServerErrorKind::CrossSlot))
}
