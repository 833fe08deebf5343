//! Session ids: minting, validation, and a `Debug` that gives nothing away.

use std::borrow::Cow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrayvec::ArrayString;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

/// The longest id a cookie or a store may carry, in bytes.
pub(crate) const MAX_LEN: usize = 256;

/// Names one session in its store. Whoever holds it, signed, is the user: treat it as a password.
///
/// Its `Debug` is redacted and it has no `Display`, so that it cannot slip into a log.
/// New sessions get a random UUID (version 4) unless
/// [`genid`](crate::SessionConfigBuilder::genid) says otherwise.
#[derive(Clone)]
pub struct SessionId(Text);

/// A UUID, and any other short id, needs no memory of its own.
#[derive(Clone)]
enum Text {
    Short(ArrayString<SHORT>),
    Long(Arc<str>),
}

/// The length of a UUID as text.
const SHORT: usize = 36;

impl SessionId {
    /// An id from text: 1 to 256 bytes, no control characters.
    ///
    /// # Errors
    /// [`InvalidSessionId`] when the text is empty, too long, or has a control character.
    pub fn new(id: impl Into<String>) -> Result<Self, InvalidSessionId> {
        Self::parse(&id.into())
    }

    /// The same as [`SessionId::new`], from borrowed text.
    pub(crate) fn parse(id: &str) -> Result<Self, InvalidSessionId> {
        match id.len() {
            0 => Err(InvalidSessionId(Reason::Empty)),
            len if len > MAX_LEN => Err(InvalidSessionId(Reason::TooLong)),
            _ if has_control(id) => Err(InvalidSessionId(Reason::Control)),
            _ => Ok(Self::from_legal(id)),
        }
    }

    fn from_legal(id: &str) -> Self {
        Self(ArrayString::from(id).map_or_else(|_| Text::Long(id.into()), Text::Short))
    }

    /// A fresh random id: a UUID, version 4, from the operating system's generator.
    #[must_use]
    pub fn random() -> Self {
        let mut text = Uuid::encode_buffer();
        Self::from_legal(Uuid::new_v4().hyphenated().encode_lower(&mut text))
    }

    /// The id where a store can hold it, else its hash behind a `=`; no two ids share one, because an id that begins with
    /// `=` is hashed as well.
    pub(crate) fn or_hashed_unless(&self, holds: impl Fn(&str) -> bool) -> Cow<'_, str> {
        let id = self.as_str();
        if !id.starts_with('=') && holds(id) {
            return Cow::Borrowed(id);
        }
        let hash = base16ct::lower::encode_string(&Sha256::digest(id.as_bytes()));
        Cow::Owned(["=", &hash].concat())
    }

    /// The id as text, for a store's key. It is a credential: keep it out of logs and pages.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Text::Short(id) => id,
            Text::Long(id) => id,
        }
    }
}

impl PartialEq for SessionId {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for SessionId {}

impl Hash for SessionId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

fn has_control(id: &str) -> bool {
    // Nearly every id is printable ASCII, which the processor tells of many bytes at once.
    let printable = id.bytes().fold(true, |all, byte| all & (b' '..=b'~').contains(&byte));
    !printable && id.chars().any(char::is_control)
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
