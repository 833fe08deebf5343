//! What a store said of a record, and how later writes to it are told.

use std::time::{Duration, Instant, SystemTime};

use crate::record::Record;
use crate::store::Stored;
use crate::store::version::Version;

/// What a store answers to `get`, as a session goes on with it.
pub(crate) struct Fetched {
    pub(crate) record: Record,
    pub(crate) compared: Compared,
    pub(crate) expires_in: Option<Duration>,
    /// When the store looked.
    pub(crate) seen: Moment,
}

impl From<Stored> for Fetched {
    fn from(stored: Stored) -> Self {
        let compared = stored.version.map_or(Compared::Nothing, Compared::Version);
        let seen = Moment::Date(SystemTime::now());
        Self { record: stored.record, compared, expires_in: stored.expires_in, seen }
    }
}

/// What became of a record that was to be written over another.
pub(crate) enum Rewritten {
    /// It is there, with the version that the store gave it, if any.
    Done(Option<Version>),
    Conflict(Stored),
    Gone,
}

/// A point in time, by the clock that was looked at.
#[derive(Clone, Copy)]
pub(crate) enum Moment {
    Date(SystemTime),
    Instant(Instant),
}

impl Moment {
    /// A record without an end lives so long.
    const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

    pub(crate) fn after(self, life: Duration) -> Self {
        let life = life.min(Self::LONGEST);
        match self {
            Self::Date(date) => Self::Date(date.checked_add(life).unwrap_or(date)),
            Self::Instant(at) => Self::Instant(at.checked_add(life).unwrap_or(at)),
        }
    }

    /// Its date. Asking two clocks again would give another one, so it is kept.
    pub(crate) fn date(&mut self) -> SystemTime {
        match *self {
            Self::Date(date) => date,
            Self::Instant(at) => {
                let now = SystemTime::now();
                let date = now.checked_add(at.saturating_duration_since(Instant::now())).unwrap_or(now);
                *self = Self::Date(date);
                date
            }
        }
    }
}

/// By what the store tells whether somebody else wrote.
#[derive(Clone)]
pub(crate) enum Compared {
    /// By the version that it gave.
    Version(Version),
    /// By the record's bytes.
    Bytes,
    /// Not in one step. So the session sees to it that one request at a time gets through to the record.
    Nothing,
}

impl Compared {
    /// What is to be there still when it is written to.
    pub(crate) fn expected(&self, record: &Record) -> Version {
        match self {
            Self::Version(version) => version.clone(),
            Self::Bytes | Self::Nothing => Version::of(record),
        }
    }
}
