//! Flash messages: a queue for each kind beside the data, as connect-flash stores them.

use std::fmt;

use serde::de::DeserializeOwned;
use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};
use serde_json::Value;

use crate::error::SessionError;
use crate::session::Session;
use crate::session::change::Change;
use crate::session::value::encode;

impl Session {
    /// Queues a message for a later request of this user to [`take`](Self::take_flash).
    ///
    /// # Errors
    /// `Encode`, when the message cannot be written as JSON; `Decode`, when something else than messages stands where
    /// they are kept; `Destroyed`.
    pub fn flash(&self, kind: &str, message: impl Serialize) -> Result<(), SessionError> {
        let json = encode(kind, &message)?;
        let mut state = self.writable()?;
        let again = matches!(state.log.last(), Some(Change::FlashPush { kind: last, .. }) if last == kind);
        if !again {
            state.view().messages(kind)?;
        }
        state.push(Change::FlashPush { kind: kind.into(), message: json });
        Ok(())
    }

    /// The messages of a kind, oldest first, which are then gone.
    ///
    /// Messages that another request queues meanwhile are kept. Two requests that take at the same time both get the
    /// messages.
    ///
    /// # Errors
    /// `Decode`, when one of them is no `T`: then all of them stay; `Destroyed`.
    pub fn take_flash<T: DeserializeOwned>(&self, kind: &str) -> Result<Vec<T>, SessionError> {
        let mut state = self.writable()?;
        let raw = state.view().messages(kind)?;
        let messages = decode(kind, &raw)?;
        let taken: Vec<_> = raw.into_iter().map(Into::into).collect();
        if !taken.is_empty() {
            state.push(Change::FlashTake { kind: kind.into(), messages: taken });
        }
        Ok(messages)
    }

    /// The messages of a kind, oldest first, which stay.
    ///
    /// # Errors
    /// `Decode`, when one of them is no `T`.
    pub fn peek_flash<T: DeserializeOwned>(&self, kind: &str) -> Result<Vec<T>, SessionError> {
        decode(kind, &self.state().view().messages(kind)?)
    }

    /// The messages of every kind, which are then gone, for a template.
    ///
    /// A message that is no JSON value Rust can hold, and a kind that is no list, stay where they are.
    pub fn take_all_flash(&self) -> Flashes {
        let Ok(mut state) = self.writable() else { return Flashes::default() };
        let view = state.view();
        let mut flashes = Flashes::default();
        let mut taken = Vec::new();
        for queue in view.queues().unwrap_or_default() {
            // A kind that is no Unicode has no name here.
            let Some(kind) = queue.kind() else { continue };
            let mut values = Vec::new();
            let mut raws = Vec::new();
            for raw in queue.messages().unwrap_or_default() {
                match serde_json::from_str::<Value>(raw) {
                    Ok(value) => {
                        values.push(value);
                        raws.push(raw.into());
                    }
                    Err(_) => tracing::warn!("a flash message cannot be decoded; it stays in the session"),
                }
            }
            if !values.is_empty() {
                taken.push(Change::FlashTake { kind: (*kind).into(), messages: raws });
                flashes.0.push((kind.into_owned(), values));
            }
        }
        for change in taken {
            state.push(change);
        }
        flashes
    }
}

fn decode<T: DeserializeOwned>(kind: &str, raw: &[&str]) -> Result<Vec<T>, SessionError> {
    raw.iter()
        .map(|raw| {
            serde_json::from_str(raw)
                .map_err(|error| SessionError::decode::<T>(&format!("flash.{kind}"), &error))
        })
        .collect()
}

/// Every flash message a session had, by kind: what [`Session::take_all_flash`] returns.
///
/// Iterates `(kind, message)`, each kind's messages oldest first, and serialises as `{"kind": [message, …]}`.
#[derive(Clone, Default, PartialEq)]
pub struct Flashes(Vec<(String, Vec<Value>)>);

impl Flashes {
    /// Whether there is no message.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many messages there are, of all kinds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.iter().map(|(_, messages)| messages.len()).sum()
    }

    /// The messages of one kind, oldest first.
    #[must_use]
    pub fn get(&self, kind: &str) -> &[Value] {
        self.0.iter().find(|(at, _)| at == kind).map_or(&[], |(_, messages)| messages)
    }

    /// Every message with its kind.
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
