//! [`SessionHandle`]: a public name of a session.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::config::ConfigInner;
use crate::config::event::SessionEvent;
use crate::cookie::derived::DerivedKeys;
use crate::id::SessionId;
use crate::session::Session;

/// A public name of a session that is not its id: 128 bits of a keyed hash of the id, as 32 hexadecimal
/// digits.
///
/// It gives no access to the session, so it may stand in a page, a log or a support ticket. It stays the same
/// until the session gets a new id, or the secrets change. [`UserSessions::end`](crate::UserSessions::end)
/// takes it.
///
/// ```
/// use sessile::SessionHandle;
///
/// let handle: SessionHandle = "00112233445566778899aabbccddeeff".parse()?;
/// assert_eq!(handle.to_string(), "00112233445566778899aabbccddeeff");
/// # Ok::<(), sessile::InvalidSessionHandle>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionHandle([u8; 16]);

/// A text is no [`SessionHandle`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a session handle is 32 hexadecimal digits")]
pub struct InvalidSessionHandle;

impl Session {
    /// A public name of the session that is not its id: see [`SessionHandle`]. It belongs to the id under
    /// which the next commit stores the session.
    pub fn handle(&self) -> SessionHandle {
        SessionHandle::of(self.inner().config.inner(), &self.id())
    }
}

impl SessionEvent<'_> {
    /// The session's [handle](SessionHandle). `None`, where the event is about several sessions or about a
    /// cookie that names none.
    #[must_use]
    pub fn handle(&self) -> Option<SessionHandle> {
        self.id.map(|id| SessionHandle::by(self.keys, id))
    }

    /// The handle that the session had before it got a new id.
    #[must_use]
    pub fn old_handle(&self) -> Option<SessionHandle> {
        self.old_id.map(|id| SessionHandle::by(self.keys, id))
    }
}

impl SessionHandle {
    pub(crate) fn of(config: &ConfigInner, id: &SessionId) -> Self {
        Self::by(&config.keys().derived, id)
    }

    fn by(keys: &DerivedKeys, id: &SessionId) -> Self {
        let newest = keys.handles(id).next();
        // Invariant: a configuration has a secret.
        debug_assert!(newest.is_some(), "there is no secret to make a handle with");
        Self(newest.unwrap_or_default())
    }

    /// Whether it is the handle of this id, by any of the secrets.
    pub(crate) fn is_of(&self, config: &ConfigInner, id: &SessionId) -> bool {
        config.keys().derived.handles(id).any(|handle| handle == self.0)
    }
}

impl fmt::Display for SessionHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&base16ct::lower::encode_string(&self.0))
    }
}

impl fmt::Debug for SessionHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionHandle({self})")
    }
}

impl FromStr for SessionHandle {
    type Err = InvalidSessionHandle;

    fn from_str(text: &str) -> Result<Self, InvalidSessionHandle> {
        let mut bytes = [0; 16];
        let decoded = base16ct::mixed::decode(text, &mut bytes).map_err(|_| InvalidSessionHandle)?;
        if decoded.len() == 16 { Ok(Self(bytes)) } else { Err(InvalidSessionHandle) }
    }
}

impl Serialize for SessionHandle {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for SessionHandle {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}
