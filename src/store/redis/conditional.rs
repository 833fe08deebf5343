//! Conditional writes: the server's own command where it knows one, else a script.
//!
//! `SET … IFEQ` is in Valkey from 8.1 and in Redis from 8.4, `DELIFEQ` in Valkey from 9.0, and `DELEX … IFEQ`
//! in Redis from 8.4. They cost the server less than a script, and servers that forbid scripts have them as
//! well.

use std::sync::atomic::{AtomicUsize, Ordering};

use redis::aio::ConnectionLike;
use redis::{Cmd, ErrorKind, RedisError, RedisResult, Script, ServerErrorKind, Value, from_redis_value};

use super::wire::{command, to_stored};
use crate::error::StoreError;
use crate::store::Replaced;
use crate::store::version::Version;

/// Replaces a record, or a user's text, if it is still the expected one. `ARGV`: the expected record, the new
/// record, and the new record's time to live in seconds, which a text does not have. [`to_replaced`] reads
/// the answer.
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
local done = ARGV[3] and redis.pcall('SET', KEYS[1], ARGV[2], 'EX', ARGV[3]) or redis.pcall('SET', KEYS[1], ARGV[2])
if done.err then return done end
return 1";

/// Removes a record if it is still the expected one. `ARGV`: the expected record. [`to_replaced`] reads the
/// answer.
pub(super) const DESTROY_IF: &str = r"
local now = redis.pcall('GET', KEYS[1])
if not now then return 0 end
if type(now) == 'table' then return now end
if now ~= ARGV[1] then return {now, redis.call('PTTL', KEYS[1])} end
local done = redis.pcall('DEL', KEYS[1])
if type(done) == 'table' then return done end
return 1";

/// What a script answers if there is no record.
const GONE: Value = Value::Int(0);
/// What a script answers if it has written.
pub(super) const DONE: Value = Value::Int(1);

/// A write to a record that is still the expected one.
#[derive(Clone, Copy)]
pub(super) struct Conditional<'c> {
    pub(super) key: &'c [u8],
    pub(super) expected: &'c [u8],
    pub(super) write: Write<'c>,
    /// What does the same on a server without such a command.
    pub(super) script: &'c Script,
}

#[derive(Clone, Copy)]
pub(super) enum Write<'c> {
    /// `seconds`: how long the record lives. `None`: a user's text does not expire.
    Replace {
        record: &'c [u8],
        seconds: Option<&'c [u8]>,
    },
    Remove,
}

/// What a server knows of conditional commands: for each kind of write, how many of the ways to do it the
/// server has refused so far.
#[derive(Debug, Default)]
pub(super) struct Ways {
    replace: AtomicUsize,
    remove: AtomicUsize,
}

/// What [`Conditional::send`] answers where the record is not the expected one, and the server does not say
/// what it is.
const OTHER: Value = Value::Nil;

impl Conditional<'_> {
    /// Answers as the script does, or with [`OTHER`].
    pub(super) async fn send(self, connection: &mut impl ConnectionLike, ways: &Ways) -> RedisResult<Value> {
        let refused = match self.write {
            Write::Replace { .. } => &ways.replace,
            Write::Remove => &ways.remove,
        };
        loop {
            let way = refused.load(Ordering::Relaxed);
            let Some(command) = self.native(way) else { break };
            match command.query_async(connection).await {
                Ok(Value::Okay | Value::Int(1)) => return Ok(DONE),
                Ok(_) => return Ok(OTHER),
                Err(error) if is_unknown(&error) => refused.store(way + 1, Ordering::Relaxed),
                Err(error) => return Err(error),
            }
        }
        run_script(connection, self.script, &self.script_call()).await
    }

    /// The command of the server that does this, of those that servers have.
    fn native(&self, way: usize) -> Option<Cmd> {
        let (key, expected) = (self.key, self.expected);
        match (self.write, way) {
            (Write::Replace { record, seconds: Some(seconds) }, 0) => {
                Some(command(&[b"SET", key, record, b"IFEQ", expected, b"EX", seconds]))
            }
            (Write::Replace { record, seconds: None }, 0) => {
                Some(command(&[b"SET", key, record, b"IFEQ", expected]))
            }
            (Write::Remove, 0) => Some(command(&[b"DELIFEQ", key, expected])),
            (Write::Remove, 1) => Some(command(&[b"DELEX", key, b"IFEQ", expected])),
            _ => None,
        }
    }

    fn script_call(&self) -> Cmd {
        let call: [&[u8]; 5] = [b"EVALSHA", self.script.get_hash().as_bytes(), b"1", self.key, self.expected];
        match self.write {
            Write::Replace { record, seconds: Some(seconds) } => {
                command(&[&call[..], &[record, seconds]].concat())
            }
            Write::Replace { record, seconds: None } => command(&[&call[..], &[record]].concat()),
            Write::Remove => command(&call),
        }
    }
}

/// Whether the server does not know a command, or does not let this user call it.
fn is_unknown(error: &RedisError) -> bool {
    match error.kind() {
        ErrorKind::Server(ServerErrorKind::ResponseError) => true,
        ErrorKind::Server(ServerErrorKind::NoPerm) => is_about_command(error.detail().unwrap_or_default()),
        _ => false,
    }
}

/// Calls a script, and tells it to a server that does not know it.
async fn run_script(connection: &mut impl ConnectionLike, script: &Script, call: &Cmd) -> RedisResult<Value> {
    match call.query_async(connection).await {
        Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
            // Boxed to keep the future small: a server needs each script once.
            Box::pin(script.load_async(connection)).await?;
            call.query_async(connection).await
        }
        answer => answer,
    }
}

/// Reads the answer of a conditional write: [`DONE`], [`GONE`], or the stored record with its remaining
/// milliseconds. `None` stands for [`OTHER`]. `done` is the version to return if it has written.
pub(super) fn to_replaced(answer: Value, done: Version) -> Result<Option<Replaced>, StoreError> {
    Ok(Some(match answer {
        DONE => Replaced::Done(done),
        GONE => Replaced::Gone,
        OTHER => return Ok(None),
        conflict => {
            let (value, remaining) = from_redis_value(conflict).map_err(StoreError::unavailable)?;
            to_stored(value, remaining)?.map_or(Replaced::Gone, Replaced::Conflict)
        }
    }))
}

/// Whether a server that denies a right denies the command, and not the key.
pub(super) fn is_about_command(detail: &str) -> bool {
    detail.contains("permissions to run")
}
