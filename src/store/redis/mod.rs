//! [`RedisStore`]: records in Redis or Valkey, in connect-redis' layout.
//!
//! A load is one round trip (`GET` and `PTTL` in one pipeline), and so is every write: `SET … NX` to create, `EXPIRE` to
//! touch, and for `replace` and `destroy_if` a script over the one key, which answers done, gone, or what is there now.
//! JSON is compared as text and never decoded in Lua, which would not give it back as it was.

mod scan;

use std::fmt;
use std::hash::BuildHasher as _;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use redis::aio::{ConnectionLike, ConnectionManager, ConnectionManagerConfig};
use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
use redis::io::tcp::TcpSettings;
use redis::{
    Client, Cmd, ConnectionAddr, ConnectionInfo, ErrorKind, FromRedisValue, IntoConnectionInfo, Pipeline,
    RedisError, Script, ServerErrorKind, Value, from_redis_value,
};

use crate::error::StoreError;
use crate::id::SessionId;
use crate::record::Record;
use crate::store::retry::{self, TIMEOUT, Try, in_time, seconds};
use crate::store::version::Version;
use crate::store::{Replaced, SessionStore, Stored};

/// `ARGV`: what is expected, what is to be written, seconds to live. The answer is [`DONE`], [`GONE`], or what is there now
/// and its milliseconds to live.
const REPLACE: &str = r"
local now = redis.call('GET', KEYS[1])
if not now then return 0 end
if now ~= ARGV[1] then return {now, redis.call('PTTL', KEYS[1])} end
redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3])
return 1";

/// `ARGV`: what is expected. The answers are the same.
const DESTROY_IF: &str = r"
local now = redis.call('GET', KEYS[1])
if not now then return 0 end
if now ~= ARGV[1] then return {now, redis.call('PTTL', KEYS[1])} end
redis.call('DEL', KEYS[1])
return 1";

/// How many [`RedisStore::connect`] makes. What waits on one connection goes to the server in one batch, and its answers
/// come in one: with a single one, server and client would take turns.
const CONNECTIONS: usize = 3;

const GONE: Value = Value::Int(0);
const DONE: Value = Value::Int(1);

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

impl RedisStore<ConnectionManager> {
    /// Connects to one server, over three connections that all sessions share and that are made anew when they drop.
    /// Over a network they are switched to `TCP_NODELAY`.
    ///
    /// # Errors
    /// [`StoreError::unavailable`] when the address is wrong or the server does not answer.
    pub async fn connect(address: impl IntoConnectionInfo) -> Result<Self, StoreError> {
        let address = undelayed(address.into_connection_info().map_err(StoreError::unavailable)?);
        let client = Client::open(address).map_err(StoreError::unavailable)?;
        // The store's own timeout is the one that counts.
        let config = ConnectionManagerConfig::new().set_response_timeout(None).set_number_of_retries(1);
        let connecting = async {
            let mut connections = Vec::with_capacity(CONNECTIONS);
            for _ in 0..CONNECTIONS {
                let connecting = ConnectionManager::new_with_config(client.clone(), config.clone());
                connections.push(connecting.await.map_err(StoreError::unavailable)?);
            }
            Ok(connections)
        };
        Ok(Self::over(in_time(TIMEOUT, connecting).await?))
    }
}

impl RedisStore<ClusterConnection> {
    /// Connects to a cluster through some of its nodes, with `TCP_NODELAY`.
    ///
    /// # Errors
    /// [`StoreError::unavailable`] when an address is wrong or no node answers.
    pub async fn connect_cluster<A: IntoConnectionInfo>(
        nodes: impl IntoIterator<Item = A>,
    ) -> Result<Self, StoreError> {
        let tcp = TcpSettings::default().set_nodelay(true);
        let client = ClusterClient::builder(nodes).retries(3).tcp_settings(tcp);
        let client = client.build().map_err(StoreError::unavailable)?;
        let connecting = client.get_async_connection();
        let connection =
            in_time(TIMEOUT, async { connecting.await.map_err(StoreError::unavailable) }).await?;
        Ok(Self::new(connection))
    }
}

impl<C: ConnectionLike + Clone + Send + Sync + 'static> RedisStore<C> {
    /// Over one connection of your own: a multiplexed one, a pool's, a cluster's.
    pub fn new(connection: C) -> Self {
        Self::over(vec![connection])
    }

    fn over(connections: Vec<C>) -> Self {
        let settings = Settings {
            prefix: "sess:".into(),
            timeout: TIMEOUT,
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

    async fn ask<T: FromRedisValue + Send>(
        &self,
        id: &SessionId,
        question: Question<'_>,
    ) -> Result<(T, Try), StoreError> {
        let connection = self.connection(id);
        retry::ask(self.settings.timeout, RedisError::is_connection_dropped, || {
            let mut connection = connection.clone();
            async move { question.ask(&mut connection).await }
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
    ) -> Result<(Replaced, Try), StoreError> {
        let (answer, tried) = self.ask(id, Question::Script { script, call: &call }).await?;
        let answer = match answer {
            DONE => Replaced::Done(done),
            GONE => Replaced::Gone,
            conflict => {
                let (now, left) = from_redis_value(conflict).map_err(StoreError::unavailable)?;
                stored(now, left)?.map_or(Replaced::Gone, Replaced::Conflict)
            }
        };
        Ok((answer, tried))
    }
}

/// Switches Nagle's algorithm off where it would make one question wait until the answer to another one has come over the
/// network. On this machine there is next to nothing to wait for, and both ends have less to do when packets are few.
fn undelayed(address: ConnectionInfo) -> ConnectionInfo {
    let host = match address.addr() {
        ConnectionAddr::Tcp(host, _) | ConnectionAddr::TcpTls { host, .. } => &**host,
        _ => return address,
    };
    let ip = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    if host == "localhost" || ip.is_ok_and(|ip| ip.is_loopback()) {
        return address;
    }
    let tcp = address.tcp_settings().clone().set_nodelay(true);
    address.set_tcp_settings(tcp)
}

/// A request to the server, to be sent again as it is.
#[derive(Clone, Copy)]
enum Question<'q> {
    Command(&'q Cmd),
    Pipeline(&'q Pipeline),
    Script { script: &'q Script, call: &'q Cmd },
}

impl Question<'_> {
    async fn ask<T: FromRedisValue>(self, connection: &mut impl ConnectionLike) -> Result<T, RedisError> {
        match self {
            Self::Command(command) => command.query_async(connection).await,
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
fn command(arguments: &[&[u8]]) -> Cmd {
    let bytes = arguments.iter().map(|argument| argument.len()).sum();
    let mut command = Cmd::with_capacity(arguments.len(), bytes);
    for argument in arguments {
        command.arg(*argument);
    }
    command
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
        let mut pipeline = Pipeline::with_capacity(2);
        pipeline.add_command(command(&[b"GET", key.as_bytes()]));
        pipeline.add_command(command(&[b"PTTL", key.as_bytes()]));
        let ((json, left), _) = self.ask::<(Option<String>, i64)>(id, Question::Pipeline(&pipeline)).await?;
        json.map_or(Ok(None), |json| stored(json, left))
    }

    async fn set(&self, id: &SessionId, record: &Record, ttl: Duration) -> Result<(), StoreError> {
        if ttl.is_zero() {
            return self.destroy(id).await;
        }
        let (key, seconds) = (self.key(id), seconds(ttl).to_string());
        let set = command(&[b"SET", key.as_bytes(), record.as_bytes(), b"EX", seconds.as_bytes()]);
        self.ask(id, Question::Command(&set)).await.map(|((), _)| ())
    }

    async fn destroy(&self, id: &SessionId) -> Result<(), StoreError> {
        let delete = command(&[b"DEL", self.key(id).as_bytes()]);
        self.ask(id, Question::Command(&delete)).await.map(|((), _)| ())
    }

    async fn touch(&self, id: &SessionId, ttl: Duration) -> Result<bool, StoreError> {
        let expire = command(&[b"EXPIRE", self.key(id).as_bytes(), seconds(ttl).to_string().as_bytes()]);
        self.ask(id, Question::Command(&expire)).await.map(|(found, _)| found)
    }

    async fn create(&self, id: &SessionId, record: &Record, ttl: Duration) -> Result<bool, StoreError> {
        if ttl.is_zero() {
            return Ok(true);
        }
        let (key, seconds) = (self.key(id), seconds(ttl).to_string());
        let set = command(&[b"SET", key.as_bytes(), record.as_bytes(), b"NX", b"EX", seconds.as_bytes()]);
        // Taken by our own first try: the session takes another id, and that record expires unread.
        let (done, _) = self.ask::<Option<String>>(id, Question::Command(&set)).await?;
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
        let seconds = seconds(ttl).to_string();
        let call = self.call(script, id, expected, &[record.as_bytes(), seconds.as_bytes()]);
        let (answer, tried) = self.compare(id, script, call, Version::of(record)).await?;
        retry::replaced(answer, tried)
    }

    async fn destroy_if(&self, id: &SessionId, expected: &Version) -> Result<Replaced, StoreError> {
        let script = &self.settings.destroy_if;
        let call = self.call(script, id, expected, &[]);
        let (answer, tried) = self.compare(id, script, call, expected.clone()).await?;
        retry::destroyed(answer, tried)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_waits_over_a_network() {
        for (address, nodelay) in [
            ("redis://127.0.0.1", false),
            ("redis://localhost:7000/2", false),
            ("redis://[::1]:7000", false),
            ("redis+unix:///run/redis.sock", false),
            ("redis://user:pass@10.1.2.3", true),
            ("redis://cache.internal:7000/2", true),
        ] {
            let address = address.into_connection_info().unwrap();
            let tcp = address.tcp_settings().clone().set_linger_time(Duration::from_secs(3));
            let address = address.set_tcp_settings(tcp.clone());
            // Everything else stays.
            let expected = address.clone().set_tcp_settings(tcp.set_nodelay(nodelay));
            assert_eq!(format!("{:?}", undelayed(address)), format!("{expected:?}"));
        }
    }
}
