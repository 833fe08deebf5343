//! [`SessionId`]: creating and checking session ids.

#[cfg(any(feature = "file", feature = "mysql"))]
use std::borrow::Cow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::SystemTime;

use arrayvec::ArrayString;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

/// The longest id, in bytes.
pub(crate) const MAX_LEN: usize = 256;

/// The id of one session in its store. New sessions get a random UUID (version 4), unless
/// [`genid`](crate::SessionConfigBuilder::genid) makes other ids.
///
/// Treat an id like a password: whoever sends it with a signature is treated as the user. So that it does not
/// reach a log by accident, its `Debug` is redacted and it has no `Display`.
#[derive(Clone)]
pub struct SessionId(Text);

/// An id's text. UUIDs and shorter ids are kept inline, which saves an allocation for each id.
#[derive(Clone)]
enum Text {
    Short(ArrayString<SHORT>),
    Long(Arc<str>),
    Keyed(Arc<Keyed>),
}

/// An id whose record stands under another one.
struct Keyed {
    id: SessionId,
    key: SessionId,
}

/// What a key begins with that is the hash of an id.
const HASHED: &str = "sha256-";
/// The length of such a key: the hash is in hexadecimal, which no store takes for another one by its case.
const HASHED_LEN: usize = HASHED.len() + 64;
const _: () = assert!(HASHED_LEN <= MAX_LEN);

/// The longest id that is kept inline, in bytes: the length of a UUID as text.
const SHORT: usize = 36;
const _: () = assert!(SHORT == uuid::fmt::Hyphenated::LENGTH && SHORT <= MAX_LEN);

impl SessionId {
    /// An id from text of 1 to 256 bytes without control characters.
    ///
    /// # Errors
    /// [`InvalidSessionId`] when the text is empty, is longer than 256 bytes, or has a control character.
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

    /// An id from text that keeps the rules of [`SessionId::new`].
    fn from_legal(id: &str) -> Self {
        Self(ArrayString::from(id).map_or_else(|_| Text::Long(id.into()), Text::Short))
    }

    /// A new random id: a UUID (version 4), which has 122 random bits from a cryptographic generator.
    #[must_use]
    pub fn random() -> Self {
        let mut text = Uuid::encode_buffer();
        Self::from_legal(Uuid::new_v4().hyphenated().encode_lower(&mut text))
    }

    /// An id of the same form, of bytes that nobody can guess.
    pub(crate) fn of_random(bytes: [u8; 16]) -> Self {
        let mut text = Uuid::encode_buffer();
        let uuid = uuid::Builder::from_random_bytes(bytes).into_uuid();
        Self::from_legal(uuid.hyphenated().encode_lower(&mut text))
    }

    /// The text under which a store keeps the id: the id itself where the store can hold it, else `=` and the
    /// id's SHA-256 in hexadecimal. No two ids have the same text, because an id that begins with `=` is
    /// hashed as well.
    #[cfg(any(feature = "file", feature = "mysql"))]
    pub(crate) fn or_hashed_unless(&self, holds: impl Fn(&str) -> bool) -> Cow<'_, str> {
        let id = self.as_str();
        if !id.starts_with('=') && holds(id) {
            return Cow::Borrowed(id);
        }
        let hash = base16ct::lower::encode_string(&Sha256::digest(id.as_bytes()));
        Cow::Owned(["=", &hash].concat())
    }

    /// The same id, whose record stands under the id's SHA-256. The hash is computed here, once.
    pub(crate) fn hashed(self) -> Self {
        let mut digits = [0; HASHED_LEN - HASHED.len()];
        let written = base16ct::lower::encode_str(&Sha256::digest(self.as_str()), &mut digits);
        let digits = written.unwrap_or_default();
        let mut text = ArrayString::<HASHED_LEN>::new();
        text.push_str(HASHED);
        // Invariant: the digits of a SHA-256 fill the rest exactly.
        debug_assert_eq!(digits.len(), text.remaining_capacity());
        text.push_str(digits);
        let key = Self(Text::Long((*text).into()));
        Self(Text::Keyed(Arc::new(Keyed { id: self, key })))
    }

    /// The id under which the store has the record, and under which everything outside of the cookie knows
    /// the session: the lists of users, handles, and those who wait for the session's end. Mostly it is the
    /// id itself. The key of a key is the key.
    pub(crate) fn key(&self) -> &Self {
        match &self.0 {
            Text::Keyed(keyed) => &keyed.key,
            Text::Short(_) | Text::Long(_) => self,
        }
    }

    /// Whether it has the form of a hash.
    pub(crate) fn is_hash(&self) -> bool {
        let digits = self.as_str().strip_prefix(HASHED);
        let is_digit = |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        digits.is_some_and(|digits| digits.len() == HASHED_LEN - HASHED.len() && digits.bytes().all(is_digit))
    }

    /// The id as text, for a store's key. The text is a credential: keep it out of logs and pages.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Text::Short(id) => id,
            Text::Long(id) => id,
            Text::Keyed(keyed) => keyed.id.as_str(),
        }
    }
}

/// Whether the store sees the SHA-256 of ids in place of the ids:
/// [`hash_ids`](crate::SessionConfigBuilder::hash_ids).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum HashIds {
    /// The store sees hashes only. Sessions that were stored under their ids are over.
    On,
    /// New ids are hashed. Sessions that were stored under their ids before are found until this time, and
    /// are over then.
    ///
    /// Such a session stays where it is, so that nothing that requests do to it at the same time is lost or
    /// undone. It is hashed when it gets a new id: with a login, or with
    /// [`cycle_id`](crate::Session::cycle_id). Until then each of its requests asks the store twice.
    MovingUntil(SystemTime),
}

impl HashIds {
    /// Whether a record may stand under this key.
    pub(crate) fn admits(self, key: &SessionId, now: SystemTime) -> bool {
        key.is_hash() || self.is_moving(now)
    }

    /// Whether sessions count that are stored under their ids.
    pub(crate) fn is_moving(self, now: SystemTime) -> bool {
        match self {
            Self::On => false,
            Self::MovingUntil(end) => now < end,
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

/// Whether an id has a control character.
fn has_control(id: &str) -> bool {
    // Nearly every id is printable ASCII. The processor checks that for many bytes at once, which saves
    // decoding them.
    let printable = id.bytes().fold(true, |all, byte| all & (b' '..=b'~').contains(&byte));
    !printable && id.chars().any(char::is_control)
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionId(REDACTED)")
    }
}

/// Why a text is not a [`SessionId`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a session id is {0}")]
pub struct InvalidSessionId(Reason);

// The text for `TooLong` names the limit.
const _: () = assert!(MAX_LEN == 256);

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
enum Reason {
    #[error("never empty")]
    Empty,
    #[error("at most 256 bytes long")]
    TooLong,
    #[error("free of control characters")]
    Control,
}
