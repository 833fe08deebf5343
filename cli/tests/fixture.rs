//! The sessions that the tests work on: two of Ada, one of Bob, and a guest's.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use sessile::{Clock, FileStore, Session, SessionConfig, SessionId, SessionStore, SqliteStore};
use tempfile::TempDir;

pub(crate) const SECRET: &str = "bVXLfJQvvMVuk5Ic7DhsKfCUf1MlKJiU7uCysMXoUZs=";
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

/// What the logins are noted with.
struct Ago(Duration);

impl Clock for Ago {
    fn now(&self) -> SystemTime {
        SystemTime::now() - self.0
    }
}

/// A folder with the sessions in files and in an SQLite database, and the secrets.
pub(crate) struct Fixture {
    pub(crate) folder: TempDir,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        run(async {
            populate(FileStore::new(folder.path().join("sessions")).expect("a folder")).await;
            let store = SqliteStore::open(folder.path().join("sessions.db")).await.expect("a file");
            store.migrate().await.expect("tables");
            populate(store).await;
        });
        std::fs::write(folder.path().join("secrets.txt"), format!("{SECRET}\n")).expect("it can be written");
        Self { folder }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Runs a line in the folder, as a shell does where nobody can be asked.
    pub(crate) fn shell(&self, line: &str, store: &str) -> Output {
        let program = Path::new(env!("CARGO_BIN_EXE_sessile"));
        let path = std::env::var("PATH").unwrap_or_default();
        let path = format!("{}:{path}", program.parent().expect("a folder").display());
        Command::new("sh")
            .args(["-c", line])
            .current_dir(self.path())
            .env("PATH", path)
            // Help is wrapped where the terminal is narrow.
            .env("COLUMNS", "200")
            .env("SESSILE_STORE", store)
            .env("SESSILE_SECRETS", SECRET)
            .stdin(Stdio::null())
            .output()
            .expect("a shell")
    }
}

pub(crate) fn run<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(work)
}

/// Fills a store with sessions whose ids, and so their handles, are always the same.
pub(crate) async fn populate(store: impl SessionStore + Clone) {
    let config = |number: u64, ago: Duration| {
        let next = AtomicU64::new(number);
        let id = move || {
            let id = format!("00000000-0000-4000-8000-{:012}", next.fetch_add(1, Ordering::Relaxed));
            SessionId::new(id).expect("a legal id")
        };
        let config = SessionConfig::builder(SECRET).store(store.clone()).clock(Ago(ago)).max_age(7 * DAY);
        config.genid(id).save_uninitialized(false).build().expect("a configuration")
    };
    let sessions: [(u64, Option<&str>, &str, Duration, Duration); 4] = [
        (1, Some("ada"), "Ada's phone", 3 * DAY, 2 * HOUR),
        (2, Some("ada"), "Ada's laptop", DAY + HOUR, Duration::from_secs(300)),
        (3, Some("bob"), "\u{1b}[31mred", 5 * HOUR, 5 * HOUR),
        (4, None, "", 2 * DAY, 2 * DAY),
    ];
    for (number, user, device, ago, last_seen) in sessions {
        let fill = async |session: Session| {
            if let Some(user) = user {
                session.log_in(user)?;
                session.set_device_label(device);
                session.insert("theme", "dark")?;
            }
            session.insert("cart", ["book", "pen"])
        };
        config(number, ago).create_session(fill).await.expect("it can be created");
        let id = format!("00000000-0000-4000-8000-{number:012}");
        let id = SessionId::new(id).expect("a legal id");
        assert!(store.touch(&id, 7 * DAY - last_seen).await.expect("touch answers"), "{number}");
    }
}
