//! [`RedisStore`]: sessions in Redis or Valkey, in connect-redis' layout.
//!
//! A load is one round trip: `GET` and `PTTL` in one pipeline. Every write is one round trip too: `SET … NX`
//! creates, `EXPIRE` touches, and a script over the session's key does a `replace` or a `destroy_if`.

mod commands;
mod connect;
mod scan;

use std::fmt;
use std::hash::BuildHasher as _;
use std::sync::Arc;
use std::time::Duration;

use redis::aio::{ConnectionLike, ConnectionManager};
use redis::{Cmd, FromRedisValue, Pipeline, Script};

use self::commands::{Command, DESTROY_IF, REPLACE, command, script_call, to_replaced, to_stored};
use crate::error::StoreError;
use crate::id::SessionId;
use crate::record::Record;
use crate::store::retry::{self, Attempt, DEFAULT_TIMEOUT, whole_seconds};
use crate::store::version::Version;
use crate::store::{Replaced, SessionStore, Stored};

/// Sessions in Redis 6.2 or newer, or in Valkey. All processes that use the same prefix share them, Express'
/// included.
///
/// Behind the feature `redis`. The layout is that of connect-redis: the key is `sess:` and the id, the value
/// is the record as JSON, and the time to live is in whole seconds, rounded up. A clone is another handle on
/// the same connections.
///
/// If a connection drops, the store reconnects and retries the operation once. Every operation ends within a
/// [`timeout`](Self::timeout). The error is [`StoreError::unavailable`] if the timeout passes, if the server
/// cannot be reached, and if a retry cannot tell whether the first attempt has already written. A key that
/// holds anything but a record, such as the hash of another program, is [`StoreError::corrupt`].
///
/// ```no_run
/// use sessile::{RedisStore, SessionConfig};
///
/// # async fn start() -> Result<(), Box<dyn std::error::Error>> {
/// let store = RedisStore::connect("redis://127.0.0.1/").await?;
/// let config = SessionConfig::builder("a secret of at least 32 bytes, from the environment")
///     .store(store)
///     .build()?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct RedisStore<C = ConnectionManager> {
    /// Invariant: there is at least one. [`connection`](Self::connection) relies on that.
    connections: Arc<[C]>,
    settings: Arc<Settings>,
}

#[derive(Clone)]
struct Settings {
    prefix: String,
    timeout: Duration,
    replace: Script,
    destroy_if: Script,
}

impl<C: ConnectionLike + Clone + Send + Sync + 'static> RedisStore<C> {
    /// A store over one connection of your own: a multiplexed one, a pool's, a cluster's.
    pub fn new(connection: C) -> Self {
        Self::over(vec![connection])
    }

    fn over(connections: Vec<C>) -> Self {
        debug_assert!(!connections.is_empty());
        let settings = Settings {
            prefix: "sess:".into(),
            timeout: DEFAULT_TIMEOUT,
            replace: Script::new(REPLACE),
            destroy_if: Script::new(DESTROY_IF),
        };
        Self { connections: connections.into(), settings: Arc::new(settings) }
    }

    /// Sets the prefix of every key (connect-redis: `prefix`). Default: `sess:`.
    ///
    /// An empty prefix is possible, as in connect-redis. `len` and `clear` then return an error, because they
    /// could not tell sessions from other keys.
    #[must_use]
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        Arc::make_mut(&mut self.settings).prefix = prefix.into();
        self
    }

    /// Sets the longest that one operation may take, a retry included. Default: 5 seconds.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        Arc::make_mut(&mut self.settings).timeout = timeout;
        self
    }

    /// The connection of a session. All requests of a session have the same one, so that the server receives
    /// them in the order in which they were made.
    fn connection(&self, id: &SessionId) -> &C {
        let hash = foldhash::fast::FixedState::default().hash_one(id.as_str());
        // Invariant: there is at least one connection, so the divisor is not zero.
        &self.connections[hash as usize % self.connections.len()]
    }

    fn key(&self, id: &SessionId) -> String {
        [&self.settings.prefix, id.as_str()].concat()
    }

    async fn send_with_retry<T: FromRedisValue + Send>(
        &self,
        id: &SessionId,
        command: Command<'_>,
    ) -> Result<(T, Attempt), StoreError> {
        let connection = self.connection(id);
        retry::with_retry(self.settings.timeout, || {
            let mut connection = connection.clone();
            async move { command.send(&mut connection).await }
        })
        .await
    }

    /// Runs a conditional script. `done` is the version that it returns if it has written.
    async fn run_script(
        &self,
        id: &SessionId,
        script: &Script,
        call: Cmd,
        done: Version,
    ) -> Result<(Replaced, Attempt), StoreError> {
        let (answer, attempt) = self.send_with_retry(id, Command::Script { script, call: &call }).await?;
        Ok((to_replaced(answer, done)?, attempt))
    }
}

impl<C: ConnectionLike + Clone + Send + Sync + 'static> SessionStore for RedisStore<C> {
    async fn get(&self, id: &SessionId) -> Result<Option<Stored>, StoreError> {
        let key = self.key(id);
        let mut pipeline = Pipeline::with_capacity(2);
        pipeline.add_command(command(&[b"GET", key.as_bytes()]));
        pipeline.add_command(command(&[b"PTTL", key.as_bytes()]));
        let ((value, remaining), _) =
            self.send_with_retry::<(Option<Vec<u8>>, i64)>(id, Command::Pipeline(&pipeline)).await?;
        value.map_or(Ok(None), |value| to_stored(value, remaining))
    }

    async fn set(&self, id: &SessionId, record: &Record, ttl: Duration) -> Result<(), StoreError> {
        // connect-redis removes a record that has no time left, and Redis refuses to write one.
        if ttl.is_zero() {
            return self.destroy(id).await;
        }
        let (key, seconds) = (self.key(id), whole_seconds(ttl).to_string());
        let set = command(&[b"SET", key.as_bytes(), record.as_bytes(), b"EX", seconds.as_bytes()]);
        self.send_with_retry(id, Command::Plain(&set)).await.map(|((), _)| ())
    }

    async fn destroy(&self, id: &SessionId) -> Result<(), StoreError> {
        let delete = command(&[b"DEL", self.key(id).as_bytes()]);
        self.send_with_retry(id, Command::Plain(&delete)).await.map(|((), _)| ())
    }

    async fn touch(&self, id: &SessionId, ttl: Duration) -> Result<bool, StoreError> {
        let expire =
            command(&[b"EXPIRE", self.key(id).as_bytes(), whole_seconds(ttl).to_string().as_bytes()]);
        self.send_with_retry(id, Command::Plain(&expire)).await.map(|(found, _)| found)
    }

    async fn create(&self, id: &SessionId, record: &Record, ttl: Duration) -> Result<bool, StoreError> {
        // A record that expires at once need not be written.
        if ttl.is_zero() {
            return Ok(true);
        }
        let (key, seconds) = (self.key(id), whole_seconds(ttl).to_string());
        let set = command(&[b"SET", key.as_bytes(), record.as_bytes(), b"NX", b"EX", seconds.as_bytes()]);
        let (created, attempt) = self.send_with_retry::<Option<String>>(id, Command::Plain(&set)).await?;
        if created.is_some() || attempt == Attempt::First {
            return Ok(created.is_some());
        }
        retry::confirm_create(Box::pin(self.get(id)).await, record)
    }

    async fn replace(
        &self,
        id: &SessionId,
        expected: &Version,
        record: &Record,
        ttl: Duration,
    ) -> Result<Replaced, StoreError> {
        if ttl.is_zero() {
            return self.destroy_if(id, expected).await;
        }
        let script = &self.settings.replace;
        let seconds = whole_seconds(ttl).to_string();
        let call = script_call(script, &self.key(id), expected, &[record.as_bytes(), seconds.as_bytes()]);
        let (answer, attempt) = self.run_script(id, script, call, Version::of(record)).await?;
        retry::confirm_replace(answer, attempt, record)
    }

    async fn destroy_if(&self, id: &SessionId, expected: &Version) -> Result<Replaced, StoreError> {
        let script = &self.settings.destroy_if;
        let call = script_call(script, &self.key(id), expected, &[]);
        let (answer, attempt) = self.run_script(id, script, call, expected.clone()).await?;
        retry::confirm_destroy(answer, attempt)
    }
}

impl<C> fmt::Debug for RedisStore<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore")
            .field("prefix", &self.settings.prefix)
            .field("timeout", &self.settings.timeout)
            .finish_non_exhaustive()
    }
}
