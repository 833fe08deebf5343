//! A measured run: many sessions move from one store to another while two processes use them, one of which
//! drains. Nobody is logged out, nothing that was answered is lost, and no session is there twice.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::{Duration, Instant};

use axum::http::{HeaderMap, header::COOKIE};
use futures_util::StreamExt as _;
use sessile::{
    Moving, Origin, PostgresStore, Record, RedisStore, SessionConfig, SessionId, SessionStore, SqliteStore,
};

use crate::{postgres, redis};

const SECRET: &str = "a secret of at least 32 bytes, for tests";
/// Set in a child: `drains` or `serves`.
const TASK: &str = "SESSILE_MOVE_TASK";
/// How many sessions move. Default: 20,000.
const SESSIONS: &str = "SESSILE_MOVE_SESSIONS";
/// What the stores of this run are called.
const NAME: &str = "SESSILE_MOVE_NAME";
/// How many sessions requests use, spread among all.
const USED: usize = 2000;
/// Each so many of these is logged out by the process that serves.
const LOGGED_OUT: usize = 40;
const WORKERS: usize = 8;
const DAY: Duration = Duration::from_secs(86_400);

fn sessions() -> usize {
    std::env::var(SESSIONS).ok().and_then(|text| text.parse().ok()).unwrap_or(20_000)
}

fn id(n: usize) -> SessionId {
    SessionId::new(format!("session-{n:08}")).unwrap()
}

/// The used session with this number.
fn used(n: usize) -> SessionId {
    id(n * (sessions() / USED))
}

fn config(store: impl SessionStore) -> SessionConfig {
    SessionConfig::builder(SECRET).store(store).build().unwrap()
}

fn headers(config: &SessionConfig, id: &SessionId) -> HeaderMap {
    [(COOKIE, format!("connect.sid={}", config.sign(id)).parse().unwrap())].into_iter().collect()
}

/// A request that counts; `false`: its session is unknown.
async fn count(config: &SessionConfig, id: &SessionId) -> bool {
    let session = config.session_from_headers(&headers(config, id)).await.unwrap();
    if session.origin() != Origin::Loaded {
        return false;
    }
    session.update("count", |count: Option<u64>| Some(count.unwrap_or(0) + 1)).unwrap();
    drop(session.commit().await.unwrap());
    true
}

/// In a child: uses sessions until the one that drains is done, or this one has been told to stop.
async fn serve(moving: Moving, task: &str) {
    let config = config(moving.clone());
    let counts: Arc<Vec<AtomicU64>> = Arc::new((0..USED).map(|_| 0.into()).collect());
    let stop = Arc::new(AtomicBool::new(false));
    let workers: Vec<_> = (0..WORKERS)
        .map(|worker| {
            let (config, counts, stop) = (config.clone(), Arc::clone(&counts), Arc::clone(&stop));
            let logs_out = task == "serves" && worker == 0;
            tokio::spawn(async move {
                let mut times = Vec::new();
                let mut turn = 0;
                while !stop.load(Relaxed) {
                    turn += 1;
                    let n = spread(turn * WORKERS + worker) % USED;
                    if n.is_multiple_of(LOGGED_OUT) {
                        if logs_out {
                            let headers = headers(&config, &used(n));
                            let session = config.session_from_headers(&headers).await.unwrap();
                            session.destroy();
                            drop(session.commit().await.unwrap());
                        }
                        continue;
                    }
                    let began = Instant::now();
                    assert!(count(&config, &used(n)).await, "session {n} was logged out");
                    times.push(began.elapsed());
                    counts[n].fetch_add(1, Relaxed);
                }
                times
            })
        })
        .collect();
    if task == "drains" {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let began = Instant::now();
        let mut drain = moving.drain();
        let mut last = None;
        while let Some(so_far) = drain.next().await.unwrap() {
            last = Some(so_far.moved);
        }
        println!("SAYS drained {} sessions in {:.1} s", last.unwrap_or(0), began.elapsed().as_secs_f64());
    } else {
        // The parent closes it when the other child is done.
        tokio::task::spawn_blocking(|| std::io::read_to_string(std::io::stdin())).await.unwrap().unwrap();
    }
    stop.store(true, Relaxed);
    let mut times = Vec::new();
    for worker in workers {
        times.extend(worker.await.unwrap());
    }
    times.sort_unstable();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
    println!(
        "SAYS {task}: {} requests that count, median {:.2} ms, 99 % {:.2} ms, longest {:.1} ms",
        times.len(),
        at(0.5),
        at(0.99),
        at(1.0)
    );
    let counts: Vec<_> = counts.iter().map(|count| count.load(Relaxed)).collect();
    println!("COUNTS {}", counts.iter().map(u64::to_string).collect::<Vec<_>>().join(" "));
}

/// Spreads the turns of the workers over the sessions.
fn spread(turn: usize) -> usize {
    (turn as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) as usize >> 20
}

/// `variables` tell a child where the stores are.
async fn run<A: SessionStore + Clone, B: SessionStore + Clone>(
    test: &str,
    variables: &[(&str, String)],
    (old, new): (A, B),
) {
    if let Ok(task) = std::env::var(TASK) {
        return serve(Moving::new(old, new), &task).await;
    }
    let sessions = sessions();
    let record =
        r#"{"cookie":{"originalMaxAge":86400000,"expires":null,"path":"/"},"user":"ada","pad":"PAD"}"#;
    let record = Record::from_json(record.replace("PAD", &"x".repeat(500))).unwrap();
    let sets = (0..sessions).map(|n| {
        let (old, record) = (old.clone(), record.clone());
        async move { old.set(&id(n), &record, DAY).await.unwrap() }
    });
    futures_util::stream::iter(sets).buffer_unordered(64).collect::<()>().await;

    let child = |task: &str| {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", test, "--nocapture", "--ignored"]).env(TASK, task);
        command.envs(variables.iter().map(|(name, value)| (*name, value.as_str())));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap()
    };
    let (mut serves, drains) = (child("serves"), child("drains"));
    let drained = tokio::task::spawn_blocking(move || drains.wait_with_output().unwrap()).await.unwrap();
    drop(serves.stdin.take());
    let served = tokio::task::spawn_blocking(move || serves.wait_with_output().unwrap()).await.unwrap();
    let mut counts = vec![0; USED];
    for output in [drained, served] {
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "a process failed: {text}");
        for line in text.lines() {
            if let Some(said) = line.strip_prefix("SAYS ") {
                println!("{said}");
            }
            let own = line.split_once("COUNTS ").map_or("", |(_, own)| own).split_whitespace();
            for (count, own) in counts.iter_mut().zip(own) {
                *count += own.parse::<u64>().unwrap();
            }
        }
    }
    assert!(counts.iter().sum::<u64>() > 100, "nobody has used the sessions");

    // The new store alone has everything.
    let alone = config(new.clone());
    let mut alive = 0;
    for n in 0..sessions {
        assert!(n % 1000 != 0 || old.get(&id(n)).await.unwrap().is_none(), "a session is left");
        alive += usize::from(new.get(&id(n)).await.unwrap().is_some());
    }
    let mut out = 0;
    for (n, count) in counts.iter().enumerate() {
        let session = alone.session_from_headers(&headers(&alone, &used(n))).await.unwrap();
        if n.is_multiple_of(LOGGED_OUT) {
            out += usize::from(session.origin() != Origin::Loaded);
            continue;
        }
        let stored = session.get::<u64>("count").unwrap().unwrap_or(0);
        assert_eq!(stored, *count, "session {n} has another count than was answered");
    }
    assert!(out > 0, "nobody has logged out");
    assert_eq!(alive + out, sessions, "sessions are lost");
    println!("{sessions} sessions: {alive} are alive, {out} have logged out");
}

fn name() -> String {
    std::env::var(NAME).unwrap_or_else(|_| SessionId::random().as_str()[..8].to_owned())
}

async fn postgres_store(name: &str) -> Option<PostgresStore> {
    postgres::store(&postgres::UTC, &format!("move_{name}")).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement: run it in release with --nocapture"]
async fn from_redis_to_redis() {
    let name = name();
    let store = async |which: &str| -> Option<RedisStore> {
        Some(redis::store().await?.prefix(format!("{which}-{name}:")))
    };
    let (Some(old), Some(new)) = (store("old").await, store("new").await) else { return };
    let variables = [("REDIS_URL", redis::SINGLE.url.clone().unwrap()), (NAME, name.clone())];
    run("moving_load::from_redis_to_redis", &variables, (old, new)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement: run it in release with --nocapture"]
async fn from_sqlite_to_postgres() {
    let name = name();
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("move-{name}"));
    std::fs::create_dir_all(&folder).unwrap();
    let old = SqliteStore::open(folder.join("sessions.db")).await.unwrap();
    old.migrate().await.unwrap();
    let Some(new) = postgres_store(&name).await else { return };
    let variables = [("DATABASE_URL", postgres::UTC.url.clone().unwrap()), (NAME, name.clone())];
    run("moving_load::from_sqlite_to_postgres", &variables, (old, new)).await;
    if std::env::var(TASK).is_err() {
        std::fs::remove_dir_all(folder).unwrap();
    }
}
