//! [`FileStore`]: one file for each session, in session-file-store's layout.

mod cached;
pub(crate) mod folder;
mod locks;
mod name;
mod sessions;
mod system;
mod text;
mod users;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, BoxStream, StreamExt as _, TryStreamExt as _};

use crate::clock::{Clock, ErasedClock};
use crate::error::StoreError;
use crate::id::SessionId;
use crate::record::Record;
use crate::store::sweeper::SweepHandle;
use crate::store::users::UserIndex;
use crate::store::version::Version;
use crate::store::{Replaced, SessionStore, Stored};
use folder::Durability;
use sessions::Sessions;

/// The default of session-file-store 1.5.0's option `ttl`.
const DEFAULT_EXPRESS_TTL: Duration = Duration::from_secs(3600);

/// Keeps each session in a file of its own, all in one folder, in the layout of Express' session-file-store.
///
/// The sessions survive a restart. Several processes on one machine can share the folder, among them Express
/// with session-file-store. A clone is another handle on the same folder.
///
/// A session's file is `<id>.json`; it holds the record and session-file-store's `__lastAccess`. If the id
/// cannot be a file name, or if a file system that ignores case could confuse it with another id, the file is
/// named by the id's hash. Each write goes to a temporary file, which is then renamed, so a crash leaves
/// either the old record or the new one.
///
/// An expired session is absent at once. [`sweep_every`](Self::sweep_every) removes its file. A session whose
/// file has no `__lastAccess` ages from the time at which the file was written; in session-file-store such a
/// session never expires.
///
/// What stands in the place of a session's file and is no session is
/// [corrupt](StoreError::corrupt) and stays, until `set` or `destroy` is called for that id: text of another
/// kind, a file of more than 64 MiB, and on Unix also a link, a pipe, a socket or a folder.
///
/// Which sessions a user has stands in the subfolder `.users`, in a file for each user, apart from the
/// sessions and as private as they are. It is created when the first user logs in with a limit or a list of
/// sessions ([`UserIndex`]). Express and [`clear`](Self::clear) leave it as it is.
///
/// All work is done on threads for blocking work, except that on Linux a session of up to 64 KiB is read on the
/// spot if the system has its file in memory and the folder is on a disk of the machine.
///
/// # Who can write to the folder
/// Whoever can write to the folder can log in as anybody. On Unix the store creates it with mode 0700 and its
/// files with mode 0600, for its own user alone. A folder that is there already must belong to that user, and
/// neither its group nor others may write to it, unless [`shared_folder`](FileStoreBuilder::shared_folder)
/// says that they are trusted. The folders above it are not checked. On other systems nothing is checked:
/// there, the folder has the permissions that it inherits.
///
/// # Sharing the folder with Express
/// Lock files in `.locks` make every operation atomic among the processes that use this crate. Express takes
/// no locks. Therefore a write to an existing session checks what it replaces: a record that Express wrote in
/// the meantime is not overwritten, and a session that Express removed in the meantime is not restored. On
/// Linux the two files change places in one step before the check, so no write of Express is lost. On other
/// systems Express can write between the check and the renaming, and then that write is lost.
///
/// # Example
/// ```
/// use std::time::Duration;
/// use sessile::{FileStore, SessionConfig};
///
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("sessions");
/// # let runtime = tokio::runtime::Runtime::new()?;
/// # let _inside = runtime.enter();
/// let store = FileStore::new(path)?;
/// let sweep = store.sweep_every(Duration::from_secs(3600)); // Sweeps until it is dropped.
/// let config = SessionConfig::builder("a secret of at least 32 bytes, from the environment")
///     .store(store)
///     .build()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct FileStore(Arc<Sessions>);

impl FileStore {
    /// A store in this folder, which is created if it does not exist. Each written file is synced to the disk
    /// ([`Durability::File`]).
    ///
    /// # Errors
    /// Those of [`FileStoreBuilder::build`].
    pub fn new(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        Self::builder(path).build()
    }

    /// A builder for a store in this folder, with options.
    pub fn builder(path: impl AsRef<Path>) -> FileStoreBuilder {
        FileStoreBuilder {
            path: path.as_ref().to_owned(),
            ttl: DEFAULT_EXPRESS_TTL,
            durability: Durability::default(),
            shared: false,
            clock: ErasedClock::default(),
        }
    }

    /// The number of live sessions. The call reads all files.
    ///
    /// # Errors
    /// [`StoreError::unavailable`] when the folder cannot be read.
    pub async fn len(&self) -> Result<usize, StoreError> {
        self.run(Sessions::len).await
    }

    /// Whether the folder holds no live session. The call reads all files.
    ///
    /// # Errors
    /// [`StoreError::unavailable`] when the folder cannot be read.
    pub async fn is_empty(&self) -> Result<bool, StoreError> {
        Ok(self.len().await? == 0)
    }

    /// Removes every session. Files that do not hold a session stay.
    ///
    /// # Errors
    /// [`StoreError::unavailable`] when the folder cannot be read or a file cannot be removed.
    pub async fn clear(&self) -> Result<(), StoreError> {
        self.run(Sessions::clear).await
    }

    /// Removes the files of expired sessions, and the temporary files that killed processes left behind.
    /// Returns the number of removed sessions.
    ///
    /// # Errors
    /// [`StoreError::unavailable`] when the folder cannot be read or a file cannot be removed.
    pub async fn sweep(&self) -> Result<u64, StoreError> {
        self.run(Sessions::sweep).await
    }

    /// Calls [`sweep`](Self::sweep) every `period` until the handle is dropped. An error is logged, and the
    /// next round is run as planned.
    ///
    /// # Panics
    /// The call panics outside of a Tokio runtime.
    pub fn sweep_every(&self, period: Duration) -> SweepHandle {
        let store = self.clone();
        SweepHandle::start(period, move || {
            let store = store.clone();
            async move { store.sweep().await }
        })
    }

    /// Runs blocking work on a thread for such work. The work is completed even if the caller stops waiting
    /// for it, so that no operation is left half done.
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Sessions) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let sessions = Arc::clone(&self.0);
        tokio::task::spawn_blocking(move || work(&sessions)).await.map_err(StoreError::unavailable)?
    }

    /// Runs blocking work on the file of one session.
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
        match self.0.get_cached(&self.0.file_name(id)) {
            Some(answer) => answer,
            None => self.with_file(id, Sessions::get).await,
        }
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

    /// Checks what [`FileStoreBuilder::build`] checks: that the folder is there, that a file can be created
    /// in it, and that nobody else can write to it, unless that is allowed.
    async fn check(&self) -> Result<(), StoreError> {
        self.run(Sessions::check).await
    }

    async fn get_many(&self, ids: &[SessionId]) -> Result<Vec<Option<Stored>>, StoreError> {
        let ids = ids.to_vec();
        self.run(move |sessions| sessions.get_many(&ids)).await
    }

    fn users(&self) -> Option<&dyn UserIndex> {
        Some(self)
    }

    /// Those of the files whose name is the id.
    fn ids(&self) -> Option<BoxStream<'_, Result<SessionId, StoreError>>> {
        let listing = async move { self.run(Sessions::ids).await.map(|ids| stream::iter(ids).map(Ok)) };
        Some(stream::once(listing).try_flatten().boxed())
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
    shared: bool,
    clock: ErasedClock,
}

impl FileStoreBuilder {
    /// The time after which Express regards a session without a max-age as expired. Default: 1 hour.
    ///
    /// This is session-file-store's option `ttl`, which is in seconds there. Set it if Express shares the
    /// folder and sets `ttl`; both must have the same value. If only this crate uses the folder, the option
    /// changes nothing.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = ttl;
        self
    }

    /// How safe a write is when its call returns. Default: [`Durability::File`].
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// Accepts a folder that belongs to another user, or that its group or others can write to. Default:
    /// `false`, and [`build`](Self::build) refuses such a folder.
    ///
    /// **Everybody who can write there can log in as anybody**, by writing a session of their own. Say `true`
    /// if you trust them, or if the folder stands on a file system that shows one owner and one mode for
    /// everything. The option changes no modes: the store's own files stay readable for its own user alone.
    ///
    /// On other systems than Unix nothing is checked, and the option changes nothing.
    pub fn shared_folder(mut self, shared: bool) -> Self {
        self.shared = shared;
        self
    }

    /// Tells the store the time. Default: [`SystemClock`](crate::SystemClock). A test gives the configuration
    /// the same clock; see `testing::TestClock`.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = ErasedClock::new(clock);
        self
    }

    /// Creates the folder if it does not exist, checks that it is writable and private, and removes the
    /// temporary files that killed processes left behind. What another process is writing at this moment
    /// stays.
    ///
    /// # Errors
    /// [`StoreError::unavailable`] when the path is not a folder and no folder can be created there, when the
    /// folder is not writable, or when other users can write to it; the source says which, and what to do.
    pub fn build(self) -> Result<FileStore, StoreError> {
        let sessions = Sessions::open(&self.path, self.durability, self.shared, self.ttl, self.clock)?;
        Ok(FileStore(Arc::new(sessions)))
    }
}
