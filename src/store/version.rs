//! [`Version`]: what tells one state of a record from another.

use std::fmt;
use std::sync::Arc;

use crate::record::Record;

/// Tells one state of a record from another: a number that grows with each write, or the written bytes themselves.
///
/// Bytes serve stores that others write to as well: Express counts nothing.
#[derive(Clone)]
pub struct Version(VersionKind);

#[derive(Clone)]
enum VersionKind {
    Number(u64),
    Bytes(Arc<[u8]>),
    Record(Record),
}

impl Version {
    /// The record's own bytes as its version, without a copy.
    #[must_use]
    pub fn of(record: &Record) -> Self {
        Self(VersionKind::Record(record.clone()))
    }

    pub(crate) fn is_of(&self, record: &Record) -> bool {
        match &self.0 {
            VersionKind::Record(own) => own.same(record),
            VersionKind::Bytes(bytes) => **bytes == *record.as_bytes(),
            VersionKind::Number(_) => false,
        }
    }

    /// The number, where it is one.
    ///
    /// After `create` a session expects the bytes of what it created, because `create` answers no version: a store that
    /// counts treats that as a conflict, and the session goes on with the number it is told.
    #[must_use]
    pub fn as_number(&self) -> Option<u64> {
        match self.0 {
            VersionKind::Number(number) => Some(number),
            VersionKind::Bytes(_) | VersionKind::Record(_) => None,
        }
    }

    /// The bytes, where it is bytes.
    #[must_use]
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match &self.0 {
            VersionKind::Number(_) => None,
            VersionKind::Bytes(bytes) => Some(bytes),
            VersionKind::Record(record) => Some(record.as_bytes()),
        }
    }
}

impl PartialEq for Version {
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (VersionKind::Number(one), VersionKind::Number(other)) => one == other,
            (VersionKind::Record(one), VersionKind::Record(other)) => one.same(other),
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
            VersionKind::Bytes(_) | VersionKind::Record(_) => f.write_str("Version(bytes REDACTED)"),
        }
    }
}
