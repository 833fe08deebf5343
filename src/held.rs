//! A record in the store, as a request that loaded or wrote it knows it.

use std::time::{Duration, Instant, SystemTime};

use crate::id::SessionId;
use crate::record::Record;
use crate::secret::Signature;
use crate::store::{Stored, Version};

/// A record in the store, as far as this request knows.
#[derive(Clone)]
pub(crate) struct Held {
    pub(crate) id: SessionId,
    /// The id's signature, where the request brought it.
    pub(crate) signature: Option<Signature>,
    pub(crate) record: Record,
    pub(crate) compared: Compared,
    /// When the store drops the record unless it is touched.
    pub(crate) expires: Moment,
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

impl Held {
    /// The store lets it live for so long from now.
    pub(crate) fn extended(mut self, now: SystemTime, ttl: Duration) -> Self {
        self.expires = Moment::Date(now).after(ttl);
        self
    }

    /// What is to be there still when it is written to.
    pub(crate) fn expected(&self) -> Version {
        match &self.compared {
            Compared::Version(version) => version.clone(),
            Compared::Bytes | Compared::Nothing => Version::of(&self.record),
        }
    }

    /// This was written over it; the version is the one that the store gave it.
    pub(crate) fn rewritten(&mut self, record: Record, version: Option<Version>) {
        self.record = record;
        if let (Compared::Version(own), Some(version)) = (&mut self.compared, version) {
            *own = version;
        }
    }

    /// Goes on from what the store says is there now.
    pub(crate) fn refresh(&mut self, stored: Stored) {
        self.record = stored.record;
        self.compared = match (&self.compared, stored.version) {
            (Compared::Bytes, _) => Compared::Bytes,
            (_, version) => version.map_or(Compared::Nothing, Compared::Version),
        };
    }
}
