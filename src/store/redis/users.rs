//! What a [`RedisStore`] keeps of each user's sessions: one key for each user, without a time to live.

use futures_util::future::BoxFuture;
use redis::aio::ConnectionLike;
use redis::{FromRedisValue, Pipeline, Value};

use super::RedisStore;
use super::commands::Command;
use super::conditional::{Conditional, DONE, Expected, Write};
use super::wire::command;
use crate::error::StoreError;
use crate::store::users::UserIndex;

/// What the keys of users begin with.
const ROOT: &str = "sessile:users:";

/// What they begin with where a session's key may begin with [`ROOT`].
const OTHER_ROOT: &str = "users:sessile:";

/// What the keys of the users of a store begin with: outside of the prefix of its sessions, so that no
/// program which takes every key with that prefix for a session finds them.
fn root(prefix: &str) -> &'static str {
    let may_meet = ROOT.starts_with(prefix) || prefix.starts_with(ROOT);
    // An empty prefix leaves no room for other keys.
    if may_meet && !prefix.is_empty() { OTHER_ROOT } else { ROOT }
}

/// The key of a user. No user has a colon, so that the last one ends the prefix: stores with different
/// prefixes have different keys.
fn user_key(prefix: &str, user: &str) -> String {
    [root(prefix), prefix, ":", user].concat()
}

/// Whether a key with the prefix of the sessions is the key of a user, of any store.
pub(super) fn is_user_key(prefix: &str, key: &[u8]) -> bool {
    match [ROOT, OTHER_ROOT].into_iter().find(|root| key.starts_with(root.as_bytes())) {
        // With such a prefix both are there. What ends it is the colon before a user; the ids of sessions
        // have none.
        Some(root) if prefix.starts_with(root) => {
            key.get(prefix.len()..).is_some_and(|id| id.contains(&b':'))
        }
        found => found.is_some(),
    }
}

impl<C: ConnectionLike + Clone + Send + Sync + 'static> RedisStore<C> {
    fn user_key(&self, user: &str) -> String {
        user_key(&self.settings.prefix, user)
    }

    async fn send_for_user<T: FromRedisValue + Send>(
        &self,
        user: &str,
        command: Command<'_>,
    ) -> Result<T, StoreError> {
        // An append that is sent twice, and a replacement that finds what it has written itself, are answers
        // that an index may give.
        self.send_over(self.connections.slot(user), command).await.map(|(answer, _)| answer)
    }

    async fn replace_text(&self, user: &str, expected: &str, text: &str) -> Result<bool, StoreError> {
        let key = self.user_key(user);
        if expected.is_empty() {
            if text.is_empty() {
                return Ok(self.read(user).await?.is_empty());
            }
            let set = command(&[b"SET", key.as_bytes(), text.as_bytes(), b"NX"]);
            let written = self.send_for_user::<Option<String>>(user, Command::Plain(&set)).await?;
            return Ok(written.is_some());
        }
        let write = match text {
            "" => Write::Remove,
            text => Write::ReplaceText(text.as_bytes()),
        };
        let expected = Expected { text: expected.as_bytes(), mark: None };
        let conditional =
            Conditional { key: key.as_bytes(), expected, write, scripts: &self.settings.scripts };
        let answer = self.send_for_user::<Value>(user, Command::Conditional(&conditional)).await?;
        Ok(answer == DONE)
    }
}

/// What is answered to `MULTI`, `APPEND`, `GET` and `EXEC`. The last one has the answers of the two in the
/// middle.
type Appended = (Value, Value, Value, (u64, Option<Vec<u8>>));

/// The text of a key.
fn to_text(value: Option<Vec<u8>>) -> Result<String, StoreError> {
    String::from_utf8(value.unwrap_or_default()).map_err(|error| StoreError::corrupt(error.utf8_error()))
}

impl<C: ConnectionLike + Clone + Send + Sync + 'static> UserIndex for RedisStore<C> {
    fn read<'a>(&'a self, user: &'a str) -> BoxFuture<'a, Result<String, StoreError>> {
        Box::pin(async move {
            let get = command(&[b"GET", self.user_key(user).as_bytes()]);
            to_text(self.send_for_user(user, Command::Plain(&get)).await?)
        })
    }

    fn append<'a>(&'a self, user: &'a str, line: &'a str) -> BoxFuture<'a, Result<String, StoreError>> {
        Box::pin(async move {
            let key = self.user_key(user);
            let mut pipeline = Pipeline::with_capacity(4);
            // Between the two commands, another program could replace the text by one without the line. The
            // driver has transactions of its own. They panic in a debug build where the server refuses
            // `MULTI`.
            pipeline.add_command(command(&[b"MULTI"]));
            pipeline.add_command(command(&[b"APPEND", key.as_bytes(), line.as_bytes()]));
            pipeline.add_command(command(&[b"GET", key.as_bytes()]));
            pipeline.add_command(command(&[b"EXEC"]));
            let (_, _, _, (_, text)) =
                self.send_for_user::<Appended>(user, Command::Pipeline(&pipeline)).await?;
            to_text(text)
        })
    }

    fn replace<'a>(
        &'a self,
        user: &'a str,
        expected: &'a str,
        text: &'a str,
    ) -> BoxFuture<'a, Result<bool, StoreError>> {
        Box::pin(self.replace_text(user, expected, text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_prefix_makes_a_session_of_a_users_key() {
        let prefixes = [
            "sess:",
            "sess",
            "s",
            "se",
            "sessile",
            "sessile:",
            "sessile:users",
            "sessile:users:",
            "sessile:users:sess:",
            "u",
            "users:",
            "users:sessile:",
            "users:sessile:x",
            "shop:",
            "shop::",
        ];
        let mut keys = std::collections::HashSet::new();
        for prefix in prefixes {
            let key = user_key(prefix, "a-Z_9.");
            assert!(!key.starts_with(prefix), "{prefix} takes {key} for a session");
            assert!(keys.insert(key), "two stores meet, one with {prefix}");
            let session = format!("{prefix}0b0d9a4e-1f2d-4bd0-9f3a-000000000000");
            assert!(!is_user_key(prefix, session.as_bytes()), "{session} is a session");
        }
        // The keys of other stores are no sessions either.
        for prefix in ["", "s", "sess", "sessile:", "sessile:users:"] {
            assert!(is_user_key(prefix, user_key("sess:", "u").as_bytes()), "{prefix}");
        }
        for prefix in ["u", "users:"] {
            assert!(is_user_key(prefix, user_key("s", "u").as_bytes()), "{prefix}");
        }
        assert_eq!(user_key("sess:", "abc"), "sessile:users:sess::abc");
    }
}
