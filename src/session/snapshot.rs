//! [`Snapshot`]: what a request last saw of its record in the store.

use std::time::{Duration, SystemTime};

use crate::cookie::signature::Signature;
use crate::id::SessionId;
use crate::record::Record;
use crate::store::Stored;
use crate::store::joint::LastWritten;
use crate::store::loaded::{CompareBy, Expiry};
use crate::store::version::Version;

/// A record in the store, as this request last read or wrote it.
#[derive(Clone)]
pub(crate) struct Snapshot {
    pub(crate) id: SessionId,
    /// The id's signature by the current secret, if the request's cookie carried it. Otherwise it is
    /// computed when a cookie is first set.
    pub(crate) signature: Option<Signature>,
    pub(crate) record: Record,
    /// How the store detects that another request has written the record since.
    pub(crate) compare_by: CompareBy,
    /// When the record expires in the store, unless it is touched.
    pub(crate) expires: Expiry,
}

impl Snapshot {
    /// The same snapshot with an expiry of `ttl` from `now`.
    pub(crate) fn extended(mut self, now: SystemTime, ttl: Duration) -> Self {
        self.expires = Expiry::Wall(now).after(ttl);
        self
    }

    /// Takes up the record that this request has written, with the version that the store returned for it, if
    /// any.
    pub(crate) fn rewritten(&mut self, record: Record, version: Option<Version>) {
        self.record = record;
        if let (CompareBy::Version(own), Some(version)) = (&mut self.compare_by, version) {
            *own = version;
        }
    }

    /// The record, for the next request that writes to it.
    pub(crate) fn last_written(&self) -> LastWritten {
        LastWritten { record: self.record.clone(), compare_by: self.compare_by.clone() }
    }

    /// Takes up the record that another request has written, or has written for this one.
    pub(crate) fn continue_from(&mut self, last: LastWritten) {
        self.record = last.record;
        self.compare_by = last.compare_by;
    }

    /// Takes up the record that another request has written, as the store returned it after a conflict.
    pub(crate) fn refresh(&mut self, stored: Stored) {
        self.record = stored.record;
        self.compare_by = match (&self.compare_by, stored.version) {
            (CompareBy::Record, _) => CompareBy::Record,
            (_, version) => version.map_or(CompareBy::Nothing, CompareBy::Version),
        };
    }
}
