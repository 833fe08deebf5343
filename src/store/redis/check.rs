//! Whether the user of a store's connections may do what the store does.

use redis::aio::ConnectionLike;
use redis::{ErrorKind, Pipeline, RedisError, ServerError, ServerErrorKind, Value};

use super::RedisStore;
use super::commands::Command;
use super::conditional::{Conditional, Expected, Write, is_about_command};
use super::mark::Mark;
use super::wire::command;
use crate::error::StoreError;
use crate::id::SessionId;
use crate::store::retry::{self, DriverError};

/// The rights that every store needs, in the order in which [`RedisStore::check_connection`] tries them.
const RIGHTS: [&str; 5] = ["+get", "+pttl", "+set", "+expire", "+del"];

/// Which keys the user must have access to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Keys {
    /// Those with the store's prefix.
    All,
    /// None yet: the prefix may still be set.
    Unknown,
}

/// Why a server does not serve the store.
#[derive(Debug, thiserror::Error)]
#[error("{}", why.as_deref().unwrap_or("the Redis server does not serve the store"))]
struct Refusal {
    /// In the words of somebody who configures the server. `None`: the error says it all.
    why: Option<String>,
    #[source]
    error: RedisError,
}

impl DriverError for Refusal {
    fn is_connection_dropped(&self) -> bool {
        self.error.is_connection_dropped()
    }

    fn is_refused_by_replica(&self) -> bool {
        self.error.is_refused_by_replica()
    }

    fn into_store_error(self) -> StoreError {
        match self.why {
            Some(_) => StoreError::unavailable(self),
            None => self.error.into_store_error(),
        }
    }
}

impl<C: ConnectionLike + Clone + Send + Sync + 'static> RedisStore<C> {
    /// Tries every command, over each connection.
    pub(super) async fn check_rights_and_keys(&self) -> Result<(), StoreError> {
        self.check_connections(Keys::All).await
    }

    /// Tries every command, over each connection, where the prefix of the keys is not known yet.
    pub(super) async fn check_rights(&self) -> Result<(), StoreError> {
        self.check_connections(Keys::Unknown).await
    }

    async fn check_connections(&self, keys: Keys) -> Result<(), StoreError> {
        // No session has this key.
        let key = self.key(&SessionId::random());
        for slot in 0..self.connections.count() {
            self.check_connection(slot, key.as_bytes(), keys).await?;
        }
        if !self.connections.compares_itself(0) {
            self.mention_dear_writes(&key, keys).await;
        }
        Ok(())
    }

    /// Says, once for each store, which right the user lacks that no call needs: without it, writes cost the
    /// server more.
    async fn mention_dear_writes(&self, key: &str, keys: Keys) {
        let Some(beside) = Mark::random().key_beside(&self.settings.prefix, key) else { return };
        let mut pipeline = Pipeline::with_capacity(2);
        pipeline.add_command(command(&[b"GETRANGE", key.as_bytes(), b"0", b"0"]));
        // Neither key is there, so a server that lets the user rename them has nothing to rename.
        pipeline.add_command(command(&[b"RENAME", beside.as_bytes(), key.as_bytes()]));
        let answer =
            self.connections.ask::<Value>(0, self.settings.timeout, Command::Pipeline(&pipeline)).await;
        let answers = answer.err().and_then(RedisError::into_server_errors);
        let lacking = answers.as_deref().unwrap_or_default().iter().find_map(|(at, answer)| {
            let is_about_command = is_about_command(answer.details().unwrap_or_default());
            match (answer.kind()?, is_about_command, *at) {
                (ServerErrorKind::NoPerm, true, 0) => Some("+getrange"),
                (ServerErrorKind::NoPerm, true, _) => Some("+rename"),
                (ServerErrorKind::NoPerm, false, 1) if keys == Keys::All => Some("~sessile:new:*"),
                _ => None,
            }
        });
        if let Some(lacking) = lacking {
            self.connections.dear_writes.call_once(|| {
                tracing::warn!(
                    lacking,
                    "a right is missing for cheap writes to large sessions; see `RedisStore` for what its user needs"
                );
            });
        }
    }

    async fn check_connection(&self, slot: usize, key: &[u8], keys: Keys) -> Result<(), StoreError> {
        let mut pipeline = Pipeline::with_capacity(RIGHTS.len());
        pipeline.add_command(command(&[b"GET", key]));
        pipeline.add_command(command(&[b"PTTL", key]));
        // None of these finds the key, and with `XX` it is not created.
        pipeline.add_command(command(&[b"SET", key, b"-", b"XX", b"EX", b"1"]));
        pipeline.add_command(command(&[b"EXPIRE", key, b"1"]));
        pipeline.add_command(command(&[b"DEL", key]));
        self.try_out(slot, Command::Pipeline(&pipeline), keys).await?;
        let settings = &self.settings;
        let replace = Write::Replace { value: b"-", seconds: b"1", beside: None };
        // Records that Express has written have no mark.
        for mark in [Some(Mark::random()), None] {
            for write in [replace, Write::Remove] {
                let expected = Expected { text: b"-", mark };
                let conditional = Conditional { key, expected, write, scripts: &settings.scripts };
                self.try_out(slot, Command::Conditional(&conditional), keys).await?;
            }
        }
        if settings.announce_ends {
            // An empty message announces nothing.
            let publish = command(&[b"PUBLISH", self.channel().as_bytes(), b""]);
            self.try_out(slot, Command::Plain(&publish), keys).await?;
        }
        Ok(())
    }

    async fn try_out(&self, slot: usize, command: Command<'_>, keys: Keys) -> Result<(), StoreError> {
        let timeout = self.settings.timeout;
        let trial = || async move {
            match self.connections.ask::<Value>(slot, timeout, command).await {
                Ok(_) => Ok(()),
                Err(error) => self.judge(error, command, keys),
            }
        };
        retry::with_retry(timeout, trial).await.map(|((), _)| ())
    }

    /// Whether an error shows that the server does not serve the store, and why.
    fn judge(&self, error: RedisError, command: Command<'_>, keys: Keys) -> Result<(), Refusal> {
        let prefix = &self.settings.prefix;
        let answers = error.clone().into_server_errors();
        let answers = answers.as_deref().unwrap_or_default();
        let is_about_key = |answer: &ServerError| {
            answer.kind() == Some(ServerErrorKind::NoPerm)
                && !is_about_command(answer.details().unwrap_or_default())
        };
        let first = match answers.iter().find(|(_, answer)| !is_about_key(answer)) {
            None if keys == Keys::Unknown && !answers.is_empty() => return Ok(()),
            None => answers.first(),
            other => other,
        };
        let kind = first.and_then(|(_, answer)| answer.kind());
        let why = match (kind, first) {
            (Some(ServerErrorKind::NoPerm), Some((at, answer))) if !is_about_key(answer) => {
                let right = match command {
                    Command::Conditional(_) => {
                        "+evalsha and +script|load, or +delifeq on Valkey 9, or +delex on Redis 8.4"
                    }
                    Command::Pipeline(_) => RIGHTS.get(*at).copied().unwrap_or("a right"),
                    Command::Plain(_) => "+publish",
                };
                format!("the user of the Redis connection lacks {right}; see `RedisStore` for what it needs")
            }
            (Some(ServerErrorKind::NoPerm), _) if matches!(command, Command::Plain(_)) => {
                format!("the user of the Redis connection has no access to the channel `{}`", self.channel())
            }
            (Some(ServerErrorKind::NoPerm), _) => {
                format!("the user of the Redis connection has no access to the keys `{prefix}*`")
            }
            (Some(ServerErrorKind::ReadOnly), _) => "the Redis server is a replica, which takes no writes".into(),
            (Some(ServerErrorKind::ResponseError), _) if matches!(command, Command::Conditional(_)) => {
                "the Redis server knows neither scripts (EVALSHA, SCRIPT LOAD) nor commands that compare and write \
                 (SET … IFEQ, DELIFEQ or DELEX)"
                    .into()
            }
            (_, Some((_, answer))) if answer.code() == "NOAUTH" => {
                "the Redis server wants a password: redis://user:password@host".into()
            }
            _ if error.kind() == ErrorKind::AuthenticationFailed => {
                "the Redis server does not take the user name and the password".into()
            }
            _ => return Err(Refusal { why: None, error }),
        };
        Err(Refusal { why: Some(why), error })
    }
}
