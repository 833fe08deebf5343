//! Servers that are killed and started again in the middle of traffic, and two processes on one server.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use axum::response::IntoResponse as _;
use sessile::testing::Visitor;
use sessile::{Session, SessionConfig, SessionError, SessionStore};
use sessile_test_servers::Server;
use tokio::task::JoinSet;

/// How long a killed server stays away, at least.
const OUTAGE: Duration = Duration::from_millis(300);
const SECRET: &str = "a secret of at least 32 bytes, for tests";

pub(crate) fn config(store: impl SessionStore) -> SessionConfig {
    SessionConfig::builder(SECRET).store(store).save_uninitialized(false).build().unwrap()
}

fn increment(count: Option<u64>) -> Option<u64> {
    Some(count.unwrap_or(0) + 1)
}

async fn user(config: &SessionConfig) -> Visitor {
    let mut visitor = Visitor::new(config);
    let session = visitor.open().await.unwrap();
    session.insert("user", "ada").unwrap();
    visitor.commit(&session).await.unwrap();
    visitor
}

/// One request as a handler would answer it.
async fn request(visitor: &Visitor) -> StatusCode {
    let session = match visitor.open().await {
        Ok(session) => session,
        Err(rejection) => return rejection.into_response().status(),
    };
    assert_eq!(
        session.get::<String>("user").unwrap().as_deref(),
        Some("ada"),
        "a session was emptied or replaced: {:?}",
        session.origin()
    );
    let counted = async |session: &Session| {
        session.update("count", increment)?;
        session.commit().await
    };
    match counted(&session).await {
        Ok(guard) => guard.into_response().status(),
        Err(error) => error.into_response().status(),
    }
}

/// 2,000 increments over 50 connections, each on a session of its own, while the server dies and comes back.
/// `durable`: what it acknowledged survives that.
pub(crate) async fn kill_and_restart(store: impl SessionStore, mut server: Server, durable: bool) {
    const USERS: usize = 50;
    const EACH: u64 = 40;
    let config = config(store);
    let mut users = Vec::new();
    for _ in 0..USERS {
        users.push(user(&config).await);
    }
    let done = Arc::new(AtomicU64::new(0));
    let back = Arc::new(AtomicBool::new(false));
    let mut tasks = JoinSet::new();
    for visitor in users {
        let (done, back) = (Arc::clone(&done), Arc::clone(&back));
        tasks.spawn(async move {
            let (mut succeeded, mut failed, mut slowest) = (0, 0_u64, Duration::ZERO);
            let began = Instant::now();
            while succeeded < EACH || !back.load(Ordering::Relaxed) {
                let sent = Instant::now();
                let answer = request(&visitor).await;
                slowest = slowest.max(sent.elapsed());
                match answer {
                    StatusCode::OK => succeeded += 1,
                    StatusCode::SERVICE_UNAVAILABLE => {
                        failed += 1;
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                    other => panic!("a request was answered with {other}"),
                }
                done.fetch_add(1, Ordering::Relaxed);
                assert!(began.elapsed() < Duration::from_secs(100), "the loop never recovered");
            }
            (visitor, succeeded, failed, slowest)
        });
    }
    // In the middle of it.
    while done.load(Ordering::Relaxed) < USERS as u64 * EACH / 3 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let server = tokio::task::spawn_blocking(move || {
        server.kill();
        std::thread::sleep(OUTAGE);
        server.restart();
        back.store(true, Ordering::Relaxed);
        server
    })
    .await
    .unwrap();
    let (mut failures, mut extra, mut longest) = (0, 0, Duration::ZERO);
    for (visitor, succeeded, failed, slowest) in tasks.join_all().await {
        failures += failed;
        longest = longest.max(slowest);
        let count = visitor.open().await.unwrap().get::<u64>("count").unwrap().unwrap_or(0);
        assert!(
            !durable || count >= succeeded,
            "{succeeded} increments were acknowledged, {count} are stored"
        );
        // A failure whose answer was lost may have been carried out: each at most once.
        assert!(count <= succeeded + failed, "{count} stored, {succeeded} acknowledged, {failed} failed");
        extra += count - succeeded.min(count);
    }
    // Some drivers wait for the server instead of failing.
    assert!(
        failures > 0 || longest > OUTAGE,
        "no request noticed that the server was away: this tested nothing"
    );
    println!(
        "{failures} requests were answered 503, {extra} of them had been carried out; the slowest took {longest:?}"
    );
    drop(server);
}

const CHILD: &str = "SESSILE_TEST_CHILD";

/// What the other process does: the same half of the work.
async fn half(config: &SessionConfig, cookie: &str, half: u64) {
    let id = config.verify(cookie).expect("both processes have the same secret");
    let visitor = Visitor::with_id(config, &id);
    let mut tasks = JoinSet::new();
    for n in 0..100_u64 {
        let visitor = visitor.clone();
        tasks.spawn(async move {
            let session = visitor.open().await.unwrap();
            session.insert(&format!("key-{half}-{n}"), n).unwrap();
            session.commit().await.map(drop).unwrap();
            let session = visitor.open().await.unwrap();
            session.update("count", increment).unwrap();
            session.commit().await.map(drop).unwrap();
        });
    }
    tasks.join_all().await;
}

/// 200 changes to different keys and 200 updates of one key of one session, half of them from another
/// process; then a logout in one against a slow writer in the other.
pub(crate) async fn two_processes(test: &str, (variable, url): (&str, &str), store: impl SessionStore) {
    let config = config(store);
    if let Ok(task) = std::env::var(CHILD) {
        let (what, cookie) = task.split_once(' ').unwrap();
        if what == "write" {
            half(&config, cookie, 1).await;
        } else {
            let visitor = Visitor::with_id(&config, &config.verify(cookie).unwrap());
            let session = visitor.open().await.unwrap();
            session.destroy();
            session.commit().await.map(drop).unwrap();
        }
        return;
    }
    let child = |what: &str, visitor: &Visitor| {
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", test])
            .env(variable, url)
            .env(CHILD, format!("{what} {}", config.sign(&visitor.id().unwrap())))
            .stdout(Stdio::null())
            .spawn()
            .unwrap()
    };
    let wait = |mut child: std::process::Child| tokio::task::spawn_blocking(move || child.wait().unwrap());
    let visitor = user(&config).await;
    let other = child("write", &visitor);
    half(&config, &config.sign(&visitor.id().unwrap()), 0).await;
    assert!(wait(other).await.unwrap().success());
    let session = visitor.open().await.unwrap();
    assert_eq!(session.get::<u64>("count").unwrap(), Some(200));
    for half in 0..2 {
        for n in 0..100_u64 {
            assert_eq!(
                session.get::<u64>(&format!("key-{half}-{n}")).unwrap(),
                Some(n),
                "key-{half}-{n} is lost"
            );
        }
    }
    // A slow writer here, the logout there.
    let slow = visitor.open().await.unwrap();
    slow.insert("late", 1).unwrap();
    assert!(wait(child("logout", &visitor)).await.unwrap().success());
    let refused = slow.commit().await;
    assert!(matches!(refused, Err(SessionError::Gone)), "{refused:?}");
    assert!(visitor.open().await.unwrap().is_new());
}
