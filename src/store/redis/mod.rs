//! [`RedisStore`]: records in Redis or Valkey, in connect-redis' layout.
//!
//! A load is one round trip (`GET` and `PTTL` in one pipeline), and so is every write: `SET … NX` to create, `EXPIRE` to
//! touch, and for `replace` and `destroy_if` a script over the one key, which answers done, gone, or what is there now.
//! JSON is compared as text and never decoded in Lua, which would not give it back as it was.

mod commands;
mod connect;
mod scan;

use std::fmt;
use std::hash::BuildHasher as _;
use std::sync::Arc;
use std::time::Duration;

use redis::aio::{ConnectionLike, ConnectionManager};
use redis::{Cmd, FromRedisValue, Pipeline, RedisError, Script, from_redis_value};

use self::commands::{Command, DESTROY_IF, DONE, GONE, REPLACE, command, to_stored};
use crate::error::StoreError;
use crate::id::SessionId;
use crate::record::Record;
use crate::store::remote::{self, Attempt, DEFAULT_TIMEOUT, whole_seconds};
use crate::store::{Replaced, SessionStore, Stored, Version};

/// Sessions in Redis 6.2 or newer, or Valkey, shared by many processes and, with the same prefix, by Express.
///
/// Keys, values and times to live are those of connect-redis: `sess:` and the id, the record as JSON, whole seconds
/// rounded up. A clone is another handle on the same connections. Behind the feature `redis`.
///
/// A connection that drops is made anew, and what it was asked is asked once more where that is safe. Every operation
/// ends within a [`timeout`](Self::timeout); then, and when the server cannot be reached, it is
/// [`StoreError::unavailable`].
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
    /// At least one.
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
    /// Over one connection of your own: a multiplexed one, a pool's, a cluster's.
    pub fn new(connection: C) -> Self {
        Self::over(vec![connection])
    }

    fn over(connections: Vec<C>) -> Self {
        let settings = Settings {
            prefix: "sess:".into(),
            timeout: DEFAULT_TIMEOUT,
            replace: Script::new(REPLACE),
            destroy_if: Script::new(DESTROY_IF),
        };
        Self { connections: connections.into(), settings: Arc::new(settings) }
    }

    /// What keys begin with (connect-redis: `prefix`). Default: `sess:`.
    #[must_use]
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        Arc::make_mut(&mut self.settings).prefix = prefix.into();
        self
    }

    /// How long one operation may take, a second try included. Default: 5 seconds.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        Arc::make_mut(&mut self.settings).timeout = timeout;
        self
    }

    /// The same one for all requests of a session, which thus reach the server in the order they were made in.
    fn connection(&self, id: &SessionId) -> &C {
        let hash = foldhash::fast::FixedState::default().hash_one(id.as_str());
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
        remote::with_retry(self.settings.timeout, RedisError::is_connection_dropped, || {
            let mut connection = connection.clone();
            async move { command.send(&mut connection).await }
        })
        .await
    }

    /// What [`compare`](Self::compare) asks.
    fn call(&self, script: &Script, id: &SessionId, expected: &Version, arguments: &[&[u8]]) -> Cmd {
        let (key, expected) = (self.key(id), expected.as_bytes().unwrap_or_default());
        let call: [&[u8]; 5] = [b"EVALSHA", script.get_hash().as_bytes(), b"1", key.as_bytes(), expected];
        command(&[&call, arguments].concat())
    }

    async fn compare(
        &self,
        id: &SessionId,
        script: &Script,
        call: Cmd,
        done: Version,
    ) -> Result<(Replaced, Attempt), StoreError> {
        let (answer, attempt) = self.send_with_retry(id, Command::Script { script, call: &call }).await?;
        let answer = match answer {
            DONE => Replaced::Done(done),
            GONE => Replaced::Gone,
            conflict => {
                let (now, left) = from_redis_value(conflict).map_err(StoreError::unavailable)?;
                to_stored(now, left)?.map_or(Replaced::Gone, Replaced::Conflict)
            }
        };
        Ok((answer, attempt))
    }
}

impl<C: ConnectionLike + Clone + Send + Sync + 'static> SessionStore for RedisStore<C> {
    async fn get(&self, id: &SessionId) -> Result<Option<Stored>, StoreError> {
        let key = self.key(id);
        let mut pipeline = Pipeline::with_capacity(2);
        pipeline.add_command(command(&[b"GET", key.as_bytes()]));
        pipeline.add_command(command(&[b"PTTL", key.as_bytes()]));
        let ((json, left), _) =
            self.send_with_retry::<(Option<String>, i64)>(id, Command::Pipeline(&pipeline)).await?;
        json.map_or(Ok(None), |json| to_stored(json, left))
    }

    async fn set(&self, id: &SessionId, record: &Record, ttl: Duration) -> Result<(), StoreError> {
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
        if ttl.is_zero() {
            return Ok(true);
        }
        let (key, seconds) = (self.key(id), whole_seconds(ttl).to_string());
        let set = command(&[b"SET", key.as_bytes(), record.as_bytes(), b"NX", b"EX", seconds.as_bytes()]);
        // Taken by our own first try: the session takes another id, and that record expires unread.
        let (done, _) = self.send_with_retry::<Option<String>>(id, Command::Plain(&set)).await?;
        Ok(done.is_some())
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
        let call = self.call(script, id, expected, &[record.as_bytes(), seconds.as_bytes()]);
        let (answer, attempt) = self.compare(id, script, call, Version::of(record)).await?;
        remote::confirm_replace(answer, attempt)
    }

    async fn destroy_if(&self, id: &SessionId, expected: &Version) -> Result<Replaced, StoreError> {
        let script = &self.settings.destroy_if;
        let call = self.call(script, id, expected, &[]);
        let (answer, attempt) = self.compare(id, script, call, expected.clone()).await?;
        remote::confirm_destroy(answer, attempt)
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
