//! `SqliteStore`, on a file.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sessile::{Record, SessionId, SessionStore, SqliteStore};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};
use tracing::field::Field;
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};

use crate::trips;

async fn store(folder: &tempfile::TempDir) -> SqliteStore {
    let store = SqliteStore::open(folder.path().join("sessions.db")).await.unwrap();
    store.migrate().await.unwrap();
    store
}

mod kit {
    sessile::session_store_tests!(async || {
        // A store does not own its file; this one goes with the build.
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap().keep();
        let store = sessile::SqliteStore::open(folder.join("sessions.db")).await.unwrap();
        store.migrate().await.unwrap();
        store
    });
}

#[tokio::test]
async fn the_table_is_connect_sqlite3s() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder).await;
    let options = SqliteConnectOptions::new().filename(folder.path().join("sessions.db"));
    let pool = sqlx::SqlitePool::connect_with(options).await.unwrap();
    let id = SessionId::random();
    let record = Record::from_json(r#"{"cookie":{"originalMaxAge":60000},"n":1.0}"#).unwrap();
    store.set(&id, &record, Duration::from_millis(60_500)).await.unwrap();
    let now = i64::try_from(
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis(),
    );
    let now = now.unwrap();
    let (sess, expired): (String, i64) =
        sqlx::query_as("SELECT sess, expired FROM sessions WHERE sid = ? AND ? <= expired")
            .bind(id.as_str())
            .bind(now)
            .fetch_one(&pool)
            .await
            .unwrap();
    assert_eq!(sess, record.as_json());
    assert!((now + 58_000..=now + 60_500).contains(&expired));
    sqlx::query("INSERT OR REPLACE INTO sessions VALUES (?, ?, ?)")
        .bind(id.as_str())
        // Node.js binds numbers as reals.
        .bind((now + 100_000) as f64)
        .bind(r#"{"cookie":{"originalMaxAge":null},"by":"node"}"#)
        .execute(&pool)
        .await
        .unwrap();
    let stored = store.get(&id).await.unwrap().unwrap();
    assert!(stored.record.as_json().ends_with(r#""by":"node"}"#));
}

/// In the child: the folder its parent made.
const FOLDER: &str = "SESSILE_TEST_SQLITE_FOLDER";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes() {
    let folder = tempfile::tempdir().unwrap();
    let path = std::env::var(FOLDER).unwrap_or_else(|_| folder.path().to_str().unwrap().to_owned());
    let store = SqliteStore::open(format!("{path}/sessions.db")).await.unwrap();
    store.migrate().await.unwrap();
    crate::faults::two_processes("sqlite::two_processes", (FOLDER, &path), store).await;
}

#[cfg(unix)]
#[tokio::test]
async fn a_full_disk_loses_nothing() {
    let id = SessionId::new("known").unwrap();
    if let Ok(folder) = std::env::var(FOLDER) {
        // Every file this process writes may be 256 KiB long.
        let store = SqliteStore::open(format!("{folder}/sessions.db")).await.unwrap();
        let pad = Record::from_json(format!(r#"{{"cookie":{{}},"pad":"{}"}}"#, "x".repeat(1 << 20))).unwrap();
        let old = store.get(&id).await.unwrap().unwrap();
        for refused in [
            store.set(&id, &pad, Duration::from_secs(60)).await.map(drop),
            store.create(&SessionId::random(), &pad, Duration::from_secs(60)).await.map(drop),
            store.replace(&id, &old.version.unwrap(), &pad, Duration::from_secs(60)).await.map(drop),
        ] {
            let error = refused.unwrap_err();
            assert!(error.is_unavailable() && std::error::Error::source(&error).is_some(), "{error:?}");
        }
        assert_eq!(store.get(&id).await.unwrap().unwrap().record.as_json(), old.record.as_json());
        assert_eq!(store.len().await.unwrap(), 1);
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder).await;
    store.set(&id, &Record::default(), Duration::from_secs(600)).await.unwrap();
    let child = std::process::Command::new("sh")
        .args(["-c", r#"trap "" XFSZ; ulimit -f 512; exec "$0" --exact sqlite::a_full_disk_loses_nothing"#])
        .arg(std::env::current_exe().unwrap())
        .env(FOLDER, folder.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stdout);
    assert!(child.status.success() && said.contains("1 passed"), "{said}");
    assert_eq!(store.len().await.unwrap(), 1);
}

#[tokio::test]
async fn sweep_len_and_clear() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder).await;
    for n in 0..5_u64 {
        let life = if n < 2 { Duration::ZERO } else { Duration::from_secs(60) };
        store.set(&SessionId::random(), &Record::default(), life).await.unwrap();
    }
    assert_eq!(store.len().await.unwrap(), 3);
    assert_eq!(store.sweep().await.unwrap(), 2);
    store.clear().await.unwrap();
    assert!(store.is_empty().await.unwrap());
    assert!(store.table("x\";drop").is_err());
    assert!(SqliteStore::open("/nowhere/sessions.db").await.unwrap_err().is_unavailable());
}

/// The table of the statements that are counted: other tests of this process execute theirs meanwhile.
const COUNTED: &str = "counted_requests";

/// Counts executions as sqlx logs them, as a file has no server that would. It logs each when it is over, but
/// for `BEGIN`, `COMMIT` and `ROLLBACK`, which the store has no use for.
struct Executions(&'static AtomicU64);

impl<S: Subscriber> Layer<S> for Executions {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if event.metadata().target() != "sqlx::query" {
            return;
        }
        let mut counts = false;
        event.record(&mut |_: &Field, value: &dyn fmt::Debug| {
            counts |= format!("{value:?}").contains(COUNTED);
        });
        self.0.fetch_add(u64::from(counts), Ordering::Relaxed);
    }
}

#[tokio::test]
async fn statements_of_each_kind_of_request() {
    static EXECUTED: AtomicU64 = AtomicU64::new(0);
    // For the whole process: a connection has a thread of its own, and logs there.
    tracing::subscriber::set_global_default(tracing_subscriber::registry().with(Executions(&EXECUTED)))
        .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let options =
        SqliteConnectOptions::new().filename(folder.path().join("sessions.db")).create_if_missing(true);
    let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await.unwrap();
    let store = SqliteStore::new(pool.clone()).table(COUNTED).unwrap();
    store.migrate().await.unwrap();
    let counter = async || -> u64 {
        // A result may come before the line in the log; the one connection has written it before it takes
        // this up.
        sqlx::query("SELECT 1").execute(&pool).await.unwrap();
        EXECUTED.load(Ordering::Relaxed)
    };
    let counts = trips::per_kind(store, counter).await;
    println!("sqlite, statements: {:?} = {counts:?}", trips::KINDS);
    assert_eq!(counts, [1, 2, 2, 1, 0, 3, 3]);
}
