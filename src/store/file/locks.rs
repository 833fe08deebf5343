//! The lock files of a folder, which exclude the other threads and processes that write the same session.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};

use super::system::{is_at, owner_only, refuse_links};
use crate::error::StoreError;
use crate::sync::lock;

/// The number of lock files: at most this many sessions are written at the same time.
///
/// Invariant: all processes that share a folder compute the same lock for a session. So this number, the
/// names of the lock files and [`LockNumber::of`] are the same in every version of this crate.
const LOCK_FILES: usize = 64;

/// Which of the lock files: below [`LOCK_FILES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct LockNumber(usize);

impl LockNumber {
    /// The lock of a file: FNV-1a over its name. The hash is written out here because it has to be the same
    /// in every process and version.
    pub(super) fn of(name: &str) -> Self {
        let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        Self((hash % LOCK_FILES as u64) as usize)
    }

    /// The lock of the files that are written while a store is opened.
    pub(super) const OPENING: Self = Self(0);

    /// The number as it stands in file names.
    pub(super) fn text(self) -> String {
        format!("{:02x}", self.0)
    }

    /// The number that stands in a file name.
    pub(super) fn from_text(text: &str) -> Option<Self> {
        let number = Self(usize::from_str_radix(text, 16).ok()?);
        (number.0 < LOCK_FILES && number.text() == text).then_some(number)
    }
}

/// The lock files of one folder, all of them open.
pub(super) struct LockFiles(Vec<LockFile>);

struct LockFile {
    path: PathBuf,
    /// A lock on a file excludes other processes only, so the mutex around the file excludes the other
    /// threads of this process.
    file: Mutex<File>,
}

/// A lock, exclusive among all threads and processes, until it is dropped. Sessions can share a lock.
pub(super) struct FileLock<'l> {
    file: MutexGuard<'l, File>,
    number: LockNumber,
}

impl LockFiles {
    /// Opens the lock files in an existing folder, and creates those that are missing.
    pub(super) fn open(folder: &Path) -> io::Result<Self> {
        let open = |number: usize| {
            let path = folder.join(LockNumber(number).text());
            Ok(LockFile { file: Mutex::new(open_lock_file(&path)?), path })
        };
        let files = (0..LOCK_FILES).map(open).collect::<io::Result<Vec<_>>>()?;
        debug_assert_eq!(files.len(), LOCK_FILES);
        Ok(Self(files))
    }

    /// Takes a lock. Waits while another thread or process has taken it.
    ///
    /// When somebody has removed the lock files, `restore` creates their folder again, and the lock is taken
    /// on a new file: a removed one would exclude no process that opens the folder later.
    pub(super) fn lock(
        &self,
        number: LockNumber,
        restore: impl Fn() -> Result<(), StoreError>,
    ) -> Result<FileLock<'_>, StoreError> {
        let LockFile { path, file } = &self.0[number.0];
        let mut file = lock(file);
        loop {
            file.lock().map_err(StoreError::unavailable)?;
            if is_at(&file, path).map_err(StoreError::unavailable)? {
                return Ok(FileLock { file, number });
            }
            restore()?;
            *file = open_lock_file(path).map_err(StoreError::unavailable)?;
        }
    }
}

impl FileLock<'_> {
    pub(super) fn number(&self) -> LockNumber {
        self.number
    }

    /// Whether this is the lock of a file.
    pub(super) fn is_of(&self, name: &str) -> bool {
        self.number == LockNumber::of(name)
    }
}

impl Drop for FileLock<'_> {
    fn drop(&mut self) {
        // If this fails, the lock lasts until the file is closed with the store. Nothing else can be done.
        let _ = self.file.unlock();
    }
}

fn open_lock_file(path: &Path) -> io::Result<File> {
    refuse_links(owner_only(OpenOptions::new().create(true).truncate(false).write(true))).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Processes of different versions of this crate share a folder.
    #[test]
    fn the_lock_of_a_file_never_changes() {
        for (name, number) in [("", 0x25), ("a.json", 0x00), ("apple.json", 0x31)] {
            assert_eq!(LockNumber::of(name).text(), format!("{number:02x}"), "{name}");
        }
    }

    #[test]
    fn a_number_is_read_as_it_is_written() {
        for number in (0..LOCK_FILES).map(LockNumber) {
            assert_eq!(LockNumber::from_text(&number.text()), Some(number));
        }
        for text in ["", "0", "40", "3F", "+1", "001", "zz"] {
            assert_eq!(LockNumber::from_text(text), None, "{text}");
        }
    }
}
