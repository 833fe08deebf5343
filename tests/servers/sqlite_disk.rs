//! `SqliteStore` on a disk that is full, cannot be written to, or is gone: a commit is an error then, and
//! what was acknowledged before is there when the disk is well again.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::http::StatusCode;
use axum::response::IntoResponse as _;
use sessile::testing::Visitor;
use sessile::{SessionError, SqliteStore};

use crate::disk::Disk;
use crate::faults::config;

fn file(folder: &Path) -> PathBuf {
    folder.join("sessions.db")
}

async fn store(folder: &Path) -> SqliteStore {
    let store = SqliteStore::open(file(folder)).await.unwrap();
    store.migrate().await.unwrap();
    store.timeout(Duration::from_secs(2))
}

/// A visitor whose session counts its commits, and how many were acknowledged.
struct Counting {
    visitor: Visitor,
    acknowledged: u64,
}

impl Counting {
    async fn new(store: &SqliteStore) -> Self {
        let mut visitor = Visitor::new(&config(store.clone()));
        let session = visitor.open().await.unwrap();
        session.insert("count", 0).unwrap();
        session.insert("pad", "x".repeat(10_000)).unwrap();
        visitor.commit(&session).await.unwrap();
        Self { visitor, acknowledged: 0 }
    }

    async fn commit(&mut self) -> Result<(), SessionError> {
        let session = self.visitor.open().await.unwrap();
        assert_eq!(session.get::<u64>("count").unwrap(), Some(self.acknowledged), "{:?}", session.origin());
        session.update("count", |count| count.map(|count: u64| count + 1)).unwrap();
        self.visitor.commit(&session).await?;
        self.acknowledged += 1;
        Ok(())
    }

    /// Commits until one is refused; the session is as the last acknowledged one left it.
    async fn is_refused(&mut self) {
        let error = loop {
            match self.commit().await {
                Ok(()) => assert!(self.acknowledged < 10_000, "nothing is ever refused"),
                Err(error) => break error,
            }
        };
        assert!(matches!(&error, SessionError::Store(error) if error.is_unavailable()), "{error:?}");
        assert_eq!(error.into_response().status(), StatusCode::SERVICE_UNAVAILABLE);
        self.is_there().await;
    }

    async fn is_there(&self) {
        let session = self.visitor.open().await.unwrap();
        assert_eq!(session.get::<u64>("count").unwrap(), Some(self.acknowledged), "{:?}", session.origin());
    }
}

/// The file is whole, and sessions can be written to again.
async fn all_is_well(folder: &Path, counting: &mut Counting) {
    counting.is_there().await;
    for _ in 0..10 {
        counting.commit().await.unwrap();
    }
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(file(folder));
    let pool = sqlx::SqlitePool::connect_with(options).await.unwrap();
    let checked: String = sqlx::query_scalar("PRAGMA integrity_check").fetch_one(&pool).await.unwrap();
    assert_eq!(checked, "ok");
    // As another process finds it.
    let store = store(folder).await;
    let id = counting.visitor.id().unwrap();
    let session = Visitor::with_id(&config(store), &id).open().await.unwrap();
    assert_eq!(session.get::<u64>("count").unwrap(), Some(counting.acknowledged));
}

#[tokio::test]
async fn a_disk_that_fills_up_loses_nothing() {
    let Some(disk) = Disk::mount("size=1m") else { return };
    let mut counting = Counting::new(&store(disk.path()).await).await;
    counting.commit().await.unwrap();
    let filler = disk.fill();
    counting.is_refused().await;
    counting.is_refused().await;
    fs::remove_file(filler).unwrap();
    all_is_well(disk.path(), &mut counting).await;
}

/// The pool has a connection that can still write; a new one cannot.
#[tokio::test]
async fn a_disk_that_becomes_read_only_loses_nothing() {
    let Some(disk) = Disk::mount("size=1m") else { return };
    let mut counting = Counting::new(&store(disk.path()).await).await;
    counting.commit().await.unwrap();
    disk.make_read_only();
    counting.is_refused().await;
    assert_eq!(counting.acknowledged, 1, "written to a disk that is read-only by now");
    // A process that starts now reads.
    let mut other = Counting { visitor: counting.visitor.clone(), acknowledged: 1 };
    let opened = SqliteStore::open(file(disk.path())).await.unwrap();
    other.visitor = Visitor::with_id(&config(opened), &counting.visitor.id().unwrap());
    other.is_refused().await;
    assert!(disk.unmount());
    all_is_well(disk.path(), &mut counting).await;
    other.acknowledged = counting.acknowledged;
    all_is_well(disk.path(), &mut other).await;
}

#[tokio::test]
async fn a_folder_that_is_gone_is_unavailable_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let [path, aside] = ["sessions", "aside"].map(|name| folder.path().join(name));
    fs::create_dir(&path).unwrap();
    let store = store(&path).await;
    let mut counting = Counting::new(&store).await;
    let unavailable = async |counting: &Counting| {
        let rejection = counting.visitor.open().await.unwrap_err();
        assert_eq!(rejection.into_response().status(), StatusCode::SERVICE_UNAVAILABLE);
    };
    for _ in 0..2 {
        counting.commit().await.unwrap();
        // A request is under way.
        let session = counting.visitor.open().await.unwrap();
        session.insert("late", 1).unwrap();
        fs::rename(&path, &aside).unwrap();
        let error = counting.visitor.clone().commit(&session).await.unwrap_err();
        assert_eq!(error.into_response().status(), StatusCode::SERVICE_UNAVAILABLE);
        unavailable(&counting).await;
        fs::rename(&aside, &path).unwrap();
        all_is_well(&path, &mut counting).await;
    }
    // An older copy is put in its place, as from a backup.
    let acknowledged = counting.acknowledged;
    fs::create_dir(&aside).unwrap();
    let copy =
        sqlx::SqlitePool::connect_with(sqlx::sqlite::SqliteConnectOptions::new().filename(file(&path)))
            .await
            .unwrap();
    let into = sqlx::AssertSqlSafe(format!("VACUUM INTO '{}'", file(&aside).display()));
    sqlx::raw_sql(into).execute(&copy).await.unwrap();
    copy.close().await;
    counting.commit().await.unwrap();
    fs::remove_dir_all(&path).unwrap();
    unavailable(&counting).await;
    fs::rename(&aside, &path).unwrap();
    counting.acknowledged = acknowledged;
    all_is_well(&path, &mut counting).await;

    fs::remove_dir_all(&path).unwrap();
    unavailable(&counting).await;
    assert!(store.len().await.unwrap_err().is_unavailable());
    assert!(!path.exists(), "a folder that was removed came back as an empty one");
}
