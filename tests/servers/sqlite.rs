//! `SqliteStore`, on a file.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sessile::{Record, Replaced, SessionId, SessionStore, SqliteStore};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};
use tracing::field::Field;
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};

use crate::{foreign, sql_users, trips};

async fn store(folder: &tempfile::TempDir) -> SqliteStore {
    let store = SqliteStore::open(folder.path().join("sessions.db")).await.unwrap();
    store.migrate().await.unwrap();
    store
}

/// Connections beside the store's, as another program would have.
async fn pool(folder: &tempfile::TempDir) -> sqlx::SqlitePool {
    let options = SqliteConnectOptions::new().filename(folder.path().join("sessions.db"));
    sqlx::SqlitePool::connect_with(options).await.unwrap()
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

#[cfg(feature = "sealed")]
mod sealed {
    sessile::session_store_tests!(async || {
        let store = sessile::SqliteStore::open(":memory:").await.unwrap();
        store.migrate().await.unwrap();
        sessile::Sealed::new(store, "a key of 32 bytes or more for the kit")
    });
}

mod kit_in_memory {
    sessile::session_store_tests!(async || {
        let store = sessile::SqliteStore::open(":memory:").await.unwrap();
        store.migrate().await.unwrap();
        store
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_in_memory_keeps_its_table_however_many_ask_at_once() {
    for name in [
        ":memory:",
        "sqlite::memory:",
        "sqlite://:memory:",
        "file::memory:",
        "file::memory:?cache=shared",
        "sqlite:x?mode=memory",
        "file:x?mode=memory",
        "",
    ] {
        let store = SqliteStore::open(name).await.unwrap();
        store.migrate().await.unwrap();
        let together = std::sync::Arc::new(tokio::sync::Barrier::new(8));
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..8 {
            let (store, together) = (store.clone(), std::sync::Arc::clone(&together));
            tasks.spawn(async move {
                together.wait().await;
                let id = SessionId::random();
                store.set(&id, &Record::default(), Duration::from_secs(60)).await.unwrap();
                assert!(store.get(&id).await.unwrap().is_some());
            });
        }
        tasks.join_all().await;
        assert_eq!(store.len().await.unwrap(), 8, "{name}");
        // Another store has another database, except where the name says that it is shared.
        if !name.contains("shared") {
            let other = SqliteStore::open(name).await.unwrap();
            other.migrate().await.unwrap();
            assert!(other.is_empty().await.unwrap(), "{name}");
        }
    }
    assert!(!std::path::Path::new("x").exists() && !std::path::Path::new(":memory:").exists());
}

#[tokio::test]
async fn a_file_may_be_named_by_its_url() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("by url.db");
    let store = SqliteStore::open(format!("sqlite:{}", file.display())).await.unwrap();
    store.migrate().await.unwrap();
    assert!(file.is_file());
    assert!(SqliteStore::open("sqlite:x?mode=unheard").await.unwrap_err().is_unavailable());
}

#[tokio::test]
async fn the_table_is_connect_sqlite3s() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder).await;
    let pool = pool(&folder).await;
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

/// What another program may put into the column `sess`, as SQL.
fn plants() -> Vec<(&'static str, String)> {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let texts = foreign::texts();
    let quoted = texts.iter().map(|(name, text)| (*name, format!("'{text}'")));
    let blobs = texts.iter().map(|(name, text)| (*name, format!("x'{}'", hex(text.as_bytes()))));
    let bytes = foreign::bytes();
    let binary = bytes.iter().map(|(name, bytes)| (*name, format!("x'{}'", hex(bytes))));
    let text = bytes.iter().map(|(name, bytes)| (*name, format!("CAST(x'{}' AS TEXT)", hex(bytes))));
    let others =
        [("NULL", "NULL"), ("an INTEGER", "5"), ("a REAL", "5.5"), ("nothing", "''"), ("no bytes", "x''")];
    let others = others.into_iter().map(|(name, sql)| (name, sql.to_owned()));
    quoted.chain(blobs).chain(binary).chain(text).chain(others).collect()
}

#[tokio::test]
async fn nothing_foreign_is_a_session() {
    let folder = tempfile::tempdir().unwrap();
    let (store, pool) = (store(&folder).await, pool(&folder).await);
    let plant = async |id: &SessionId, sess: &String| {
        let sql = sqlx::AssertSqlSafe(format!("UPDATE sessions SET sess = {sess} WHERE sid = ?"));
        assert_eq!(sqlx::query(sql).bind(id.as_str()).execute(&pool).await.unwrap().rows_affected(), 1);
    };
    let look = async |id: &SessionId| {
        let select = "SELECT typeof(sess) || ' ' || hex(sess) FROM sessions WHERE sid = ?";
        sqlx::query_scalar(select).bind(id.as_str()).fetch_one(&pool).await.unwrap()
    };
    foreign::check(store, plants(), plant, look).await;
}

/// A text and a BLOB are never equal in SQLite, and a program may write either.
#[tokio::test]
async fn json_in_a_blob_is_a_record() {
    let folder = tempfile::tempdir().unwrap();
    let (store, pool) = (store(&folder).await, pool(&folder).await);
    let (id, minute) = (SessionId::random(), Duration::from_secs(60));
    let of = |n: u32| Record::from_json(format!(r#"{{"cookie":{{}},"n":{n},"e":"é"}}"#)).unwrap();
    let to_blob = async || {
        let blob = "UPDATE sessions SET sess = CAST(sess AS BLOB) WHERE sid = ?";
        sqlx::query(blob).bind(id.as_str()).execute(&pool).await.unwrap();
    };
    store.set(&id, &of(1), minute).await.unwrap();
    to_blob().await;
    let stored = store.get(&id).await.unwrap().unwrap();
    assert_eq!(stored.record.as_json(), of(1).as_json());
    assert!(matches!(
        store.replace(&id, &stored.version.unwrap(), &of(2), minute).await.unwrap(),
        Replaced::Done(_)
    ));
    let second = store.get(&id).await.unwrap().unwrap().version.unwrap();
    to_blob().await;
    // Another program writes the same record as the other type: nothing has changed.
    assert!(matches!(store.replace(&id, &second, &of(3), minute).await.unwrap(), Replaced::Done(_)));
    to_blob().await;
    let conflict = store.destroy_if(&id, &second).await.unwrap();
    let Replaced::Conflict(third) = conflict else { panic!("{conflict:?}") };
    assert!(matches!(store.destroy_if(&id, &third.version.unwrap()).await.unwrap(), Replaced::Done(_)));
    assert!(store.get(&id).await.unwrap().is_none());
}

/// In the child: the folder its parent made.
const FOLDER: &str = "SESSILE_TEST_SQLITE_FOLDER";

#[tokio::test]
async fn check_says_what_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path().join("sessions.db")).await.unwrap();
    let says = async |store: &SqliteStore, what: &str, why: &str| {
        let error = store.check().await.unwrap_err();
        let errors = std::iter::successors(Some(&error as &dyn std::error::Error), |&error| error.source());
        let chain: String = errors.map(|error| format!("{error}; ")).collect();
        assert!(
            error.is_unavailable() && chain.contains(what) && chain.contains(why),
            "{what}, {why}: {chain}"
        );
    };
    says(&store, r#"cannot read its table "sessions""#, "no such table: sessions").await;
    store.migrate().await.unwrap();
    store.set(&SessionId::random(), &Record::default(), Duration::from_secs(60)).await.unwrap();
    store.check().await.unwrap();
    assert_eq!(store.len().await.unwrap(), 1, "it has changed the table");
    let pool = pool(&folder).await;
    sqlx::query("CREATE TABLE no_record (sid PRIMARY KEY, expired)").execute(&pool).await.unwrap();
    let no_record = store.clone().table("no_record").unwrap();
    says(&no_record, "cannot read its table", "no such column: sess").await;
    let url = format!("sqlite:{}?mode=ro", folder.path().join("sessions.db").display());
    let read_only = SqliteStore::new(sqlx::SqlitePool::connect(&url).await.unwrap());
    says(&read_only, "cannot update its table", "readonly database").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes() {
    let folder = tempfile::tempdir().unwrap();
    let path = std::env::var(FOLDER).unwrap_or_else(|_| folder.path().to_str().unwrap().to_owned());
    let store = SqliteStore::open(format!("{path}/sessions.db")).await.unwrap();
    store.migrate().await.unwrap();
    crate::faults::two_processes("sqlite::two_processes", (FOLDER, &path), store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_on_one_session() {
    let folder = tempfile::tempdir().unwrap();
    crate::crowd::on_one_session("SQLite", store(&folder).await, None).await;
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

/// Every call that writes is unavailable, with its reason, and nothing has changed.
async fn refuses_writes(store: &SqliteStore, record: &Record) {
    let (id, minute) = (SessionId::new("known").unwrap(), Duration::from_secs(60));
    let old = store.get(&id).await.unwrap().unwrap();
    let version = old.version.unwrap();
    for (call, refused) in [
        ("set", store.set(&id, record, minute).await.map(drop)),
        ("create", store.create(&SessionId::random(), record, minute).await.map(drop)),
        ("replace", store.replace(&id, &version, record, minute).await.map(drop)),
    ] {
        let error = refused.expect_err(call);
        assert!(error.is_unavailable() && std::error::Error::source(&error).is_some(), "{call}: {error:?}");
    }
    assert_eq!(store.get(&id).await.unwrap().unwrap().record.as_json(), old.record.as_json());
}

/// `SQLITE_FULL`, as on a full disk.
#[tokio::test]
async fn a_full_database_refuses_and_goes_on_reading() {
    let folder = tempfile::tempdir().unwrap();
    let whole = store(&folder).await;
    let (id, minute) = (SessionId::new("known").unwrap(), Duration::from_secs(60));
    whole.set(&id, &Record::default(), minute).await.unwrap();
    let options = SqliteConnectOptions::new().filename(folder.path().join("sessions.db"));
    let full = SqliteStore::new(
        sqlx::SqlitePool::connect_with(options.pragma("max_page_count", "8")).await.unwrap(),
    );
    let pad = Record::from_json(format!(r#"{{"cookie":{{}},"pad":"{}"}}"#, "x".repeat(1 << 20))).unwrap();
    refuses_writes(&full, &pad).await;
    // It takes no room to make room.
    assert!(full.touch(&id, minute).await.unwrap());
    full.destroy(&id).await.unwrap();
    assert!(whole.get(&id).await.unwrap().is_none());
}

#[tokio::test]
async fn a_read_only_database_refuses_and_goes_on_reading() {
    let folder = tempfile::tempdir().unwrap();
    let whole = store(&folder).await;
    let (id, minute) = (SessionId::new("known").unwrap(), Duration::from_secs(60));
    whole.set(&id, &Record::default(), minute).await.unwrap();
    let options = SqliteConnectOptions::new().filename(folder.path().join("sessions.db")).read_only(true);
    let read_only = SqliteStore::new(sqlx::SqlitePool::connect_with(options).await.unwrap());
    refuses_writes(&read_only, &Record::default()).await;
    let version = whole.get(&id).await.unwrap().unwrap().version.unwrap();
    for refused in [
        read_only.touch(&id, minute).await.map(drop),
        read_only.destroy(&id).await.map(drop),
        read_only.destroy_if(&id, &version).await.map(drop),
        read_only.sweep().await.map(drop),
        read_only.migrate().await.map(drop),
    ] {
        // To migrate a table that is there writes nothing.
        assert!(refused.map_or_else(|error| error.is_unavailable(), |()| true));
    }
    assert!(whole.get(&id).await.unwrap().is_some());
}

/// A request must fail then, and not log its user out.
#[tokio::test]
async fn a_database_that_is_gone_is_unavailable() {
    type Loss = fn(&std::path::Path);
    let losses: [(&str, Loss); 4] = [
        ("the folder is gone", |file| std::fs::remove_dir_all(file.parent().unwrap()).unwrap()),
        ("the file is another one", |file| std::fs::write(file, "no database".repeat(1000)).unwrap()),
        ("the file is a folder", |file| {
            std::fs::remove_file(file).unwrap();
            std::fs::create_dir(file).unwrap();
        }),
        ("the table is gone", |file| std::fs::write(file, "").unwrap()),
    ];
    for (what, lose) in losses {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("web").join("sessions.db");
        std::fs::create_dir(file.parent().unwrap()).unwrap();
        let options = SqliteConnectOptions::new().filename(&file);
        let before = sqlx::SqlitePool::connect_with(options.clone().create_if_missing(true)).await.unwrap();
        SqliteStore::new(before.clone()).migrate().await.unwrap();
        before.close().await;
        // A store that has no connection open at the moment: its pool opens them when they are needed.
        let pool = SqlitePoolOptions::new().connect_lazy_with(options);
        let later = SqliteStore::new(pool).timeout(Duration::from_secs(1));
        lose(&file);
        let id = SessionId::random();
        let record = Record::default();
        for (call, answer) in [
            ("get", later.get(&id).await.map(drop)),
            ("set", later.set(&id, &record, Duration::from_secs(60)).await),
            ("create", later.create(&id, &record, Duration::from_secs(60)).await.map(drop)),
            ("touch", later.touch(&id, Duration::from_secs(60)).await.map(drop)),
            ("destroy", later.destroy(&id).await),
        ] {
            let error = answer.expect_err(what);
            assert!(
                error.is_unavailable() && std::error::Error::source(&error).is_some(),
                "{what}, {call}: {error:?}"
            );
        }
    }
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

#[tokio::test]
async fn without_the_table_of_the_users_the_sessions_work() {
    let folder = tempfile::tempdir().unwrap();
    let (store, pool) = (store(&folder).await, pool(&folder).await);
    sqlx::raw_sql("DROP TABLE sessions_users").execute(&pool).await.unwrap();
    sql_users::says_what_is_missing(&store, "sessions_users").await;
    sql_users::is_there_after_the_migration(&store, async || store.migrate().await.unwrap()).await;
    // A name that has no room for what follows it.
    let long = store.clone().table(&"x".repeat(63)).unwrap();
    long.migrate().await.unwrap();
    sql_users::is_there_after_the_migration(&long, async || long.migrate().await.unwrap()).await;
    // As the documentation says how to do it by hand.
    sqlx::raw_sql(
        "DROP TABLE sessions_users;
         CREATE TABLE sessions_users (\"user\" TEXT NOT NULL PRIMARY KEY, log TEXT NOT NULL)",
    )
    .execute(&pool)
    .await
    .unwrap();
    sql_users::is_there_after_the_migration(&store, async || {}).await;
}

#[tokio::test]
async fn two_stores_share_the_users() {
    let folder = tempfile::tempdir().unwrap();
    sql_users::two_stores_share_a_text(store(&folder).await, store(&folder).await).await;
}

#[tokio::test]
async fn each_of_many_is_found() {
    let folder = tempfile::tempdir().unwrap();
    sql_users::each_of_many_is_found(&store(&folder).await).await;
}

#[tokio::test]
#[ignore = "a measurement: run it in release with --nocapture"]
async fn time_of_a_list() {
    let folder = tempfile::tempdir().unwrap();
    sql_users::time_of_a_list("SQLite", &store(&folder).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_process_logs_in_while_another_ends_all() {
    let folder = tempfile::tempdir().unwrap();
    crate::users::one_logs_in_while_another_ends_all(store(&folder).await, store(&folder).await).await;
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn real_processes_log_in_and_end_all() {
    let folder = tempfile::tempdir().unwrap();
    let path = std::env::var(FOLDER).unwrap_or_else(|_| folder.path().to_str().unwrap().to_owned());
    let store = SqliteStore::open(format!("{path}/sessions.db")).await.unwrap();
    store.migrate().await.unwrap();
    let test = "sqlite::real_processes_log_in_and_end_all";
    crate::two_processes::log_in_and_end_all(test, (FOLDER, &path), store).await;
}
