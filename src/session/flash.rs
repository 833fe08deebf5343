//! Flash messages: messages of one request for a later request of the same session.
//!
//! They are stored as connect-flash stores them: under the key `flash`, with one list for each kind.

use std::fmt;

use serde::de::DeserializeOwned;
use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};
use serde_json::Value;
use smol_str::SmolStr;

use crate::error::SessionError;
use crate::error::value::JsonError;
use crate::session::Session;
use crate::session::change::Change;
use crate::session::value::encode;

/// The flash messages of every kind, as [`Session::take_all_flash`] returns them.
///
/// The iterators yield `(kind, message)`, the messages of each kind from the oldest to the newest. For
/// templates it serialises as `{"kind": [message, …]}`.
///
/// ```
/// use sessile::Session;
///
/// fn lines(session: &Session) -> Vec<String> {
///     session.take_all_flash().iter().map(|(kind, message)| format!("{kind}: {message}")).collect()
/// }
/// ```
#[derive(Clone, Default, PartialEq)]
pub struct Flashes(Vec<(String, Vec<Value>)>);

impl Flashes {
    /// Whether there is no message of any kind.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The number of messages of all kinds together.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.iter().map(|(_, messages)| messages.len()).sum()
    }

    /// The messages of one kind, oldest first; empty when there is none of it.
    #[must_use]
    pub fn get(&self, kind: &str) -> &[Value] {
        self.0.iter().find(|(at, _)| at == kind).map_or(&[], |(_, messages)| messages)
    }

    /// Yields every message with its kind.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().flat_map(|(kind, messages)| messages.iter().map(move |message| (&**kind, message)))
    }
}

impl IntoIterator for Flashes {
    type Item = (String, Value);
    type IntoIter = std::vec::IntoIter<Self::Item>;

    fn into_iter(self) -> Self::IntoIter {
        let pairs = self
            .0
            .into_iter()
            .flat_map(|(kind, messages)| messages.into_iter().map(move |message| (kind.clone(), message)));
        pairs.collect::<Vec<_>>().into_iter()
    }
}

impl Serialize for Flashes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (kind, messages) in &self.0 {
            map.serialize_entry(kind, messages)?;
        }
        map.end()
    }
}

impl fmt::Debug for Flashes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Flashes({} messages REDACTED)", self.len())
    }
}

impl Session {
    /// Queues a message, which a later request of this session [takes](Self::take_flash).
    ///
    /// # Errors
    /// - [`Encode`](SessionError::Encode), when the message cannot be written as JSON.
    /// - [`Decode`](SessionError::Decode), when the stored flash messages are not in connect-flash's format.
    pub fn flash(&self, kind: &str, message: impl Serialize) -> Result<(), SessionError> {
        let json = encode(kind, &message)?;
        let mut state = self.state();
        // When the last change was a push of the same kind, that push has already checked the stored
        // messages.
        let checked = matches!(state.log.last(), Some(Change::FlashPush { kind: last, .. }) if last == kind);
        if !checked {
            state.view().check_flash(kind)?;
        }
        let most = self.inner().config.inner().policy.max_flash;
        state.push(Change::FlashPush { kind: kind.into(), message: json, most });
        Ok(())
    }

    /// Removes the messages of a kind and returns them, oldest first.
    ///
    /// Messages that another request queues meanwhile are kept. When two requests take messages at the same
    /// time, both of them get the same messages.
    ///
    /// A browser may show the page again from its memory when the user goes back: a page that shows messages
    /// can send `Cache-Control: no-store` after the guard. axum answers `HEAD` with the handler of `GET`,
    /// so a `HEAD` takes messages as well, as it does in Express.
    ///
    /// # Errors
    /// - [`Decode`](SessionError::Decode), when one of the messages cannot be read as a `T`, or the stored
    ///   flash messages are not in connect-flash's format. No message is then removed.
    pub fn take_flash<T: DeserializeOwned>(&self, kind: &str) -> Result<Vec<T>, SessionError> {
        // The messages are read without the lock on the state, since `T` may ask this session. They are read
        // again if another handle has changed them meanwhile.
        loop {
            let taken = self.state().view().messages(kind)?;
            let messages = decode(kind, &taken)?;
            if taken.is_empty() {
                return Ok(messages);
            }
            let mut state = self.state();
            if state.view().messages(kind)? == taken {
                state.push(Change::FlashTake { kind: kind.into(), messages: taken });
                return Ok(messages);
            }
        }
    }

    /// Returns the messages of a kind, oldest first, and leaves them in the session.
    ///
    /// # Errors
    /// [`Decode`](SessionError::Decode), when one of the messages cannot be read as a `T`, or the stored
    /// flash messages are not in connect-flash's format.
    pub fn peek_flash<T: DeserializeOwned>(&self, kind: &str) -> Result<Vec<T>, SessionError> {
        let messages = self.state().view().messages(kind)?;
        decode(kind, &messages)
    }

    /// Removes the messages of every kind and returns them, for a template that shows whatever is there.
    ///
    /// What Rust cannot represent stays in the session: a message with a string that is not valid Unicode or
    /// a number out of range, a kind whose name is not valid Unicode, and a kind whose value is not a list.
    pub fn take_all_flash(&self) -> Flashes {
        let mut state = self.state();
        let mut flashes = Flashes::default();
        for (kind, mut messages) in state.view().all_messages() {
            let mut values = Vec::new();
            messages.retain(|raw| match serde_json::from_str::<Value>(raw) {
                Ok(value) => {
                    values.push(value);
                    true
                }
                Err(_) => {
                    tracing::warn!("a flash message cannot be decoded; it stays in the session");
                    false
                }
            });
            if !values.is_empty() {
                state.push(Change::FlashTake { kind: kind.as_str().into(), messages });
                flashes.0.push((kind, values));
            }
        }
        flashes
    }
}

fn decode<T: DeserializeOwned>(kind: &str, raw: &[SmolStr]) -> Result<Vec<T>, SessionError> {
    raw.iter()
        .map(|raw| {
            serde_json::from_str(raw)
                .map_err(|error| SessionError::decode(&format!("flash.{kind}"), JsonError::new::<T>(&error)))
        })
        .collect()
}
