//! The plan of a load, and what came of it.

mod model;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};

use fastrand::Rng;
use reqwest::Method;
use serde_json::json;
use sessile_interop::http_client::Answer;
use sessile_interop::servers::{SECRET, Servers, Side, options};
use sessile_interop::shared_store::{Kind, SharedStore};
use tokio::sync::Mutex;

pub use model::Tally;
use model::{Seat, User};

const USERS: usize = 6;
const KEYS: u32 = 6;
/// So many requests are under way at a time.
const WORKERS: usize = 16;

static SEED: LazyLock<u64> = LazyLock::new(|| {
    let seed = std::env::var("SESSILE_SEED").ok().map(|seed| seed.parse().expect("SESSILE_SEED is a number"));
    seed.unwrap_or_else(|| fastrand::u64(..))
});

/// Which requests of one session may overlap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rules {
    /// Express' writes, new ids and drains of flash messages have the session for themselves.
    ExpressWritesAlone,
    None,
}

/// What a request does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    Read,
    Write(u32),
    Remove(u32),
    Count,
    PushFlash,
    DrainFlash,
    NewId,
    LogIn,
    LogOut,
}

/// One request of the plan.
#[derive(Debug, Clone, Copy)]
pub struct Step {
    pub number: usize,
    pub user: usize,
    pub side: Side,
    pub act: Act,
}

impl Step {
    fn random(number: usize, rng: &mut Rng) -> Self {
        let act = match rng.u32(0..100) {
            0..20 => Act::Read,
            20..50 => Act::Write(rng.u32(0..KEYS)),
            50..56 => Act::Remove(rng.u32(0..KEYS)),
            56..72 => Act::Count,
            72..84 => Act::PushFlash,
            84..89 => Act::DrainFlash,
            89..93 => Act::NewId,
            93..96 => Act::LogIn,
            _ => Act::LogOut,
        };
        let side = if rng.bool() { Side::Express } else { Side::Axum };
        Self { number, user: rng.usize(0..USERS), side, act }
    }

    /// Whether it needs the session for itself under [`Rules::ExpressWritesAlone`].
    fn is_alone(self) -> bool {
        match self.act {
            Act::Read => false,
            // A logout may come at any time.
            Act::LogOut => self.number.is_multiple_of(2),
            Act::DrainFlash | Act::NewId | Act::LogIn => true,
            Act::Write(_) | Act::Remove(_) | Act::Count | Act::PushFlash => self.side == Side::Express,
        }
    }

    /// The request, and the value it carries.
    async fn send(self, seat: &Seat) -> Answer {
        let value = model::value(self);
        let (method, path, body) = match self.act {
            Act::Read => (Method::GET, "/session".into(), None),
            Act::Write(key) => (Method::PUT, format!("/data/k{key}"), Some(value)),
            Act::Remove(key) => (Method::DELETE, format!("/data/k{key}"), None),
            Act::Count => (Method::POST, "/count/count".into(), None),
            Act::PushFlash => (Method::POST, "/flash/info".into(), Some(value)),
            Act::DrainFlash => (Method::GET, "/flash/info".into(), None),
            Act::NewId => (Method::POST, "/cycle".into(), None),
            Act::LogIn => (
                Method::POST,
                "/login".into(),
                Some(json!({ "username": "alice", "password": "correct horse" })),
            ),
            Act::LogOut => (Method::POST, "/destroy".into(), None),
        };
        seat.client.send(self.side, method, &path, body).await
    }
}

/// A plan, and the two servers to carry it out on.
pub struct Load {
    servers: Arc<Servers>,
    steps: Vec<Step>,
}

impl Load {
    /// So many requests over a store, as the seed says; `None` where its server or Node.js is not installed.
    pub fn plan(kind: Kind, requests: usize) -> Option<Self> {
        if !sessile_interop::express_is_installed() {
            return None;
        }
        let store = Arc::new(SharedStore::start(kind)?);
        let (mut express, axum) = (options(json!(SECRET)), options(json!(SECRET)));
        // session-file-store's touch writes the whole file, so with it Express' reads are writes.
        express["withoutTouch"] = json!(kind == Kind::File);
        let servers = Servers::start(&store, &express, &axum)?;
        println!("SESSILE_SEED={}", *SEED);
        let mut rng = Rng::with_seed(*SEED);
        Some(Self { servers, steps: (0..requests).map(|number| Step::random(number, &mut rng)).collect() })
    }

    /// Carries the plan out, several requests at a time, and compares everything at its end.
    pub async fn run(self, rules: Rules) -> Tally {
        let mut users = Vec::new();
        for _ in 0..USERS {
            users.push(User::new(&self.servers).await);
        }
        let shared = Arc::new((users, self.steps, AtomicUsize::new(0), Mutex::new(Tally::default())));
        let workers: Vec<_> = (0..WORKERS)
            .map(|_| {
                let shared = Arc::clone(&shared);
                tokio::spawn(async move {
                    let (users, steps, next, tally) = &*shared;
                    while let Some(step) = steps.get(next.fetch_add(1, Ordering::Relaxed)) {
                        users[step.user].take(*step, rules, tally).await;
                    }
                })
            })
            .collect();
        for worker in workers {
            worker.await.expect("no panic");
        }
        let (users, _, _, tally) = &*shared;
        for user in users {
            user.compare_alone(rules, tally).await;
        }
        std::mem::take(&mut *tally.lock().await)
    }
}

/// How often each status came, by side.
pub type Statuses = BTreeMap<(&'static str, u16), usize>;
