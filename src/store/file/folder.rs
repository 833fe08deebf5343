//! The folder: whole files in and out, and the locks.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

use tempfile::{NamedTempFile, TempPath};

use super::name::{Case, EXTENSION};
use crate::error::StoreError;
use crate::sync::lock;

/// Where the lock files are, beside the sessions.
const LOCK_FOLDER: &str = ".locks";
/// So many sessions can be written at the same time.
const LOCK_FILES: usize = 64;
/// What temporary files begin with, so that a sweep knows them.
const TEMPORARY_PREFIX: &str = ".sessile-";
/// A temporary file this old was left by a crash.
const LEFTOVER_AGE: Duration = Duration::from_secs(3600);

/// How far a write has gone when a session call returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// To the operating system: survives the process, not a power cut.
    None,
    /// The file to the disk (`fsync`): after a power cut a file is whole, the old one or the new one.
    #[default]
    File,
    /// The file and its name to the disk: after a power cut it is the new one.
    Full,
}

pub(super) struct Folder {
    path: PathBuf,
    durability: Durability,
    /// A file lock is the process' own; within it, a mutex around the file.
    locks: Vec<Mutex<File>>,
}

/// A lane of the folder, held against this process and the others.
pub(super) struct FileLock<'d> {
    file: MutexGuard<'d, File>,
}

/// What became of a file that was to be replaced.
pub(super) enum FileReplaced {
    Done,
    /// It was gone, and still is.
    Gone,
    /// It holds this, and was left alone.
    Changed(Vec<u8>),
}

impl Drop for FileLock<'_> {
    fn drop(&mut self) {
        // Closing the file would let go as well; a failure here has no other cure.
        let _ = self.file.unlock();
    }
}

impl Folder {
    pub(super) fn open(path: &Path, durability: Durability) -> Result<Self, StoreError> {
        let open = || {
            make_folder(path)?;
            // Held on to as an absolute path: the process may change its working directory.
            let path = path.canonicalize()?;
            let locks = path.join(LOCK_FOLDER);
            make_folder(&locks)?;
            let lock_file = |n| {
                owner_only(OpenOptions::new().create(true).truncate(false).write(true))
                    .open(locks.join(format!("{n:02x}")))
            };
            let locks = (0..LOCK_FILES).map(|n| lock_file(n).map(Mutex::new)).collect::<io::Result<_>>()?;
            Ok(Self { path, durability, locks })
        };
        open().map_err(|error: io::Error| StoreError::unavailable(error))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes a file and looks for it under a name in other letters. Also the proof that the folder can be written to.
    pub(super) fn detect_case(&self) -> Result<Case, StoreError> {
        let probe = self.temporary(".CASE").map_err(StoreError::unavailable)?;
        let name = probe.path().file_name().unwrap_or_default().to_string_lossy().to_lowercase();
        let found = self.path.join(name).try_exists().map_err(StoreError::unavailable)?;
        Ok(if found { Case::Insensitive } else { Case::Sensitive })
    }

    fn temporary(&self, ending: &str) -> io::Result<NamedTempFile> {
        tempfile::Builder::new().prefix(TEMPORARY_PREFIX).suffix(ending).tempfile_in(&self.path)
    }

    /// Keeps every other writer of this file out, those of other processes too.
    pub(super) fn lock(&self, name: &str) -> Result<FileLock<'_>, StoreError> {
        let file = lock(&self.locks[lock_index(name)]);
        file.lock().map_err(StoreError::unavailable)?;
        Ok(FileLock { file })
    }

    /// A file's bytes; `None` when there is none.
    pub(super) fn read(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let mut bytes = Vec::new();
        let opened = refuse_links(OpenOptions::new().read(true)).open(self.path.join(name));
        match opened.and_then(|mut file| file.read_to_end(&mut bytes)) {
            Ok(_) => Ok(Some(bytes)),
            Err(error) if error.kind() == ErrorKind::NotFound && self.path.is_dir() => Ok(None),
            Err(error) => Err(StoreError::unavailable(without_path(error))),
        }
    }

    /// Puts a whole file in the place of what is there, if anything.
    pub(super) fn write(&self, name: &str, text: &str) -> Result<(), StoreError> {
        let write = || {
            let staged = self.stage(text)?;
            staged.persist(self.path.join(name)).map_err(|failed| failed.error)?;
            self.sync_folder()
        };
        write().map_err(|error| StoreError::unavailable(without_path(error)))
    }

    /// Puts a whole file in the place of one that holds these bytes.
    ///
    /// The lock keeps our own writers out. Express takes none: it may write or remove the file at any time, the while
    /// included that the new one takes to reach the disk.
    pub(super) fn replace(&self, name: &str, old: &[u8], text: &str) -> Result<FileReplaced, StoreError> {
        let target = self.path.join(name);
        let replace = || {
            let staged = self.stage(text)?;
            let present = match exchange(&staged, &target) {
                Some(Err(error)) if error.kind() == ErrorKind::NotFound => return Ok(FileReplaced::Gone),
                Some(exchanged) => {
                    exchanged?;
                    let present = fs::read(&staged)?;
                    if present != old {
                        // Not ours to replace: it goes back. Where nothing is there any more, it was ended meanwhile.
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

    /// A file beside the sessions with this text, as durable as asked for.
    fn stage(&self, text: &str) -> io::Result<TempPath> {
        let mut file = self.temporary(".tmp")?;
        file.write_all(text.as_bytes())?;
        if self.durability != Durability::None {
            file.as_file().sync_all()?;
        }
        Ok(file.into_temp_path())
    }

    /// Removes a file; that there is none is no error.
    pub(super) fn remove(&self, name: &str) -> Result<(), StoreError> {
        match fs::remove_file(self.path.join(name)).and_then(|()| self.sync_folder()) {
            Err(error) if error.kind() == ErrorKind::NotFound && self.path.is_dir() => Ok(()),
            done => done.map_err(|error| StoreError::unavailable(without_path(error))),
        }
    }

    fn sync_folder(&self) -> io::Result<()> {
        // Windows has no such call for a folder.
        if self.durability == Durability::Full && cfg!(unix) {
            File::open(&self.path)?.sync_all()
        } else {
            Ok(())
        }
    }

    /// Calls `work` with the name of each file that may be a session's.
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

    /// Removes temporary files that a crash left.
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
                // It may be gone already.
                let _ = fs::remove_file(entry.path());
            }
        }
        Ok(())
    }
}

/// The same in every process: FNV-1a over the name.
fn lock_index(name: &str) -> usize {
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    (hash % LOCK_FILES as u64) as usize
}

/// An I/O error without the path that `tempfile` and others put into it: a file's name is a session id.
fn without_path(error: io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(code) => io::Error::from_raw_os_error(code),
        None => error.kind().into(),
    }
}

/// Lets two files that are there change places, in one step; `None` where the system has no such call.
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

fn make_folder(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// For the owner only.
fn owner_only(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options
}

/// A link in a session's place was put there by somebody else. And a pipe would wait for a writer.
fn refuse_links(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(options, libc::O_NOFOLLOW | libc::O_NONBLOCK);
    options
}
