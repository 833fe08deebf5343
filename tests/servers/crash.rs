//! Two processes that write to one session in SQLite, and are killed again and again while they do.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::io::{BufRead as _, BufReader, Lines, Write as _};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::{Duration, Instant};

use sessile::testing::Visitor;
use sessile::{Session, SessionError, SqliteStore};

use crate::faults::config;

/// Set in the child: the folder, which of the two it is, the cookie, and the last commit that was
/// acknowledged.
const TASK: &str = "SESSILE_TEST_CRASH";

/// How many processes are killed, if the variable `SESSILE_CRASHES` does not say so.
const KILLS: u32 = 100;

/// How long a call may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

async fn store(folder: &str) -> SqliteStore {
    let began = Instant::now();
    let store = loop {
        match SqliteStore::open(Path::new(folder).join("sessions.db")).await {
            Ok(store) => break store.timeout(PATIENCE),
            Err(error) => assert!(began.elapsed() < PATIENCE, "{error:?}"),
        }
    };
    store.migrate().await.unwrap();
    store
}

/// The value that is written with a number, in the same commit. Its length changes with the number.
fn text_of(n: u64) -> String {
    "x".repeat((n as usize * 37) % 5000)
}

/// How often this process has written; both of its keys and the sum of both processes must say the same.
fn written(session: &Session, own: &str) -> u64 {
    let count = |key: &str| session.get::<u64>(key).unwrap().unwrap_or(0);
    assert_eq!(session.get::<String>("user").unwrap().as_deref(), Some("ada"), "{:?}", session.origin());
    assert_eq!(count("both"), count("n-0") + count("n-1"), "an update is lost, or half written");
    let n = count(&format!("n-{own}"));
    let text = session.get::<String>(&format!("text-{own}")).unwrap().unwrap_or_default();
    assert_eq!(text, text_of(n), "half a commit is stored");
    n
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_while_committing() {
    if let Ok(task) = std::env::var(TASK) {
        return commit_until_killed(&task).await;
    }
    let kills = std::env::var("SESSILE_CRASHES").map_or(KILLS, |kills| kills.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap().to_owned();
    let store = store(&path).await;
    let config = config(store.clone());
    let mut visitor = Visitor::new(&config);
    let session = visitor.open().await.unwrap();
    session.insert("user", "ada").unwrap();
    visitor.commit(&session).await.unwrap();
    let cookie = config.sign(&session.id());
    let halves = ["0", "1"].map(|own| {
        let task = format!("{path} {own} {cookie}");
        tokio::task::spawn_blocking(move || kill_again_and_again(&task, kills.div_ceil(2)))
    });
    for (own, half) in ["0", "1"].into_iter().zip(halves) {
        let acknowledged = half.await.unwrap();
        let stored = written(&visitor.open().await.unwrap(), own);
        assert!(
            (acknowledged..=acknowledged + 1).contains(&stored),
            "{acknowledged} acknowledged, {stored} stored"
        );
        println!("process {own}: {acknowledged} commits over {} kills", kills.div_ceil(2));
    }
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(folder.path().join("sessions.db"));
    let pool = sqlx::SqlitePool::connect_with(options).await.unwrap();
    let checked: String = sqlx::query_scalar("PRAGMA integrity_check").fetch_one(&pool).await.unwrap();
    assert_eq!((checked.as_str(), store.len().await.unwrap()), ("ok", 1));
}

/// In the child: commits without a pause, and says so after each.
async fn commit_until_killed(task: &str) {
    let [folder, own, cookie, acknowledged] = *task.split(' ').collect::<Vec<_>>() else { panic!("{task}") };
    let config = config(store(folder).await);
    let visitor = Visitor::with_id(&config, &config.verify(cookie).unwrap());
    let acknowledged: u64 = acknowledged.parse().unwrap();
    let mut n = written(&visitor.open().await.unwrap(), own);
    // The last commit may have been carried out before its process could say so.
    assert!((acknowledged..=acknowledged + 1).contains(&n), "{acknowledged} acknowledged, {n} stored");
    loop {
        // In one write, so that no half of it arrives.
        std::io::stderr().write_all(format!("{ACKNOWLEDGED}{n}\n").as_bytes()).unwrap();
        // Refused, nothing was written: the other process has kept writing.
        while let Err(refused) = commit(&visitor, own, n).await {
            assert!(matches!(refused, SessionError::Conflict), "{refused:?}");
        }
        n += 1;
    }
}

async fn commit(visitor: &Visitor, own: &str, n: u64) -> Result<(), SessionError> {
    let session = visitor.open().await.unwrap();
    assert_eq!(written(&session, own), n);
    session.insert(&format!("n-{own}"), n + 1).unwrap();
    session.insert(&format!("text-{own}"), text_of(n + 1)).unwrap();
    session.update("both", |both: Option<u64>| Some(both.unwrap_or(0) + 1)).unwrap();
    session.commit().await.map(drop)
}

const ACKNOWLEDGED: &str = "acknowledged ";

/// Starts a process `kills` times and kills it. Returns the last commit that one of them acknowledged.
fn kill_again_and_again(task: &str, kills: u32) -> u64 {
    let mut acknowledged = 0;
    for _ in 0..kills {
        let mut process = Process::start(&format!("{task} {acknowledged}"));
        let random = RandomState::new().build_hasher().finish();
        match random % 8 {
            // While it starts, and what a killed process left behind is put in order.
            0 => std::thread::sleep(Duration::from_millis(random % 150)),
            // In the middle of a commit, or between two.
            commits => {
                for _ in 0..commits {
                    acknowledged = process.acknowledged().unwrap_or_else(|| process.failed());
                }
                std::thread::sleep(Duration::from_micros(random % 5000));
            }
        }
        process.child.kill().unwrap();
        while let Some(last) = process.acknowledged() {
            acknowledged = last;
        }
        let status = process.child.wait().unwrap();
        assert!(status.code().is_none(), "it ended by itself: {}", process.said);
    }
    acknowledged
}

struct Process {
    child: Child,
    lines: Lines<BufReader<ChildStderr>>,
    /// What it said besides.
    said: String,
}

impl Process {
    fn start(task: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "crash::killed_while_committing", "--nocapture"])
            .env(TASK, task)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        Self { child, lines, said: String::new() }
    }

    /// The next commit that it acknowledges; `None` when it has ended.
    fn acknowledged(&mut self) -> Option<u64> {
        loop {
            let line = self.lines.next()?.unwrap();
            match line.strip_prefix(ACKNOWLEDGED) {
                Some(n) => return Some(n.parse().unwrap()),
                None => self.said = format!("{}{line}\n", self.said),
            }
        }
    }

    fn failed(&self) -> ! {
        panic!("it ended by itself: {}", self.said);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // A test that fails leaves nobody behind.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
