//! Session ids: minting, validation, and a `Debug` that gives nothing away.

use std::borrow::Cow;
use std::fmt;
use std::fmt::Write as _;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use uuid::Uuid;

/// The longest id a cookie or a store may carry, in bytes.
pub(crate) const MAX_LEN: usize = 256;

/// Names one session in its store. Whoever holds it, signed, is the user: treat it as a password.
///
/// Its `Debug` is redacted and it has no `Display`, so that it cannot slip into a log.
/// New sessions get a random UUID (version 4) unless
/// [`genid`](crate::SessionConfigBuilder::genid) says otherwise.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct SessionId(Arc<str>);

impl SessionId {
    /// An id from text: 1 to 256 bytes, no control characters.
    ///
    /// # Errors
    /// [`InvalidSessionId`] when the text is empty, too long, or has a control character.
    pub fn new(id: impl Into<String>) -> Result<Self, InvalidSessionId> {
        let id = id.into();
        Self::check(&id)?;
        Ok(Self(id.into()))
    }

    /// The same as [`SessionId::new`], from borrowed text.
    pub(crate) fn parse(id: &str) -> Result<Self, InvalidSessionId> {
        Self::check(id)?;
        Ok(Self(id.into()))
    }

    fn check(id: &str) -> Result<(), InvalidSessionId> {
        match id.len() {
            0 => Err(InvalidSessionId(Reason::Empty)),
            len if len > MAX_LEN => Err(InvalidSessionId(Reason::TooLong)),
            _ if id.chars().any(char::is_control) => Err(InvalidSessionId(Reason::Control)),
            _ => Ok(()),
        }
    }

    /// A fresh random id: a UUID, version 4, from the operating system's generator.
    #[must_use]
    pub fn random() -> Self {
        let mut text = Uuid::encode_buffer();
        Self((&*Uuid::new_v4().hyphenated().encode_lower(&mut text)).into())
    }

    /// The id where a store can hold it, else its hash behind a `=`; no two ids share one, because an id that begins with
    /// `=` is hashed as well.
    pub(crate) fn or_hash(&self, holds: impl Fn(&str) -> bool) -> Cow<'_, str> {
        if !self.0.starts_with('=') && holds(&self.0) {
            return Cow::Borrowed(&self.0);
        }
        let mut hash = String::from("=");
        for byte in Sha256::digest(self.0.as_bytes()) {
            // Writing to a String does not fail.
            let _ = write!(hash, "{byte:02x}");
        }
        Cow::Owned(hash)
    }

    /// The id as text, for a store's key. It is a credential: keep it out of logs and pages.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionId(REDACTED)")
    }
}

/// Why a text is no [`SessionId`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a session id is {0}")]
pub struct InvalidSessionId(Reason);

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
enum Reason {
    #[error("never empty")]
    Empty,
    #[error("at most 256 bytes long")]
    TooLong,
    #[error("free of control characters")]
    Control,
}
