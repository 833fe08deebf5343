//! What a store said of a record, and how later writes to it are told.

use std::time::{Duration, Instant, SystemTime};

use crate::clock::{ErasedClock, monotonic};
use crate::record::Record;
use crate::store::Stored;
use crate::store::version::Version;

/// What a store answers to `get`, as a session goes on with it.
pub(crate) struct Loaded {
    pub(crate) record: Record,
    pub(crate) compare_by: CompareBy,
    pub(crate) expires_in: Option<Duration>,
    /// When the store looked.
    pub(crate) seen: Expiry,
}

impl Loaded {
    /// What a store answered that was asked at `now`.
    pub(crate) fn at(now: SystemTime, stored: Stored) -> Self {
        let compare_by = stored.version.map_or(CompareBy::Nothing, CompareBy::Version);
        let seen = Expiry::Wall(now);
        Self { record: stored.record, compare_by, expires_in: stored.expires_in, seen }
    }
}

/// What became of a record that was to be written over another.
pub(crate) enum ReplaceOutcome {
    /// It is there, with the version that the store gave it, if any.
    Done(Option<Version>),
    Conflict(Stored),
    Gone,
}

/// A point in time, by the clock that was looked at.
#[derive(Clone, Copy)]
pub(crate) enum Expiry {
    Wall(SystemTime),
    Monotonic(Instant),
}

impl Expiry {
    /// A record without an end lives so long.
    const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

    pub(crate) fn after(self, life: Duration) -> Self {
        let life = life.min(Self::LONGEST);
        match self {
            Self::Wall(date) => Self::Wall(date.checked_add(life).unwrap_or(date)),
            Self::Monotonic(at) => Self::Monotonic(at.checked_add(life).unwrap_or(at)),
        }
    }

    /// Its date. Asking two clocks again would give another one, so it is kept.
    pub(crate) fn date(&mut self, clock: &ErasedClock) -> SystemTime {
        match *self {
            Self::Wall(date) => date,
            Self::Monotonic(at) => {
                let now = clock.now();
                let date = now.checked_add(at.saturating_duration_since(monotonic())).unwrap_or(now);
                *self = Self::Wall(date);
                date
            }
        }
    }
}

/// By what the store tells whether somebody else wrote.
#[derive(Clone)]
pub(crate) enum CompareBy {
    /// By the version that it gave.
    Version(Version),
    /// By the record's bytes.
    Record,
    /// Not in one step. So the session sees to it that one request at a time gets through to the record.
    Nothing,
}

impl CompareBy {
    /// What is to be there still when it is written to.
    pub(crate) fn expected(&self, record: &Record) -> Version {
        match self {
            Self::Version(version) => version.clone(),
            Self::Record | Self::Nothing => Version::of(record),
        }
    }
}
