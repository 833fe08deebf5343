//! What the file store asks of the operating system beyond the standard library's common part, and what takes
//! its place on systems that do not have it.
//!
//! | what | Linux | other Unix (macOS, BSD) | Windows |
//! |---|---|---|---|
//! | two files change places in one step | `renameat2` | – | – |
//! | only the owner may read | modes 0700 and 0600 | the same | what the folder above passes on |
//! | links and pipes are refused | `O_NOFOLLOW`, `O_NONBLOCK` | the same | – |
//! | a lock file that was removed is noticed | device and inode | the same | cannot be removed while it is open |
//! | others who can write to the folder are refused | owner and mode | the same | not checked |

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::Path;

/// Exchanges two existing files in one step. `None`: the system or the file system cannot do that.
#[cfg(target_os = "linux")]
pub(super) fn exchange(one: &Path, other: &Path) -> Option<io::Result<()>> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    use rustix::io::Errno;

    match renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE) {
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => None,
        done => Some(done.map_err(Into::into)),
    }
}

// macOS has `renamex_np`, which rustix offers as well. It is left out because no test here runs on macOS, and
// because an Express on the same folder is the only one that notices: the caller then renames, and other
// processes of this crate are excluded by the lock files.
#[cfg(not(target_os = "linux"))]
pub(super) fn exchange(_: &Path, _: &Path) -> Option<io::Result<()>> {
    None
}

/// Creates a folder and its parents unless they exist. On Unix only the owner can enter a new one. Windows
/// has lists of rights instead of modes, and a new folder takes over those of the folder above.
pub(super) fn make_folder(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// On Unix only the owner can read and write a file that is created with these options. On Windows it takes
/// over the rights of its folder.
pub(super) fn owner_only(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options
}

/// On Unix an open with these options fails at a symbolic link and does not wait at a pipe. This crate
/// creates neither, so somebody else has put it there. On Windows only an administrator, or a user in
/// developer mode, can make a symbolic link, and named pipes are not files in folders.
pub(super) fn refuse_links(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(options, libc::O_NOFOLLOW | libc::O_NONBLOCK);
    options
}

/// Whether an open file still stands under this path.
#[cfg(unix)]
pub(super) fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt as _;

    let open = file.metadata()?;
    Ok(fs::symlink_metadata(path).is_ok_and(|there| (there.dev(), there.ino()) == (open.dev(), open.ino())))
}

#[cfg(not(unix))]
pub(super) fn is_at(_: &File, _: &Path) -> io::Result<bool> {
    // Windows removes the name of a file only when nobody has the file open any more, so the lock files stay
    // while a store is open.
    Ok(true)
}

/// Why other users can change what stands in a folder, as a predicate of the folder. `None`: they cannot.
/// Root always can, and so can whoever may rename a folder above this one.
///
/// `ours` is a file that this process has created in the folder. Its owner is the user of this process as the
/// file system sees it, which is not the process' own number on a network share or behind a mapping of users.
#[cfg(unix)]
pub(super) fn why_shared(folder: &Path, ours: &File) -> io::Result<Option<&'static str>> {
    use std::os::unix::fs::MetadataExt as _;

    const GROUP_AND_OTHERS_WRITE: u32 = 0o022;
    let us = ours.metadata()?.uid();
    // The components leave out a slash at the end, which would have the link followed.
    let place = fs::symlink_metadata(folder.components().as_path())?;
    if place.is_symlink() && place.uid() != us && place.uid() != 0 {
        return Ok(Some("is a link of another user"));
    }
    let folder = fs::metadata(folder)?;
    Ok(if folder.uid() != us {
        Some("belongs to another user")
    } else if folder.mode() & GROUP_AND_OTHERS_WRITE != 0 {
        Some("is writable for its group or for others")
    } else {
        None
    })
}

// Who may write to a folder on Windows is said by its list of rights, which the standard library cannot read.
// `FileStore` says in its documentation that nothing is checked there.
#[cfg(not(unix))]
pub(super) fn why_shared(_: &Path, _: &File) -> io::Result<Option<&'static str>> {
    Ok(None)
}
