//! Conditional writes: the server's own command where it knows one, else a script.
//!
//! `SET … IFEQ` is in Valkey from 8.1 and in Redis from 8.4, `DELIFEQ` in Valkey from 9.0, and `DELEX … IFEQ`
//! in Redis from 8.4. They cost the server less than a script, and servers that forbid scripts have them as
//! well.
//!
//! What a script costs is the texts that it handles: each kilobyte more than a microsecond. So a script
//! compares [marks](super::mark) where the expected record has one, and a large record never passes through
//! it: it is written under a key beside, which the script renames.

use std::borrow::Cow;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use redis::aio::ConnectionLike;
use redis::{
    Cmd, ErrorKind, Pipeline, RedisError, RedisResult, Script, ServerErrorKind, Value, from_redis_value,
};

use super::mark::Mark;
use super::scripts::Scripts;
use super::wire::{command, to_stored};
use crate::error::{StoreError, cause};
use crate::store::Replaced;
use crate::store::retry::DriverError as _;
use crate::store::version::Version;

/// What a script answers if there is no record.
const GONE: Value = Value::Int(0);
/// What a script answers if it has written.
pub(super) const DONE: Value = Value::Int(1);
/// What a script answers if the new record is not beside. Nothing was written.
const NOT_BESIDE: Value = Value::Int(2);

/// From how many bytes on a record is written beside. Below, the two commands and the longer script cost the
/// server more than the text in the script does.
pub(super) const BESIDE_FROM: usize = 2048;

/// How long a key beside lives whose script never arrives, in seconds: longer than a server takes from one
/// command to the next, and than loading the script takes.
const SECONDS_BESIDE: &[u8] = b"10";

/// A write to a record that is still the expected one.
#[derive(Clone, Copy)]
pub(super) struct Conditional<'c> {
    pub(super) key: &'c [u8],
    pub(super) expected: Expected<'c>,
    pub(super) write: Write<'c>,
    /// What does the same on a server without such a command.
    pub(super) scripts: &'c Scripts,
}

/// What the key is to hold: this text, with this mark behind it if there is one.
#[derive(Clone, Copy)]
pub(super) struct Expected<'c> {
    pub(super) text: &'c [u8],
    pub(super) mark: Option<Mark>,
}

#[derive(Clone, Copy)]
pub(super) enum Write<'c> {
    /// A record, with its mark.
    Replace {
        value: &'c [u8],
        seconds: &'c [u8],
        /// Where the new record may wait. `None`: it goes through the script.
        beside: Option<&'c str>,
    },
    /// A user's text, which does not expire.
    ReplaceText(&'c [u8]),
    Remove,
}

/// What a server knows of conditional commands: for each kind of write, how many of the ways to do it the
/// server has refused so far.
#[derive(Debug, Default)]
pub(super) struct Ways {
    replace: AtomicUsize,
    remove: AtomicUsize,
    /// Whether it lets no script read a part of a record.
    refuses_marks: AtomicBool,
    /// Whether it lets no key beside be written or renamed.
    refuses_beside: AtomicBool,
}

impl Ways {
    /// Whether the server has not yet refused its own command to replace a record.
    pub(super) fn are_native(&self) -> bool {
        self.replace.load(Ordering::Relaxed) == 0
    }
}

/// What [`Conditional::send`] answers where the record is not the expected one, and the server does not say
/// what it is.
const OTHER: Value = Value::Nil;

impl Conditional<'_> {
    /// Answers as the scripts do, or with [`OTHER`].
    pub(super) async fn send(self, connection: &mut impl ConnectionLike, ways: &Ways) -> RedisResult<Value> {
        let refused = match self.write {
            Write::Replace { .. } | Write::ReplaceText(_) => &ways.replace,
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
        if let Some(mark) = self.expected.mark {
            if let Write::Replace { seconds, value, beside: Some(beside) } = self.write
                && !ways.refuses_beside.load(Ordering::Relaxed)
            {
                // Boxed to keep the future small.
                let answer = Box::pin(self.bring_in(connection, mark, beside, value, seconds)).await;
                if let Some(answer) = or_other_way(answer, is_beside_refused, &ways.refuses_beside)? {
                    return Ok(answer);
                }
            }
            if !ways.refuses_marks.load(Ordering::Relaxed) {
                let (script, call) = self.call_by_mark(mark);
                let answer = run_script(connection, script, &call).await;
                if let Some(answer) = or_other_way(answer, is_unknown, &ways.refuses_marks)? {
                    return Ok(answer);
                }
            }
        }
        let (script, call) = self.call_by_text();
        run_script(connection, script, &call).await
    }

    /// The command of the server that does this, of those that servers have.
    fn native(&self, way: usize) -> Option<Cmd> {
        let key = self.key;
        match (self.write, way) {
            (Write::Replace { value, seconds, .. }, 0) => {
                Some(command(&[b"SET", key, value, b"IFEQ", &self.expected.whole(), b"EX", seconds]))
            }
            (Write::ReplaceText(text), 0) => {
                Some(command(&[b"SET", key, text, b"IFEQ", &self.expected.whole()]))
            }
            (Write::Remove, 0) => Some(command(&[b"DELIFEQ", key, &self.expected.whole()])),
            (Write::Remove, 1) => Some(command(&[b"DELEX", key, b"IFEQ", &self.expected.whole()])),
            _ => None,
        }
    }

    /// Writes the new record beside, and has it renamed if the record has this mark.
    async fn bring_in(
        &self,
        connection: &mut impl ConnectionLike,
        mark: Mark,
        beside: &str,
        value: &[u8],
        seconds: &[u8],
    ) -> RedisResult<Value> {
        let script = &self.scripts.bring_in;
        let (hash, beside, mark) = (script.get_hash().as_bytes(), beside.as_bytes(), mark.text());
        let call = command(&[b"EVALSHA", hash, b"2", self.key, beside, &mark, seconds]);
        let mut pipeline = Pipeline::with_capacity(2);
        pipeline.add_command(command(&[b"SET", beside, value, b"EX", SECONDS_BESIDE]));
        pipeline.add_command(call.clone());
        match pipeline.query_async::<(Value, Value)>(connection).await {
            Ok((_, answer)) => Ok(answer),
            Err(error) if is_no_script(&error) => load_and_run(connection, script, &call).await,
            Err(error) => Err(error),
        }
    }

    fn call_by_mark(&self, mark: Mark) -> (&Script, Cmd) {
        let mark = mark.text();
        match self.write {
            Write::Replace { value, seconds, .. } => {
                self.call(&self.scripts.replace_marked, &[&mark, value, seconds])
            }
            Write::ReplaceText(text) => self.call(&self.scripts.replace, &[&self.expected.whole(), text]),
            Write::Remove => self.call(&self.scripts.remove_marked, &[&mark]),
        }
    }

    fn call_by_text(&self) -> (&Script, Cmd) {
        let expected = &self.expected.whole();
        match self.write {
            Write::Replace { value, seconds, .. } => {
                self.call(&self.scripts.replace, &[expected, value, seconds])
            }
            Write::ReplaceText(text) => self.call(&self.scripts.replace, &[expected, text]),
            Write::Remove => self.call(&self.scripts.remove, &[expected]),
        }
    }

    fn call<'s>(&self, script: &'s Script, arguments: &[&[u8]]) -> (&'s Script, Cmd) {
        let call: [&[u8]; 4] = [b"EVALSHA", script.get_hash().as_bytes(), b"1", self.key];
        (script, command(&[&call, arguments].concat()))
    }
}

impl Expected<'_> {
    /// The stored value.
    fn whole(&self) -> Cow<'_, [u8]> {
        match self.mark {
            Some(mark) => Cow::Owned(mark.behind(self.text)),
            None => Cow::Borrowed(self.text),
        }
    }
}

/// The answer of a way of which there is another one. `None`: nothing was written, and the other way is to be
/// taken, from now on if the server has refused this one for good.
fn or_other_way(
    answer: RedisResult<Value>,
    is_refused: impl Fn(&RedisError) -> bool,
    refused: &AtomicBool,
) -> RedisResult<Option<Value>> {
    match answer {
        Ok(NOT_BESIDE) => Ok(None),
        Ok(answer) => Ok(Some(answer)),
        Err(error) if is_refused(&error) => {
            tracing::debug!(error = cause(&error), "Redis refuses a way to write that costs it less");
            refused.store(true, Ordering::Relaxed);
            Ok(None)
        }
        Err(error) if is_of_server(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// What servers answer that take no write for now, whichever way it comes: there is no memory, there are too few
/// replicas, the disk fails, or another script runs.
const TAKES_NO_WRITE: [&str; 4] = ["OOM", "NOREPLICAS", "MISCONF", "BUSY"];

/// Whether the server has answered with an error, and the connection and the server are those to go on with.
/// While a cluster moves the keys of a node, it serves only calls with one key.
fn is_of_server(error: &RedisError) -> bool {
    match error.kind() {
        ErrorKind::Server(ServerErrorKind::TryAgain) => true,
        ErrorKind::Extension => {
            let errors = error.clone().into_server_errors();
            !errors
                .iter()
                .flat_map(|errors| &**errors)
                .any(|(_, error)| TAKES_NO_WRITE.contains(&error.code()))
        }
        ErrorKind::Server(_) => !error.is_refused_by_replica(),
        _ => false,
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

/// Whether the server does not let this user write a key beside, which the first command does, or rename it.
fn is_beside_refused(error: &RedisError) -> bool {
    let answers = error.clone().into_server_errors();
    answers.is_some_and(|errors| {
        errors.iter().any(|(at, error)| match error.kind() {
            Some(ServerErrorKind::ResponseError) => true,
            Some(ServerErrorKind::NoPerm) => {
                *at == 0 || is_about_command(error.details().unwrap_or_default())
            }
            _ => false,
        })
    })
}

fn is_no_script(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::NoScript)
}

/// Calls a script, and tells it to a server that does not know it.
async fn run_script(connection: &mut impl ConnectionLike, script: &Script, call: &Cmd) -> RedisResult<Value> {
    match call.query_async(connection).await {
        // Boxed to keep the future small: a server needs each script once.
        Err(error) if is_no_script(&error) => Box::pin(load_and_run(connection, script, call)).await,
        answer => answer,
    }
}

async fn load_and_run(
    connection: &mut impl ConnectionLike,
    script: &Script,
    call: &Cmd,
) -> RedisResult<Value> {
    script.load_async(connection).await?;
    call.query_async(connection).await
}

/// Reads the answer of a conditional write: [`DONE`], [`GONE`], or the stored record with its remaining
/// milliseconds. `None` stands for [`OTHER`]. `done` is the version to return if it has written.
pub(super) fn to_replaced(answer: Value, done: &Version) -> Result<Option<Replaced>, StoreError> {
    Ok(Some(match answer {
        DONE => Replaced::Done(done.clone()),
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
