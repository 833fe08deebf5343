//! [`RedisStore`]: records in Redis or Valkey, in connect-redis' layout.
//!
//! A load is one round trip (`GET` and `PTTL` in one pipeline), and so is every write: `SET … NX` to create, `EXPIRE` to
//! touch, and for `replace` and `destroy_if` a script over the one key, which answers done, gone, or what is there now.
//! JSON is compared as text and never decoded in Lua, which would not give it back as it was.

mod scan;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use redis::aio::{ConnectionLike, ConnectionManager, ConnectionManagerConfig};
use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
use redis::{Client, Cmd, FromRedisValue, IntoConnectionInfo, Pipeline, RedisError, Script};

use crate::error::StoreError;
use crate::id::SessionId;
use crate::record::Record;
use crate::store::remote::{self, TIMEOUT, Try, in_time, seconds};
use crate::store::{Replaced, SessionStore, Stored, Version};

/// `ARGV`: what is expected, what is to be written, seconds to live.
const REPLACE: &str = r"
local now = redis.call('GET', KEYS[1])
if not now then return {'gone', '', 0} end
if now ~= ARGV[1] then return {'conflict', now, redis.call('PTTL', KEYS[1])} end
redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3])
return {'done', '', 0}";

/// `ARGV`: what is expected.
const DESTROY_IF: &str = r"
local now = redis.call('GET', KEYS[1])
if not now then return {'gone', '', 0} end
if now ~= ARGV[1] then return {'conflict', now, redis.call('PTTL', KEYS[1])} end
redis.call('DEL', KEYS[1])
return {'done', '', 0}";

/// Sessions in Redis 6.2 or newer, or Valkey, shared by many processes and, with the same prefix, by Express.
///
/// Keys, values and times to live are those of connect-redis: `sess:` and the id, the record as JSON, whole seconds
/// rounded up. A clone is another handle on the same connection. Behind the feature `redis`.
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
    connection: C,
    settings: Arc<Settings>,
}

#[derive(Clone)]
struct Settings {
    prefix: String,
    timeout: Duration,
    replace: Script,
    destroy_if: Script,
}

impl RedisStore<ConnectionManager> {
    /// Connects to one server, over one connection that all sessions share and that is made anew when it drops.
    ///
    /// # Errors
    /// [`StoreError::unavailable`] when the address is wrong or the server does not answer.
    pub async fn connect(address: impl IntoConnectionInfo) -> Result<Self, StoreError> {
        let client = Client::open(address).map_err(StoreError::unavailable)?;
        // The store's own timeout is the one that counts.
        let config = ConnectionManagerConfig::new().set_response_timeout(None).set_number_of_retries(1);
        let connecting = ConnectionManager::new_with_config(client, config);
        let connection =
            in_time(TIMEOUT, async { connecting.await.map_err(StoreError::unavailable) }).await?;
        Ok(Self::new(connection))
    }
}

impl RedisStore<ClusterConnection> {
    /// Connects to a cluster through some of its nodes.
    ///
    /// # Errors
    /// [`StoreError::unavailable`] when an address is wrong or no node answers.
    pub async fn connect_cluster<A: IntoConnectionInfo>(
        nodes: impl IntoIterator<Item = A>,
    ) -> Result<Self, StoreError> {
        let client = ClusterClient::builder(nodes).retries(3).build().map_err(StoreError::unavailable)?;
        let connecting = client.get_async_connection();
        let connection =
            in_time(TIMEOUT, async { connecting.await.map_err(StoreError::unavailable) }).await?;
        Ok(Self::new(connection))
    }
}

impl<C: ConnectionLike + Clone + Send + Sync + 'static> RedisStore<C> {
    /// Over a connection of your own: a multiplexed one, a pool's, a cluster's.
    pub fn new(connection: C) -> Self {
        let settings = Settings {
            prefix: "sess:".into(),
            timeout: TIMEOUT,
            replace: Script::new(REPLACE),
            destroy_if: Script::new(DESTROY_IF),
        };
        Self { connection, settings: Arc::new(settings) }
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

    fn key(&self, id: &SessionId) -> String {
        [&self.settings.prefix, id.as_str()].concat()
    }

    async fn ask<T: FromRedisValue + Send>(&self, question: Question<'_>) -> Result<(T, Try), StoreError> {
        remote::ask(self.settings.timeout, RedisError::is_connection_dropped, || {
            let mut connection = self.connection.clone();
            async move { question.ask(&mut connection).await }
        })
        .await
    }

    async fn compare(
        &self,
        script: &Script,
        id: &SessionId,
        expected: &Version,
        arguments: &[&str],
        done: Version,
    ) -> Result<(Replaced, Try), StoreError> {
        let key = self.key(id);
        let expected = expected.as_bytes().unwrap_or_default();
        let question = Question::Script { script, key: &key, expected, arguments };
        let ((answer, now, left), tried) = self.ask::<(String, String, i64)>(question).await?;
        let answer = match &*answer {
            "done" => Replaced::Done(done),
            "conflict" => stored(now, left)?.map_or(Replaced::Gone, Replaced::Conflict),
            _ => Replaced::Gone,
        };
        Ok((answer, tried))
    }
}

/// A request to the server, to be sent again as it is.
#[derive(Clone, Copy)]
enum Question<'q> {
    Command(&'q Cmd),
    Pipeline(&'q Pipeline),
    Script { script: &'q Script, key: &'q str, expected: &'q [u8], arguments: &'q [&'q str] },
}

impl Question<'_> {
    async fn ask<T: FromRedisValue>(self, connection: &mut impl ConnectionLike) -> Result<T, RedisError> {
        match self {
            Self::Command(command) => command.query_async(connection).await,
            Self::Pipeline(pipeline) => pipeline.query_async(connection).await,
            Self::Script { script, key, expected, arguments } => {
                let mut call = script.key(key);
                call.arg(expected);
                for argument in arguments {
                    call.arg(*argument);
                }
                call.invoke_async(connection).await
            }
        }
    }
}

/// connect-redis reads an empty value and `null` as no session.
fn stored(json: String, left_millis: i64) -> Result<Option<Stored>, StoreError> {
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

impl<C: ConnectionLike + Clone + Send + Sync + 'static> SessionStore for RedisStore<C> {
    async fn get(&self, id: &SessionId) -> Result<Option<Stored>, StoreError> {
        let key = self.key(id);
        let mut pipeline = redis::pipe();
        pipeline.cmd("GET").arg(&key).cmd("PTTL").arg(&key);
        let ((json, left), _) = self.ask::<(Option<String>, i64)>(Question::Pipeline(&pipeline)).await?;
        json.map_or(Ok(None), |json| stored(json, left))
    }

    async fn set(&self, id: &SessionId, record: &Record, ttl: Duration) -> Result<(), StoreError> {
        if ttl.is_zero() {
            return self.destroy(id).await;
        }
        let mut command = redis::cmd("SET");
        command.arg(self.key(id)).arg(record.as_json()).arg("EX").arg(seconds(ttl));
        self.ask(Question::Command(&command)).await.map(|((), _)| ())
    }

    async fn destroy(&self, id: &SessionId) -> Result<(), StoreError> {
        let mut command = redis::cmd("DEL");
        command.arg(self.key(id));
        self.ask(Question::Command(&command)).await.map(|((), _)| ())
    }

    async fn touch(&self, id: &SessionId, ttl: Duration) -> Result<bool, StoreError> {
        let mut command = redis::cmd("EXPIRE");
        command.arg(self.key(id)).arg(seconds(ttl));
        self.ask(Question::Command(&command)).await.map(|(found, _)| found)
    }

    async fn create(&self, id: &SessionId, record: &Record, ttl: Duration) -> Result<bool, StoreError> {
        if ttl.is_zero() {
            return Ok(true);
        }
        let mut command = redis::cmd("SET");
        command.arg(self.key(id)).arg(record.as_json()).arg("NX").arg("EX").arg(seconds(ttl));
        // Taken by our own first try: the session takes another id, and that record expires unread.
        let (done, _) = self.ask::<Option<String>>(Question::Command(&command)).await?;
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
        let seconds = seconds(ttl).to_string();
        let arguments = [record.as_json(), &seconds];
        let done = Version::of(record);
        let (answer, tried) = self.compare(&self.settings.replace, id, expected, &arguments, done).await?;
        remote::replaced(answer, tried)
    }

    async fn destroy_if(&self, id: &SessionId, expected: &Version) -> Result<Replaced, StoreError> {
        let script = &self.settings.destroy_if;
        let (answer, tried) = self.compare(script, id, expected, &[], expected.clone()).await?;
        remote::destroyed(answer, tried)
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
