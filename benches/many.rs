//! What grows with how much somebody stored or sent: the keys of a record, flash messages, pairs of a
//! `Cookie` header. Ten times as many are to take about ten times as long, but where a request asks for each
//! key by name: each call searches the keys. `cargo bench --bench many`.

use std::collections::HashMap;
use std::hint::black_box;
use std::time::Duration;

use axum::http::HeaderMap;
use axum::http::header::COOKIE;
use divan::Bencher;
use sessile::testing::Visitor;
use sessile::{MemoryStore, Record, Session, SessionConfig, SessionId, SessionStore as _};
use tokio::runtime::Runtime;

const COUNTS: [usize; 4] = [10, 100, 1_000, 10_000];
const COOKIE_OBJECT: &str = r#""cookie":{"originalMaxAge":null,"expires":null,"httpOnly":true,"path":"/"}"#;

fn main() {
    // Some of the largest would take minutes for a hundred samples.
    divan::Divan::from_args().max_time(Duration::from_secs(2)).main();
}

/// A record whose other members are these.
fn record(members: impl Iterator<Item = String>) -> String {
    members.fold(format!("{{{COOKIE_OBJECT}"), |text, member| text + "," + &member) + "}"
}

fn keys(count: usize) -> String {
    record((0..count).map(|n| format!("\"key-{n}\":{n}")))
}

/// A stored session, opened anew for each measurement.
struct Stored {
    runtime: Runtime,
    store: MemoryStore,
    record: Record,
    config: SessionConfig,
    visitor: Visitor,
    id: SessionId,
}

impl Stored {
    fn new(text: String) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let store = MemoryStore::new();
        let options = SessionConfig::builder("a secret of at least 32 bytes, for benches");
        let config = runtime.block_on(async { options.store(store.clone()).build().expect("options") });
        let id = SessionId::random();
        let record = Record::from_json(text).expect("a record");
        let visitor = Visitor::with_id(&config, &id);
        Self { runtime, store, record, config, visitor, id }
    }

    fn open(&self) -> Session {
        self.runtime.block_on(async {
            let day = Duration::from_secs(86_400);
            self.store.set(&self.id, &self.record, day).await.expect("memory");
            self.visitor.open().await.expect("it was just stored")
        })
    }

    fn commit(&self, session: &Session) {
        drop(self.runtime.block_on(session.commit()).expect("memory"));
    }

    fn bench(&self, bencher: Bencher<'_, '_>, act: impl Fn(&Session)) {
        bencher.with_inputs(|| self.open()).bench_local_values(|session| {
            act(&session);
            session
        });
    }
}

/// A store's text becomes a record.
#[divan::bench(args = COUNTS)]
fn read(bencher: Bencher<'_, '_>, count: usize) {
    let text = keys(count);
    bencher.bench_local(|| Record::from_json(text.as_str()).expect("a record"));
}

/// The same with keys that JSON has to escape.
#[divan::bench(args = COUNTS)]
fn read_escaped(bencher: Bencher<'_, '_>, count: usize) {
    let text = record((0..count).map(|n| format!("\"\\\"key\\\"-{n}\":{n}")));
    bencher.bench_local(|| Record::from_json(text.as_str()).expect("a record"));
}

/// The same with one key over and over.
#[divan::bench(args = COUNTS)]
fn read_repeated(bencher: Bencher<'_, '_>, count: usize) {
    let text = record((0..count).map(|n| format!("\"key\":{n}")));
    bencher.bench_local(|| Record::from_json(text.as_str()).expect("a record"));
}

#[divan::bench(args = COUNTS)]
fn list_keys(bencher: Bencher<'_, '_>, count: usize) {
    Stored::new(keys(count)).bench(bencher, |session| drop(black_box(session.keys())));
}

/// The list of keys when this request changed one.
#[divan::bench(args = COUNTS)]
fn list_keys_after_insert(bencher: Bencher<'_, '_>, count: usize) {
    Stored::new(keys(count)).bench(bencher, |session| {
        session.insert("fresh", 1).expect("a number");
        black_box(session.keys());
    });
}

#[divan::bench(args = COUNTS)]
fn write_one_key(bencher: Bencher<'_, '_>, count: usize) {
    let stored = Stored::new(keys(count));
    stored.bench(bencher, |session| {
        session.insert("key-0", "new").expect("text");
        stored.commit(session);
    });
}

#[divan::bench(args = COUNTS)]
fn read_every_key(bencher: Bencher<'_, '_>, count: usize) {
    let names: Vec<_> = (0..count).map(|n| format!("key-{n}")).collect();
    Stored::new(keys(count)).bench(bencher, |session| {
        for name in &names {
            black_box(session.get::<usize>(name).expect("a number"));
        }
    });
}

#[divan::bench(args = COUNTS)]
fn write_every_key(bencher: Bencher<'_, '_>, count: usize) {
    let names: Vec<_> = (0..count).map(|n| format!("key-{n}")).collect();
    let stored = Stored::new(keys(count));
    stored.bench(bencher, |session| {
        for name in &names {
            session.insert(name, "new").expect("text");
        }
        stored.commit(session);
    });
}

/// A map goes in again, in the order of another hash seed.
#[divan::bench(args = COUNTS)]
fn insert_the_same_map(bencher: Bencher<'_, '_>, count: usize) {
    let map: HashMap<_, _> = (0..count).map(|n| (format!("key-{n}"), n)).collect();
    let same: HashMap<_, _> = map.clone().into_iter().collect();
    let value = serde_json::to_string(&map).expect("a map of numbers");
    Stored::new(record(std::iter::once(format!("\"map\":{value}")))).bench(bencher, |session| {
        session.insert("map", &same).expect("a map");
        assert!(!session.is_modified());
    });
}

/// Messages of one kind that nobody took yet.
#[divan::bench(args = COUNTS)]
fn take_messages(bencher: Bencher<'_, '_>, count: usize) {
    let messages: Vec<_> = (0..count).map(|n| format!("\"message {n}\"")).collect();
    let flash = format!("\"flash\":{{\"info\":[{}]}}", messages.join(","));
    let stored = Stored::new(record(std::iter::once(flash)));
    stored.bench(bencher, |session| {
        assert_eq!(session.take_flash::<String>("info").expect("text").len(), count);
        stored.commit(session);
    });
}

/// As many kinds with a message each.
#[divan::bench(args = COUNTS)]
fn take_kinds(bencher: Bencher<'_, '_>, count: usize) {
    let kinds: Vec<_> = (0..count).map(|n| format!("\"kind-{n}\":[\"message\"]")).collect();
    let flash = format!("\"flash\":{{{}}}", kinds.join(","));
    let stored = Stored::new(record(std::iter::once(flash)));
    stored.bench(bencher, |session| {
        assert_eq!(session.take_all_flash().len(), count);
        stored.commit(session);
    });
}

#[divan::bench(args = COUNTS)]
fn push_messages(bencher: Bencher<'_, '_>, count: usize) {
    let stored = Stored::new(keys(0));
    stored.bench(bencher, |session| {
        for n in 0..count {
            session.flash("info", n).expect("a number");
        }
        stored.commit(session);
    });
}

/// Pairs of other names around the session's cookie.
#[divan::bench(args = COUNTS)]
fn cookie_pairs(bencher: Bencher<'_, '_>, count: usize) {
    let stored = Stored::new(keys(1));
    drop(stored.open());
    let own = stored.visitor.headers();
    let own = own[COOKIE].to_str().expect("ASCII");
    let other: Vec<_> = (0..count).map(|n| format!("connect.si{n}=x")).collect();
    let mut headers = HeaderMap::new();
    headers.insert(COOKIE, format!("{}; {own}", other.join("; ")).parse().expect("a header value"));
    bencher.bench_local(|| {
        let session = stored.runtime.block_on(stored.config.session_from_headers(&headers)).expect("memory");
        assert!(!session.is_new());
    });
}
