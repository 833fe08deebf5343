//! A configuration over a memory store with one session, on which the targets work.

use std::time::Duration;

use axum::http::header::COOKIE;
use axum::http::{HeaderMap, HeaderValue};
use sessile::{MemoryStore, Record, Session, SessionConfig, SessionId, SessionStore as _};

pub(super) const SECRET: &str = "a secret of at least 32 bytes, for fuzzing";

/// A configuration over a store of its own, and the one session in it.
pub(super) struct Setup {
    pub(super) config: SessionConfig,
    store: MemoryStore,
    id: SessionId,
}

impl Setup {
    /// Each target has its own, because a test runs the targets side by side.
    pub(super) fn new() -> Self {
        let store = MemoryStore::new();
        let config = SessionConfig::builder(SECRET).store(store.clone()).save_uninitialized(false).build();
        let id = SessionId::new("fuzzed").expect("a legal id");
        Self { config: config.expect("the options are legal"), store, id }
    }

    /// The session that these `Cookie` lines name. A line that is no header value is left out.
    pub(super) fn open<'l>(&self, lines: impl IntoIterator<Item = &'l [u8]>) -> Session {
        let mut headers = HeaderMap::new();
        for line in lines {
            if let Ok(line) = HeaderValue::from_bytes(line) {
                headers.append(COOKIE, line);
            }
        }
        run(self.config.session_from_headers(&headers)).expect("the memory store is always there")
    }

    /// The one session, with this record in the store.
    pub(super) fn holding(&self, record: &Record) -> Session {
        self.put(record);
        self.open([self.pair().as_bytes()])
    }

    /// Puts this record under the one session's id.
    pub(super) fn put(&self, record: &Record) {
        run(self.store.set(&self.id, record, Duration::MAX)).expect("the memory store is always there");
    }

    /// The one session's cookie, as a browser sends it.
    pub(super) fn pair(&self) -> String {
        format!("connect.sid={}", self.config.sign(&self.id))
    }

    /// What the store holds of the one session.
    pub(super) fn stored(&self) -> Option<Record> {
        let stored = run(self.store.get(&self.id)).expect("the memory store is always there");
        stored.map(|stored| stored.record)
    }
}

/// Runs a future to its end.
pub(super) fn run<T>(future: impl Future<Output = T>) -> T {
    thread_local! {
        static RUNTIME: tokio::runtime::Runtime =
            tokio::runtime::Builder::new_current_thread().build().expect("a runtime needs no resources here");
    }
    RUNTIME.with(|runtime| runtime.block_on(future))
}
