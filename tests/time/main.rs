//! Time: the boundary to the millisecond, clocks that are set, and dates at which programs break. Each over
//! the memory store and the file store, which count time in different ways.

#![cfg(feature = "file")]

mod dates;
mod ends;
mod steps;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::http::header::SET_COOKIE;
use axum::response::IntoResponse as _;
use sessile::testing::{Op, Probe, TestClock, Visitor};
use sessile::{
    Clock as _, FileStore, MemoryStore, Origin, Session, SessionConfig, SessionConfigBuilder, SessionStore,
};

const MILLI: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// 2026-11-28T12:00:00Z.
fn noon() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_795_867_200)
}

/// A configuration and a store with one clock.
struct World {
    store: &'static str,
    clock: TestClock,
    config: SessionConfig,
    touches: Box<dyn Fn() -> u64>,
    _folder: tempfile::TempDir,
}

/// A world over each store, whose clocks show this time.
fn worlds(now: SystemTime, options: impl Fn(SessionConfigBuilder) -> SessionConfigBuilder) -> [World; 2] {
    let folders = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let [clock, other] = [(); 2].map(|()| TestClock::new());
    clock.set(now);
    other.set(now);
    let memory = MemoryStore::builder().clock(clock.clone()).build();
    let file = FileStore::builder(folders[1].path().join("sessions")).clock(other.clone()).build().unwrap();
    let [folder, other_folder] = folders;
    [
        World::new("memory", memory, clock, folder, &options),
        World::new("file", file, other, other_folder, &options),
    ]
}

impl World {
    fn new<S: SessionStore + Clone>(
        name: &'static str,
        store: S,
        clock: TestClock,
        folder: tempfile::TempDir,
        options: &impl Fn(SessionConfigBuilder) -> SessionConfigBuilder,
    ) -> Self {
        let probe = Probe::new(store);
        let builder = SessionConfig::builder("a secret of at least 32 bytes, for tests")
            .store(probe.clone())
            .save_uninitialized(false)
            .clock(clock.clone());
        let config = options(builder).build().unwrap();
        Self {
            store: name,
            clock,
            config,
            touches: Box::new(move || probe.calls(Op::Touch)),
            _folder: folder,
        }
    }

    /// A visitor with a session, and the line that set the cookie.
    async fn visitor(&self) -> (Visitor, String) {
        let session = Visitor::new(&self.config).open().await.unwrap();
        session.insert("n", 1).unwrap();
        let line = commit(&session).await.unwrap();
        (Visitor::with_id(&self.config, &session.id()), line)
    }

    async fn origin(&self, visitor: &Visitor) -> Origin {
        visitor.open().await.unwrap().origin()
    }

    /// Checks that the session is there one millisecond before `end`, and gone at `end`. Looking touches it,
    /// so the first look is at another session of the same age.
    async fn ends(&self, [looked_at, left_alone]: [&Visitor; 2], end: SystemTime) {
        self.clock.set(end - MILLI);
        assert_eq!(self.origin(looked_at).await, Origin::Loaded, "{} store, 1 ms before the end", self.store);
        self.clock.set(end);
        assert_eq!(self.origin(left_alone).await, Origin::Unknown, "{} store, at the end", self.store);
    }

    fn now(&self) -> SystemTime {
        self.clock.now()
    }
}

/// Commits, and returns the line that sets the cookie, if there is one.
async fn commit(session: &Session) -> Option<String> {
    let response = session.commit().await.unwrap().into_response();
    response.headers().get(SET_COOKIE).map(|line| line.to_str().unwrap().to_owned())
}

/// `Max-Age` and `Expires` of a line that sets a cookie.
fn times(line: &str) -> (&str, &str) {
    let attribute = |name: &str| line.split("; ").find_map(|part| part.strip_prefix(name)?.strip_prefix('='));
    (attribute("Max-Age").unwrap(), attribute("Expires").unwrap())
}
