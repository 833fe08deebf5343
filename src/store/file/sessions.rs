//! The sessions in a folder: the operations of a store, carried out on files.
//!
//! Every function blocks, except `get_cached`. A `name` is a session's file name, from [`Sessions::file_name`].

use std::path::Path;
use std::time::{Duration, SystemTime};

use super::cached;
use super::folder::{Durability, FileContent, FileReplaced, Folder};
use super::locks::FileLock;
use super::name::{EXTENSION, Names};
use super::text::{self, FileText};
use crate::clock::ErasedClock;
use crate::error::StoreError;
use crate::id::SessionId;
use crate::record::Record;
use crate::store::version::Version;
use crate::store::{Replaced, Stored};

pub(super) struct Sessions {
    pub(super) folder: Folder,
    names: Names,
    /// Whether what the system has in memory can be read on the spot.
    is_local: bool,
    /// What Express takes for the max-age of a session that has none: session-file-store's option `ttl`.
    pub(super) express_ttl: Duration,
    clock: ErasedClock,
}

impl Sessions {
    pub(super) fn open(
        path: &Path,
        durability: Durability,
        shared: bool,
        express_ttl: Duration,
        clock: ErasedClock,
    ) -> Result<Self, StoreError> {
        let folder = Folder::open(path, durability, shared)?;
        folder.remove_leftovers()?;
        let names = Names::new(folder.detect_case()?);
        let is_local = cached::is_local(folder.path());
        Ok(Self { folder, names, is_local, express_ttl, clock })
    }

    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(super) fn check(&self) -> Result<(), StoreError> {
        self.folder.check()
    }

    pub(super) fn file_name(&self, id: &SessionId) -> String {
        self.names.file_name(id)
    }

    /// Reads the clock. All times that the store writes or compares come from this function.
    fn now(&self) -> SystemTime {
        self.clock.now()
    }

    pub(super) fn get(&self, name: &str) -> Result<Option<Stored>, StoreError> {
        let now = self.now();
        Ok(self.live(name, now)?.map(|file| file.into_stored(now)))
    }

    /// What `get` returns, if the system has the file in memory. This does not block. `None`: ask `get`.
    pub(super) fn get_cached(&self, name: &str) -> Option<Result<Option<Stored>, StoreError>> {
        let now = self.now();
        let content = self.is_local.then(|| cached::read(&self.path().join(name)))??;
        let file = self.parse(&content);
        Some(file.map(|file| file.is_live(now).then(|| file.into_stored(now))))
    }

    /// What `get` returns for each of these ids, and `None` for what is no record.
    pub(super) fn get_many(&self, ids: &[SessionId]) -> Result<Vec<Option<Stored>>, StoreError> {
        let found = ids.iter().map(|id| match self.get(&self.file_name(id)) {
            Err(error) if error.is_corrupt() => Ok(None),
            answer => answer,
        });
        found.collect()
    }

    pub(super) fn set(&self, name: &str, record: &Record, ttl: Duration) -> Result<(), StoreError> {
        let lock = self.folder.lock(name)?;
        self.write(&lock, name, record, ttl)
    }

    pub(super) fn destroy(&self, name: &str) -> Result<(), StoreError> {
        let lock = self.folder.lock(name)?;
        self.folder.remove(&lock, name)
    }

    pub(super) fn touch(&self, name: &str, ttl: Duration) -> Result<bool, StoreError> {
        let lock = self.folder.lock(name)?;
        let mut content = self.folder.read(name)?;
        // A turn for each write of Express in the meantime: Express takes no locks.
        loop {
            let Some(present) = content else { return Ok(false) };
            let file = self.parse(&present)?;
            if !file.is_live(self.now()) {
                return Ok(false);
            }
            content = match self.write_over(&lock, name, &present, &file.record, ttl)? {
                FileReplaced::Done => return Ok(true),
                FileReplaced::Gone => None,
                FileReplaced::Changed(fresh) => Some(fresh),
            };
        }
    }

    pub(super) fn create(&self, name: &str, record: &Record, ttl: Duration) -> Result<bool, StoreError> {
        let lock = self.folder.lock(name)?;
        if self.live(name, self.now())?.is_some() {
            return Ok(false);
        }
        self.write(&lock, name, record, ttl)?;
        Ok(true)
    }

    pub(super) fn replace(
        &self,
        name: &str,
        expected: &Version,
        record: &Record,
        ttl: Duration,
    ) -> Result<Replaced, StoreError> {
        let lock = self.folder.lock(name)?;
        let write = |present: &_| self.write_over(&lock, name, present, record, ttl);
        self.compare(name, expected, write, &Version::of(record))
    }

    pub(super) fn destroy_if(&self, name: &str, expected: &Version) -> Result<Replaced, StoreError> {
        let lock = self.folder.lock(name)?;
        let remove = |_: &_| self.folder.remove(&lock, name).map(|()| FileReplaced::Done);
        self.compare(name, expected, remove, expected)
    }

    pub(super) fn len(&self) -> Result<usize, StoreError> {
        let now = self.now();
        let mut live = 0;
        self.folder.for_each_session_file(|name| {
            live += usize::from(self.live(name, now).is_ok_and(|file| file.is_some()));
            Ok(())
        })?;
        Ok(live)
    }

    /// The ids of the live sessions, and of what cannot be read, where the file's name tells the id.
    pub(super) fn ids(&self) -> Result<Vec<SessionId>, StoreError> {
        let now = self.now();
        let mut ids = Vec::new();
        self.folder.for_each_session_file(|name| {
            let id = name.strip_suffix(EXTENSION).and_then(|id| SessionId::parse(id).ok());
            // The name of a hash is none that its text has as an id.
            if let Some(id) = id.filter(|id| self.file_name(id) == name)
                && !matches!(self.live(name, now), Ok(None))
            {
                ids.push(id);
            }
            Ok(())
        })?;
        Ok(ids)
    }

    pub(super) fn clear(&self) -> Result<(), StoreError> {
        self.remove_where(|_| true).map(drop)
    }

    pub(super) fn sweep(&self) -> Result<u64, StoreError> {
        self.folder.remove_leftovers()?;
        self.remove_where(|file| !file.is_live(self.now()))
    }

    fn parse(&self, content: &FileContent) -> Result<FileText, StoreError> {
        FileText::parse(content, self.express_ttl)
    }

    fn read(&self, name: &str) -> Result<Option<FileText>, StoreError> {
        self.folder.read(name)?.map(|content| self.parse(&content)).transpose()
    }

    /// The live session in a file.
    fn live(&self, name: &str, now: SystemTime) -> Result<Option<FileText>, StoreError> {
        Ok(self.read(name)?.filter(|file| file.is_live(now)))
    }

    fn write(
        &self,
        lock: &FileLock<'_>,
        name: &str,
        record: &Record,
        ttl: Duration,
    ) -> Result<(), StoreError> {
        self.folder.write(lock, name, &text::compose(record, ttl, self.express_ttl, self.now()))
    }

    /// Writes a record if the file still holds these bytes.
    fn write_over(
        &self,
        lock: &FileLock<'_>,
        name: &str,
        present: &FileContent,
        record: &Record,
        ttl: Duration,
    ) -> Result<FileReplaced, StoreError> {
        let text = text::compose(record, ttl, self.express_ttl, self.now());
        self.folder.replace(lock, name, &present.bytes, &text)
    }

    /// Calls `work` with what a live session's file holds if that is of the expected version, and returns
    /// `done` as the version afterwards. Express takes no locks: if it writes the file in the meantime, the
    /// new content is compared again.
    ///
    /// Invariant: the caller has locked the file.
    fn compare(
        &self,
        name: &str,
        expected: &Version,
        mut work: impl FnMut(&FileContent) -> Result<FileReplaced, StoreError>,
        done: &Version,
    ) -> Result<Replaced, StoreError> {
        let mut content = self.folder.read(name)?;
        loop {
            let Some(present) = content else { return Ok(Replaced::Gone) };
            let file = self.parse(&present)?;
            let now = self.now();
            if !file.is_live(now) {
                return Ok(Replaced::Gone);
            }
            if Version::of(&file.record) != *expected {
                return Ok(Replaced::Conflict(file.into_stored(now)));
            }
            content = match work(&present)? {
                FileReplaced::Done => return Ok(Replaced::Done(done.clone())),
                FileReplaced::Gone => None,
                FileReplaced::Changed(fresh) => Some(fresh),
            };
        }
    }

    /// Removes the sessions that are unwanted, and returns their number. Each is checked twice: first without
    /// its lock, which most sessions need not take, and again with it, so that a session that was extended in
    /// between stays. A file that cannot be read as a session stays.
    fn remove_where(&self, unwanted: impl Fn(&FileText) -> bool) -> Result<u64, StoreError> {
        let mut removed = 0;
        self.folder.for_each_session_file(|name| {
            let is_unwanted = || self.read(name).is_ok_and(|file| file.is_some_and(|file| unwanted(&file)));
            if is_unwanted() {
                let lock = self.folder.lock(name)?;
                if is_unwanted() {
                    self.folder.remove(&lock, name)?;
                    removed += 1;
                }
            }
            Ok(())
        })?;
        Ok(removed)
    }
}
