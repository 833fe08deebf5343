//! Reads a session's file on the spot, where the system has it in memory.
//!
//! A thread for blocking work costs a read more than the read itself. Linux can be told to open and to read
//! only what needs no disk. Where it would have to wait, and wherever something is unusual, the answer is
//! `None`: the file is then read on such a thread, which also finds out what is wrong.

use std::path::Path;

use super::folder::FileContent;

/// The most bytes of a file that is read on the spot. To parse more takes as long as asking a thread.
#[cfg(target_os = "linux")]
const MAX_BYTES: u64 = 64 << 10;

/// The file systems that never ask another machine or program, by the numbers that the kernel gives them. On a
/// network share or with FUSE, opening a file waits whatever is in memory.
#[cfg(target_os = "linux")]
const LOCAL: [(u32, &str); 6] = [
    (0xef53, "ext2, ext3, ext4"),
    (0x5846_5342, "XFS"),
    (0x9123_683e, "Btrfs"),
    (0xf2f5_2010, "F2FS"),
    (0x0102_1994, "tmpfs"),
    (0x794c_7630, "overlayfs"),
];

/// Whether files in this folder can be read on the spot.
#[cfg(target_os = "linux")]
pub(super) fn is_local(folder: &Path) -> bool {
    // The type of the number is not the same on all architectures.
    let kind = rustix::fs::statfs(folder).map(|about| about.f_type as u32);
    kind.is_ok_and(|kind| LOCAL.iter().any(|(local, _)| *local == kind))
}

/// What a file holds, if the system has all of it in memory. Nothing else than what
/// [`Folder::read`](super::folder::Folder::read) returns is returned: no link is followed, and what is not a
/// file is not read.
#[cfg(target_os = "linux")]
pub(super) fn read(path: &Path) -> Option<FileContent> {
    use std::fs::File;
    use std::io::IoSliceMut;

    use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat2};
    use rustix::io::{ReadWriteFlags, preadv2};

    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = File::from(openat2(CWD, path, flags, Mode::empty(), ResolveFlags::CACHED).ok()?);
    let about = file.metadata().ok().filter(|about| about.is_file() && about.len() <= MAX_BYTES)?;
    let length = about.len() as usize;
    // The byte more would show that the file has grown.
    let mut bytes = vec![0; length + 1];
    let read = preadv2(&file, &mut [IoSliceMut::new(&mut bytes)], 0, ReadWriteFlags::NOWAIT).ok()?;
    if read != length || length == 0 {
        return None;
    }
    bytes.truncate(length);
    Some(FileContent { bytes, modified: about.modified().ok() })
}

#[cfg(not(target_os = "linux"))]
pub(super) fn is_local(_: &Path) -> bool {
    false
}

#[cfg(not(target_os = "linux"))]
pub(super) fn read(_: &Path) -> Option<FileContent> {
    None
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;

    #[test]
    fn only_a_file_that_is_in_memory_is_read() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        if !is_local(folder.path()) {
            eprintln!("skipped: temporary files are on another file system than those of this test");
            return;
        }
        let file = folder.path().join("file");
        fs::write(&file, "text").expect("a file");
        let content = read(&file).expect("it was written just now");
        assert_eq!(content.bytes, b"text");
        assert!(content.modified.is_some());
        let limit = MAX_BYTES as usize;
        for (length, is_read) in [(limit, true), (limit + 1, false), (0, false)] {
            fs::write(&file, "x".repeat(length)).expect("a file");
            assert_eq!(read(&file).is_some(), is_read, "{length} bytes");
        }
        fs::write(&file, "text").expect("a file");
        let link = folder.path().join("link");
        symlink(&file, &link).expect("a link");
        let pipe = folder.path().join("pipe");
        mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("a pipe");
        for other in [&link, &pipe, folder.path(), &folder.path().join("missing")] {
            assert!(read(other).is_none(), "{other:?}");
        }
        assert!(!is_local(Path::new("/proc")) && !is_local(Path::new("/missing")));
    }
}
