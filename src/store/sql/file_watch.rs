//! [`FileWatch`]: notices that the file of a database is another one by now.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use sqlx::sqlite::SqlitePoolOptions;

use crate::clock::monotonic;
use crate::sync::lock;

/// Looks at a database's file before each use of a connection that is open.
///
/// A connection keeps the file that it has opened. When that file is removed, or another one is put in its
/// place, the connection would go on reading and writing what nobody else will ever find. A connection that
/// was opened on a read-only disk would refuse to write when the disk is well again.
pub(super) struct FileWatch {
    path: PathBuf,
    /// Before any connection was opened.
    began: Instant,
    /// `None` until the first connection is open.
    last: Mutex<Option<Look>>,
}

/// What stood under the path, and since when.
#[derive(Clone, Copy)]
struct Look {
    /// `None`: nothing. That is how a database in memory looks, too.
    there: Option<There>,
    /// A connection that was opened before may have opened something else.
    since: Instant,
}

/// What tells two files apart.
#[derive(Clone, Copy, PartialEq, Eq)]
struct There {
    device: u64,
    inode: u64,
    writable: bool,
}

impl FileWatch {
    /// Has a new pool close the connections to a file that is no longer the one under this path.
    pub(super) fn over(pool: SqlitePoolOptions, path: PathBuf) -> SqlitePoolOptions {
        let watch = Arc::new(Self { path, began: monotonic(), last: Mutex::new(None) });
        let opened = Arc::clone(&watch);
        pool.after_connect(move |_, _| {
            opened.begin();
            Box::pin(async { Ok(()) })
        })
        .before_acquire(move |_, connection| {
            let serves = watch.serves(connection.age);
            Box::pin(async move { Ok(serves) })
        })
    }

    fn begin(&self) {
        lock(&self.last).get_or_insert_with(|| Look { there: self.look(), since: self.began });
    }

    /// Whether a connection of this age has the file that is there now.
    fn serves(&self, age: Duration) -> bool {
        // Two system calls of a microsecond each. To make them on another thread would take longer.
        let there = self.look();
        let now = monotonic();
        let mut last = lock(&self.last);
        let since = match *last {
            Some(last) if last.there == there => last.since,
            _ => now,
        };
        *last = Some(Look { there, since });
        age <= now.saturating_duration_since(since)
    }

    #[cfg(unix)]
    fn look(&self) -> Option<There> {
        use std::os::unix::fs::MetadataExt as _;

        use rustix::fs::{Access, access};

        let file = std::fs::metadata(&self.path).ok()?;
        let writable = access(&self.path, Access::WRITE_OK).is_ok();
        Some(There { device: file.dev(), inode: file.ino(), writable })
    }

    /// Other systems let nobody remove or replace a file that is open.
    #[cfg(not(unix))]
    fn look(&self) -> Option<There> {
        None
    }
}
