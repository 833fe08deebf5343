//! One request of each kind, in process, beside the same request to a handler that knows no sessions:
//! `cargo bench --bench requests`.

mod kinds;

use divan::Bencher;
use kinds::{Case, Kind};
use sessile::{FileStore, MemoryStore, SessionStore};

fn main() {
    divan::main();
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime starts")
}

fn requests(bencher: Bencher<'_, '_>, kind: Kind, store: impl SessionStore) {
    let runtime = runtime();
    let case = runtime.block_on(Case::new(kind, store));
    bencher.bench_local(|| runtime.block_on(case.send()));
}

#[divan::bench(args = Kind::ALL, sample_size = 200, sample_count = 200)]
fn bare(bencher: Bencher<'_, '_>, kind: Kind) {
    let runtime = runtime();
    let case = runtime.block_on(Case::new(kind, MemoryStore::new())).bare();
    bencher.bench_local(|| runtime.block_on(case.send()));
}

#[divan::bench(args = Kind::ALL, sample_size = 200, sample_count = 200)]
fn memory(bencher: Bencher<'_, '_>, kind: Kind) {
    requests(bencher, kind, MemoryStore::new());
}

#[divan::bench(args = Kind::ALL)]
fn file(bencher: Bencher<'_, '_>, kind: Kind) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    requests(bencher, kind, FileStore::new(folder.path()).expect("a file store"));
}
