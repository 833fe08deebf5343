//! [`FileStore`]: one file for each session, in session-file-store's layout.

mod folder;
mod name;
mod sessions;
mod text;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::clock::{Clock, ErasedClock};
use crate::error::StoreError;
use crate::id::SessionId;
use crate::record::Record;
use crate::store::sweeper::SweepHandle;
use crate::store::version::Version;
use crate::store::{Replaced, SessionStore, Stored};
pub use folder::Durability;
use sessions::Sessions;

/// session-file-store's `ttl`.
const DEFAULT_EXPRESS_TTL: Duration = Duration::from_secs(3600);

/// Sessions in a folder, a file each: they survive a restart, and several processes on one machine can share them, Express
/// with session-file-store among them.
///
/// The file is `<id>.json` and holds the record with session-file-store's `__lastAccess` beside it. An id that a file name
/// cannot hold, or that a file system without case could mix up with another, gets a file named by its hash. Files are
/// readable by their owner only (0600, in a folder of 0700), and written beside and renamed, so a crash leaves the old
/// record or the new one. Operations of every process that uses sessile are atomic against each other, through lock files
/// in `.locks`. Express takes no locks, so a write looks at what it replaces: what Express wrote or removed meanwhile is
/// neither overwritten nor brought back. On Linux that is one step; elsewhere a moment is left between the look and the
/// rename.
///
/// An expired session is refused at load; [`sweep_every`](Self::sweep_every) removes its file.
///
/// A clone is another handle on the same folder.
///
/// ```
/// use std::time::Duration;
/// use sessile::{FileStore, SessionConfig};
///
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("sessions");
/// # let runtime = tokio::runtime::Runtime::new()?;
/// # let _inside = runtime.enter();
/// let store = FileStore::new(path)?;
/// let sweep = store.sweep_every(Duration::from_secs(3600)); // Until this is dropped.
/// let config = SessionConfig::builder("a secret of at least 32 bytes, from the environment")
///     .store(store)
///     .build()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct FileStore(Arc<Sessions>);

impl FileStore {
    /// A store in this folder, which is made if it is not there. Default: an `fsync` of each written file.
    ///
    /// # Errors
    /// [`StoreError::unavailable`] when the path is no folder and cannot become one, or cannot be written to.
    pub fn new(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        Self::builder(path).build()
    }

    /// A store in this folder, with options.
    pub fn builder(path: impl AsRef<Path>) -> FileStoreBuilder {
        FileStoreBuilder {
            path: path.as_ref().to_owned(),
            ttl: DEFAULT_EXPRESS_TTL,
            durability: Durability::default(),
            clock: ErasedClock::default(),
        }
    }

    /// How many live sessions there are. Reads all of them.
    ///
    /// # Errors
    /// [`StoreError::unavailable`] when the folder cannot be read.
    pub async fn len(&self) -> Result<usize, StoreError> {
        self.run(Sessions::len).await
    }

    /// Whether no live session is there.
    ///
    /// # Errors
    /// [`StoreError::unavailable`] when the folder cannot be read.
    pub async fn is_empty(&self) -> Result<bool, StoreError> {
        Ok(self.len().await? == 0)
    }

    /// Removes every session. Files that are no sessions stay.
    ///
    /// # Errors
    /// [`StoreError::unavailable`] when the folder cannot be read or a file cannot be removed.
    pub async fn clear(&self) -> Result<(), StoreError> {
        self.run(Sessions::clear).await
    }

    /// Removes the files of expired sessions, and what a crash left half-written over an hour ago; returns how many
    /// sessions went.
    ///
    /// # Errors
    /// [`StoreError::unavailable`] when the folder cannot be read or a file cannot be removed.
    pub async fn sweep(&self) -> Result<u64, StoreError> {
        self.run(Sessions::sweep).await
    }

    /// Sweeps every `period` until the handle is dropped. An error is logged, and the next round comes as planned.
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    pub fn sweep_every(&self, period: Duration) -> SweepHandle {
        let store = self.clone();
        SweepHandle::start(period, move || {
            let store = store.clone();
            async move { store.sweep().await }
        })
    }

    /// Does blocking work to its end, whether or not somebody still waits for it: nothing is left half done.
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Sessions) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let sessions = Arc::clone(&self.0);
        tokio::task::spawn_blocking(move || work(&sessions)).await.map_err(StoreError::unavailable)?
    }

    async fn with_file<T: Send + 'static>(
        &self,
        id: &SessionId,
        work: impl FnOnce(&Sessions, &str) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let id = id.clone();
        self.run(move |sessions| work(sessions, &sessions.file_name(&id))).await
    }
}

impl SessionStore for FileStore {
    async fn get(&self, id: &SessionId) -> Result<Option<Stored>, StoreError> {
        self.with_file(id, Sessions::get).await
    }

    async fn set(&self, id: &SessionId, record: &Record, ttl: Duration) -> Result<(), StoreError> {
        let record = record.clone();
        self.with_file(id, move |sessions, name| sessions.set(name, &record, ttl)).await
    }

    async fn destroy(&self, id: &SessionId) -> Result<(), StoreError> {
        self.with_file(id, Sessions::destroy).await
    }

    async fn touch(&self, id: &SessionId, ttl: Duration) -> Result<bool, StoreError> {
        self.with_file(id, move |sessions, name| sessions.touch(name, ttl)).await
    }

    async fn create(&self, id: &SessionId, record: &Record, ttl: Duration) -> Result<bool, StoreError> {
        let record = record.clone();
        self.with_file(id, move |sessions, name| sessions.create(name, &record, ttl)).await
    }

    async fn replace(
        &self,
        id: &SessionId,
        expected: &Version,
        record: &Record,
        ttl: Duration,
    ) -> Result<Replaced, StoreError> {
        let (expected, record) = (expected.clone(), record.clone());
        self.with_file(id, move |sessions, name| sessions.replace(name, &expected, &record, ttl)).await
    }

    async fn destroy_if(&self, id: &SessionId, expected: &Version) -> Result<Replaced, StoreError> {
        let expected = expected.clone();
        self.with_file(id, move |sessions, name| sessions.destroy_if(name, &expected)).await
    }
}

impl fmt::Debug for FileStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileStore")
            .field("path", &self.0.path())
            .field("ttl", &self.0.express_ttl)
            .finish_non_exhaustive()
    }
}

/// Builds a [`FileStore`].
#[derive(Debug, Clone)]
#[must_use = "call `.build()`"]
pub struct FileStoreBuilder {
    path: PathBuf,
    ttl: Duration,
    durability: Durability,
    clock: ErasedClock,
}

impl FileStoreBuilder {
    /// How long Express believes a session without a max-age to live (session-file-store: `ttl`, in seconds there): give
    /// the value it has there. Where only this crate uses the folder it changes nothing. Default: 1 hour.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = ttl;
        self
    }

    /// How far a write has gone when a session call returns. Default: [`Durability::File`].
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// Tells the store the time. Default: [`SystemClock`](crate::SystemClock). A test gives the configuration the same
    /// clock; see `testing::TestClock`.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = ErasedClock::new(clock);
        self
    }

    /// Makes the folder if it is not there, and tries it out.
    ///
    /// # Errors
    /// [`StoreError::unavailable`] when the path is no folder and cannot become one, or cannot be written to.
    pub fn build(self) -> Result<FileStore, StoreError> {
        Ok(FileStore(Arc::new(Sessions::open(&self.path, self.durability, self.ttl, self.clock)?)))
    }
}
