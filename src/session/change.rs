//! One thing that a request did to its session.

use std::sync::Arc;
use std::time::Duration;

use smallvec::SmallVec;
use smol_str::SmolStr;

use crate::error::SessionError;

/// Recomputes a value from the raw JSON that stands there now.
pub(crate) type UpdateFn = dyn Fn(Option<&[u8]>) -> Result<Option<SmolStr>, SessionError> + Send + Sync;

/// What a request did, oldest first. Most requests that do something do one thing.
pub(crate) type Log = SmallVec<[Change; 1]>;

#[derive(Clone)]
pub(crate) enum Change {
    Set { key: SmolStr, value: SmolStr },
    Remove { key: SmolStr },
    Clear,
    Update { key: SmolStr, apply: Arc<UpdateFn>, now: Option<SmolStr> },
    FlashPush { kind: SmolStr, message: SmolStr },
    FlashTake { kind: SmolStr, messages: Vec<SmolStr> },
    MaxAge(Option<Duration>),
}

impl Change {
    pub(crate) fn key(&self) -> Option<&str> {
        match self {
            Self::Set { key, .. } | Self::Remove { key } | Self::Update { key, .. } => Some(key),
            Self::Clear | Self::FlashPush { .. } | Self::FlashTake { .. } | Self::MaxAge(_) => None,
        }
    }

    pub(crate) fn flash_kind(&self) -> Option<&str> {
        match self {
            Self::FlashPush { kind, .. } | Self::FlashTake { kind, .. } => Some(kind),
            _ => None,
        }
    }
}
