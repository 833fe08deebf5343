//! The commands and scripts that [`RedisStore`](super::RedisStore) sends, and how it reads their answers.

use std::time::Duration;

use redis::aio::ConnectionLike;
use redis::{
    Cmd, ErrorKind, FromRedisValue, Pipeline, RedisError, Script, ServerErrorKind, Value, from_redis_value,
};

use crate::error::StoreError;
use crate::record::Record;
use crate::store::retry::DriverError;
use crate::store::version::Version;
use crate::store::{Replaced, Stored};

/// Replaces a record if it is still the expected one. `ARGV`: the expected record, the new record, and the
/// new record's time to live in seconds. [`to_replaced`] reads the answer.
///
/// Records are compared as text: a JSON value that Lua decodes and encodes again would not be the same text.
///
/// `pcall` returns an error as a table, so that the script can answer with it as it is. Redis 6.2 puts the
/// errors of `call` into a text of its own.
pub(super) const REPLACE: &str = r"
local now = redis.pcall('GET', KEYS[1])
if not now then return 0 end
if type(now) == 'table' then return now end
if now ~= ARGV[1] then return {now, redis.call('PTTL', KEYS[1])} end
redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3])
return 1";

/// Removes a record if it is still the expected one. `ARGV`: the expected record. [`to_replaced`] reads the
/// answer.
pub(super) const DESTROY_IF: &str = r"
local now = redis.pcall('GET', KEYS[1])
if not now then return 0 end
if type(now) == 'table' then return now end
if now ~= ARGV[1] then return {now, redis.call('PTTL', KEYS[1])} end
redis.call('DEL', KEYS[1])
return 1";

/// What a script answers if there is no record.
const GONE: Value = Value::Int(0);
/// What a script answers if it has written.
const DONE: Value = Value::Int(1);

/// What is sent to the server in one round trip. It is borrowed, so that a retry can send it again.
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
                    // Boxed to keep the future small: a server needs each script once.
                    Box::pin(script.load_async(connection)).await?;
                    call.query_async(connection).await
                }
                answer => answer,
            },
        }
    }
}

impl DriverError for RedisError {
    fn is_connection_dropped(&self) -> bool {
        // The method of the driver, which has the same name.
        Self::is_connection_dropped(self)
    }

    /// A key that holds a list or a hash is the key of another program. Its value is no record.
    fn into_store_error(self) -> StoreError {
        let answers = self.clone().into_server_errors();
        let is_foreign =
            answers.is_some_and(|errors| errors.iter().any(|(_, error)| error.code() == "WRONGTYPE"));
        if is_foreign { StoreError::corrupt(self) } else { StoreError::unavailable(self) }
    }
}

/// Makes a command in a buffer of its final size. A buffer that grew with each argument would be moved again
/// and again.
pub(super) fn command(arguments: &[&[u8]]) -> Cmd {
    let bytes = arguments.iter().map(|argument| argument.len()).sum();
    let mut command = Cmd::with_capacity(arguments.len(), bytes);
    for argument in arguments {
        command.arg(*argument);
    }
    command
}

/// Makes the command that calls a script. `arguments` are the values of `ARGV` after the expected record.
pub(super) fn script_call(script: &Script, key: &str, expected: &Version, arguments: &[&[u8]]) -> Cmd {
    // Invariant: a record is never empty, so the empty value matches none. It stands for a version that is
    // not one of this store, such as a number.
    let expected = expected.as_bytes().unwrap_or_default();
    let call: [&[u8]; 5] = [b"EVALSHA", script.get_hash().as_bytes(), b"1", key.as_bytes(), expected];
    command(&[&call, arguments].concat())
}

/// Reads the answer of a script: [`DONE`], [`GONE`], or the stored record with its remaining milliseconds.
/// `done` is the version that a script which has written returns.
pub(super) fn to_replaced(answer: Value, done: Version) -> Result<Replaced, StoreError> {
    match answer {
        DONE => Ok(Replaced::Done(done)),
        GONE => Ok(Replaced::Gone),
        conflict => {
            let (value, remaining) = from_redis_value(conflict).map_err(StoreError::unavailable)?;
            Ok(to_stored(value, remaining)?.map_or(Replaced::Gone, Replaced::Conflict))
        }
    }
}

/// Reads the value of a key and its remaining milliseconds. An empty value and `null` are no session, as in
/// connect-redis. Any other value that is no record is [`StoreError::corrupt`].
pub(super) fn to_stored(value: Vec<u8>, remaining: i64) -> Result<Option<Stored>, StoreError> {
    // The whole error would hold the value.
    let json = String::from_utf8(value).map_err(|error| StoreError::corrupt(error.utf8_error()))?;
    if json.is_empty() || json.trim() == "null" {
        return Ok(None);
    }
    let record = Record::from_json(json)?;
    let version = Version::of(&record);
    let stored = Stored::from(record).with_version(version);
    Ok(Some(match u64::try_from(remaining) {
        Ok(remaining) => stored.with_expires_in(Duration::from_millis(remaining)),
        // -1 means that the key never expires: connect-redis wrote it with `disableTTL`. The longest time to
        // live has the effect that the session is never touched.
        Err(_) => stored.with_expires_in(Duration::MAX),
    }))
}
