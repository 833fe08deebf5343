//! [`RedisStore`]: sessions in Redis or Valkey, in connect-redis' layout.
//!
//! A load is one round trip: `GET` and `PTTL` in one pipeline. Every write is one round trip too: `SET … NX`
//! creates, `EXPIRE` touches, and a conditional command of the server, or a script over the session's key,
//! does a `replace` or a `destroy_if`; a large record is sent in front of it, in one pipeline. A line of a user's text is appended and the text read in one as well.

mod address;
mod asking;
pub(crate) mod builder;
mod check;
mod commands;
mod conditional;
mod connect;
mod connections;
mod ends;
mod many;
mod mark;
mod scan;
mod scripts;
mod users;
mod wire;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::BoxStream;
use redis::aio::{ConnectionLike, ConnectionManager};
use redis::{FromRedisValue, Pipeline};

use self::commands::Command;
use self::conditional::{BESIDE_FROM, Conditional, Expected, Write, to_replaced};
use self::connections::Connections;
use self::mark::Mark;
use self::scripts::Scripts;
use self::wire::{command, to_stored};
use crate::error::StoreError;
use crate::id::SessionId;
use crate::record::Record;
use crate::store::retry::{self, Attempt, DEFAULT_TIMEOUT, whole_seconds};
use crate::store::users::UserIndex;
use crate::store::version::Version;
use crate::store::{Replaced, SessionStore, Stored};

/// Sessions in Redis 6.2 or newer, or in Valkey. All processes that use the same prefix share them, Express'
/// included.
///
/// Behind the feature `redis`. The layout is that of connect-redis: the key is `sess:` and the id, the value
/// is the record as JSON, and the time to live is in whole seconds, rounded up. Behind the JSON stand 34
/// characters of white space, as JSON allows: other ones after each write, by which the store tells that
/// nobody has written since. A program of your own that changes a record writes it without them, as every
/// serializer of JSON does. A clone is another handle on the same connections.
///
/// Every operation ends within a [`timeout`](Self::timeout). The error is [`StoreError::unavailable`] if the
/// timeout passes, if the server cannot be reached, and if a retry cannot tell whether the first attempt has
/// already written. A key that holds anything but a record, such as the hash of another program, is
/// [`StoreError::corrupt`].
///
/// # When the network or a server fails
/// If a connection drops, the store reconnects and retries the operation once. A connection that has been
/// silent for as long as the timeout is replaced, so requests fail for one timeout and not until the process
/// ends. If the server behind the address has become a replica, or is starting, the store connects again and
/// asks once more: it follows the address to the new primary.
/// [`connect_sentinel`](RedisStore::connect_sentinel) asks Sentinels for it. A store over a connection of
/// [your own](Self::new) cannot replace it.
///
/// # What the user of the connection needs
/// In the words of Redis' `ACL SETUSER`: `~sess:* +get +pttl +set +expire +del +evalsha +script|load`.
/// With `+getrange +rename ~sessile:new:*` as well, a script costs the server a fraction, the less the larger
/// the session; `check` and connecting log a warning where they are missing. A record of 2 KiB or more is then
/// written under a key that begins with `sessile:new:` and takes the place of the old one at once, or expires
/// within ten seconds. If the prefix is empty or one that such a key would begin with, there is no such key.
/// Servers that compare and write themselves need no script: Valkey from 9.0 needs `+delifeq` in the place of
/// the last two, and Redis from 8.4 `+delex`; Valkey 8.1 needs the script for `destroy_if` alone. Connecting
/// tries each command on a key that no session has, and the error names the right that is missing. `len`,
/// `clear` and `ids` need `+scan`, `clear` also `+unlink`, a database other than 0 `+select`, a cluster `+cluster|slots`
/// and, while it moves keys to another node, `+asking`, and Sentinels `+role`.
///
/// A program that looks for the sessions of a user, or ends them, needs `~sessile:users:* +append +multi
/// +exec` as well, and one that [announces ends](crate::RedisStoreBuilder::announce_ends) needs `+publish
/// +subscribe &sessile:ended:*`, and `&__keyevent@0__:*` to hear of keys of database 0. `check` asks for none
/// of the index' rights, which not every program uses.
///
/// # The sessions of a user
/// The text of a user is under a key of its own: `sessile:users:`, the prefix of the
/// sessions, a colon and the hash of the user, so `sessile:users:sess::…`. With a prefix that such a key
/// would begin with, such as `sess` or `sessile:`, or which itself begins with `sessile:users:`, it begins
/// with `users:sessile:` instead. `len` and `clear`, and those of connect-redis, therefore take it for no
/// session, and leave it. With an empty prefix connect-redis takes every key for a session.
///
/// It has no time to live. A server that may evict keys without one (`allkeys-lru` and its like) may forget
/// which sessions a user has: set `maxmemory-policy` to `noeviction` or to one of `volatile-*`.
///
/// # TLS
/// With the feature `tls`, an address that begins with `rediss://` is connected to over TLS, by rustls, with
/// the certificates that the system trusts or those of a [`builder`](RedisStore::builder). It serves for
/// single servers, clusters and Sentinels. If the program has installed no `CryptoProvider` for rustls, the
/// store installs the one of `ring`: a program that wants another one installs it before it connects. Without
/// the feature such an address is an error.
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
    connections: Arc<Connections<C>>,
    settings: Arc<Settings>,
}

#[derive(Clone)]
struct Settings {
    prefix: String,
    timeout: Duration,
    scripts: Scripts,
    announce_ends: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            prefix: "sess:".into(),
            timeout: DEFAULT_TIMEOUT,
            scripts: Scripts::default(),
            announce_ends: false,
        }
    }
}

impl<C: ConnectionLike + Clone + Send + Sync + 'static> RedisStore<C> {
    /// A store over one connection of your own: a multiplexed one, a pool's, a cluster's.
    ///
    /// The store cannot make such a connection again. What holds when the network or the server fails is what
    /// the connection does by itself: redis-rs' `ConnectionManager` reconnects when its connection drops, and
    /// neither when it falls silent nor when its server becomes a replica. `TcpSettings` with keepalive and a
    /// user timeout make the system drop a silent connection. The stores that
    /// [`connect`](RedisStore::connect) and its siblings make replace their connections themselves. Call
    /// [`check`](SessionStore::check) to learn whether the connection's user has all rights.
    pub fn new(connection: C) -> Self {
        Self::over(Connections::of(connection), Arc::default())
    }

    fn over(connections: Connections<C>, settings: Arc<Settings>) -> Self {
        Self { connections: Arc::new(connections), settings }
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

    fn key(&self, id: &SessionId) -> String {
        [&self.settings.prefix, id.as_str()].concat()
    }

    async fn send_with_retry<T: FromRedisValue + Send>(
        &self,
        id: &SessionId,
        command: Command<'_>,
    ) -> Result<(T, Attempt), StoreError> {
        self.send_over(self.connections.slot(id.as_str()), command).await
    }

    /// Sends over the connection in this place.
    async fn send_over<T: FromRedisValue + Send>(
        &self,
        slot: usize,
        command: Command<'_>,
    ) -> Result<(T, Attempt), StoreError> {
        let timeout = self.settings.timeout;
        retry::with_retry(timeout, || self.connections.ask(slot, timeout, command)).await
    }

    /// Writes conditionally. `done` is the version to return if it has written.
    async fn write_if(
        &self,
        (id, key): (&SessionId, &str),
        expected: &Version,
        write: Write<'_>,
        done: &Version,
    ) -> Result<(Replaced, Attempt), StoreError> {
        let mut expected = Cow::Borrowed(expected);
        loop {
            // Invariant: a record is never empty, so the empty value matches none. It stands for a version
            // that is not one of this store, such as a number.
            let text = expected.as_bytes().unwrap_or_default();
            let now = Expected { text, mark: expected.mark().map(Mark) };
            let scripts = &self.settings.scripts;
            let conditional = Conditional { key: key.as_bytes(), expected: now, write, scripts };
            let (answer, attempt) = self.send_with_retry(id, Command::Conditional(&conditional)).await?;
            let replaced = match to_replaced(answer, done)? {
                Some(replaced) => replaced,
                // Boxed to keep the future small: conflicts are rare.
                None => Box::pin(self.get(id)).await?.map_or(Replaced::Gone, Replaced::Conflict),
            };
            match replaced {
                // A session that has created the record knows its text, and not its mark.
                Replaced::Conflict(Stored { version: Some(now), record, .. })
                    if attempt == Attempt::First
                        && (expected.mark().is_none() && now.mark().is_some())
                        && expected.is_of(&record) =>
                {
                    expected = Cow::Owned(now);
                }
                replaced => return Ok((replaced, attempt)),
            }
        }
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
        let value = Mark::random().behind(record.as_bytes());
        let set = command(&[b"SET", key.as_bytes(), &value, b"EX", seconds.as_bytes()]);
        self.send_with_retry(id, Command::Plain(&set)).await.map(|((), _)| ())
    }

    async fn destroy(&self, id: &SessionId) -> Result<(), StoreError> {
        let delete = command(&[b"DEL", self.key(id).as_bytes()]);
        let ((), _) = self.send_with_retry(id, Command::Plain(&delete)).await?;
        self.announce_end(id);
        Ok(())
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
        let value = Mark::random().behind(record.as_bytes());
        let set = command(&[b"SET", key.as_bytes(), &value, b"NX", b"EX", seconds.as_bytes()]);
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
        let (key, seconds, mark) = (self.key(id), whole_seconds(ttl).to_string(), Mark::random());
        let value = mark.behind(record.as_bytes());
        let is_large = value.len() >= BESIDE_FROM;
        let beside = is_large.then(|| mark.key_beside(&self.settings.prefix, &key)).flatten();
        let write = Write::Replace { value: &value, seconds: seconds.as_bytes(), beside: beside.as_deref() };
        let own = Version::marked(record, mark.0);
        let (answer, attempt) = self.write_if((id, &key), expected, write, &own).await?;
        match answer {
            // The driver of a cluster sends a command again by itself.
            Replaced::Conflict(stored) if stored.version.as_ref() == Some(&own) => Ok(Replaced::Done(own)),
            answer => retry::confirm_replace(answer, attempt, &own),
        }
    }

    async fn destroy_if(&self, id: &SessionId, expected: &Version) -> Result<Replaced, StoreError> {
        let (answer, attempt) = self.write_if((id, &self.key(id)), expected, Write::Remove, expected).await?;
        if matches!(answer, Replaced::Done(_)) {
            self.announce_end(id);
        }
        retry::confirm_destroy(answer, attempt)
    }

    /// Asks each connection whether its user may do what the store does, on a key that no session has. On a
    /// cluster this asks the node of that key.
    ///
    /// # Errors
    /// [`StoreError::unavailable`], whose source says what is wrong: the server cannot be reached or wants a
    /// password, it is a replica, or which right is missing.
    async fn check(&self) -> Result<(), StoreError> {
        self.check_rights_and_keys().await
    }

    async fn get_many(&self, ids: &[SessionId]) -> Result<Vec<Option<Stored>>, StoreError> {
        self.find_many(ids).await
    }

    fn users(&self) -> Option<&dyn UserIndex> {
        Some(self)
    }

    /// It scans all keys of the server, so its user needs `+scan`, and it fails with an empty prefix.
    fn ids(&self) -> Option<BoxStream<'_, Result<SessionId, StoreError>>> {
        Some(self.scanned_ids())
    }

    /// `Some` if the store was built with [`announce_ends`](crate::RedisStoreBuilder::announce_ends).
    fn watch(&self) -> Option<BoxStream<'static, SessionId>> {
        self.ended_ids()
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
