//! [`Version`]: tells one state of a record from another.

use std::fmt;
use std::sync::Arc;

use crate::record::Record;

/// Tells one state of a record from another: a number that grows with each write, or the record's bytes.
///
/// A number is shorter to compare. Bytes also detect writes by programs that count nothing, such as the
/// stores of Express.
///
/// A store that counts gives a new record a number that no earlier record under its id has had: it counts the
/// writes of the whole store, not those of each record. Sessions that move from another store or library use one
/// id again, and whoever is late must not take the later record for the earlier one.
#[derive(Clone)]
pub struct Version(VersionKind);

#[derive(Clone)]
enum VersionKind {
    Number(u64),
    Bytes(Arc<[u8]>),
    /// The bytes of this record, without a copy.
    Record(Record),
    /// The bytes of this record, and the mark of the write that has stored them.
    #[cfg(feature = "redis")]
    Marked(Record, u64),
}

impl Version {
    /// The record's bytes as its version, without a copy.
    #[must_use]
    pub fn of(record: &Record) -> Self {
        Self(VersionKind::Record(record.clone()))
    }

    /// The version of a record that was stored with a mark of its own: nobody else stores the same bytes with
    /// the same mark.
    #[cfg(feature = "redis")]
    pub(crate) fn marked(record: &Record, mark: u64) -> Self {
        Self(VersionKind::Marked(record.clone(), mark))
    }

    /// The mark with which the record was stored.
    #[cfg(feature = "redis")]
    pub(crate) fn mark(&self) -> Option<u64> {
        match self.0 {
            VersionKind::Marked(_, mark) => Some(mark),
            _ => None,
        }
    }

    /// Whether this version is the bytes of `record`.
    pub(crate) fn is_of(&self, record: &Record) -> bool {
        match &self.0 {
            VersionKind::Record(own) => own.same(record),
            #[cfg(feature = "redis")]
            VersionKind::Marked(own, _) => own.same(record),
            VersionKind::Bytes(bytes) => **bytes == *record.as_bytes(),
            VersionKind::Number(_) => false,
        }
    }

    /// The number, if this version is one.
    ///
    /// A store that counts must treat `None` as a version that it does not hold, and answer with a conflict.
    /// A session that has just created a record passes the record's bytes, because `create` returns no
    /// version; it then continues from the version that the conflict contains.
    #[must_use]
    pub fn as_number(&self) -> Option<u64> {
        match self.0 {
            VersionKind::Number(number) => Some(number),
            _ => None,
        }
    }

    /// The bytes, if this version is not a number.
    #[must_use]
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match &self.0 {
            VersionKind::Number(_) => None,
            VersionKind::Bytes(bytes) => Some(bytes),
            VersionKind::Record(record) => Some(record.as_bytes()),
            #[cfg(feature = "redis")]
            VersionKind::Marked(record, _) => Some(record.as_bytes()),
        }
    }
}

impl PartialEq for Version {
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (VersionKind::Number(one), VersionKind::Number(other)) => one == other,
            (VersionKind::Record(one), VersionKind::Record(other)) => one.same(other),
            #[cfg(feature = "redis")]
            (VersionKind::Marked(one, mark), VersionKind::Marked(other, other_mark)) => {
                mark == other_mark && one.same(other)
            }
            #[cfg(feature = "redis")]
            (VersionKind::Marked(..), _) | (_, VersionKind::Marked(..)) => false,
            _ => self.as_bytes().is_some() && self.as_bytes() == other.as_bytes(),
        }
    }
}

impl Eq for Version {}

impl From<u64> for Version {
    fn from(number: u64) -> Self {
        Self(VersionKind::Number(number))
    }
}

impl From<&[u8]> for Version {
    fn from(bytes: &[u8]) -> Self {
        Self(VersionKind::Bytes(bytes.into()))
    }
}

impl From<Vec<u8>> for Version {
    fn from(bytes: Vec<u8>) -> Self {
        Self(VersionKind::Bytes(bytes.into()))
    }
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            VersionKind::Number(number) => write!(f, "Version({number})"),
            _ => f.write_str("Version(bytes REDACTED)"),
        }
    }
}
