//! One request of each kind, in process, beside the same request to a handler that knows no sessions:
//! `cargo bench --bench requests`. With `--all-features` over every store, each on a private server or in a
//! file of its own; a server that is not installed is skipped, and said to be.

mod kinds;

use divan::Bencher;
use kinds::{Case, Kind};
use sessile::{MemoryStore, SessionStore};

fn main() {
    #[cfg(not(all(feature = "redis", feature = "postgres", feature = "mysql", feature = "sqlite")))]
    eprintln!("skipped: run with --all-features for RedisStore, PostgresStore, MySqlStore and SqliteStore");
    divan::main();
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime starts")
}

/// Measures nothing where there is no store, which whoever looked for its server has said.
fn requests<S: SessionStore>(bencher: Bencher<'_, '_>, kind: Kind, store: impl AsyncFnOnce() -> Option<S>) {
    let runtime = runtime();
    let case = runtime.block_on(async { Some(Case::new(kind, store().await?).await) });
    if let Some(case) = case {
        bencher.bench_local(|| runtime.block_on(case.send()));
    }
}

#[divan::bench(args = Kind::ALL, sample_size = 200, sample_count = 200)]
fn bare(bencher: Bencher<'_, '_>, kind: Kind) {
    let runtime = runtime();
    let case = runtime.block_on(Case::new(kind, MemoryStore::new())).bare();
    bencher.bench_local(|| runtime.block_on(case.send()));
}

#[divan::bench(args = Kind::ALL, sample_size = 200, sample_count = 200)]
fn memory(bencher: Bencher<'_, '_>, kind: Kind) {
    requests(bencher, kind, async || Some(MemoryStore::new()));
}

#[cfg(feature = "file")]
#[divan::bench(args = Kind::ALL)]
fn file(bencher: Bencher<'_, '_>, kind: Kind) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    requests(bencher, kind, async || Some(sessile::FileStore::new(folder.path()).expect("a file store")));
}

#[cfg(feature = "sqlite")]
#[divan::bench(args = Kind::ALL)]
fn sqlite(bencher: Bencher<'_, '_>, kind: Kind) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    requests(bencher, kind, async || {
        let store = sessile::SqliteStore::open(folder.path().join("sessions.db")).await.expect("a file");
        store.migrate().await.expect("a table");
        Some(store)
    });
}

/// A server that every kind of request asks, started for the first one; `None`, said aloud, where it is not
/// installed.
#[cfg(any(feature = "redis", feature = "postgres", feature = "mysql"))]
type Shared = std::sync::LazyLock<Option<sessile_test_servers::Server>>;

#[cfg(feature = "redis")]
#[divan::bench(args = Kind::ALL)]
fn redis(bencher: Bencher<'_, '_>, kind: Kind) {
    static SERVER: Shared = Shared::new(|| sessile_test_servers::redis(&[]));
    requests(bencher, kind, async || {
        let url = format!("redis://{}/", SERVER.as_ref()?.address());
        Some(sessile::RedisStore::connect(url).await.expect("a server"))
    });
}

#[cfg(feature = "postgres")]
#[divan::bench(args = Kind::ALL)]
fn postgres(bencher: Bencher<'_, '_>, kind: Kind) {
    static SERVER: Shared = Shared::new(|| sessile_test_servers::postgres("UTC", &[]));
    requests(bencher, kind, async || {
        let url = format!("postgres://postgres@{}/postgres", SERVER.as_ref()?.address());
        let store = sessile::PostgresStore::connect(&url).await.expect("a server");
        store.migrate().await.expect("a table");
        Some(store)
    });
}

#[cfg(feature = "mysql")]
#[divan::bench(args = Kind::ALL)]
fn mysql(bencher: Bencher<'_, '_>, kind: Kind) {
    static SERVER: Shared = Shared::new(|| sessile_test_servers::mariadb(&[]));
    requests(bencher, kind, async || {
        let url = format!("mysql://sessile:sessile@{}/test", SERVER.as_ref()?.address());
        let store = sessile::MySqlStore::connect(&url).await.expect("a server");
        store.migrate().await.expect("a table");
        Some(store)
    });
}
