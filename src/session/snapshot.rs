//! What a request last saw of its record in the store.

use std::time::{Duration, SystemTime};

use crate::cookie::signature::Signature;
use crate::id::SessionId;
use crate::record::Record;
use crate::store::Stored;
use crate::store::loaded::{CompareBy, Expiry};
use crate::store::version::Version;

/// A record in the store, as far as this request knows.
#[derive(Clone)]
pub(crate) struct Snapshot {
    pub(crate) id: SessionId,
    /// The id's signature, where the request brought it.
    pub(crate) signature: Option<Signature>,
    pub(crate) record: Record,
    pub(crate) compare_by: CompareBy,
    /// When the store drops the record unless it is touched.
    pub(crate) expires: Expiry,
}

impl Snapshot {
    /// The store lets it live for so long from now.
    pub(crate) fn extended(mut self, now: SystemTime, ttl: Duration) -> Self {
        self.expires = Expiry::Wall(now).after(ttl);
        self
    }

    /// What is to be there still when it is written to.
    pub(crate) fn expected(&self) -> Version {
        self.compare_by.expected(&self.record)
    }

    /// This was written over it; the version is the one that the store gave it.
    pub(crate) fn rewritten(&mut self, record: Record, version: Option<Version>) {
        self.record = record;
        if let (CompareBy::Version(own), Some(version)) = (&mut self.compare_by, version) {
            *own = version;
        }
    }

    /// Goes on from what the store says is there now.
    pub(crate) fn refresh(&mut self, stored: Stored) {
        self.record = stored.record;
        self.compare_by = match (&self.compare_by, stored.version) {
            (CompareBy::Record, _) => CompareBy::Record,
            (_, version) => version.map_or(CompareBy::Nothing, CompareBy::Version),
        };
    }
}
