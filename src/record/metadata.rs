//! [`Metadata`]: what this crate itself keeps of a session in its record.

use std::borrow::Cow;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use smol_str::SmolStr;

use super::Record;
use crate::id::{HashIds, SessionId};
use crate::json::text::text;

/// What this crate itself keeps of a session, under one reserved key. It is written only when it is used;
/// Express reads and writes it like any other value. Times are milliseconds since 1970.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Metadata {
    /// The keyed hash of the user who is logged in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) user: Option<SmolStr>,
    /// The keyed hash of the user who acts as `user`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) actor: Option<SmolStr>,
    /// When the session began: at its creation, and again at a login.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) born: Option<u64>,
    /// When the user last proved who they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) confirmed: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) label: Option<SmolStr>,
    /// The device that the session is bound to, or is to be bound to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) dbsc: Option<Box<Device>>,
    /// What a later version of this crate keeps here.
    #[serde(flatten)]
    pub(crate) other: Map<String, Value>,
}

/// The device that a session is bound to, or is to be bound to once the browser has registered a key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Device {
    /// The name of the binding, which the browser is told. It is not the session's id.
    pub(crate) id: SmolStr,
    /// The device's public key. Without one, the browser was asked for it and has not registered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) key: Option<SmolStr>,
    /// When the browser was asked, or has registered.
    pub(crate) at: u64,
}

impl Metadata {
    /// The name of what marks a placeholder.
    pub(crate) const ADOPTING: &str = "adopting";

    /// The metadata of a record. What cannot be read is none: nobody is logged in.
    pub(crate) fn of(record: &Record) -> Self {
        Self::read(record.metadata())
    }

    /// The metadata in this JSON.
    pub(crate) fn read(json: Option<&[u8]>) -> Self {
        json.and_then(|json| serde_json::from_str(text(json)).ok()).unwrap_or_default()
    }

    pub(crate) fn of_any(record: Option<&Record>) -> Self {
        record.map(Self::of).unwrap_or_default()
    }

    /// The metadata as JSON; `None` if there is none.
    pub(crate) fn to_json(&self) -> Option<SmolStr> {
        if *self == Self::default() {
            return None;
        }
        let json = serde_json::to_string(self);
        // Invariant: text, numbers and a map with text as its keys can be written as JSON.
        debug_assert!(json.is_ok(), "metadata cannot be written");
        json.ok().map(SmolStr::from)
    }

    /// Forgets who is logged in. The session's birth stays.
    pub(crate) fn forget_user(&mut self) {
        (self.user, self.actor, self.confirmed, self.label) = (None, None, None, None);
    }

    /// The users in whose lists this session stands.
    pub(crate) fn users(&self) -> impl Iterator<Item = &SmolStr> {
        self.user.iter().chain(&self.actor)
    }

    /// Whether this session stands in the list of the user with this hash.
    pub(crate) fn is_of(&self, user: &str) -> bool {
        self.users().any(|own| own == user)
    }
}

impl Record {
    /// The keyed hashes of the users in whose lists the session stands: of the one who is logged in, and of the one
    /// who [acts as](crate::Session::impersonate) that one. Empty for a guest's session.
    #[must_use]
    pub fn user_hashes(&self) -> Vec<String> {
        Metadata::of(self).users().map(ToString::to_string).collect()
    }
}

/// Asks about the keyed hash of the user who is logged in, by this JSON; `None`, if nobody is.
///
/// It answers as [`Metadata::read`] would, and copies nothing: to read what is not known takes that 400 ns.
pub(crate) fn ask_user<T>(json: Option<&[u8]>, ask: impl FnOnce(&str) -> T) -> Option<T> {
    let known: Known<'_> = serde_json::from_str(text(json?)).ok()?;
    known.user.map(|user| ask(&user))
}

/// The metadata, where only the user is asked for. The other fields are there because nobody is logged in where
/// one of them cannot be read.
#[derive(Deserialize)]
#[expect(dead_code, reason = "only their types matter")]
struct Known<'j> {
    #[serde(borrow)]
    user: Option<Cow<'j, str>>,
    #[serde(borrow)]
    actor: Option<Cow<'j, str>>,
    born: Option<u64>,
    confirmed: Option<u64>,
    #[serde(borrow)]
    label: Option<Cow<'j, str>>,
    dbsc: Option<Box<Device>>,
}

/// The part of the metadata that every load looks at.
#[derive(Deserialize)]
pub(crate) struct Owner {
    user: Option<SmolStr>,
    actor: Option<SmolStr>,
    born: Option<u64>,
    /// Only a placeholder has it.
    adopting: Option<IgnoredAny>,
}

impl Owner {
    /// Whether the record only takes an id for a session of another library that is about to be moved.
    pub(crate) fn is_placeholder(record: &Record) -> bool {
        Self::of(record).is_some_and(|owner| owner.is_adopting())
    }

    pub(crate) fn is_adopting(&self) -> bool {
        self.adopting.is_some()
    }

    /// `None`, if the record has no metadata, or none that can be read.
    pub(crate) fn of(record: &Record) -> Option<Self> {
        serde_json::from_str(text(record.metadata()?)).ok()
    }

    pub(crate) fn users(&self) -> impl Iterator<Item = &SmolStr> {
        self.user.iter().chain(&self.actor)
    }

    /// When a session with this absolute timeout ends. `None`, where the session's birth is not known.
    pub(crate) fn end(&self, timeout: Option<Duration>) -> Option<SystemTime> {
        from_millis(self.born?).checked_add(timeout?)
    }
}

/// The part of the metadata that says to which device a session is bound.
#[cfg(feature = "dbsc")]
#[derive(Deserialize)]
struct BoundDevice {
    dbsc: Option<Box<Device>>,
}

/// The device that a record's session is bound to, or is to be bound to.
#[cfg(feature = "dbsc")]
pub(crate) fn device_of(record: &Record) -> Option<Box<Device>> {
    serde_json::from_str::<BoundDevice>(text(record.metadata()?)).ok()?.dbsc
}

/// When the session of this record ends by its absolute timeout. `None`, where there is none or the session's
/// birth is not known.
pub(crate) fn absolute_end(record: &Record, timeout: Option<Duration>) -> Option<SystemTime> {
    // Without a timeout, the record is not read.
    timeout.and_then(|_| Owner::of(record)?.end(timeout))
}

/// What makes a session be over although its record is there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// How long a session lives at most.
    pub(crate) absolute_timeout: Option<Duration>,
    /// Under which keys records may stand. `None`: under any.
    pub(crate) hash_ids: Option<HashIds>,
}

impl Limits {
    /// Whether the session of this record, which stands under `key`, is over.
    pub(crate) fn are_reached(&self, key: &SessionId, record: &Record, now: SystemTime) -> bool {
        absolute_end(record, self.absolute_timeout).is_some_and(|end| end <= now)
            || self.hash_ids.is_some_and(|hash_ids| !hash_ids.admits(key, now))
    }
}

/// The time in milliseconds since 1970; 0 for an earlier one.
pub(crate) fn to_millis(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// The time of this many milliseconds since 1970.
pub(crate) fn from_millis(millis: u64) -> SystemTime {
    UNIX_EPOCH.checked_add(Duration::from_millis(millis)).unwrap_or(UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whoever asks for the user alone gets the answer that all of the metadata gives, whatever stands in it.
    #[test]
    fn the_user_is_the_one_of_the_whole() {
        let whole = Metadata {
            user: Some("user".into()),
            actor: Some("actor".into()),
            born: Some(1),
            confirmed: Some(2),
            label: Some("a \"label\"".into()),
            dbsc: Some(Box::new(Device { id: "id".into(), key: Some("key".into()), at: 3 })),
            other: Map::from_iter([("later".to_owned(), Value::Null)]),
        };
        let Value::Object(whole) = serde_json::to_value(whole).unwrap() else { panic!("an object") };
        let others =
            [Value::Null, true.into(), 7.into(), (-7).into(), "text".into(), Value::Array(Vec::new())];
        let (mut guests, mut users) = (0, 0);
        for key in whole.keys() {
            for other in &others {
                let mut changed = whole.clone();
                changed.insert(key.clone(), other.clone());
                let json = Value::Object(changed).to_string();
                let user = Metadata::read(Some(json.as_bytes())).user;
                assert_eq!(ask_user(Some(json.as_bytes()), |user| SmolStr::from(user)), user, "{json}");
                *if user.is_some() { &mut users } else { &mut guests } += 1;
            }
        }
        assert!(guests > 10 && users > 10, "{guests} guests, {users} users");
    }
}
