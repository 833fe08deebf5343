//! [`Metadata`]: what this crate itself keeps of a session in its record.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use smol_str::SmolStr;

use super::Record;
use crate::json::text::text;

/// What this crate itself keeps of a session, under one reserved key. It is written only when it is used; Express reads
/// and writes it like any other value. Times are milliseconds since 1970.
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
    /// What a later version of this crate keeps here.
    #[serde(flatten)]
    pub(crate) other: Map<String, Value>,
}

impl Metadata {
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

/// The part of the metadata that every load looks at.
#[derive(Deserialize)]
pub(crate) struct Owner {
    user: Option<SmolStr>,
    actor: Option<SmolStr>,
    born: Option<u64>,
}

impl Owner {
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

/// When the session of this record ends by its absolute timeout. `None`, where there is none or the session's birth is
/// not known.
pub(crate) fn absolute_end(record: &Record, timeout: Option<Duration>) -> Option<SystemTime> {
    // Without a timeout, the record is not read.
    timeout.and_then(|_| Owner::of(record)?.end(timeout))
}

/// Whether a session has reached its absolute timeout, although its record is there.
pub(crate) fn is_too_old(record: &Record, timeout: Option<Duration>, now: SystemTime) -> bool {
    absolute_end(record, timeout).is_some_and(|end| end <= now)
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
