//! The folder of a file store: reads and writes whole files, and locks them.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use tempfile::{NamedTempFile, TempPath};

use super::locks::{FileLock, LockFiles, LockNumber};
use super::name::{Case, EXTENSION};
use super::system::{exchange, make_folder, refuse_links, why_shared};
use crate::error::StoreError;

/// The subfolder of the lock files.
const LOCK_FOLDER: &str = ".locks";
/// The subfolder of the users' texts. It is there once a text was written.
pub(super) const USER_FOLDER: &str = ".users";
/// The beginning of the name of each temporary file. The number of a lock follows, see [`Folder::temporary`].
const TEMPORARY_PREFIX: &str = ".sessile-";
/// The most bytes a session's file can have, 64 MiB: 64 times the default of the option `max_record_bytes`. A
/// read ends there, so that a file without an end takes no more memory than that.
const MAX_FILE_BYTES: u64 = 64 << 20;

/// How safe a write is when its call returns.
///
/// A crash of the process alone never loses a completed write. A crash of the system or a power cut can.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// The operating system has the write. A power cut can lose it, and can leave a damaged file.
    None,
    /// The content of the file is on the disk (`fsync`). After a power cut the file holds either the whole
    /// old record or the whole new one.
    #[default]
    File,
    /// The content and the name of the file are on the disk. After a power cut the file holds the new record.
    /// On other systems than Unix this is the same as [`Durability::File`].
    Full,
}

pub(super) struct Folder {
    /// The absolute path.
    path: PathBuf,
    durability: Durability,
    /// Whether other users may write to the folder.
    shared: bool,
    locks: LockFiles,
}

/// What was read from a session's file.
pub(super) struct FileContent {
    pub(super) bytes: Vec<u8>,
    /// When the file was last written, if the system tells it.
    pub(super) modified: Option<SystemTime>,
}

/// The outcome of replacing a file that was expected to hold certain bytes.
pub(super) enum FileReplaced {
    Done,
    /// The file no longer existed. It was not created again.
    Gone,
    /// The file held something else, this. It was not replaced.
    Changed(FileContent),
}

impl Folder {
    pub(super) fn open(path: &Path, durability: Durability, shared: bool) -> Result<Self, StoreError> {
        make_folder(path).map_err(StoreError::unavailable)?;
        prepare(path, shared, false)?;
        // Kept as an absolute path, because the process may change its working directory.
        let path = path.canonicalize().map_err(StoreError::unavailable)?;
        let locks = LockFiles::open(&path.join(LOCK_FOLDER)).map_err(StoreError::unavailable)?;
        Ok(Self { path, durability, shared, locks })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Checks that the folder is there, that it is writable, and that nobody else can write to it, unless it
    /// is shared.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        prepare(&self.path, self.shared, false)
    }

    /// Creates a file and looks for it under its name in lower case. This also checks that the folder is
    /// writable.
    pub(super) fn detect_case(&self) -> Result<Case, StoreError> {
        let lock = self.lock_number(LockNumber::OPENING)?;
        let probe = temporary(&self.path, lock.number(), ".CASE").map_err(StoreError::unavailable)?;
        let name = probe.path().file_name().unwrap_or_default().to_string_lossy().to_lowercase();
        let found = self.path.join(name).try_exists().map_err(StoreError::unavailable)?;
        Ok(if found { Case::Insensitive } else { Case::Sensitive })
    }

    /// Locks a file. Waits while another thread or process has locked it.
    pub(super) fn lock(&self, name: &str) -> Result<FileLock<'_>, StoreError> {
        self.lock_number(LockNumber::of(name))
    }

    fn lock_number(&self, number: LockNumber) -> Result<FileLock<'_>, StoreError> {
        self.locks.lock(number, || prepare(&self.path, self.shared, false))
    }

    /// What a file holds, or `None` if it does not exist.
    pub(super) fn read(&self, name: &str) -> Result<Option<FileContent>, StoreError> {
        match read_file(&self.path.join(name))? {
            None if !self.path.is_dir() => Err(StoreError::unavailable(io::Error::from(ErrorKind::NotFound))),
            content => Ok(content),
        }
    }

    /// Writes a whole file, whether or not it exists.
    pub(super) fn write(&self, lock: &FileLock<'_>, name: &str, text: &str) -> Result<(), StoreError> {
        debug_assert!(lock.is_of(name), "a file is locked while it is written");
        let target = self.path.join(name);
        let staged = self.stage(lock, text)?;
        staged.persist(&target).map_err(|failed| failure(&target, failed.error))?;
        self.sync_folder(&target)
    }

    /// The same for a user's text, whose folder is created if it is missing. `name` has the folder in it.
    pub(super) fn write_for_user(
        &self,
        lock: &FileLock<'_>,
        name: &str,
        text: &str,
    ) -> Result<(), StoreError> {
        let folder = self.path.join(USER_FOLDER);
        if !folder.is_dir() {
            prepare(&self.path, self.shared, true)?;
            self.sync_folder(&folder)?;
        }
        self.write(lock, name, text)
    }

    /// Replaces a whole file if it still holds the old bytes.
    ///
    /// The check is needed although the file is locked: Express takes no locks. It can write or remove the
    /// file at any time, even while the new content is synced to the disk.
    pub(super) fn replace(
        &self,
        lock: &FileLock<'_>,
        name: &str,
        old: &[u8],
        text: &str,
    ) -> Result<FileReplaced, StoreError> {
        debug_assert!(lock.is_of(name), "a file is locked while it is replaced");
        let target = self.path.join(name);
        let staged = self.stage(lock, text)?;
        let is_old = |present: &FileContent| present.bytes == old;
        let present = match exchange(&staged, &target) {
            Some(Err(error)) if error.kind() == ErrorKind::NotFound => return Ok(FileReplaced::Gone),
            Some(Err(error)) => return Err(failure(&target, error)),
            Some(Ok(())) => {
                let present = read_file(&staged);
                if !present.as_ref().is_ok_and(|present| present.as_ref().is_some_and(is_old)) {
                    // Somebody else has put something into the session's place, so that is put back. This
                    // fails if the place is empty by now; then Express has destroyed the session, and
                    // nothing is to be put back.
                    let _ = exchange(&staged, &target);
                }
                // Invariant: the temporary file exists, because its lock is held.
                present?.ok_or_else(|| StoreError::unavailable(io::Error::from(ErrorKind::NotFound)))?
            }
            None => {
                let Some(present) = read_file(&target)? else { return Ok(FileReplaced::Gone) };
                if is_old(&present) {
                    staged.persist(&target).map_err(|failed| failure(&target, failed.error))?;
                }
                present
            }
        };
        if !is_old(&present) {
            return Ok(FileReplaced::Changed(present));
        }
        self.sync_folder(&target)?;
        Ok(FileReplaced::Done)
    }

    /// Writes a text to a temporary file and syncs it if the durability demands that.
    fn stage(&self, lock: &FileLock<'_>, text: &str) -> Result<TempPath, StoreError> {
        if text.len() as u64 > MAX_FILE_BYTES {
            return Err(StoreError::unavailable("a session file can have 64 MiB at most"));
        }
        let stage = || {
            let mut file = temporary(&self.path, lock.number(), ".tmp")?;
            file.write_all(text.as_bytes())?;
            if self.durability != Durability::None {
                file.as_file().sync_all()?;
            }
            Ok(file.into_temp_path())
        };
        stage().map_err(|error| StoreError::unavailable(without_path(error)))
    }

    /// Removes a file. A file that does not exist is not an error, but a folder that does not exist is.
    pub(super) fn remove(&self, lock: &FileLock<'_>, name: &str) -> Result<(), StoreError> {
        debug_assert!(lock.is_of(name), "a file is locked while it is removed");
        let target = self.path.join(name);
        match fs::remove_file(&target) {
            Ok(()) => self.sync_folder(&target),
            Err(error) if error.kind() == ErrorKind::NotFound && self.path.is_dir() => Ok(()),
            Err(error) => Err(failure(&target, error)),
        }
    }

    /// Syncs the name of a file to the disk if the durability demands that.
    fn sync_folder(&self, file: &Path) -> Result<(), StoreError> {
        // Windows cannot open a folder as a file, and keeps the names of files in a journal of its own.
        if self.durability == Durability::Full && cfg!(unix) {
            let sync = || File::open(file.parent().unwrap_or(&self.path))?.sync_all();
            sync().map_err(|error| StoreError::unavailable(without_path(error)))?;
        }
        Ok(())
    }

    /// Calls `work` with the name of each file that may hold a session.
    pub(super) fn for_each_session_file(
        &self,
        mut work: impl FnMut(&str) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        for entry in fs::read_dir(&self.path).map_err(StoreError::unavailable)? {
            let entry = entry.map_err(StoreError::unavailable)?;
            let name = entry.file_name();
            if let Some(name) = name.to_str().filter(|name| name.ends_with(EXTENSION)) {
                work(name)?;
            }
        }
        Ok(())
    }

    /// Removes the temporary files that killed processes left behind.
    ///
    /// Each is removed under the lock that its name tells. A process that still writes such a file holds that
    /// lock, and a killed one has lost it. So a file that was there before the lock was taken, and still is,
    /// belongs to nobody.
    pub(super) fn remove_leftovers(&self) -> Result<(), StoreError> {
        let mut found = BTreeMap::<LockNumber, Vec<PathBuf>>::new();
        for entry in fs::read_dir(&self.path).map_err(StoreError::unavailable)?.flatten() {
            if let Some(number) = entry.file_name().to_str().and_then(lock_of_temporary) {
                found.entry(number).or_default().push(entry.path());
            }
        }
        for (number, paths) in found {
            let _lock = self.lock_number(number)?;
            for path in paths {
                // This fails where the writer has finished meanwhile, which removes the file or renames it.
                let _ = fs::remove_file(path);
            }
        }
        Ok(())
    }
}

/// A new temporary file in a folder. It is removed when it is dropped.
///
/// Invariant: the lock of this number is held until the file is renamed or removed, see
/// [`Folder::remove_leftovers`].
fn temporary(folder: &Path, number: LockNumber, ending: &str) -> io::Result<NamedTempFile> {
    let prefix = format!("{TEMPORARY_PREFIX}{}-", number.text());
    tempfile::Builder::new().prefix(&prefix).suffix(ending).tempfile_in(folder)
}

/// The number of the lock under which a temporary file is written. `None` for the name of any other file.
fn lock_of_temporary(name: &str) -> Option<LockNumber> {
    let (number, _) = name.strip_prefix(TEMPORARY_PREFIX)?.split_once('-')?;
    LockNumber::from_text(number)
}

/// What a file holds, or `None` if nothing stands there. What stands there and is not a file is corrupt.
fn read_file(path: &Path) -> Result<Option<FileContent>, StoreError> {
    let file = match refuse_links(OpenOptions::new().read(true)).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failure(path, error)),
    };
    let about = file.metadata().map_err(|error| failure(path, error))?;
    if !about.is_file() {
        return Err(no_session_file());
    }
    // The length is a hint only: the files of `/proc` say zero, and a file can grow while it is read.
    let mut bytes = Vec::with_capacity(about.len().min(MAX_FILE_BYTES) as usize + 1);
    let read = file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes);
    read.map_err(|error| failure(path, error))?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(StoreError::corrupt("the session file has more than 64 MiB"));
    }
    Ok(Some(FileContent { bytes, modified: about.modified().ok() }))
}

/// Why a call failed for the file at this path: because something that is not a file stands there, such as a
/// link or a folder, or for the reason that the system gives.
fn failure(path: &Path, error: io::Error) -> StoreError {
    match fs::symlink_metadata(path) {
        Ok(about) if !about.is_file() => no_session_file(),
        _ => StoreError::unavailable(without_path(error)),
    }
}

fn no_session_file() -> StoreError {
    StoreError::corrupt("in the place of the session file stands something that is not a file")
}

/// An I/O error without the path that `tempfile` and others put into it. The path must not be logged, because
/// a file's name is a session id.
fn without_path(error: io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(code) => io::Error::from_raw_os_error(code),
        None => error.kind().into(),
    }
}

/// Creates the folder of the lock files in an existing folder, and `with_users` that of the users' texts.
/// Checks that nobody else can write to any of them, unless they are shared.
///
/// Invariant: no other folder is created. One that is gone must not come back as an empty one.
fn prepare(folder: &Path, shared: bool, with_users: bool) -> Result<(), StoreError> {
    // No lock is held, so another process may remove this file as a leftover. It serves while it is open.
    let ours = temporary(folder, LockNumber::OPENING, ".tmp").map_err(StoreError::unavailable)?;
    let check = |path: &Path| {
        if !shared && let Some(why) = why_shared(path, ours.as_file()).map_err(StoreError::unavailable)? {
            return Err(StoreError::unavailable(format!(
                "{path:?} {why}, who could plant sessions in it: name a folder that does not exist yet, or make \
                 this one your own (chown, chmod 700), or, if you trust all who can write to it, call \
                 `FileStoreBuilder::shared_folder(true)`"
            )));
        }
        Ok(())
    };
    check(folder)?;
    for (name, is_needed) in [(LOCK_FOLDER, true), (USER_FOLDER, with_users)] {
        let inside = folder.join(name);
        if is_needed || fs::symlink_metadata(&inside).is_ok() {
            make_folder(&inside).map_err(StoreError::unavailable)?;
            check(&inside)?;
        }
    }
    Ok(())
}
