//! The folder of a file store: reads and writes whole files, and locks them.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

use tempfile::{NamedTempFile, TempPath};

use super::name::{Case, EXTENSION};
use crate::error::StoreError;
use crate::sync::lock;

/// The subfolder of the lock files.
const LOCK_FOLDER: &str = ".locks";
/// The number of lock files: at most this many sessions are written at the same time.
///
/// Invariant: all processes that share a folder compute the same lock file for a session. So this number, the
/// names of the lock files and [`lock_index`] are the same in every version of this crate.
const LOCK_FILES: usize = 64;
/// The beginning of the name of each temporary file, by which a sweep recognises it.
const TEMPORARY_PREFIX: &str = ".sessile-";
/// A temporary file older than this was left behind by a crash: a write takes far less time.
const LEFTOVER_AGE: Duration = Duration::from_secs(3600);

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
    /// The lock files. A lock on a file excludes other processes only, so a mutex around the file excludes
    /// the other threads of this process.
    ///
    /// Invariant: there are [`LOCK_FILES`].
    locks: Vec<Mutex<File>>,
}

/// The lock of a session's file, exclusive among all threads and processes, until it is dropped. Sessions can
/// share a lock.
pub(super) struct FileLock<'d> {
    file: MutexGuard<'d, File>,
}

/// The outcome of replacing a file that was expected to hold certain bytes.
pub(super) enum FileReplaced {
    Done,
    /// The file no longer existed. It was not created again.
    Gone,
    /// The file held these other bytes. It was not replaced.
    Changed(Vec<u8>),
}

impl Drop for FileLock<'_> {
    fn drop(&mut self) {
        // If this fails, the lock lasts until the file is closed with the store. Nothing else can be done.
        let _ = self.file.unlock();
    }
}

impl Folder {
    pub(super) fn open(path: &Path, durability: Durability) -> Result<Self, StoreError> {
        let open = || {
            make_folder(path)?;
            // Kept as an absolute path, because the process may change its working directory.
            let path = path.canonicalize()?;
            let locks = path.join(LOCK_FOLDER);
            make_folder(&locks)?;
            let lock_file = |n| {
                owner_only(OpenOptions::new().create(true).truncate(false).write(true))
                    .open(locks.join(format!("{n:02x}")))
            };
            let locks =
                (0..LOCK_FILES).map(|n| lock_file(n).map(Mutex::new)).collect::<io::Result<Vec<_>>>()?;
            debug_assert_eq!(locks.len(), LOCK_FILES);
            Ok(Self { path, durability, locks })
        };
        open().map_err(|error: io::Error| StoreError::unavailable(error))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Creates a file and looks for it under its name in lower case. This also checks that the folder is
    /// writable.
    pub(super) fn detect_case(&self) -> Result<Case, StoreError> {
        let probe = self.temporary(".CASE").map_err(StoreError::unavailable)?;
        let name = probe.path().file_name().unwrap_or_default().to_string_lossy().to_lowercase();
        let found = self.path.join(name).try_exists().map_err(StoreError::unavailable)?;
        Ok(if found { Case::Insensitive } else { Case::Sensitive })
    }

    /// A new temporary file in the folder. It is removed when it is dropped.
    fn temporary(&self, ending: &str) -> io::Result<NamedTempFile> {
        tempfile::Builder::new().prefix(TEMPORARY_PREFIX).suffix(ending).tempfile_in(&self.path)
    }

    /// Locks a file. Waits while another thread or process has locked it.
    pub(super) fn lock(&self, name: &str) -> Result<FileLock<'_>, StoreError> {
        let file = lock(&self.locks[lock_index(name)]);
        file.lock().map_err(StoreError::unavailable)?;
        Ok(FileLock { file })
    }

    /// Whether a thread of this process has locked the file.
    fn is_locked(&self, name: &str) -> bool {
        self.locks[lock_index(name)].try_lock().is_err()
    }

    /// The bytes of a file, or `None` if it does not exist.
    pub(super) fn read(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let mut bytes = Vec::new();
        let opened = refuse_links(OpenOptions::new().read(true)).open(self.path.join(name));
        match opened.and_then(|mut file| file.read_to_end(&mut bytes)) {
            Ok(_) => Ok(Some(bytes)),
            Err(error) if error.kind() == ErrorKind::NotFound && self.path.is_dir() => Ok(None),
            Err(error) => Err(StoreError::unavailable(without_path(error))),
        }
    }

    /// Writes a whole file, whether or not it exists.
    ///
    /// Invariant: the caller has locked the file.
    pub(super) fn write(&self, name: &str, text: &str) -> Result<(), StoreError> {
        debug_assert!(self.is_locked(name), "a file is locked while it is written");
        let write = || {
            let staged = self.stage(text)?;
            staged.persist(self.path.join(name)).map_err(|failed| failed.error)?;
            self.sync_folder()
        };
        write().map_err(|error| StoreError::unavailable(without_path(error)))
    }

    /// Replaces a whole file if it still holds the old bytes.
    ///
    /// The check is needed although the file is locked: Express takes no locks. It can write or remove the
    /// file at any time, even while the new content is synced to the disk.
    ///
    /// Invariant: the caller has locked the file.
    pub(super) fn replace(&self, name: &str, old: &[u8], text: &str) -> Result<FileReplaced, StoreError> {
        debug_assert!(self.is_locked(name), "a file is locked while it is replaced");
        let target = self.path.join(name);
        let replace = || {
            let staged = self.stage(text)?;
            let present = match exchange(&staged, &target) {
                Some(Err(error)) if error.kind() == ErrorKind::NotFound => return Ok(FileReplaced::Gone),
                Some(exchanged) => {
                    exchanged?;
                    let present = fs::read(&staged)?;
                    if present != old {
                        // Express has written the file, so its text is put back. That fails if the file does
                        // not exist any more; then Express has destroyed the session, and nothing is to be
                        // put back.
                        let _ = exchange(&staged, &target);
                    }
                    present
                }
                None => match fs::read(&target) {
                    Ok(present) if present == old => {
                        staged.persist(&target).map_err(|failed| failed.error)?;
                        present
                    }
                    Ok(present) => present,
                    Err(error) if error.kind() == ErrorKind::NotFound => return Ok(FileReplaced::Gone),
                    Err(error) => return Err(error),
                },
            };
            if present != old {
                return Ok(FileReplaced::Changed(present));
            }
            self.sync_folder()?;
            Ok(FileReplaced::Done)
        };
        replace().map_err(|error| StoreError::unavailable(without_path(error)))
    }

    /// Writes a text to a temporary file and syncs it if the durability demands that.
    fn stage(&self, text: &str) -> io::Result<TempPath> {
        let mut file = self.temporary(".tmp")?;
        file.write_all(text.as_bytes())?;
        if self.durability != Durability::None {
            file.as_file().sync_all()?;
        }
        Ok(file.into_temp_path())
    }

    /// Removes a file. A file that does not exist is not an error, but a folder that does not exist is.
    ///
    /// Invariant: the caller has locked the file.
    pub(super) fn remove(&self, name: &str) -> Result<(), StoreError> {
        debug_assert!(self.is_locked(name), "a file is locked while it is removed");
        match fs::remove_file(self.path.join(name)).and_then(|()| self.sync_folder()) {
            Err(error) if error.kind() == ErrorKind::NotFound && self.path.is_dir() => Ok(()),
            done => done.map_err(|error| StoreError::unavailable(without_path(error))),
        }
    }

    /// Syncs the names of the files to the disk if the durability demands that.
    fn sync_folder(&self) -> io::Result<()> {
        // Windows cannot sync a folder.
        if self.durability == Durability::Full && cfg!(unix) {
            File::open(&self.path)?.sync_all()
        } else {
            Ok(())
        }
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

    /// Removes the temporary files that a crash left behind.
    pub(super) fn remove_leftovers(&self, now: SystemTime) -> Result<(), StoreError> {
        for entry in fs::read_dir(&self.path).map_err(StoreError::unavailable)?.flatten() {
            let is_temporary =
                entry.file_name().to_str().is_some_and(|name| name.starts_with(TEMPORARY_PREFIX));
            let age = || {
                entry
                    .metadata()
                    .and_then(|data| data.modified())
                    .ok()
                    .and_then(|at| now.duration_since(at).ok())
            };
            if is_temporary && age().is_some_and(|age| age > LEFTOVER_AGE) {
                // This fails if another process has removed the file already.
                let _ = fs::remove_file(entry.path());
            }
        }
        Ok(())
    }
}

/// The index of a file's lock: FNV-1a over its name. The hash is written out here because it has to be the
/// same in every process and version.
fn lock_index(name: &str) -> usize {
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    (hash % LOCK_FILES as u64) as usize
}

/// An I/O error without the path that `tempfile` and others put into it. The path must not be logged, because
/// a file's name is a session id.
fn without_path(error: io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(code) => io::Error::from_raw_os_error(code),
        None => error.kind().into(),
    }
}

/// Exchanges two existing files in one step. `None`: the system or the file system cannot do that.
#[cfg(target_os = "linux")]
fn exchange(one: &Path, other: &Path) -> Option<io::Result<()>> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    use rustix::io::Errno;

    match renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE) {
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => None,
        done => Some(done.map_err(Into::into)),
    }
}

#[cfg(not(target_os = "linux"))]
fn exchange(_: &Path, _: &Path) -> Option<io::Result<()>> {
    None
}

/// Creates a folder and its parents unless they exist. On Unix only the owner can enter a new one.
fn make_folder(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// On Unix only the owner can read and write a file that is created with these options.
fn owner_only(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options
}

/// On Unix an open with these options fails at a symbolic link and does not wait at a pipe. This crate
/// creates neither, so somebody else has put it in the place of a session.
fn refuse_links(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(options, libc::O_NOFOLLOW | libc::O_NONBLOCK);
    options
}
