//! Sessions that move between two stores while requests of two processes use them: every call of either process
//! to either store is failed, left without an answer, dropped, or held while the other process does something.

mod lists;
mod schedules;
mod steps;
mod told;

use std::collections::BTreeSet;

use axum::http::header::{COOKIE, SET_COOKIE};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::IntoResponse as _;
use sessile::testing::Probe;
use sessile::{
    MemoryStore, Moving, Origin, SessionConfig, SessionError, SessionGuard, SessionStore, StoreError,
};

const SECRET: &str = "a secret of at least 32 bytes, for tests";
const USER: &str = "ada";

/// Who knows what when a schedule begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Nobody drains.
    Before,
    /// Somebody drains, and the two processes have not noticed.
    Unaware,
    /// The first process has drained before.
    Aware,
}

const PHASES: [Phase; 3] = [Phase::Before, Phase::Unaware, Phase::Aware];

/// Two stores, and two processes over both of them. The calls of the first one pass the probes.
struct Scene {
    old: Probe<MemoryStore>,
    new: Probe<MemoryStore>,
    first: Process,
    second: Process,
    cookie: HeaderValue,
}

#[derive(Clone)]
struct Process {
    moving: Moving,
    config: SessionConfig,
}

impl Process {
    fn new(old: impl SessionStore, new: impl SessionStore) -> Self {
        let moving = Moving::new(old, new);
        Self { config: config(moving.clone()), moving }
    }
}

fn config(store: impl SessionStore) -> SessionConfig {
    SessionConfig::builder(SECRET).store(store).build().unwrap()
}

impl Scene {
    /// A session of a user in the old store, which a process has made that knows of no other.
    async fn new(phase: Phase) -> Self {
        let (old, new) = (MemoryStore::new(), MemoryStore::new());
        let (old_probe, new_probe) = (Probe::new(old.clone()), Probe::new(new.clone()));
        let first = Process::new(old_probe.clone(), new_probe.clone());
        let second = Process::new(old.clone(), new.clone());
        match phase {
            Phase::Before => {}
            Phase::Unaware => drain(&Moving::new(old.clone(), new.clone())).await.unwrap(),
            Phase::Aware => drain(&first.moving).await.unwrap(),
        }
        let cookie = log_in(&config(old)).await;
        Self { old: old_probe, new: new_probe, first, second, cookie }
    }

    /// The sessions of these cookies that are alive, with what was noted in them.
    async fn alive(&self, cookies: &[HeaderValue]) -> Vec<Option<Alive>> {
        let mut alive = Vec::new();
        for cookie in cookies {
            let session = self.second.config.session_from_headers(&headers(cookie)).await.unwrap();
            alive.push((session.origin() == Origin::Loaded).then(|| Alive {
                cart: session.get("cart").unwrap(),
                note: session.get("note").unwrap(),
                is_user: session.belongs_to(USER),
            }));
        }
        alive
    }

    /// Drains in the second process, and looks whether the new store alone has what both had.
    ///
    /// `is_told`: each session has one id, and somebody was told of it.
    async fn finish(
        &self,
        what: &str,
        cookies: &[HeaderValue],
        is_told: bool,
    ) -> (Vec<Option<Alive>>, usize) {
        // The list finishes an end that has failed half-way.
        let listed = self.second.config.sessions_of(USER).list().await.unwrap().len();
        let before = self.alive(cookies).await;
        drain(&self.second.moving).await.unwrap();
        assert!(self.old.inner().is_empty(), "{what}: something is left in the old store");
        assert_eq!(self.alive(cookies).await, before, "{what}: the move has changed what is alive");
        let alone = config(self.new.inner().clone());
        for (cookie, before) in cookies.iter().zip(&before) {
            let session = alone.session_from_headers(&headers(cookie)).await.unwrap();
            let note = session.get("note").unwrap();
            assert_eq!(session.origin() == Origin::Loaded, before.is_some());
            assert_eq!(note, before.as_ref().and_then(|alive| alive.note.clone()));
        }
        let alive: BTreeSet<_> = before.iter().zip(cookies).filter(|(alive, _)| alive.is_some()).collect();
        assert!(!is_told || listed == alive.len(), "{what}: {listed} are listed, {} are alive", alive.len());
        assert_eq!(
            alone.sessions_of(USER).list().await.unwrap().len(),
            listed,
            "{what}: the list has not moved"
        );
        // No session twice: an end of the user's sessions ends everything.
        alone.sessions_of(USER).end_all().await.unwrap();
        let after = self.alive(cookies).await;
        // A request whose session is gone begins one of a guest.
        let is_guest = |alive: &Option<Alive>| alive.as_ref().is_none_or(Alive::is_guest);
        assert!(after.iter().all(is_guest), "{what}: a session is in no list: {after:?}");
        let left = self.new.inner().all_ids();
        for id in left {
            let record = self.new.inner().get(&id).await.unwrap().unwrap().record;
            let json = record.as_json();
            assert!(!json.contains("\"user\":"), "{what}: a session nobody knows: {json}");
        }
        (before, listed)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Alive {
    cart: Option<u32>,
    note: Option<String>,
    is_user: bool,
}

impl Alive {
    fn is_guest(&self) -> bool {
        self.cart.is_none() && self.note.is_none() && !self.is_user
    }
}

async fn drain(moving: &Moving) -> Result<(), StoreError> {
    let mut drain = moving.drain();
    while drain.next().await?.is_some() {}
    Ok(())
}

async fn log_in(config: &SessionConfig) -> HeaderValue {
    let created = config.create_session(async |session| {
        session.log_in(USER)?;
        session.insert("cart", 3)
    });
    created.await.unwrap().cookie().clone()
}

fn headers(cookie: &HeaderValue) -> HeaderMap {
    [(COOKIE, cookie.clone())].into_iter().collect()
}

/// The cookie that a browser has after a response, if it is another one.
fn cookie_of(guard: SessionGuard) -> Option<HeaderValue> {
    let response = guard.into_response();
    let line = response.headers().get(SET_COOKIE)?.to_str().unwrap();
    let value = line.split(';').next().unwrap();
    (!line.contains("Max-Age=0")).then(|| value.parse().unwrap())
}

/// What a process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Deed {
    Read,
    Write,
    Cycle,
    LogIn,
    LogOut,
    EndAll,
    List,
    Drain,
}

const DEEDS: [Deed; 8] =
    [Deed::Read, Deed::Write, Deed::Cycle, Deed::LogIn, Deed::LogOut, Deed::EndAll, Deed::List, Deed::Drain];

/// What came of it.
#[derive(Debug, Clone)]
enum Outcome {
    Done(Option<HeaderValue>),
    /// The request found no session.
    NoSession,
    Failed,
}

impl Deed {
    /// Ends sessions.
    fn ends(self) -> bool {
        matches!(self, Self::LogOut | Self::EndAll)
    }

    async fn run(self, process: Process, cookie: HeaderValue) -> Outcome {
        match self.answered(process, cookie).await {
            Ok(outcome) => outcome,
            Err(_) => Outcome::Failed,
        }
    }

    async fn answered(self, process: Process, cookie: HeaderValue) -> Result<Outcome, SessionError> {
        let Process { moving, config } = process;
        match self {
            Self::EndAll => {
                config.sessions_of(USER).end_all().await?;
                return Ok(Outcome::Done(None));
            }
            Self::List => {
                config.sessions_of(USER).list().await?;
                return Ok(Outcome::Done(None));
            }
            Self::Drain => {
                drain(&moving).await?;
                return Ok(Outcome::Done(None));
            }
            Self::Read | Self::Write | Self::Cycle | Self::LogIn | Self::LogOut => {}
        }
        let session = config.session_from_headers(&headers(&cookie)).await?;
        if session.origin() != Origin::Loaded {
            return Ok(Outcome::NoSession);
        }
        match self {
            Self::Write => session.insert("note", "written")?,
            Self::Cycle => session.cycle_id(),
            Self::LogIn => session.log_in(USER)?,
            Self::LogOut => session.destroy(),
            Self::Read | Self::EndAll | Self::List | Self::Drain => {}
        }
        Ok(Outcome::Done(cookie_of(session.commit().await?)))
    }
}
