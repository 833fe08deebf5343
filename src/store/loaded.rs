//! [`Loaded`]: what a session keeps of a store's answer, and how it detects later writes by others.

use std::time::{Duration, Instant, SystemTime};

use crate::clock::{ErasedClock, monotonic};
use crate::record::Record;
use crate::store::Stored;
use crate::store::version::Version;

/// The answer of a store to `get`.
pub(crate) struct Loaded {
    pub(crate) record: Record,
    pub(crate) compare_by: CompareBy,
    /// How long the record still lives, counted from `seen`. `None`: the store does not say.
    pub(crate) expires_in: Option<Duration>,
    /// When the record was read.
    pub(crate) seen: Expiry,
}

impl Loaded {
    /// The answer of a store that returned it at `now`.
    pub(crate) fn at(now: SystemTime, stored: Stored) -> Self {
        let compare_by = stored.version.map_or(CompareBy::Nothing, CompareBy::Version);
        let seen = Expiry::Wall(now);
        Self { record: stored.record, compare_by, expires_in: stored.expires_in, seen }
    }
}

/// The answer of a store to `replace`.
pub(crate) enum ReplaceOutcome {
    /// The record was written. The version is `None` for the memory store, which compares records instead.
    Done(Option<Version>),
    /// The store holds another version, this one. Nothing was written.
    Conflict(Stored),
    /// The store holds no live record under this id. Nothing was written.
    Gone,
}

/// A time on the clock that was read for it: when a record was read, or when it expires.
///
/// A monotonic time stays one until somebody asks for the date, because most requests never do: a load from
/// the memory store reads one clock instead of two.
#[derive(Clone, Copy)]
pub(crate) enum Expiry {
    Wall(SystemTime),
    Monotonic(Instant),
}

impl Expiry {
    /// 100 years (of 365 days), in seconds: the most that is added to a time. Stores give records that never
    /// expire `Duration::MAX`, which no clock can represent.
    const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

    /// The time that is `life` later, on the same clock.
    pub(crate) fn after(self, life: Duration) -> Self {
        let life = life.min(Self::LONGEST);
        match self {
            Self::Wall(date) => Self::Wall(date.checked_add(life).unwrap_or(date)),
            Self::Monotonic(at) => Self::Monotonic(at.checked_add(life).unwrap_or(at)),
        }
    }

    /// The time as a date.
    ///
    /// A monotonic time is converted once and then kept as a date, because the difference between two clocks
    /// is never quite the same: a second conversion would return another date.
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

/// How a store detects that another request has written the record.
#[derive(Clone)]
pub(crate) enum CompareBy {
    /// The store compares versions; this is the one that it returned.
    Version(Version),
    /// The store compares whole records.
    Record,
    /// The store cannot compare and write in one step, and the session holds the lock of the id while it writes; or it
    /// counts versions, and that of this record is not known here: then it answers with a conflict, which has it.
    Nothing,
}

impl CompareBy {
    /// The version that the store must still hold for a write over `record` to succeed.
    pub(crate) fn expected(&self, record: &Record) -> Version {
        match self {
            Self::Version(version) => version.clone(),
            Self::Record | Self::Nothing => Version::of(record),
        }
    }
}
