//! The ends of sessions: a [`RedisStore`] announces its own, and hears of those of other processes.

use std::future::ready;

use futures_util::stream::{self, BoxStream, StreamExt as _};
use redis::Msg;
use redis::aio::ConnectionLike;
use tokio::runtime::Handle;

use super::RedisStore;
use super::commands::Command;
use super::mark::is_beside;
use super::users::is_user_key;
use super::wire::command;
use crate::error::{StoreError, cause};
use crate::id::SessionId;
use crate::store::retry::with_timeout;

/// The events by which a server says that a key is gone.
const KEY_EVENTS: [&str; 3] = ["del", "expired", "evicted"];

impl<C: ConnectionLike + Clone + Send + Sync + 'static> RedisStore<C> {
    /// The channel on which the stores with this prefix announce what has ended.
    pub(super) fn channel(&self) -> String {
        ["sessile:ended:", &self.settings.prefix].concat()
    }

    /// Announces that this session has ended, if the store is to do so. Nobody waits for it: a logout is no
    /// slower and does not fail because of it. It is sent after the record is known to be gone.
    pub(super) fn announce_end(&self, id: &SessionId) {
        if !self.settings.announce_ends {
            return;
        }
        let Ok(runtime) = Handle::try_current() else { return };
        let (store, id) = (self.clone(), id.clone());
        runtime.spawn(async move {
            let publish = command(&[b"PUBLISH", store.channel().as_bytes(), id.as_str().as_bytes()]);
            if let Err(error) = store.send_with_retry::<()>(&id, Command::Plain(&publish)).await {
                tracing::debug!(error = cause(&error), "the end of a session was not announced");
            }
        });
    }

    pub(super) fn ended_ids(&self) -> Option<BoxStream<'static, SessionId>> {
        let listener = self.connections.listener.as_ref().filter(|_| self.settings.announce_ends)?;
        let connecting = (listener.connect)();
        let (channel, timeout) = (self.channel(), self.settings.timeout);
        let events: Vec<_> = listener
            .database
            .iter()
            .flat_map(|database| KEY_EVENTS.map(|event| format!("__keyevent@{database}__:{event}")))
            .collect();
        let own = channel.clone();
        let listening = async move {
            let mut connection = connecting.await.map_err(StoreError::unavailable)?;
            connection.subscribe(channel).await.map_err(StoreError::unavailable)?;
            // A user who may not hear of these hears of the announcements nevertheless.
            if !events.is_empty()
                && let Err(error) = connection.subscribe(events).await
            {
                tracing::debug!(error = cause(&error), "the server does not tell which keys are gone");
            }
            Ok(connection.into_on_message())
        };
        let opened = async move {
            with_timeout(timeout, listening)
                .await
                .inspect_err(|error| {
                    tracing::debug!(error = cause(error), "the store hears of no ends of sessions");
                })
                .ok()
        };
        let prefix = self.settings.prefix.clone();
        let ids = stream::once(opened)
            .filter_map(ready)
            .flatten()
            .map(move |message| ended_id(&message, &own, &prefix))
            .filter_map(ready);
        Some(ids.boxed())
    }
}

/// The session that has ended, according to a message on the channel of the store or to the event of a key.
fn ended_id(message: &Msg, channel: &str, prefix: &str) -> Option<SessionId> {
    let payload = message.get_payload_bytes();
    let id = match message.get_channel_name() == channel {
        true => payload,
        false => payload
            .strip_prefix(prefix.as_bytes())
            .filter(|_| !is_user_key(prefix, payload) && !is_beside(prefix, payload))?,
    };
    SessionId::new(std::str::from_utf8(id).ok()?).ok()
}
