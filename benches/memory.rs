//! `MemoryStore` with many sessions in it: resident bytes of each, the longest wait while a sweep is on, and
//! two threads against one. `cargo bench --bench memory`; Linux, which tells a process its resident memory.

mod kinds;

use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use axum::http::HeaderMap;
use kinds::{Case, Kind};
use sessile::{MemoryStore, Record, SessionConfig, SessionId, SessionStore as _};

const SESSIONS: usize = 200_000;
const SWEPT: usize = 1_000_000;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => {
            // Each in a process of its own, because memory once freed is counted all the same.
            for part in ["ten-keys", "one-key", "sweep", "threads"] {
                let this = std::env::current_exe().expect("the path of this program");
                let status = Command::new(this).arg(part).status().expect("this program starts");
                assert!(status.success(), "{part}: {status}");
            }
            ExitCode::SUCCESS
        }
        ["ten-keys"] => resident("1 KiB in ten keys", true),
        ["one-key"] => resident("one small key", false),
        ["sweep"] => sweep(),
        ["threads"] => threads(),
        _ => {
            eprintln!("usage: cargo bench --bench memory");
            ExitCode::FAILURE
        }
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime starts")
}

fn resident_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux has it");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("so it does");
    let kibibytes = line.trim().trim_end_matches("kB").trim().parse::<usize>();
    kibibytes.expect("a number") * 1024
}

/// Stores sessions as requests do, and says what each takes.
fn resident(what: &str, ten_keys: bool) -> ExitCode {
    let store = MemoryStore::new();
    let config = SessionConfig::builder("a secret of at least 32 bytes, for benches").store(store.clone());
    let config = config.build().expect("the options hold");
    runtime().block_on(async {
        let one = async || {
            let session = config.session_from_headers(&HeaderMap::new()).await.expect("nothing is loaded");
            match ten_keys {
                true => kinds::fill(&session).expect("every value is JSON"),
                false => session.insert("views", 1).expect("a number is JSON"),
            }
            session.commit().await.map(drop).expect("the store takes it");
        };
        one().await;
        let before = resident_bytes();
        for _ in 0..SESSIONS {
            one().await;
        }
        let each = (resident_bytes() - before) / SESSIONS;
        println!("{what}: {each} resident bytes per session at {SESSIONS}");
    });
    ExitCode::SUCCESS
}

/// The longest that a read waits while a million records are swept.
fn sweep() -> ExitCode {
    let store = MemoryStore::new();
    runtime().block_on(async {
        let ids: Vec<_> = (0..1024).map(|n| SessionId::new(format!("alive-{n}")).expect("an id")).collect();
        for id in &ids {
            store.set(id, &Record::default(), Duration::from_secs(3600)).await.expect("memory takes it");
        }
        let life = Duration::from_secs(20);
        let full = Instant::now() + life;
        for n in 0..SWEPT {
            let id = SessionId::new(format!("swept-{n}")).expect("an id");
            let left = full.saturating_duration_since(Instant::now());
            store.set(&id, &Record::default(), left).await.expect("memory takes it");
        }
        std::thread::sleep(full.saturating_duration_since(Instant::now()));
        let mut waits = Vec::new();
        let until = Instant::now() + Duration::from_secs(3);
        while Instant::now() < until {
            let began = Instant::now();
            for id in &ids {
                let read = Instant::now();
                assert!(store.get(id).await.expect("memory answers").is_some());
                waits.push(read.elapsed());
            }
            assert!(began.elapsed() < Duration::from_secs(1));
        }
        waits.sort_unstable();
        let at = |share: f64| waits[((waits.len() - 1) as f64 * share) as usize];
        println!(
            "sweep of {SWEPT}: reads waited {:?} at most, {:?} at 99.99 %, {:?} at 50 %",
            at(1.0),
            at(0.9999),
            at(0.5)
        );
    });
    ExitCode::SUCCESS
}

/// Writes of distinct sessions, from one thread and from two.
fn threads() -> ExitCode {
    const TIMES: u32 = 200_000;
    let store = MemoryStore::new();
    let run = |threads: u32| {
        let barrier = std::sync::Barrier::new(threads as usize);
        std::thread::scope(|scope| {
            let work = || {
                let runtime = runtime();
                let case = runtime.block_on(Case::new(Kind::Write, store.clone()));
                barrier.wait();
                let began = Instant::now();
                runtime.block_on(async {
                    for _ in 0..TIMES {
                        drop(case.send().await);
                    }
                });
                f64::from(TIMES) / began.elapsed().as_secs_f64()
            };
            let running: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
            running.into_iter().map(|thread| thread.join().expect("no request panics")).sum::<f64>()
        })
    };
    run(1);
    let (one, two) = (run(1), run(2));
    println!("writes a second: {one:.0} on one thread, {two:.0} on two, {:.2} times", two / one);
    ExitCode::SUCCESS
}
