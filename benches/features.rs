//! What each feature costs a request that reads and one that writes, beside the same request without it:
//! `cargo bench --all-features --bench features`.
//!
//! All of them take turns, in batches that are far shorter than a time slice of the system. Shown is the 10th
//! percentile of each one's batches, which other work on the machine hardly changes.

#[path = "../tests/dbsc/browser.rs"]
#[allow(dead_code, reason = "the tests use the rest")]
mod browser;
#[path = "../tests/dbsc/device.rs"]
#[allow(dead_code, reason = "the tests use the rest")]
mod device;
mod kinds;

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use axum::http::header::COOKIE;
use axum::http::{HeaderMap, HeaderValue};
use kinds::{VIEWS, fill};
use sessile::{HashIds, MemoryStore, Sealed, SessionConfig, SessionConfigBuilder, SessionStore, SystemClock};

const BATCH: u64 = 50;
const ROUNDS: usize = 4_000;
const USER: &str = "ada";

/// A configuration, and a request for a session of 1 KiB.
struct Contestant {
    name: &'static str,
    /// The name of the contestant over which its figures are shown.
    over: &'static str,
    config: SessionConfig,
    headers: HeaderMap,
    /// Whether the request asks who is logged in.
    is_user: bool,
}

impl Contestant {
    async fn new(
        name: &'static str,
        over: &'static str,
        store: impl SessionStore,
        options: impl FnOnce(SessionConfigBuilder) -> SessionConfigBuilder,
    ) -> Self {
        let builder = SessionConfig::builder("a secret of at least 32 bytes, for benches").store(store);
        let config = options(builder).build().expect("the options hold");
        Self::with(name, over, config, false).await
    }

    async fn with(name: &'static str, over: &'static str, config: SessionConfig, is_user: bool) -> Self {
        let created = config.create_session(async |session| {
            if is_user {
                session.log_in(USER)?;
            }
            fill(&session)
        });
        let cookie = created.await.expect("the store takes it").cookie();
        Self { name, over, config, headers: HeaderMap::from_iter([(COOKIE, cookie)]), is_user }
    }

    /// Nanoseconds of a request.
    async fn batch(&self, writes: bool) -> f64 {
        let began = Instant::now();
        for count in 0..BATCH {
            let session = self.config.session_from_headers(&self.headers).await.expect("the store answers");
            let views = VIEWS.get(&session).expect("it is a number");
            assert!(black_box(views).is_some(), "{} has no session", self.name);
            assert!(!self.is_user || session.belongs_to(USER), "{} has no user", self.name);
            if writes {
                VIEWS.insert(&session, 1_000_000 + count).expect("a number is JSON");
            }
            drop(black_box(session.commit().await.expect("the store answers")));
        }
        began.elapsed().as_nanos() as f64 / BATCH as f64
    }
}

async fn contestants() -> Vec<Contestant> {
    const NONE: &str = "no feature";
    const OTHER: &str = "no feature, a store that is not known to answer at once";
    const LOGGED_IN: &str = "users: who is logged in";
    let memory = MemoryStore::new;
    let sealed = Sealed::new(memory(), "another secret of at least 32 bytes");
    let logged_in = SessionConfig::builder("a secret of at least 32 bytes, for benches").store(memory());
    let mut all = vec![
        Contestant::new(NONE, NONE, memory(), |builder| builder).await,
        Contestant::new("the same once more", NONE, memory(), |builder| builder).await,
        Contestant::with(LOGGED_IN, NONE, logged_in.build().expect("the options hold"), true).await,
        Contestant::new("`hash_ids`", NONE, memory(), |builder| builder.hash_ids(HashIds::On)).await,
        Contestant::new("`on_event`", NONE, memory(), |builder| {
            builder.on_event(|event| {
                black_box(event.kind());
            })
        })
        .await,
        Contestant::new(OTHER, OTHER, Arc::new(memory()), |builder| builder).await,
        Contestant::new("`Sealed`", OTHER, sealed, |builder| builder).await,
    ];
    all.extend(bound().await);
    all
}

/// A session that is bound to a device, and the same one where nobody looks at the proof.
async fn bound() -> [Contestant; 2] {
    const UNPROVEN: &str = "a bound session without `dbsc`";
    let store = MemoryStore::new();
    let site = browser::Site::build(|builder| {
        builder.store(store.clone()).clock(SystemClock).dbsc(browser::options())
    });
    let browser = site.bound().await;
    let cookies: Vec<_> = browser.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let cookie = HeaderValue::try_from(cookies.join("; ")).expect("cookies are header values");
    let headers = HeaderMap::from_iter([(COOKIE, cookie)]);
    let session = site.sessions.session_from_headers(&headers).await.expect("the store answers");
    fill(&session).expect("every value is JSON");
    session.commit().await.map(drop).expect("the store takes it");
    let plain = SessionConfig::hardened(browser::SECRET).store(store).build().expect("the options hold");
    [(UNPROVEN, plain), ("`dbsc`: the proof of a bound session", site.sessions)].map(|(name, config)| {
        Contestant { name, over: UNPROVEN, config, headers: headers.clone(), is_user: true }
    })
}

fn main() {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime starts");
    runtime.block_on(tokio::task::unconstrained(async {
        let contestants = contestants().await;
        let mut batches = vec![[Vec::with_capacity(ROUNDS), Vec::with_capacity(ROUNDS)]; contestants.len()];
        for _ in 0..ROUNDS {
            for (contestant, batches) in contestants.iter().zip(&mut batches) {
                for (writes, batches) in [false, true].into_iter().zip(batches) {
                    batches.push(contestant.batch(writes).await);
                }
            }
        }
        let tenth = |mut batches: Vec<f64>| {
            batches.sort_by(f64::total_cmp);
            batches[ROUNDS / 10]
        };
        let figures: Vec<_> = batches.into_iter().map(|kinds| kinds.map(tenth)).collect();
        println!("| | read | write |\n|---|---|---|");
        for (contestant, own) in contestants.iter().zip(&figures) {
            let base = contestants.iter().position(|base| base.name == contestant.over);
            let base = figures[base.expect("it takes part")];
            if contestant.name == contestant.over {
                println!("| {} | {:.0} ns | {:.0} ns |", contestant.name, own[0], own[1]);
            } else {
                println!(
                    "| {} | {:+.0} ns | {:+.0} ns |",
                    contestant.name,
                    own[0] - base[0],
                    own[1] - base[1]
                );
            }
        }
    }));
}
