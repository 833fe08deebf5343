//! A small disk in the memory, which a test fills, makes read-only or takes away.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// A mounted file system, for as long as this value lives.
pub(crate) struct Disk(TempDir);

impl Disk {
    /// Mounts one with these options of `tmpfs`. `None`, and a message: this process may not mount any.
    ///
    /// # Panics
    /// When that fails although root asked for it, on Linux and with `SESSILE_REQUIRE_SERVERS`.
    pub(crate) fn mount(options: &str) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", options, "tmpfs"])
            .arg(folder.path())
            .stderr(Stdio::null())
            .status();
        if !mounted.is_ok_and(|status| status.success()) {
            let is_root = std::fs::metadata(folder.path()).unwrap().uid() == 0;
            let required = std::env::var_os("SESSILE_REQUIRE_SERVERS").is_some();
            assert!(
                !(required && is_root && cfg!(target_os = "linux")),
                "a small disk is required and cannot be mounted"
            );
            eprintln!("skipped: only root can mount a small disk, and not in every container");
            return None;
        }
        Some(Self(folder))
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// Fills the disk to its last byte, and returns the file that does so.
    pub(crate) fn fill(&self) -> PathBuf {
        use std::io::Write as _;

        let filler = self.path().join("filler");
        let mut file = std::fs::File::create(&filler).unwrap();
        for size in [4096, 1] {
            while file.write_all(&[0; 4096][..size]).is_ok() {}
        }
        filler
    }

    /// Puts a view over the disk that cannot be written to. What was opened before still can be.
    pub(crate) fn make_read_only(&self) {
        let mount = |options: &str, from: Option<&Path>| {
            Command::new("mount").args(["-o", options]).args(from).arg(self.path()).status().unwrap()
        };
        assert!(mount("bind", Some(self.path())).success());
        assert!(mount("remount,bind,ro", None).success());
    }

    /// Takes away what was mounted last.
    pub(crate) fn unmount(&self) -> bool {
        let unmount = Command::new("umount").arg("--lazy").arg(self.path()).stderr(Stdio::null()).status();
        unmount.is_ok_and(|status| status.success())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        while self.unmount() {}
    }
}
