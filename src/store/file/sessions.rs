//! The sessions in a folder: what each file says, and what is done to it.

use std::time::{Duration, SystemTime};

use super::folder::{FileReplaced, Folder};
use super::name::Names;
use super::text::{self, FileText};
use crate::error::StoreError;
use crate::record::Record;
use crate::store::{Replaced, Version};

pub(super) struct Sessions {
    pub(super) folder: Folder,
    pub(super) names: Names,
    pub(super) ttl: Duration,
}

impl Sessions {
    pub(super) fn read(&self, name: &str) -> Result<Option<FileText>, StoreError> {
        self.folder.read(name)?.map(|bytes| self.parse(bytes)).transpose()
    }

    pub(super) fn parse(&self, bytes: Vec<u8>) -> Result<FileText, StoreError> {
        FileText::parse(bytes, self.ttl)
    }

    /// The live session in a file.
    pub(super) fn live(&self, name: &str) -> Result<Option<FileText>, StoreError> {
        Ok(self.read(name)?.filter(|file| file.is_live(SystemTime::now())))
    }

    pub(super) fn write(&self, name: &str, record: &Record, ttl: Duration) -> Result<(), StoreError> {
        self.folder.write(name, &text::compose(record, ttl, self.ttl, SystemTime::now()))
    }

    /// Writes a record in the place of these bytes.
    pub(super) fn swap(
        &self,
        name: &str,
        now: &[u8],
        record: &Record,
        ttl: Duration,
    ) -> Result<FileReplaced, StoreError> {
        self.folder.replace(name, now, &text::compose(record, ttl, self.ttl, SystemTime::now()))
    }

    /// Looks at each session again under its lock, so that one that was renewed meanwhile stays.
    pub(super) fn remove_where(&self, unwanted: impl Fn(&FileText) -> bool) -> Result<u64, StoreError> {
        let mut removed = 0;
        self.folder.for_each_session_file(|name| {
            let is_unwanted = || self.read(name).is_ok_and(|file| file.is_some_and(|file| unwanted(&file)));
            if is_unwanted() {
                let _lock = self.folder.lock(name)?;
                if is_unwanted() {
                    self.folder.remove(name)?;
                    removed += 1;
                }
            }
            Ok(())
        })?;
        Ok(removed)
    }

    /// Does `work` on the bytes of a live session of the expected version, again if they changed meanwhile.
    pub(super) fn compare(
        &self,
        name: &str,
        expected: &Version,
        mut work: impl FnMut(&[u8]) -> Result<FileReplaced, StoreError>,
        done: &Version,
    ) -> Result<Replaced, StoreError> {
        let _lock = self.folder.lock(name)?;
        let mut bytes = self.folder.read(name)?;
        loop {
            let Some(now) = bytes else { return Ok(Replaced::Gone) };
            let file = self.parse(now.clone())?;
            if !file.is_live(SystemTime::now()) {
                return Ok(Replaced::Gone);
            }
            if Version::of(&file.record) != *expected {
                return Ok(Replaced::Conflict(file.into_stored()));
            }
            bytes = match work(&now)? {
                FileReplaced::Done => return Ok(Replaced::Done(done.clone())),
                FileReplaced::Gone => None,
                FileReplaced::Changed(fresh) => Some(fresh),
            };
        }
    }
}
