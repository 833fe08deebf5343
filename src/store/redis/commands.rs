//! The scripts and commands of [`RedisStore`](super::RedisStore), and what it makes of an answer.

use std::time::Duration;

use redis::aio::ConnectionLike;
use redis::{Cmd, ErrorKind, FromRedisValue, Pipeline, RedisError, Script, ServerErrorKind, Value};

use crate::error::StoreError;
use crate::record::Record;
use crate::store::{Stored, Version};

/// `ARGV`: what is expected, what is to be written, seconds to live. The answer is [`DONE`], [`GONE`], or what is there now
/// and its milliseconds to live.
pub(super) const REPLACE: &str = r"
local now = redis.call('GET', KEYS[1])
if not now then return 0 end
if now ~= ARGV[1] then return {now, redis.call('PTTL', KEYS[1])} end
redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3])
return 1";

/// `ARGV`: what is expected. The answers are the same.
pub(super) const DESTROY_IF: &str = r"
local now = redis.call('GET', KEYS[1])
if not now then return 0 end
if now ~= ARGV[1] then return {now, redis.call('PTTL', KEYS[1])} end
redis.call('DEL', KEYS[1])
return 1";

pub(super) const GONE: Value = Value::Int(0);
pub(super) const DONE: Value = Value::Int(1);

/// A request to the server, to be sent again as it is.
#[derive(Clone, Copy)]
pub(super) enum Command<'c> {
    Plain(&'c Cmd),
    Pipeline(&'c Pipeline),
    Script { script: &'c Script, call: &'c Cmd },
}

impl Command<'_> {
    pub(super) async fn send<T: FromRedisValue>(
        self,
        connection: &mut impl ConnectionLike,
    ) -> Result<T, RedisError> {
        match self {
            Self::Plain(command) => command.query_async(connection).await,
            Self::Pipeline(pipeline) => pipeline.query_async(connection).await,
            Self::Script { script, call } => match call.query_async(connection).await {
                Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                    Box::pin(script.load_async(connection)).await?;
                    call.query_async(connection).await
                }
                answer => answer,
            },
        }
    }
}

/// A command in a place of its full size: one that grows argument by argument moves to ever larger ones.
pub(super) fn command(arguments: &[&[u8]]) -> Cmd {
    let bytes = arguments.iter().map(|argument| argument.len()).sum();
    let mut command = Cmd::with_capacity(arguments.len(), bytes);
    for argument in arguments {
        command.arg(*argument);
    }
    command
}

/// connect-redis reads an empty value and `null` as no session.
pub(super) fn to_stored(json: String, left_millis: i64) -> Result<Option<Stored>, StoreError> {
    if json.is_empty() || json.trim() == "null" {
        return Ok(None);
    }
    let record = Record::from_json(json)?;
    let version = Version::of(&record);
    let stored = Stored::from(record).with_version(version);
    Ok(Some(match u64::try_from(left_millis) {
        Ok(left) => stored.with_expires_in(Duration::from_millis(left)),
        // -1: connect-redis with `disableTTL`. It never expires, so it is never touched.
        Err(_) => stored.with_expires_in(Duration::MAX),
    }))
}
