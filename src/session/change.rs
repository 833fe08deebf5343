//! [`Change`]: one change that a request makes to its session.

use std::sync::Arc;
use std::time::Duration;

use smallvec::SmallVec;
use smol_str::SmolStr;

use crate::error::SessionError;

/// The closure of an `update`, on raw JSON: computes a new value from the current one.
pub(crate) type UpdateFn = dyn Fn(Option<&[u8]>) -> Result<Option<SmolStr>, SessionError> + Send + Sync;

/// The changes of a request, oldest first. There is room inline for one change, since most requests make one
/// at most.
pub(crate) type Log = SmallVec<[Change; 1]>;

/// One change that a request makes to its session. Values and messages are raw JSON.
///
/// A commit applies the changes to the newest record in the store, which need not be the record that this
/// request loaded.
#[derive(Clone)]
pub(crate) enum Change {
    Set {
        key: SmolStr,
        value: SmolStr,
    },
    Remove {
        key: SmolStr,
    },
    /// Removes every key. Flash messages stay.
    Clear,
    /// `now` is the result on the value that this request sees; a commit runs `apply` again on the newest
    /// value.
    Update {
        key: SmolStr,
        apply: Arc<UpdateFn>,
        now: Option<SmolStr>,
    },
    FlashPush {
        kind: SmolStr,
        message: SmolStr,
    },
    /// Takes these messages, and leaves those that other requests have queued meanwhile.
    FlashTake {
        kind: SmolStr,
        messages: Vec<SmolStr>,
    },
    /// Sets the session's own max-age; `None` lets the cookie end with the browser.
    MaxAge(Option<Duration>),
}

impl Change {
    /// The key whose value is changed. `Clear` names no key.
    pub(crate) fn key(&self) -> Option<&str> {
        match self {
            Self::Set { key, .. } | Self::Remove { key } | Self::Update { key, .. } => Some(key),
            Self::Clear | Self::FlashPush { .. } | Self::FlashTake { .. } | Self::MaxAge(_) => None,
        }
    }

    /// The kind whose flash messages are changed.
    /// Whether a session without data has some after this change.
    pub(crate) fn adds(&self) -> bool {
        match self {
            Self::Set { .. } | Self::Update { now: Some(_), .. } | Self::FlashPush { .. } => true,
            Self::Remove { .. } | Self::Clear | Self::Update { now: None, .. } => false,
            Self::FlashTake { .. } | Self::MaxAge(_) => false,
        }
    }

    pub(crate) fn flash_kind(&self) -> Option<&str> {
        match self {
            Self::FlashPush { kind, .. } | Self::FlashTake { kind, .. } => Some(kind),
            _ => None,
        }
    }
}
