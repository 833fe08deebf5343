//! What the targets share.

use std::sync::LazyLock;
use std::time::Duration;

use axum::http::header::COOKIE;
use axum::http::{HeaderMap, HeaderValue};
use sessile::{MemoryStore, Record, Session, SessionConfig, SessionId, SessionStore as _};
use tokio::runtime::Runtime;

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime needs no resources here")
});
static STORE: LazyLock<MemoryStore> = LazyLock::new(MemoryStore::new);
/// One configuration over one memory store.
pub static CONFIG: LazyLock<SessionConfig> = LazyLock::new(|| {
    SessionConfig::builder("a secret of at least 32 bytes, for fuzzing")
        .store(STORE.clone())
        .save_uninitialized(false)
        .build()
        .expect("the options are legal")
});

/// Runs a future to its end.
pub fn run<T>(future: impl Future<Output = T>) -> T {
    RUNTIME.block_on(future)
}

/// The session that these `Cookie` lines name.
pub fn open<'l>(lines: impl IntoIterator<Item = &'l [u8]>) -> Session {
    let mut headers = HeaderMap::new();
    for line in lines {
        if let Ok(line) = HeaderValue::from_bytes(line) {
            headers.append(COOKIE, line);
        }
    }
    run(CONFIG.session_from_headers(&headers)).expect("the memory store is always there")
}

/// The one session the targets work on, with this record in the store.
pub fn holding(record: &Record) -> Session {
    run(STORE.set(&id(), record, Duration::from_secs(60))).expect("the memory store is always there");
    let value = format!("connect.sid={}", CONFIG.sign(&id()));
    open([value.as_bytes()])
}

/// What the store holds of it.
pub fn stored() -> Option<Record> {
    let stored = run(STORE.get(&id())).expect("the memory store is always there");
    stored.map(|stored| stored.record)
}

fn id() -> SessionId {
    SessionId::new("fuzzed").expect("a legal id")
}
